"""A pack goes off with the feed that filled it: the plan and the next night say so, and what was published stays."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from jobs.cli import run
from jobs.night.nightly import run_night
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings

MINIMAL = Path(__file__).resolve().parents[3] / "jobs" / "workspace" / "templates" / "minimal"
FIRST, SECOND = date(2026, 1, 5), date(2026, 1, 6)
ORDERS = """\
feed: orders
source: shop
description: Orders of the members.
mode: events
files: {path: "orders/{date}/orders.csv"}
format: {type: csv}
columns: [order_no, member_no, day, amount]
targets:
  - table: trusted.orders
    columns:
      order_id: order_no
      source_key: member_no
      ordered_on: "try_to_date(day, 'yyyy-MM-dd')"
      ordered_at: "try_to_timestamp(day, 'yyyy-MM-dd')"
      status: "'completed'"
      currency: "'CNY'"
      is_return: "false"
  - table: trusted.order_lines
    columns:
      order_id: order_no
      line_number: _row
      product_id: "'tea'"
      quantity: "try_cast('1' as decimal(18,4))"
      unit_price: "try_cast(amount as decimal(18,6))"
      amount: "try_cast(amount as decimal(18,2))"
      currency: "'CNY'"
      ordered_on: "try_to_date(day, 'yyyy-MM-dd')"
"""


@pytest.mark.slow
def test_a_feed_that_is_taken_out_takes_its_pack_with_it(tmp_path, capsys):
    folder = tmp_path / "shop"
    shutil.copytree(MINIMAL, folder)
    (folder / "cdp.yml").write_text("generate_secrets: true\n", encoding="utf-8")
    (folder / "feeds" / "orders.yml").write_text(ORDERS, encoding="utf-8")
    inbox = folder / "inbox"
    (member, *_) = (
        (inbox / "members" / str(FIRST) / "members.csv").read_text(encoding="utf-8").splitlines()[1:]
    )
    (inbox / "orders" / str(FIRST)).mkdir(parents=True)
    (inbox / "orders" / str(FIRST) / "orders.csv").write_text(
        f"order_no,member_no,day,amount\no1,{member.split(',')[0]},2026-01-04,20.50\n", encoding="utf-8"
    )
    settings = load_settings(folder)
    night = run_night(settings, FIRST)
    assert night.exit_code == 0, night
    spend = "SELECT net_spend_365d::VARCHAR FROM tags.customer_tags_daily WHERE net_spend_365d > 0"
    with open_publication(settings) as published:
        assert published.rows(spend) == [("20.50",)]
        off = "SELECT code FROM tags.catalogue WHERE off_because IS NOT NULL AND pack = 'retail'"
        assert published.rows(off) == [("top_category_365d",)]

    changed = tmp_path / "changed"
    shutil.copytree(
        folder, changed, ignore=shutil.ignore_patterns("lake", ".cdp", "published", "reports", "inbox")
    )
    (changed / "feeds" / "orders.yml").unlink()
    capsys.readouterr()
    assert run(["plan", str(changed), "--workspace", str(folder), "--format", "json"]) == 0
    notes = " ".join(json.loads(capsys.readouterr().out)["notes"])
    assert "off from this change on, as no feed fills trusted.order_lines, nor trusted.orders: " in notes

    (folder / "feeds" / "orders.yml").unlink()
    shutil.copytree(inbox / "members" / str(FIRST), inbox / "members" / str(SECOND))
    night = run_night(settings, SECOND)
    assert night.exit_code == 0, night
    (warning, *_) = [w for w in night.summary["warnings"] if "net_spend_365d" in w]
    assert warning.startswith(
        "6 tags are off from this night on: no feed fills trusted.order_lines, nor trusted.orders; "
    )
    with open_publication(settings) as published:
        columns = {name for (name, *_) in published.rows("DESCRIBE SELECT * FROM tags.customer_tags")}
        assert "net_spend_365d" not in columns and "age" in columns
        assert published.rows(spend) == [("20.50",)], "the history that was published stays"
        rows = published.rows("SELECT off_because, status FROM tags.catalogue WHERE code = 'net_spend_365d'")
    assert rows == [("no feed fills trusted.order_lines, nor trusted.orders", "online")]
    report = (settings.reports / f"{SECOND}.html").read_text(encoding="utf-8")
    assert "Tags that are off" in report and "no feed fills trusted.order_lines, nor trusted.orders" in report
