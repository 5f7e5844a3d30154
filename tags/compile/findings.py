"""What is doubtful about a registry entry and stops nothing: said by ``cdp tags compile --check`` with file and line.

What is wrong for sure is refused by ``tags.compile.checks``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.expressions.expression import parse_expression, syntax_tree
from lakehouse.settings.yaml_files import did_you_mean
from tags.compile.checks.entries import comparisons
from tags.compile.checks.origins import columns_held
from tags.compile.checks.windows import missing_window
from tags.compile.compilation import Compilation
from tags.compile.entry_texts import Keys, populations_of, texts_of
from tags.compile.lineage import Lineage
from tags.compile.relations import TagSource
from vocabulary.registry import Entry, Registry, plain_text

EVENTS = "trusted.events"
EVENT_NAME = f"{EVENTS}.event_name"


@dataclass(frozen=True)
class Finding:
    """One doubt: the tag, its place, and a sentence that says what to write."""

    code: str
    file: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        """Give it as an error is given: file, line, sentence."""
        return f"{self.file}:{self.line}: {self.code} {self.message}"


def findings(compilation: Compilation, event_names: Collection[str] | None) -> list[Finding]:
    """Give what is doubtful about the computed tags, in registry order by entity.

    ``event_names`` are those of the published events; None where nothing was published, and then no name is doubted.
    """
    registry, plans = compilation.registry, compilation.plans
    relations = {entry.code: scan.relation for plan in plans for scan in plan.scans for entry in scan.entries}
    doubts: list[Finding] = []
    for entry in (entry for plan in plans for entry in plan.entries):
        relation = relations.get(entry.code)
        for keys, message in _doubts(entry, relation, compilation.lineage, event_names):
            place = registry.places[entry.code]
            doubts.append(Finding(entry.code, place.file, place.line(*keys), message))
    return [*doubts, *_name_twins(registry)]


def event_names_of(compilation: Compilation) -> list[str]:
    """Give the event names that the computed tags name, in alphabetical order."""
    return sorted(
        {
            value
            for plan in compilation.plans
            for scan in plan.scans
            for entry in scan.entries
            for _, value in _event_names(entry, scan.relation, compilation.lineage)
        }
    )


def _doubts(
    entry: Entry, relation: TagSource | None, lineage: Lineage, event_names: Collection[str] | None
) -> Iterator[tuple[Keys, str]]:
    yield from _idle_params(entry)
    if relation is None:
        return
    if doubt := missing_window(entry, relation, lineage):
        yield doubt
    if event_names is None:
        return
    for keys, value in _event_names(entry, relation, lineage):
        if value not in event_names:
            hint = did_you_mean(value, sorted(event_names))
            yield keys, f"names the event '{value}', which was never delivered{hint}"


def _idle_params(entry: Entry) -> Iterator[tuple[Keys, str]]:
    """Give the parameters that no expression of a tag names: a threshold that decides nothing."""
    texts = [text for _, text, _ in texts_of(entry)]
    texts += [spec.population for _, spec in populations_of(entry) if spec.population]
    texts += [entry.population] if entry.population is not None else []
    names = {name for text in texts for name in parse_expression(text).parameters}
    for at, param in enumerate(entry.params):
        if param.name not in names and param.name not in {one.name for one in entry.params[:at]}:
            yield (
                ("params", at),
                f"has the parameter '{param.name}', which nothing reads; write :{param.name} or take it out",
            )


def _event_names(entry: Entry, relation: TagSource, lineage: Lineage) -> Iterator[tuple[Keys, str]]:
    """Give the names that a tag compares with those of events, be it through a model."""
    for keys, text, over_rows in texts_of(entry):
        for column, value in comparisons(syntax_tree(text)) if over_rows else ():
            if EVENT_NAME in columns_held(relation, column, lineage):
                yield keys, value


def _name_twins(registry: Registry) -> Iterator[Finding]:
    """Give the tags that are called as another is: who asks by name is asked back which one."""
    codes: dict[str, str] = {}
    for entry in registry.entries.values():
        if entry.status == "offline":
            continue
        for language, name in (("zh", entry.name.zh), ("en", entry.name.en)):
            other = codes.setdefault(plain_text(name).strip(), entry.code)
            if other != entry.code:
                place = registry.places[entry.code]
                message = f"is called '{name}', as the tag '{other}' is; give one of them a name of its own"
                yield Finding(entry.code, place.file, place.line("name", language), message)
                break
