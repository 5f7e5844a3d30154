"""How a person may be reached and how they respond."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import defaultdict
from typing import Any

from tests.tags.golden.evaluator.world import DAY, ENDLESS, NOT_APPLICABLE, Person, Row, World, tag

CHANNELS: dict[str, dict[str, Any]] = {
    "BRANCH": {"everyone": True},
    "CALL": {"addresses": ["phone"]},
    "EMAIL": {"addresses": ["email"]},
    "INAPP": {"addresses": ["app_user_id@*"]},
    "PUSH": {"addresses": ["push_token@*", "app_user_id@*"]},
    "SMS": {"addresses": ["phone"]},
    "WECHAT": {"addresses": ["openid@*"]},
    "WECOM": {"addresses": ["external_userid@*"]},
}
Decision = tuple[dt.datetime, bool, dt.date, str, str]


def receipts_of(world: World) -> dict[int, list[Row]]:
    """Give the receipts by person."""
    if "receipts by person" not in world.__dict__:
        rows: dict[int, list[Row]] = defaultdict(list)
        for row in world.receipts:
            rows[row["one_id"]].append(row)
        world.__dict__["receipts by person"] = rows
    return world.__dict__["receipts by person"]


def decisions(person: Person) -> list[Decision]:
    """Give what a person decided: when, whether it is a refusal, the first day it no longer holds, purpose and channel.

    A message of any purpose that was answered with a refusal refuses that purpose and marketing, on all channels.
    """
    if "decisions" not in person.known:
        stated = [
            (
                row["decided_at"],
                row["decision"] == "REFUSE",
                row["expires_on"] or ENDLESS,
                row["purpose"],
                row["channel"],
            )
            for row in person.rows("consents")
        ]
        for row in receipts_of(person.world).get(person.one_id, []):
            if row["status"] == "REFUSED":
                stated += [
                    (row["event_at"], True, ENDLESS, purpose, "ALL")
                    for purpose in {row["purpose"], "marketing"}
                ]
        person.known["decisions"] = stated
    return person.known["decisions"]


def is_granted(person: Person, channel: str) -> bool:
    """Tell whether marketing on a channel is allowed on the day after.

    A channel's own refusal stands until a later grant of that channel; its own grant falls with a later refusal of all, and of one
    instant the refusal is the later; then what was said last about all channels decides.
    """
    marketing = [decision for decision in decisions(person) if decision[3] == "marketing"]
    own = max((d[:3] for d in marketing if d[4] == channel), default=None)
    of_all = [d[:3] for d in marketing if d[4] == "ALL"]
    if own and own[1]:
        return False
    if own and not any(refused and at >= own[0] for at, refused, _ in of_all):
        return own[2] > person.day + DAY
    last = max(of_all, default=None)
    return last is not None and not last[1] and last[2] > person.day + DAY


def has_address(person: Person, channel: str) -> bool:
    """Tell whether an identifier of the channel's namespaces is known."""
    rule = person.world.policy.get("channels", {}).get(channel, CHANNELS[channel])
    if rule.get("everyone"):
        return True
    for row in person.rows("identifier_observations"):
        for name in rule["addresses"]:
            fits = row["namespace"].startswith(name[:-1]) if name.endswith("*") else row["namespace"] == name
            if fits and (not rule.get("matches") or re.search(rule["matches"], row["value"].strip(" "))):
                return True
    return False


def is_dead(person: Person, channel: str) -> bool:
    """Tell whether the channel bounced hard and nothing was received there since."""
    rows = [row for row in receipts_of(person.world).get(person.one_id, []) if row["channel"] == channel]
    bounces = [row["event_at"] for row in rows if row["status"] == "BOUNCED_HARD"]
    receptions = [
        row["event_at"] for row in rows if row["status"] in ("DELIVERED", "OPENED", "CLICKED", "REPLIED")
    ]
    return bool(bounces) and not (receptions and max(receptions) > max(bounces))


