"""The truth beside the inbox: complete, and true about phones and tablets that several people use."""

from __future__ import annotations

from collections import Counter, defaultdict

from delivered import content, lines, rows

NIGHTS = ("2026-11-18", "2026-11-19", "2026-11-20")


def delivered_profiles(inbox):
    found = set()
    for night in NIGHTS:
        for source, path, key in (
            ("core_banking", f"core_customers/{night}/customers.csv.gz", "cust_no"),
            ("mobile_app", f"app_profiles/{night}/profiles.csv.gz", "app_user_id"),
            ("web", f"web_visitors/{night}/visitors.csv.gz", "cookie_id"),
            ("wechat_account", f"wechat_followers/{night}/followers.csv.gz", "openid"),
        ):
            found |= {(source, row[key]) for row in rows(inbox / path) if row[key]}
        found |= {
            ("wechat_mini", row["openid"])
            for row in lines(inbox / f"wechat_mini_users/{night}/users.jsonl.gz")
        }
    return found


def test_truth_names_each_delivered_profile_exactly_once(delivery):
    truth = [(r["source"], r["source_key"]) for r in rows(delivery / "truth/profiles.csv")]
    assert len(truth) == len(set(truth)) > 8_000
    assert set(truth) == delivered_profiles(delivery / "inbox")


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
    together = 0
    for key in family & customers.keys():
        others = holders[customers[key]] - {person["core_banking", key]}
        if others and customers[key]:
            together += 1
            assert {home[p] for p in others} == {home[person["core_banking", key]]}
    assert together > 30


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

    lost, taken = phones("recycled_phone_lost"), phones("recycled_phone_taken")
    both = [(lost[p], taken[p]) for p in lost.keys() & taken.keys() if p]
    assert len(both) > 5
    for old, new in both:
        assert home[person["core_banking", old]] != home[person["core_banking", new]]
        assert table[old]["contact_updated"] < table[new]["contact_updated"]


def test_a_shared_tablet_has_two_users_of_one_household(delivery):
    users, home = (
        defaultdict(set),
        {r["person"]: r["household"] for r in rows(delivery / "truth/households.csv")},
    )
    for row in rows(delivery / "truth/device_owners.csv"):
        users[row["device_id"]].add(row["user"])
    shared = [found for found in users.values() if len(found) > 1]
    assert len(shared) >= 3
    assert all(len({home[p] for p in found}) == 1 for found in shared)


def test_the_notes_of_files_count_what_is_in_them(delivery):
    for note in rows(delivery / "truth/files.csv"):
        path = delivery / "inbox" / note["feed"] / note["business_date"] / note["file"]
        headless = note["feed"] == "core_balances" or ".jsonl" in note["file"]
        assert int(note["rows"]) == content(path).count(b"\n") - (0 if headless else 1), path
        records = content(path).split(b"\n")[:-1]
        again = sum(n - 1 for n in Counter(records).values())
        assert again == int(note["duplicate_rows"]), path


def test_most_people_with_several_profiles_can_be_found_by_an_identifier(delivery):
    """The acceptance of OneID asks for a recall that the data must allow: at least nine pairs in ten share a telling identifier."""
    import re

    person = {(r["source"], r["source_key"]): r["person"] for r in rows(delivery / "truth/profiles.csv")}
    carriers = defaultdict(set)

    def add(source, key, *values):
        for value in values:
            if (source, key) in person and value and value != "anonymous":
                carriers[value].add((source, key))

    inbox, last = delivery / "inbox", NIGHTS[-1]

    def phone(text):
        digits = re.sub(r"\D", "", text)[-11:]
        return "p" + digits if len(digits) == 11 and digits[0] == "1" else ""

    for row in rows(inbox / f"core_customers/{last}/customers.csv.gz"):
        number = row["id_no"].upper()
        number = number[:6] + "19" + number[6:] if len(number) == 15 else number[:17]
        add(
            "core_banking",
            row["cust_no"],
            "c" + row["cust_no"],
            "n" + number if number else "",
            phone(row["mobile"]),
        )
    for row in rows(inbox / f"app_profiles/{last}/profiles.csv.gz"):
        add(
            "mobile_app",
            row["app_user_id"],
            row["app_user_id"],
            row["cust_no"] and "c" + row["cust_no"],
            phone(row["mobile"]),
        )
    for night in NIGHTS:
        for row in rows(inbox / f"web_visitors/{night}/visitors.csv.gz"):
            add("web", row["cookie_id"], row["login_id"], phone(row["form_phone"]))
    for row in rows(inbox / f"wechat_followers/{last}/followers.csv.gz"):
        add(
            "wechat_account",
            row["openid"],
            row["unionid"],
            row["cust_no"] and "c" + row["cust_no"],
            phone(row["phone"]),
        )
    for row in lines(inbox / f"wechat_mini_users/{last}/users.jsonl.gz"):
        bind = row["bind"]
        add(
            "wechat_mini",
            row["openid"],
            row["unionid"],
            bind["cust_no"] and "c" + bind["cust_no"],
            phone(bind["phone"]),
        )
    group = {profile: profile for profile in person}

    def root(profile):
        while group[profile] != profile:
            profile = group[profile]
        return profile

    for profiles in carriers.values():
        if len({person[p] for p in profiles}) == 1:
            first, *others = sorted(profiles)
            for other in others:
                group[root(other)] = root(first)

    def pairs(sizes):
        return sum(n * (n - 1) // 2 for n in sizes.values())

    recall = pairs(Counter(root(p) for p in person)) / pairs(Counter(person.values()))
    assert 0.90 < recall < 0.99
