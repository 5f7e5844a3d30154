"""A plan in words: lines for a terminal, and a Markdown comment for a review."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from identity.measuring.difference import Difference
    from jobs.planning.audience_moves import AudienceMove
    from jobs.planning.night_times import NightTimes
    from jobs.planning.plan import ChangePlan
    from jobs.planning.tag_moves import TagMove

# Values, ways and files of one list that people are shown; the JSON has all.
MOST = 5
_MOST_FILES = 20
_NOBODY = "–"


def describe(plan: ChangePlan) -> list[str]:
    """Give the lines a terminal shows."""
    lines = [f"plan of {plan.workspace} on what is published for {plan.business_date}"]
    lines += _lines_of_files(plan)
    lines.append(
        f"  computed: {', '.join(plan.computed) or 'nothing, no file that changed is read by a night'}"
    )
    lines += [f"  note: {note}" for note in plan.notes]
    lines += [f"  missing: {gap}" for gap in plan.gaps]
    lines += [
        f"  feed {one.feed}: {one.delivered:,} records, {one.accepted:,} accepted, {one.refused:,} refused, {one.duplicates:,} doubles"
        for one in plan.sources
    ]
    if plan.people is not None:
        lines += people_lines(plan.people, plan.truth)
    if plan.tags is not None:
        lines += tag_lines(plan.tags)
    if plan.audiences is not None:
        lines += audience_lines(plan.audiences)
    if plan.publications is not None:
        lines += _lines_of_publications(plan)
    if plan.refusal:
        lines.append(f"  the night would be refused: {plan.refusal}")
    lines.append(f"  {_night(plan.night)}")
    return lines


def describe_rules(plan: ChangePlan) -> list[str]:
    """Give the lines of a trial of other rules of identity."""
    lines = [
        f"the night after {plan.business_date} under rules {plan.rules[1]}, published under {plan.rules[0]}"
    ]
    if plan.people is not None:
        lines += people_lines(plan.people, plan.truth)
    if plan.tags is not None:
        lines += tag_lines(plan.tags)
    if plan.audiences is not None:
        lines += audience_lines(plan.audiences)
    if plan.refusal:
        lines.append(f"  the night would be refused: {plan.refusal}")
    return lines


def _lines_of_files(plan: ChangePlan) -> list[str]:
    if not plan.files:
        return ["  no settings file differs"]
    lines = [f"  {change.kind}: {_visible(change.path)}" for change in plan.files[:_MOST_FILES]]
    more = len(plan.files) - _MOST_FILES
    return [*lines, f"  and {more} more files"] if more > 0 else lines


def people_lines(people: Difference, truth: dict[str, tuple[float, float]]) -> list[str]:
    """Give the lines about who is whom."""
    lines = [
        f"  people          {people.people_before:>9,} → {people.people_after:,}",
        f"  merges          {people.merges:>9,}",
        f"  splits          {people.splits:>9,}",
        f"  records moved   {people.moved_records:>9,} of {people.records:,}",
    ]
    lines += [f"  {name:<15} {was:>9} → {becomes}" for name, (was, becomes) in truth.items()]
    for word, examples in (("joined", people.merge_examples), ("parted", people.split_examples)):
        for example in examples:
            parts = ", ".join(f"{part['one_id']} ({part['records']})" for part in example["parts"])
            between = f"; for example {' and '.join(example['between'])}" if "between" in example else ""
            lines.append(f"  {word}: {parts}{between}")
    return lines


def tag_lines(moves: Sequence[TagMove]) -> list[str]:
    """Give the lines about tags; those of everybody, which all change alike, share one."""
    if not moves:
        return ["  tags: nobody's differ"]
    alike: dict[tuple[int, int, int], list[str]] = {}
    own = []
    for move in moves:
        if move.ways or move.quarters or move.people or list(move.values) != [""]:
            own.append(move)
        else:
            alike.setdefault((move.before, move.after, move.moved), []).append(move.tag)
    lines = ["  tags                                         people         of another value"]
    for (before, after, moved_people), names in sorted(alike.items(), key=lambda item: item[1]):
        title = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        lines.append(_tag_line(title, before, after, moved_people))
    for move in own:
        lines.append(_tag_line(move.tag, move.before, move.after, move.moved))
        by_size = sorted(move.values.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
        lines += [
            f"      {value:<38} {was:>9,} → {becomes:,}" for value, (was, becomes) in by_size[:MOST] if value
        ]
        lines += [
            f"      {_way(was)} → {_way(becomes)}: {people:,}" for was, becomes, people in move.ways[:MOST]
        ]
        if move.quarters and move.quarters[0] != move.quarters[1]:
            lines.append(f"      quartiles {_quarters(move.quarters[0])} → {_quarters(move.quarters[1])}")
        lines += [f"      for example {_person(person)}" for person in move.people]
    return lines


def _tag_line(title: str, before: int, after: int, moved_people: int) -> str:
    return f"    {title:<40} {before:>9,} → {after:<9,} {moved_people:,}"


def _way(value: str | None) -> str:
    return _NOBODY if value is None else value


def _quarters(values: Sequence[str]) -> str:
    return " ".join(values) or _NOBODY


def _person(person: dict[str, Any]) -> str:
    name = person.get("one_id") or person["key"]
    if "before" not in person:
        return str(name)
    return f"{name}: {_way(person['before'])} → {_way(person['after'])}"


def audience_lines(moves: Sequence[AudienceMove]) -> list[str]:
    """Give the lines about audiences."""
    lines = ["  audiences"]
    for move in moves:
        lines.append(
            f"    {move.audience:<40} {move.before:>9,} → {move.after:,}  ({move.enter:,} enter, {move.leave:,} leave)"
        )
        if move.versions[0] != move.versions[1]:
            lines.append(f"      version {_way(move.versions[0])} → {_way(move.versions[1])}")
        if move.obstacle:
            lines.append(f"      not published: {move.obstacle}")
        lines += [f"      {_OPS[row['op']]} by {row['cause']}: {row['people']:,}" for row in move.causes]
        lines += [
            f"      for example {row['one_id']} {_OPS[row['op']]}s by {row['cause']}" for row in move.people
        ]
    return lines


_OPS = {"ENTER": "enter", "EXIT": "leave"}


def _lines_of_publications(plan: ChangePlan) -> list[str]:
    rows = [one for one in plan.publications or () if one.enter or one.leave or one.update]
    if not rows:
        return ["  publications: no destination receives anything else"]
    lines = ["  publications"]
    for one in rows:
        lines.append(
            f"    {f'{one.destination}: {one.audience}':<40} {one.before:>9,} → {one.after:,}  "
            f"({one.enter:,} ENTER, {one.leave:,} EXIT, {one.update:,} UPDATE)"
        )
    return lines


def _night(times: NightTimes) -> str:
    if times.minutes is None:
        return "a night takes an unknown time: the ledger has no whole one"
    steps = ", ".join(f"{name} {seconds} s" for name, seconds in times.median.items())
    nights = "the last night" if times.nights == 1 else f"the last {times.nights} nights"
    return f"the next night takes about {times.minutes} minutes ({steps}; medians of {nights})"


# ------------------------------------------------------------------------------------- Markdown


def markdown(plan: ChangePlan) -> list[str]:
    """Give the lines of a comment for a review; whatever comes from files or data is code there, and no markup."""
    lines = [f"### Plan of {_code(plan.workspace)} on what is published for {plan.business_date}", ""]
    moving = "Somebody or something moves." if plan.is_moving else "Nobody and nothing moves."
    lines += [f"**The night would be refused:** {_code(plan.refusal)}" if plan.refusal else moving, ""]
    lines += [f"- {change.kind}: {_code(change.path)}" for change in plan.files[:_MOST_FILES]]
    lines += [f"- and {len(plan.files) - _MOST_FILES} more files"] if len(plan.files) > _MOST_FILES else []
    lines += [f"- note: {_code(note)}" for note in plan.notes] + [
        f"- missing: {_code(gap)}" for gap in plan.gaps
    ]
    lines += [f"- computed: {', '.join(plan.computed) or 'nothing'}", f"- {_night(plan.night)}"]
    lines += _table(
        "New sources", ("feed", "records", "accepted", "refused", "doubles"),
        [(_code(o.feed), o.delivered, o.accepted, o.refused, o.duplicates) for o in plan.sources],
    )  # fmt: skip
    if plan.people is not None:
        people = plan.people
        rows: list[tuple[Any, ...]] = [
            ("people", people.people_before, people.people_after),
            ("merges", "", people.merges),
            ("splits", "", people.splits),
            (f"records moved of {people.records:,}", "", people.moved_records),
            *((name, *values) for name, values in plan.truth.items()),
        ]
        lines += _table("People", ("", "before", "after"), rows)
    lines += _table(
        "Tags", ("tag", "before", "after", "of another value", "ways"),
        [(_code(t.tag), t.before, t.after, t.moved, _ways(t)) for t in plan.tags or ()],
    )  # fmt: skip
    lines += _table(
        "Audiences", ("audience", "version", "before", "after", "enter", "leave", "by"),
        [
            (_code(a.audience), _versions(a), a.before, a.after, a.enter, a.leave, _causes(a))
            for a in plan.audiences or ()
            if a.enter or a.leave or a.obstacle or a.versions[0] != a.versions[1]
        ],
    )  # fmt: skip
    lines += _table(
        "Publications", ("destination", "audience", "before", "after", "ENTER", "EXIT", "UPDATE"),
        [
            (_code(p.destination), _code(p.audience), p.before, p.after, p.enter, p.leave, p.update)
            for p in plan.publications or ()
            if p.enter or p.leave or p.update
        ],
    )  # fmt: skip
    lines += _examples(plan)
    return lines


def _examples(plan: ChangePlan) -> list[str]:
    lines = [
        f"- {_code(move.tag)}: {_code(_person(person))}" for move in plan.tags or () for person in move.people
    ]
    lines += [
        f"- {_code(move.audience)}: {_code(str(row['one_id']))} {_OPS[row['op']]}s by {_code(row['cause'])}"
        for move in plan.audiences or ()
        for row in move.people
    ]
    return ["", "#### Examples", "", *lines] if lines else []


def _ways(move: TagMove) -> str:
    ways = ", ".join(
        f"{_code(_way(was))} → {_code(_way(becomes))} {people:,}" for was, becomes, people in move.ways[:MOST]
    )
    if not ways and move.quarters and move.quarters[0] != move.quarters[1]:
        return f"quartiles {_code(_quarters(move.quarters[0]))} → {_code(_quarters(move.quarters[1]))}"
    return ways


def _versions(move: AudienceMove) -> str:
    was, becomes = move.versions
    return _code(_way(was)) if was == becomes else f"{_code(_way(was))} → {_code(_way(becomes))}"


def _causes(move: AudienceMove) -> str:
    causes = [f"{_OPS[row['op']]} by {_code(row['cause'])} {row['people']:,}" for row in move.causes[:MOST]]
    return ", ".join([*causes, *([f"not published: {_code(move.obstacle)}"] if move.obstacle else [])])


def _table(title: str, heads: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    if not cells:
        return []
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return ["", f"#### {title}", "", *lines, *(f"| {' | '.join(row)} |" for row in cells)]


def _code(text: str) -> str:
    """Give a text as code: no sign of it is markup, names anybody or leaves the cell of a table."""
    plain = _visible(text).replace("`", "'").replace("|", "¦").strip()
    return f"`{plain}`" if plain else ""


def _visible(text: str) -> str:
    return re.sub(
        r"\s+",
        " ",
        "".join(
            sign if sign.isprintable() or sign.isspace() else sign.encode("unicode_escape").decode("ascii")
            for sign in text
        ),
    )
