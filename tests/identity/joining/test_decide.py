"""The decision looks at nothing beyond raw components: bucket by bucket it gives what it gives at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from identity_records import DAY, KEY, tables

from identity.joining.decide import NO_CARRIERS, RawComponents, decide_components
from identity.reading.decisions import PairDecision
from identity.reading.facts import common_names
from identity.reading.observe import NODE_SCHEMA
from identity.rules.rules import read_rules

RULES = "namespaces: {phone: {carriers: 4, when_exceeded: newest}, email: {carriers: 2}}\nlargest_person: {cut_above: 4}\n"
DOCUMENTS = ["110105198503121015", "110105198706250028", "320106199002280050"]


def drawn_records(seed, size=40):
    rng = np.random.default_rng(seed)
    records = []
    for number in range(size):
        record = {
            "id": f"{rng.choice(['core', 'crm', 'app'])}/{number}",
            "name": str(rng.choice(["张伟", "李娜", "王芳"])),
        }
        if rng.random() < 0.3:
            record["national_id"] = str(rng.choice(DOCUMENTS))
        if rng.random() < 0.7:
            record["phone"] = f"1381234{rng.integers(0, 14):04}"
        if rng.random() < 0.5:
            record["email"] = f"{rng.integers(0, 12)}@mail.example"
        records.append(record)
    return records


def of_profiles(rows, profiles):
    keys = set(zip(profiles["source"].to_pylist(), profiles["source_key"].to_pylist(), strict=True))
    pairs = zip(rows["source"].to_pylist(), rows["source_key"].to_pylist(), strict=True)
    return rows.filter(pa.array([pair in keys for pair in pairs]))


def carriers_elsewhere(links, profile_ids):
    others = links.filter(pc.invert(pc.is_in(links["profile_id"], value_set=pa.array(profile_ids))))
    counts = others.group_by("identifier_id").aggregate([([], "count_all")])
    return counts.rename_columns({"count_all": "n"}).select(["identifier_id", "n"])


def sorted_rows(tables_of_buckets):
    return sorted(repr(row) for table in tables_of_buckets for row in table.to_pylist())


@pytest.mark.parametrize("seed", range(8))
def test_buckets_of_whole_raw_components_are_decided_as_all_at_once(seed, tmp_path):
    (tmp_path / "identity.yml").write_text(RULES, encoding="utf-8")
    rules = read_rules(tmp_path / "identity.yml")
    records = drawn_records(seed)
    customers, observations = tables(records)
    one, other, third = (tuple(record["id"].split("/")) for record in records[:3])
    decisions = [PairDecision("d1", "must_link", one, other), PairDecision("d2", "cannot_link", other, third)]
    everything = RawComponents(
        customers, observations, NODE_SCHEMA.empty_table(), 0, decisions, common_names(customers, rules), NO_CARRIERS
    )  # fmt: skip
    whole = decide_components(everything, rules, key=KEY, business_date=DAY)
    profile_ids = whole.graph.profiles.node_ids
    component = whole.grouping.raw_components[: len(profile_ids)]
    parts = []
    for bucket in range(3):
        inside = component % 3 == bucket
        profiles = whole.observed.profiles.filter(pa.array(inside))
        mine = replace(
            everything,
            customers=of_profiles(customers, profiles),
            observations=of_profiles(observations, profiles),
            nodes=whole.observed.new_nodes,
            highest=whole.observed.new_nodes.num_rows,
            outside=carriers_elsewhere(whole.links(), profile_ids[inside]),
        )
        parts.append(decide_components(mine, rules, key=KEY, business_date=DAY))
    assert all(part.observed.new_nodes.num_rows == 0 for part in parts)
    people = {
        int(profile): int(person)
        for part in parts
        for profile, person in zip(part.graph.profiles.node_ids, part.people, strict=True)
    }
    assert people == dict(zip(profile_ids.tolist(), whole.people.tolist(), strict=True))
    assert len(set(people.values())) < len(people), "some records are one person"
    for rows in ("links", "raw_components", "refused_links"):
        assert sorted_rows([getattr(part, rows)() for part in parts]) == sorted_rows(
            [getattr(whole, rows)()]
        ), rows
