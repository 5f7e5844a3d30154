"""Writes a day's file of subscribers: ``python make_subscribers.py PEOPLE DAY``. The same arguments give the same file."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

COLUMNS = (
    "sub_id", "name", "mobile", "plan", "plan_fee", "data_gb", "voice_min", "contract_end", "is_5g", "device", "device_price",
    "device_since", "roams", "arpu_3m", "topup_30d", "complaints_90d", "nps", "family_lines", "broadband", "tv", "churn_score",
    "segment_code", "payment",
)  # fmt: skip


def subscribers(people: int, day: str) -> list[dict[str, str]]:
    """Give the records of a file, one a subscriber."""
    chance = np.random.default_rng(int(day.replace("-", "")))

    def one_of(*values: str) -> str:
        return values[chance.integers(len(values))]

    def whole(least: int, most: int) -> str:
        return str(chance.integers(least, most, endpoint=True))

    def money(least: int, most: int) -> str:
        return f"{int(whole(least * 100, most * 100)) / 100:.2f}"

    rows = []
    for number in range(1, people + 1):
        values = (
            f"S{number:06d}", f"Subscriber {number}", f"139{number:08d}", one_of("BASIC", "PLUS", "MAX"), money(19, 299), money(0, 80),
            whole(0, 2000), one_of("", f"2026-{int(whole(1, 12)):02d}-{int(whole(1, 28)):02d}"), one_of("true", "false"),
            one_of("P60", "M70", "X1", ""), money(999, 8999), f"2025-{int(whole(1, 12)):02d}-01", one_of("true", "false", ""),
            money(0, 300), money(0, 500), whole(0, 3), one_of("", "0", "3", "7", "10"), whole(0, 5), one_of("true", "false"),
            one_of("true", "false", "false"), f"{int(whole(0, 1_000_000)) / 1_000_000:.6f}", one_of("A", "B", "C"),
            one_of("PREPAID", "POSTPAID"),
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def write_file(folder: Path, people: int, day: str) -> Path:
    """Write the file of a day into the inbox below ``folder`` and give its place."""
    file = folder / "inbox" / "subscribers" / day / "subscribers.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(subscribers(people, day))
    return file


if __name__ == "__main__":
    print(write_file(Path(), int(sys.argv[1]), sys.argv[2]))
