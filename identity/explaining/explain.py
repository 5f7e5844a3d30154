"""Why two records are one person, and why they are not: from the statements that decided, each with its file and line.

``why`` gives the shortest way of statements and decisions from one record to the other. ``why_not`` gives what would
have joined them and did not, with the rule that refused it, and what one person of both would break. Values are masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from identity.components.arrays import distinct
from identity.explaining.evidence import Evidence, Profile, evidence_about
from identity.explaining.show import events_of, known_profile, line_of_event
from identity.joining.constraints import constraints_of
from identity.reading.graph import ABSENT
from lakehouse.errors import PersonNotShown, UsageError

if TYPE_CHECKING:
    from lakehouse.query.published import Published

_JOINS = ("active", "corroborated")
# A statement that did not join is worth a detour of so many that did.
_REFUSED = 1_000.0


@dataclass(frozen=True)
class Why:
    """One person: the steps from the first record to the second, and what became of their number.

    A step is an identifier with the two statements that meet in it, or a decision.
    """

    profiles: tuple[str, str]
    one_id: int
    together_since: str
    rules_version: str
    steps: list[dict[str, Any]]
    events: list[dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class WhyNot:
    """Two people: what did not join them though it might have, what forbids it, and what says nothing.

    ``obstacles`` are statements, with rule and reason, on the shortest way between the two records; empty where no way
    leads from one to the other. ``forbidden`` is what a person of both would break. ``invalid`` are statements of the two
    records that are no identifiers.
    """

    profiles: tuple[str, str]
    one_ids: tuple[int, int]
    rules_version: str
    obstacles: list[dict[str, Any]]
    forbidden: list[dict[str, Any]]
    invalid: list[dict[str, Any]]
    namespaces: tuple[list[str], list[str]]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        values = dict(vars(self))
        values["carried"] = values.pop("namespaces")
        return values


def why(published: Published, a: str, b: str) -> Why:
    """Tell why two published profiles (``source/key``) are one person; ``PersonNotShown`` where they are not."""
    one, other = _pair(published, a, b)
    evidence = evidence_about(published, [one, other])
    start, goal = evidence.place_of(one), evidence.place_of(other)
    one_ids = int(evidence.one_ids[start]), int(evidence.one_ids[goal])
    if one_ids[0] != one_ids[1]:
        raise PersonNotShown(
            f"these records are two people, {one_ids[0]} and {one_ids[1]}: ask `cdp identity why-not {a} {b}`",
            identifier="profile", refusal="other", one_ids=one_ids,
        )  # fmt: skip
    net = _net_of_joins(evidence)
    way = nx.shortest_path(net, start, goal, weight="cost")
    steps = []
    at = 0
    while at < len(way) - 1:
        edge = net.edges[way[at], way[at + 1]]
        if "decision" in edge:
            steps.append(_decision(evidence, edge["decision"]))
            at += 1
        else:
            steps.append(_joint(evidence, edge["link"], net.edges[way[at + 1], way[at + 2]]["link"]))
            at += 2
    return Why(
        profiles=(a, b),
        one_id=one_ids[0],
        together_since=max(evidence.since[start], evidence.since[goal]),
        rules_version=evidence.rules.version,
        steps=steps,
        events=events_of(published, one_ids[0]),
    )


def why_not(published: Published, a: str, b: str) -> WhyNot:
    """Tell why two published profiles (``source/key``) are two people; ``PersonNotShown`` where they are one."""
    one, other = _pair(published, a, b)
    evidence = evidence_about(published, [one, other])
    start, goal = evidence.place_of(one), evidence.place_of(other)
    if evidence.one_ids[start] == evidence.one_ids[goal]:
        raise PersonNotShown(
            f"these records are one person, {evidence.one_ids[start]}: ask `cdp identity why {a} {b}`",
            identifier="profile", refusal="other", one_ids=[int(evidence.one_ids[start])],
        )  # fmt: skip
    return WhyNot(
        profiles=(a, b),
        one_ids=(int(evidence.one_ids[start]), int(evidence.one_ids[goal])),
        rules_version=evidence.rules.version,
        obstacles=_obstacles(evidence, start, goal),
        forbidden=_forbidden(evidence, start, goal),
        invalid=_invalid(evidence, (start, goal)),
        namespaces=(_namespaces_of(evidence, start), _namespaces_of(evidence, goal)),
    )


def _pair(published: Published, a: str, b: str) -> tuple[Profile, Profile]:
    # Before anything is looked up, so that the answer does not tell whether there is such a record.
    if a == b:
        raise UsageError("name two different profiles")
    return known_profile(published, a), known_profile(published, b)


def _net_of_joins(evidence: Evidence) -> nx.Graph:
    """Draw what joined: profiles, the places statements lead to, decisions between profiles.

    Of ways of one length the one over stronger namespaces is the shorter.
    """
    graph, grouping = evidence.graph, evidence.grouping
    net = nx.Graph()
    net.add_nodes_from(range(len(graph.profiles)))
    for link in np.flatnonzero(np.isin(grouping.link_states, _JOINS)).tolist():
        rule = evidence.rules.rule(evidence.namespace_of(int(graph.links.identifiers[link])))
        weakness = 100 - (rule.strength if rule is not None else 0)
        net.add_edge(
            int(graph.links.profiles[link]), int(grouping.ends[link]), link=link, cost=0.5 + weakness / 1e6
        )
    decisions = graph.decisions
    refused_pairs = {(r.profile, r.other_profile) for r in grouping.refusals if r.rule == "must_link"}
    for x, y, decision in zip(
        decisions.must_a.tolist(), decisions.must_b.tolist(), decisions.must_ids, strict=True
    ):
        if (x, y) not in refused_pairs:
            net.add_edge(x, y, decision=decision, cost=1.0)
    return net


def _joint(evidence: Evidence, link: int, other: int) -> dict[str, Any]:
    identifier = int(evidence.graph.links.identifiers[link])
    return {
        "by": "identifier",
        "namespace": evidence.namespace_of(identifier),
        "masked": evidence.observed.masked_of(identifier),
        "same_name_needed": evidence.grouping.link_states[link] == "corroborated",
        "statements": [evidence.statement(link), evidence.statement(other)],
    }


def _decision(evidence: Evidence, decision: str) -> dict[str, Any]:
    row = evidence.decisions[decision]
    return {
        "by": "decision",
        "decision_id": decision,
        "kind": row["kind"],
        "author": row["author"],
        "decided_at": str(row["decided_at"]),
        "reason": row["reason"],
    }


def _obstacles(evidence: Evidence, start: int, goal: int) -> list[dict[str, Any]]:
    """Give the statements that did not join on the way with the fewest of them, identifier by identifier."""
    graph, grouping = evidence.graph, evidence.grouping
    net = _net_of_joins(evidence)
    for link, state in enumerate(grouping.link_states.tolist()):
        end, value = int(grouping.ends[link]), len(graph.profiles) + int(graph.links.identifiers[link])
        if state not in _JOINS:
            net.add_edge(int(graph.links.profiles[link]), end, cost=_REFUSED, link=link)
        if end != value:  # what carriers of one name share of a value
            net.add_edge(end, value, cost=_REFUSED)
    if not nx.has_path(net, start, goal):
        return []
    way = nx.shortest_path(net, start, goal, weight="cost")
    edges = [net.edges[pair] for pair in pairwise(way)]
    refused_links: dict[int, list[int]] = {}
    for at, edge in enumerate(edges):
        if edge["cost"] == _REFUSED:
            # Between a value and a name's share of it, the statement is the one that leads to the share.
            statement = edge if "link" in edge else edges[at - 1 if way[at] > way[at + 1] else at + 1]
            link = statement["link"]
            refused_links.setdefault(int(graph.links.identifiers[link]), []).append(link)
    return [_obstacle(evidence, identifier, links) for identifier, links in refused_links.items()]


def _obstacle(evidence: Evidence, identifier: int, links: list[int]) -> dict[str, Any]:
    return {
        "namespace": evidence.namespace_of(identifier),
        "masked": evidence.observed.masked_of(identifier),
        "refused": [evidence.statement(link) | _refusal(evidence, link) for link in links],
        "carriers": int(
            (evidence.graph.links.identifiers == identifier).sum()
            + evidence.graph.identifiers.outside[identifier]
        ),
    }


def _refusal(evidence: Evidence, link: int) -> dict[str, Any]:
    """Give rule and reason why a statement joined nobody, in the words of ``identity.refused_links``."""
    graph, grouping = evidence.graph, evidence.grouping
    identifier = int(graph.links.identifiers[link])
    for refusal in grouping.refusals:
        if refusal.link == link:
            other = None if refusal.other_profile == ABSENT else evidence.name_of(refusal.other_profile)
            return {"rule": refusal.rule, "reason": refusal.reason, "met": other}
    if grouping.link_states[link] == "expired":
        return {"rule": "expired", "reason": "a newer holder, or its window is over", "met": None}
    if grouping.states[identifier] != "active":
        return {"rule": grouping.states[identifier], "reason": grouping.reasons[identifier], "met": None}
    return {"rule": "attribute", "reason": "this kind of identifier describes and never joins", "met": None}


def _forbidden(evidence: Evidence, start: int, goal: int) -> list[dict[str, Any]]:
    """Give what one person of both people would break, whatever joined them."""
    graph, grouping = evidence.graph, evidence.grouping
    one, other = (np.flatnonzero(grouping.people == grouping.people[place]) for place in (start, goal))
    constraints = constraints_of(graph, evidence.rules)
    conflicts: list[dict[str, Any]] = []
    decisions = graph.decisions
    for x, y, decision in zip(
        decisions.cannot_a.tolist(), decisions.cannot_b.tolist(), decisions.cannot_ids, strict=True
    ):
        if {grouping.people[x], grouping.people[y]} == {grouping.people[start], grouping.people[goal]}:
            conflicts.append({"rule": "cannot_link", **_decision(evidence, decision)})
    joins = np.isin(grouping.link_states, _JOINS)
    for code, limit in sorted(constraints.unique.items()):
        mine = joins & (graph.identifiers.namespaces[graph.links.identifiers] == code)
        values = [
            distinct(graph.links.identifiers[mine & np.isin(graph.links.profiles, side)])
            for side in (one, other)
        ]
        together = len(np.union1d(*values))
        if min(map(len, values)) and limit.forbids(len(values[0]), len(values[1]), together):
            conflicts.append(
                {
                    "rule": limit.rule,
                    "reason": limit.reason,
                    "at_most": limit.most,
                    "together": together,
                    "masked": [[evidence.observed.masked_of(int(i)) for i in side] for side in values],
                }
            )
    for limited in [*constraints.never, *constraints.facts]:
        limit = limited.limit
        codes = [distinct(limited.codes[np.isin(limited.places, side)]) for side in (one, other)]
        if not min(map(len, codes)):
            continue
        if limit.rule == "disagree":
            is_broken = not np.isin(codes[0], codes[1]).any()
        else:
            is_broken = limit.forbids(len(codes[0]), len(codes[1]), len(np.union1d(*codes)))
        if is_broken:
            conflicts.append({"rule": limit.rule, "reason": limit.reason})
    return conflicts


def _invalid(evidence: Evidence, places: tuple[int, int]) -> list[dict[str, Any]]:
    ids = {int(evidence.graph.profiles.node_ids[place]): evidence.name_of(place) for place in places}
    return [
        {"profile": ids[row["profile_id"]], "namespace": row["namespace"], "reason": row["reason"]}
        for row in evidence.observed.invalid.sort_by(
            [(name, "ascending") for name in ("profile_id", "namespace", "reason")]
        ).to_pylist()
        if row["profile_id"] in ids
    ]


def _namespaces_of(evidence: Evidence, place: int) -> list[str]:
    links = evidence.graph.links
    mine = distinct(evidence.graph.identifiers.namespaces[links.identifiers[links.profiles == place]])
    return sorted(evidence.graph.namespaces[code] for code in mine.tolist())


def describe_why(answer: Why) -> list[str]:
    """Give the lines a terminal shows."""
    lines = [
        f"{answer.profiles[0]} and {answer.profiles[1]} are one person, {answer.one_id}, since {answer.together_since}"
    ]
    for step in answer.steps:
        if step["by"] == "decision":
            lines.append(_line_of_decision(step))
            continue
        note = "  (of several people; their names agree)" if step["same_name_needed"] else ""
        lines.append(f"  {step['namespace']} {step['masked']}{note}")
        lines += [f"    {_line_of_statement(statement)}" for statement in step["statements"]]
    lines += [line_of_event(event) for event in answer.events]
    return lines


def describe_why_not(answer: WhyNot) -> list[str]:
    """Give the lines a terminal shows."""
    one, other = answer.profiles
    lines = [f"{one} and {other} are two people, {answer.one_ids[0]} and {answer.one_ids[1]}"]
    for obstacle in answer.obstacles:
        lines.append(
            f"  {obstacle['namespace']} {obstacle['masked']}, on {obstacle['carriers']} records, did not join"
        )
        for statement in obstacle["refused"]:
            other = f", met {statement['met']}" if statement["met"] else ""
            lines.append(f"    {_line_of_statement(statement)}")
            lines.append(f"      {statement['rule']}: {statement['reason']}{other}")
    if not answer.obstacles:
        lines.append("  no statement leads from one to the other, however many records it may pass")
        for profile, namespaces in zip(answer.profiles, answer.namespaces, strict=True):
            lines.append(f"    {profile} carries {', '.join(namespaces) or 'no identifier'}")
    for conflict in answer.forbidden:
        if conflict["rule"] == "cannot_link":
            lines.append(_line_of_decision(conflict))
        elif conflict["rule"] == "unique":
            values = " and ".join(", ".join(side) for side in conflict["masked"])
            lines.append(
                f"  one person would have {conflict['together']} {conflict['reason']} ({values}), at most {conflict['at_most']}"
            )
        elif conflict["rule"] == "disagree":
            lines.append(f"  their records contradict: {conflict['reason']}")
        else:
            lines.append(f"  two records of one person never differ in {conflict['reason']}")
    for row in answer.invalid:
        lines.append(f"  a {row['namespace']} of {row['profile']} is none ({row['reason']})")
    return lines


def _line_of_statement(statement: dict[str, Any]) -> str:
    sure = "verified" if statement["verified"] else "not verified"
    records = (
        ", ".join(f"{r['file']} record {r['row']}" for r in statement["records"])
        or "no record names it any more"
    )
    rules = f", rules {statement['rules_version']}" if statement["rules_version"] else ""
    return f"{statement['profile']:<34} {sure:<13} known since {statement['known_since']}{rules}; {records}"


def _line_of_decision(step: dict[str, Any]) -> str:
    kind = step["kind"].replace("_", "-")
    return f"  decision {step['decision_id']}, {kind} by {step['author']} at {step['decided_at']}: {step['reason']}"
