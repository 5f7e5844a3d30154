"""Directories: who the recipients of a destination are, for a destination that asks for it and was allowed to.

A directory is delivered as an audience is: snapshot and delta, signed, verified. It holds everybody of all audiences that the
destination may use after the night, and nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.addressing.contact_values import email_form, hash_of, phone_form
from delivery.destinations import Destination, destination_folder
from delivery.disclosures import DIRECTORY, Directory, approval_entry
from delivery.manifest import read_latest, read_manifest
from delivery.standing import typed_rows
from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.desk import open_alone
from lakehouse.query.hashing import frame_hash, text_hash
from lakehouse.query.words import literal, literals
from vocabulary.audience import Audience, StandingRun, days_of_use
from vocabulary.policy import DEFAULT_CHANNELS, Policy, read_policy

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.tables.lake import Lake

# Gives one_id, purpose, channel of the people (one_id) who may be contacted so today: for uses of purpose, channel and days.
Permissions = Callable[["pa.Table", Iterable[tuple[str, str, int]]], "pa.Table"]

log = logging.getLogger("cdp.segments")
VERSION = "1.0.0"
LAST_HOURS = 24
# Of whose consent an identifier asks, and where it stands.
_CHANNEL_OF = {"phone": "SMS", "email": "EMAIL"}
# Identifiers that reach a person; no directory holds another one, whatever a policy calls an address.
_ADDRESSES = frozenset(
    name.partition("@")[0] for rule in DEFAULT_CHANNELS.values() for name in rule.addresses
)


@dataclass(frozen=True)
class _Crowd:
    """The people whom a destination may contact after the night."""

    people: pa.Table
    """published_as (the OneID of the recipient key), purpose; distinct."""
    days: int
    hours: int


def directory_audiences(
    lake: Lake,
    business_date: date,
    audiences: Sequence[Audience],
    standing: Sequence[StandingRun],
    destinations: Mapping[str, Destination],
    permissions: Permissions,
) -> tuple[Audience, ...]:
    """Give the directory of each destination that has one, as an audience; an empty one where it was taken away.

    Contacts are those that consent covers today for the purposes of the person's audiences, or for the directory's own purpose.
    """
    directories = []
    for name, destination in destinations.items():
        folder = destination_folder(lake.settings, name, destination)
        # A directory that stands follows what stands, also where nothing new is released.
        is_dry = destination.deliver == "dry" and read_latest(folder / DIRECTORY) is None
        tonight = [
            audience
            for audience in audiences
            if name in (audience.destinations if is_dry else audience.live_destinations)
            and not _is_history(folder / audience.code, business_date)
        ]
        crowd = _crowd(name, tonight, standing)
        if destination.directory is None or crowd is None:
            empty = _emptied(lake, name, destination, business_date)
            directories += [] if empty is None else [empty]
        else:
            directory = _directory(lake, name, destination.directory, crowd, business_date, permissions)
            dry_destinations = frozenset({name} if is_dry else ())
            directories.append(replace(directory, dry_destinations=dry_destinations))
    return tuple(directories)


def _is_history(root: Path, business_date: date) -> bool:
    """Tell whether a destination has received a newer date of a segment, so that this one is not handed on."""
    latest = read_latest(root)
    return latest is not None and latest["as_of"] > business_date.isoformat()


def _crowd(name: str, audiences: Sequence[Audience], standing: Sequence[StandingRun]) -> _Crowd | None:
    import pyarrow as pa

    replaced_codes = {audience.code for audience in audiences}
    tonight = list(audiences)
    tonight += [
        run.audience
        for run in standing
        if name in run.audience.destinations and run.audience.code not in replaced_codes
    ]
    if not tonight:
        return None
    parts = [
        pa.table(
            {
                "published_as": audience.people["one_id"],
                "purpose": pa.array([audience.purpose] * audience.people.num_rows, pa.string()),
            }
        )
        for audience in tonight
    ]
    people = pa.concat_tables(parts).group_by(["published_as", "purpose"]).aggregate([])
    hours = max(audience.valid_hours for audience in tonight)
    return _Crowd(people, days_of_use(hours), hours)


def _directory(
    lake: Lake, name: str, directory: Directory, crowd: _Crowd, business_date: date, permissions: Permissions
) -> Audience:
    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        people = _people(lake, desk, crowd)
        if directory.content == "source_keys":
            rows, drops = (
                desk.arrow(source_keys_sql(lake, desk, people, directory.sources) + " ORDER BY 1"),
                None,
            )
        else:
            rows, drops = _contacts(lake, desk, people, directory, crowd, business_date, permissions)
        number = int(desk.value(f"SELECT count(DISTINCT published_as) FROM {people}"))
    missing = number - rows.num_rows
    refusals = drops or 0
    reasons = {"NO_CONSENT": refusals, "NO_ADDRESS": missing - refusals}
    if reasons["NO_ADDRESS"]:
        log.warning(
            "the directory of %s has nothing to tell of %d of its %d recipients",
            name,
            reasons["NO_ADDRESS"],
            number,
        )
    purpose = directory.purpose if directory.content == "hashed_contacts" else "addresses"
    ground = "of_audiences" if directory.content == "source_keys" else "granted"
    counts = _counts(number, {reason: count for reason, count in reasons.items() if count}, ground)
    return _audience(
        name, business_date, rows, counts,
        definition=directory.hash_for(name), purpose=purpose, hours=crowd.hours, file_format=directory.format,
        levels=dict.fromkeys(rows.column_names[1:], directory.level), approvals=(approval_entry(directory),),
        content=directory.content,
    )  # fmt: skip


def _people(lake: Lake, desk: Desk, crowd: _Crowd) -> Relation:
    """Give published_as, purpose and the person of today (one_id)."""
    people = desk.lend("crowd", crowd.people)
    redirects = contracted_sql(lake, desk, "identity.redirects")
    return desk.keep(
        "directory_people",
        "SELECT p.published_as, p.purpose, coalesce(r.to_one_id, p.published_as) AS one_id\n"
        f"FROM {people} p LEFT JOIN ({redirects}) r ON r.from_one_id = p.published_as",
    )


def source_keys_sql(lake: Lake, desk: Desk, people: Relation, sources: Sequence[str]) -> str:
    """Give SQL of one key of each of ``people`` (published_as, one_id): one_id as it was published, source, source_key.

    It is of the first source that knows the person, and of the record known longest.
    """
    order = ", ".join(map(literal, sources))
    return (
        "SELECT p.published_as AS one_id, m.source, m.source_key\n"
        f"FROM (SELECT DISTINCT published_as, one_id FROM {people}) p\n"
        f"JOIN ({contracted_sql(lake, desk, 'identity.memberships')}) m USING (one_id)\n"
        f"WHERE m.valid_to IS NULL AND m.source IN ({literals(sources)})\n"
        "QUALIFY row_number() OVER (PARTITION BY p.published_as\n"
        f"  ORDER BY list_position([{order}], m.source), m.profile_id, m.source_key) = 1"
    )


def _contacts(
    lake: Lake,
    desk: Desk,
    people: Relation,
    directory: Directory,
    crowd: _Crowd,
    business_date: date,
    permissions: Permissions,
) -> tuple[pa.Table, int]:
    """Give the addresses of each person that consent covers, in clear or hashed, and how many people consented to none."""
    is_hashed = directory.content == "hashed_contacts"
    channels = (
        [_CHANNEL_OF[name] for name in directory.identifiers] if is_hashed else list(directory.channels)
    )
    if is_hashed:
        purposes = [directory.purpose]
        wishes = (
            f"SELECT DISTINCT published_as, one_id, {literal(directory.purpose)} AS purpose FROM {people}"
        )
    else:
        purposes = sorted(set(crowd.people["purpose"].to_pylist()))
        wishes = f"SELECT published_as, one_id, purpose FROM {people}"
    uses = [(purpose, channel, crowd.days) for purpose in purposes for channel in channels]
    numbers = desk.arrow(f"SELECT DISTINCT one_id FROM {people} ORDER BY 1")
    grants = desk.lend("grants", permissions(numbers, uses))
    allowed_ways = desk.keep(
        "allowed_ways",
        f"SELECT DISTINCT w.published_as, w.one_id, g.channel FROM ({wishes}) w JOIN {grants} g USING (one_id, purpose)",
    )
    values = desk.keep("addresses", _addresses_sql(lake, desk, people, directory, channels, business_date))
    picks = ", ".join(
        f"max(a.value) FILTER (WHERE a.channel = {literal(channel)}) AS {channel.lower()}"
        for channel in channels
    )
    rows = desk.arrow(
        f"SELECT w.published_as AS one_id, {picks}\n"
        f"FROM {allowed_ways} w JOIN {values} a USING (one_id, channel) GROUP BY 1 ORDER BY 1"
    )
    refusals = int(
        desk.value(
            f"SELECT count(DISTINCT published_as) FROM {people} WHERE published_as NOT IN (SELECT published_as FROM {allowed_ways})"
        )
    )
    return (_hashed(rows, directory) if is_hashed else rows), refusals


def _addresses_sql(
    lake: Lake,
    desk: Desk,
    people: Relation,
    directory: Directory,
    channels: Sequence[str],
    business_date: date,
) -> str:
    """Give SQL of one_id, channel, value: of each person's addresses the verified one, then the one observed last."""
    policy = read_policy(lake.settings.workspace)
    parts = []
    for channel in channels:
        namespaces = _namespace_sql(policy, channel, directory)
        rule = policy.channel(channel)
        form = f" AND regexp_matches(trim(o.value), {literal(rule.matches)})" if rule.matches else ""
        parts.append(
            f"SELECT m.one_id, {literal(channel)} AS channel, trim(o.value) AS value\n"
            f"FROM ({contracted_sql(lake, desk, 'trusted.identifier_observations')}) o\n"
            f"JOIN ({contracted_sql(lake, desk, 'identity.memberships')}) m"
            " ON m.source = o.source AND m.source_key = o.source_key AND m.valid_to IS NULL\n"
            f"WHERE o.valid_from <= {literal(business_date)} AND o.valid_to IS NULL AND o.hash_method IS NULL\n"
            f"  AND ({namespaces}){form} AND m.one_id IN (SELECT one_id FROM {people})\n"
            "QUALIFY row_number() OVER (PARTITION BY m.one_id ORDER BY coalesce(o.verified, false) DESC,\n"
            "  o.observed_on DESC NULLS LAST, o.source, o.source_key, o.value) = 1"
        )
    return "\nUNION ALL\n".join(f"({part})" for part in parts)


