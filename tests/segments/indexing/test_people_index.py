"""What an index says is what the tables say, and one that is damaged, foreign or old says nothing."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from decimal import Decimal
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest
from index_bank import DRAFT, index, show
from segment_bank import D

from jobs.cli import run
from lakehouse.ledger.ledger import publish as make_visible
from segments import delete_old_indexes
from segments.explaining import snapshot
from segments.indexing.bits import AnswerBits, decide_all, positions_of, words_of
from segments.indexing.coding import slices_of
from segments.language.conditions import All, Any_, Not, TagLeaf, decide

SIZES = (0, 1, 63, 64, 65, 1000)
VALUES = {
    "few texts": (pa.string(), ["T1", "T2", "T3", None]),
    "amounts": (pa.decimal128(18, 2), [None, *(Decimal(n) / 7 for n in range(-40, 400))]),
    "days": (pa.date32(), [None, *(dt.date(2026, 1, 1) + dt.timedelta(days=n) for n in range(90))]),
    "flags": (pa.bool_(), [True, False, None]),
    "nothing": (pa.string(), [None]),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", VALUES)
def test_slices_give_back_every_value_and_whoever_has_one_of_some(kind, size):
    value_type, choices = VALUES[kind]
    random = np.random.default_rng(size)
    values = [None if v is None else pa.scalar(v).cast(value_type, safe=False).as_py()
              for v in (choices[n] for n in random.integers(0, len(choices), size))]  # fmt: skip
    column = slices_of(pa.chunked_array([pa.array(values, value_type)]))
    everyone = np.arange(size, dtype=np.int64)
    assert column.values_at(everyone).to_pylist() == values
    for share in (0.0, 0.1, 0.9, 1.0):
        choice = random.random(len(column.values) + 1) < share
        numbers = column.numbers_at(everyone)
        assert positions_of(column.people_with(choice)).tolist() == np.flatnonzero(choice[numbers]).tolist()


def test_a_tree_over_bits_answers_as_for_one_person():
    """Every tree of two connectors over three leaves, for people with each of the 27 combinations of answers."""
    people = list(itertools.product((True, False, None), repeat=3))
    leaves = [TagLeaf(f"t{n}", ()) for n in range(3)]
    leaves[2] = TagLeaf("t2", (), include_unknown=True)
    bits = {
        leaf.tag: AnswerBits(
            words_of(np.array([p[n] is True for p in people])), words_of(np.array([p[n] is False for p in people])), len(people)
        )
        for n, leaf in enumerate(leaves)
    }  # fmt: skip
    for outer, inner in itertools.product((All, Any_), repeat=2):
        for tree in (
            outer((leaves[0], inner((leaves[1], Not(leaves[2]))))),
            Not(outer((inner(tuple(leaves)), outer(())))),
        ):
            answers = decide_all(tree, lambda leaf: bits[leaf.tag], len(people))
            alone = [decide(tree, lambda leaf, p=p: p[int(leaf.tag[1])]) for p in people]
            assert positions_of(answers.yes).tolist() == [n for n, a in enumerate(alone) if a is True]
            assert positions_of(answers.no).tolist() == [n for n, a in enumerate(alone) if a is False]
            assert answers.counts() == (alone.count(True), alone.count(None))


@pytest.fixture
def no_tables(monkeypatch):
    """Lets a preview fail that asks the tables about everybody."""

    def refuse(*_, **__):
        raise AssertionError("the tables were asked")

    def switch(*, on: bool):
        monkeypatch.setattr(snapshot, "leaves_by_duckdb", refuse if on else monkeypatch_original)

    monkeypatch_original = snapshot.leaves_by_duckdb
    return switch


def test_a_preview_by_the_index_is_the_preview_by_the_tables(bank, tmp_path, no_tables):
    draft = tmp_path / "draft.yml"
    draft.write_text(DRAFT)
    names = ("rich", "lookers", str(draft))
    expected = [show(bank, name) for name in names]
    folder = index(bank)
    no_tables(on=True)
    assert [show(bank, name) for name in names] == expected
    no_tables(on=False)
    # A draft that asks what no segment of the workspace asks is answered by the tables, and so are lists and laws that changed.
    draft.write_text(
        DRAFT.replace("tag: days_left, lt: 20", "event: {name: wealth_view, count: {gte: 1}, within_days: 3}")
    )
    by_index = show(bank, str(draft))
    friends = bank.settings.workspace / "lists" / "friends@1.csv"
    consent = bank.settings.workspace / "consent.yml"
    as_indexed = friends.read_text()
    friends.write_text("source,source_key\ncore,c5\n")
    fewer = show(bank, "rich")
    friends.write_text(as_indexed)
    # The law alone: a list that changed too would turn to the tables by itself.
    consent.write_text("minimum_age: 14\n")
    older = show(bank, "rich")
    shutil.rmtree(folder)
    assert older == show(bank, "rich") != expected[0]
    consent.unlink()
    friends.write_text("source,source_key\ncore,c5\n")
    assert fewer == show(bank, "rich") != expected[0]
    friends.write_text(as_indexed)
    assert by_index == show(bank, str(draft))


def _flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _forge(folder):
    """Change a column and its digest, as somebody does who does not know how an index is sealed."""
    file = max(folder.glob("*.bits"), key=lambda one: one.stat().st_size)
    _flip(file)
    manifest = json.loads((folder / "INDEX.json").read_text())
    for entry in manifest["columns"].values():
        if entry["file"] == file.stem:
            entry["bits_sha256"] = sha256(file.read_bytes()).hexdigest()
    (folder / "INDEX.json").write_text(json.dumps(manifest))


DAMAGES = {
    "a bit of every column": lambda folder: [_flip(file) for file in folder.glob("*.bits") if file.stat().st_size],
    "values that are cut short": lambda folder: [f.write_bytes(f.read_bytes()[:-9]) for f in folder.glob("*.values")],
    "files that are gone": lambda folder: [file.unlink() for file in folder.glob("*.bits")],
    "a column and its digest": _forge,
    "a manifest that is no JSON": lambda folder: (folder / "INDEX.json").write_text("[]"),
    "a manifest that is cut short": lambda folder: (folder / "INDEX.json").write_bytes((folder / "INDEX.json").read_bytes()[:-40]),
}  # fmt: skip


@pytest.mark.slow
def test_a_damaged_index_is_said_and_changes_no_figure(bank):
    expected = show(bank, "rich")
    folder = index(bank)
    good = bank.settings.workspace / "good"
    shutil.copytree(folder, good)
    for name, damage in DAMAGES.items():
        damage(folder)
        figures = show(bank, "rich")
        assert [note.split(":")[0] for note in figures.notes] == ["the index of people is not used"], name
        assert (
            figures.notes[0].endswith("make it again with `cdp segments index`")
            and "core" not in figures.notes[0]
        )
        figures.notes.clear()
        assert figures == expected, name
        shutil.rmtree(folder)
        shutil.copytree(good, folder)
    assert show(bank, "rich") == expected
    # Whoever can write the lake can forge a whole index, but not one that is sealed by a secret.
    (bank.settings.workspace / "secrets").mkdir(exist_ok=True)
    (bank.settings.workspace / "secrets" / "preview_index.key").write_text("k" * 40)
    (bank.settings.workspace / "secrets" / "preview_index.key").chmod(0o600)
    assert "is not of this publication and product" in show(bank, "rich").notes[0]
    index(bank)
    assert show(bank, "rich") == expected


def test_an_index_is_of_one_publication_and_leaves_with_it(bank, capsys):
    folder = index(bank)
    make_visible(bank, D, "second", {})
    expected = show(bank, "rich")
    assert expected.notes == []
    # The index of an earlier publication under the name of the newest.
    newer = index(bank)
    assert newer != folder and not folder.exists()
    manifest = json.loads((newer / "INDEX.json").read_text())
    manifest["publication"] = "0" * 64
    body = json.dumps(
        {k: v for k, v in manifest.items() if k != "seal"}, sort_keys=True, separators=(",", ":")
    )
    (newer / "INDEX.json").write_text(json.dumps(manifest | {"seal": sha256(body.encode()).hexdigest()}))
    assert "is not of this publication" in show(bank, "rich").notes[0]
    assert delete_old_indexes(bank.settings) == 0, "the newest one's"
    make_visible(bank, D, "third", {})
    assert delete_old_indexes(bank.settings) == 1 and not newer.exists()
    command = ["segments", "index", "--workspace", str(bank.settings.workspace)]
    assert run([*command, "--drop"]) == 0
    assert run(command) == 0
    capsys.readouterr()
    assert run([*command, "--drop"]) == 0
    assert "indexes deleted: 1" in capsys.readouterr().out
