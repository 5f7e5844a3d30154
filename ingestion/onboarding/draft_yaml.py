"""The text of a drafted feed: YAML with, per line, what a person should look at. It holds shapes, never values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from ingestion.onboarding.draft_expressions import Mapped
from ingestion.onboarding.proposal import AttributesDraft, Guess, Proposal, TargetProposal, level_of
from ingestion.onboarding.sampling import FileSample
from ingestion.onboarding.shapes import ColumnShape
from vocabulary.attributes import ATTRIBUTES, FOLDER

SCHEMA_LINE = "# yaml-language-server: $schema=../.cdp-schema/feed.json"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([ .][A-Za-z0-9_]+)*")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none"}
_MODES = {
    "events": "facts with an id of their own",
    "snapshot": "the whole as of a day; delta: changed rows by key",
    "delta": "changed rows by key, since its name has a day; snapshot: the whole as of a day, what is absent is closed",
}


def render(
    sample: FileSample, shapes: Sequence[ColumnShape], proposal: Proposal, guess: Guess, pattern: str
) -> str:
    """Give the YAML text of a drafted feed."""
    return "\n".join(_lines(sample, shapes, proposal, guess, pattern)) + "\n"


def scalar(text: str) -> str:
    """Give a text as a YAML scalar on one line."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _lines(
    sample: FileSample, shapes: Sequence[ColumnShape], proposal: Proposal, guess: Guess, pattern: str
) -> Iterator[str]:
    count = sample.records
    extent = (
        f"all {count} records" if sample.is_whole else f"{count} sampled records of about {sample.estimated}"
    )
    yield SCHEMA_LINE
    yield f"# Drafted from {sample.path.name}: {extent} were looked at. Every line is a proposal;"
    yield f"# read it through, then try `cdp feeds check {guess.feed}`. Examples show shapes, not values."
    yield f"feed: {guess.feed}"
    yield f"source: {guess.source}   # the system that delivers; it is part of every key"
    yield f"description: {scalar(_description(sample, proposal))}"
    yield f"mode: {proposal.mode}   # {_MODES[proposal.mode]}"
    yield "required: false   # true: a night without this file stops"
    yield f"files: {{path: {scalar(pattern)}}}   # below the inbox; {{date}} is the business date"
    yield f"format: {_format(sample)}"
    readers = readers_of(sample, proposal)
    listed_shapes = [
        shape for shape in shapes if shape.name in readers or (not sample.header and sample.type == "csv")
    ]
    yield "columns:" if listed_shapes else f"columns: [{scalar(shapes[0].name)}]"
    width = max((len(scalar(shape.name)) for shape in listed_shapes), default=0)
    for shape in listed_shapes:
        level = level_of(shape, guess, proposal)
        where = f" → {', '.join(readers[shape.name])}" if shape.name in readers else ""
        yield f"  - {scalar(shape.name):{width}}   # {level}, {_remark(shape, guess)}{where}"
    yield from _unmapped([s for s in shapes if s.name not in readers], guess, proposal)
    yield "targets:" if proposal.targets else "targets: []   # landing only: no trusted table fits clearly"
    for table, score, fits in proposal.runners_up:
        yield f"  # also near: {table} ({score}): {'; '.join(fits)}"
    for target in proposal.targets:
        yield from _target(target)
    if proposal.attributes is not None:
        yield from _attributes(proposal.attributes, guess)


def _attributes(draft: AttributesDraft, guess: Guess) -> Iterator[str]:
    yield f"  - table: {ATTRIBUTES}   # columns that no table has, declared in {FOLDER}/{guess.feed}.yml"
    yield f"    entity: {draft.entity}"
    yield f"    key: {scalar(draft.key)}"
    yield "    attributes:"
    for one in draft.attributes:
        yield f"      {one.attribute.code}: {scalar(one.expression)}"


def _description(sample: FileSample, proposal: Proposal) -> str:
    tables = ", ".join(target.table.split(".")[1] for target in proposal.targets) or "landing only"
    return f"Records of {sample.path.name} ({tables}); say here what the file is and who answers for it."


