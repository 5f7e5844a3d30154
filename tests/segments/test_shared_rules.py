"""Tags and suppression answer alike: who is reachable, left alone, touched, controlled, in which group, of which sex.

A drawn bank of heavy mess; suppression's leaf table and dbt's models are both computed here from the same tables, and consent
and touches are worked out a third time in plain Python.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import duckdb
import jinja2
import numpy as np
import pytest
import sqlglot
from segment_bank import D, rows_of, spec, tag_contracts, write_tags
from sqlglot import exp

from lakehouse.expressions.duckdb import duckdb_query, function_statements
from lakehouse.query.desk import open_alone
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from segments.choosing.assignment import control_sql
from segments.choosing.compile import compile_leaf_table
from segments.choosing.contact_history import channel_habits
from segments.choosing.earlier import read_earlier_nights
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.language.spec import read_segment
from tags.build.project import project_files
from tags.compile.compilation import compile_tags
from tags.compile.places import PROJECT
from vocabulary.contact_rules import (
    PRIOR_DELIVERIES,
    PRIOR_RESPONSES,
    WECHAT_AFTER_UNOPENED,
    habits_sql,
    lake_place,
)
from vocabulary.policy import CHANNELS, read_policy

PEOPLE = 400
CONSENT_YML = """\
channels:
  SMS: {addresses: [phone], matches: "^1[3-9][0-9]{9}$"}
  CALL: {addresses: [phone]}
  PUSH: {addresses: ["app_user_id@app"]}
  WECHAT: {addresses: ["openid@wx1"]}
