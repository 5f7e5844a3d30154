"""Random rules over random populations: the compiled SQL chooses whom a second evaluator in plain Python chooses.

Members and unknowns are compared, so that a null that counts as false, or a false that counts as unknown, is seen.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference_rules import ZONE, Bank, all_of, answer_of, any_of, opposite
from segment_bank import rows_of, spec, tag_contracts

from lakehouse.contracts.reading import contract
from lakehouse.query.desk import open_alone
from segments.choosing.compile import LIST_VIEW, compile_leaf_table
from segments.choosing.decide import _choose
from segments.choosing.leaf_tables import list_rows, translated_sql
from segments.language.conditions import ListLeaf, decide
from segments.language.lists import read_list
from segments.language.segment_leaves import all_leaves
from segments.language.spec import read_segment
from vocabulary.policy import Policy

D = dt.date(2026, 11, 18)  # a Wednesday
PEOPLE = range(1, 5)
OPEN = [d for d in (dt.date(2026, 10, 1) + dt.timedelta(days=n) for n in range(92)) if d.weekday() < 5]


def near(least=-40, most=12):
    """Days around the business date."""
    return st.integers(least, most).map(lambda n: D + dt.timedelta(days=n))


def maybe(strategy):
    return st.one_of(st.none(), strategy)


MONEY = st.sampled_from(
    [Decimal("0.00"), Decimal("10.00"), Decimal("49.99"), Decimal("50.00"), Decimal("900.00")]
)
TAG_ROWS = st.fixed_dictionaries(
    {
        "tier": maybe(st.sampled_from(["T1", "T2", "T3"])),
        "balance": MONEY,
        "days_left": maybe(st.sampled_from([1, 5, 17, 18, 30, 31])),
        "interests": st.sets(st.sampled_from(["FUND", "GOLD", "CARD"])).map(sorted),
        "is_active": st.booleans(),
        "opened_on": maybe(st.one_of(near(), st.just(dt.date(2024, 2, 29)), st.just(dt.date(2020, 11, 25)))),
        "grade": maybe(st.sampled_from(["L", "H"])),
    }
)
# Mostly as a night finds it, so that most rows count.
ARRIVAL = st.sampled_from([D - dt.timedelta(days=1)] * 4 + [D] * 4 + [D + dt.timedelta(days=1)])
VALIDITY = st.sampled_from([(D - dt.timedelta(days=9), None)] * 5 + [(D, None), (D - dt.timedelta(days=9), D), (D + dt.timedelta(days=1), None)])  # fmt: skip
ACCOUNTS = ["a1", "a2"]
OWNERSHIPS = st.builds(
    lambda person, account, role, start, end, valid: {
        "relationship_type": "person_account", "from_source": "core", "from_key": f"c{person}", "to_source": "core",
        "to_key": account, "role": role, "started_on": start, "ended_on": end, "valid_from": valid[0], "valid_to": valid[1],
    },
    st.sampled_from(PEOPLE), st.sampled_from(ACCOUNTS), st.sampled_from(["owner", "owner", "co_holder"]),
    maybe(near(-5, 1)), st.sampled_from([None, None, None, D, D + dt.timedelta(days=1)]), VALIDITY,
)  # fmt: skip
HOLDINGS = st.builds(
    lambda account, kind, balance, quantity, matures, valid, product: {
        "account_id": account, "product_class": kind, "balance": balance, "quantity": quantity, "matures_on": matures,
        "currency": "CNY", "status": "active", "valid_from": valid[0], "valid_to": valid[1], "product_id": product,
    },
    st.sampled_from(ACCOUNTS), st.sampled_from(["wealth", "fund"]), MONEY, maybe(MONEY), maybe(near()), VALIDITY,
    maybe(st.sampled_from(list("019"))),
)  # fmt: skip
BALANCES = st.builds(
    lambda account, kind, day, balance, arrived: {
        "account_id": account, "product_class": kind, "balance_on": day, "balance": balance, "currency": "CNY",
        "balance_base": balance, "_arrived_on": arrived,
    },
    st.sampled_from(ACCOUNTS), st.sampled_from(["demand", "time"]), near(-4, 1), MONEY, ARRIVAL,
)  # fmt: skip
CARDS = st.builds(
    lambda person, account, limit, valid: {
        "source_key": f"c{person}" if person else None, "account_id": account, "card_type": "credit", "status": "active",
        "credit_limit": limit, "currency": "CNY", "valid_from": valid[0], "valid_to": valid[1],
    },
    maybe(st.sampled_from([*PEOPLE, 99])), maybe(st.sampled_from(ACCOUNTS)), maybe(MONEY), VALIDITY,
)  # fmt: skip
ATTRIBUTE_VALUES = {
    "card_look": st.sampled_from(["GOLD", "BLUE"]), "fee": MONEY.map(str), "renews_on": near().map(str), "is_metal": st.sampled_from(["true", "false"]),
}  # fmt: skip
ATTRIBUTE_TYPES = {"card_look": "string", "fee": "decimal", "renews_on": "date", "is_metal": "boolean"}
ATTRIBUTES = st.sampled_from(list(ATTRIBUTE_VALUES)).flatmap(
    lambda code: st.builds(
        lambda entity, card, kind, value, valid: {
            "entity": entity, "entity_key": card, "attribute": code, "value_type": kind, "value": value,
            "valid_from": valid[0], "valid_to": valid[1],
        },
        st.sampled_from(["card", "card", "card", "account"]), st.sampled_from(list("01234")),
        st.sampled_from([ATTRIBUTE_TYPES[code]] * 4 + ["int"]), maybe(ATTRIBUTE_VALUES[code]), VALIDITY,
    )
)  # fmt: skip
EVENTS = st.builds(
    lambda person, name, day, minute, channel, amount, properties, arrived: {
        "source_key": f"c{person}", "event_name": name, "channel": channel, "amount": amount, "properties": properties,
        "occurred_at": dt.datetime.combine(day, dt.time(), ZONE) + dt.timedelta(minutes=minute), "occurred_on": day,
        "_arrived_on": arrived,
    },
    st.sampled_from(PEOPLE), st.sampled_from(["view", "view", "click", "buy"]), near(-4, 1), st.integers(0, 1439),
    maybe(st.sampled_from(["APP", "WEB"])), maybe(MONEY),
    st.sampled_from([None, "{}", "no json", '{"scene": "a", "price": 50}', '{"scene": "b", "price": "x"}', '{"price": 49.5}']),
    ARRIVAL,
)  # fmt: skip
RECEIPTS = st.builds(
    lambda person, run, status, channel, day, arrived: {
        "run_id": run, "destination": "engine", "recipient_key": f"k{person}", "channel": channel, "status": status,
        "event_at": dt.datetime.combine(day, dt.time(3), dt.UTC), "event_on": day, "_arrived_on": arrived,
    },
    st.sampled_from(PEOPLE), st.sampled_from(["r1", "r2"]), st.sampled_from(["SENT", "OPENED", "CLICKED"]),
    st.sampled_from(["SMS", "PUSH"]), near(-9, 1), ARRIVAL,
)  # fmt: skip
PRODUCTS = st.builds(
    lambda category, least, valued, valid: {
        "product_class": "goods", "category": category, "min_purchase": least, "unit_value_on": valued,
        "valid_from": valid[0], "valid_to": valid[1],
    },
    maybe(st.sampled_from(["gold", "tea"])), maybe(MONEY), maybe(near()), VALIDITY,
)  # fmt: skip
ORDERS = st.builds(
    lambda person, channel, day, amount, arrived: {
        "source_key": f"c{person}" if person else None, "channel": channel, "ordered_on": day, "amount": amount, "currency": "CNY",
        "status": "paid", "_arrived_on": arrived,
    },
    maybe(st.sampled_from([*PEOPLE, 99])), maybe(st.sampled_from(["APP", "WEB"])), near(-4, 1), maybe(MONEY), ARRIVAL,
)  # fmt: skip
LINES = st.builds(
    lambda order, product, amount, day, arrived: {
        "order_id": order, "product_id": product, "quantity": 1, "unit_price": 1, "amount": amount, "currency": "CNY",
        "ordered_on": day, "_arrived_on": arrived,
    },
    st.sampled_from(list("012")), maybe(st.sampled_from(list("019"))), MONEY, near(-4, 1), ARRIVAL,
)  # fmt: skip
MICRO_ROWS = st.builds(
    lambda code, day, person, label: {"code": code, "as_of": day, "one_id": person, "label": label},
    st.sampled_from(["value_groups", "habits"]), near(-1, 0), st.sampled_from(PEOPLE), st.integers(1, 3),
)  # fmt: skip
KEYS = {
    "trusted.products": "product_id", "trusted.orders": "order_id", "trusted.order_lines": "line_number",
    "trusted.holdings": "holding_id", "trusted.cards": "card_id", "trusted.events": "event_id", "trusted.receipts": "receipt_id",
}  # fmt: skip


ENDS = st.sampled_from([None, None, D, D + dt.timedelta(days=1), D - dt.timedelta(days=1)])
LISTS = st.fixed_dictionaries({
    "numbers@1": st.lists(st.builds(lambda n, end: {"one_id": n, "expires_on": end}, st.sampled_from([*PEOPLE, 77, 77, 99]), ENDS), min_size=1, max_size=4),
    "records@1": st.lists(
        st.builds(lambda n, end: {"source": "core", "source_key": f"c{n}", "expires_on": end}, st.sampled_from([*PEOPLE, 99]), ENDS), max_size=4
    ),
})  # fmt: skip


@st.composite
def banks(draw):
    """A few people and everything that the rules may ask of them."""
    tables = {
        "trusted.relationships": draw(st.lists(OWNERSHIPS, min_size=2, max_size=5)),
        "trusted.holdings": draw(st.lists(HOLDINGS, min_size=2, max_size=6)),
        "trusted.balances": draw(st.lists(BALANCES, min_size=3, max_size=8)),
        "trusted.cards": draw(st.lists(CARDS, max_size=5)),
        "trusted.products": draw(st.lists(PRODUCTS, min_size=1, max_size=2)),
        "trusted.orders": draw(st.lists(ORDERS, min_size=2, max_size=3)),
        "trusted.order_lines": draw(st.lists(LINES, min_size=3, max_size=7)),
        "trusted.attributes": draw(
            st.lists(ATTRIBUTES, max_size=12, unique_by=lambda row: (row["entity"], row["entity_key"], row["attribute"]))
        ),
        "trusted.events": draw(st.lists(EVENTS, min_size=6, max_size=14)),
        "trusted.receipts": draw(st.lists(RECEIPTS, max_size=6)),
        "segments.recipients": [{"destination": "engine", "recipient_key": f"k{n}", "one_id": n} for n in PEOPLE],
        "segments.deliveries": [
            {"run_id": run, "destination": "engine", "code": code, "as_of": D, "seq": 1, "attempt": 1, "status": "DELIVERED",
             "accepted": 1, "rejected": 0, "manifest_sha256": "0"}
            for run, code in (("r1", "alpha"), ("r2", "beta"))
        ],
        "identity.redirects": draw(st.sampled_from([[{"from_one_id": 77, "to_one_id": n}] for n in PEOPLE] + [[]])),
        "identity.memberships": [{"one_id": n, "source_key": f"c{n}", "profile_id": n} for n in PEOPLE],
        "segments.micro_segments": draw(
            st.lists(MICRO_ROWS, max_size=8, unique_by=lambda row: (row["code"], row["as_of"], row["one_id"]))
        ),
    }  # fmt: skip
    for table, rows in tables.items():
        for number, row in enumerate(rows):
            row |= {"source": "core"} if table.startswith("trusted") else {}
            row |= (
                {KEYS[table]: number if table == "trusted.order_lines" else str(number)}
                if table in KEYS
                else {}
            )
            row |= {"_file": "x", "_row": number} if table.startswith("trusted") else {}
            row.setdefault("valid_to", None) if table.startswith("trusted") else None
    people = {n: {"one_id": n, **draw(TAG_ROWS)} for n in PEOPLE}
    return Bank(
        D,
        people,
        {("core", f"c{n}"): n for n in PEOPLE},
        tables,
        EXPRESSIONS,
        {"exchange@1": OPEN},
        draw(LISTS),
        {"other": draw(st.sets(st.sampled_from(PEOPLE)))},
        {3: {n: {"one_id": n, **draw(TAG_ROWS)} for n in draw(st.sets(st.sampled_from(PEOPLE)))}},
    )


def _less(one, other):
    return None if one is None or other is None else one < other


EXPRESSIONS = {
    "balance > 3 * days_left": lambda t: _less(3 * t["days_left"] if t["days_left"] else None, t["balance"]),
    "coalesce(days_left, 0) + 1 >= 18 or tier = 'T1'": lambda t: any_of(
        [(t["days_left"] or 0) + 1 >= 18, None if t["tier"] is None else t["tier"] == "T1"]
    ),
    "datediff(:business_date, opened_on) between 0 and 30": lambda t: (
        None if t["opened_on"] is None else 0 <= (D - t["opened_on"]).days <= 30
    ),
    "date_add(opened_on, 7) > date '2026-11-18' and not is_active": lambda t: all_of(
        [
            None if t["opened_on"] is None else t["opened_on"] + dt.timedelta(days=7) > D,
            opposite(t["is_active"]),
        ]
    ),
    "size(interests) = 2 and array_contains(interests, 'FUND')": lambda t: (
        len(t["interests"]) == 2 and "FUND" in t["interests"]
    ),
    "case when tier is null then balance >= 50 when tier in ('T1', 'T2') then true else is_active end": lambda t: (
        t["balance"] >= 50 if t["tier"] is None else (True if t["tier"] in ("T1", "T2") else t["is_active"])
    ),
}

COUNTS = st.sampled_from([{"gte": 1}, {"gte": 2}, {"eq": 0}, {"eq": 1}, {"ne": 1}, {"lt": 2}, {"lte": 1}, {"gt": 1}, {"between": [1, 2]}, {"gte": 1, "lt": 3}])  # fmt: skip
AMOUNTS = st.sampled_from([{"gte": 50}, {"lt": 50}, {"between": [10, 60.5]}, {"eq": 0}])
DAYS = st.sampled_from(
    [{"between": [0, 7]}, {"lte": 3}, {"eq": 0}, {"gte": 1, "lt": 9}, {"lt": 0}, {"ne": 2}, {"gt": 30}]
)
DATES = st.one_of(DAYS.map(lambda d: {"days_ahead": d}), DAYS.map(lambda d: {"days_ago": d}))


def measures(of):
    """A measure and its comparison, over columns that may be summed."""
    sums = st.builds(lambda name, column, wish: {name: {"of": column, **wish}}, st.sampled_from(["sum", "min", "max"]), st.sampled_from(of), AMOUNTS)  # fmt: skip
    return st.one_of(COUNTS.map(lambda c: {"count": c}), st.booleans().map(lambda b: {"any": b}), sums)


def optional(key, strategy):
    return st.one_of(st.just({}), strategy.map(lambda value: {key: value}))


def joined(*parts):
    return st.tuples(*parts).map(lambda found: {k: v for part in found for k, v in part.items()})


HOLDING_MATCH = joined(
    optional("product_class", st.sampled_from(["wealth", ["wealth", "fund"], {"ne": "fund"}])),
    optional("quantity", AMOUNTS),
    optional("matures_on", st.one_of(DATES, st.just({"is_null": True}))),
    optional("product.category", st.sampled_from(["gold", {"ne": "tea"}, {"is_null": True}])),
)
LINE_MATCH = joined(
    optional("product.category", st.sampled_from(["gold", ["gold", "tea"], {"ne": "gold"}, {"is_null": True}])),
    optional("order.channel", st.just("APP")), optional("product.min_purchase", AMOUNTS), optional("product.unit_value_on", DATES),
)  # fmt: skip
CARD_MATCH = joined(
    optional("card_look", st.sampled_from(["GOLD", ["GOLD", "BLUE"], {"ne": "GOLD"}, {"is_null": True}])),
    optional("fee", AMOUNTS), optional("renews_on", DATES), optional("is_metal", st.booleans()),
)  # fmt: skip
DETAILS = st.one_of(
    joined(st.just({"from": "holdings"}), optional("match", HOLDING_MATCH), st.one_of(
        measures(["balance", "quantity"]), st.builds(lambda name, d: {name: {"of": "matures_on", **d}}, st.sampled_from(["min", "max"]), DATES))),
    joined(st.just({"from": "balances"}), optional("match", st.just({"product_class": "demand"})), measures(["balance"])),
    joined(st.just({"from": "cards"}), optional("match", st.just({"credit_limit": {"gte": 50}})), measures(["credit_limit"])),
    joined(st.just({"from": "cards"}), optional("match", CARD_MATCH), measures(["credit_limit", "fee"])),
    joined(st.just({"from": "relationships"}), optional("match", st.sampled_from([
        {"role": "co_holder"}, {"to_key": ["a1"]}, {"started_on": {"days_ago": {"gte": 0}}}])), COUNTS.map(lambda c: {"count": c})),
    joined(st.just({"from": "order_lines", "via": "order"}), optional("match", LINE_MATCH), optional("within_days", st.just(3)),
           measures(["amount", "product.min_purchase", "order.amount"])),
    joined(st.just({"from": "holdings"}), optional("match", HOLDING_MATCH), measures(["product.min_purchase"])),
).map(lambda body: {"detail": body})  # fmt: skip
EVENT_RULES = joined(
    st.just({"within_days": 3}), st.sampled_from([{"name": "view"}, {"name": ["click", "buy"]}]),
    optional("channel", st.just("APP")), optional("match", AMOUNTS.map(lambda a: {"amount": a})),
    optional("properties", st.sampled_from([{"scene": "a"}, {"scene": {"in": ["a", "c"]}}, {"price": {"gte": 49.5}}])),
    measures(["amount"]),
).map(lambda body: {"event": body})  # fmt: skip
RECEIPT_RULES = joined(
    st.sampled_from([{"status": "OPENED"}, {"status": ["OPENED", "CLICKED"]}]), optional("of", st.sampled_from(["alpha", ["alpha", "beta"]])),
    optional("channel", st.just("SMS")), optional("within_days", st.just(5)), optional("count", COUNTS),
).map(lambda body: {"receipt": body})  # fmt: skip
ABSENCES = st.sampled_from([
    {"absence": {"name": "view", "within_days": 2}}, {"absence": {"name": ["view", "buy"], "within_days": 1, "seen_within_days": 4}},
])  # fmt: skip
SEQUENCES = joined(
    st.sampled_from([
        {"steps": [{"name": "view"}, {"name": "click"}], "within": "1d"}, {"steps": [{"name": "view"}, {"name": "view"}], "within": "12h"},
        {"steps": [{"name": "view"}, {"name": "click"}, {"name": "buy"}], "within": "2d"}, {"steps": [{"name": "click"}]},
    ]),
    st.sampled_from([{"then_not": {"name": "buy", "for": "1d"}}, {"then_not": {"name": "view", "for": "90m"}}]),
    optional("within_days", st.just(4)),
).map(lambda body: {"sequence": body})  # fmt: skip
KEY_DATES = joined(
    st.sampled_from([
        {"of": "opened_on"}, {"of": "opened_on", "every": "year"}, {"of": "days_left", "every": "month"},
        *({"of": "matures_on", "from": "holdings", "pick": pick} for pick in ("first", "last", "next")),
        {"of": "matures_on", "from": "holdings", "pick": "next", "match": {"quantity": {"gte": 50}}},
        {"of": "matures_on", "from": "holdings", "pick": "last", "every": "month"},
        {"of": "product.unit_value_on", "from": "holdings", "pick": "last"},
        {"of": "ordered_on", "from": "order_lines", "via": "order", "pick": "last", "match": {"product.category": "gold"}},
        {"of": "renews_on", "from": "cards", "pick": "next", "match": {"card_look": "GOLD"}},
    ]),
    DAYS.map(lambda d: {"days_ahead": d}), optional("calendar", st.just("exchange@1")),
).map(lambda body: {"date": body})  # fmt: skip
TAGS = st.sampled_from([
    {"tag": "tier", "in": ["T1", "T2"]}, {"tag": "tier", "ne": "T3"}, {"tag": "balance", "gte": 50}, {"tag": "days_left", "lt": 18},
    {"tag": "opened_on", "days_ahead": {"between": [-9, 3]}}, {"tag": "interests", "contains_any": ["FUND", "CARD"]},
    *({"tag": tag, "changed_since": 3} for tag in ("tier", "balance", "days_left", "interests", "opened_on", "is_active")),
    {"tag": "balance", "changed_since": 3, "gte": 10},
])  # fmt: skip
RANKS = joined(
    st.sampled_from([{"tag": "balance"}, {"tag": "days_left"}]),
    st.sampled_from([{"top_n": 1}, {"top_n": 3}, {"top_percent": 30}, {"top_percent": 50.5}]),
    st.sampled_from([{"within": "base"}, {"within": "all"}]),
)
MICRO_RULES = st.builds(
    lambda code, label: {"micro_segment": {"set": code, "label": label}},
    st.sampled_from(["value_groups", "habits"]),
    st.integers(1, 3) | st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
OTHERS = st.one_of(
    MICRO_RULES,
    st.sampled_from([{"sample": {"percent": 40}}, {"sample": {"percent": 12.34, "salt": "pilot"}}]),
    st.sampled_from([{"expr": text} for text in EXPRESSIONS]),
    st.sampled_from([{"list": "numbers@1"}, {"list": "records@1"}, {"segment": "other"}]),
)  # fmt: skip
LEAVES = joined(
    st.one_of(
        DETAILS, DETAILS, EVENT_RULES, EVENT_RULES, SEQUENCES, SEQUENCES, KEY_DATES, KEY_DATES, TAGS, RANKS
    )
    | RECEIPT_RULES
    | ABSENCES
    | OTHERS
)
RULES = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        part.map(lambda p: {"not": p}),
        st.lists(part, min_size=1, max_size=3).map(lambda ps: {"all": ps}),
        st.lists(part, min_size=1, max_size=3).map(lambda ps: {"any": ps}),
    ),
    max_leaves=5,
)


def rule_text(rule, base):
    """The file of a rule."""
    return spec("x", f"unknown: exclude\nbase: {json.dumps(base)}\nwhere: {json.dumps(rule, default=str)}")


def leaves_of(desk, folder, bank, text, code="x"):
    """The segment of a file, and its leaf table over the rows of the bank."""
    (folder / "segments").mkdir(exist_ok=True)
    file = folder / "segments" / f"{code}.yml"
    file.write_text(text)
    segment = read_segment(file)
    compiled = compile_leaf_table([segment], business_date=bank.day, policy=Policy())
    relations = {}
    for table in compiled.tables:
        if table == "tags.customer_tags":
            rows = pa.Table.from_pylist(list(bank.people.values()), schema=tag_contracts()[0].arrow_schema())
        elif table == "tags.customer_tags_daily":
            earlier = [
                row | {"as_of": D - dt.timedelta(days=days)}
                for days, people in bank.before.items()
                for row in people.values()
            ]
            rows = pa.Table.from_pylist(earlier, schema=tag_contracts()[1].arrow_schema())
        elif table in bank.tables:
            rows = rows_of(table, bank.tables[table])
        else:
            rows = contract(table).arrow_schema().empty_table()
        relations[table] = desk.lend(table, rows)
    lists = {leaf.reference: leaf for leaf in all_leaves(segment) if isinstance(leaf, ListLeaf)}
    for reference in lists:
        _write_list(folder, reference, bank.lists[reference])
    entries = {reference: read_list(folder, leaf) for reference, leaf in lists.items()}
    relations[LIST_VIEW] = desk.lend(LIST_VIEW, list_rows(entries, bank.day))
    return segment, desk.keep("leaves", translated_sql(compiled.sql, relations))


def _write_list(folder, reference, entries):
    columns = ["one_id", "expires_on"] if reference == "numbers@1" else ["source", "source_key", "expires_on"]
    lines = [
        ",".join("" if entry[name] is None else str(entry[name]) for name in columns) for entry in entries
    ]
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "lists" / f"{reference}.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("populations")
    (folder / "calendars").mkdir()
    (folder / "attributes.yml").write_text(
        "attributes:\n"
        + "".join(
            f"  - {{code: {code}, entity: card, type: {kind}, level: C1, name: {{zh: 属性, en: {code}}}}}\n"
            for code, kind in ATTRIBUTE_TYPES.items()
        )
    )
    (folder / "calendars" / "exchange@1.csv").write_text("day\n" + "".join(f"{day}\n" for day in OPEN))
    return folder


BASES = st.sampled_from(
    [{"tag": "balance", "gte": 0}, {"tag": "tier", "in": ["T1", "T2"]}, {"tag": "is_active", "eq": True}]
)


UNHURRIED = {
    "deadline": None,
    # To shrink a bank of six tables takes minutes and says little more than the leaf that differs.
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
}
CHANGES = st.sampled_from([{"tag": tag, "changed_since": 3} for tag in ("tier", "balance", "days_left", "interests", "opened_on", "is_active")])  # fmt: skip
NAMES = st.sampled_from([{"list": "numbers@1"}, {"list": "records@1"}])
KINDS = (DETAILS, EVENT_RULES, RECEIPT_RULES, ABSENCES, SEQUENCES, KEY_DATES, CHANGES, NAMES, MICRO_RULES, st.sampled_from([{"expr": text} for text in EXPRESSIONS]))  # fmt: skip
MANY = st.tuples(*(st.lists(kind, min_size=4, max_size=4) for kind in KINDS)).map(
    lambda kinds: [leaf for leaves in kinds for leaf in leaves]
)


@pytest.mark.slow
@settings(max_examples=25, **UNHURRIED)
@given(banks(), MANY)
def test_every_leaf_answers_as_plain_python_does(folder, bank, rules):
    with open_alone("Asia/Shanghai", threads=1) as desk:
        segment, leaves = leaves_of(
            desk, folder, bank, rule_text({"any": rules}, {"tag": "balance", "gte": 0})
        )
        rows = {row["one_id"]: row for row in desk.arrow(f"SELECT * FROM {leaves}").to_pylist()}
    parts = dict(zip(map(str, rules), segment.where.parts, strict=True))
    differing = [
        (n, rule, decide(parts[str(rule)], lambda leaf, n=n: rows[n][leaf.column]), expected)
        for rule in rules
        for n in bank.people
        if (expected := answer_of(rule, n, bank, segment="x"))
        is not decide(parts[str(rule)], lambda leaf, n=n: rows[n][leaf.column])
    ]
    assert differing == []


def assert_same_choice(folder, bank, rule, base):
    """The product chooses whom plain Python chooses, and has as many unknown answers."""
    answers = [
        (n, all_of([answer_of(part, n, bank, segment="x", base=base) for part in (base, rule)]))
        for n in bank.people
    ]
    expected = [n for n, answer in answers if answer], sum(answer is None for _, answer in answers)
    assert choice_of(folder, bank, rule_text(rule, base)) == expected


def choice_of(folder, bank, text, code="x"):
    """Whom the product chooses by a file, and how many answers are unknown."""
    with open_alone("Asia/Shanghai", threads=1) as desk:
        segment, leaves = leaves_of(desk, folder, bank, text, code)
        others = {
            code: desk.lend(f"members_{code}", pa.table({"one_id": pa.array(sorted(people), pa.int64())}))
            for code, people in bank.members.items()
        }
        choice = _choose(desk, segment, None, leaves, leaves, others)
        people = sorted(n for (n,) in desk.rows(f"SELECT one_id FROM ({choice.people})"))
        return people, choice.unknown


@pytest.mark.slow
@settings(max_examples=20, **UNHURRIED)
@given(banks(), RULES, BASES)
def test_a_rule_chooses_whom_plain_python_chooses(folder, bank, rule, base):
    assert_same_choice(folder, bank, rule, base)


@pytest.mark.parametrize(
    ("pick", "may_match", "expected"),
    [
        ("next", 9, ([1], 0)),
        ("next", 2, ([], 1)),
        ("first", 9, ([1], 0)),
        ("last", 9, ([], 1)),
        ("last", 2, ([1], 0)),
    ],
)
def test_a_key_date_is_unknown_only_where_a_row_that_may_match_would_be_picked(
    folder, pick, may_match, expected
):
    owned = {
        "relationship_type": "person_account", "from_source": "core", "from_key": "c1", "to_source": "core", "to_key": "a", "role": "owner",
        "started_on": None, "ended_on": None, "valid_from": D, "valid_to": None, "source": "core",
    }  # fmt: skip
    holdings = [
        {"source": "core", "account_id": "a", "product_class": "wealth", "balance": Decimal(1), "quantity": quantity, "currency": "CNY",
         "matures_on": D + dt.timedelta(days), "status": "active", "valid_from": D, "valid_to": None, "product_id": None}
        for days, quantity in ((5, Decimal(60)), (may_match, None))
    ]  # fmt: skip
    person = {"one_id": 1, "tier": "T1", "balance": Decimal(9), "days_left": 1, "interests": [], "is_active": True, "opened_on": None, "grade": None}  # fmt: skip
    tables = {
        "trusted.relationships": [owned], "trusted.holdings": holdings,
        "identity.memberships": [{"one_id": 1, "source_key": "c1", "profile_id": 1}],
    }  # fmt: skip
    bank = Bank(D, {1: person}, {("core", "c1"): 1}, tables=tables)
    rule = {"date": {"of": "matures_on", "from": "holdings", "pick": pick, "match": {"quantity": {"gte": 50}}, "days_ahead": {"eq": 5}}}  # fmt: skip
    base = {"tag": "balance", "gte": 0}
    assert answer_of(rule, 1, bank, segment="x") is (None if expected[1] else True)
    assert choice_of(folder, bank, rule_text(rule, base)) == expected


EQUALS = st.lists(st.sampled_from([None, 5, 17]), min_size=6, max_size=9)


@pytest.mark.slow
@settings(max_examples=25, **UNHURRIED)
@given(EQUALS, RANKS, st.sampled_from([{"tag": "balance", "gte": 0}, {"tag": "tier", "in": ["T1", "T2"]}]))
def test_a_rank_parts_equal_values_by_the_hash(folder, values, rank, base):
    tiers = ["T1", "T2", "T3", None]
    people = {
        n: {"one_id": n, "tier": tiers[n % 4], "balance": Decimal(value or 0), "days_left": value, "interests": [],
            "is_active": True, "opened_on": None, "grade": None}
        for n, value in enumerate(values, start=1)
    }  # fmt: skip
    assert_same_choice(folder, Bank(D, people, {}), rank, base)
