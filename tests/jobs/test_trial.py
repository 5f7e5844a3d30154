"""What a trial of other rules tells: as JSON under the keys a script reads, and as lines for a terminal."""

from __future__ import annotations

from jobs.night.try_rules import Trial, describe

TAGS = [
    {"tag": "age", "before": 10, "after": 9, "values": {"": (10, 9)}},
    {"tag": "height", "before": 10, "after": 9, "values": {"": (10, 9)}},
    {"tag": "aum_tier", "before": 10, "after": 9, "values": {"gold": (4, 3), "basic": (6, 6)}},
]
AUDIENCE = {"audience": "young", "before": 1_200, "after": 1_100, "enter": 5, "leave": 105}


def test_a_script_finds_the_same_keys_in_every_trial():
    keys = ["business_date", "rules", "refused", "people", "truth", "tags", "audiences"]
    assert list(Trial("2026-01-05", ("1", "2")).summary()) == keys
    assert Trial("2026-01-05", ("1", "2"), refusal="a bound").summary()["refused"] == "a bound"


def test_a_refusal_ends_the_lines_and_nothing_is_told_of_what_comes_after_it():
    assert describe(Trial("2026-01-05", ("1", "2"), refusal="identity.memberships: largest is 900")) == [
        "the night after 2026-01-05 under rules 2, published under 1",
        "  the night would be refused: identity.memberships: largest is 900",
    ]


def test_tags_that_all_change_alike_share_a_line_and_values_are_listed_by_their_change():
    assert describe(Trial("2026-01-05", ("1", "2"), tags=TAGS))[1:] == [
        "  tags",
        "    age and 1 more                                  10 → 9",
        "    aum_tier                                        10 → 9",
        "      gold                                           4 → 3",
        "      basic                                          6 → 6",
    ]


def test_an_audience_says_who_enters_and_who_leaves():
    line = describe(Trial("2026-01-05", ("1", "2"), tags=[], audiences=[AUDIENCE]))[-1]
    assert line.split() == ["young", "1,200", "→", "1,100", "(5", "enter,", "105", "leave)"]
