"""Tags of companies, households, products and branches by both engines, over two dense nights: every table they fill is equal."""

from __future__ import annotations

import datetime as dt
import shutil

import numpy as np
import pytest

from lakehouse.query.hashing import table_hash
from lakehouse.session.session import java_version
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tests.tags.drawn import write
from tests.tags.entities.entity_entries import drafts_of_others, tags
from vocabulary.entities import TAG_ENTITIES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(java_version() is None, reason="the engine spark needs Java, which is not here"),
]
D = dt.date(2028, 2, 29)
DAYS = (D - dt.timedelta(days=1), D)
PEOPLE = 240
CONSTANT = {"product_first_day", "product_types", "branch_active_customer_count"}
TABLES = (
    *(entity.current for entity in TAG_ENTITIES.values() if entity.code != "employee"),
    *(entity.daily for entity in TAG_ENTITIES.values() if entity.code != "employee"),
    "tags.entity_tag_history",
    "tags.tag_history",
    "quality.tag_quality",
)
MONEY, DECIMAL, RATIO = "{type: decimal, unit: money}", "{type: decimal}", "{type: ratio}"
TEXT, DAY, YES, SET = "{type: string}", "{type: date}", "{type: boolean}", "{type: string, cardinality: set}"


def of_group(entity, code, form, value="{type: int}", null_rule="NA", **more):
    """A tag of a company or a household over its people's tags."""
    via = f"int_{entity}_people"
    return {
        "code": f"{entity}_{code}", "entity": entity, "value": value, "null_rule": null_rule,
        "inputs": "tag:gender, tag:age, tag:aum_eod, tag:tenure_days",
        "compute": f"aggregate: {{from: customer_tags, via: {via}, {form}}}", **more,
    }  # fmt: skip


def of_moves(entity, code, form, value="{type: int}", null_rule="NA", **more):
    """A tag of a branch or a product over the transactions that name it or its accounts."""
    via = "via: account, " if entity == "branch" else ""
    names = "direction, amount_base, transacted_on, transaction_type"
    return {
        "code": f"{entity}_{code}", "entity": entity, "value": value, "null_rule": null_rule,
        "inputs": ", ".join(f"trusted.transactions.{name}" for name in names.split(", ")),
        "compute": f"aggregate: {{from: trusted.transactions, {via}{form}}}", **more,
    }  # fmt: skip


