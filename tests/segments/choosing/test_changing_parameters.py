"""A parameter that is changed while a night decides: the night keeps to the value it began with, and its manifest says which."""

from __future__ import annotations

import datetime as dt

import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    bank_lake,
    publish,
    read_tags,
    spec,
    surroundings,
    write_tags,
)

from delivery.manifest import read_latest, read_manifest
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from segments.choosing import evaluation
from segments.explaining.preview import preview

NEXT = D + dt.timedelta(days=1)
RICH = spec(
    "rich",
    "parameters: {least: {default: 150, min: 0, max: 1000}}\nunknown: exclude\nwhere: {tag: balance, gte: $least}",
)
POOR = spec(
    "poor",
    "unknown: exclude\nparameters: {most: {default: 350, min: 0, max: 1000}}\n"
    "where: {all: [{segment: rich}, {tag: balance, lte: $most}]}",
)


@pytest.fixture
def bank(make_workspace):
    """The lake of a bank with one published night, by the defaults."""
    folder = make_workspace({
        "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, "segments/rich.yml": RICH, "segments/poor.yml": POOR,
    })  # fmt: skip
    lake = bank_lake(load_settings(folder))
    publish(lake, D)
    make_visible(lake, D, "first", {})
    write_tags(lake, read_tags(), NEXT)
    return lake


def set_values(lake, text):
    (lake.settings.workspace / "segment_parameters.yml").write_text(text, encoding="utf-8")


def decided(lake, result):
    """By segment the values of its manifest, and the people it was published to."""
    values = {}
    for audience in result.audiences:
        root = lake.settings.published / "engine" / audience.code
        values[audience.code] = read_manifest(root / read_latest(root)["path"])["parameters"]
    return values, {a.code: a.people["one_id"].to_pylist() for a in result.audiences}


@pytest.mark.parametrize(
    "text", ["rich: {least: 600}\npoor: {most: 10}\n", pytest.param("no: [yaml", marks=pytest.mark.slow)]
)
def test_a_night_keeps_to_the_values_it_began_with_and_a_preview_has_those_of_the_file(
    bank, monkeypatch, text
):
    set_values(bank, "rich: {least: 180}\n")
    read, previews = evaluation.read_inputs, {}

    def change_meanwhile(*words):
        set_values(bank, "rich: {least: 250}\n")
        previews["rich"] = preview(bank.settings, surroundings(bank.settings), "rich", people=100)
        set_values(bank, text)
        return read(*words)

    monkeypatch.setattr(evaluation, "read_inputs", change_meanwhile)
    result = publish(bank, NEXT)
    values, people = decided(bank, result)
    assert values == {"rich": {"least": 180}, "poor": {"most": 350}}
    assert people == {"rich": [1, 4, 10], "poor": [4, 10]}
    shown = previews["rich"]
    assert (shown.business_date, shown.counts["candidates"]) == (D, 8), "of the published night, by the file"
    run_ids = {audience.code: audience.run_id for audience in result.audiences}

    monkeypatch.undo()
    set_values(bank, "rich: {least: 180}\n")
    again = publish(bank, NEXT)
    assert {audience.code: audience.run_id for audience in again.audiences} == run_ids, (
        "the same values, the same run"
    )
    set_values(bank, "rich: {least: 400}\n")
    later = publish(bank, NEXT)
    values, people = decided(bank, later)
    assert (values["rich"], people) == ({"least": 400}, {"rich": [1], "poor": []})
