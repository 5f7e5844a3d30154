"""How a plan is told: as lines for a terminal."""

from __future__ import annotations

from jobs.planning.audience_moves import AudienceMove
from jobs.planning.night_times import NightTimes
from jobs.planning.plan import ChangePlan
from jobs.planning.tag_moves import TagMove
from jobs.planning.wording import audience_lines, describe, describe_rules, markdown, tag_lines

TAGS = [
    TagMove("age", 10, 9, 1, {"": (10, 9)}),
    TagMove("height", 10, 9, 1, {"": (10, 9)}),
    TagMove(
        "aum_tier", 10, 9, 2, {"gold": (4, 3), "basic": (6, 5)}, [("gold", "basic", 1), ("basic", None, 1)]
    ),
]


def test_a_script_finds_the_same_keys_in_every_plan():
    keys = [
        "business_date", "workspace", "files", "computed", "rules", "refused", "is_moving", "notes", "gaps", "sources", "people",
        "truth", "tags", "audiences", "publications", "night",
    ]  # fmt: skip
    assert list(ChangePlan("2026-01-05", "new").summary()) == keys
    assert ChangePlan("2026-01-05", "new", refusal="a bound").summary()["refused"] == "a bound"


def test_a_refusal_ends_the_lines_of_a_trial_and_nothing_is_told_of_what_comes_after_it():
    plan = ChangePlan("2026-01-05", "new", rules=("1", "2"), refusal="identity.memberships: largest is 900")
    assert describe_rules(plan) == [
        "the night after 2026-01-05 under rules 2, published under 1",
        "  the night would be refused: identity.memberships: largest is 900",
    ]


def test_tags_that_all_change_alike_share_a_line_and_ways_are_listed():
    assert tag_lines(TAGS)[1:] == [
        "    age and 1 more                                  10 → 9         1",
        "    aum_tier                                        10 → 9         2",
        "      basic                                          6 → 5",
        "      gold                                           4 → 3",
        "      gold → basic: 1",
        "      basic → –: 1",
    ]


def test_an_audience_says_who_enters_and_who_leaves_and_what_keeps_it_back():
    move = AudienceMove("young", 1_200, 1_100, 5, 105, ("1.0.0", "1.1.0"), "it lacks an approval")
    lines = audience_lines([move])
    assert lines[1].split() == ["young", "1,200", "→", "1,100", "(5", "enter,", "105", "leave)"]
    assert lines[2:] == ["      version 1.0.0 → 1.1.0", "      not published: it lacks an approval"]


def test_minutes_are_those_of_the_ledger_or_unknown():
    plan = ChangePlan("2026-01-05", "new", night=NightTimes(2, {"ingest": 60.0, "publish": 90.0}, {}))
    assert (
        "the next night takes about 2.5 minutes (ingest 60.0 s, publish 90.0 s; medians of the last 2 nights)"
        in describe(plan)[-1]
    )
    assert "unknown" in describe(ChangePlan("2026-01-05", "new"))[-1]


def test_a_refusal_in_markdown_is_code():
    text = "\n".join(markdown(ChangePlan("2026-01-05", "new", refusal="a | b `c` @d")))
    assert "**The night would be refused:** `a ¦ b 'c' @d`" in text
