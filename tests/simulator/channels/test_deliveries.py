"""What is delivered: the same bytes for the same seed, every promised mess at about its rate, money that adds up."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date

import pytest
from delivery_files import content, files, has_right_check, lines, narrow_text, rows

from lakehouse.errors import UsageError
from simulator.simulation import simulate
from simulator.truth.troubles import troubles_of
from simulator.world.bank import BankPlan
from simulator.world.rates import Rates

D1, D2, D3 = "2026-11-18", "2026-11-19", "2026-11-20"


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        simulate(BankPlan(people=300, nights=2, seed=5, history_months=1), tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_another_seed_gives_other_people(tmp_path):
    for seed in (5, 6):
        simulate(BankPlan(people=300, nights=1, seed=seed, history_months=1), tmp_path / str(seed))
    one, two = files(tmp_path / "5" / "inbox"), files(tmp_path / "6" / "inbox")
    assert one.keys() == two.keys()
    name = f"core_customers/{D1}/customers.csv.gz"
    assert one[name] != two[name]


def test_a_further_night_changes_no_earlier_file_and_brings_one_that_came_late(tmp_path):
    for nights in (1, 2):
        simulate(BankPlan(people=600, nights=nights, seed=5, history_months=1), tmp_path / str(nights))
    one, two = files(tmp_path / "1" / "inbox"), files(tmp_path / "2" / "inbox")
    assert [name for name in one if one[name] != two[name]] == []
    assert {name for name in two if D1 in name} - one.keys() == {f"web_events/{D1}/events_late.jsonl"}


def test_gz_files_carry_no_clock_and_no_name(delivery):
    for path in (delivery / "inbox").rglob("*.gz"):
        head = path.read_bytes()[:10]
        assert head[3] == 0 and head[4:8] == b"\0\0\0\0", path


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="--people must lie between"):
        BankPlan(people=3)
    with pytest.raises(UsageError, match="--nights"):
        BankPlan(people=100, nights=0)


def test_identity_numbers_are_right_where_truth_says_so(delivery):
    troubles = defaultdict(set)
    for row in rows(delivery / "truth/troubles.csv"):
        if row["source"] == "core_banking":
            troubles[row["source_key"]].add(row["trouble"])
    counts = Counter()
    for row in rows(delivery / f"inbox/core_customers/{D1}/customers.csv.gz"):
        marks, number = troubles[row["cust_no"]], row["id_no"]
        if not row["cust_no"] or row["birth_date"] == "1987-02-31":
            continue
        if "id_15_digits" in marks:
            assert len(number) == 15 and number.isdigit()
            counts["15"] += 1
        elif "id_wrong_check" in marks:
            assert len(number) == 18 and not has_right_check(number.upper())
            counts["wrong"] += 1
        elif "id_missing" in marks:
            assert number == ""
            counts["missing"] += 1
        elif "foreign_document" in marks:
            assert row["id_type"] == "02" and number.startswith("E")
        elif "id_full_width" in marks:
            assert not number.isascii() and has_right_check(narrow_text(number).upper())
        elif "id_placeholder" not in marks:
            assert has_right_check(number.upper())
            if row["birth_date"]:
                assert number[6:14] == row["birth_date"].replace("-", "")
            if row["gender"]:
                assert int(number[16]) % 2 == (1 if row["gender"] == "1" else 0)
            counts["right"] += 1
    assert counts["right"] > 2_500 and min(counts["15"], counts["wrong"], counts["missing"]) >= 3


def test_nobody_shares_a_right_identity_number_with_a_stranger(delivery):
    person = {
        r["source_key"]: r["person"]
        for r in rows(delivery / "truth/profiles.csv")
        if r["source"] == "core_banking"
    }
    people = defaultdict(set)
    for row in rows(delivery / f"inbox/core_customers/{D3}/customers.csv.gz"):
        if (
            has_right_check(row["id_no"].upper())
            and row["id_no"] not in ("111111111111111111",)
            and row["cust_no"]
        ):
            people[row["id_no"].upper()].add(person[row["cust_no"]])
    assert len(people) > 2_500
    assert all(len(persons) == 1 for persons in people.values())


@pytest.mark.parametrize(
    ("trouble", "rate"),
    [
        ("family_phone", "family_phone"),
        ("recycled_phone_lost", "recycled_phone"),
        ("stale_phone", "stale_core_phone"),
        ("placeholder_phone", "placeholder_phone"),
        ("missing_phone", "missing_phone"),
        ("landline", "landline"),
        ("id_wrong_check", "wrong_check_digit"),
        ("id_missing", "missing_id"),
        ("id_placeholder", "placeholder_id"),
        ("foreign_document", "foreign_document"),
    ],
)
def test_each_trouble_of_core_records_occurs_at_about_its_rate(bank, trouble, rate):
    has_trouble = next(
        mask for source, name, mask in troubles_of(bank) if (source, name) == ("core_banking", trouble)
    )
    expected = getattr(Rates(), rate)
    # four standard deviations, and a tenth that other troubles of the same record may take away
    spread = 4 * (expected * (1 - expected) / len(has_trouble)) ** 0.5
    assert expected * 0.9 - spread < has_trouble.mean() < expected + spread


def test_channel_troubles_occur(delivery):
    counts = Counter((r["source"], r["trouble"]) for r in rows(delivery / "truth/troubles.csv"))
    for trouble in (
        "family_phone",
        "shared_tablet",
        "placeholder_device",
        "second_app_profile",
        "unbound",
        "name_variant",
    ):
        assert counts["mobile_app", trouble] >= 3, trouble
    assert counts["core_banking", "second_core_record"] >= 3
    assert counts["web", "anonymous"] > 10 and counts["web", "placeholder_login"] >= 1
    for source in ("wechat_account", "wechat_mini"):
        assert counts[source, "unionid_missing"] > 3 and counts[source, "unbound"] > 10


def test_an_openid_differs_by_app_and_a_unionid_does_not(delivery):
    account = {
        r["openid"]: r["unionid"]
        for r in rows(delivery / f"inbox/wechat_followers/{D1}/followers.csv.gz")
        if r["openid"]
    }
    mini = {
        r["openid"]: r["unionid"] for r in lines(delivery / f"inbox/wechat_mini_users/{D1}/users.jsonl.gz")
    }
    person = {(r["source"], r["source_key"]): r["person"] for r in rows(delivery / "truth/profiles.csv")}
    assert not account.keys() & mini.keys()
    by_union = {u: person["wechat_account", o] for o, u in account.items() if u}
    both = [(by_union[u], person["wechat_mini", o]) for o, u in mini.items() if u in by_union]
    assert len(both) > 300
    assert all(one == other for one, other in both)


def test_the_first_balance_and_all_bookings_give_the_last_balance(delivery):
    """Demand accounts: opening row, plus bookings, is every later end-of-day row, over history and nights."""
    movements, opening_balances = defaultdict(Counter), {}
    late_count = 0
    for path in sorted((delivery / "inbox/core_transactions").glob("*/*.gz")):
        for row in rows(path):
            day = row["txn_date"]
            if day.endswith("13-45") or row["amount"] == "0.00":
                continue
            if "late" in path.name:
                day = path.parent.name  # a late booking counts in the balance of the day of its file
                late_count += 1
            sign = 1 if row["dc_flag"] == "C" else -1
            movements[row["account_no"], row["txn_no"]] = Counter(
                {day: sign * round(float(row["amount"]) * 100)}
            )
    assert late_count > 0
    flow = defaultdict(Counter)
    for (account, _), movement in movements.items():
        for day, cents in movement.items():
            flow[account][day] += cents
    ends = defaultdict(dict)
    for path in sorted((delivery / "inbox/core_balances").glob("*/*.gz")):
        for line in content(path).decode().splitlines():
            account, group, day, amount, _ = line.split(",")
            if group == "DEMAND" and amount != "-":
                ends[account][f"{day[:4]}-{day[4:6]}-{day[6:]}"] = round(float(amount) * 100)
    checks = 0
    for account, days in flow.items():
        balance_days = sorted(ends[account])
        first = min(balance_days)
        opening_balances[account] = ends[account][first] - days.get(first, 0)
        balance = opening_balances[account]
        for day in sorted(set(days) | set(balance_days)):
            balance += days[day]
            if day in ends[account]:
                assert balance == ends[account][day], (account, day)
                checks += 1
    assert checks > 20_000


def test_people_stand_on_both_sides_of_the_boundaries(delivery):
    first = date(2026, 11, 18)
    customers = [r for r in rows(delivery / f"inbox/core_customers/{D1}/customers.csv.gz") if r["cust_no"]]
    ages = [first.year - int(r["birth_date"][:4]) for r in customers if r["birth_date"]]
    assert sum(a < 17 for a in ages) > 50 and sum(a >= 60 for a in ages) > 100
    tenures = [(first - date.fromisoformat(r["open_date"])).days for r in customers]
    assert sum(t <= 100 for t in tenures) > 100 and max(t for t in tenures if t <= 100) >= 90
    assert (
        sum(r["staff_flag"] == "Y" for r in customers) > 3
        and sum(bool(r["death_date"]) for r in customers) > 5
    )
    maturities = [
        r for r in rows(delivery / f"inbox/core_holdings/{D1}/holdings.csv.gz", ";")
        if r["class"] == "WEALTH" and r["matures"] and 0 <= (date.fromisoformat(r["matures"]) - first).days <= 7
    ]  # fmt: skip
    assert sum(float(r["balance"]) >= 50_000 for r in maturities) >= 5
    assert sum(float(r["balance"]) < 50_000 for r in maturities) >= 5
    last = {}
    for path in (delivery / f"inbox/app_events/{D1}").glob("events_history*"):
        for event in lines(path):
            if event["event"]["name"] == "login":
                user, day = event["user"]["id"], event["event"]["at"][:10]
                last[user] = max(last.get(user, ""), day)
    silent_days = [(first - date.fromisoformat(day)).days for day in last.values()]
    assert (
        sum(31 <= s <= 60 for s in silent_days) > 50
        and sum(s <= 30 for s in silent_days) > 500
        and sum(s > 180 for s in silent_days) > 50
    )
    grades = Counter(r["grade"] for r in rows(delivery / f"inbox/core_account_controls/{D1}/controls.csv"))
    assert grades["H"] >= 3 and grades["L"] > 1_000
    decisions = Counter(r["decision"] for r in rows(delivery / f"inbox/core_consents/{D1}/consents.csv", "|"))
    assert decisions["N"] > 50 and decisions["Y"] > 1_000


def test_nights_after_the_first_are_small(delivery):
    def size(day):
        return {p.parent.parent.name: len(content(p)) for p in (delivery / "inbox").glob(f"*/{day}/*")}

    first, second = size(D1), size(D2)
    for feed in ("core_accounts", "core_consents", "app_consents", "web_visitors", "core_risk_assessments"):
        assert second[feed] < first[feed] / 20, feed


def test_later_nights_bring_new_people_bindings_and_phones(delivery):
    def users(day):
        return {
            r["app_user_id"]: r
            for r in rows(delivery / f"inbox/app_profiles/{day}/profiles.csv.gz")
            if r["app_user_id"]
        }

    one, three = users(D1), users(D3)
    assert three.keys() - one.keys()
    common_keys = one.keys() & three.keys()
    assert len(common_keys) > 0.99 * len(one)
    assert any(not one[k]["cust_no"] and three[k]["cust_no"] for k in common_keys)
    assert any(one[k]["mobile"] != three[k]["mobile"] for k in common_keys)
    first_keys, last_keys = (
        {r["cust_no"] for r in rows(delivery / f"inbox/core_customers/{d}/customers.csv.gz")}
        for d in (D1, D3)
    )
    assert len(last_keys - first_keys) >= 4


def test_one_file_comes_twice(delivery):
    folder = delivery / f"inbox/app_events/{D2}"
    assert (folder / "events.jsonl.gz").read_bytes() == (folder / "events_again.jsonl.gz").read_bytes()
