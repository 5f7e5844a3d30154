"""What a contact policy and the contact part of a segment may say, what contradicts, and when a send window lies."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, catalogue_of, spec

import vocabulary
from lakehouse.contracts.reading import contract
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from segments.contacting.windows import send_window
from segments.language.contact import Contact, QuietHours, QuietPeriod, SendHours, open_minutes
from segments.language.spec import read_segment
from vocabulary.contact_rules import NEVER_MADE, NOT_A_TOUCH

RULE = "where: {tag: tier, eq: T1}"
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def findings_of(make_workspace):
    def find(
        policy: str | None, contact: str = "channels: [SMS, PUSH]", others: dict[str, str] | None = None
    ):
        files = {"cdp.yml": "{}", "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML}
        text = spec("x", RULE).replace("channels: [SMS, PUSH]", contact)
        files |= {"segments/x.yml": text, "segments/y.yml": spec("y", RULE), **(others or {})}
        if policy is not None:
            files["contact_policy.yml"] = policy
        findings = catalogue_of(load_settings(make_workspace(files))).findings()
        return [(f"{f.file.stem}:{f.line}", f.code, f.message) for f in findings]

    return find


SOUND = """\
purposes: [marketing]
placements: {banner: INAPP, hotline: CALL}
caps:
  - {scope: global, max: 2, days: 7}
  - {scope: SMS, max: 1, days: 1}
  - {scope: banner, max: 1, days: 1}
