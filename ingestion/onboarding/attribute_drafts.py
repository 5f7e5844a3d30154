"""Attributes proposed for the columns of a file that no trusted table has: declared, and filled by the drafted feed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from pydantic import ValidationError

from ingestion.onboarding.draft_expressions import expression_for
from ingestion.onboarding.proposal import AttributeDraft, AttributesDraft, Guess, Proposal, level_of
from ingestion.onboarding.shapes import ColumnShape
from ingestion.onboarding.suggestions import is_personal_name, is_secret_name, words_of
from vocabulary.attributes import ATTRIBUTES, ENTITIES, Attribute

SCHEMA_LINE = "# yaml-language-server: $schema=../.cdp-schema/attributes.json"
# A number whose name says so has six places, else two.
_RATIO_WORDS = {"ratio", "rate", "share", "percent", "pct"}
_RATIO_SIGNS = ("率", "比例", "占比")


def declarations(draft: AttributesDraft, source_file: str) -> str:
    """Give the text of the file that declares the attributes."""
    lines = [
        SCHEMA_LINE,
        f"# Drafted from {source_file}: give each its name in both languages and its level; take out what nobody will ask for.",
        "attributes:",
    ]
    return "\n".join([*lines, *(_declaration(one.attribute) for one in draft.attributes)]) + "\n"


def propose_attributes(
    shapes: Sequence[ColumnShape],
    mapped_names: Collection[str],
    proposal: Proposal,
    guess: Guess,
    codes: Collection[str],
) -> AttributesDraft | None:
    """Give attributes for columns that are mapped nowhere; None where no target is of an entity or nothing is left.

    Left out are credentials, identifiers and addresses of people, columns in which nearly every record has another value, and names of
    which no code can be made; ``codes`` are attributes that are declared already.
    """
    entity_of = {table: (entity, key) for entity, (table, key) in ENTITIES.items()}
    for target in proposal.targets:
        if target.table not in entity_of:
            continue
        entity, key = entity_of[target.table]
        keys = [
            mapping.expression for mapping in target.columns if mapping.column == key and not mapping.waits
        ]
        drafts = list(_drafts(shapes, mapped_names, proposal, guess, entity, set(codes)))
        return AttributesDraft(entity, keys[0], tuple(drafts)) if keys and drafts else None
    return None


def _drafts(
    shapes: Sequence[ColumnShape],
    mapped_names: Collection[str],
    proposal: Proposal,
    guess: Guess,
    entity: str,
    codes: set[str],
) -> Iterator[AttributeDraft]:
    for shape in shapes:
        if shape.name.startswith("_"):
            # Names of the pipeline's own columns begin so, and a feed may not take them.
            continue
        meaning = guess.meaning(shape.name)
        is_of_a_person = (
            shape.identifier
            or shape.hash_method
            or shape.name in proposal.identifiers
            or is_personal_name(meaning)
        )
        if not shape.value_count or shape.name in mapped_names or is_secret_name(meaning) or is_of_a_person:
            continue
        if shape.type == "text" and shape.is_nearly_unique and shape.records > 1:
            continue
        # What is no code that many share may be one person's.
        level = "C1" if shape.codes and level_of(shape, guess, proposal) == "C1" else "C2"
        attribute = _attribute(shape, level, entity, guess)
        if attribute is None or attribute.code in codes:
            continue
        mapping = expression_for(shape, ATTRIBUTES, attribute.column, utc=guess.utc)
        if mapping is not None:
            codes.add(attribute.code)
            yield AttributeDraft(attribute, mapping.expression, shape.name)


def _attribute(shape: ColumnShape, level: str, entity: str, guess: Guess) -> Attribute | None:
    """Give the attribute of a column; None where its name makes no code, or one that no attribute may have."""
    meaning = guess.meanings.get(shape.name)
    text = shape.name if meaning is None else meaning.name
    name = shape.name if shape.name.isascii() else guess.meaning(shape.name)
    code = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()).strip("_")
    try:
        return Attribute.model_validate(
            {
                "code": code,
                "entity": entity,
                "type": _type_of(shape, guess),
                "level": level,
                "name": {
                    "zh": text,
                    "en": text.replace("_", " ").strip().capitalize() if text.isascii() else code,
                },
                # Codes of few records are not among those of the shape.
                "domain": sorted(shape.codes)
                if shape.type == "text" and len(shape.codes) == shape.distinct
                else None,
            }
        )
    except ValidationError:
        return None


def _type_of(shape: ColumnShape, guess: Guess) -> str:
    if shape.type in ("date", "timestamp"):
        return "date"
    if shape.type == "boolean":
        return "boolean"
    if shape.type == "integer":
        return "int"
    if shape.type == "decimal":
        name = guess.meaning(shape.name)
        is_ratio = _RATIO_WORDS & set(words_of(name)) or any(sign in name for sign in _RATIO_SIGNS)
        return "ratio" if is_ratio else "decimal"
    return "string"


def _declaration(one: Attribute) -> str:
    from ingestion.onboarding.draft_yaml import scalar

    domain = f", domain: [{', '.join(_text(value) for value in one.domain)}]" if one.domain else ""
    note = "   # two places are kept; type: ratio keeps six" if one.type == "decimal" else ""
    return (
        f"  - {{code: {scalar(one.code)}, entity: {one.entity}, type: {one.type}, level: {one.level}{domain}, "
        f"name: {{zh: {_text(one.name.zh)}, en: {_text(one.name.en)}}}}}{note}"
    )


def _text(value: str) -> str:
    from ingestion.onboarding.draft_yaml import scalar

    return scalar(value)