global_control: {GCG-2026H2: 20}
"""
STATUSES = (
    "SENT", "DELIVERED", "OPENED", "BOUNCED_HARD", "BOUNCED_SOFT", "REFUSED", "COMPLAINED", "CAPPED", "EXPIRED",
)  # fmt: skip
RUNS = {"m1": "marketing", "m2": "marketing", "s1": "service", "old": None}
MODELS = (
    "tag_customer__channels_reachable", "tag_customer__people_refusing", "tag_customer__contacts_keyed",
    "tag_customer__controls_keyed", "int_controls_keyed", "int_global_controls", "int_people_described",
    "tag_customer__channel_responses",
)  # fmt: skip


class Mess:
    """Rows of a bank in which everything happens that may happen, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tables: dict[str, list[dict]] = defaultdict(list)
        self.tables["identity.redirects"] = [
            {"from_one_id": 1000 + n, "to_one_id": n} for n in range(1, PEOPLE, 9)
        ]
        self.tables["identity.inheritances"] = [
            {"one_id": n, "from_one_id": n + back, "parted_on": self.day(5, 1), "shared_until": self.day(6)}
            for n in range(3, PEOPLE, 4) for back in (-1, -2)
        ]  # fmt: skip
        for run, purpose in RUNS.items():
            self.tables["segments.deliveries"].append(
                {"run_id": run, "destination": "engine", "code": "x", "as_of": D - dt.timedelta(days=9), "purpose": purpose,
                 "seq": 1, "attempt": 1, "status": "DELIVERED", "accepted": 1, "rejected": 0, "manifest_sha256": "x"})  # fmt: skip
        for number in range(1, PEOPLE + 1):
            self.person(number)

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def day(self, back: int, ahead: int = 0) -> dt.date:
        return D + dt.timedelta(days=int(self.rng.integers(-back, ahead + 1)))

    def moment(self) -> dt.datetime:
        """One of few instants, so that many fall together."""
        return dt.datetime(2026, 11, int(self.rng.integers(1, 6)), tzinfo=dt.UTC)

    def closed(self) -> dict:
        return self.pick({}, {}, {}, {"valid_from": D - dt.timedelta(days=30), "valid_to": self.day(20)})

    def person(self, n: int) -> None:
        profiles = [("core", f"c{n}"), ("app", f"a{n}")][: self.pick(1, 2, 2)]
        kind = self.pick("customer", "customer", "prospect")
        self.tables["identity.one_ids"].append({"one_id": n, "kind": kind})
        for source, key in profiles:
            self.tables["identity.memberships"].append(
                {"one_id": n, "source": source, "source_key": key, "profile_id": n}
            )
            person = {"source": source, "source_key": key}
            self.tables["trusted.customers"].append({**person, "kind": "customer"})
            for _ in range(self.rng.integers(0, 4)):
                self.tables["trusted.consents"].append(
                    {**person, "purpose": self.pick("marketing", "marketing", "profiling", "service"),
                     "channel": self.pick("ALL", "ALL", "SMS", "PUSH", "WECHAT"), "decision": self.pick("GRANT", "GRANT", "REFUSE"),
                     "decided_at": self.moment(), "expires_on": self.pick(None, None, self.day(3, 3)), **self.closed()})  # fmt: skip
            for _ in range(self.rng.integers(0, 4)):
                namespace, value = self.pick(
                    ("phone", f"138{n:08d}"), ("phone", f"021{n:07d}"), ("app_user_id@app", f"u{n}"), ("app_user_id@web", f"u{n}"),
                    ("openid@wx1", f"o{n}"), ("openid@wx2", f"o{n}"), ("national_id", f"11010519800101{n % 1000:03d}X"),
                )  # fmt: skip
                self.tables["trusted.identifier_observations"].append(
                    {**person, "namespace": namespace, "value": value, "role": "identity", **self.closed()}
                )
        if self.pick(True, False):
            self.tables["identity.golden_records"].append({"one_id": n, "gender": self.pick("M", "F", None)})
        self.tables["trusted.relationships"].append(
            {"relationship_type": "person_account", "from_source": "core", "from_key": f"c{n}", "to_source": "core",
             "to_key": f"acc{n // 2}", "role": self.pick("owner", "co_holder", "agent")})  # fmt: skip
        if self.pick(True, False, False):
            self.tables["trusted.account_controls"].append(
                {"control_id": f"k{n}", "source_key": self.pick(f"c{n}", None), "account_id": self.pick(f"acc{n // 2}", None),
                 "control_type": self.pick("FRAUD", "JUDICIAL", "COMPLAINT", "AML_GRADE"), "grade": self.pick("H", "L"),
                 "started_on": self.day(5, 2), "ended_on": self.pick(None, self.day(3, 3)), **self.closed()})  # fmt: skip
        holder = 1000 + n if n % 9 == 1 else n
        self.tables["segments.recipients"].append(
            {"destination": "engine", "recipient_key": f"r{n}", "one_id": holder, "since": None}
        )
        for at in range(self.rng.integers(0, 7)):
            day = self.day(9, 1)
            self.tables["trusted.receipts"].append(
                {"source": "engine", "receipt_id": f"{n}-{at}", "run_id": self.pick(*RUNS), "destination": "engine",
                 "recipient_key": self.pick(f"r{n}", f"r{n}", "nobody"), "channel": self.pick("SMS", "PUSH", "WECHAT"),
                 "status": self.pick(*STATUSES), "purpose": self.pick(None, "service", "marketing"),
                 "event_on": day, "event_at": dt.datetime(day.year, day.month, day.day, int(self.rng.integers(24)), tzinfo=dt.UTC)}
            )  # fmt: skip
        if self.pick(True, False):
            self.tables["segments.assignments"].append(
                {"salt": self.pick("GCG-2026H2", "GCG-2026H2", "GCG-2026H1"), "one_id": holder, "bucket": 1, "source": "bucket",
                 "arm": self.pick("CONTROL", "TREATED"), "assigned_on": self.day(5)})  # fmt: skip


