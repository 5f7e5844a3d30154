"""What a segment would publish, from the published tables: equal to the night's own runs, whoever is writing meanwhile."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from decimal import Decimal

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    bank_lake,
    fill,
    publish,
    read_tags,
    rows_of,
    spec,
    surroundings,
    tag_contracts,
    write_tags,
)

from delivery.verification import verify
from jobs.cli.segments import group
from jobs.night.offers import require_offers
from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.ledger.lock import hold_lock
from lakehouse.ledger.progress import warnings_kept
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from lakehouse.texts import speak
from segments.explaining.equations import equation_faults
from segments.explaining.explain import explain
from segments.explaining.preview import node_text, preview
from segments.language.spec import read_segment
from vocabulary.buckets import bucket

NEXT = D + dt.timedelta(days=1)
RICH = spec(
    "rich",
    """
unknown: exclude
base: {tag: tier, in: [T2, T3]}
where: {all: [{tag: balance, gte: 150}, {any: [{tag: is_active, eq: true}, {tag: days_left, lt: 20}]}]}
include: [{list: friends@1}]
exclude: [{tag: grade, eq: M, include_unknown: false}]
guards: {size: {min: 0, max: 100}}
holdout: {global: GCG-2026H2, local_percent: 30}
split: {experiment: exp-1, layer: looks, arms: {A: 50, B: 50}}
""",
    columns="variant, channel, tier, balance",
)
LOOKERS = spec(
    "lookers",
    """
unknown: include
where:
  any:
    - {event: {name: wealth_view, count: {gte: 2}, within_days: 7}}
    - {all: [{segment: rich, version: ">=1 <2"}, {not: {tag: interests, contains_any: [FUND]}}]}
    - {tag: balance, changed_since: 1}
rollout: {percent: 70}
offer: of1@1
""",
    format="json_lines",
)
SERVICE = spec(
    "letters",
    "unknown: exclude\nwhere: {any: [{tag: tier, eq: T1}, {all: [{tag: tier, is_null: false}, {not: {segment: lookers}}]}]}",
    purpose="service",
)
SPECS = {"rich": RICH, "lookers": LOOKERS, "letters": SERVICE}
ONLINE_RISK = (
    "  - {code: max_sellable_risk, value: {type: string, domain: [R1, R2, R3, R4, R5]}, null_rule: U, level: C1,"
    " purposes: [marketing], status: online, version: 1.0.0}\n"
)


@pytest.fixture
def bank(make_night):
    """The bank's lake with one night that was published."""
    specs = {f"segments/{code}.yml": text for code, text in SPECS.items()}
    specs["segments/lookers.yml"] = LOOKERS.replace("offer: of1@1\n", "")
    return make_night(
        {
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "consent.yml": "purposes: {service: {consent: not_required, why: letters perform the contract}}\n",
            "lists/friends@1.csv": "source,source_key\ncore,c3\ncore,c4\ncore,nobody\n",
            **specs,
        }
    )


def show(lake, name, day=None, **options):
    return preview(lake.settings, surroundings(lake.settings), name, day, **options)


def hold_against_the_night(lake, day):
    """Hold the preview of every segment against the run, the members and the suppressed people of the published night."""
    runs = lake.read_arrow("segments.runs", filters=[("as_of", "=", day)]).to_pylist()
    members = lake.read_arrow("segments.members", filters=[("as_of", "=", day)]).to_pylist()
    losses = {
        (row["code"], row["one_id"])
        for row in lake.read_arrow("segments.contact_losses", filters=[("as_of", "=", day)]).to_pylist()
    }
    contacts = lake.read_arrow("segments.contacts", filters=[("as_of", "=", day)]).to_pylist()
    assert runs
    for run in runs:
        figures = show(lake, run["code"], day, people=100)
        assert figures.counts == json.loads(run["counts"]), run["code"]
        sent = {
            m["one_id"]: (m["variant"], m["channel"]) for m in members
            if m["code"] == run["code"] and m["holdout"] == "NONE" and m["variant"] != "CONTAMINATED"
            and (m["code"], m["one_id"]) not in losses
        }  # fmt: skip
        assert {p["one_id"]: (p["variant"], p["channel"]) for p in figures.people} == sent
        windows = {
            p["one_id"]: (p["channel"], *map(instant, (p["send_from"], p["send_until"])))
            for p in figures.people
            if "send_from" in p
        }
        assert windows == {
            c["one_id"]: (c["channel"], c["send_from"], c["send_until"])
            for c in contacts
            if c["code"] == run["code"]
        }
        assert sum(row["people"] for row in figures.channels) == len(sent)
        assert (figures.difference.staying, figures.difference.entering, figures.difference.leaving) == (
            len(sent),
            0,
            0,
        )
        assert figures.funnel[-1].people == figures.counts["candidates"]
        assert figures.funnel[-1].unknown == figures.counts["unknown"]


