"""Why a person is in an audience or not, and the other commands; from published tables, without a JVM."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    bank_lake,
    fill_rows,
    rows_of,
    spec,
    surroundings,
    tag_contracts,
)

from jobs.cli.segments import group
from lakehouse.errors import UsageError
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from lakehouse.texts import speak
from segments.choosing.evaluation import evaluate
from segments.explaining import explain as explaining
from segments.language.spec import read_segment

RICH = spec(
    "rich",
    """
unknown: exclude
where:
  all:
    - {tag: tier, in: [T2, T3]}
    - any: [{tag: balance, gte: 150}, {event: {name: wealth_view, count: {gte: 2}, within_days: 7}}]
    - not: {list: friends@1}
exclude: [{tag: grade, eq: M, include_unknown: false}]
""",
)
COUNTS = {"candidates": 3, "published": 1}


@pytest.fixture
def settings(make_workspace):
    files = {
        "tags/test.yml": TAGS_YML,
        "destinations.yml": DESTINATIONS_YML,
        "lists/friends@1.csv": "one_id\n2\n",
    }
    folder = make_workspace({**files, "segments/rich.yml": RICH})
    found = load_settings(folder)
    lake = bank_lake(found)
    segment = read_segment(folder / "segments" / "rich.yml")
    keys = {"code": "rich", "as_of": D, "run_id": "r1"}
    run = {
        "version": "1.0.0",
        "definition_hash": segment.definition_hash,
        "seq": 1,
        "inputs": [],
        "tag_versions": [],
    }
    rows = {
        "runs": [{**keys, **run, "params": "{}", "counts": json.dumps(COUNTS), "status": "evaluated"}],
        "members": [
            {**keys, "one_id": 1, "variant": "A", "holdout": "NONE", "channel": "SMS", "entered_on": D},
            {**keys, "one_id": 10, "holdout": "GLOBAL", "channel": "PUSH", "entered_on": D},
        ],
        "definitions": [
            {"code": "rich", "version": "1.0.0", "definition_hash": segment.definition_hash, "yaml": segment.text, "status": "active"}
        ],
        "suppressions": [{**keys, "one_id": 5, "reason": "RESTRICTED"}],
        "recipients": [{"destination": "engine", "recipient_key": "abc", "one_id": 1}],
        "deliveries": [
            {**keys, "destination": "engine", "seq": 1, "attempt": 1, "status": "DELIVERED", "accepted": 1, "rejected": 0,
             "manifest_sha256": "0"}
        ],
    }  # fmt: skip
    for table, content in rows.items():
        lake.append(f"segments.{table}", rows_of(f"segments.{table}", content))
    lake.append("identity.redirects", rows_of("identity.redirects", [{"from_one_id": 99, "to_one_id": 1}]))
    make_visible(lake, D, "fingerprint", {})
    return found


def explain(settings, *case):
    return explaining.explain(settings, surroundings(settings), *case)


def test_a_published_person_is_explained_leaf_by_leaf(settings):
    found = explain(settings, "rich", 1)
    assert [("  " * x.depth + x.text, x.answer, x.evidence) for x in found.lines] == [
        ("where", True, ""),
        ("  all of", True, ""),
        ("    tag tier: in [T2, T3]", True, "T3"),
        ("    any of", True, ""),
        ("      tag balance: gte 150", True, "900.00"),
        ("      event wealth_view: count gte 2 within 7 days", True, "2"),
        ("    not", True, ""),
        ("      list friends@1", False, "not on the list"),
        ("exclude", None, "RESTRICTED"),
        ("  tag grade: eq M (unknown counts as false)", None, "RESTRICTED"),
    ]
    assert [x.is_withheld for x in found.lines] == [False] * 8 + [True] * 2
    assert (found.answer, found.outcome, found.variant) == (True, "member, published", "A")
    assert found.deliveries == [{"destination": "engine", "run_id": "r1", "seq": 1, "recipient_key": "abc"}]


@pytest.mark.parametrize(
    ("one_id", "chosen", "outcome"),
    [
        (2, False, "not chosen by the rule"),
        (3, False, "not chosen by the rule"),
        (4, None, "not chosen by the rule"),
        (5, True, "chosen, but suppressed: RESTRICTED"),
        (9, True, "chosen, but outside the rollout"),
        (10, True, "member, kept as control group (GLOBAL)"),
        (99, True, "member, published"),
    ],
)
def test_every_outcome_has_its_sentence(settings, one_id, chosen, outcome):
    found = explain(settings, "rich", one_id, D)
    assert (found.answer, found.outcome) == (chosen, outcome)
    assert found.redirected_from == (99 if one_id == 99 else None)


EARLIER = {
    "winner": "gold",
    "winner_run_id": "r0",
    "winner_contact_on": dt.date(2026, 11, 14),
    "advantage": "EARLIER_CONTACT",
}
TONIGHT = {"winner": "gold", "winner_run_id": "r2"}
LOSSES = {
    "capped by an earlier contact": (
        {"reason": "CAPPED", "rule": "cap:global:2/7d", **EARLIER},
        "CAPPED (earlier contacts fill a cap), by cap:global:2/7d; the newest of them is by gold on 2026-11-14, run r0",
        "CAPPED（已达到触达频次上限），依据 cap:global:2/7d；其中最近一次来自 gold，日期 2026-11-14，批次 r0",
    ),
    "capped by a cap of nobody": (
        {"reason": "CAPPED", "rule": "cap:SMS:0/1d"},
        "CAPPED (earlier contacts fill a cap), by cap:SMS:0/1d",
        "CAPPED（已达到触达频次上限），依据 cap:SMS:0/1d",
    ),
    "kept apart": (
        {"reason": "LOST_ARBITRATION", "rule": "never_together:gold", **EARLIER},
        "LOST_ARBITRATION (another contact took the place), by never_together:gold; gold came earlier, on 2026-11-14, run r0",
        "LOST_ARBITRATION（名额已被其他客群占用），依据 never_together:gold；gold 已先行触达，日期 2026-11-14，批次 r0",
    ),
    "by priority": (
        {"reason": "LOST_ARBITRATION", "rule": "cap:global:2/7d", **TONIGHT, "advantage": "PRIORITY", "margin": 20.5},
        "LOST_ARBITRATION (another contact took the place), by cap:global:2/7d; gold won by its priority, 20.5 ahead, run r2",
        "LOST_ARBITRATION（名额已被其他客群占用），依据 cap:global:2/7d；gold 因优先级更高而优先，领先 20.5，批次 r2",
    ),
    "by expected value": (
        {"reason": "LOST_ARBITRATION", "rule": "cap:global:2/7d", **TONIGHT, "advantage": "EXPECTED_VALUE", "margin": 0.5},
        "LOST_ARBITRATION (another contact took the place), by cap:global:2/7d; gold won by its expected value, run r2",
        "LOST_ARBITRATION（名额已被其他客群占用），依据 cap:global:2/7d；gold 优先级相同，因预期价值更高而优先，批次 r2",
    ),
    "by the hash": (
        {"reason": "LOST_ARBITRATION", "rule": "cap:global:2/7d", **TONIGHT, "advantage": "HASH", "margin": 0.0},
        "LOST_ARBITRATION (another contact took the place), by cap:global:2/7d; "
        "gold won by the hash, priority and expected value being equal, run r2",
        "LOST_ARBITRATION（名额已被其他客群占用），依据 cap:global:2/7d；gold 优先级与预期价值均相同，由哈希决定优先，批次 r2",
    ),
    "by a price": (
        {"reason": "LOST_ARBITRATION", "rule": "capacity:SMS", **TONIGHT, "advantage": "PRICE", "margin": -3.0},
        "LOST_ARBITRATION (another contact took the place), by capacity:SMS; "
        "gold won because contacts are scarce and its own is the cheaper one, run r2",
        "LOST_ARBITRATION（名额已被其他客群占用），依据 capacity:SMS；触达资源紧张，gold 占用成本更低而优先，批次 r2",
    ),
    "before there were advantages": (
        {"reason": "LOST_ARBITRATION", "rule": "cap:global:2/7d", **TONIGHT, "margin": 2.0},
        "LOST_ARBITRATION (another contact took the place), by cap:global:2/7d; gold won",
        "LOST_ARBITRATION（名额已被其他客群占用），依据 cap:global:2/7d；gold 优先",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_who_lost_is_told_which_rule_who_won_and_by_what(case):
    row, english, chinese = LOSSES[case]
    loss = explaining.ContactLoss(*(row.get(name) for name in explaining.LOSS_COLUMNS))
    assert loss.sentence == english
    try:
        speak("zh")
        assert loss.sentence == chinese
    finally:
        speak("en")


def test_a_loss_of_the_table_is_read_with_its_winner(settings):
    row = {
        "code": "rich",
        "as_of": D,
        "run_id": "r1",
        "one_id": 1,
        "reason": "CAPPED",
        "rule": "cap:global:2/7d",
        **EARLIER,
    }
    lake = open_lake(settings)
    lake.append("segments.contact_losses", rows_of("segments.contact_losses", [row]))
    make_visible(lake, D, "another fingerprint", {})
    found = explain(settings, "rich", 1)
    assert found.loss == explaining.ContactLoss("CAPPED", "cap:global:2/7d", *EARLIER.values(), None)
    assert (found.outcome, found.deliveries) == ("member, not contacted this night: CAPPED", [])


def test_what_cannot_be_explained_is_said_and_what_was_evaluated_is_explained(settings):
    with pytest.raises(UsageError, match="no segment 'rihc'; did you mean 'rich'"):
        explain(settings, "rihc", 1)
    with pytest.raises(UsageError, match="OneID 777 has no tags"):
        explain(settings, "rich", 777)
    with pytest.raises(UsageError, match="nothing was published for 2026-11-01"):
        explain(settings, "rich", 1, dt.date(2026, 11, 1))
    changed = RICH.replace("gte: 150", "gte: 160").replace("1.0.0", "1.1.0")
    before = explain(settings, "rich", 1)
    file = settings.workspace / "segments" / "rich.yml"
    file.write_text(changed)
    after = explain(settings, "rich", 1)
    assert after.notes == [
        "the rule is that of version 1.0.0, which was evaluated on 2026-11-18; the file has 1.1.0"
    ]
    assert replace(after, notes=before.notes) == before, (
        "an edit since does not change what became of somebody"
    )
    file.unlink()
    assert replace(explain(settings, "rich", 1), notes=before.notes) == before


def test_the_commands_answer_without_spark(settings):
    def call(*arguments):
        return CliRunner().invoke(
            group, [*arguments, "--workspace", str(settings.workspace)], standalone_mode=False
        )

    listed = call("list", "--format", "csv")
    assert listed.stdout.splitlines()[1:] == ["rich,1.0.0,marketing,1,3,2026-11-18,Test"]
    checked = call("check")
    assert (checked.return_value, checked.output) == (0, "1 segments checked, 0 with faults\n")
    shown = call("sql", "rich")
    assert "FROM tags.customer_tags t" in shown.output and "THEN 'NO_CONSENT'" in shown.output
    explained = call("explain", "rich", "--one-id", "5")
    assert "outcome: chosen, but suppressed: RESTRICTED" in explained.output
    assert "RESTRICTED]" in explained.output and "[H]" not in explained.output
    assert "-        exclude   [RESTRICTED]" in explained.output
    (lookup,) = (settings.workspace / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()
    assert (json.loads(lookup)["command"], json.loads(lookup)["one_ids"]) == ("segments explain", [5])
    assert isinstance(call("explain", "rich", "--one-id", "777").exception, UsageError)
    _, miss = (settings.workspace / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()
    entry = json.loads(miss)
    assert (entry["one_ids"], entry["identifier"], entry["refusal"]) == ([], "one_id", "nobody")
    verified = call("verify", "--all")
    assert verified.return_value == 1 and "engine" in verified.stderr, "what was delivered is not there"
    (settings.workspace / "segments" / "rich.yml").write_text(RICH.replace("tag: tier", "tag: teir"))
    checked = call("check")
    assert checked.return_value == 2
    assert "rich.yml:12: E01 there is no tag 'teir'; did you mean 'tier'?" in checked.stderr


ROWS = spec(
    "rows",
    """
