"""The expressions a draft writes, run by Spark on the texts they were drafted from."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ingestion.onboarding.draft_expressions import expression_for
from ingestion.onboarding.shapes import shape_of
from lakehouse.contracts.contract import Column

DAY, LATER = date(2024, 1, 31), date(1999, 12, 1)
CASES = [
    ("a_date", "date", ["2024-01-31", "1999-12-1"], [DAY, LATER]),
    ("b_date", "date", ["20240131", "19991201"], [DAY, LATER]),
    ("c_date", "date", ["240131", "991201"], [DAY, LATER]),
    ("d_date", "date", ["2024/1/31", "1999/12/01"], [DAY, LATER]),
    ("出生日期", "date", ["2024年1月31日", "1999年12月01日"], [DAY, LATER]),
    ("f_date", "date", ["31/01/2024", "01/12/1999"], [DAY, LATER]),
    ("g_date", "date", ["01/31/2024", "12/01/1999"], [DAY, LATER]),
    ("h_date", "date", ["31.1.2024", "1.12.1999"], [DAY, LATER]),
    ("i_date", "date", ["2024-01-31 23:59:59", "1999-12-01 00:00:00.001"], [DAY, LATER]),
    ("limit", "decimal(18,2)", ["1e+05", "50000"], [Decimal("100000.00"), Decimal("50000.00")]),
    ("money", "decimal(18,2)", ["¥1,234.50", "-7.00"], [Decimal("1234.50"), Decimal("-7.00")]),
    ("times", "int", ["17850.0", "13047.0"], [17850, 13047]),
    ("customer.no", "string", ["17850.0", "13047.0"], ["17850", "13047"]),
    ("flag", "boolean", ["是", "否"], [True, False]),
    ("yes", "boolean", ["Y", "N"], [True, False]),
]
INSTANTS = [
    ("2024-01-31 08:00:00.5", False, "2024-01-31T00:00:00.5"),
    ("2024-01-31 08:00:00", True, "2024-01-31T08:00:00"),
    ("2024-01-31T08:00:00+08:00", True, "2024-01-31T00:00:00"),
    ("20240131080000", False, "2024-01-31T00:00:00"),
    ("20240131080000", True, "2024-01-31T08:00:00"),
    ("2024/1/31 8:00:00", False, "2024-01-31T00:00:00"),
    ("2024年1月31日 8:00:00", False, "2024-01-31T00:00:00"),
    ("1706659200000", False, "2024-01-31T00:00:00"),
    ("1706659200", False, "2024-01-31T00:00:00"),
]


def drafted(name, kind, values, *, utc=False):
    made = expression_for(shape_of(name, values), "trusted.customers", Column("x", kind), utc=utc)
    assert made is not None
    return made.expression


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "texts", "meant"), CASES, ids=[case[0] for case in CASES])
def test_a_drafted_expression_reads_what_the_column_says(spark, name, kind, texts, meant):
    rows = spark.createDataFrame([(text,) for text in texts], f"`{name}` string")
    found = [row.x for row in rows.selectExpr(f"{drafted(name, kind, texts)} as x").collect()]
    assert found == meant


@pytest.mark.slow
def test_instants_are_read_in_the_workspaces_zone_or_as_utc_when_stated(spark):
    assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Shanghai"
    for text, utc, meant in INSTANTS:
        texts = [text, text]
        rows = spark.createDataFrame([(text,) for text in texts], "event_time string")
        expression = drafted("event_time", "timestamp", texts, utc=utc)
        found = rows.selectExpr(f"cast(unix_micros({expression}) as bigint) as x").first().x
        expected = spark.sql(f"select unix_micros(timestamp'{meant}Z') as x").first().x
        assert found == expected, (text, expression)
