"""`cdp customer show`: all that is published of one person, masked until it is revealed, and every look-up recorded."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from decimal import Decimal
from textwrap import dedent

import duckdb
import pyarrow as pa
import pytest

import tags
from identity import resolve
from jobs.cli import run
from jobs.report.reveals import operating_user
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tests.identity.identity_records import deliver
from tests.published_lake import FEED
from tests.segments.segment_bank import (
    DESTINATIONS_YML,
    at,
    rows_of,
    spec,
)

D = dt.date(2026, 11, 18)
PHONE, ID_NUMBER, NAME, DEVICE = "13812340001", "110105198503121015", "张伟", "imei-99887766"
RECORDS = [
    {"id": "core/1", "name": NAME, "national_id": ID_NUMBER, "phone": PHONE},
    {"id": f"web/{PHONE}", "phone": PHONE},
    {"id": "core/2", "name": "李娜", "national_id": "110105198706250028", "phone": "13812340002"},
]
PRIVATE = (PHONE, ID_NUMBER, NAME, DEVICE)


@pytest.fixture
def bank(published_bank, tmp_path, monkeypatch):
    """A bank of its own for each test: a copy of the published one."""
    folder, first, second = published_bank
    shutil.copytree(folder, tmp_path / "bank")
    monkeypatch.setenv("CDP_WORKSPACE", str(tmp_path / "bank"))
    return tmp_path / "bank", first, second


@pytest.fixture(scope="module")
def published_bank(tmp_path_factory):
    """A published night in which one person has something in every section; the other has one holding and one event."""
    folder = tmp_path_factory.mktemp("published")
    files = {
        "cdp.yml": "generate_secrets: true\n",
        "destinations.yml": DESTINATIONS_YML,
        "segments/rich.yml": spec("rich", "where: {tag: aum_tier, eq: T3}"),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(dedent(text), encoding="utf-8")
    settings = load_settings(folder)
    lake = open_lake(settings, contracts=tags.tag_contracts(settings))
    deliver(lake, D, RECORDS)
    resolve(lake, D)
    people = {
        (row["source"], row["source_key"]): row["one_id"]
        for row in lake.read_arrow("identity.memberships").to_pylist()
    }
    first, second = people["core", "1"], people["core", "2"]
    assert people["web", PHONE] == first != second
    lake.create(["tags.customer_tags"])
    row = {"aum_tier": "T3", "aum_eod": Decimal("900.00"), "aml_grade": "H", "as_of": D}
    schema = lake.contracts.get("tags.customer_tags").arrow_schema()
    lake.overwrite(
        "tags.customer_tags",
        pa.Table.from_pylist([{**row, "one_id": first}, {**row, "one_id": second}], schema=schema),
    )
    keys = {"code": "rich", "as_of": D, "run_id": "r1"}
    run_of = {"version": "1.0.0", "definition_hash": "h", "seq": 1, "inputs": [], "tag_versions": [], "params": "{}", "counts": "{}", "status": "evaluated"}  # fmt: skip
    account = {"relationship_type": "person_account", "from_source": "core", "to_source": "core"}
    event = {"channel": "APP", "device_id": DEVICE, "properties": json.dumps({"phone": PHONE})}
    entry = {
        "family": "test", "entity": "customer", "kind": "fact", "status": "online", "version": "1.0.0", "value_type": "string", "cardinality": "single",
        "null_rule": "U", "level": "C1", "inputs": [], "columns_read": [], "read_by": [], "owner_business": "retail", "owner_tech": "data",
        "is_site": True,
    }  # fmt: skip
    purposes = {
        "aum_tier": ["marketing"],
        "aum_eod": ["service"],
        "age": ["marketing"],
        "aml_grade": ["risk_only"],
        "absent": ["marketing"],
    }
    rows = {
        "tags.catalogue": [
            {**entry, "code": code, "number": number, "purposes": allowed, "name_zh": "名", "name_en": f"the {code}", "definition_zh": "义",
             "definition_en": "what it\n  means"}
            for number, (code, allowed) in enumerate(purposes.items())
        ],
        "segments.runs": [{**keys, **run_of}, {**keys, **run_of, "code": "poor", "run_id": "r2"}, {**keys, **run_of, "code": "other", "run_id": "r3"}, {**keys, **run_of, "code": "tired", "run_id": "r4"}],
        "segments.members": [{**keys, "one_id": first, "variant": "A", "holdout": "NONE", "channel": "SMS", "entered_on": D},
            {**keys, "code": "tired", "run_id": "r4", "one_id": first, "variant": "A", "holdout": "NONE", "channel": "SMS", "entered_on": D}],
        "segments.contact_losses": [{**keys, "code": "tired", "run_id": "r4", "one_id": first, "reason": "CAPPED", "rule": "cap:global:2/7d",
            "winner": "rich", "winner_run_id": "r0", "winner_contact_on": dt.date(2026, 11, 16), "advantage": "EARLIER_CONTACT"}],
        "segments.suppressions": [{**keys, "code": "poor", "run_id": "r2", "one_id": first, "reason": "OPT_OUT"}],
        "segments.recipients": [{"destination": "engine", "recipient_key": "abc", "one_id": 77}],
        "segments.deliveries": [
            {**keys, "destination": "engine", "purpose": "marketing", "seq": 1, "attempt": 1, "status": "DELIVERED", "accepted": 1,
             "rejected": 0, "manifest_sha256": "0"}
        ],
        "identity.redirects": [{"from_one_id": 77, "to_one_id": first}],
        "trusted.receipts": [
            {"receipt_id": "1", "run_id": "r1", "destination": "engine", "recipient_key": "abc", "channel": "SMS", "status": "OPENED",
             "event_at": at("2026-11-18"), "event_on": D}
        ],
        "tags.tag_history": [
            {"as_of": D, "one_id": first, "tag": tag, "from_value": value, "to_value": value, "before_on": D, "cause": "value"}
            for tag, value in (("aml_grade", "MH"), ("aum_tier", "T2"))
        ],
        "trusted.products": [{"product_id": "W1", "name": "稳健一号", "product_class": "wealth", "status": "on_sale"}],
        "trusted.relationships": [
            {**account, "from_key": "1", "to_key": "a1", "role": "owner"},
            {**account, "from_key": "2", "to_key": "a1", "role": "co_holder"},
            {**account, "from_key": "1", "to_key": "a2", "role": "owner", "ended_on": dt.date(2026, 1, 1)},
            {**account, "from_key": "1", "to_key": "a3", "role": "agent"},
        ],
        "trusted.holdings": [
            {"holding_id": f"h{n}", "account_id": f"a{n}", "product_id": "W1", "product_class": "wealth", "balance": Decimal(n * 1000),
             "currency": "CNY", "status": "active"}
            for n in (1, 2, 3)
        ],
        "trusted.events": [
            {**event, "event_id": "e1", "source_key": "1", "event_name": "login", "occurred_at": at("2026-11-17"), "occurred_on": dt.date(2026, 11, 17)},
            {**event, "event_id": "e2", "source_key": "1", "event_name": "view", "occurred_at": at("2026-11-18"), "occurred_on": D},
            {**event, "event_id": "e3", "source_key": "1", "event_name": "too_late", "occurred_at": at("2026-11-20"), "occurred_on": dt.date(2026, 11, 20)},
            {**event, "event_id": "e4", "source_key": "2", "event_name": "of_another", "occurred_at": at("2026-11-17"), "occurred_on": dt.date(2026, 11, 17)},
        ],
        "trusted.consents": [
            {"source_key": "1", "purpose": "marketing", "channel": "ALL", "decision": "GRANT", "decided_at": at("2026-01-01")},
            {"source_key": "1", "purpose": "marketing", "channel": "SMS", "decision": "REFUSE", "decided_at": at("2025-01-01"), "valid_to": D},
        ],
    }  # fmt: skip
    for table, content in rows.items():
        lake.append(table, rows_of(table, content))
    make_visible(lake, D, "f", {})
    return folder, first, second


@pytest.fixture
def show(bank, capsys):
    def call(*arguments):
        code = run(["customer", "show", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def document(show, *arguments):
    code, out, err = show(*arguments, "--format", "json")
    assert code == 0, err
    return json.loads(out)


def lines_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_tag_that_may_only_exclude_is_withheld_from_statements_and_exports(bank, capsys, tmp_path):
    """Not even how many people have which value is told, and a condition meets nothing."""

    def ask(*arguments):
        assert run(["sql", "--format", "json", *arguments]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    grades = "select aml_grade, is_account_controlled, count(*) as n from tags.customer_tags group by all"
    assert ask(grades) == [{"aml_grade": "RESTRICTED", "is_account_controlled": None, "n": 2}]
    assert ask(
        "select count(*) as n from tags.customer_tags where aml_grade = 'H' or is_account_controlled"
    ) == [{"n": 0}]
    changes = "select tag, from_value, to_value from tags.tag_history order by tag"
    shown = [
        {"tag": "aml_grade", "from_value": "RESTRICTED", "to_value": "RESTRICTED"},
        {"tag": "aum_tier", "from_value": "T2", "to_value": "T2"},
    ]
    assert ask(changes) == shown
    assert [row["aml_grade"] for row in ask("--reveal", "a case", grades)] == ["H"]
    place = tmp_path / "x.duckdb"
    (bank[0] / "feeds").mkdir(exist_ok=True)
    (bank[0] / "feeds" / "members.yml").write_text(FEED, encoding="utf-8")
    assert run(["sql", "--export", str(place)]) == 0
    with duckdb.connect(str(place), read_only=True) as export:
        assert export.execute(grades).fetchall() == [("RESTRICTED", None, 2)]
        assert export.execute(changes).fetchall() == [tuple(row.values()) for row in shown]


def test_every_section_is_of_this_person_and_of_this_night(bank, show):
    _, first, second = bank
    view = document(show, first)
    assert {(p["source"], p["source_key"]) for p in view["profiles"]} == {
        ("core", "1"),
        ("web", "138****0001"),
    }
    assert {(i["namespace"], i["value"], i["records"]) for i in view["identifiers"]} == {
        ("phone", "138****0001", 2), ("national_id", "110***15", 1),
    }  # fmt: skip
    assert set(view["golden"]) == {"full_name"}
    values = {tag["tag"]: tag for tag in view["tags"]}
    assert (values["aum_tier"]["value"], values["aum_eod"]["value"], values["age"]["value"]) == (
        "T3",
        "900.00",
        None,
    )
    assert (list(values), values["aum_tier"]["name"], values["aum_tier"]["meaning"]) == (
        ["aum_tier", "aum_eod", "age", "aml_grade"],
        "the aum_tier",
        "what it means",
    )
    # an ended ownership and an agent's account are not held; the co-holder holds the same
    assert [(h["product"], h["balance"], h["role"]) for h in view["holdings"]] == [
        ("稳健一号", "1000.00", "owner")
    ]
    other = document(show, second)
    assert [(h["balance"], h["role"]) for h in other["holdings"]] == [("1000.00", "co_holder")]
    assert [e["event_name"] for e in view["events"]] == ["view", "login"]
    assert [e["event_name"] for e in document(show, first, "--last", 1)["events"]] == ["view"]
    assert [(c["channel"], c["decision"]) for c in view["consents"]] == [("ALL", "GRANT")]
    # the receipt came under the number the person had before a merge
    assert [(c["segment"], c["channel"], c["status"]) for c in view["contacts"]] == [
        ("rich", "SMS", "OPENED")
    ]
    assert [(s["code"], s["outcome"]) for s in view["segments"]] == [
        ("poor", "chosen, but suppressed: OPT_OUT (refused to be contacted)"), ("rich", "member, published"),
        ("tired", "member, not contacted this night: CAPPED (earlier contacts fill a cap), by cap:global:2/7d; "
         "the newest of them is by rich on 2026-11-16, run r0"),
    ]  # fmt: skip
    assert (other["contacts"], other["segments"]) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_nothing_private_is_shown_and_a_restricted_tag_has_no_value(bank, show, form):
    _, first, _ = bank
    code, out, err = show(first, "--format", form)
    assert code == 0 and [value for value in PRIVATE if value in out + err] == []
    assert "masked:" in out and "RESTRICTED" in out
    assert '"H"' not in out and "  H  " not in out and ",H" not in out


def test_a_reveal_has_a_reason_and_both_records(bank, show):
    folder, first, _ = bank
    code, out, _ = show(first, "--reveal", " call of the customer ", "--format", "json")
    view = json.loads(out)
    assert code == 0 and view["golden"]["full_name"] == NAME
    assert {i["value"] for i in view["identifiers"]} == {PHONE, ID_NUMBER}
    assert ("web", PHONE) in {(p["source"], p["source_key"]) for p in view["profiles"]}
    assert next(tag["value"] for tag in view["tags"] if tag["tag"] == "aml_grade") == "RESTRICTED"
    (reveal,) = lines_of(folder / "audit" / "reveals.jsonl")
    assert reveal["reason"] == "call of the customer"
    assert {"trusted.identifier_observations", "identity.golden_records", "tags.customer_tags"} <= set(
        reveal["tables"]
    )
    (lookup,) = lines_of(folder / "audit" / "lookups.jsonl")
    assert (lookup["one_ids"], lookup["is_revealed"], lookup["command"]) == ([first], True, "customer show")
    assert show(first, "--reveal", " ") == (2, "", "cdp: --reveal has to say why the values are needed\n")


@pytest.mark.slow
def test_every_look_up_is_recorded_before_anything_is_shown(bank, show):
    folder, first, second = bank
    show(first)
    show("--identifier", f"phone={PHONE}")
    show("--profile", "core/2")
    show("77")
    log = folder / "audit" / "lookups.jsonl"
    assert [(e["one_ids"], e["is_revealed"]) for e in lines_of(log)] == [
        ([first], False), ([first], False), ([second], False), ([first], False),
    ]  # fmt: skip
    assert not any(value in log.read_text(encoding="utf-8") for value in PRIVATE)
    log.unlink()
    log.symlink_to("/dev/null")
    code, out, err = show(first)
    assert (code, out) == (1, "") and "the look-up cannot be recorded, so nothing is shown" in err


def test_who_cannot_be_found_is_said_and_recorded_without_the_value(bank, show):
    folder, first, _ = bank
    assert show("--identifier", "phone=13899990000") == (2, "", "cdp: nobody carries that phone\n")
    assert show("123") == (2, "", "cdp: no OneID 123 was ever published\n")
    code, _, err = show()
    assert code == 2 and "name one person" in err
    assert show("--profile", "core/13899990000")[0] == 2
    log = folder / "audit" / "lookups.jsonl"
    entries = lines_of(log)
    assert [(e["command"], e["identifier"], e["refusal"], e["one_ids"]) for e in entries] == [
        ("customer show", kind, "nobody", []) for kind in ("phone", "one_id", "profile")
    ]
    assert {(e["user"], e["is_revealed"], e["business_date"]) for e in entries} == {
        (operating_user(), False, "2026-11-18")
    }
    assert "13899990000" not in log.read_text(encoding="utf-8")
    # what asks for nobody, or of no publication, is no look-up
    assert show("--identifier", "phone=12")[0] == show(first, "--as-of", "2026-11-01")[0] == 2
    assert lines_of(log) == entries


def test_nothing_is_answered_where_a_miss_cannot_be_recorded(bank, show):
    folder, *_ = bank
    (folder / "audit").mkdir(mode=0o700)
    (folder / "audit" / "lookups.jsonl").symlink_to("/dev/null")
    code, out, err = show("--identifier", "phone=13899990000")
    assert (code, out) == (1, "") and "the look-up cannot be recorded, so nothing is shown" in err
    assert "nobody" not in err


def test_a_merged_number_leads_to_its_successor(bank, show):
    _, first, _ = bank
    _, out, _ = show("77")
    assert out.splitlines()[:2] == [
        f"OneID {first}, customer, active, as of 2026-11-18",
        "77 was merged into it",
    ]


def test_a_section_whose_table_is_not_published_is_empty(bank, show, make_workspace, monkeypatch):
    from tests.identity.identity_records import publish

    folder = make_workspace(name="identity only")
    lake = open_lake(load_settings(folder))
    deliver(lake, D, RECORDS)
    resolve(lake, D)
    publish(lake, D)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))
    view = document(show, "--profile", "core/1")
    assert view["golden"] and view["profiles"]
    assert [view[name] for name in ("tags", "holdings", "events", "consents", "contacts", "segments")] == [
        []
    ] * 6


def test_a_person_of_another_branch_is_refused_and_that_is_recorded(bank, show):
    folder, first, second = bank
    user = operating_user()
    roles = f"roles: {{branch: {{users: [{user}], branches: [%s]}}}}\nbranch_tag: %s\n"
    sentence = f"cdp: the person is of another branch, and roles.yml lets {user} see people of %s only; this is recorded\n"
    (folder / "roles.yml").write_text(roles % ("T2", "aum_tier"), encoding="utf-8")
    for words in (
        (first,),
        ("--identifier", f"phone={PHONE}"),
        ("77", "--reveal", "a case"),
        ("--profile", "core/2"),
        ("123",),
    ):
        assert show(*words) == (2, "", sentence % "T2")
    entries = lines_of(folder / "audit" / "lookups.jsonl")
    assert [(e["one_ids"], e["command"], e["refusal"]) for e in entries] == [
        ([one_id], "customer show", "branch") for one_id in (first, first, 77, second, 123)
    ]
    assert not (folder / "audit" / "reveals.jsonl").exists(), "nothing was revealed"
    (folder / "roles.yml").write_text(roles % ("B0100", "home_branch"), encoding="utf-8")
    assert show(first) == (2, "", sentence % "B0100"), "who has no branch is of none"
    (folder / "roles.yml").write_text(roles % ("T2, T3", "aum_tier"), encoding="utf-8")
    assert show(first)[0] == 0
    assert "refusal" not in lines_of(folder / "audit" / "lookups.jsonl")[-1]


def test_a_publication_without_tags_shows_nobody_to_whom_branches_limit(
    bank, show, make_workspace, monkeypatch
):
    from tests.identity.identity_records import publish

    folder = make_workspace(name="identity only")
    lake = open_lake(load_settings(folder))
    deliver(lake, D, RECORDS)
    resolve(lake, D)
    publish(lake, D)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))
    roles = f"roles: {{branch: {{users: [{operating_user()}], branches: [B1]}}}}\n"
    (folder / "roles.yml").write_text(roles, encoding="utf-8")
    code, out, err = show("--profile", "core/1")
    assert (code, out) == (2, "") and "the branch_tag 'home_branch' is not in tags.customer_tags" in err
