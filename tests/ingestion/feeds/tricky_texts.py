"""Texts that engines may read differently, and expressions over them."""

from __future__ import annotations

import numpy as np

TRICKY = [
    None, "", " ", "  x ", "\t", "\u00a0", "\u3000", "x", "X", "é", "É", "ß", "İ", "ı", "名", "😀a", "x\x00y", "a'b", "%", "_",
    "0", "-0", "+1", "1", "01", "1.", ".5", "1.10", "-1.5", "1.005", "1e3", "1E-2", "1,5", "１", "0x1", "NaN", "null",
    "9" * 9, "9" * 10, "9" * 16, "9" * 17, "9" * 18, "9" * 19, "1" + "0" * 30, "123456789012345.67", "1234567890123456.78",
    "true", "false", "TRUE", "t", "yes", "1 ", " 1", "1\n",
    "2026-11-18", "2026-02-29", "2024-02-29", "2026-2-3", "20261118", "20260230", "0000-01-01", "0001-01-01", "1582-10-10",
    "2026-11-18 ", "2026-11-18T00:00:00", "12026-01-01", "2026/11/18", "18.11.2026", "18.11.26", "2026-13-01", "２０２６-11-18",
    "2026-11-18T10:20:30Z", "2026-11-18T10:20:30+08:00", "2026-11-18T10:20:30-00:00", "2026-11-18T24:00:00Z",
    "2026-11-18T10:20:60Z", "2026-11-18T10:20:30+18:00", "2026-11-18T10:20:30+14:00", "2026-11-18T10:20:30.5Z",
    "2026-02-30T10:20:30Z", "2026-11-18 10:20:30+08:00", "2026-11-18 10:20:30", "2026-11-18 24:00:00", "2026-11-18  10:20:30",
    "2026-02-29 10:20:30", "2026-00-10", "2026-10-00", "2026-02-30", "2026-02-31", "2026-04-31", "2026-13-13", "2026-99-99", "1999/02/30",
    "31.02.2026", "20260231", "20261301", "2026-02-30T10:20:30+08:00", "2026-13-30T10:20:30Z", "2026-02-31 10:20:30", "25:61", "25:61+08:00", "2O26-11-18", "2O26-11-18T21:09:04+08:00", "1x", "12x", "1T", "123x-11-18", "12名-11-18", "10:20:30", "yesterday", "yesterday-11-18T18:53:59+08:00", "today", "epoch",
    "infinity", "-infinity", "Infinity", "inf", "NaN", "去年", "去年-11-18", "-", "+", ".", "--", "x-", "e", "E5", "J2026-11-18", "BC",
    "now", "Z", "2026", "2026-11", "tomorrow", "T10:20:30Z", "十八", "2026-11-18T10:20:30+0800", "2026-11-18t10:20:30z", "1890-01-01T00:00:00+08:00",
]  # fmt: skip
EXPRESSIONS = [
    "a", "trim(a)", "lower(a)", "upper(trim(a))", "nullif(a, '')", "coalesce(a, b, 'none')", "substring(a, 1, 10)",
    "substr(a, 3)", "concat(a, '-', b)", "a || b", "case a when '1' then 'M' when 'x' then null else b end",
    "case when a like '2026%' then 'y' when b is null then a end", "if(a = b, 'same', a)", "a = b", "a <> b", "a < b",
    "a >= 'x'", "a <=> b", "not (a = 'x' or b is not null)", "a in ('x', '1', '名')", "a is null", "a like '%8%'",
    "try_cast(a as decimal(18,2))", "try_cast(a as decimal(10,0))", "try_cast(a as decimal(5,1))", "try_cast(a as decimal)",
    "abs(try_cast(a as decimal(18,2)))", "try_cast(a as decimal(18,2)) < 0", "try_cast(a as decimal(18,2)) >= 1.5",
    "try_cast(try_cast(a as decimal(9,1)) as decimal(18,2))", "try_cast(a as int)", "try_cast(a as int) > 3",
    "try_cast(try_cast(a as int) as bigint)", "try_cast(a as bigint)", "try_cast(a as boolean)", "try_cast(a as date)",
    "try_to_date(a, 'yyyy-MM-dd')", "try_to_date(a, 'yyyyMMdd')", "try_to_date(a, 'yyyy/MM/dd')", "try_to_date(a, 'dd.MM.yyyy')",
    "try_to_date(substring(a, 1, 10), 'yyyy-MM-dd')", "try_to_timestamp(a, \"yyyy-MM-dd'T'HH:mm:ssXXX\")",
    "try_to_timestamp(a, 'yyyy-MM-dd HH:mm:ssXXX')", "try_to_timestamp(concat(a, '+08:00'), 'yyyy-MM-dd HH:mm:ssXXX')",
    "try_to_date(a, 'yyyy-MM-dd') <= try_to_date(b, 'yyyy-MM-dd')", "coalesce(try_to_date(a, 'yyyy-MM-dd'), try_to_date(a, 'yyyyMMdd'))",
    "case when a = '1' then true when b = '1' then null else false end", "cast(null as date)", "'it is'", "0.5", "17", "true",
    "try_to_date(nullif(a, '0'), 'yyyyMMdd')", "try_cast(trim(a) as decimal(18,2))", "null",
]  # fmt: skip
KINDS = ("string", "decimal(18,2)", "date", "boolean", "bigint", "int", "timestamp")


def texts():
    """The tricky texts, and many that differ from one of them by one sign."""
    rng = np.random.default_rng(7)
    signs = [*list("0123456789-+.:TZ /eE,'"), "名", "\t"]
    changed = []
    for _ in range(1500):
        text = str(rng.choice([t for t in TRICKY if t]))
        at = int(rng.integers(0, len(text)))
        changed.append(text[:at] + str(rng.choice(signs)) + text[at + int(rng.integers(0, 2)) :])
    return [*TRICKY, *changed]
