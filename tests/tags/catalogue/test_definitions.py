"""Versions of tags: what an edit asks of the number, against what nights published. Without a lake, and one lake without Spark."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import tags
from jobs.cli import run
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.definitions import (
    TagDefinition,
    _dump,
    _Dumper,
    changes_between,
    definition_of,
    definition_rows,
    definitions_after,
    published_definitions,
    require_versions,
    yaml_of,
)
from vocabulary.registry import load_registry

D = dt.date(2026, 3, 31)
VISITS = """\
family: visits
tags:
  - code: visit_count
    name: {zh: 到访次数, en: "Visits: all"}
    definition: {zh: 定义, en: A number of visits}
    kind: fact
    value: {type: int, min: 0}
    null_rule: U
    level: C2
    purposes: [marketing]
    inputs: [trusted.transactions.transacted_on]
    compute:
      aggregate: {from: trusted.transactions, measure: count, window_days: 30}
    owner: {business: branches, tech: data}
    version: 1.2.3
    status: online
  - code: is_frequent
    name: {zh: 常客, en: Frequent}
    definition: {zh: 定义, en: Visits often}
    kind: rule
    value: {type: boolean}
    null_rule: U
    level: C2
    purposes: [marketing]
    params: [{name: most, value: 0.50, since: 2026-01-01, why: measured}, {name: word, value: "007"}]
    inputs: ["tag:visit_count"]
    compute:
      expression: visit_count * :most > 1
    owner: {business: branches, tech: data}
    version: 2.0.0
    status: online
