"""The segments of the demo bank: each is explained in both languages, and together they show every kind of condition."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEGMENTS = sorted((ROOT / "examples" / "bank" / "segments").glob("*.yml"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_segment_is_explained_in_both_languages_under_its_names():
    page = (ROOT / "docs" / "bank-segments.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+ · .+?)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    names = {file: re.search(r"zh: (.+?),", file.read_text(encoding="utf-8"))[1] for file in SEGMENTS}
    assert set(sections) == {f"{file.stem} · {name}" for file, name in names.items()}
    for title, text in sections.items():
        english, chinese = text.strip().splitlines()
        assert not CHINESE.search(english) and CHINESE.search(chinese), title


def test_at_least_fifteen_segments_show_every_kind_of_condition():
    text = "\n".join(file.read_text(encoding="utf-8") for file in SEGMENTS)
    assert len(SEGMENTS) >= 15
    kinds = ("tag", "event", "detail", "sequence", "absence", "date", "expr", "list", "segment", "extends")
    assert [kind for kind in kinds if not re.search(rf"\b{kind}:", text)] == []
    words = (
        "top_percent",
        "parameters:",
        "split:",
        "rollout:",
        "local_percent",
        "purpose: service",
        "kind: static",
    )
    assert [word for word in words if word not in text] == []