class Bank:
    """A lake of drawn rows, asked by suppression and by the models of tags."""

    def __init__(self, folder, seed: int) -> None:
        self.lake = open_lake(load_settings(folder), contracts=tag_contracts())
        self.folder, self.policy, self.mess = folder, read_policy(folder), Mess(seed)
        for table, rows in self.mess.tables.items():
            self.lake.append(table, rows_of(table, rows))
        plain = {
            "tier": "T1",
            "balance": 0,
            "days_left": 1,
            "interests": [],
            "is_active": True,
            "opened_on": D,
            "grade": "L",
        }
        write_tags(self.lake, [{"one_id": n, **plain} for n in range(1, PEOPLE + 1)], D)

    def by_suppression(self) -> dict[int, dict]:
        file = self.folder / "x.yml"
        body = "where: {tag: tier, eq: T1}\nunknown: exclude"
        text = spec("x", body).replace("[SMS, PUSH]", f"[{', '.join(CHANNELS)}]")
        file.write_text(text.replace("format: parquet", "format: parquet, valid_hours: 24"))
        compiled = compile_leaf_table([read_segment(file)], business_date=D, policy=self.policy)
        with open_alone(self.lake.settings.time_zone, folders=[self.lake.settings.lake]) as desk:
            leaves = leaves_by_duckdb(self.lake, desk, compiled, {}, D)
            rows = desk.arrow(f"SELECT * FROM {leaves.rows}").to_pylist()
            arms = read_earlier_nights(self.lake, desk, D).arms
            control = control_sql("GCG-2026H2", self.policy, arms)
            groups = dict(
                desk.rows(f"SELECT c.one_id, {control.arm} = 'CONTROL' FROM {leaves.rows} c {control.join}")
            )
        return {row["one_id"]: {**row, "is_control": groups[row["one_id"]]} for row in rows}

    def by_tags(self) -> dict[str, list[dict]]:
        """The rows of dbt's models, rendered as dbt renders them and run by DuckDB."""
        texts = self.model_texts()
        macros = [
            file.read_text()
            for file in (PROJECT / "macros").glob("*.sql")
            if file.name not in ("tests.sql", "source.sql")
        ]
        with open_alone(self.lake.settings.time_zone, folders=[self.lake.settings.lake]) as desk:
            relations: dict[str, str] = {}

            def source(database: str, table: str) -> str:
                name = f"{database}.{table}"
                if name not in relations:
                    rows = self.lake.read_arrow(name)
                    relations[name] = desk.lend(f"{database}__{table}", rows).name
                return f"`{relations[name]}`"

            def model(name: str) -> str:
                if name not in relations:
                    template = jinja2.Environment(autoescape=False).from_string(
                        "\n".join([*macros, texts[name]])
                    )
                    sql = template.render(
                        ref=model, source=source, config=lambda **_: "", var=lambda key, default=None: D.isoformat()
                    )  # fmt: skip
                    relations[name] = desk.keep(name, _duckdb(sql)).name
                return f"`{relations[name]}`"

            return {
                name: desk.arrow(f"SELECT * FROM {model(name)}".replace("`", '"')).to_pylist()
                for name in MODELS
            }

    def model_texts(self) -> dict[str, str]:
        compilation = compile_tags(self.folder)
        texts = {
            file.stem: file.read_text()
            for folder in compilation.model_folders
            for file in folder.rglob("*.sql")
        }
        generated = project_files(compilation).items()
        return texts | {name.removeprefix("models/").removesuffix(".sql"): text for name, text in generated}


def _duckdb(sql: str) -> str:
    tree = sqlglot.parse_one(sql, read="spark")
    # Functions that sqlglot leaves as they are.
    for function in list(tree.find_all(exp.Anonymous)):
        name, arguments = function.name.lower(), function.expressions
        if name == "find_in_set":
            members = exp.func("string_split", arguments[1], exp.Literal.string(","))
            function.replace(exp.func("list_position", members, arguments[0]))
        elif name == "conv":
            digits = exp.func("concat", exp.Literal.string("0x"), arguments[0])
            function.replace(exp.cast(digits, "bigint"))
    return tree.sql(dialect="duckdb")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth") / "bank"
    folder.mkdir()
    (folder / "cdp.yml").write_text("")
    (folder / "consent.yml").write_text(CONSENT_YML)
    bank = Bank(folder, seed=20261118)
    return bank, bank.by_suppression(), bank.by_tags()


