"""One tag as people look it up: what it means, how it is computed, who reads it, how well it is filled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.texts import DEFAULT, reason_text, text

if TYPE_CHECKING:
    from datetime import date

    from jobs.report.catalogue.tag_picture import TagPicture
    from lakehouse.settings.settings import Settings
    from tags.catalogue import TagUsers
    from vocabulary.registry import Entry, Param, Registry

NIGHTS_SHOWN = 7


@dataclass(frozen=True)
class TagPage:
    """A tag: plain values for programs, and the facts and lists that people read, in their language."""

    summary: dict[str, Any]
    facts: tuple[tuple[str, str], ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    ends: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """Give the page as lines, labels aligned."""
        from rich.cells import set_cell_size

        def labelled(facts: tuple[tuple[str, str], ...]) -> list[str]:
            return [f"{set_cell_size(label, 12)}{fact}" for label, fact in facts]

        blocks = [line for label, entries in self.lists for line in (label, *(f"    {e}" for e in entries))]
        return [*labelled(self.facts), *blocks, *labelled(self.ends)]


def tag_page(workspace: Path | None, name: str) -> TagPage:
    """Give the page of a tag by its code or a name of it; without a workspace it is that of the shipped registry."""
    from lakehouse.settings.settings import load_settings
    from tags.catalogue import lineage, owners, readers
    from tags.compile.compilation import compile_tags
    from tags.compile.sql_text import readable_sql
    from tags.costs import newest_costs

    language = DEFAULT if workspace is None else load_settings(workspace).language
    compilation = compile_tags(workspace, is_checked=False)
    registry = compilation.registry
    entry = registry.entry_of(name)
    code = entry.code
    value = entry.value
    values = ", ".join(value.domain or []) or _range(value.min, value.max)
    business, tech = owners(entry)
    place = registry.places[code]
    columns = lineage(compilation)[code]
    read_by = tuple(readers(registry).get(code) or ())
    settings = None if workspace is None else load_settings(workspace)
    picture = None if settings is None else _picture(settings, entry)
    sql = None
    if entry in compilation.entries:
        sql = readable_sql(compilation.writer_of(entry).tag_sql(entry), _newest_day(settings))
    coverage = _coverage(workspace, code)
    cost = newest_costs(load_settings(workspace)).get(code) if workspace is not None else None
    users = _users(workspace, code)
    names = (entry.name.en, entry.name.zh) if language == "en" else (entry.name.zh, entry.name.en)
    declassified = f" ({text('tag.declassified', why=entry.declassified.why)})" if entry.declassified else ""
    facts = [
        ("name", " · ".join(names)),
        ("meaning", " ".join(getattr(entry.definition, language).split())),
        (
            "family",
            f"{entry.family}, {entry.kind}, {registry.status_of(entry)}, {text('tag.version', version=entry.version)}",
        ),
        ("pack", _pack(registry, entry)),
        ("entity", entry.entity),
        ("values", " ".join(filter(None, [value.spark_type, value.unit and f"({value.unit})", values]))),
        ("nulls", _nulls(entry)),
        ("population", entry.population or ""),
        ("level", entry.level + declassified),
        ("purposes", ", ".join(entry.purposes)),
        ("owners", text("tag.owners_are", business=business, tech=tech)),
        ("written_in", f"{place.file.name}:{place.line('code')}"),
    ]
    facts += [
        ("parameter", text("tag.since", name=p.name, value=_value(p), since=p.since)) for p in entry.params
    ]
    if entry.tie_rule:
        facts.append(("ties", entry.tie_rule))
    lists = [("sql", tuple(sql.splitlines()))] if sql else []
    lists += [("comes_from", columns.values), ("decided_by", columns.deciding)]
    if picture is not None:
        lists.append(("distribution", tuple(f"{value}: {people:,}" for value, people in picture.bars)))
        nights = picture.trend[-NIGHTS_SHOWN:]
        lists.append(("trend", tuple(f"{day}: {100 * share:.1f} %" for day, share in nights)))
    quantiles = picture.quantiles if picture is not None else None
    ends = [
        ("quantiles", ", ".join(f"{share}: {value:,.2f}" for share, value in (quantiles or {}).items())),
        ("reads", ", ".join(entry.tag_inputs)),
        ("read_by", ", ".join(read_by)),
        ("segments", ", ".join(users.segments)),
        ("coverage", coverage),
        (
            "cost",
            ""
            if cost is None
            else text("tag.cost_is", seconds=f"{cost.seconds:.3f}", bytes=f"{cost.bytes:,}"),
        ),
    ]
    summary = {
        "code": code, "name_en": entry.name.en, "name_zh": entry.name.zh,
        "definition_en": " ".join(entry.definition.en.split()), "definition_zh": " ".join(entry.definition.zh.split()),
        "family": entry.family, "entity": entry.entity, "pack": entry.pack, "kind": entry.kind, "status": registry.status_of(entry),
        "off_because": absence.sentence if (absence := registry.absences.get(code)) else None, "version": entry.version,
        "type": value.spark_type, "unit": value.unit, "domain": value.domain, "min": value.min, "max": value.max,
        "null_rule": entry.null_rule, "null_when": [{"reason": n.reason, "when": n.when} for n in entry.null_when],
        "population": entry.population,
        "level": entry.level, "purposes": list(entry.purposes), "owner_business": business, "owner_tech": tech,
        "parameters": {p.name: p.value for p in entry.params}, "tie_rule": entry.tie_rule, "refresh": entry.refresh, "sql": sql,
        "comes_from": list(columns.values), "decided_by": list(columns.deciding), "reads_tags": list(entry.tag_inputs), "read_by": list(read_by),
        "segments": list(users.segments), "published_to": list(users.destinations), "coverage": coverage,
        "distribution": None if picture is None else [{"value": value, "people": people} for value, people in picture.bars],
        "quantiles": None if picture is None else picture.quantiles,
        "trend": None if picture is None else [{"as_of": str(day), "coverage_ratio": share} for day, share in picture.trend],
        "cost": None if cost is None else {"seconds": cost.seconds, "bytes": cost.bytes},
    }  # fmt: skip
    return TagPage(
        summary,
        tuple((text(f"tag.{name}"), fact) for name, fact in facts if fact),
        tuple((text(f"tag.{name}"), entries) for name, entries in lists if entries or name == "comes_from"),
        tuple((text(f"tag.{name}"), fact) for name, fact in ends if fact),
    )


def _picture(settings: Settings, entry: Entry) -> TagPicture | None:
    """Give how the values of the newest publication are distributed and filled; None where there are none, or nobody may see them."""
    from jobs.report.catalogue.tag_picture import read_picture
    from lakehouse.errors import UsageError
    from lakehouse.query.published import newest_publication

    publication = newest_publication(settings)
    if publication is None or entry.about.current not in publication.tables:
        return None
    try:
        return read_picture(settings, entry)
    except UsageError:
        return None


def _newest_day(settings: Settings | None) -> date | None:
    from lakehouse.query.published import newest_publication

    publication = None if settings is None else newest_publication(settings)
    return None if publication is None else publication.business_date


def _users(workspace: Path | None, code: str) -> TagUsers:
    """Give the segments that use a tag and the destinations that publish it; those that cannot be read are not among them."""
    from jobs.report.tag_usage import catalogue_users
    from tags.catalogue import TagUsers

    return TagUsers() if workspace is None else catalogue_users(workspace).get(code, TagUsers())


def _pack(registry: Registry, entry: Entry) -> str:
    absence = registry.absences.get(entry.code)
    reason = text("tag.off", reason=absence.sentence, remedy=absence.remedy) if absence else ""
    return ", ".join(filter(None, [entry.pack, reason]))


def _value(param: Param) -> str:
    """Give the value of a parameter; of cut points what counts until a day is published, and how they are computed."""
    values = param.value if isinstance(param.value, list) else [param.value]
    text_of_value = ", ".join(map(str, values))
    return f"{text_of_value} ({param.cut_points.summary})" if param.cut_points else text_of_value


def _nulls(entry: Entry) -> str:
    rule, _, days = entry.null_rule.partition("(")
    meaning = text(f"null_rule.{rule}", days=days.rstrip(")"))
    exceptions = [
        f"{n.reason} ({reason_text(n.reason)}) {text('tag.when')} {n.when}" for n in entry.null_when
    ]
    return "; ".join([f"{entry.null_rule} ({meaning})", *exceptions])


def _range(low: object, high: object) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else low}…{'' if high is None else high}"


def _coverage(workspace: Path | None, code: str) -> str:
    """Give the coverage of the last published night, or say why there is none."""
    from lakehouse.query.published import newest_publication, open_publication
    from lakehouse.settings.settings import load_settings

    if workspace is None:
        return text("coverage.no_workspace")
    settings = load_settings(workspace)
    publication = newest_publication(settings)
    if publication is None or "quality.tag_quality" not in publication.tables:
        return text("coverage.unpublished")
    row = (
        open_publication(settings)
        .sql(
            "SELECT filled_count, eligible_count, coverage_ratio, as_of FROM quality.tag_quality "
            "WHERE tag = ? AND as_of = ?",
            [code, publication.business_date],
        )
        .fetchone()
    )
    if row is None:
        return text("coverage.not_computed", day=publication.business_date)
    share = text("coverage.none_eligible") if row[2] is None else f"{100 * row[2]:.1f} %"
    return text("coverage.share", share=share, filled=row[0], eligible=row[1], day=row[3])