@tag
def reachable_channels(person: Person) -> Any:
    return [
        c for c in CHANNELS if is_granted(person, c) and has_address(person, c) and not is_dead(person, c)
    ]


@tag
def is_do_not_disturb(person: Person) -> Any:
    said = decisions(person)
    overall = max((d[:3] for d in said if d[3] == "marketing" and (d[4] == "ALL" or not d[1])), default=None)
    profiling = max((d[:3] for d in said if d[3] == "profiling"), default=None)
    complained = any(
        row["is_in_force"] and row["control_type"] == "COMPLAINT" for row in person.rows("controls")
    ) or any(row["status"] == "COMPLAINED" for row in receipts_of(person.world).get(person.one_id, []))
    return bool(overall and overall[1]) or bool(profiling and profiling[1]) or complained


def touches(person: Person, days: int) -> list[Row]:
    """Give the contacts of marketing that were sent in the last so many days."""
    return [
        row for row in person.rows("contacts")
        if row["is_marketing"] and row["touched_on"] is not None and (person.day - row["touched_on"]).days < days
    ]  # fmt: skip


@tag
def touch_count_7d(person: Person) -> Any:
    return len(touches(person, 7))


@tag
def touch_count_30d(person: Person) -> Any:
    return len(touches(person, 30))


@tag
def touch_channel_count_30d(person: Person) -> Any:
    return len({row["channel"] for row in touches(person, 30)})


@tag
def days_since_response(person: Person) -> Any:
    days = [
        (person.day - row["responded_on"]).days
        for row in person.rows("contacts")
        if row["is_marketing"] and row["responded_on"] and row["touched_on"] > person.day - 1096 * DAY
    ]
    return min(days, default=NOT_APPLICABLE)


def has_responded(person: Person) -> bool:
    """Tell whether a response came in the last 30 days."""
    return person["days_since_response"] is not None and person["days_since_response"] < 30


@tag
def fatigue(person: Person) -> Any:
    count = 0 if has_responded(person) else person["touch_count_30d"]
    return "HIGH" if count >= 6 else "MID" if count >= 3 else "LOW"


@tag
def no_response_state(person: Person) -> Any:
    is_silent = (
        person["touch_count_30d"] >= 3
        and person["touch_channel_count_30d"] >= 2
        and not has_responded(person)
    )
    return "NO_RESPONSE" if is_silent else "NONE"


def control_group(day: dt.date) -> str:
    """Give the name of the global control group of a half-year."""
    return f"GCG-{day.year}H{1 if day.month <= 6 else 2}"


@tag
def assigned_global_control(person: Person) -> Any:
    world = person.world
    if "arms" not in world.__dict__:
        arms: dict[int, set[str]] = defaultdict(set)
        rows = world.tables["segments.assignments"]
        rows = [r for r in rows if r["salt"] == control_group(world.day) and r["assigned_on"] < world.day]
        given = {row["one_id"]: row for row in rows}
        sides = [(one_id, row["arm"]) for one_id, row in given.items()]
        for share in world.tables["identity.inheritances"]:
            own, whole = given.get(share["one_id"]), given.get(share["from_one_id"])
            if share["parted_on"] > world.day or (own and own["assigned_on"] < share["parted_on"]):
                continue
            if whole and whole["assigned_on"] < share["shared_until"]:
                sides.append((share["one_id"], whole["arm"]))
        for one_id, arm in sides:
            arms[world.redirects.get(one_id, one_id)].add(arm)
        world.__dict__["arms"] = arms
    arms_of = world.__dict__["arms"].get(person.one_id)
    return "CONTROL" in arms_of if arms_of else NOT_APPLICABLE


@tag
def is_global_control(person: Person) -> Any:
    if person["assigned_global_control"] is not None:
        return person["assigned_global_control"]
    group = control_group(person.day)
    percent = person.world.policy.get("global_control", {}).get(group, 5.0)
    return int(hashlib.sha256(f"{group}|{person.one_id}".encode()).hexdigest()[:15], 16) % 10_000 < round(
        percent * 100
    )