def entries():
    for entity in ("company", "household"):
        yield of_group(entity, "people", "measure: count", null_rule="Z")
        yield of_group(entity, "money", "measure: sum, of: aum_eod", MONEY)
        yield of_group(entity, "mean_money", "measure: avg, of: aum_eod, rows_at_least: '2'", MONEY)
        yield of_group(entity, "middle_age", "measure: median, of: age", DECIMAL)
        yield of_group(entity, "high_money", "measure: quantile, quantile: 0.9, of: aum_eod", MONEY)
        yield of_group(entity, "least_age", "measure: min, of: age")
        yield of_group(entity, "tenures", "measure: count_distinct, of: tenure_days", null_rule="Z")
        yield of_group(entity, "usual_gender", "measure: mode, of: gender, of_weight: aum_eod", TEXT)
        yield of_group(
            entity,
            "genders",
            "measure: set, of: gender",
            SET,
            "Z",
            more="    default: []\n    history: true\n",
        )
        yield of_group(entity, "money_by_age", "measure: ratio, of: aum_eod, per: age", RATIO)
        yield of_group(
            entity, "has_women", "measure: any, where: gender = 'F'", YES, "Z", more="    default: false\n"
        )
        rule = {"entity": entity, "kind": "rule", "inputs": f"tag:{entity}_people, tag:{entity}_money"}
        yield {
            **rule, "code": f"{entity}_class", "value": "{type: string, domain: [LARGE, RICH, OTHER]}", "null_rule": "NA",
            "compute": f'''cases: [{{when: {entity}_people >= 4, then: "'LARGE'"}}, {{when: {entity}_money > 5000, then: "'RICH'"}}, {{else: "'OTHER'"}}]''',
            "more": f"    null_when: [{{when: {entity}_money = 0, reason: not_applicable}}]\n",
        }  # fmt: skip
        yield {
            **rule, "code": f"{entity}_share", "value": RATIO, "null_rule": "NA",
            "compute": f"expression: '{entity}_money / nullif({entity}_people - 2, 0)'",
            "more": f"    null_when: [{{when: {entity}_people = 2, reason: not_applicable}}, {{when: {entity}_money is null, reason: unknown}}]\n",
        }  # fmt: skip
    for entity in ("branch", "product"):
        yield of_moves(entity, "moves", "measure: count, window_days: 30", null_rule="Z")
        yield of_moves(
            entity,
            "moved_before",
            "measure: sum, of: amount_base, months: 1, where: direction = 'debit'",
            MONEY,
        )
        yield of_moves(
            entity, "trend", "measure: trend, trend_of: sum, of: amount_base, window_days: 15, base_at_least: '1'", RATIO
        )  # fmt: skip
        yield of_moves(
            entity, "usual_type", "measure: mode, of: transaction_type, order_by: [transacted_on]", TEXT
        )
        yield of_moves(
            entity, "last_type", "measure: last, of: transaction_type, order_by: [transacted_on]", TEXT
        )
        yield of_moves(entity, "first_day", "measure: min, of: transacted_on", DAY)
        yield of_moves(entity, "middle_amount", "measure: median, of: amount_base, rows_at_least: '3'", MONEY)
        yield of_moves(
            entity, "types", "measure: set, of: transaction_type", SET, "Z", more="    default: []\n"
        )
    yield {
        "code": "branch_city", "entity": "branch", "value": TEXT, "null_rule": "U", "inputs": "trusted.branches.city",
        "compute": "latest: {from: trusted.branches, of: city, order_by: [city]}",
    }  # fmt: skip
    yield {
        "code": "branch_holders", "entity": "branch", "inputs": "tag:age, tag:aum_eod", "value": DECIMAL, "null_rule": "NA",
        "compute": "aggregate: {from: customer_tags, via: int_home_branches, measure: avg, of: age, where: aum_eod > 100}",
    }  # fmt: skip


