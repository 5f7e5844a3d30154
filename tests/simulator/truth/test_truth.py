"""The truth beside the inbox: complete, and true about phones and tablets that several people use."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict

import pytest
from click.testing import CliRunner
from delivery_files import content, has_right_check, lines, narrow_text, rows

from jobs.cli.simulate import command
from simulator.truth.evidence import persons_and_ceiling, records_of
from simulator.world.bank import Bank, BankPlan
from simulator.world.rates import rates_of

NIGHTS = ("2026-11-18", "2026-11-19", "2026-11-20")


def profiles_in_files(inbox):
    profiles = set()
    for night in NIGHTS:
        for source, path, key, options in (
            ("core_banking", f"core_customers/{night}/customers.csv.gz", "cust_no", ()),
            ("mobile_app", f"app_profiles/{night}/profiles.csv.gz", "app_user_id", ()),
            ("web", f"web_visitors/{night}/visitors.csv.gz", "cookie_id", ()),
            ("wechat_account", f"wechat_followers/{night}/followers.csv.gz", "openid", ()),
            ("branch_crm", f"crm_customers/{night}/customers.csv", "客户编号", ("|", "gb18030")),
            ("partner_list", f"partner_leads/{night}/leads.csv", "会员号", (",", "gb18030")),
            ("mall", f"mall_points/{night}/points.csv", "会员号", (",", "gb18030")),
        ):
            profiles |= {(source, row[key]) for row in rows(inbox / path, *options) if row[key]}
        for path in (inbox / f"call_centre_contacts/{night}").iterdir():
            profiles |= {("call_centre", r["caller_id"]) for r in rows(path, ";") if r["answered"]}
        for source, path, key in (
            ("wechat_mini", f"wechat_mini_users/{night}/users.jsonl.gz", "openid"),
            ("wecom", f"wecom_contacts/{night}/contacts.jsonl", "external_userid"),
        ):
            profiles |= {(source, row[key]) for row in lines(inbox / path)}
    return profiles


def retracted_profiles(delivery):
    return {(r["source"], r["source_key"]) for r in rows(delivery / "truth/retracted.csv")}


def test_truth_names_each_delivered_profile_exactly_once(delivery):
    truth = [(r["source"], r["source_key"]) for r in rows(delivery / "truth/profiles.csv")]
    assert len(truth) == len(set(truth)) > 8_000
    assert set(truth) == profiles_in_files(delivery / "inbox") - retracted_profiles(delivery)


def test_a_retracted_profile_was_delivered_and_is_no_longer(delivery):
    retracted_keys = {key for _, key in retracted_profiles(delivery)}

    def users(night):
        return {r["app_user_id"] for r in rows(delivery / f"inbox/app_profiles/{night}/profiles.csv.gz")}

    assert retracted_keys and retracted_keys <= users(NIGHTS[0]) | users(NIGHTS[1])
    assert not retracted_keys & users(NIGHTS[2])


def test_every_trouble_is_carried_by_a_profile_that_was_delivered(delivery):
    truth = {(r["source"], r["source_key"]) for r in rows(delivery / "truth/profiles.csv")}
    troubles = [(r["source"], r["source_key"]) for r in rows(delivery / "truth/troubles.csv")]
    assert troubles and set(troubles) <= truth


def test_family_members_share_a_phone_and_are_different_people(delivery):
    person = {(r["source"], r["source_key"]): r["person"] for r in rows(delivery / "truth/profiles.csv")}
    home = {r["person"]: r["household"] for r in rows(delivery / "truth/households.csv")}
    family = {
        r["source_key"]
        for r in rows(delivery / "truth/troubles.csv")
        if (r["source"], r["trouble"]) == ("core_banking", "family_phone")
    }
    holders = defaultdict(set)
    customers = {}
    for row in rows(delivery / f"inbox/core_customers/{NIGHTS[0]}/customers.csv.gz"):
        if row["cust_no"]:
            digits = "".join(c for c in row["mobile"] if c.isdigit())[-11:]
            customers[row["cust_no"]] = digits
            holders[digits].add(person["core_banking", row["cust_no"]])
    shared_count = 0
    for key in family & customers.keys():
        others = holders[customers[key]] - {person["core_banking", key]}
        if others and customers[key]:
            shared_count += 1
            assert {home[p] for p in others} == {home[person["core_banking", key]]}
    assert shared_count > 30


def test_a_recycled_number_stands_on_two_strangers(delivery):
    person = {(r["source"], r["source_key"]): r["person"] for r in rows(delivery / "truth/profiles.csv")}
    home = {r["person"]: r["household"] for r in rows(delivery / "truth/households.csv")}
    marks = defaultdict(set)
    for row in rows(delivery / "truth/troubles.csv"):
        marks[row["trouble"]].add((row["source"], row["source_key"]))
    table = {
        r["cust_no"]: r
        for r in rows(delivery / f"inbox/core_customers/{NIGHTS[0]}/customers.csv.gz")
        if r["cust_no"]
    }

    def phones(trouble):
        keys = [key for source, key in marks[trouble] if source == "core_banking" and key in table]
        return {"".join(c for c in table[k]["mobile"] if c.isdigit())[-11:]: k for k in keys}

    keys_of_losers, keys_of_takers = phones("recycled_phone_lost"), phones("recycled_phone_taken")
    key_pairs = [
        (keys_of_losers[p], keys_of_takers[p]) for p in keys_of_losers.keys() & keys_of_takers.keys() if p
    ]
    assert len(key_pairs) > 5
    for old, new in key_pairs:
        assert home[person["core_banking", old]] != home[person["core_banking", new]]
        assert table[old]["contact_updated"] < table[new]["contact_updated"]


def test_a_shared_tablet_has_two_users_of_one_household(delivery):
    users, home = (
        defaultdict(set),
        {r["person"]: r["household"] for r in rows(delivery / "truth/households.csv")},
    )
    for row in rows(delivery / "truth/device_owners.csv"):
        users[row["device_id"]].add(row["user"])
    user_sets = [user_set for user_set in users.values() if len(user_set) > 1]
    assert len(user_sets) >= 3
    assert all(len({home[p] for p in user_set}) == 1 for user_set in user_sets)


def test_the_notes_of_files_count_what_is_in_them(delivery):
    for note in rows(delivery / "truth/files.csv"):
        path = delivery / "inbox" / note["feed"] / note["business_date"] / note["file"]
        has_no_header = note["feed"] == "core_balances" or ".jsonl" in note["file"]
        text = content(path)
        assert ("cut" in note["note"]) == (text[-1:] not in (b"\n", b""))
        assert int(note["rows"]) == text.count(b"\n") - (not has_no_header) + ("cut" in note["note"]), path
        records = text.split(b"\n")[:-1]
        duplicate_count = sum(n - 1 for n in Counter(records).values())
        assert duplicate_count == int(note["duplicate_rows"]), path


PLACEHOLDERS = {"000000000000000000", "111111111111111111", "123456789012345678", "无"}
NO_DEVICES = {"00000000-0000-0000-0000-000000000000", "02:00:00:00:00:00", "unknown"}


def phone(text):
    digits = re.sub(r"\D", "", narrow_text(text))[-11:]
    is_placeholder = digits in ("13800138000", "13888888888")
    return (
        "phone " + digits
        if len(digits) == 11 and digits[0] == "1" and digits[1] > "1" and not is_placeholder
        else ""
    )


def identifiers(inbox):
    """Yield (source, key, telling values) of every record as the last night knows it."""
    last = NIGHTS[-1]
    for row in rows(inbox / f"core_customers/{last}/customers.csv.gz"):
        number = narrow_text(row["id_no"]).upper()
        if len(number) == 15 and number.isdigit():
            number = number[:6] + "19" + number[6:]
        elif row["id_type"] == "01" and (number in PLACEHOLDERS or not has_right_check(number)):
            number = ""
        document = number and "document " + number[:17]
        yield (
            "core_banking",
            row["cust_no"],
            "no " + row["cust_no"],
            document,
            phone(row["mobile"]),
            row["email"],
        )
    for row in rows(inbox / f"app_profiles/{last}/profiles.csv.gz"):
        device = "" if row["device_id"] in NO_DEVICES else "device " + row["device_id"]
        number = row["cust_no"] and "no " + row["cust_no"]
        yield (
            "mobile_app",
            row["app_user_id"],
            "user " + row["app_user_id"],
            number,
            phone(row["mobile"]),
            device,
        )
    for night in NIGHTS:
        for row in rows(inbox / f"web_visitors/{night}/visitors.csv.gz"):
            login = "user " + row["login_id"] if row["login_id"] not in ("", "anonymous") else ""
            yield "web", row["cookie_id"], login, phone(row["form_phone"]), "device " + row["device_id"]
        for row in rows(inbox / f"partner_leads/{night}/leads.csv", ",", "gb18030"):
            yield (
                "partner_list",
                row["会员号"],
                phone(row["手机号"]),
                "hash " + row["手机号摘要"] if row["手机号摘要"] else "",
            )
        for row in rows(inbox / f"mall_points/{night}/points.csv", ",", "gb18030"):
            yield "mall", row["会员号"], row["客户号"] and "no " + row["客户号"], phone(row["手机号"])
        for path in sorted((inbox / f"call_centre_contacts/{night}").iterdir()):
            for row in rows(path, ";"):
                if row["answered"]:
                    number = row["cust_no"] and "no " + row["cust_no"]
                    yield "call_centre", row["caller_id"], number, phone(row["calling_number"])
    for row in rows(inbox / f"wechat_followers/{last}/followers.csv.gz"):
        number = row["cust_no"] and "no " + row["cust_no"]
        yield "wechat_account", row["openid"], row["unionid"], number, phone(row["phone"])
    for row in lines(inbox / f"wechat_mini_users/{last}/users.jsonl.gz"):
        number = row["bind"]["cust_no"] and "no " + row["bind"]["cust_no"]
        yield "wechat_mini", row["openid"], row["unionid"], number, phone(row["bind"]["phone"])
    for row in lines(inbox / f"wecom_contacts/{last}/contacts.jsonl"):
        yield "wecom", row["external_userid"], row["unionid"], phone(row["follow"]["remark_mobile"])
    for row in rows(inbox / f"crm_customers/{last}/customers.csv", "|", "gb18030"):
        number = row["核心客户号"] and "no " + row["核心客户号"]
        document = row["证件号码"] and "document " + row["证件号码"][:17]
        yield "branch_crm", row["客户编号"], number, document, phone(row["手机号码"])


def test_the_ceiling_is_what_the_delivered_identifiers_of_one_person_join(delivery):
    """Read back from the files, with no code of the simulator: pairs joined by values that only one person's records carry."""
    person = {(r["source"], r["source_key"]): r["person"] for r in rows(delivery / "truth/profiles.csv")}
    true_person = person | {
        (r["source"], r["source_key"]): r["behind"] for r in rows(delivery / "truth/anonymous.csv")
    }
    carriers = defaultdict(set)
    for source, key, *values in identifiers(delivery / "inbox"):
        for value in values:
            if (source, key) in person and value:
                carriers[value].add((source, key))
    for value in [v for v in carriers if v.startswith("phone ")]:
        digest = "hash " + hashlib.sha256(value.removeprefix("phone ").encode()).hexdigest()
        carriers[value] |= carriers.pop(digest, set())
    group = {profile: profile for profile in person}

    def root(profile):
        while group[profile] != profile:
            profile = group[profile]
        return profile

    for profiles in carriers.values():
        if len({true_person[p] for p in profiles}) == 1:
            first, *others = sorted(profiles)
            for other in others:
                group[root(other)] = root(first)

    def pairs(labels):
        return sum(n * (n - 1) // 2 for n in Counter(labels).values())

    ceiling = json.loads((delivery / "truth/ceiling.json").read_text())
    assert pairs(person.values()) == ceiling["pairs"]
    assert pairs(root(p) for p in person) == ceiling["joined_pairs"]
    assert ceiling["joined_pairs"] / ceiling["pairs"] >= 0.985


@pytest.mark.parametrize(("mess", "least"), [("light", 0.99), ("default", 0.985), ("heavy", 0.96)])
def test_nearly_all_pairs_can_be_found_whatever_the_mess(mess, least):
    ceiling = persons_and_ceiling(
        *(lambda bank: (bank, records_of(bank)))(Bank(BankPlan(people=5_000, rates=rates_of(mess))))
    )[1].summary()
    assert ceiling["pairs"] > 10_000
    assert ceiling["ratio"] >= least
    assert ceiling["ratio_without_hashes"] >= least - 0.005


def test_an_anonymous_record_carries_nothing_that_names_anybody(delivery):
    anonymous_records = {(r["source"], r["source_key"]) for r in rows(delivery / "truth/anonymous.csv")}
    assert len(anonymous_records) > 100
    assert {source for source, _ in anonymous_records} >= {"web", "wechat_account", "wecom"}
    assert not {source for source, _ in anonymous_records} & {"core_banking", "mobile_app"}
    assert all(
        r["person"].startswith("A")
        for r in rows(delivery / "truth/profiles.csv")
        if (r["source"], r["source_key"]) in anonymous_records
    )


def test_heavy_troubles_that_nobody_could_tell_apart_are_in_the_truth(tmp_path):
    outcome = CliRunner().invoke(
        command,
        [
            "--people",
            "5000",
            "--nights",
            "1",
            "--history-months",
            "0",
            "--mess",
            "heavy",
            "--out",
            str(tmp_path),
        ],
    )
    assert outcome.exit_code == 0, outcome.output
    troubles = {row["trouble"] for row in rows(tmp_path / "truth/troubles.csv")}
    assert troubles >= {
        "family_phone_hidden_owner",
        "recycled_phone_hidden_taker",
        "agent_phone",
        "kiosk_device",
        "clerk_on_kiosk",
    }
