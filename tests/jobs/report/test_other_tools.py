"""The Python of docs/ask-from-other-tools.md, run as it stands there: it sees what is published, and nothing that came after."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.cli import run
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.build.project import CURRENT, wide_contracts
from tags.compile.compilation import compile_tags
from tests.published_lake import FEED

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ask-from-other-tools.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
DAY = date(2026, 11, 18)


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory):
    """A workspace in whose lake one person is published, and a second one was written since."""
    folder = tmp_path_factory.mktemp("bank")
    (folder / "cdp.yml").write_text("generate_secrets: true\npacks: {bank: on}\n", encoding="utf-8")
    (folder / "feeds").mkdir()
    (folder / "feeds" / "members.yml").write_text(FEED, encoding="utf-8")
    lake = Lake(load_settings(folder))
    lake.contracts.add(*wide_contracts(compile_tags(folder)))
    lake.create([CURRENT, "ops.publications"])

    def append(one_id):
        row = {"one_id": one_id, "kind": "customer", "aum_tier": "T3", "null_exceptions": [], "as_of": DAY}
        lake.append(CURRENT, pa.Table.from_pylist([row], schema=lake.contracts.get(CURRENT).arrow_schema()))

    append(1)
    publication = {
        "business_date": DAY, "run_id": "run-1", "seq": 1, "fingerprint": "f", "summary": "{}",
        "published_at": datetime(2026, 11, 19, tzinfo=UTC), "tables": [{"table": CURRENT, "version": lake.version(CURRENT)}],
    }  # fmt: skip
    lake.append_rows("ops.publications", [publication])
    append(2)
    return folder


def snippet(word: str) -> str:
    """Give the one block of Python on the page that has a word."""
    (text,) = [text for text in SNIPPETS if word in text]
    return text


def test_pandas_and_pyarrow_read_the_published_version(published_folder, monkeypatch):
    monkeypatch.chdir(published_folder)
    names: dict = {}
    to_pandas, to_pyarrow = snippet("to_pandas").rsplit("people =", 1)
    exec(to_pandas, names)
    assert list(names["people"]["one_id"]) == [1] and list(names["people"]["aum_tier"]) == ["T3"]
    exec(f"people ={to_pyarrow}", names)
    assert names["people"]["one_id"].to_pylist() == [1]


def test_polars_reads_the_published_version(published_folder, monkeypatch):
    pytest.importorskip("polars")
    monkeypatch.chdir(published_folder)
    names: dict = {}
    exec(snippet("to_pandas"), names)
    exec(snippet("polars"), names)
    assert names["people"].collect()["one_id"].to_list() == [1]


def test_duckdb_reads_an_export_with_the_names_of_tags_in_both_languages(published_folder, monkeypatch):
    monkeypatch.chdir(published_folder)
    assert run(["sql", "--export", "lake.duckdb"]) == 0
    names: dict = {}
    exec(snippet("duckdb.connect"), names)
    assert list(names["tags"]["one_id"]) == [1]
    assert ("aum_tier", "AUM tier (资产层级)") in names["names"]