def known(bank: Bank) -> set[int]:
    return {row["one_id"] for row in bank.mess.tables["identity.one_ids"]}


def test_a_tag_names_the_channels_that_suppression_would_allow(answers):
    _, people, models = answers
    tagged = {row["one_id"]: row["reachable_channels"] for row in models["tag_customer__channels_reachable"]}
    allowed = {
        n: sorted(
            c for c in CHANNELS if row[f"allowed_marketing_{c.lower()}_1d"] and row[f"usable_{c.lower()}"]
        )
        for n, row in people.items()
    }
    assert {n: sorted(tagged.get(n) or []) for n in allowed} == allowed
    assert {channel for channels in allowed.values() for channel in channels} == {
        "SMS", "CALL", "PUSH", "WECHAT", "INAPP", "BRANCH",
    }  # fmt: skip


def test_who_is_left_alone_is_the_same_for_both(answers):
    _, people, models = answers
    tagged = {row["one_id"]: row["is_do_not_disturb"] for row in models["tag_customer__people_refusing"]}
    suppressed = {n: row["opt_out_marketing"] or row["has_complained"] for n, row in people.items()}
    assert {n: tagged.get(n, False) for n in suppressed} == suppressed
    assert 50 < sum(suppressed.values()) < PEOPLE - 50


def test_who_is_restricted_is_the_same_for_both(answers):
    _, people, models = answers
    tagged = {
        n
        for n, row in _by_person(models["tag_customer__controls_keyed"]).items()
        if row["is_account_controlled"]
    }
    graded = {
        row["one_id"]
        for row in models["int_controls_keyed"]
        if row["is_in_force"] and row["control_type"] == "AML_GRADE" and row["grade"] == "H"
    }
    restricted = {n for n, row in people.items() if row["is_restricted"]}
    assert (tagged | graded) & set(people) == restricted
    assert len(restricted) > 20 and graded - tagged


def test_the_control_group_is_the_same_for_both(answers):
    _, people, models = answers
    tagged = {row["one_id"]: row["is_control"] for row in models["int_global_controls"]}
    assert tagged == {n: row["is_control"] for n, row in people.items()}
    assert 60 < sum(tagged.values()) < PEOPLE / 2


def test_who_was_split_off_is_on_the_side_of_the_whole_that_was_given_before(answers):
    bank, people, _ = answers
    rows = [
        r
        for r in bank.mess.tables["segments.assignments"]
        if r["salt"] == "GCG-2026H2" and r["assigned_on"] < D
    ]
    given = {row["one_id"]: row for row in rows}
    sides = defaultdict(set)
    for number, row in given.items():
        sides[number % 1000].add(row["arm"])
    inherited = 0
    for share in bank.mess.tables["identity.inheritances"]:
        own, whole = given.get(share["one_id"]), given.get(share["from_one_id"])
        is_own = own and own["assigned_on"] < share["parted_on"]
        if share["parted_on"] <= D and whole and whole["assigned_on"] < share["shared_until"] and not is_own:
            sides[share["one_id"] % 1000].add(whole["arm"])
            inherited += 1
    assert inherited > 10
    assert {n: people[n]["is_control"] for n in sides} == {n: "CONTROL" in arms for n, arms in sides.items()}


