"""Who is this: a person's profiles, what links them, and what became of the number; masked, from published tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from identity.rules.normalise import NORMALISERS, keyed, shown_key
from identity.rules.rules import Rules, load_rules
from identity.rules.workspace_key import SECRET
from lakehouse.errors import PersonNotShown, UsageError
from lakehouse.settings.yaml_files import did_you_mean

if TYPE_CHECKING:
    from lakehouse.query.published import Published


@dataclass(frozen=True)
class Person:
    """What ``show`` tells: the number, its members, their links (values masked), and its history."""

    one_id: int
    asked_for: str
    facts: dict[str, Any]
    profiles: list[dict[str, Any]]
    links: list[dict[str, Any]]
    events: list[dict[str, Any]]
    redirected: list[int]
    earlier_members: list[dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        return dict(vars(self))


def find_one_id(published: Published, *, identifier: str | None = None, profile: str | None = None) -> int:
    """Give the OneID that carries ``identifier`` (``namespace=value``) or to which ``profile`` (``source/key``) belongs.

    Nobody, or several people who carry it, raise ``PersonNotShown``, a value that is none ``UsageError``; no message repeats the value.
    """
    if profile is not None:
        return _one_id_of(published, profile)[0]
    namespace, equals, value = (identifier or "").partition("=")
    if not equals:
        raise UsageError("write an identifier as namespace=value, for example phone=13812345678")
    dictionary_value = _dictionary_value(published, load_rules(published.settings), namespace, value)
    rows = _rows(
        published,
        """
        SELECT DISTINCT m.one_id, l.status FROM identity.nodes n
        JOIN identity.links l ON l.identifier_id = n.node_id AND l.valid_to IS NULL
        JOIN identity.memberships m ON m.profile_id = l.profile_id AND m.valid_to IS NULL
        WHERE n.namespace = ? AND n.value = ? ORDER BY m.one_id
        """,
        [namespace, dictionary_value],
    )
    one_ids = sorted({int(row["one_id"]) for row in rows})
    if not one_ids:
        raise PersonNotShown(f"nobody carries that {namespace}", identifier=namespace, refusal="nobody")
    if len(one_ids) > 1:
        examples = one_ids[:10]
        raise PersonNotShown(
            f"{len(one_ids)} people carry that {namespace}; show one of {', '.join(map(str, examples))}",
            identifier=namespace, refusal="several", one_ids=examples,
        )  # fmt: skip
    return one_ids[0]


def known_profile(published: Published, profile: str) -> tuple[str, str]:
    """Give (source, source_key) of a published profile written as ``source/key``; an unknown one raises ``PersonNotShown``."""
    return _one_id_of(published, profile)[1]


def _one_id_of(published: Published, profile: str) -> tuple[int, tuple[str, str]]:
    source, slash, key = profile.partition("/")
    if not slash:
        raise UsageError(f"write a profile as source/key, not '{profile}'")
    rows = _rows(
        published,
        "SELECT one_id FROM identity.memberships WHERE valid_to IS NULL AND source = ? AND source_key = ?",
        [source, key],
    )
    if not rows:
        sources = [
            r["source"]
            for r in _rows(published, "SELECT DISTINCT source FROM identity.memberships ORDER BY 1")
        ]
        hint = "" if source in sources else did_you_mean(source, sources)
        raise PersonNotShown(
            f"no published profile of source '{source}' has that key{hint}",
            identifier="profile",
            refusal="nobody",
        )
    return int(rows[0]["one_id"]), (source, key)


def _dictionary_value(published: Published, rules: Rules, namespace: str, value: str) -> str:
    rule = rules.rule(namespace)
    if rule is None:
        namespaces = [
            r["namespace"]
            for r in _rows(published, "SELECT DISTINCT namespace FROM identity.links ORDER BY 1")
        ]
        raise UsageError(
            f"unknown namespace '{namespace}'{did_you_mean(namespace, [*rules.namespaces, *namespaces])}"
        )
    normalised = NORMALISERS[rule.normaliser](pa.array([value]))
    if normalised.values[0].as_py() is None:
        raise UsageError(f"that is no {namespace} ({normalised.reasons[0].as_py()})")
    if not rule.sensitive:
        return str(normalised.values[0].as_py())
    return str(keyed(namespace, normalised.values, published.settings.secret(SECRET))[0].as_py())


def show_person(published: Published, one_id: int, *, is_revealed: bool = False) -> Person:
    """Give what is known about a OneID; a merged one leads to its successor. An unknown one raises ``PersonNotShown``.

    A record's key that is an identifier of the person itself is masked like it, unless it is revealed.
    """
    requested = one_id
    redirect = _rows(published, "SELECT to_one_id FROM identity.redirects WHERE from_one_id = ?", [one_id])
    if redirect:
        one_id = int(redirect[0]["to_one_id"])
    facts = _rows(published, "SELECT * FROM identity.one_ids WHERE one_id = ?", [one_id])
    if not facts:
        raise PersonNotShown(
            f"no OneID {requested} was ever published", identifier="one_id", refusal="nobody"
        )
    profiles = _rows(
        published,
        """
        SELECT profile_id, source, source_key, valid_from FROM identity.memberships
        WHERE valid_to IS NULL AND one_id = ? ORDER BY source, source_key
        """,
        [one_id],
    )
    links = _rows(
        published,
        """
        SELECT l.profile_id, l.namespace, n.masked, l.verified, l.status, l.valid_from, s.state, s.reason,
               count(*) OVER (PARTITION BY l.identifier_id) AS carriers
        FROM identity.links l
        JOIN identity.memberships m ON m.profile_id = l.profile_id AND m.valid_to IS NULL AND m.one_id = ?
        JOIN identity.nodes n ON n.node_id = l.identifier_id
        LEFT JOIN identity.node_states s ON s.node_id = l.identifier_id AND s.valid_to IS NULL
        WHERE l.valid_to IS NULL ORDER BY l.profile_id, l.namespace, l.identifier_id
        """,
        [one_id],
    )
    events = events_of(published, one_id)
    earlier = _rows(
        published,
        """
        SELECT profile_id, source, source_key, valid_from, valid_to FROM identity.memberships
        WHERE valid_to IS NOT NULL AND one_id = ? ORDER BY valid_from, source, source_key
        """,
        [one_id],
    )
    redirected = _rows(
        published, "SELECT from_one_id FROM identity.redirects WHERE to_one_id = ? ORDER BY 1", [one_id]
    )
    identifiers = _carried_by_members(published, one_id)
    for row in (*profiles, *earlier):
        row["source_key"] = shown_key(
            row["source_key"], identifiers.get(row["profile_id"], []), is_revealed=is_revealed
        )
    for row in earlier:
        del row["profile_id"]
    return Person(
        one_id=one_id,
        asked_for=str(requested),
        facts=facts[0],
        profiles=profiles,
        links=links,
        events=events,
        redirected=[int(row["from_one_id"]) for row in redirected],
        earlier_members=earlier,
    )


def _carried_by_members(published: Published, one_id: int) -> dict[int, list[tuple[str, str]]]:
    """Give namespace and masked form of every identifier that a present or earlier member carried, by profile."""
    rows = _rows(
        published,
        """
        SELECT DISTINCT l.profile_id, l.namespace, n.masked FROM identity.links l
        JOIN identity.nodes n ON n.node_id = l.identifier_id
        WHERE l.profile_id IN (SELECT profile_id FROM identity.memberships WHERE one_id = ?)
        """,
        [one_id],
    )
    identifiers: dict[int, list[tuple[str, str]]] = {}
    for row in rows:
        identifiers.setdefault(row["profile_id"], []).append((row["namespace"], row["masked"]))
    return identifiers


def events_of(published: Published, one_id: int) -> list[dict[str, Any]]:
    """Give what became of a OneID, night by night."""
    return _rows(
        published,
        """
        SELECT happened_on, event, from_one_id, to_one_id, profile_count, cause FROM identity.lineage_events
        WHERE from_one_id = ? OR to_one_id = ? ORDER BY happened_on, event, from_one_id, to_one_id
        """,
        [one_id, one_id],
    )


def line_of_event(event: dict[str, Any]) -> str:
    """Give the line a terminal shows of an event."""
    from_id, to_id = event["from_one_id"] or "-", event["to_one_id"] or "-"
    return (
        f"  {event['happened_on']}  {event['event']:<9} {from_id} → {to_id}  {event['profile_count']} profiles "
        f"({event['cause']})"
    )


def describe(person: Person) -> list[str]:
    """Give the lines a terminal shows."""
    facts = person.facts
    lines = [
        f"OneID {person.one_id}  {facts['kind']}, {facts['status']}, {facts['profile_count']} profiles, since {facts['created_on']}"
    ]
    if person.asked_for != str(person.one_id):
        lines.append(f"  {person.asked_for} was merged into it")
    for profile in person.profiles:
        lines.append(f"  {profile['source']}/{profile['source_key']}  in it since {profile['valid_from']}")
        for link in (x for x in person.links if x["profile_id"] == profile["profile_id"]):
            sure = "verified" if link["verified"] else "not verified"
            joins = (
                "joins"
                if link["carriers"] > 1 and link["status"] in ("active", "corroborated")
                else link["status"]
            )
            why = f", {link['state']}: {link['reason']}" if link["state"] else ""
            lines.append(f"    {link['namespace']:<26} {link['masked']:<26} {sure:<13} {joins}{why}")
    lines += [line_of_event(event) for event in person.events]
    for member in person.earlier_members:
        lines.append(
            f"  earlier: {member['source']}/{member['source_key']}  {member['valid_from']} to {member['valid_to']}"
        )
    return lines


def _rows(published: Published, statement: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
    result = published.sql(statement, parameters)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
