"""Tags over attributes and look-ups of a drawn shop, worked out by hand; and what is wrong with them, said with its place."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

import tags
from lakehouse.errors import GateStopped, SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.compile.compilation import compile_tags
from tests.tags.drawn import draw
from vocabulary.lookups import read_lookups

D = dt.date(2026, 3, 31)
PEOPLE = ("ann", "bob", "cat")
ONE = {name: 1_000_000_000_001 + at for at, name in enumerate(PEOPLE)}
ATTRIBUTES = """\
attributes:
  - {code: plan, entity: customer, type: string, level: C1, domain: [BASIC, PLUS], name: {zh: 套餐, en: Plan}}
  - {code: fee, entity: customer, type: decimal, level: C2, name: {zh: 月费, en: Fee}}
  - {code: margin, entity: product, type: ratio, level: C1, name: {zh: 毛利率, en: Margin}}
  - {code: is_own, entity: product, type: boolean, level: C1, name: {zh: 自有品牌, en: Own brand}}
  - {code: region, entity: branch, type: string, level: C1, name: {zh: 大区, en: Region}}
  - {code: theme, entity: campaign, type: string, level: C1, name: {zh: 主题, en: Theme}}
  - {code: tariff, entity: account, type: string, level: C2, domain: [BASIC, GOLD], name: {zh: 资费, en: Tariff}}
  - {code: is_green, entity: loan, type: boolean, level: C2, name: {zh: 绿色贷款, en: Green loan}}
  - {code: packaging, entity: order, type: string, level: C1, name: {zh: 包装, en: Packaging}}
"""
LOOKUPS = """\
lookups:
  - {code: city, from: trusted.customers, to: trusted.reference_values, keys: {residence_city: code}, values: {code_set: city}, source: hub}