def instant(text):
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def half_a_night(lake):
    """Write what a night of the next date writes before it is published: other tags, consents, members, arms."""
    poor = [{**row, "balance": Decimal("0.00"), "tier": "T1"} for row in read_tags()]
    write_tags(lake, poor, NEXT)
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": f"c{n}", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-11-18")}
        for n in range(1, 13)]))  # fmt: skip
    publish(lake, NEXT)


def files_of(folder):
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in sorted(folder.rglob("*")) if f.is_file()}


def test_every_figure_is_that_of_the_published_night(bank):
    hold_against_the_night(bank, D)
    # The next night: a receipt of the first one, a merge of two arms, other tags.
    key = next(
        r["recipient_key"] for r in bank.read_arrow("segments.recipients").to_pylist() if r["one_id"] == 3
    )
    run = bank.read_arrow("segments.deliveries").to_pylist()[0]["run_id"]
    bank.append("trusted.receipts", rows_of("trusted.receipts", [
        {"receipt_id": "r1", "run_id": run, "destination": "engine", "recipient_key": key, "channel": "SMS",
         "status": "REFUSED", "event_at": at("2026-11-19"), "event_on": NEXT, "_arrived_on": NEXT}]))  # fmt: skip
    bank.append("identity.redirects", rows_of("identity.redirects", [{"from_one_id": 11, "to_one_id": 10}]))
    write_tags(
        bank, [{**row, "balance": row["balance"] + 1} for row in read_tags() if row["one_id"] != 11], NEXT
    )
    publish(bank, NEXT)
    make_visible(bank, NEXT, "second", {})
    hold_against_the_night(bank, NEXT)
    # The first night is still told from its own versions.
    hold_against_the_night(bank, D)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_population_is_counted_as_the_night_counts_it(bank, seed):
    random = np.random.default_rng(seed)
    rows = []
    for one_id in random.choice(np.arange(1, 13), size=9, replace=False):
        rows.append({
            "one_id": int(one_id), "tier": random.choice([None, "T1", "T2", "T3"]), "balance": Decimal(int(random.integers(0, 900))),
            "days_left": None if random.random() < 0.3 else int(random.integers(0, 40)), "interests": ["FUND"] * int(random.integers(0, 2)),
            "is_active": bool(random.random() < 0.5), "opened_on": None, "grade": random.choice([None, "L", "M"]),
        })  # fmt: skip
    write_tags(bank, rows, NEXT)
    publish(bank, NEXT)
    make_visible(bank, NEXT, "random", {})
    hold_against_the_night(bank, NEXT)
    with open_publication(bank.settings) as published:
        assert equation_faults(published, published) == (2 * len(SPECS), [])
    verdicts = verify(bank.settings.published)
    assert len(verdicts) == 3 * len(SPECS) and all(v.failures == () for v in verdicts), (
        "two runs and a pointer each"
    )


@pytest.mark.slow
def test_people_whom_only_a_leaf_of_another_segment_keeps_are_asked_about_too(bank):
    folder = bank.settings.workspace / "segments"
    for file in folder.glob("*.yml"):
        file.unlink()
    (folder / "narrow.yml").write_text(spec("narrow", "where: {tag: tier, eq: T1}"))
    rule = "where: {all: [{tag: balance, gte: 100}, {not: {segment: narrow}}]}"
    (folder / "rest.yml").write_text(spec("rest", rule))
    publish(bank, NEXT)
    make_visible(bank, NEXT, "second", {})
    hold_against_the_night(bank, NEXT)
    assert show(bank, "rest").counts["candidates"] == 11