"""


@pytest.fixture
def registry(make_workspace, tmp_path):
    """A function that gives the registry of a workspace whose tag file has some texts replaced."""
    shipped = tmp_path / "none"
    shipped.mkdir()

    def read(*edits):
        text = VISITS
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return load_registry(make_workspace({"tags/visits.yml": text}), shipped=shipped)

    return read


def published(registry):
    return definitions_after([], registry, D)


def test_a_definition_is_read_again_as_it_was(registry):
    for entry in registry().entries.values():
        definition = definition_of(entry)
        assert definition.entry == entry
        assert definition_of(definition.entry) == definition


def test_what_was_not_edited_may_stay(registry):
    require_versions(registry(), published(registry()))


@pytest.mark.parametrize(
    ("edit", "part", "least"),
    [
        (("window_days: 30", "window_days: 31"), "meaning (compute)", "2.0.0"),
        (("min: 0", "min: 0, unit: visits"), "meaning (value.unit)", "2.0.0"),
        (("min: 0", "min: 1"), "threshold or right (value.min)", "1.3.0"),
        (("    level: C2\n    purposes: [marketing]\n    inputs: [trusted", "    level: C2\n    purposes: [marketing, service]\n    inputs: [trusted"),
         "threshold or right (purposes)", "1.3.0"),
        (("A number of visits", "A count of visits"), "text (definition)", "1.2.4"),
        (("Visits: all", "Visits"), "text (name)", "1.2.4"),
    ],
)  # fmt: skip
def test_an_edit_without_its_step_is_refused_at_the_version(registry, edit, part, least):
    known = published(registry())
    edited = registry(edit)
    with pytest.raises(SettingsInvalid) as refusal:
        require_versions(edited, known)
    assert refusal.value.message == (
        f"the tag 'visit_count' has another {part} than 1.2.3 as it was published; write at least version {least}, so that both can be told apart"
    )
    assert (Path(refusal.value.file).name, refusal.value.line) == ("visits.yml", 15)
    require_versions(registry(edit, ("version: 1.2.3", f"version: {least}")), known)


@pytest.mark.parametrize(("version", "is_enough"), [("1.2.4", False), ("1.3.0", False), ("2.0.0", True), ("7.0.0", True)])  # fmt: skip
def test_the_step_must_be_large_enough(registry, version, is_enough):
    known = published(registry())
    edited = registry(("window_days: 30", "window_days: 31"), ("version: 1.2.3", f"version: {version}"))
    if is_enough:
        require_versions(edited, known)
        return
    with pytest.raises(SettingsInvalid, match=r"write at least version 2\.0\.0"):
        require_versions(edited, known)


def test_a_parameter_is_a_threshold_and_why_it_is_a_text(registry):
    known = published(registry())
    with pytest.raises(SettingsInvalid, match=r"threshold or right \(params\).*2\.1\.0"):
        require_versions(registry(("value: 0.50", "value: 0.6")), known)
    with pytest.raises(SettingsInvalid, match=r"text \(params\).*2\.0\.1"):
        require_versions(registry(("why: measured", "why: guessed")), known)
    require_versions(registry(("value: 0.50", "value: 0.5")), known)


def test_layout_and_case_of_an_expression_are_texts(registry):
    known = published(registry())
    with pytest.raises(SettingsInvalid, match=r"text \(layout\).*2\.0\.1"):
        require_versions(registry(("visit_count * :most > 1", '"visit_count  *  :most  > 1"')), known)


def test_lifecycle_is_no_part_of_a_definition_and_a_draft_is_not_held(registry):
    known = published(registry())
    require_versions(registry(("version: 1.2.3\n    status: online", "version: 1.2.3\n    status: deprecated")), known)  # fmt: skip
    draft = ("version: 2.0.0\n    status: online", "version: 2.0.0\n    status: draft")
    require_versions(registry(("visit_count * :most > 1", "visit_count > 1"), draft), known)


def test_a_number_never_goes_back_but_to_what_it_was(registry):
    first = published(registry())
    second = registry(("window_days: 30", "window_days: 31"), ("version: 1.2.3", "version: 2.0.0"))
    known = definitions_after(first, second, D)
    require_versions(registry(), known)
    with pytest.raises(
        SettingsInvalid, match=r"is older than the newest version that was published; write 2\.0\.0"
    ):
        require_versions(
            registry(("window_days: 30", "window_days: 31"), ("version: 1.2.3", "version: 1.9.0")), known
        )
    with pytest.raises(SettingsInvalid, match=r"has another meaning \(compute\).*write at least version 3\.0\.0"):  # fmt: skip
        require_versions(
            registry(("window_days: 30", "window_days: 32"), ("version: 1.2.3", "version: 1.9.0")), known
        )


def test_a_version_that_the_registry_has_no_words_for_asks_for_a_new_first_number(registry):
    known = [
        replace(one, text=one.text.replace("measure: count", "measure: guess"))
        for one in published(registry())
    ]
    with pytest.raises(SettingsInvalid, match=r"write at least version 2\.0\.0"):
        require_versions(registry(), known)


def test_the_day_of_a_definition_is_the_first(registry):
    known = published(registry())
    later = definitions_after(known, registry(("Visits: all", "V"), ("version: 1.2.3", "version: 1.2.4")), dt.date(2026, 4, 1))  # fmt: skip
    assert [(one["code"], one["version"], one["published_on"].day) for one in definition_rows(later)] == [
        ("is_frequent", "2.0.0", 31), ("visit_count", "1.2.3", 31), ("visit_count", "1.2.4", 1),
    ]  # fmt: skip


def test_keys_with_their_defaults_change_nothing(registry):
    entry = registry()["visit_count"]
    written = registry(("null_rule: U\n    level: C2\n    purposes: [marketing]\n    inputs: [trusted", "null_rule: U\n    entity: customer\n    refresh: nightly\n    level: C2\n    purposes: [marketing]\n    inputs: [trusted"))["visit_count"]  # fmt: skip
    assert changes_between(definition_of(entry), definition_of(written)) == {}
    assert definition_of(entry) == definition_of(written)


def publish_definitions(folder, definitions: list[TagDefinition]):
    """Publish these definitions as the only table of a night."""
    import pyarrow as pa

    from lakehouse.contracts.reading import contract

    settings = load_settings(folder)
    lake = Lake(settings)
    lake.create(["tags.definitions", "ops.publications"])
    rows = pa.Table.from_pylist(
        definition_rows(definitions), schema=contract("tags.definitions").arrow_schema()
    )
    lake.overwrite("tags.definitions", rows)
    entry = {"business_date": D, "run_id": "r", "seq": 1, "fingerprint": "f", "summary": "{}",
             "published_at": dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
             "tables": [{"table": "tags.definitions", "version": lake.version("tags.definitions")}]}  # fmt: skip
    lake.append_rows("ops.publications", [entry])
    return settings


def test_the_command_that_checks_tags_refuses_an_edit_and_names_the_line(make_workspace, capsys):
    folder = make_workspace({"tags/visits.yml": VISITS})
    registry = load_registry(folder, shipped=tags.REGISTRY)
    settings = publish_definitions(folder, definitions_after([], registry, D))
    assert {one.name for one in published_definitions(settings)} >= {"visit_count@1.2.3", "is_frequent@2.0.0"}
    assert run(["tags", "compile", "--check", "--workspace", str(folder)]) == 0
    make_workspace({"tags/visits.yml": VISITS.replace("window_days: 30", "window_days: 31")})
    capsys.readouterr()
    assert run(["tags", "compile", "--check", "--workspace", str(folder)]) == 2
    message = capsys.readouterr().err
    assert "visits.yml:15" in message and "write at least version 2.0.0" in message


def test_a_threshold_of_a_shipped_tag_is_changed_with_its_version(make_workspace, capsys):
    """The workspace's entry names no version: the message says where one is written."""
    folder = make_workspace()
    registry = load_registry(folder, shipped=tags.REGISTRY)
    publish_definitions(folder, definitions_after([], registry, D))
    override = "family: value\ntags:\n  - code: aum_tier\n    owner: {business: us, tech: data}\n"
    make_workspace({"tags/own.yml": override})
    capsys.readouterr()
    assert run(["tags", "compile", "--check", "--workspace", str(folder)]) == 2
    message = capsys.readouterr().err
    assert "own.yml:3" in message and "another text (owner)" in message


