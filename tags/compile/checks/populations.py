"""What can be wrong with the population of a tag: the condition over other tags that says whose answers are counted."""

from __future__ import annotations

from sqlglot import exp

from lakehouse.expressions.expression import syntax_tree
from lakehouse.expressions.tokens import ExpressionInvalid, short_text
from lakehouse.settings.yaml_files import did_you_mean
from tags.compile.checks.entries import comparisons
from tags.compile.checks.value_types import require_condition
from tags.compile.entry_texts import names_in
from tags.compile.plan import ScanPlan
from vocabulary.levels import LEVELS
from vocabulary.registry import COMPUTED_STATUSES, Entry, Registry

_KEY = "population"


def check_populations(registry: Registry, plan: ScanPlan) -> None:
    """Raise ``SettingsInvalid`` for the first population that is no condition over computed tags of the same entity."""
    for entry in plan.entries:
        if entry.population is not None:
            _check_population(registry, entry, entry.population)


def _check_population(registry: Registry, entry: Entry, text: str) -> None:
    try:
        tree = syntax_tree(text)
    except ExpressionInvalid as wrong:
        raise registry.fault(entry.code, f"'{short_text(text)}' {wrong}", _KEY) from None
    _check_params(registry, entry, tree)
    if tree.find(exp.Anonymous) is not None:
        raise registry.fault(entry.code, "a population is a condition over tags, without bucket()", _KEY)
    names = [name for name in dict.fromkeys(names_in(tree)) if name not in entry.about.columns]
    if not names and not names_in(tree):
        raise registry.fault(
            entry.code,
            f"'{short_text(text)}' reads no tag, so it is true of all or of none; write a condition over tags, or take it out",
            _KEY,
        )
    for name in names:
        _check_tag(registry, entry, name)
    for name, value in comparisons(tree):
        domain = registry[name].value.domain if name in registry.entries else None
        if domain and value not in domain:
            raise registry.fault(
                entry.code, f"'{name}' never is '{value}'{did_you_mean(value, domain)}", _KEY
            )
    require_condition(registry, entry, tree, text, (_KEY,))


def _check_params(registry: Registry, entry: Entry, tree: exp.Expression) -> None:
    """Refuse a parameter that is not there, and one that is a list: a population knows no cut points of the night."""
    values = {param.name: param.value for param in entry.params} | {"business_date": None}
    for placeholder in tree.find_all(exp.Placeholder):
        if placeholder.name not in values:
            hint = did_you_mean(placeholder.name, sorted(values))
            raise registry.fault(entry.code, f"unknown parameter ':{placeholder.name}'{hint}", _KEY)
        if isinstance(values[placeholder.name], list):
            raise registry.fault(
                entry.code, f"':{placeholder.name}' is a list; a population compares with one value", _KEY
            )


def _check_tag(registry: Registry, entry: Entry, name: str) -> None:
    if name not in registry.entries:
        hint = did_you_mean(name, list(registry.entries))
        raise registry.fault(entry.code, f"unknown tag '{name}'{hint}", _KEY)
    other = registry[name]
    if other.about != entry.about:
        raise registry.fault(
            entry.code,
            f"'{name}' is a tag of the {other.entity}, and this one is of the {entry.entity}",
            _KEY,
        )
    if other.status not in COMPUTED_STATUSES:
        raise registry.fault(entry.code, f"reads the tag '{name}', which is {other.status}", _KEY)
    absence = registry.absences.get(name)
    if absence is not None and entry.pack is None and entry.needs is None:
        raise registry.fault(
            entry.code, f"reads the tag '{name}', which is off: {absence.sentence}; {absence.remedy}", _KEY
        )
    if name == entry.code or entry.code in _tags_below(registry, name):
        raise registry.fault(
            entry.code,
            f"'{name}' is {'this tag' if name == entry.code else 'computed from this tag'}, so whoever loses the answer "
            "leaves the population and nobody misses it; say by another tag whom it applies to",
            _KEY,
        )
    wider = [purpose for purpose in entry.purposes if purpose not in other.purposes]
    if entry.declassified is None and (LEVELS.index(other.level) > LEVELS.index(entry.level) or wider):
        raise registry.fault(
            entry.code,
            f"is counted over people by '{name}', whose level is {other.level} and whose purposes are {', '.join(other.purposes)}; "
            "give this tag no lower level and no other purposes",
            _KEY,
        )


def _tags_below(registry: Registry, code: str) -> set[str]:
    """Give the tags that a tag is computed from, directly or not."""
    codes: set[str] = set()
    waiting = [code]
    while waiting:
        inputs = registry[waiting.pop()].tag_inputs
        waiting += [other for other in inputs if other not in codes and other in registry.entries]
        codes.update(inputs)
    return codes
