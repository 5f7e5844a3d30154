"""A feed drafted from a delivered file: what was found, and the YAML a person reads through and corrects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from ingestion.feeds.feeds import feed_of
from ingestion.onboarding.attribute_drafts import declarations, propose_attributes
from ingestion.onboarding.data_dictionary import ColumnMeaning
from ingestion.onboarding.draft_yaml import readers_of, render
from ingestion.onboarding.proposal import Guess, Proposal, propose
from ingestion.onboarding.sampling import FileSample, read_sample
from ingestion.onboarding.shapes import ColumnShape, shape_of
from ingestion.onboarding.suggestions import fillable_tables
from lakehouse.contracts.reading import contract
from lakehouse.errors import UsageError
from lakehouse.settings.yaml_files import did_you_mean, parse_yaml
from vocabulary.attributes import Attributes

_DATE_IN_NAME = re.compile(r"(?<!\d)(20\d{2}|19\d{2})([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True)
class Draft:
    """A drafted feed: its YAML text, and what a person is told beside it."""

    feed: str
    text: str
    sample: FileSample
    shapes: tuple[ColumnShape, ...]
    proposal: Proposal
    guess: Guess
    pattern: str
    delivered_to: str
    declarations: str | None = None
    """The text of the file that declares the attributes that the feed fills; None where it fills none."""

    @property
    def newest_day(self) -> date | None:
        """The newest day the file speaks of: the night to try it with."""
        main = self.proposal.targets[0] if self.proposal.targets else None
        event_date = contract(main.table).event_date if main else None
        texts = [m.expression for m in main.columns if m.column == event_date] if main else []
        days = [s.newest_day for s in self.shapes if s.newest_day and any(s.name in text for text in texts)]
        newest = max(days, default=None)
        # East of Greenwich an instant of UTC may belong to the day after.
        return newest + timedelta(days=1) if newest and self.guess.utc else newest


def draft_feed(
    path: Path,
    *,
    feed: str | None = None,
    source: str | None = None,
    currency: str = "CNY",
    inbox: Path | None = None,
    tables: tuple[str, ...] = (),
    meanings: Mapping[str, ColumnMeaning] | None = None,
    utc: bool = False,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    sources_with_persons: frozenset[str] = frozenset(),
    attribute_codes: frozenset[str] | None = None,
) -> Draft:
    """Propose a feed for ``path``; the text is checked as ``cdp feeds check`` would, but for what waits for a person.

    ``meanings`` says what delivered columns are (a data dictionary), ``tables`` the targets wanted,
    ``sources_with_persons`` sources whose people another feed delivers. With ``attribute_codes``, those that are declared already,
    columns that no table has become attributes. An unusable file raises ``InputInvalid``.
    """
    for table in tables:
        if table not in fillable_tables():
            raise UsageError(f"unknown table '{table}'{did_you_mean(table, list(fillable_tables()))}")
    sample = read_sample(path, separator=separator, encoding=encoding, header=header)
    unknown = next((name for name in meanings or {} if name not in sample.columns), None)
    if unknown is not None:
        hint = did_you_mean(unknown, list(sample.names))
        raise UsageError(f"the dictionary names '{unknown}', which the file does not have{hint}")
    shapes = tuple(shape_of(name, values) for name, values in sample.columns.items())
    name = feed or _name_of(path)
    guess = Guess(
        feed=name or "",
        source=source or name or "",
        currency=currency,
        utc=utc,
        meanings=dict(meanings or {}),
        tables=tables,
        fills_persons=(source or name) not in sources_with_persons,
        is_dated=_DATE_IN_NAME.search(path.name) is not None,
    )
    if name is None:
        raise UsageError(
            f"no feed can be named after '{path.name}' (small letters and digits); name it with --feed"
        )
    for what, name in (("--feed", guess.feed), ("--source", guess.source)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UsageError(f"{what} '{name}' is no name; use small letters, digits and _, a letter first")
    proposal = propose(shapes, guess)
    if attribute_codes is not None:
        names = readers_of(sample, proposal)
        proposal = replace(
            proposal, attributes=propose_attributes(shapes, names, proposal, guess, attribute_codes)
        )
    pattern, place = _pattern(path, guess.feed, inbox)
    text = render(sample, shapes, proposal, guess, pattern)
    # What waits for a person is filled with a word the contract allows, only to check all the rest.
    example = render(sample, shapes, _with_examples(proposal), guess, pattern)
    attributes = proposal.attributes
    by_code = {one.attribute.code: one.attribute for one in attributes.attributes} if attributes else {}
    feed_of(parse_yaml(example, file=f"{guess.feed}.yml"), Path(f"{guess.feed}.yml"), Attributes(by_code))
    declaration_text = declarations(attributes, path.name) if attributes else None
    return Draft(guess.feed, text, sample, shapes, proposal, guess, pattern, place, declaration_text)


def _name_of(path: Path) -> str | None:
    """Give a feed name after the file: without dates, endings and signs."""
    bare = _DATE_IN_NAME.sub("", path.name.split(".")[0])
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z])([A-Z])", r"\1_\2", bare).lower()).strip("_")
    return name if re.match(r"[a-z]", name) and bare.isascii() else None


def _pattern(path: Path, feed: str, inbox: Path | None) -> tuple[str, str]:
    """Give ``files.path``, and the folder (with ``<date>``) into which the file is to be delivered, if it is elsewhere."""
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    stem = path.name.removesuffix(suffix)
    if inbox is not None and path.resolve().is_relative_to(inbox.resolve()):
        inside = path.resolve().relative_to(inbox.resolve()).as_posix()
        dated = _DATE_IN_NAME.sub(_placeholder, inside)
        if "{" in dated:
            return dated, ""
    name = _DATE_IN_NAME.sub(_placeholder, stem)
    if "{" not in name:
        name = f"{stem}*"
    return f"{feed}/{{date}}/{name}{suffix}", f"{feed}/<date>"


def _placeholder(match: re.Match[str]) -> str:
    if match[2] == "-":
        return "{date}"
    return "{yyyymmdd}" if not match[2] else f"????{match[2]}??{match[2]}??"


def _with_examples(proposal: Proposal) -> Proposal:
    targets = []
    for target in proposal.targets:
        allowed_by = contract(target.table).columns
        columns = tuple(
            replace(m, expression=f"'{(allowed_by[m.column].allowed or ('x',))[0]}'") if m.waits else m
            for m in target.columns
        )
        targets.append(replace(target, columns=columns))
    return replace(proposal, targets=tuple(targets))