def test_a_night_looks_at_what_was_published_and_not_at_what_one_left_that_never_ended(make_workspace):
    """An unfinished night's definition of a version is not one that readers ever saw."""
    folder = make_workspace({"tags/visits.yml": VISITS})
    registry = load_registry(folder, shipped=tags.REGISTRY)
    settings = publish_definitions(folder, definitions_after([], registry, D))
    edited = make_workspace({
        "tags/visits.yml": VISITS.replace("window_days: 30", "window_days: 31").replace("version: 1.2.3", "version: 2.0.0")
    })  # fmt: skip
    lake = Lake(settings)
    left = definitions_after(published_definitions(settings), load_registry(edited, shipped=tags.REGISTRY), D)
    lake.append_rows(
        "tags.definitions", [row for row in definition_rows(left) if row["version"] == "2.0.0" and row["code"] == "visit_count"]
    )  # fmt: skip
    make_workspace({
        "tags/visits.yml": VISITS.replace("window_days: 30", "window_days: 29").replace("version: 1.2.3", "version: 2.0.0")
    })  # fmt: skip
    tags.check_versions(settings)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("visit_cuont", "replaces the unknown tag 'visit_cuont'; did you mean 'visit_count'?"),
        ("is_frequent", "replaces itself"),
    ],
)
def test_what_a_tag_replaces_is_another_tag(make_workspace, capsys, code, sentence):
    folder = make_workspace({"tags/visits.yml": VISITS + f"    replaces: {code}\n"})
    assert run(["tags", "compile", "--check", "--workspace", str(folder)]) == 2
    message = capsys.readouterr().err
    assert sentence in message and "visits.yml:32" in message


TEXTS = st.text() | st.text(alphabet="ab: -#'\"\n\t[]{},&*!|>%@`\\𠮷中文（）？", max_size=20)
VALUES = st.one_of(
    TEXTS, st.integers(), st.booleans(), st.none(), st.decimals(allow_nan=False, allow_infinity=False), st.dates()
)  # fmt: skip
TREES = st.recursive(
    VALUES, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXTS, part, max_size=3), max_leaves=9
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), TREES, min_size=1, max_size=3))
def test_the_quick_writer_of_yaml_writes_what_the_writer_in_python_writes(tree):
    assert yaml_of(tree) == _dump(tree, _Dumper)
    assert yaml.safe_load(yaml_of({"key": "𠮷野家"})) == {"key": "𠮷野家"}