def _namespace_sql(policy: Policy, channel: str, directory: Directory) -> str:
    """Give the condition of the namespaces whose values may leave for a channel."""
    names = [name for name in policy.channel(channel).addresses if name.partition("@")[0] in _ADDRESSES]
    if directory.content == "hashed_contacts":
        names = [name for name, of in _CHANNEL_OF.items() if of == channel]
    alike = [
        f"starts_with(o.namespace, {literal(name[:-1])})"
        if name.endswith("*")
        else f"o.namespace = {literal(name)}"
        for name in names
    ]
    return " OR ".join(alike) or "false"


def _hashed(rows: pa.Table, directory: Directory) -> pa.Table:
    """Give the SHA-256 of phone numbers and addresses in their platform's form; who has neither is left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def form(identifier: str, text: str | None) -> str | None:
        if text is None:
            return None
        if identifier == "email":
            return email_form(text, form=directory.email)
        return phone_form(text, form=directory.phone, country_code=directory.country_code)

    hashes = {
        f"{identifier}_sha256": pa.array(
            [hash_of(form(identifier, text)) for text in rows[_CHANNEL_OF[identifier].lower()].to_pylist()],
            pa.string(),
        )
        for identifier in directory.identifiers
    }
    table = pa.table({"one_id": rows["one_id"], **hashes})
    is_there = [pc.is_valid(table[name]) for name in hashes]
    mask = is_there[0] if len(is_there) == 1 else pc.or_(*is_there)
    return table.filter(mask)


def _counts(number: int, reasons: Mapping[str, int], ground: str) -> dict[str, Any]:
    published = number - sum(reasons.values())
    return {
        "candidates": number, "unknown": 0, "suppressed_by_reason": dict(reasons), "eligible": published, "not_in_rollout": 0,
        "control_global": 0, "holdout_local": 0, "contaminated": 0, "variants": {"DEFAULT": published},
        "dropped_by_contact": {}, "published": published, "consent": {ground: published},
    }  # fmt: skip


def _audience(
    name: str,
    business_date: date,
    rows: pa.Table,
    counts: Mapping[str, Any],
    *,
    definition: str,
    purpose: str,
    hours: int,
    file_format: str,
    levels: Mapping[str, str],
    approvals: tuple[Mapping[str, Any], ...],
    content: str,
) -> Audience:
    digest = frame_hash(rows)
    return Audience(
        code=DIRECTORY,
        version=VERSION,
        definition_hash=definition,
        purpose=purpose,
        run_id=text_hash("directory", name, business_date, definition, hours, file_format, digest)[:24],
        as_of=business_date,
        destinations=(name,),
        modes=("snapshot", "delta"),
        file_format=file_format,
        valid_hours=hours,
        levels=levels,
        counts=counts,
        tag_versions={},
        inputs=[{"table": "identity.memberships", "rows": rows.num_rows, "hash": digest}],
        people=rows,
        kind="directory",
        content=content,
        approvals=approvals,
        disclosure=approvals[0] if approvals else None,
    )


def _emptied(lake: Lake, name: str, destination: Destination, business_date: date) -> Audience | None:
    """Give an empty directory where a destination holds one that it may no longer have, or that no audience needs; else None."""
    import pyarrow as pa

    root = destination_folder(lake.settings, name, destination) / DIRECTORY
    latest = read_latest(root)
    if latest is None or latest["as_of"] > business_date.isoformat():
        return None
    run = root / latest["path"]
    manifest = read_manifest(run)
    if manifest["counts"]["published"] == 0 and latest["as_of"] < business_date.isoformat():
        return None
    columns = typed_rows(run, manifest).slice(0, 0).drop_columns(["recipient_key"])
    rows = columns.add_column(0, "one_id", pa.array([], pa.int64()))
    return _audience(
        name, business_date, rows, _counts(0, {}, "granted"),
        definition=manifest["definition_hash"], purpose=manifest["purpose"], hours=LAST_HOURS, file_format=manifest["format"],
        levels={column["name"]: column["level"] for column in manifest["schema"]}, approvals=(), content="none",
    )  # fmt: skip