def test_the_funnel_counts_people_after_each_condition_and_unknowns_of_each_leaf(bank):
    figures = show(bank, "rich")
    assert [(step.condition, step.people, step.unknown) for step in figures.funnel] == [
        ("everybody who has tags", 12, 0),
        ("base: tag tier: in [T2, T3]", 10, 1),
        ("where: tag balance: gte 150", 10, 1),
        ("where: any of (tag is_active: eq true; tag days_left: lt 20)", 10, 1),
        # 3 and 4 are friends; the unknown of 4 is answered by it
        ("include: list friends@1", 12, 0),
        ("exclude: tag grade: eq M (unknown counts as false)", 12, 0),
    ]
    answers = {leaf.leaf: (leaf.yes, leaf.no, leaf.unknown) for leaf in figures.leaves}
    assert answers == {
        "tag tier: in [T2, T3]": (10, 1, 1),
        "tag balance: gte 150": (11, 1, 0),
        "tag is_active: eq true": (10, 2, 0),
        "tag days_left: lt 20": (10, 0, 2),
        "list friends@1": (2, 10, 0),
        "tag grade: eq M": (0, 10, 2),
    }
    assert figures.counts["suppressed_by_reason"] == {
        "NOT_ELIGIBLE_KIND": 1, "DECEASED": 1, "MINOR": 1, "RESTRICTED": 1, "STAFF": 1, "OPT_OUT": 1, "NO_CONSENT": 1,
        "UNREACHABLE": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_a_night_that_is_running_changes_no_figure_and_is_not_disturbed(bank):
    before = {code: show(bank, code) for code in SPECS}
    with hold_lock(bank.settings.lock_dir, "nightly 2026-11-19"):
        half_a_night(bank)
        lake, audiences = files_of(bank.settings.lake), files_of(bank.settings.published)
        assert {code: show(bank, code) for code in SPECS} == before
        assert (files_of(bank.settings.lake), files_of(bank.settings.published)) == (lake, audiences)
    make_visible(bank, NEXT, "second", {})
    after = show(bank, "rich")
    assert (after.business_date, after.counts["published"]) == (NEXT, 0)
    assert show(bank, "rich", D) == before["rich"]


def test_a_draft_is_seen_wherever_it_lies_and_beside_what_is_published(bank, tmp_path):
    draft = tmp_path / "any name.yml"
    draft.write_text(RICH.replace("gte: 150", "gte: 600").replace("version: 1.0.0", "version: 1.1.0"))
    figures = show(bank, str(draft))
    sent = {
        m["one_id"]
        for m in bank.read_arrow("segments.members").to_pylist()
        if m["code"] == "rich" and m["holdout"] == "NONE"
    }
    kept = {p["one_id"] for p in figures.people}
    # the friends stay, whatever their balance; of the others 1 alone is rich and lawful
    assert kept == sent & {1, 3, 4}
    assert (figures.version, figures.difference.version) == ("1.1.0", "1.0.0")
    assert (figures.difference.staying, figures.difference.leaving) == (len(kept), len(sent - kept))
    assert not (bank.settings.workspace / "segments" / "any name.yml").exists()

    # of what it names, it is decided with: lookers name rich
    fresh = tmp_path / "fresh.yml"
    fresh.write_text(spec("fresh", 'where: {segment: rich, version: ">=1 <2"}'))
    assert show(bank, str(fresh)).counts["candidates"] == sum(
        1 for m in bank.read_arrow("segments.members").to_pylist() if m["code"] == "rich"
    )


def test_overlap_tells_what_is_published_from_what_is_chosen_tonight(bank):
    (bank.settings.workspace / "segments" / "new.yml").write_text(spec("new", "where: {tag: tier, eq: T3}"))
    (bank.settings.workspace / "segments" / "rich.yml").write_text(
        RICH.replace("gte: 150", "gte: 600").replace("version: 1.0.0", "version: 1.1.0")
    )
    members = bank.read_arrow("segments.members").to_pylist()
    sent = {
        code: {m["one_id"] for m in members if m["code"] == code and m["holdout"] == "NONE"} for code in SPECS
    }
    figures = show(bank, "letters")
    own = {p["one_id"] for p in figures.people}
    found = {(o.segment, o.version, o.state): (o.people, o.shared) for o in figures.overlaps}
    tonight = {p["one_id"] for p in show(bank, "rich").people}
    t3 = {p["one_id"] for p in show(bank, "new").people}
    assert found == {
        ("lookers", "1.0.0", "live"): (len(sent["lookers"]), len(sent["lookers"] & own)),
        ("rich", "1.0.0", "live"): (len(sent["rich"]), len(sent["rich"] & own)),
        ("rich", "1.1.0", "tonight"): (len(tonight), len(tonight & own)),
        ("new", "1.0.0", "tonight"): (len(t3), len(t3 & own)),
    }
    assert tonight and t3 and sent["rich"] & own


@pytest.mark.slow
def test_the_people_are_the_same_ones_each_time_and_have_no_name_and_no_address(bank):
    figures = show(bank, "letters", people=2)
    every = sorted(
        (p["one_id"] for p in show(bank, "letters", people=100).people),
        key=lambda n: (bucket("preview:letters", n), n),
    )
    assert [p["one_id"] for p in figures.people] == every[:2]
    assert [set(p) for p in show(bank, "rich").people] == [
        {"one_id", "variant", "channel", "tier", "balance"}
    ] * len(show(bank, "rich").people)
    assert show(bank, "rich", people=0).people == []


def test_what_stops_a_night_is_said_and_the_figures_are_there(bank):
    file = bank.settings.workspace / "segments" / "rich.yml"
    file.write_text(RICH.replace("min: 0, max: 100", "min: 50").replace("version: 1.0.0", "version: 1.1.0"))
    figures = show(bank, "rich")
    assert figures.counts["candidates"] == 12
    assert figures.refusal.endswith(
        f"segment rich: the audience has {figures.counts['published']} people and guards.size.min is 50; nothing was published"
    )
    file.write_text(spec("rich", "unknown: error\nwhere: {tag: tier, eq: T3}", version="1.1.0"))
    assert "1 people have an unknown answer" in show(bank, "rich").refusal


def test_two_conditions_on_one_event_are_told_apart_by_their_filters(bank, tmp_path):
    event = "{{event: {{name: wealth_view, within_days: 7{}}}}}"
    filters = ("", ", channel: APP", ", app_id: wx, item_class: fund", ", is_success: true")
    file = tmp_path / "filters.yml"
    file.write_text(spec("filters", f"where: {{any: [{', '.join(map(event.format, filters))}]}}"))
    assert [leaf.leaf for leaf in show(bank, str(file)).leaves] == [
        f"event wealth_view{text}: count gte 1 within 7 days"
        for text in ("", ", channel APP", ", app_id wx, item_class fund", ", is_success true")
    ]


UNSEEN = """
where:
  any:
    - {event: {name: [wealth_view, wealth_viw], within_days: 7}}
    - {event: {name: byu, within_days: 7, sum: {of: amount, gte: 1}}}
    - {sequence: {steps: [{name: wealth_view}, {name: klick}], within: 1d}}
"""


def test_an_event_that_nobody_sends_is_a_fault_of_a_preview_and_a_warning_of_a_night(bank, tmp_path):
    file = tmp_path / "unseen.yml"
    file.write_text(spec("unseen", UNSEEN))
    sentence = "E01 no event was ever called 'wealth_viw'; did you mean 'wealth_view'"
    with pytest.raises(SettingsInvalid, match=rf"unseen\.yml:11: {sentence}.* \(2 more; see"):
        show(bank, str(file))
    in_workspace = bank.settings.workspace / "segments" / "unseen.yml"
    in_workspace.write_text(spec("unseen", UNSEEN))
    with pytest.raises(SettingsInvalid, match=rf"unseen\.yml:11: {sentence}"):
        show(bank, "unseen")
    assert show(bank, "rich").notes == [], "a night decides it all the same, and so does a preview beside it"
    with warnings_kept() as warnings:
        require_offers(bank, D, is_ingested=False)
        assert warnings.take() == []
        require_offers(bank, D, is_ingested=True)
    (warning,) = warnings.take()
    assert warning == (
        "segment unseen: no event was ever called 'byu'; known are: wealth_view; no event was ever called 'klick'; known are: wealth_view; "
        "no event was ever called 'wealth_viw'; did you mean 'wealth_view'?"
    )


def test_a_faulty_file_is_refused_and_a_version_used_before_is_a_note(bank, tmp_path):
    file = tmp_path / "rich.yml"
    file.write_text(RICH.replace("tag: tier", "tag: teir"))
    with pytest.raises(
        SettingsInvalid, match=r"rich\.yml:\d+: E01 there is no tag 'teir'; did you mean 'tier'"
    ):
        show(bank, str(file))
    file.write_text(RICH.replace("gte: 150", "gte: 151"))
    assert [note.partition(": ")[2] for note in show(bank, str(file)).notes] == [
        "E16 version 1.0.0 was published with another definition; raise the version"
    ]
    with pytest.raises(UsageError, match="there is no segment 'rihc'; did you mean 'rich'"):
        show(bank, "rihc")
    with pytest.raises(SettingsInvalid, match="the file does not exist"):
        show(bank, str(tmp_path / "absent.yml"))
    with pytest.raises(UsageError, match="nothing was published for 2026-11-01"):
        show(bank, "rich", dt.date(2026, 11, 1))
    # Another segment's fault is its own: the figures are there without it. An offer that is not open is one, too.
    (bank.settings.workspace / "tags" / "test.yml").write_text(TAGS_YML + ONLINE_RISK)
    (bank.settings.workspace / "segments" / "old.yml").write_text(
        spec("old", "where: {tag: tier, eq: T3}\noffer: gone@1")
    )
    (bank.settings.workspace / "segments" / "new.yml").write_text(spec("new", "where: {tag: teir, eq: T3}"))
    figures = show(bank, "rich")
    assert figures.notes == [
        f"segment '{code}' has faults and is left out; see `cdp segments check`" for code in ("new", "old")
    ]
    assert {o.segment for o in figures.overlaps} == {"letters", "lookers"}


@pytest.mark.slow
def test_an_offer_is_judged_by_the_risk_of_the_publication(make_workspace):
    folder = make_workspace(
        {"tags/test.yml": TAGS_YML + ONLINE_RISK, "destinations.yml": DESTINATIONS_YML, "segments/lookers.yml": LOOKERS.replace(chr(34).join(["segment: rich, version: ", ">=1 <2", ""]), "tag: tier, eq: T3")}
    )  # fmt: skip
    from lakehouse.contracts.reading import build_contract

    contracts = []
    for contract in tag_contracts():
        columns = {n: {"type": c.type, "description": "test"} for n, c in contract.columns.items()}
        columns["max_sellable_risk"] = {"type": "string", "description": "test"}
        about = {"description": "test", "grain": "one row per OneID", "shape": "derived", "owner": "test"}
        contracts.append(
            build_contract({"table": contract.name, "key": list(contract.key), "columns": columns, **about})
        )
    lake = open_lake(load_settings(folder), contracts=contracts)
    fill(lake, [{**row, "max_sellable_risk": ("R1", "R3", None)[row["one_id"] % 3]} for row in read_tags()])
    lake.append("trusted.offers", rows_of("trusted.offers", [
        {"offer_id": "of1", "version": 1, "risk_level": "R2"}]))  # fmt: skip
    publish(lake, D)
    make_visible(lake, D, "first", {})
    hold_against_the_night(lake, D)
    assert show(lake, "lookers").counts["suppressed_by_reason"]["UNSUITABLE"] > 0


@pytest.mark.slow
def test_a_publication_from_before_a_column_is_read_with_nulls(bank):
    before = show(bank, "rich")
    rows = bank.read_arrow("segments.deliveries").drop_columns(["purpose", "files"])
    write_deltalake(bank.path("segments.deliveries"), rows, mode="overwrite", schema_mode="overwrite")
    make_visible(bank, D, "older", {})
    assert show(bank, "rich") == before


@pytest.mark.slow
def test_the_command_prints_records_and_ends_as_it_should(bank):
    def call(*arguments):
        command = ["preview", *arguments, "--workspace", str(bank.settings.workspace)]
        return CliRunner().invoke(group, command, standalone_mode=False)

    table = call("rich")
    assert table.return_value == 0
    lines = [" ".join(line.split()) for line in table.stdout.splitlines()]
    assert lines[0] == "rich 1.0.0 (Test), as of 2026-11-18"
    assert "base: tag tier: in [T2, T3] 10 1" in lines
    assert "− DECEASED (deceased) 1" in lines
    figures = show(bank, "rich")
    assert f"published {figures.counts['published']}" in lines
    assert (
        f"beside the published version 1.0.0: {figures.counts['published']} stay, 0 enter, 0 leave" in lines
    )

    document = json.loads(call("rich", "--format", "json").stdout)
    assert document["counts"] == figures.counts and document["reasons"]["STAFF"] == "a member of staff"
    assert "counts.candidates,12" in call("rich", "--format", "csv").stdout.splitlines()

    log = bank.settings.workspace / "audit" / "lookups.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(entries) == 3 and entries[0]["command"] == "segments preview"
    assert entries[0]["one_ids"] == [p["one_id"] for p in figures.people]
    assert (entries[0]["business_date"], entries[0]["is_revealed"]) == ("2026-11-18", False)
    assert log.stat().st_mode & 0o777 == 0o600
    call("rich", "--people", "0")
    assert len(log.read_text().splitlines()) == 3, "nobody was shown"

    log.unlink()
    log.symlink_to("/dev/null")
    refused = call("rich")
    assert "cannot be recorded, so nothing is shown" in str(refused.exception) and refused.stdout == ""

    file = bank.settings.workspace / "segments" / "rich.yml"
    file.write_text(RICH.replace("min: 0, max: 100", "min: 50").replace("version: 1.0.0", "version: 1.1.0"))
    stopped = call("rich", "--people", "0")
    assert stopped.return_value == 3 and "the night would stop: " in stopped.stdout


def test_the_command_speaks_chinese_where_the_workspace_does(bank):
    settings = bank.settings.workspace / "cdp.yml"
    settings.write_text(settings.read_text() + "language: zh\n")
    command = ["preview", "rich", "--people", "0", "--workspace", str(bank.settings.workspace)]
    lines = CliRunner().invoke(group, command, standalone_mode=False).stdout.splitlines()
    assert lines[0] == "rich 1.0.0（测试），业务日期 2026-11-18"
    assert any(line.startswith("所有有标签的人") for line in lines)
    steps = [
        line.rsplit(maxsplit=2)[0].strip()
        for line in lines
        if line.startswith(("base", "where", "include", "exclude"))
    ]
    assert steps == [
        "base: 标签 tier：in [T2, T3]",
        "where: 标签 balance：gte 150",
        "where: 满足任一 (标签 is_active：eq true; 标签 days_left：lt 20)",
        "include: 名单 friends@1",
        "exclude: 标签 grade：eq M (未知视为否)",
    ]  # fmt: skip


CHINESE_CONDITIONS = [
    ("{not: {event: {name: [view, buy], count: {gte: 2}, within_days: 7, channel: APP}}}", "不满足 (事件 view 或 buy, channel APP：7 天内次数 gte 2)"),
    ("{segment: rich, include_unknown: true}", "客群 rich (未知视为是)"),
    ("{all: [{sample: {percent: 5, salt: s}}, {tag: balance, top_n: 3, within: all, salt: s}]}", "全部满足|抽样 percent 5.0, salt s|排名 tag balance, top_n 3, within all, salt s"),
    ("{expr: balance > 3}", "表达式 balance > 3"),
    ("{date: {of: opened_on, every: year, days_ahead: {eq: 0}}}", "日期 "),
    ("{receipt: {status: OPENED, channel: SMS}}", "回执 "),
    ("{detail: {from: cards, any: false}}", "明细 "),
    ("{event: {name: buy, within_days: 7, match: {amount: {gte: 5}}}}", "事件 "),
    ("{sequence: {steps: [{name: view}, {name: buy}], within: 1d}}", "行为序列 "),
    ("{sequence: {steps: [{name: view}, {name: buy}], within: 36h, then_not: {name: paid, for: 90m}}}", "within 36h|for 90m"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "words"), CHINESE_CONDITIONS)
def test_every_kind_of_condition_is_said_in_chinese(tmp_path, condition, words):
    speak("zh")
    file = tmp_path / "x.yml"
    file.write_text(spec("x", f"where: {{any: [{condition}, {{list: friends@1}}]}}"))
    sentence = node_text(read_segment(file).where)
    assert sentence.startswith("满足任一 (") and sentence.endswith("; 名单 friends@1)")
    assert all(part in sentence for part in words.split("|"))


POLICY = """\
caps:
  - {scope: global, max: 1, days: 7}
quiet: {from: "21:00", to: "09:00"}
capacities: [{scope: SMS, max: 1}]
"""
# Three segments of the same people, decided together: 1 is reached by SMS and 10 by PUSH.
RIVAL = "unknown: exclude\nwhere: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: 150}]}"


def rival(code, priority, body=RIVAL, **changes):
    contact = f"contact: {{channels: [SMS, PUSH], channel_pick: channel_habit, priority: {priority}, expected_value: balance}}"
    return spec(code, body, **changes).replace("contact: {channels: [SMS, PUSH]}", contact)


@pytest.fixture
def governed(make_workspace):
    """The bank's lake with one published night under a contact policy, which three segments and a letter share."""

    def make(policy=POLICY):
        folder = make_workspace(
            {
                "tags/test.yml": TAGS_YML,
                "destinations.yml": DESTINATIONS_YML,
                "consent.yml": "purposes: {service: {consent: not_required, why: letters perform the contract}}\n",
                "contact_policy.yml": policy,
                **{f"segments/{code}.yml": rival(code, 90 - n) for n, code in enumerate("abc")},
                "segments/letters.yml": spec("letters", "where: {tag: tier, eq: T3}", purpose="service"),
            }
        )
        lake = bank_lake(load_settings(folder))
        publish(lake, D)
        make_visible(lake, D, "first", {})
        return lake

    return make


def dropped(lake, code, day=None):
    return show(lake, code, day).counts["dropped_by_contact"]


@pytest.mark.slow
def test_contacts_are_decided_as_the_night_decides_them(governed):
    lake = governed()
    hold_against_the_night(lake, D)
    assert [sum(dropped(lake, code, D).values()) for code in "abc"] == [0, 2, 2]
    # What was sent the night before fills the cap, but for whom a receipt says that nothing was sent.
    key = next(
        r["recipient_key"] for r in lake.read_arrow("segments.recipients").to_pylist() if r["one_id"] == 10
    )
    run = next(r["run_id"] for r in lake.read_arrow("segments.deliveries").to_pylist() if r["code"] == "a")
    lake.append("trusted.receipts", rows_of("trusted.receipts", [
        {"receipt_id": "r1", "run_id": run, "destination": "engine", "recipient_key": key, "channel": "PUSH",
         "status": "EXPIRED", "event_at": at("2026-11-19"), "event_on": NEXT, "_arrived_on": NEXT}]))  # fmt: skip
    write_tags(lake, read_tags(), NEXT)
    publish(lake, NEXT)
    make_visible(lake, NEXT, "second", {})
    hold_against_the_night(lake, NEXT)
    assert dropped(lake, "a") == {"CAPPED": 1}
    assert [p["one_id"] for p in show(lake, "a").people] == [10]
    hold_against_the_night(lake, D)


@pytest.mark.slow
def test_a_draft_takes_its_place_among_the_segments_of_the_night(governed, tmp_path):
    lake = governed()
    first, last = tmp_path / "first.yml", tmp_path / "last.yml"
    first.write_text(rival("first", 95))
    last.write_text(rival("last", 1))
    files = files_of(lake.settings.lake)
    assert (dropped(lake, str(first)), dropped(lake, str(last))) == ({}, {"LOST_ARBITRATION": 2})
    # A file that stands in for the workspace's own competes once.
    first.write_text(rival("c", 95, version="1.1.0"))
    assert dropped(lake, str(first)) == {}
    assert files_of(lake.settings.lake) == files


@pytest.mark.slow
def test_a_rival_with_faults_is_left_out_with_a_note_and_a_faulty_policy_is_refused(governed):
    lake = governed()
    (lake.settings.workspace / "segments" / "a.yml").write_text(
        rival("a", 90).replace("tag: tier", "tag: teir")
    )
    figures = show(lake, "b")
    assert figures.notes == ["segment 'a' has faults and is left out; see `cdp segments check`"]
    assert figures.counts["dropped_by_contact"] == {}
    policy = lake.settings.workspace / "contact_policy.yml"
    policy.write_text(POLICY + "never_together: [{segments: [a, nobody], days: 7}]\n")
    with pytest.raises(SettingsInvalid, match=r"contact_policy\.yml:\d+: E01 there is no segment 'nobody'"):
        show(lake, "b")
    # Letters are not governed by it.
    assert show(lake, "letters").counts["published"] > 0
    # What cannot be read may govern anybody.
    policy.write_text("caps: [{scope: global")
    with pytest.raises(SettingsInvalid, match=r"contact_policy\.yml"):
        show(lake, "letters")


@pytest.mark.slow
def test_a_publication_from_before_contact_policy_has_no_contacts(governed):
    lake = governed("purposes: [marketing]\n")
    for table in ("segments.contacts", "segments.contact_losses"):
        shutil.rmtree(lake.path(table))
    make_visible(lake, D, "older", {})
    (lake.settings.workspace / "contact_policy.yml").write_text(POLICY)
    assert [sum(dropped(lake, code).values()) for code in "abc"] == [0, 2, 2]
    assert {o.segment: o.people for o in show(lake, "a").overlaps if o.state == "live"} == {
        "b": 2,
        "c": 2,
        "letters": 3,
    }
    with open_publication(lake.settings) as published:
        assert equation_faults(published, published) == (4, [])
    assert explain(lake.settings, surroundings(lake.settings), "a", 1).loss is None


EVERY_KIND = """
unknown: exclude
base: {tag: is_active, eq: true}
where:
  any:
    - {detail: {from: customers, any: true}}
    - {absence: {name: wealth_view, within_days: 1, seen_within_days: 30}}
    - sequence: {steps: [{name: wealth_view}, {name: wealth_buy}], within: 3d}
    - {receipt: {status: [OPENED], within_days: 7}}
    - {date: {of: opened_on, every: year, days_ahead: {lte: 30}}}
    - {expr: "balance > 100"}
    - {sample: {percent: 50}}
"""


@pytest.mark.slow
def test_every_condition_is_previewed_and_a_rank_takes_the_whole_table(bank):
    folder = bank.settings.workspace / "segments"
    (folder / "every.yml").write_text(spec("every", EVERY_KIND))
    (folder / "top.yml").write_text(
        spec("top", "base: {tag: is_active, eq: true}\nwhere: {tag: balance, top_n: 4, within: base}")
    )
    bank.append("trusted.events", rows_of("trusted.events", [
        {"event_id": "bought", "source_key": "c1", "event_name": "wealth_buy", "channel": "APP",
         "occurred_at": at("2026-11-19"), "occurred_on": NEXT}]))  # fmt: skip
    publish(bank, NEXT)
    make_visible(bank, NEXT, "second", {})
    hold_against_the_night(bank, NEXT)
    figures = show(bank, "top")
    assert figures.counts["candidates"] == 4
    assert [(leaf.yes, leaf.no, leaf.unknown) for leaf in figures.leaves][1] == (4, 8, 0)


def test_a_draft_elsewhere_has_the_templates_and_parameters_of_the_workspace(bank, tmp_path):
    folder = bank.settings.workspace
    (folder / "templates").mkdir()
    whole = spec(
        "x",
        "unknown: exclude\nparameters: {least: {default: 1, min: 1, max: 900}}\nwhere: {tag: balance, gte: $least}",
    )
    template = whole.replace(
        "spec: segment/v1\ncode: x\nversion: 1.0.0", "spec: segment_template/v1\noverrides: [name]"
    )
    (folder / "templates" / "rich@1.yml").write_text(template)
    draft = tmp_path / "draft.yml"
    draft.write_text(
        "spec: segment/v1\ncode: draft\nversion: 1.0.0\nextends: rich@1\nwhere: {tag: tier, eq: T3}\n"
    )
    assert show(bank, str(draft)).counts["candidates"] == 7
    draft.write_text(draft.read_text().replace("code: draft", "code: rich"))
    (folder / "segments" / "rich.yml").write_text(draft.read_text())
    (folder / "segment_parameters.yml").write_text("rich: {least: 500}\n")
    assert show(bank, str(draft)).counts["candidates"] == 4


def test_a_segment_that_names_a_file_that_cannot_be_read_is_refused_with_that_file(bank, tmp_path):
    (bank.settings.workspace / "segments" / "rich.yml").write_text("spec: [")
    draft = tmp_path / "fresh.yml"
    draft.write_text(spec("fresh", "where: {segment: rich}"))
    with pytest.raises(SettingsInvalid, match=r"segments/rich\.yml"):
        show(bank, str(draft))
    with pytest.raises(SettingsInvalid, match=r"segments/rich\.yml"):
        show(bank, "rich")
    draft.write_text(RICH)
    assert show(bank, str(draft)).counts["candidates"] == 12