def test_the_channel_a_person_answers_to_is_the_same_for_both(answers):
    bank, _, models = answers
    tagged = {
        row["one_id"]: row["channel_habit"]
        for row in models["tag_customer__channel_responses"]
        if row["channel_habit"] is not None
    }
    with open_alone(bank.lake.settings.time_zone, folders=[bank.lake.settings.lake]) as desk:
        habits = {row["one_id"]: row["channel"] for row in channel_habits(bank.lake, desk, D).to_pylist()}
    assert habits == tagged and len(set(habits.values())) == 3 and len(habits) > 50


@pytest.mark.parametrize(("unopened", "habit"), [(1, "PUSH"), (2, "WECHAT")])
def test_an_answer_in_wechat_decides_from_the_second_contact_that_was_not_opened_elsewhere(unopened, habit):
    contacts = [(f"p{n}", "PUSH", status, n) for n in range(5) for status in ("DELIVERED", "OPENED")]
    contacts += [(f"s{n}", "SMS", "DELIVERED", n) for n in range(unopened)]
    contacts += [("w", "WECHAT", "DELIVERED", 20), ("w", "WECHAT", "OPENED", 21)]
    rows = ", ".join(
        f"('crm', '{run}{status}', '{run}', 'd', 'k', NULL, '{channel}', '{status}', TIMESTAMP '{D} 00:00:00' + INTERVAL {minute} MINUTE, DATE '{D}', DATE '{D}')"
        for run, channel, status, minute in contacts
    )
    columns = "source, receipt_id, run_id, destination, recipient_key, purpose, channel, status, event_at, event_on, _arrived_on"
    with duckdb.connect() as db:
        for statement in (
            "CREATE SCHEMA trusted", "CREATE SCHEMA segments", "CREATE SCHEMA identity",
            f"CREATE TABLE trusted.receipts AS SELECT * FROM (VALUES {rows}) AS r({columns})",
            "CREATE TABLE segments.recipients AS SELECT 'd' AS destination, 'k' AS recipient_key, 1 AS one_id",
            "CREATE TABLE segments.deliveries (destination TEXT, run_id TEXT, purpose TEXT, as_of DATE)",
            "CREATE TABLE identity.inheritances (one_id BIGINT, from_one_id BIGINT, parted_on DATE, shared_until DATE)",
            "CREATE TABLE identity.redirects (from_one_id BIGINT, to_one_id BIGINT)",
            *function_statements(),
        ):  # fmt: skip
            db.execute(statement)
        assert db.execute(duckdb_query(habits_sql(lake_place(D)))).fetchall() == [(1, habit)]


def test_the_policy_weighs_answers_by_the_parameters_of_the_tag():
    params = {param.name: param.value for param in compile_tags(None).registry["channel_habit"].params}
    assert params == {
        "prior_responses": PRIOR_RESPONSES,
        "prior_deliveries": PRIOR_DELIVERIES,
        "wechat_after_unopened": WECHAT_AFTER_UNOPENED,
    }


def test_the_sex_of_the_golden_record_is_the_tag(answers):
    bank, _, models = answers
    golden = {r["one_id"]: r["gender"] for r in bank.mess.tables["identity.golden_records"] if r["gender"]}
    tagged = {row["one_id"]: row["gender"] for row in models["int_people_described"]}
    assert {n: tagged[n] for n in golden} == golden
    assert {tagged[n] for n in tagged if n not in golden} == {"M", "F", None}


def test_consent_is_what_the_law_reads(answers):
    """An own refusal falls by an own grant alone; an own grant falls with a refusal of all; silence is no."""
    bank, people, _ = answers
    decisions = decisions_of(bank)
    for channel in ("SMS", "PUSH", "WECHAT"):
        expected = {n: is_allowed(decisions[n], channel) for n in people}
        found = {n: row[f"allowed_marketing_{channel.lower()}_1d"] for n, row in people.items()}
        assert found == expected
        assert 20 < sum(expected.values()) < PEOPLE - 20