unknown: exclude
base: {tag: tier, in: [T2, T3]}
where:
  any:
    - {detail: {from: holdings, match: {product_class: wealth, quantity: {gte: 5}}, count: {gte: 1}}}
    - {event: {name: wealth_view, within_days: 9, sum: {of: amount, gte: 3}}}
    - {receipt: {status: OPENED, of: rich, within_days: 30}}
    - {sequence: {steps: [{name: wealth_view}], then_not: {name: buy, for: 36h}}}
    - {date: {of: matures_on, from: holdings, pick: next, days_ahead: {lte: 3}, calendar: exchange@1}}
    - {expr: balance > 500}
    - {tag: balance, top_n: 3, include_unknown: false}
    - {sample: {percent: 50, salt: pilot}}
exclude: [{tag: grade, eq: H, include_unknown: false}]
""",
)


@pytest.mark.slow
def test_every_other_leaf_is_explained_as_the_night_answered_it(settings):
    (settings.workspace / "segments" / "rows.yml").write_text(ROWS)
    (settings.workspace / "calendars").mkdir()
    (settings.workspace / "calendars" / "exchange@1.csv").write_text(
        "day\n2026-11-18\n2026-11-20\n2026-11-23\n"
    )
    lake = open_lake(settings, contracts=tag_contracts())
    fill_rows(lake)
    evaluate(lake, D, surroundings(settings), engine="duckdb")
    make_visible(lake, D, "again", {})
    found = {n: explain(settings, "rows", n).lines[3:] for n in (1, 2, 5)}
    assert [(x.text, x.answer, x.evidence) for x in found[1][1:-2]] == [
        ("detail from trusted.holdings, match product_class eq wealth, quantity gte 5, count gte 1", True, "1"),
        ("event from trusted.events, match event_name in [wealth_view], sum of amount, gte 3, within_days 9", None, "nothing"),
        ("receipt from trusted.receipts, match status in [OPENED], segment in [rich],"
         " count gte 1, within_days 30", False, "0"),
        ("sequence steps [name [wealth_view]], then_not name [buy], for 36h, within_days 3", None,
         "happened, what follows is open"),
        ("date of from trusted.holdings, of matures_on, pick next, days_ahead lte 3, calendar exchange@1", True, "2026-11-20"),
        ("expr balance > 500", True, "true"),
        ("rank tag balance, top_n 3, within base, salt rank:rows (unknown counts as false)", True,
         "900.00, the cut is 700.00 with 3 people"),
        ("sample percent 50.0, salt pilot", True, "bucket 1105 of those below 5000"),
    ]  # fmt: skip
    assert [(x.answer, x.evidence) for x in found[2][1:-2]][:1] == [(None, "0 to 1")]
    assert (found[5][-1].evidence, found[5][-1].answer, found[5][-1].is_withheld) == (
        "RESTRICTED",
        None,
        True,
    )
    for one_id in range(1, 12):
        explanation = explain(settings, "rows", one_id)
        is_candidate = explanation.is_member or explanation.suppression is not None
        assert is_candidate is (explanation.answer is True), one_id


def test_a_list_finds_a_person_by_a_number_that_was_merged_into_another(settings):
    (settings.workspace / "lists" / "friends@1.csv").write_text("one_id\n99\n99\n777\n")
    (settings.workspace / "segments" / "rows.yml").write_text(
        spec("rows", "where: {list: friends@1}", kind="static")
    )
    lake = open_lake(settings, contracts=tag_contracts())
    evaluate(lake, D, surroundings(settings), engine="duckdb")
    make_visible(lake, D, "again", {})
    members = lake.read_arrow("segments.members").to_pylist()
    assert [row["one_id"] for row in members if row["code"] == "rows"] == [1]
    assert explain(settings, "rows", 1).lines[1].evidence == "on the list"


def test_checking_imports_neither_spark_nor_dbt(settings):
    import subprocess

    code = (
        "import sys, jobs.cli; sys.argv = ['cdp'];\n"
        f"answer = jobs.cli.run(['segments', 'check', '--workspace', {str(settings.workspace)!r}]);\n"
        "heavy = {'pyspark', 'dbt', 'great_expectations', 'matplotlib'} & set(sys.modules);\n"
        "print(answer, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