def _format(sample: FileSample) -> str:
    if sample.type == "json_lines":
        return f"{{type: json_lines, encoding: {sample.encoding}}}"
    separator = "tab" if sample.separator == "\t" else json.dumps(sample.separator)
    quote = "null" if sample.quote is None else f"'{sample.quote}'"
    header = "true" if sample.header else "false"
    line_end = "required" if sample.has_line_end else "optional"
    note = (
        ""
        if sample.has_line_end
        else "   # the last record has no line end; a cut one cannot be told from it"
    )
    return (
        f"{{type: csv, separator: {separator}, quote: {quote}, encoding: {sample.encoding}, header: {header}, "
        f"line_end: {line_end}}}{note}"
    )


def readers_of(sample: FileSample, proposal: Proposal) -> dict[str, list[str]]:
    """Give delivered column → the trusted columns that read it."""
    from lakehouse.expressions.expression import parse_expression

    readers: dict[str, list[str]] = {}
    for target in proposal.targets:
        table = target.table.split(".")[1]
        for name, text in _expressions(target):
            for column in () if text.startswith("TODO") else parse_expression(text).columns:
                into = readers.setdefault(column, [])
                if f"{table}.{name}" not in into:
                    into.append(f"{table}.{name}")
        for text in [*(m.expression for m in target.columns if m.waits), *target.undecided]:
            for column in re.findall(r"case `?([^`]+?)`? when …", text):
                readers.setdefault(column, []).append(f"{table}, to be decided")
    for one in proposal.attributes.attributes if proposal.attributes else ():
        readers.setdefault(one.source_name, []).append(f"attributes.{one.attribute.code}")
    return {name: into for name, into in readers.items() if name in sample.columns}


def _expressions(target: TargetProposal) -> Iterator[tuple[str, str]]:
    for mapping in target.columns:
        yield mapping.column, mapping.expression
    for entry in target.each:
        kind = entry["namespace"].strip("'")
        yield kind, entry["value"]


def _remark(shape: ColumnShape, guess: Guess) -> str:
    """Give what is known of a column in a few words."""
    if not shape.value_count:
        return "always empty"
    parts = [shape.type + (f" {shape.notation}" if shape.notation else "")]
    if shape.name in guess.meanings:
        parts.insert(0, guess.meanings[shape.name].text)
    if shape.is_unique:
        parts.append("unique")
    elif shape.codes:
        parts.append(f"{shape.distinct} codes" if shape.distinct > 1 else "always the same")
    else:
        parts.append(f"{shape.distinct} differ")
    if shape.value_count < shape.records:
        parts.append(f"{shape.value_count} of {shape.records} filled")
    if shape.identifier or shape.hash_method:
        parts.append(f"looks like {shape.identifier or shape.hash_method}")
    return ", ".join([*parts, f"like {shape.example}"])


def _unmapped(shapes: Sequence[ColumnShape], guess: Guess, proposal: Proposal) -> Iterator[str]:
    if not shapes:
        return
    shapes_with_values = [shape for shape in shapes if shape.value_count]
    yield f"# Not mapped: {len(shapes)} columns. Landing keeps them all the same. To use one, add it to `columns`."
    for shape in shapes_with_values:
        level = level_of(shape, guess, proposal)
        warning = (
            "; a credential: have the source leave it out, landing keeps what is delivered"
            if level == "C3"
            else ""
        )
        yield f"#   {shape.name}: {level}, {_remark(shape, guess)}{warning}"
    empty = [shape.name for shape in shapes if not shape.value_count]
    if empty:
        yield f"#   always empty: {', '.join(empty)}"


def _target(target: TargetProposal) -> Iterator[str]:
    yield f"  - table: {target.table}   # {target.reason}"
    if target.where:
        yield f"    where: {scalar(target.where)}"
    if target.same_key:
        yield f"    same_key: {target.same_key}" + (f"   # {target.note}" if target.note else "")
    if target.each:
        yield "    each:"
        for entry in target.each:
            yield f"      - {{{', '.join(f'{name}: {_inline(text)}' for name, text in entry.items())}}}"
        return
    yield "    columns:"
    for mapping in target.columns:
        yield from _column(mapping)
    for text in target.undecided:
        yield f"      # to be decided: {text}"


def _inline(text: str) -> str:
    return text if text in ("true", "false") else scalar(text)


def _column(mapping: Mapped) -> Iterator[str]:
    if mapping.note:
        yield f"      # {mapping.column}: {mapping.note}"
    yield f"      {mapping.column}: {scalar(mapping.expression)}"
