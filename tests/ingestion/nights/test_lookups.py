"""Feeds that look something up in trusted tables: what they find as of the night, on either engine, and what is refused."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from ingestion import ingest
from ingestion.feeds.feeds import load_feeds
from lakehouse.errors import GateStopped, SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

D = date(2026, 3, 1)
ATTRIBUTES = """\
attributes:
  - {code: margin, entity: product, type: ratio, level: C1, name: {zh: 毛利率, en: Margin}}
"""
PRODUCTS = """\
feed: products
source: shop
description: d
mode: snapshot
order: 40
files: {path: "products/{date}.csv"}
columns: [sku, name, group, margin]
targets:
  - table: trusted.products
    columns: {product_id: sku, name: name, product_class: "'goods'", category: group}
  - {table: trusted.attributes, entity: product, key: sku, attributes: [margin]}
"""
ORDERS = """\
feed: orders
source: shop
description: d
mode: events
order: 45
files: {path: "orders/{date}.csv"}
columns: [no, buyer, day]
targets:
  - table: trusted.orders
    columns: {order_id: no, source_key: buyer, ordered_on: "to_date(day)", currency: "'CNY'", amount: "0", status: "'completed'"}
"""
LINES = """\
feed: lines
source: shop
description: d
mode: events
files: {path: "lines/{date}.csv"}
columns: [order, line, sku, amount]
targets:
  - table: trusted.order_lines
    columns:
      order_id: order
      line_number: line
      product_id: sku
      category: "coalesce(`product.category`, 'UNKNOWN')"
      description: "`product.margin`"
      quantity: "1"
      unit_price: amount
      amount: amount
      currency: "'CNY'"
      ordered_on: "to_date(`order.ordered_on`)"
"""
FILES = {
    "inbox/products/2026-03-01.csv": "sku,name,group,margin\np1,Pen,PENS,0.25\np2,Book,BOOKS,\n",
    "inbox/orders/2026-03-01.csv": "no,buyer,day\no1,ann,2026-02-28\n",
    "inbox/lines/2026-03-01.csv": "order,line,sku,amount\no1,1,p1,5\no1,2, p2 ,7\no1,3,p9,1\no1,4,,2\no9,1,p1,3\n",
    "inbox/products/2026-03-02.csv": "sku,name,group,margin\np1,Pen,INKS,0.30\n",
    "inbox/lines/2026-03-02.csv": "order,line,sku,amount\no1,5,p1,5\no1,6,p2,5\n",
}


@pytest.fixture
def shop(make_workspace):
    """A function that gives a shop's workspace with some files replaced."""

    def make(replaced=None, engine="duckdb"):
        feeds = {"feeds/products.yml": PRODUCTS, "feeds/orders.yml": ORDERS, "feeds/lines.yml": LINES}
        settings = {
            "cdp.yml": f"engine: {{name: {engine}, bucket_rows: 1}}\ngenerate_secrets: true\n",
            "attributes.yml": ATTRIBUTES,
        }
        return make_workspace(settings | feeds | FILES | (replaced or {}))

    return make


def lines_of(lake):
    rows = lake.read_arrow("trusted.order_lines").to_pylist()
    return {
        (r["order_id"], r["line_number"]): (r["product_id"], r["category"], r["description"], r["ordered_on"])
        for r in rows
    }


