"""What a destination finds: same content same bytes, deltas, nothing half-visible; and verification that can fail."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, spec

from delivery.audience_files import as_read, read_rows, write_rows
from delivery.manifest import MANIFEST, MANIFEST_SUM, read_latest, read_manifest
from delivery.publishing import (
    STAGING,
    delivery_rows,
    discard_audience,
    recipient_key,
    release_audience,
    stage_audience,
)
from delivery.verification import verify
from lakehouse.errors import GateStopped, StepFailed, UsageError
from lakehouse.settings.settings import load_settings
from segments.choosing.compile import compile_leaf_table, value_column
from segments.choosing.decide import decide_segment
from segments.language.buckets import bucket
from segments.language.catalogue import read_catalogue
from segments.language.policy import Policy

RULE = (
    "where: {tag: tier, eq: T3}\nholdout: {global: GCG-2026H2, local_percent: 10}\nrollout: {percent: 80}\n"
)
SPLIT = "split: {experiment: e1, layer: l1, range: [0, 5000], arms: {A: 50, B: 50}}"
NOBODY_HELD = "CREATE OR REPLACE TEMP TABLE held_arms (salt VARCHAR, one_id BIGINT, arm VARCHAR, arms BIGINT)"


@pytest.fixture
def night(make_workspace):
    """A function that decides one segment over people (one_id → tier or facts) and stages it; no Spark."""
    folder = make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML})
    settings = load_settings(folder)

    def run(people, day=D, form="parquet", body=RULE + SPLIT, held=(), release=True):
        file = folder / "segments" / "x.yml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(spec("x", body, columns="variant, channel, tier, interests", format=form))
        catalogue = read_catalogue(settings, known_hashes={})
        assert catalogue.findings() == []
        segment = catalogue.segments[0]
        compiled = compile_leaf_table([segment], business_date=day, policy=Policy())
        connection = duckdb.connect()
        rows = [person(n, facts, segment) for n, facts in people.items()]
        connection.register("rows", pa.Table.from_pylist(rows))
        connection.execute("CREATE TEMP TABLE leaf_table AS FROM rows")
        connection.execute(NOBODY_HELD)
        for row in held:
            connection.execute("INSERT INTO held_arms VALUES (?, ?, ?, ?)", row)
        decision = decide_segment(
            connection, segment, business_date=day, policy=Policy(), leaf_table=compiled,
            tags=catalogue.around.tags, list_hashes={}, offer_risk=None,
        )  # fmt: skip
        staged = stage_audience(
            decision, "engine", catalogue.around.destinations["engine"], settings=settings, business_date=day,
            tags=dict(catalogue.around.tags),
        )  # fmt: skip
        if release:
            release_audience(staged)
        return decision, staged

    run.settings = settings
    return run


def person(one_id, facts, segment):
    """A row of the leaf table: a sound customer unless ``facts`` says otherwise."""
    tier = facts.pop("tier", "T3") if isinstance(facts, dict) else facts
    changed = facts if isinstance(facts, dict) else {}
    row = {
        "one_id": one_id, "kind": "customer", "is_deceased": False, "is_minor": False, "is_restricted": False, "is_staff": False,
        "has_complained": False, "opt_out_marketing": False, "allowed_marketing_sms": True, "allowed_marketing_push": True,
        "usable_sms": True, "usable_push": True, value_column("tier"): tier, value_column("interests"): ["FUND", "GOLD"],
        **changed,
    }  # fmt: skip
    return row | {leaf.column: None if tier is None else tier == "T3" for leaf in [segment.where]}


def crowd(*numbers, tier="T3"):
    return dict.fromkeys(numbers, tier)


def root(night):
    return night.settings.published / "engine" / "x"


def newest(night):
    return root(night) / read_latest(root(night))["path"]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def failures(folder):
    return [failure for verdict in verify(folder) for failure in verdict.failures]


def test_the_counts_add_up_and_follow_the_buckets(night):
    people = crowd(*range(1, 401)) | dict.fromkeys(range(401, 411)) | crowd(*range(411, 421), tier="T1")
    people |= {n: {"is_staff": True} for n in range(421, 426)} | {
        n: {"usable_sms": False, "usable_push": False} for n in range(426, 430)
    }
    decision, _ = night(people)
    counts = decision.counts
    everyone = range(1, 401)
    out = {n for n in everyone if bucket("rollout:x", n) >= 8000}
    controls = {n for n in everyone if n not in out and bucket("GCG-2026H2", n) < 500}
    local = {n for n in everyone if n not in out | controls and bucket("holdout:x", n) < 1000}
    treated = set(everyone) - out - controls - local
    arms = {
        n: "DEFAULT" if bucket("l1", n) >= 5000 else "A" if bucket("l1", n) < 2500 else "B" for n in treated
    }
    assert counts["candidates"] == 409 and counts["unknown"] == 10
    assert counts["suppressed_by_reason"] == {"STAFF": 5, "UNREACHABLE": 4}
    assert (counts["not_in_rollout"], counts["control_global"], counts["holdout_local"]) == (
        len(out),
        len(controls),
        len(local),
    )
    assert counts["variants"] == {arm: list(arms.values()).count(arm) for arm in ("A", "B", "DEFAULT")}
    assert {r["one_id"]: r["variant"] for r in decision.audience.to_pylist()} == arms
    assert failures(root(night)) == []


def test_reasons_come_in_their_order_and_only_one_is_given(night):
    facts = ["is_deceased", "is_minor", "is_restricted", "is_staff", "opt_out_marketing", "has_complained"]
    nothing = {
        "allowed_marketing_sms": False,
        "allowed_marketing_push": False,
        "usable_sms": False,
        "usable_push": False,
    }
    order = ["DECEASED", "MINOR", "RESTRICTED", "STAFF", "OPT_OUT", "COMPLAINT", "NO_CONSENT", "UNREACHABLE"]
    people = {n: {**dict.fromkeys(facts[n - 1 :], True), **nothing} for n in range(1, 8)}
    people[8] = {
        "usable_sms": False,
        "allowed_marketing_push": False,
    }  # consent for one, address for the other
    people[9] = {"kind": "prospect", "is_deceased": True}
    decision, _ = night(people)
    assert [r["reason"] for r in decision.placed.to_pylist()] == [*order, "NOT_ELIGIBLE_KIND"]


def test_an_arm_sticks_and_two_different_ones_contaminate(night):
    treated = [
        n
        for n in range(1, 99)
        if bucket("rollout:x", n) < 8000 and bucket("GCG-2026H2", n) >= 500 and bucket("holdout:x", n) >= 1000
    ]
    one, two, three = [n for n in treated if bucket("l1", n) < 2500][:3]
    held = [("l1/e1", one, "B", 1), ("l1/e1", two, "A", 2), ("GCG-2026H2", three, "CONTROL", 1)]
    decision, _ = night(crowd(one, two, three), held=held)
    assert [(r["place"], r["variant"]) for r in decision.placed.sort_by("one_id").to_pylist()] == [
        ("TREATED", "B"), ("CONTAMINATED", "CONTAMINATED"), ("GLOBAL", None)
    ]  # fmt: skip
    assert decision.counts["contaminated"] == 1
    assert failures(root(night)) == []


@pytest.mark.parametrize("form", ["parquet", "csv", "json_lines"])
def test_two_nights_make_a_delta_in_every_format(night, form):
    body = "where: {tag: tier, eq: T3}"
    _, first = night(crowd(1, 2, 3), form=form, body=body)
    people = {**crowd(2, 4), 3: {value_column("interests"): ["CARD"]}}
    _, second = night(people, day=D + dt.timedelta(days=1), form=form, body=body)
    secret = night.settings.secret("destination_key_engine")
    told = {
        row["recipient_key"].strip('"'): row["op"].strip('"')
        for row in read_rows(newest(night) / "delta", form).to_pylist()
    }
    assert told == {
        recipient_key(secret, 1): "EXIT",
        recipient_key(secret, 4): "ENTER",
        recipient_key(secret, 3): "UPDATE",
    }
    manifest = read_manifest(newest(night))
    assert manifest["counts"]["delta"] == {"previous": 3, "enter": 1, "exit": 1, "update": 1}
    assert (manifest["seq"], manifest["previous_run_id"]) == (2, first.run_id)
    assert [row["attempt"] for row in delivery_rows([first, second])] == [1, 1]
    assert failures(night.settings.published) == []
    night(crowd(*range(1, 40)), day=D + dt.timedelta(days=2), form=form, body=body)
    for mode in ("snapshot", "delta"):
        keys = read_rows(newest(night) / mode, form)["recipient_key"].to_pylist()
        assert len(keys) > 30 and keys == sorted(keys)
    one_ids = {str(n).encode() for n in (1000000000001,)}
    assert not any(token in data for data in contents(root(night)).values() for token in one_ids)


def test_the_same_content_gives_the_same_bytes_and_nothing_of_the_attempt(night, make_workspace):
    night(crowd(1, 2, 3))
    before = contents(root(night))
    shutil.rmtree(root(night))
    night(dict(reversed(crowd(1, 2, 3).items())))
    assert contents(root(night)) == before


def test_the_same_run_again_is_verified_and_not_written(night):
    night(crowd(1, 2, 3))
    before, stamps = contents(root(night)), {p: p.stat().st_mtime_ns for p in root(night).rglob("*")}
    _, again = night(crowd(1, 2, 3))
    assert again.is_repeated and again.staged is None
    assert (
        contents(root(night)) == before
        and {p: p.stat().st_mtime_ns for p in root(night).rglob("*")} == stamps
    )
    (newest(night) / "snapshot" / "part-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(StepFailed, match="no longer verifies"):
        night(crowd(1, 2, 3))


def test_an_older_business_date_is_not_handed_on_again(night):
    night(crowd(1, 2), day=D + dt.timedelta(days=1))
    before = contents(root(night))
    assert night(crowd(1, 2, 3), day=D, release=False)[1] is None
    assert contents(root(night)) == before


def test_what_is_staged_is_not_visible_and_a_crash_leaves_the_old_or_the_new_run(night):
    night(crowd(1, 2))
    before, tomorrow = contents(root(night)), D + dt.timedelta(days=1)
    _, staged = night(crowd(1, 2, 3), day=tomorrow, release=False)
    visible = {name: data for name, data in contents(root(night)).items() if not name.startswith(STAGING)}
    assert visible == before
    discard_audience(staged)
    assert contents(root(night)) == before
    # crash between the rename and the pointer: the old run stands, and the next attempt only moves the pointer
    _, staged = night(crowd(1, 2, 3), day=tomorrow, release=False)
    (root(night) / staged.path).parent.mkdir(parents=True)
    staged.staged.rename(root(night) / staged.path)
    assert read_latest(root(night))["seq"] == 1
    _, again = night(crowd(1, 2, 3), day=tomorrow)
    assert (again.staged, again.is_repeated, read_latest(root(night))["seq"]) == (None, False, 2)
    assert failures(root(night)) == []
    # a complete run no pointer ever named is removed when another one takes its number
    _, lost = night(crowd(1), day=D + dt.timedelta(days=2), release=False)
    (root(night) / lost.path).parent.mkdir(parents=True)
    lost.staged.rename(root(night) / lost.path)
    night(crowd(5), day=D + dt.timedelta(days=2))
    assert not (root(night) / lost.path).exists() and failures(root(night)) == []


def test_a_guard_names_segment_number_and_bound(night):
    with pytest.raises(
        GateStopped, match=r"x.yml:10: segment x: the audience has 1 people and guards.size.min is 5"
    ):
        night(crowd(1), body="where: {tag: tier, eq: T3}\nguards: {size: {min: 5}}")
    with pytest.raises(GateStopped, match=r"x.yml:9: segment x: 1 people have an unknown answer"):
        night({1: "T3", 2: None}, body="unknown: error\nwhere: {tag: tier, eq: T3}")
    assert (
        night({1: "T3", 2: None}, body="unknown: include\nwhere: {tag: tier, eq: T3}")[0].counts["candidates"]
        == 2
    )
    assert not (night.settings.published / "engine" / "x" / STAGING).exists()


def rewritten(run: Path, change) -> None:
    """Change the manifest and give it a fitting hash, as a careful forger would."""
    manifest = json.loads((run / MANIFEST).read_text())
    change(manifest)
    body = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    (run / MANIFEST).write_text(body)
    (run / MANIFEST_SUM).write_text(f"{sha256(body.encode()).hexdigest()}  {MANIFEST}\n")


def changed_byte(run):
    part = run / "snapshot" / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)


def removed_row(run):
    part = run / "snapshot" / "part-00000.parquet"
    table = pq.read_table(part, partitioning=None)
    pq.write_table(table.slice(1), part)
    entry = {
        "rows": table.num_rows - 1,
        "bytes": part.stat().st_size,
        "sha256": sha256(part.read_bytes()).hexdigest(),
    }
    rewritten(
        run,
        lambda m: m["files"][[f["path"] for f in m["files"]].index("snapshot/part-00000.parquet")].update(
            entry
        ),
    )


def doubled_row(run):
    part = run / "snapshot" / "part-00000.parquet"
    table = pq.read_table(part, partitioning=None)
    pq.write_table(pa.concat_tables([table.slice(0, 1), table.slice(0, 1), table.slice(2)]), part)
    entry = {"bytes": part.stat().st_size, "sha256": sha256(part.read_bytes()).hexdigest()}
    rewritten(
        run,
        lambda m: m["files"][[f["path"] for f in m["files"]].index("snapshot/part-00000.parquet")].update(
            entry
        ),
    )


def count(name, add=1):
    def change(run):
        rewritten(run, lambda m: m["counts"].update({name: m["counts"][name] + add}))

    return change


BROKEN = {
    "a changed byte": (changed_byte, "does not have the sha256"),
    "a removed row": (removed_row, "rows of the snapshot is"),
    "a doubled row": (doubled_row, "recipients is"),
    "a missing file": (lambda run: (run / "delta" / "part-00000.parquet").unlink(), "is missing"),
    "a file too many": (lambda run: (run / "snapshot" / "part-00009.parquet").write_bytes(b""), "is not in the manifest"),
    "no success mark": (lambda run: (run / "_SUCCESS").unlink(), "_SUCCESS is missing"),
    "a changed manifest": (lambda run: (run / MANIFEST).write_text("{}"), "does not have the hash"),
    "a manifest without a key": (lambda run: rewritten(run, lambda m: m.pop("inputs")), "lacks 'inputs'"),
    "another published": (count("published"), "published is"),
    "another candidates": (count("candidates"), "candidates is"),
    "another eligible": (count("eligible"), "eligible is"),
    "another hold-out": (count("holdout_local"), "eligible is"),
    "another variant": (lambda run: rewritten(run, lambda m: m["counts"]["variants"].update({"A": 99})), "eligible is"),
    "another reason": (lambda run: rewritten(run, lambda m: m["counts"]["suppressed_by_reason"].update({"STAFF": 1})), "candidates is"),
    "another enter": (lambda run: rewritten(run, lambda m: m["counts"]["delta"].update({"enter": 7})), "previous + enter - exit is"),
    "another update": (lambda run: rewritten(run, lambda m: m["counts"]["delta"].update({"update": 7})), "rows of the delta is"),
    "people without consent": (lambda run: rewritten(run, lambda m: m["counts"]["consent"].update({"granted": 1})), "people with consent is"),
    "another seq": (lambda run: rewritten(run, lambda m: m.update({"seq": 5})), "seq is 5, but the previous run has 1"),
    "another day": (lambda run: rewritten(run, lambda m: m.update({"as_of": "2026-11-01"})), "the folder says as_of=2026-11-19"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_verification_fails_on(what, night):
    body = "where: {tag: tier, eq: T3}\n" + SPLIT
    night(crowd(*range(1, 21)), body=body)
    night(crowd(*range(3, 25)), day=D + dt.timedelta(days=1), body=body)
    assert failures(night.settings.published) == []
    damage, words = BROKEN[what]
    damage(newest(night))
    found = failures(night.settings.published)
    assert any(words in failure for failure in found), found


def test_verification_compares_the_delta_with_the_run_before(night):
    body = "where: {tag: tier, eq: T3}"
    night(crowd(1, 2, 3), body=body)
    night(crowd(2, 3, 4), day=D + dt.timedelta(days=1), body=body)
    part = newest(night) / "delta" / "part-00000.parquet"
    told = pq.read_table(part, partitioning=None)
    swapped = pa.array([{"ENTER": "EXIT", "EXIT": "ENTER"}[op] for op in told["op"].to_pylist()], pa.string())
    pq.write_table(told.set_column(0, "op", swapped), part)
    entry = {"bytes": part.stat().st_size, "sha256": sha256(part.read_bytes()).hexdigest()}
    rewritten(
        newest(night),
        lambda m: m["files"][[f["path"] for f in m["files"]].index("delta/part-00000.parquet")].update(entry),
    )
    assert {
        "the delta adds recipients that were in the previous snapshot",
        "the delta removes recipients that are in the snapshot",
    } <= set(failures(root(night)))


def test_an_expired_audience_fails_only_when_the_instant_is_named(night):
    night(crowd(1, 2))
    until = dt.datetime.fromisoformat(read_manifest(newest(night))["valid_until"])
    assert until == dt.datetime(2026, 11, 20, 6, tzinfo=night.settings.zone)
    assert failures(root(night)) == []
    assert next(v.failures for v in verify(newest(night), at=until))[0].startswith(
        "the audience expired at 2026-11-20T06:00"
    )
    assert next(v.failures for v in verify(newest(night), at=until - dt.timedelta(seconds=1))) == ()


def test_a_pointer_to_another_run_fails_and_an_empty_folder_is_refused(night, tmp_path):
    night(crowd(1, 2))
    pointer = root(night) / "LATEST.json"
    pointer.write_text(pointer.read_text().replace("as_of=2026-11-18", "as_of=2026-11-17"))
    assert failures(root(night)) == [
        "LATEST.json points to " + read_latest(root(night))["path"] + ", which is not complete"
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no published audience"):
        verify(tmp_path / "empty")


@pytest.mark.parametrize("form", ["parquet", "csv", "json_lines"])
def test_what_is_written_is_read_back(form, tmp_path):
    from decimal import Decimal

    rows = pa.table(
        {
            "recipient_key": ["a", "b", "c"],
            "text": ['say "hi",\r\nthere', "中文", None],
            "money": pa.array([Decimal("1.10"), Decimal("-2.00"), None], pa.decimal128(18, 2)),
            "day": pa.array([D, None, D], pa.date32()),
            "flag": [True, False, None],
            "set": [["x", "y"], [], None],
        }
    )
    write_rows(rows, tmp_path / "out", form)
    assert read_rows(tmp_path / "out", form).to_pylist() == as_read(rows, form).to_pylist()
    if form == "csv":
        data = (tmp_path / "out" / "part-00000.csv").read_bytes()
        assert (
            data.startswith(b"recipient_key,text,money,day,flag,set\r\n")
            and b'"say ""hi"",\r\nthere",1.10' in data
        )