quiet: {from: "21:00", to: "09:00", on_hit: defer, max_defer_h: 24}
do_not_disturb: [{from: 2027-02-05, to: 2027-02-08, why: Spring Festival}]
windows: {CALL: [{days: [MON, TUE], from: "10:00", to: "18:00"}]}
never_together: [{segments: [x, y], days: 3}]
capacities: [{scope: SMS, max: 1000000}, {scope: CALL, per: employee, max: 20, each: {core/e1: 5}}]
"""
POLICIES = [
    ("caps: [{scope: global, max: 1, days: 7}, {scope: SMS, max: 2, days: 1}]", "E12", "the cap SMS 2 in 1 day can never be reached, since global 1 in 7 days is stricter"),
    ("caps: [{scope: SMS, max: 1, days: 7}, {scope: SMS, max: 2, days: 7}]", "E12", "contradicts SMS 1 in 7 days: one scope and as many days"),
    ("caps: [{scope: SMS, max: 5, days: 7}, {scope: SMS, max: 4, days: 30}]", "E12", "can never be reached"),
    ("placements: {banner: INAPP}\ncaps: [{scope: INAPP, max: 0, days: 1}, {scope: banner, max: 1, days: 1}]", "E12", "the cap banner 1 in 1 day can never be reached"),
    ("caps: [{scope: PSUH, max: 1, days: 1}]", "E01", "'PSUH' is neither global, a channel nor a placement; did you mean 'PUSH'?"),
    ("capacities: [{scope: banner, max: 1}]", "E01", "'banner' is neither global"),
    ("capacities: [{scope: SMS, max: 1}, {scope: SMS, max: 2}]", "E12", "the capacity of SMS is stated twice"),
    ("never_together: [{segments: [x, z]}]", "E01", "there is no segment 'z'"),
    ("never_together: [{segments: [x, x]}]", "E12", "a segment cannot be kept apart from itself"),
    ("purposes: [service]\nnever_together: [{segments: [x, y]}]", "E12", "has the purpose marketing, which 'purposes' does not name"),
    ("placements: {global: SMS}", "E12", "is the scope of all channels and names no placement"),
]  # fmt: skip


def test_a_sound_policy_is_not_complained_about(findings_of):
    assert (
        findings_of(SOUND, "channels: [INAPP, SMS], placements: {INAPP: banner}, channel_pick: channel_habit")
        == []
    )
    assert findings_of(None) == []
    assert findings_of("caps: [{scope: SMS, max: 0, days: 1}]") == [], "a site may close a channel"
    assert findings_of("caps: [{scope: global, max: 2, days: 7}, {scope: SMS, max: 2, days: 1}]") == []


@pytest.mark.parametrize(("policy", "code", "words"), POLICIES)
def test_a_policy_that_contradicts_itself_is_named_with_its_line(findings_of, policy, code, words):
    findings = findings_of(policy)
    assert findings and {one[1] for one in findings} == {code}, findings
    assert all(place == f"contact_policy:{policy.count(chr(10)) + 1}" for place, _, _ in findings)
    assert words in findings[0][2]


SEGMENTS = [
    ("channels: [SMS], caps: [{scope: global, max: 3, days: 7}]", "E12", "can never be reached, since the site allows global 2 in 7 days (contact_policy.yml)"),
    ("channels: [SMS], caps: [{scope: SMS, max: 0, days: 7}]", "E12", "lets nobody be reached on SMS: it allows none"),
    ("channels: [SMS], placements: {INAPP: banner}", "E12", "a placement in INAPP, which is no channel of the segment"),
    ("channels: [SMS], placements: {SMS: banner}", "E12", "placement 'banner' is one of INAPP, not of SMS"),
    ("channels: [INAPP], placements: {INAPP: baner}", "E01", "there is no placement 'baner' in contact_policy.yml; did you mean 'banner'?"),
    ("channels: [SMS], windows: [{from: '21:00', to: '23:00'}]", "E12", "windows and quiet hours leave no minute of the week for SMS"),
    ("channels: [CALL], windows: [{days: [SUN], from: '10:00', to: '12:00'}]", "E12", "leave no minute of the week for CALL"),
    ("channels: [SMS], expected_value: tier", "E03", "the expected value is a number, and tag 'tier' is a category"),
    ("channels: [SMS], expected_value: balanse", "E01", "there is no tag 'balanse'; did you mean 'balance'?"),
    ("channels: [SMS], expected_value: sketch", "E05", "is draft, not online"),
]  # fmt: skip


@pytest.mark.parametrize(("contact", "code", "words"), SEGMENTS)
def test_a_segment_that_contradicts_the_site_or_itself_is_named(findings_of, contact, code, words):
    findings = findings_of(SOUND, contact)
    assert {(place.partition(":")[0], one) for place, one, _ in findings} == {("x", code)}, findings
    assert words in findings[0][2]


def test_a_cap_below_the_number_of_destinations_reaches_nobody(findings_of):
    contact = "channels: [SMS], caps: [{scope: global, max: 1, days: 7}]"
    text = (
        spec("z", RULE).replace("channels: [SMS, PUSH]", contact).replace("[engine]", "[engine, open_engine]")
    )
    findings = findings_of(None, others={"segments/z.yml": text})
    assert [(code, message) for _, code, message in findings] == [
        ("E12", "the cap global 1 in 7 days lets nobody be reached on SMS: each contact counts 2, one for each destination")
    ]  # fmt: skip


@pytest.mark.parametrize(("most", "is_fault"), [(0, False), (1, True), (2, False)])
def test_a_cap_of_the_site_below_the_number_of_destinations_reaches_nobody(findings_of, most, is_fault):
    policy = f"caps: [{{scope: SMS, max: {most}, days: 7}}]\n"
    text = (
        spec("z", RULE)
        .replace("channels: [SMS, PUSH]", "channels: [SMS]")
        .replace("[engine]", "[engine, open_engine]")
    )
    findings = findings_of(policy, others={"segments/z.yml": text})
    words = f"the cap SMS {most} in 7 days (contact_policy.yml) lets nobody be reached on SMS: each contact counts 2, one for each destination"
    assert [(code, message) for _, code, message in findings] == [("E12", words)] * is_fault


UNREADABLE = [
    ("caps: [{scope: SMS, max: -1, days: 1}]", "greater than or equal to 0"),
    ("caps: [{scope: SMS, max: 1.5, days: 1}]", "has to be a whole number"),
    ("caps: [{scope: SMS, max: true, days: 1}]", "has to be a whole number"),
    ("caps: [{scope: SMS, max: 1, days: 0}]", "greater than or equal to 1"),
    ("caps: [{scope: SMS, max: 1, days: 4000}]", "less than or equal to 366"),
    ("capacities: [{scope: SMS, max: -5}]", "greater than or equal to 0"),
    ("capacities: [{scope: SMS, max: 1000000000000000000000}]", "less than or equal to 1000000000"),
    ("capacities: [{scope: SMS, max: 1, each: {b1: 2}}]", "say which with 'per'"),
    ("capacities: [{scope: CALL, max: 1, per: branch, each: {b1: -2}}]", "greater than or equal to 0"),
    ('quiet: {from: "21:00", to: "21:00"}', "they last no minute"),
    ('quiet: {from: "25:00", to: "09:00"}', "should match pattern"),
    ('quiet: {from: "21:00", to: "09:00", on_hit: wait}', "'defer' or 'drop'"),
    ("do_not_disturb: [{from: 2027-02-08, to: 2027-02-05, why: x}]", "ends before it begins"),
    ("windows: {FAX: [{from: '09:00', to: '10:00'}]}", "windows"),
    ("placements: {banner: TV}", "placements"),
    ("never_together: [{segments: [x]}]", "at least 2 items"),
    ("purposes: []", "at least 1 item"),
    ("cap: []", "unknown key 'cap'; did you mean 'caps'?"),
]


@pytest.mark.parametrize(("policy", "words"), UNREADABLE)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_line(findings_of, policy, words):
    ((place, code, message),) = findings_of(policy)
    assert (place, code) == ("contact_policy:1", "E00")
    assert words in message


@pytest.mark.parametrize(
    ("contact", "words"),
    [
        ("channels: [FAX]", "'contact.channels.0'"),
        ("channels: [SMS], priority: 101", "less than or equal to 100"),
        ("channels: [SMS], priority: -1", "greater than or equal to 0"),
        ("channels: [SMS], channel_pick: best", "'first' or 'channel_habit'"),
        ("channels: [SMS], capacity: 5", "unknown key 'capacity'"),
    ],
)
def test_a_contact_part_that_cannot_be_meant_is_refused_with_its_line(tmp_path, contact, words):
    file = tmp_path / "x.yml"
    file.write_text(spec("x", RULE).replace("channels: [SMS, PUSH]", contact))
    with pytest.raises(SettingsInvalid) as refusal:
        read_segment(file)
    assert (refusal.value.line, words in str(refusal.value)) == (10, True), str(refusal.value)


def test_rules_of_contact_are_part_of_the_definition_and_their_defaults_are_not(tmp_path):
    def definition(contact: str) -> str:
        file = tmp_path / "x.yml"
        file.write_text(spec("x", RULE).replace("channels: [SMS, PUSH]", contact))
        return read_segment(file).definition_hash

    plain = definition("channels: [SMS, PUSH]")
    assert definition("channels: [SMS, PUSH], priority: 50, channel_pick: first, caps: []") == plain
    assert definition("channels: [SMS, PUSH], priority: 51") != plain
    assert definition("channels: [SMS, PUSH], caps: [{scope: SMS, max: 1, days: 1}]") != plain
    assert not Contact(channels=["SMS"], priority=50).has_rules


# -- hours -----------------------------------------------------------------------------------------------------

NIGHT_QUIET = QuietHours(begin="21:00", end="09:00")
FRIDAY = dt.date(2026, 11, 20)  # contacts fall on Saturday


def window(
    day=FRIDAY, *, hours=(), quiet=(NIGHT_QUIET,), periods=(), valid_hours=30, zone=SHANGHAI, channel="SMS"
):
    found = send_window(
        channel,
        day,
        hours=[hours] if hours else [],
        quiet=quiet,
        periods=periods,
        valid_hours=valid_hours,
        zone=zone,
    )
    return found and (found.begin.isoformat(), found.end.isoformat())


def hours(begin: str, end: str, *days: str) -> SendHours:
    return SendHours(
        begin=begin, end=end, days=list(days) or ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
    )


def test_minutes_of_a_day_are_those_that_hours_allow_and_quiet_hours_leave():
    def open_(weekday, allowed, quiet):
        return [
            (f"{a // 60:02d}:{a % 60:02d}", f"{b // 60:02d}:{b % 60:02d}")
            for a, b in open_minutes(weekday, allowed, quiet)
        ]

    assert open_(0, [], []) == [("00:00", "24:00")]
    assert open_(0, [], [NIGHT_QUIET]) == [("09:00", "21:00")]
    assert open_(0, [], [QuietHours(begin="12:00", end="14:00")]) == [("00:00", "12:00"), ("14:00", "24:00")]
    late = hours("22:00", "02:00", "FRI")
    assert open_(4, [[late]], []) == [("22:00", "24:00")]
    assert open_(5, [[late]], []) == [("00:00", "02:00")], (
        "hours over midnight belong to the day they begin on"
    )
    assert open_(6, [[late]], []) == []
    assert open_(0, [[hours("08:00", "12:00"), hours("18:00", "24:00")]], [NIGHT_QUIET]) == [
        ("09:00", "12:00"), ("18:00", "21:00"),
    ]  # fmt: skip
    assert open_(0, [[hours("08:00", "12:00")], [hours("11:00", "20:00")]], []) == [("11:00", "12:00")]


def test_a_window_is_the_first_that_quiet_hours_leave_within_one_day():
    assert window() == ("2026-11-21T09:00:00+08:00", "2026-11-21T21:00:00+08:00")
    assert window(quiet=()) == ("2026-11-21T00:00:00+08:00", "2026-11-22T00:00:00+08:00")
    assert window(quiet=(), valid_hours=6) == ("2026-11-21T00:00:00+08:00", "2026-11-21T06:00:00+08:00")
    assert window(valid_hours=9) is None, "the audience is over before the first allowed minute"
    assert window(valid_hours=10) == ("2026-11-21T09:00:00+08:00", "2026-11-21T10:00:00+08:00")


def test_a_window_of_working_days_waits_as_long_as_it_may():
    week = (hours("10:00", "18:00", "MON", "TUE", "WED", "THU", "FRI"),)
    monday = ("2026-11-23T10:00:00+08:00", "2026-11-23T18:00:00+08:00")
    patient = QuietHours(begin="21:00", end="09:00", max_defer_h=72)
    assert window(hours=week, quiet=(patient,), valid_hours=96) == monday
    assert window(hours=week, quiet=(patient,), valid_hours=30) is None
    assert window(hours=week, valid_hours=96) is None, "24 hours are not enough"
    assert window(hours=week, quiet=(), valid_hours=96) == monday, (
        "without quiet hours the audience's own end decides"
    )
    exact = QuietHours(begin="21:00", end="09:00", max_defer_h=58)
    assert window(hours=week, quiet=(exact,), valid_hours=96) == monday
    impatient = QuietHours(begin="21:00", end="09:00", on_hit="drop", max_defer_h=72)
    assert window(hours=week, quiet=(impatient,), valid_hours=96) is None


@pytest.mark.parametrize(
    ("one", "other", "is_open"),
    [
        ({"on_hit": "drop"}, {"on_hit": "defer", "max_defer_h": 700}, False),
        ({"on_hit": "defer", "max_defer_h": 24}, {"on_hit": "defer", "max_defer_h": 700}, False),
        ({"on_hit": "defer", "max_defer_h": 57}, {"on_hit": "defer", "max_defer_h": 72}, False),
        ({"on_hit": "defer", "max_defer_h": 58}, {"on_hit": "defer", "max_defer_h": 72}, True),
        ({"on_hit": "defer", "max_defer_h": 700}, {"on_hit": "defer", "max_defer_h": 700}, True),
        ({"on_hit": "drop"}, {"on_hit": "drop"}, False),
    ],
)
def test_of_two_quiet_hours_the_stricter_says_how_long_to_wait_whosever_they_are(one, other, is_open):
    week = (
        hours("10:00", "18:00", "MON", "TUE", "WED", "THU", "FRI"),
    )  # the first window begins after 58 hours
    quiet = [QuietHours(begin="21:00", end="09:00", **rule) for rule in (one, other)]
    monday = ("2026-11-23T10:00:00+08:00", "2026-11-23T18:00:00+08:00")
    for order in (quiet, quiet[::-1]):
        assert window(hours=week, quiet=order, valid_hours=720) == (monday if is_open else None)


def test_where_one_drops_and_another_may_wait_less_than_a_day_neither_is_loosened():
    drop = QuietHours(begin="21:00", end="09:00", on_hit="drop")
    short = QuietHours(begin="12:00", end="14:00", max_defer_h=8)
    for order in ([drop, short], [short, drop]):
        assert window(quiet=order) is None, "the first minute is that of 09:00, and 8 hours are over then"


def test_days_of_rest_close_their_channels():
    rest = QuietPeriod(
        first=dt.date(2026, 11, 21), last=dt.date(2026, 11, 21), channels=["SMS"], why="a feast"
    )
    patient = (QuietHours(begin="21:00", end="09:00", max_defer_h=48),)
    assert window(periods=(rest,)) is None
    assert window(periods=(rest,), quiet=patient, valid_hours=72) == (
        "2026-11-22T09:00:00+08:00",
        "2026-11-22T21:00:00+08:00",
    )
    assert window(periods=(rest,), channel="PUSH") is not None


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "begin", "end", "expected"),
    [
        # 2027-03-28: 02:00 becomes 03:00. 02:30 never comes: the window begins after the gap.
        (dt.date(2027, 3, 27), "02:30", "06:00", ("2027-03-28T03:30:00+02:00", "2027-03-28T06:00:00+02:00")),
        (dt.date(2027, 3, 27), "01:00", "02:30", ("2027-03-28T01:00:00+01:00", "2027-03-28T01:30:00+01:00")),
        # Wholly inside the gap there is no time at all; the next day has it.
        (dt.date(2027, 3, 27), "02:10", "02:50", ("2027-03-29T02:10:00+02:00", "2027-03-29T02:50:00+02:00")),
        # 2026-10-25: 02:00 to 03:00 comes twice. The begin is the second, the end the first.
        (dt.date(2026, 10, 24), "02:30", "06:00", ("2026-10-25T02:30:00+01:00", "2026-10-25T06:00:00+01:00")),
        (dt.date(2026, 10, 24), "01:00", "02:30", ("2026-10-25T01:00:00+02:00", "2026-10-25T02:30:00+02:00")),
        (dt.date(2026, 10, 24), "09:00", "21:00", ("2026-10-25T09:00:00+01:00", "2026-10-25T21:00:00+01:00")),
    ],
)  # fmt: skip
def test_where_clocks_change_the_window_is_what_no_reading_calls_quiet(day, begin, end, expected):
    assert window(day, hours=(hours(begin, end),), quiet=(), valid_hours=72, zone=BERLIN) == expected


def test_tags_and_caps_agree_on_what_is_no_contact():
    model = Path(vocabulary.__file__).parents[1] / "dbt_project/models/intermediate/int_contacts_keyed.sql"
    statuses = re.search(
        r"when receipts\.status not in \((.*?)\)\s+then receipts\.event_on", model.read_text()
    )[1]
    assert {status.strip(" '") for status in statuses.split(",")} == set(NOT_A_TOUCH)
    allowed = set(contract("trusted.receipts").columns["status"].allowed)
    assert set(NEVER_MADE) < set(NOT_A_TOUCH) < allowed


def test_a_policy_that_cannot_be_read_hides_no_other_fault(make_workspace):
    folder = make_workspace(
        {
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "contact_policy.yml": "caps: 3\n",
            "segments/x.yml": spec("x", "where: {tag: teir, eq: T3}"),
            "segments/y.yml": "spec: [",
        }
    )
    findings = catalogue_of(load_settings(folder)).findings()
    assert [(f.file.name, f.code) for f in findings] == [
        ("contact_policy.yml", "E00"), ("x.yml", "E01"), ("y.yml", "E00"),
    ]  # fmt: skip


def test_sites_rules_may_name_a_segment_whose_file_cannot_be_read(make_workspace):
    folder = make_workspace(
        {
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "contact_policy.yml": "never_together: [{segments: [x, y], days: 7}]\n",
            "segments/x.yml": spec("x", "where: {tag: tier, eq: T3}"),
            "segments/y.yml": "spec: [",
        }
    )
    findings = catalogue_of(load_settings(folder)).findings()
    assert [(f.file.name, f.code) for f in findings] == [("y.yml", "E00")]


@pytest.mark.parametrize(("is_in_use", "codes"), [(False, ["E05"]), (True, ["W06"])])
def test_contacts_may_be_ordered_by_a_deprecated_tag_in_a_version_that_is_in_use(
    make_workspace, is_in_use, codes
):
    text = spec("x", "where: {tag: tier, eq: T3}").replace(
        "[SMS, PUSH]}", "[SMS, PUSH], expected_value: old_tier}"
    )
    folder = make_workspace(
        {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, "segments/x.yml": text}
    )
    segment = read_segment(folder / "segments" / "x.yml")
    hashes = {("x", "1.0.0"): segment.definition_hash} if is_in_use else {}
    assert [f.code for f in catalogue_of(load_settings(folder), hashes).findings()] == codes
