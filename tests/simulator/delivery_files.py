"""Readers of delivered files for the simulator's tests; they use no code of the simulator."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

PLACES = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]


def content(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def rows(path: Path, separator: str = ",", encoding: str = "utf-8") -> list[dict[str, str]]:
    return list(csv.DictReader(content(path).decode(encoding).splitlines(), delimiter=separator))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in content(path).decode().splitlines()]


def has_right_check(number: str) -> bool:
    if len(number) != 18 or not number[:17].isdigit():
        return False
    return "10X98765432"[sum(int(c) * w for c, w in zip(number, PLACES, strict=False)) % 11] == number[17]


def narrow_text(text: str) -> str:
    return "".join(chr(ord(c) - 0xFEE0) if 0xFF00 < ord(c) < 0xFF5F else c for c in text)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