"""
# code, value, null rule, level, inputs, compute
TAGS = {
    "plan_now": ("{type: string, domain: [BASIC, PLUS]}", "U", "trusted.customers.plan", "latest: {from: trusted.customers, of: plan, order_by: [valid_from]}"),
    "fee_total": ("{type: decimal}", "NA", "trusted.customers.fee", "aggregate: {from: trusted.customers, measure: sum, of: fee}"),
    "city_tier_of_hub": ("{type: string}", "U", "trusted.reference_values.parent_code", "latest: {from: trusted.customers, of: '`city.parent_code`', order_by: [valid_from]}"),
    "books_amount": ("{type: decimal}", "Z", "trusted.order_lines.amount, trusted.products.category",
                     "aggregate: {from: trusted.order_lines, via: order, measure: sum, of: amount, where: \"`product.category` = 'BOOKS'\"}"),
    "own_margin": ("{type: decimal}", "Z", "trusted.order_lines.amount, trusted.products.margin, trusted.products.is_own",
                   "aggregate: {from: trusted.order_lines, via: order, measure: sum, of: 'cast(amount * `product.margin` as decimal(18,2))', where: '`product.is_own`'}"),
    "regions": ("{type: string, cardinality: set}", "Z", "trusted.branches.region",
                "aggregate: {from: trusted.order_lines, via: order, measure: set, of: '`order.branch.region`'}"),
    "coupons_redeemed_90d": ("{type: int}", "Z", "trusted.outside_contacts.kind",
                             "aggregate: {from: trusted.outside_contacts, measure: count, where: \"kind = 'COUPON_REDEEMED'\", window_days: 90}"),
    "rent_amount": ("{type: decimal}", "Z", "trusted.standing_orders.amount, trusted.standing_orders.purpose, trusted.accounts.status",
                    "aggregate: {from: trusted.standing_orders, measure: sum, of: amount, where: \"purpose = 'RENT' and `account.status` = 'open'\"}"),
    "spring_events": ("{type: int}", "Z", "trusted.campaigns.name",
                      "aggregate: {from: trusted.events, measure: count, where: \"`campaign.name` = 'Spring'\"}"),
    "green_events": ("{type: int}", "Z", "trusted.campaigns.theme",
                     "aggregate: {from: trusted.events, measure: count, where: \"`campaign.theme` = 'GREEN'\"}"),
    "gold_by_credit_card": ("{type: decimal}", "Z", "trusted.transactions.amount_base, trusted.cards.card_type, trusted.accounts.tariff",
                            "aggregate: {from: trusted.transactions, measure: sum, of: amount_base, "
                            "where: \"`card.card_type` = 'credit' and `account.tariff` = 'GOLD'\"}"),
    "by_card_of_another": ("{type: decimal}", "Z", "trusted.transactions.amount_base, trusted.accounts.status",
                           "aggregate: {from: trusted.transactions, measure: sum, of: amount_base, "
                           "where: \"`card.account.status` = 'open' and `account.status` = 'closed'\"}"),
    "paid_in_east": ("{type: decimal}", "Z", "trusted.transactions.amount_base, trusted.branches.region",
                     "aggregate: {from: trusted.transactions, measure: sum, of: amount_base, where: \"`account.branch.region` = 'EAST'\"}"),
    "gold_card_count": ("{type: int}", "Z", "trusted.accounts.tariff",
                        "aggregate: {from: trusted.cards, measure: count, where: \"`account.tariff` = 'GOLD'\"}"),
    "card_count": ("{type: int}", "Z", "trusted.cards.card_type", "aggregate: {from: int_cards_keyed, measure: count, of: card_type}"),
    "tariff_now": ("{type: string, domain: [BASIC, GOLD]}", "U", "trusted.accounts.tariff",
                   "latest: {from: trusted.accounts, of: tariff, order_by: [valid_from]}"),
    "has_green_loan": ("{type: boolean}", "Z", "trusted.loans.is_green", "aggregate: {from: trusted.loans, measure: any, where: is_green}"),
    "packagings": ("{type: string, cardinality: set}", "Z", "trusted.orders.packaging",
                   "aggregate: {from: trusted.orders, measure: set, of: packaging}"),
    "is_plus_reader": ("{type: boolean}", "Z", "tag:plan_now, tag:books_amount", "expression: \"plan_now = 'PLUS' and books_amount > 10\""),
}  # fmt: skip
# Worked out by hand from the drawing below.
ANSWERS = {
    "ann": {"plan_now": "PLUS", "fee_total": Decimal("30.50"), "city_tier_of_hub": "T1", "books_amount": Decimal("12.00"),
            "own_margin": Decimal("1.25"), "regions": ["EAST"], "coupons_redeemed_90d": 1, "rent_amount": Decimal("1200.00"), "is_plus_reader": True,
            "spring_events": 2, "green_events": 2, "gold_by_credit_card": Decimal("10.00"), "by_card_of_another": Decimal("0.00"),
            "paid_in_east": Decimal("330.00"), "gold_card_count": 0, "card_count": 1, "tariff_now": "GOLD", "has_green_loan": True,
            "packagings": ["BOX"]},
    "bob": {"spring_events": 0, "green_events": 0, "gold_by_credit_card": Decimal("0.00"), "by_card_of_another": Decimal("80.00"),
            "paid_in_east": Decimal("0.00"), "gold_card_count": 1, "card_count": 2, "tariff_now": "BASIC", "has_green_loan": False,
            "packagings": [], "plan_now": "BASIC", "fee_total": None, "city_tier_of_hub": None, "books_amount": Decimal("-2.00"),
            "own_margin": Decimal("0.00"), "regions": [], "coupons_redeemed_90d": 0, "rent_amount": Decimal("0.00"), "is_plus_reader": False},
    "cat": {"spring_events": 1, "green_events": 1, "gold_by_credit_card": Decimal("0.00"), "by_card_of_another": Decimal("0.00"),
            "paid_in_east": Decimal("0.00"), "gold_card_count": 0, "card_count": 0, "tariff_now": None, "has_green_loan": False,
            "packagings": [], "plan_now": None, "fee_total": None, "city_tier_of_hub": None, "books_amount": Decimal("0.00"),
            "own_margin": Decimal("0.00"), "regions": [], "coupons_redeemed_90d": 0, "rent_amount": Decimal("0.00"), "is_plus_reader": False},
}  # fmt: skip


def tag_file(entries) -> str:
    lines = ["family: site", "tags:"]
    for code, (value, null_rule, inputs, compute) in entries.items():
        kind = "rule" if "expression" in compute else "fact"
        default = "\n    default: false" if null_rule == "Z" and "boolean" in value else ""
        lines.append(
            f"  - code: {code}\n    name: {{zh: 标签, en: {code}}}\n    definition: {{zh: 说明, en: Meaning of {code}}}\n"
            f"    kind: {kind}\n    value: {value}\n    null_rule: {null_rule}{default}\n    level: C2\n    purposes: [service]\n"
            f"    inputs: [{inputs}]\n    compute: {{{compute}}}\n    owner: data\n    version: 1.0.0\n    status: online"
        )
    return "\n".join(lines) + "\n"


def site_files(**replaced: str) -> dict[str, str]:
    files = {"attributes.yml": ATTRIBUTES, "lookups.yml": LOOKUPS, "tags/site.yml": tag_file(TAGS)}
    return files | {name.replace("__", "/") + ".yml": text for name, text in replaced.items()}


def fill(lake) -> None:
    ids = "\n".join(
        f"| {ONE[n]} | {at} | 2026-01-01 | customer | active | 1 |" for at, n in enumerate(PEOPLE)
    )
    draw(
        lake,
        "identity.one_ids",
        f"| one_id | anchor_profile_id | created_on | kind | status | profile_count |\n{ids}",
    )
    members = "\n".join(f"| {ONE[n]} | bank | {n} | {at} |" for at, n in enumerate(PEOPLE))
    more = f"| {ONE['ann']} | bank | ann2 | 9 |"
    draw(lake, "identity.memberships", f"| one_id | source | source_key | profile_id |\n{members}\n{more}")
    draw(lake, "trusted.customers", """
        | source_key | kind     | residence_city | valid_from | valid_to   |
        | ann        | customer | SH             | 2026-01-01 | -          |
        | ann2       | customer | -              | 2025-06-01 | -          |
        | bob        | customer | XX             | 2026-01-01 | -          |
        | cat        | customer | -              | 2026-01-01 | 2026-03-31 |
    """)  # fmt: skip
    draw(lake, "trusted.reference_values", """
        | source | code_set | code | parent_code |
        | hub    | city     | SH   | T1          |
        | hub    | mcc      | SH   | T9          |
        | bank   | city     | SH   | T8          |
    """)  # fmt: skip
    # fee of ann2 was replaced on 2026-02-01; bob's is of a type that is declared no more; cat's profile is closed.
    draw(lake, "trusted.attributes", """
        | entity   | entity_key | attribute | value_type | value    | valid_from | valid_to   |
        | customer | ann        | plan      | string     | PLUS     | 2026-01-01 | -          |
        | customer | ann2       | plan      | string     | BASIC    | 2026-01-01 | -          |
        | customer | ann        | fee       | decimal    | 20.00    | 2026-01-01 | -          |
        | customer | ann2       | fee       | decimal    | 99.00    | 2026-01-01 | 2026-02-01 |
        | customer | ann2       | fee       | decimal    | 10.50    | 2026-02-01 | -          |
        | customer | bob        | plan      | string     | BASIC    | 2026-01-01 | -          |
        | customer | bob        | fee       | string     | 12.345   | 2026-01-01 | -          |
        | customer | cat        | plan      | string     | PLUS     | 2026-01-01 | -          |
        | customer | cat        | plan      | string     | PLUS     | 2026-04-01 | -          |
        | account  | bob        | fee       | decimal    | 77.00    | 2026-01-01 | -          |
        | product  | p1         | margin    | ratio      | 0.250000 | 2026-01-01 | -          |
        | product  | p1         | is_own    | boolean    | true     | 2026-01-01 | -          |
        | product  | p2         | margin    | ratio      | 0.500000 | 2026-01-01 | -          |
        | product  | p2         | is_own    | boolean    | false    | 2026-01-01 | -          |
        | branch   | b1         | region    | string     | EAST     | 2026-01-01 | -          |
        | campaign | k1         | theme     | string     | GREEN    | 2026-01-01 | -          |
        | account  | a1         | tariff    | string     | BASIC    | 2025-01-01 | 2026-03-01 |
        | account  | a1         | tariff    | string     | GOLD     | 2026-03-01 | -          |
        | account  | a2         | tariff    | string     | BASIC    | 2026-01-01 | -          |
        | account  | a9         | tariff    | string     | GOLD     | 2026-01-01 | -          |
        | loan     | l1         | is_green  | boolean    | true     | 2026-01-01 | -          |
        | loan     | l2         | is_green  | boolean    | false    | 2026-01-01 | -          |
        | loan     | l3         | is_green  | boolean    | true     | 2026-01-01 | -          |
        | order    | o1         | packaging | string     | BOX      | 2026-01-01 | -          |
        | order    | o2         | packaging | string     | BAG      | 2026-01-01 | 2026-03-31 |
        | order    | o3         | packaging | string     | TUBE     | 2026-01-01 | -          |
    """)  # fmt: skip
    draw(
        lake,
        "trusted.branches",
        "| branch_id | name | level | valid_from |\n| b1 | One | branch | 2026-01-01 |",
    )
    draw(lake, "trusted.products", """
        | product_id | name | product_class | category | valid_from |
        | p1         | Pen  | goods         | PENS     | 2026-01-01 |
        | p2         | Book | goods         | BOOKS    | 2026-01-01 |
    """)  # fmt: skip
    draw(lake, "trusted.orders", """
        | order_id | source_key | ordered_on | branch_id | currency | status    | amount |
        | o1       | ann        | 2026-03-01 | b1        | CNY      | completed | 17.00  |
        | o2       | bob        | 2026-03-02 | -         | CNY      | completed | -2.00  |
        | o3       | -          | 2026-03-02 | b1        | CNY      | completed | 5.00   |
    """)  # fmt: skip
    draw(lake, "trusted.order_lines", """
        | order_id | line_number | product_id | quantity | unit_price | amount | currency | ordered_on |
        | o1       | 1           | p1         | 1        | 5.00       | 5.00   | CNY      | 2026-03-01 |
        | o1       | 2           | p2         | 1        | 12.00      | 12.00  | CNY      | 2026-03-01 |
        | o2       | 1           | p2         | -1       | 2.00       | -2.00  | CNY      | 2026-03-02 |
        | o3       | 1           | p2         | 1        | 5.00       | 5.00   | CNY      | 2026-03-02 |
        | o9       | 1           | p2         | 1        | 7.00       | 7.00   | CNY      | 2026-03-02 |
    """)  # fmt: skip
    draw(lake, "trusted.outside_contacts", """
        | contact_id | source_key | kind            | coupon_id | contacted_on |
        | k1         | ann        | COUPON_ISSUED   | q1        | 2026-01-01   |
        | k2         | ann        | COUPON_REDEEMED | q1        | 2026-01-02   |
        | k3         | ann        | COUPON_REDEEMED | q0        | 2025-12-31   |
        | k4         | bob        | TARGETED        | -         | 2026-03-31   |
    """)  # fmt: skip
    draw(lake, "trusted.accounts", """
        | account_id | account_type | currency | status | branch_id | valid_from |
        | a1         | current      | CNY      | open   | b1        | 2026-01-01 |
        | a2         | current      | CNY      | closed | -         | 2026-01-01 |
    """)  # fmt: skip
    draw(lake, "trusted.relationships", """
        | relationship_type | from_source | from_key | to_source | to_key | role  | valid_from |
        | person_account    | bank        | ann      | bank      | a1     | owner | 2026-01-01 |
        | person_account    | bank        | bob      | bank      | a2     | owner | 2026-01-01 |
    """)  # fmt: skip
    # A campaign is one of its source: crm's k1 is another. k9 is known to nobody; e6 happens after the night.
    draw(lake, "trusted.campaigns", """
        | source | campaign_id | name   | valid_from | valid_to   |
        | bank   | k1          | Old    | 2025-01-01 | 2026-01-01 |
        | bank   | k1          | Spring | 2026-01-01 | -          |
        | bank   | k2          | Winter | 2026-01-01 | -          |
        | crm    | k2          | Spring | 2026-01-01 | -          |
    """)  # fmt: skip
    draw(lake, "trusted.events", """
        | event_id | source_key | event_name  | campaign_id | occurred_at         | occurred_on |
        | e1       | ann        | banner_view | k1          | 2026-03-01T10:00:00 | 2026-03-01  |
        | e2       | ann        | banner_view | k2          | 2026-03-01T10:00:00 | 2026-03-01  |
        | e3       | ann        | banner_view | -           | 2026-03-01T10:00:00 | 2026-03-01  |
        | e4       | bob        | banner_view | k9          | 2026-03-01T10:00:00 | 2026-03-01  |
        | e5       | ann2       | banner_view | k1          | 2026-03-02T10:00:00 | 2026-03-02  |
        | e6       | ann        | banner_view | k1          | 2026-04-01T10:00:00 | 2026-04-01  |
        | e7       | cat        | banner_view | k1          | 2026-03-02T10:00:00 | 2026-03-02  |
        | e8       | -          | banner_view | k1          | 2026-03-02T10:00:00 | 2026-03-02  |
    """)  # fmt: skip
    # bob holds a card of ann's account; where no holder is named it is the owner of the account, and nobody owns a9.
    draw(lake, "trusted.cards", """
        | card_id | source_key | account_id | card_type | status    | valid_from |
        | c1      | -          | a1         | credit    | ACTIVATED | 2026-01-01 |
        | c2      | bob        | a1         | debit     | ACTIVATED | 2026-01-01 |
        | c3      | -          | a2         | credit    | ACTIVATED | 2026-01-01 |
        | c4      | -          | a9         | credit    | ACTIVATED | 2026-01-01 |
    """)  # fmt: skip
    # What is booked on an account is its owner's, whoever's card it was paid by.
    draw(lake, "trusted.transactions", """
        | transaction_id | account_id | card_id | transacted_on | direction | amount | amount_base | currency | transaction_type | initiator |
        | t1             | a1         | c1      | 2026-03-01    | debit     | 10.00  | 10.00       | CNY      | PAYMENT          | C         |
        | t2             | a1         | c2      | 2026-03-01    | debit     | 20.00  | 20.00       | CNY      | PAYMENT          | C         |
        | t3             | a2         | c3      | 2026-03-01    | debit     | 40.00  | 40.00       | CNY      | PAYMENT          | C         |
        | t4             | a2         | c1      | 2026-03-01    | debit     | 80.00  | 80.00       | CNY      | PAYMENT          | C         |
        | t5             | a9         | c1      | 2026-03-01    | debit     | 160.00 | 160.00      | CNY      | PAYMENT          | C         |
        | t6             | a1         | -       | 2026-03-01    | debit     | 300.00 | 300.00      | CNY      | PAYMENT          | C         |
    """)  # fmt: skip
    draw(lake, "trusted.loans", """
        | loan_id | account_id | currency | status | valid_from |
        | l1      | a1         | CNY      | active | 2026-01-01 |
        | l2      | a2         | CNY      | active | 2026-01-01 |
        | l3      | a9         | CNY      | active | 2026-01-01 |
    """)  # fmt: skip
    draw(lake, "trusted.standing_orders", """
        | standing_order_id | account_id | purpose | amount  | currency | status | valid_from |
        | s1                | a1         | RENT    | 1200.00 | CNY      | active | 2026-01-01 |
        | s2                | a1         | LOAN    | 300.00  | CNY      | active | 2026-01-01 |
        | s3                | a2         | RENT    | 900.00  | CNY      | active | 2026-01-01 |
        | s4                | a9         | RENT    | 700.00  | CNY      | active | 2026-01-01 |
    """)  # fmt: skip


def built(make, engine: str, spark=None):
    workspace = make(site_files() | {"cdp.yml": f"engine: {engine}\ngenerate_secrets: true\n"})
    lake = open_lake(load_settings(workspace), spark=spark)
    fill(lake)
    return lake


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_attributes_and_look_ups_answer_as_columns_do_and_a_look_up_that_finds_two_rows_stops_the_night(
    engine, make_workspace, request
):
    lake = built(make_workspace, engine, request.getfixturevalue("spark") if engine == "spark" else None)
    tags.build_tags(lake, D)
    rows = {row["one_id"]: row for row in lake.read_arrow("tags.customer_tags").to_pylist()}
    assert {name: {code: rows[ONE[name]][code] for code in TAGS} for name in PEOPLE} == ANSWERS
    # Another feed of the shop says another category of one product: its lines would count twice.
    draw(
        lake,
        "trusted.products",
        "| product_id | name | product_class | category | valid_from |\n| p2 | Book | goods | TOYS | 2026-03-31 |",
        _feed="other",
    )
    with pytest.raises(
        GateStopped,
        match=r"trusted.products: rows_beyond_one_of_look_up_product_from_order_lines is 1, must be at most 0",
    ):
        tags.build_tags(lake, D)
    assert lake.read_arrow("quality.gate_results", filters=[("gate", "=", "look_ups")]).num_rows == 10
    again = {row["one_id"]: row for row in lake.read_arrow("tags.customer_tags").to_pylist()}
    assert again == rows


# --- what is wrong is said with file and line before any night -------------------------------------------------


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (("{type: int}", "U", "trusted.customers.plans", "latest: {from: trusted.customers, of: plans, order_by: [valid_from]}"),
         "site.yml:11: trusted.customers has no column 'plans'; did you mean 'plan'?"),
        (("{type: int}", "U", "trusted.customers.fee", "latest: {from: trusted.customers, of: plan, order_by: [valid_from]}"),
         "site.yml:12: reads trusted.customers.plan, which 'inputs' does not list"),
        (("{type: int}", "U", "trusted.customers.plan", "aggregate: {from: trusted.customers, measure: any, where: \"plan = 'PLUSS'\"}"),
         "site.yml:12: trusted.customers.plan never is 'PLUSS'; did you mean 'PLUS'?"),
        (("{type: int}", "U", "trusted.products.category", "aggregate: {from: trusted.order_lines, via: order, measure: any, where: \"`products.category` = 'X'\"}"),
         "site.yml:12: 'products.category': no look-up 'products' leads from trusted.order_lines; did you mean 'product'?"),
        (("{type: int}", "U", "trusted.products.category", "aggregate: {from: trusted.order_lines, via: order, measure: any, where: \"`product.categories` = 'X'\"}"),
         "site.yml:12: 'product.categories': trusted.products has no column 'categories'; did you mean 'category'?"),
        (("{type: int}", "U", "trusted.products.category", "aggregate: {from: trusted.order_lines, via: order, measure: any, where: \"product.category = 'X'\"}"),
         "product.category, a name of two parts; write `product.category` in backticks"),
        (("{type: int}", "U", "trusted.order_lines.amount", "aggregate: {from: trusted.order_lines, measure: sum, of: amount}"),
         "site.yml:12: the rows of trusted.order_lines lead to no person: it has no one_id, no source_key and no account_id; they do by a look-up: write `via: order`"),
        (("{type: int}", "U", "trusted.relationships.role", "aggregate: {from: trusted.relationships, measure: count, of: role}"),
         "site.yml:12: the rows of trusted.relationships lead to no person: it has no one_id, no source_key and no account_id; read int_account_owners"),
        (("{type: int}", "U", "trusted.products.category", "aggregate: {from: trusted.products, measure: count, of: category}"),
         "declare a look-up from it to a table with source_key or account_id in lookups.yml and name it by `via`"),
        (("{type: int}", "U", "trusted.attributes.value", "aggregate: {from: trusted.attributes, measure: count, of: value}"),
         "read an attribute as a column of the table of its entity, such as trusted.customers"),
        (("{type: int}", "U", "trusted.order_lines.amount", "aggregate: {from: trusted.order_lines, via: product, measure: sum, of: amount}"),
         "site.yml:12: via 'product': the look-up 'product' leads to trusted.products, whose rows lead to no person"),
        (("{type: int}", "U", "trusted.orders.amount", "aggregate: {from: trusted.orders, via: customer, measure: sum, of: amount}"),
         "via 'customer': the rows of trusted.orders lead to a person by themselves; take out 'via'"),
        (("{type: int}", "U", "trusted.order_lines.amount", "aggregate: {from: int_order_lines_keyed, via: order, measure: count}"),
         "via 'order': look-ups lead from trusted tables, and int_order_lines_keyed is a model"),
        (("{type: int}", "U", "trusted.accounts.status", "aggregate: {from: trusted.cards, measure: any, where: \"`account.owner.status` = 'open'\"}"),
         "no look-up 'owner' leads from trusted.accounts"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused_with_its_place(make_workspace, code, says):
    with pytest.raises(SettingsInvalid) as fault:
        compile_tags(make_workspace(site_files(tags__site=tag_file({"wrong": code}))))
    assert says in str(fault.value)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("{code: x, from: trusted.customer, to: trusted.products, keys: {branch_id: product_id}}", "lookups.yml:2: 'lookups.0': there is no table 'trusted.customer' to look up; did you mean 'trusted.customers'?"),
        ("{code: x, from: trusted.customers, to: tags.customer_tags, keys: {branch_id: product_id}}", "there is no table 'tags.customer_tags' to look up"),
        ("{code: x, from: trusted.customers, to: trusted.products, keys: {branch: product_id}}", "trusted.customers has no column 'branch'; did you mean 'branch_id'?"),
        ("{code: x, from: trusted.customers, to: trusted.products, keys: {branch_id: product}}", "trusted.products has no column 'product'; did you mean 'product_id'?"),
        ("{code: x, from: trusted.customers, to: trusted.products, keys: {birth_date: product_id}}", "trusted.customers.birth_date is a date and trusted.products.product_id a string"),
        ("{code: x, from: trusted.customers, to: trusted.customers, keys: {is_staff: is_staff}}", "leads from trusted.customers back to itself"),
        ("{code: x, from: trusted.customers, to: trusted.balances, keys: {branch_id: balance}}", "trusted.balances.balance is a decimal"),
        ("{code: x, from: trusted.customers, to: trusted.products, keys: {}}", "lookups.yml:2: 'lookups.0.keys'"),
        ("{code: branch, from: trusted.customers, to: trusted.branches, keys: {branch_id: branch_id}}", "lookups.yml:2: the look-up 'branch' from trusted.customers is declared twice: the product ships it"),
        ("{code: x y, from: trusted.customers, to: trusted.branches, keys: {branch_id: branch_id}}", "lookups.yml:2: 'lookups.0.code': string should match pattern"),
        ("{code: x, from: trusted.customers, to: trusted.branches, on: {branch_id: branch_id}}", "lookups.yml:2: unknown key 'on'"),
        ("{code: x, from: trusted.customers, to: trusted.branches, keys: {branch_id: branch_id}, values: {opened_at: x}}", "trusted.branches has no column 'opened_at'"),
    ],
)  # fmt: skip
def test_a_wrong_look_up_is_refused_with_its_place(make_workspace, declared, says):
    with pytest.raises(SettingsInvalid) as fault:
        read_lookups(make_workspace({"lookups.yml": f"lookups:\n  - {declared}\n"}))
    assert says in str(fault.value)


def test_look_ups_that_go_in_a_circle_are_refused(make_workspace):
    circle = "lookups:\n  - {code: buyer, from: trusted.branches, to: trusted.orders, keys: {branch_id: branch_id}}\n"
    entry = (
        "{type: int}",
        "U",
        "trusted.orders.amount",
        "aggregate: {from: trusted.orders, measure: sum, of: '`branch.buyer.amount`'}",
    )
    way = "trusted.orders → trusted.branches → trusted.orders"
    with pytest.raises(
        SettingsInvalid,
        match=rf"site.yml:12: 'branch.buyer.amount': the look-ups go in a circle: {way}",
    ):
        compile_tags(make_workspace(site_files(lookups=circle, tags__site=tag_file({"wrong": entry}))))
    of_branch = "aggregate: {from: trusted.branches, via: buyer.branch, measure: count}"
    entry = ("{type: int}", "U", "trusted.branches.city", of_branch)
    with pytest.raises(
        SettingsInvalid,
        match=r"site.yml:12: via 'buyer.branch': the look-ups go in a circle: trusted.branches → trusted.orders → trusted.branches",
    ):
        compile_tags(
            make_workspace(site_files(lookups=circle, tags__site=tag_file({"wrong": entry})), name="via")
        )


def test_a_level_is_at_least_that_of_the_attribute(make_workspace):
    text = tag_file({"fee_total": TAGS["fee_total"]}).replace("level: C2", "level: C1")
    with pytest.raises(SettingsInvalid, match=r"level C1 is lower than that of trusted.customers.fee \(C2\)"):
        compile_tags(make_workspace(site_files(tags__site=text)))


def test_a_value_of_a_look_up_holds_no_template(make_workspace):
    """A text of the site reaches dbt's models, which are templates."""
    hostile = LOOKUPS.replace("code_set: city", "code_set: \"{{ env_var('HOME') }}' or 1=1 --\"")
    compilation = compile_tags(make_workspace(site_files(lookups=hostile)))
    scan = next(s for s in compilation.plan.scans if s.relation.name == "trusted.customers" and s.aggregated)
    text = compilation.writer.scan_sql(scan)
    assert "{{ env_var" not in text
    assert "' or 1=1 --'" not in text.replace("\\'", "")


def test_many_attributes_are_one_scan(make_workspace):
    names = [f"x{n}" for n in range(200)]
    declared = "attributes:\n" + "".join(
        f"  - {{code: {n}, entity: customer, type: int, level: C2, name: {{zh: 数, en: Number}}}}\n"
        for n in names
    )
    entries = {
        f"t_{n}": (
            "{type: int}",
            "U",
            f"trusted.customers.{n}",
            f"aggregate: {{from: trusted.customers, measure: max, of: {n}}}",
        )
        for n in names
    }
    compilation = compile_tags(
        make_workspace({"attributes.yml": declared, "tags/site.yml": tag_file(entries)})
    )
    scan = next(s for s in compilation.plan.scans if s.relation.name == "trusted.customers" and s.aggregated)
    assert compilation.writer.scan_sql(scan).count("ref('stg_trusted__attributes')") == 1