def draw_bank(lake):
    """People of many companies and households, accounts of four branches and three products; ties, nulls and what names nobody."""
    drawn = np.random.default_rng(11)

    def one_of(*options):
        return options[drawn.integers(len(options))]

    def day(back):
        return (D - dt.timedelta(days=int(back))).isoformat()

    people = [f"p{number}" for number in range(1, PEOPLE + 1)]
    ids = [{"one_id": at, "source_key": key, "profile_id": at} for at, key in enumerate(people, start=1)]
    write(lake, "identity.memberships", ids)
    write(lake, "identity.one_ids", [
        {"one_id": at, "anchor_profile_id": at, "created_on": "2026-01-01", "kind": "anonymous" if at % 40 == 0 else "customer", "status": "active",
         "profile_count": 1}
        for at in range(1, PEOPLE + 1)
    ])  # fmt: skip
    write(
        lake,
        "identity.golden_records",
        [{"one_id": at, "gender": one_of("F", "M", None)} for at in range(1, PEOPLE + 1)],
    )
    write(lake, "trusted.customers", [
        {"source_key": key, "kind": "customer", "registered_on": "2020-01-01", "branch_id": one_of("b1", "b2", "b3", None),
         "birth_date": one_of("1960-02-29", "1984-05-01", "2001-12-31", None)}
        for key in people
    ])  # fmt: skip
    cities = {"b1": "310000", "b2": "110000", "b3": None, "b4": "310000"}
    write(lake, "trusted.branches", [{"branch_id": key, "city": city} for key, city in cities.items()])
    write(lake, "trusted.products", [
        {"product_id": key, "product_class": "wealth", "name": key} for key in ("w1", "w2", "w3")
    ])  # fmt: skip
    write(lake, "trusted.accounts", [
        {"account_id": f"a{key}", "account_type": "savings", "currency": "CNY", "status": one_of("open", "open", "closed"), "opened_on": day(400 * at % 999),
         "branch_id": one_of("b1", "b2", "b3", "b9", None), "product_id": one_of("w1", "w2", None)}
        for at, key in enumerate(people)
    ])  # fmt: skip
    belongings = [
        {"relationship_type": "person_account", "from_source": "bank", "from_key": key, "to_source": "bank", "to_key": f"a{key}", "role": "owner"}
        for key in people
    ]  # fmt: skip
    for key in people:
        number = drawn.integers(1, 50)
        source, company = one_of(
            ("credit_code", f"{number}x"), ("credit_code", f"{number}X "), ("hub", str(number)), (None, None)
        )
        if company:
            belongings.append(
                {"relationship_type": "person_company", "from_source": "bank", "from_key": key, "to_source": source, "to_key": company, "role": "member"}
            )  # fmt: skip
        belongings.append(
            {"relationship_type": "person_household", "from_source": "bank", "from_key": key, "to_source": "bank",
             "to_key": f"p{drawn.integers(1, 60)}", "role": one_of("spouse", "child"), "ended_on": one_of(None, None, day(0), day(-1))}
        )  # fmt: skip
    write(lake, "trusted.relationships", belongings)
    write(lake, "trusted.balances", [
        {"account_id": f"a{key}", "product_class": "demand", "balance_on": day(back), "balance": amount, "balance_base": amount, "currency": "CNY"}
        for key in people if int(key[1:]) % 5
        for back, amount in ((30, one_of("0.01", "100")), (0, one_of("-5", "0", "1000.10", "99999999.99")))
    ])  # fmt: skip
    write(lake, "trusted.transactions", [
        {"transaction_id": f"t{at}", "account_id": f"a{one_of(*people)}", "transacted_on": day(one_of(0, 1, 14, 15, 29, 30, 31, 59, 60)),
         "direction": one_of("debit", "credit"), "amount": amount, "amount_base": amount, "currency": "CNY",
         "transaction_type": one_of("PAYMENT", "WEALTH_BUY", "FUND_REDEEM", "FEE"), "product_id": one_of("w1", "w2", "w3", None), "initiator": "C"}
        for at in range(1500) for amount in [one_of("1", "0.01", "7.35", "10000000.99")]
    ])  # fmt: skip


def test_tags_of_entities_are_equal_by_both_engines(tmp_path, spark):
    import tags as room

    folder = tmp_path / "duckdb"
    (folder / "tags").mkdir(parents=True)
    (folder / "cdp.yml").write_text("time_zone: Asia/Shanghai\n")
    (folder / "tags" / "site.yml").write_text(tags(*entries()))
    (folder / "tags" / "others.yml").write_text(
        drafts_of_others("gender", "age", "aum_eod", "tenure_days", "city_tier")
    )
    draw_bank(open_lake(load_settings(folder)))
    twin = tmp_path / "spark"
    shutil.copytree(folder, twin)
    lakes = {
        "duckdb": open_lake(load_settings(folder, engine="duckdb")),
        "spark": open_lake(load_settings(twin, engine="spark"), spark=spark),
    }
    for lake in lakes.values():
        for day in DAYS:
            room.build_tags(lake, day)
    hashes = {
        engine: {table: table_hash(lake.settings, table) for table in TABLES}
        for engine, lake in lakes.items()
    }
    assert hashes["duckdb"] == hashes["spark"]
    # Nothing is equal for being empty: each entity has several rows, and nearly every tag answers that differ.
    for entity in ("company", "household", "product", "branch"):
        rows = lakes["spark"].read_arrow(TAG_ENTITIES[entity].current).to_pylist()
        own = [name for name in rows[0] if name.startswith(f"{entity}_") and name != f"{entity}_id"]
        constant = {name for name in own if len({str(row[name]) for row in rows}) == 1}
        assert len(rows) >= 3 and len(own) >= 10 and constant <= CONSTANT, (entity, constant)
    assert lakes["spark"].read_arrow("tags.entity_tag_history").num_rows > 20