BOUGHT = date(2026, 2, 28)
FIRST_NIGHT = {
    ("o1", 1): ("p1", "PENS", "0.250000", BOUGHT),
    ("o1", 2): (" p2 ", "BOOKS", None, BOUGHT),
    ("o1", 3): ("p9", "UNKNOWN", None, BOUGHT),
    ("o1", 4): (None, "UNKNOWN", None, BOUGHT),
}


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def test_a_record_takes_what_it_looks_up_as_of_its_night(engine, shop, request):
    spark = request.getfixturevalue("spark") if engine == "spark" else None
    lake = open_lake(load_settings(shop(engine=engine)), spark=spark)
    result = ingest(lake, D)
    assert lines_of(lake) == FIRST_NIGHT
    # The order of the last line is not known, and the day of a line is required.
    assert result.summary()["lines"] == {"delivered": 5, "accepted": 4, "refused": 1, "duplicates": 0}
    ingest(lake, D + timedelta(days=1))
    second = {("o1", 5): ("p1", "INKS", "0.300000", BOUGHT), ("o1", 6): ("p2", "UNKNOWN", None, BOUGHT)}
    assert lines_of(lake) == FIRST_NIGHT | second
    assert {name for name in lake.read_arrow("landing.lines").column_names if "." in name} == set()


def test_a_rerun_finds_the_same(shop):
    lake = open_lake(load_settings(shop()))
    ingest(lake, D)
    ingest(lake, D)
    assert lines_of(lake) == FIRST_NIGHT


def test_a_look_up_that_finds_two_rows_stops_the_night_before_a_line_is_written(shop):
    other = PRODUCTS.replace("feed: products", "feed: wares").replace("products/{date}", "wares/{date}")
    other = other[: other.index("  - {table: trusted.attributes")]
    lake = open_lake(
        load_settings(
            shop(
                {
                    "feeds/wares.yml": other,
                    "inbox/wares/2026-03-01.csv": "sku,name,group,margin\np1,Pen,GIFTS,\n",
                }
            )
        )
    )
    with pytest.raises(
        GateStopped,
        match=r"feed 'lines': the look-ups .*product.category.* find more than one row for 2 records",
    ):
        ingest(lake, D)
    assert lines_of(lake) == {}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("`product.category`", "`products.category`", "lines.yml:13: 'products.category' is no delivered column, and no look-up 'products' leads from trusted.order_lines; did you mean 'product'?"),
        ("`product.category`", "`product.kategory`", "lines.yml:13: 'product.kategory' is no delivered column, and trusted.products has no column 'kategory'; did you mean 'category'?"),
        ("`product.category`", "product.category", "product.category, a name of two parts; write `product.category` in backticks"),
        ("      product_id: sku\n", "", "'product.category' is looked up by trusted.order_lines.product_id, which the feed must map to a delivered column as it is"),
        ("product_id: sku", "product_id: upper(sku)", "'product.category' is looked up by trusted.order_lines.product_id, which the feed must map to a delivered column as it is"),
        ("mode: events\nfiles: {path: \"lines", "mode: events\norder: 40\nfiles: {path: \"lines", "is looked up in trusted.products, which the feed 'products' fills at order 40; a feed looks up what feeds of a lower order than its own (40) fill"),
    ],
)  # fmt: skip
def test_a_wrong_look_up_is_refused_with_its_place(shop, old, new, says):
    assert old in LINES
    with pytest.raises(SettingsInvalid) as fault:
        load_feeds(shop({"feeds/lines.yml": LINES.replace(old, new)}))
    assert says in str(fault.value)


def test_a_feed_does_not_look_up_what_it_fills_itself(shop):
    circle = "lookups:\n  - {code: seller, from: trusted.products, to: trusted.orders, keys: {product_id: order_id}}\n"
    own = PRODUCTS.replace("category: group", 'category: "`seller.order.category`"')
    with pytest.raises(SettingsInvalid, match=r"no look-up 'order' leads from trusted.orders"):
        load_feeds(shop({"lookups.yml": circle, "feeds/products.yml": own}))
    own = ORDERS.replace(
        "targets:\n",
        "targets:\n  - table: trusted.order_lines\n    columns: {order_id: no, line_number: '1', product_id: '`order.source_key`', quantity: '1', unit_price: '1', amount: '1', currency: \"'CNY'\", ordered_on: to_date(day)}\n",
    )
    with pytest.raises(
        SettingsInvalid,
        match=r"'order.source_key' is looked up in trusted.orders, which itself fills at order 45",
    ):
        load_feeds(shop({"feeds/orders.yml": own}))
