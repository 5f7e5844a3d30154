"""Small masters of core banking that are the same for everybody: products, branches, employees, code lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.world import codes


def _table(names: list[str], rows: Sequence[tuple[str | None, ...]]) -> pa.Table:
    return pa.table({n: pa.array([row[i] for row in rows], pa.large_string()) for i, n in enumerate(names)})


def write_lists(inbox: Inbox, business_date: date) -> None:
    """Write products, branches, employees and code lists of one business date."""
    products = [
        (key, name, group, risk, str(term) if term else None, "CNY", "停售" if key == "TD1095" else "在售")
        for key, name, group, risk, term in codes.PRODUCTS
    ]
    names = ["产品代码", "产品名称", "产品大类", "风险等级", "期限天数", "币种", "状态"]
    inbox.write_csv(
        "core_products",
        business_date,
        "products.csv",
        [_table(names, products)],
        CsvFormat(encoding="gb18030"),
    )

    branches: list[tuple[str | None, ...]] = [("B0001", "总行", None, "310100", "OPEN")]
    employees: list[tuple[str | None, ...]] = []
    for place, (city, name, _, _) in enumerate(codes.CITIES):
        branches.append((f"B{10 + place:04d}", f"{name}分行", "B0001", city, "OPEN"))
        for number in range(3):
            key = place * 3 + number
            branches.append(
                (f"B{100 + key:04d}", f"{name}第{'一二三'[number]}支行", f"B{10 + place:04d}", city, "OPEN")
            )
            employees.append((f"E{key:04d}", f"B{100 + key:04d}", "RELATIONSHIP_MANAGER", "ACTIVE"))
    inbox.write_csv(
        "core_branches",
        business_date,
        "branches.csv",
        [_table(["branch", "name", "parent", "city", "status"], branches)],
    )
    inbox.write_csv(
        "core_employees",
        business_date,
        "employees.csv",
        [_table(["employee", "branch", "role", "status"], employees)],
    )

    values: list[tuple[str | None, ...]] = [
        ("city", c, zh, en, tier, None) for c, zh, en, tier in codes.CITIES
    ]
    tiers = [("T1", "一线", "First tier"), ("NT1", "新一线", "New first tier"), ("T2", "二线", "Second tier"),
             ("T3", "三线", "Third tier"), ("T4P", "四线及以下", "Fourth tier and below")]  # fmt: skip
    values += [("city_tier", c, zh, en, None, None) for c, zh, en in tiers]
    values += [("occupation", c, zh, en, None, None) for c, zh, en in codes.OCCUPATIONS]
    values += [("mcc", c, zh, en, group, None) for c, group, zh, en in codes.MERCHANTS]
    values += [
        ("mcc_group", g, None, g.capitalize(), None, None) for g in sorted({m[1] for m in codes.MERCHANTS})
    ]
    values += [("scene", c, zh, en, rung, None) for c, zh, en, rung in codes.SCENES]
    values += [("income_band", b, None, b, None, None) for b in codes.INCOME_BANDS]
    values += [("fx_rate", "CNY", "人民币", "Renminbi", None, "1")]
    columns = ["code_set", "code", "name_zh", "name_en", "parent", "number"]
    inbox.write_csv("core_reference_values", business_date, "codes.csv", [_table(columns, values)])
