"""What changed records carry, and that values hashed for it are stored as if they were hashed again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from identity_records import DAY, KEY, observed, shipped_rules, tables

from identity.reading import values as valuing
from identity.reading.observe import NODE_SCHEMA, observe
from identity.reading.values import carried_values

RECORDS = [
    {"id": "core/1", "phone": "13912345678", "email": "a@mail.example", "customer_no@core": "C1"},
    {"id": "web/9", "phone": ["13912345678", "+86 139 1234 5678"], "email": {"value": "b@mail.example", "role": "work"}},
    {"id": "web/8", "phone": "13900000000", "email": "A@mail.example", "openid": "bare"},
    {"id": "app/7", "phone": {"value": "0f" * 32, "hash": "sha256"}, "email": "not an address"},
]  # fmt: skip


def told(rows):
    return sorted(zip(*(rows[n].to_pylist() for n in ("namespace", "value", "carriers")), strict=True))


def test_values_are_those_of_the_graph_with_the_records_that_carry_them():
    seen = observed(RECORDS, shipped_rules())
    identifiers = seen.graph.identifiers
    carriers = np.bincount(seen.graph.links.identifiers, minlength=len(identifiers))
    expected = pa.table(
        {
            "namespace": [seen.graph.namespaces[code] for code in identifiers.namespaces],
            "value": identifiers.values,
            "carriers": carriers,
        }
    )
    rows, hashes = carried_values(tables(RECORDS)[1], shipped_rules(), KEY)
    assert told(rows) == told(expected)
    assert max(rows["carriers"].to_pylist()) == 2
    rules = {name: shipped_rules().rule(name) for name in seen.graph.namespaces}
    assert set(hashes) == {name for name, rule in rules.items() if rule is not None and rule.sensitive}
    assert {"phone", "email"} <= set(hashes)


def test_nothing_carried_is_an_empty_table():
    rows, hashes = carried_values(tables([])[1], shipped_rules(), KEY)
    assert (rows.num_rows, hashes) == (0, {})
    assert rows.column_names == ["namespace", "value", "carriers"]


def test_values_hashed_before_are_not_hashed_again_and_give_the_same_graph(monkeypatch):
    customers, observations = tables(RECORDS)
    _, hashes = carried_values(observations.slice(0, 2), shipped_rules(), KEY)
    hashed = []
    keyed = valuing.keyed
    monkeypatch.setattr(valuing, "keyed", lambda n, v, k: (hashed.extend(v.to_pylist()), keyed(n, v, k))[1])

    def nodes(**given):
        seen = observe(
            customers=customers, observations=observations, nodes=NODE_SCHEMA.empty_table(), rules=shipped_rules(),
            key=KEY, business_date=DAY, **given,
        )  # fmt: skip
        return seen.new_nodes.to_pylist()

    every = nodes()
    assert "13912345678" in hashed
    hashed.clear()
    assert nodes(hashes=hashes) == every
    assert hashed
    assert "13912345678" not in hashed