def test_touches_are_contacts_of_marketing_runs(answers):
    bank, people, models = answers
    tagged = {row["one_id"]: row["touch_count_7d"] for row in models["tag_customer__contacts_keyed"]}
    touched: dict[tuple, tuple[set, list]] = defaultdict(lambda: (set(), []))
    for one_id, purpose, row in answered(bank):
        purposes, days = touched[one_id, row["run_id"], row["recipient_key"], row["channel"]]
        purposes.add(purpose)
        if row["status"] not in ("CAPPED", "EXPIRED"):
            days.append(row["event_on"])
    counts: dict[int, int] = defaultdict(int)
    for (one_id, *_), (purposes, days) in touched.items():
        counts[one_id] += "marketing" in purposes and bool(days) and min(days) > D - dt.timedelta(days=7)
    assert {n: tagged.get(n, 0) for n in people} == {n: counts[n] for n in people}
    assert sum(counts.values()) > 100


def _by_person(rows: list[dict]) -> dict[int, dict]:
    return {row["one_id"]: row for row in rows}


def answered(bank: Bank):
    """Receipts known on D with each of today's persons concerned and the purpose of the run."""
    numbers = {row["recipient_key"]: row["one_id"] for row in bank.mess.tables["segments.recipients"]}
    nights = {row["run_id"]: row["as_of"] for row in bank.mess.tables["segments.deliveries"]}
    for row in bank.mess.tables["trusted.receipts"]:
        if row["recipient_key"] in numbers and row["event_on"] <= D:
            number = numbers[row["recipient_key"]]
            night = nights.get(row["run_id"], row["event_on"] - dt.timedelta(days=1))
            parts = {
                share["one_id"] % 1000
                for share in bank.mess.tables["identity.inheritances"]
                if share["from_one_id"] == number
                and share["parted_on"] <= D
                and night < share["shared_until"]
            }
            for person in parts | {number % 1000}:
                yield person, RUNS[row["run_id"]] or row["purpose"] or "marketing", row


def test_who_was_split_off_is_concerned_by_contacts_of_the_whole(answers):
    bank, people, _ = answers
    recipients = {
        row["recipient_key"]: row["one_id"] % 1000 for row in bank.mess.tables["segments.recipients"]
    }
    refusals = {
        (person, recipients[row["recipient_key"]])
        for person, _, row in answered(bank)
        if row["status"] == "COMPLAINED"
    }
    heirs = {person for person, recipient in refusals if person != recipient}
    assert len(heirs) > 10 and all(people[n]["has_complained"] for n in heirs)


def decisions_of(bank: Bank) -> dict[int, list[tuple]]:
    """(purpose, channel, decided_at, is_refusal, expires_on) of every person."""
    persons = {(r["source"], r["source_key"]): r["one_id"] for r in bank.mess.tables["identity.memberships"]}
    decisions = defaultdict(list)
    for row in bank.mess.tables["trusted.consents"]:
        if row.get("valid_to") is None or row["valid_to"] > D:
            decisions[persons[row["source"], row["source_key"]]].append(
                (row["purpose"], row["channel"], row["decided_at"], row["decision"] == "REFUSE", row["expires_on"] or dt.date.max)
            )  # fmt: skip
    for one_id, purpose, row in answered(bank):
        if row["status"] == "REFUSED":
            decisions[one_id] += [
                (refused, "ALL", row["event_at"], True, dt.date.max) for refused in {purpose, "marketing"}
            ]
    return decisions


def is_allowed(decisions: list[tuple], channel: str) -> bool:
    marketing = [row for row in decisions if row[0] == "marketing"]
    own = max((row[2:] for row in marketing if row[1] == channel), default=None)
    of_all = max((row[2:] for row in marketing if row[1] == "ALL"), default=None)
    refusals = [row[2] for row in marketing if row[1] == "ALL" and row[3]]
    if own and own[1]:
        return False
    counting = own if own and not (refusals and max(refusals) >= own[0]) else of_all
    return counting is not None and not counting[1] and counting[2] > D + dt.timedelta(days=1)
