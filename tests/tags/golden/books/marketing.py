"""Golden cases of how a person may be reached and how they respond: consents, addresses, receipts, the global control group."""

from __future__ import annotations

from tests.tags.drawn import rows_of
from tests.tags.golden.cases import cases_of

PEOPLE = (
    "ok_all", "ok_sms", "ok_none", "ok_ends", "ok_holds", "ok_refused", "ok_regrant", "ok_bounced", "ok_back", "ok_badphone", "ok_gone",
    "ref_all", "ref_then", "ref_before", "ref_one", "ref_prof", "ref_serv", "ref_same", "comp", "comp_ended", "comp_receipt", "ref_receipt",
    "tc7", "tc8", "tc_service", "tc_capped", "tc_many", "tc30", "tc31", "tc_run", "resp", "resp_won", "resp_lost", "fat6", "fat5", "fat3", "fat2", "fat_old", "fat_resp",
    "fat_resp30", "nr", "nr_one", "nr_two", "nr_resp", "gc", "gc_not", "gc_today", "gc_other", "gc_moved", "gc_499", "gc_500",
    "gc_part", "gc_parted", "silent_one", "ref_part", "ref_parted",
)  # fmt: skip
# Of SHA-256 of "GCG-2024H1|<OneID>" the first 15 hexadecimal digits, modulo 10,000: 9000, 499 and 500. The last is named by a part.
ONE_IDS = {
    "gc": 3_000_000_011_815,
    "gc_499": 3_000_000_020_644,
    "gc_500": 3_000_000_003_471,
    "ref_receipt": 3_000_000_000_777,
}
PROFILES: list[tuple[str, str, str]] = []
ADDRESSES = """
    | source_key  | namespace           | value         | valid_to   |
    | ok_all      | phone               | 13900000001   | -          |
    | ok_all      | email               | a@b.cn        | -          |
    | ok_all      | app_user_id@app     | u1            | -          |
    | ok_all      | openid@wx           | o1            | -          |
    | ok_all      | external_userid@co  | e1            | -          |
    | ok_sms      | phone               | 13900000002   | -          |
    | ok_none     | phone               | 13900000003   | -          |
    | ok_ends     | phone               | 13900000004   | -          |
    | ok_holds    | phone               | 13900000005   | -          |
    | ok_refused  | phone               | 13900000006   | -          |
    | ok_regrant  | phone               | 13900000007   | -          |
    | ok_bounced  | phone               | 13900000008   | -          |
    | ok_back     | phone               | 13900000009   | -          |
    | ok_badphone | device_id           | 13900000010   | -          |
    | ok_gone     | phone               | 13900000011   | 2024-03-31 |
"""
CONSENTS = """
    | source_key  | purpose   | channel | decision | decided_at          | expires_on |
    | ok_all      | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ok_sms      | marketing | SMS     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ok_ends     | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | 2024-04-01 |
    | ok_holds    | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | 2024-04-02 |
    | ok_refused  | marketing | ALL     | GRANT    | 2024-01-02T00:00:00 | -          |
    | ok_refused  | marketing | SMS     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ok_regrant  | marketing | ALL     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ok_regrant  | marketing | CALL    | GRANT    | 2024-01-02T00:00:00 | -          |
    | ok_bounced  | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ok_back     | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ok_badphone | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ok_gone     | marketing | ALL     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ref_all     | marketing | ALL     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ref_then    | marketing | ALL     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ref_then    | marketing | SMS     | GRANT    | 2024-01-02T00:00:00 | -          |
    | ref_before  | marketing | ALL     | REFUSE   | 2024-01-02T00:00:00 | -          |
    | ref_before  | marketing | SMS     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ref_same    | marketing | ALL     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ref_same    | marketing | SMS     | GRANT    | 2024-01-01T00:00:00 | -          |
    | ref_one     | marketing | SMS     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ref_prof    | profiling | ALL     | REFUSE   | 2024-01-01T00:00:00 | -          |
    | ref_serv    | service   | ALL     | REFUSE   | 2024-01-01T00:00:00 | -          |
"""
CONTROLS = """
    | source_key | control_type | started_on | ended_on   |
    | comp       | COMPLAINT    | 2024-03-31 | -          |
    | comp_ended | COMPLAINT    | 2024-01-01 | 2024-03-31 |
"""
RECEIPTS = """
    | recipient_key | run_id | channel | status       | event_on   | purpose   |
    | ok_bounced    | r1     | SMS     | BOUNCED_HARD | 2024-01-05 | -         |
    | ok_back       | r1     | SMS     | BOUNCED_HARD | 2024-01-05 | -         |
    | ok_back       | r2     | SMS     | DELIVERED    | 2024-01-06 | -         |
    | comp_receipt  | r1     | SMS     | COMPLAINED   | 2024-01-05 | -         |
    | ref_receipt   | r1     | SMS     | REFUSED      | 2024-01-05 | service   |
    | tc7           | r1     | SMS     | SENT         | 2024-03-25 | -         |
    | tc7           | r1     | SMS     | DELIVERED    | 2024-03-25 | -         |
    | tc7           | r1     | PUSH    | BOUNCED_SOFT | 2024-03-31 | marketing |
    | tc7           | r2     | SMS     | SENT         | 2024-03-31 | -         |
    | tc8           | r1     | SMS     | SENT         | 2024-03-24 | -         |
    | tc8           | r1     | SMS     | DELIVERED    | 2024-03-25 | -         |
    | tc_service    | r1     | SMS     | SENT         | 2024-03-31 | service   |
    | tc_service    | r1     | SMS     | OPENED       | 2024-03-31 | service   |
    | tc_capped     | r1     | SMS     | CAPPED       | 2024-03-31 | -         |
    | tc_capped     | r2     | SMS     | QUIET_DEFERRED | 2024-03-31 | -       |
    | tc_capped     | r3     | SMS     | QUIET_DROPPED | 2024-03-31 | -        |
    | tc_capped     | r4     | SMS     | EXPIRED      | 2024-03-31 | -         |
    | tc_capped     | r5     | WORKLIST | ASSIGNED    | 2024-03-31 | -         |
    | tc30          | r1     | SMS     | SENT         | 2024-03-02 | -         |
    | tc30          | r2     | CALL    | SENT         | 2024-03-31 | -         |
    | tc31          | r1     | SMS     | SENT         | 2024-03-01 | -         |
    | tc_run        | rs     | SMS     | SENT         | 2024-03-31 | marketing |
    | resp          | r1     | SMS     | SENT         | 2024-03-01 | -         |
    | resp          | r1     | SMS     | CLICKED      | 2024-03-20 | -         |
    | resp          | r1     | SMS     | OPENED       | 2024-03-19 | -         |
    | resp          | r2     | SMS     | DELIVERED    | 2024-03-31 | -         |
    | resp_won      | r1     | WORKLIST | WON         | 2024-03-31 | -         |
    | resp_lost     | r1     | WORKLIST | LOST        | 2024-03-31 | -         |
    | fat_resp      | r7     | SMS     | REPLIED      | 2024-03-02 | -         |
    | fat_resp30    | r7     | SMS     | CONVERTED    | 2024-03-01 | -         |
    | nr            | r1     | SMS     | SENT         | 2024-03-02 | -         |
    | nr            | r2     | SMS     | SENT         | 2024-03-03 | -         |
    | nr            | r3     | PUSH    | SENT         | 2024-03-31 | -         |
    | nr_one        | r1     | SMS     | SENT         | 2024-03-02 | -         |
    | nr_one        | r2     | SMS     | SENT         | 2024-03-03 | -         |
    | nr_one        | r3     | SMS     | SENT         | 2024-03-31 | -         |
    | nr_two        | r1     | SMS     | SENT         | 2024-03-01 | -         |
    | nr_two        | r2     | SMS     | SENT         | 2024-03-03 | -         |
    | nr_two        | r3     | PUSH    | SENT         | 2024-03-31 | -         |
    | nr_resp       | r1     | SMS     | SENT         | 2024-03-02 | -         |
    | nr_resp       | r2     | PUSH    | SENT         | 2024-03-03 | -         |
    | nr_resp       | r3     | CALL    | SENT         | 2024-03-31 | -         |
    | nr_resp       | r1     | SMS     | OPENED       | 2024-03-02 | -         |
"""
TOUCHES = {"fat6": 6, "fat5": 5, "fat3": 3, "fat2": 2, "fat_resp": 6, "fat_resp30": 6}


def _receipts() -> list[dict]:
    """Give the receipts; of TOUCHES one a day from the first day of 30 on, of `fat_old` six on the day before it."""
    rows = rows_of(RECEIPTS)
    for name, count in TOUCHES.items():
        rows += [
            {"recipient_key": name, "run_id": f"r{at}", "event_on": f"2024-03-{1 + at:02}"}
            for at in range(1, count + 1)
        ]
    rows += [{"recipient_key": "fat_old", "run_id": f"r{at}", "event_on": "2024-03-01"} for at in range(1, 7)]
    return [{**row, "event_at": f"{row['event_on']}T01:00:00"} for row in rows]


ROWS = [
    ("trusted.identifier_observations", ADDRESSES),
    ("trusted.consents", CONSENTS),
    ("trusted.account_controls", CONTROLS),
    ("segments.recipients", [{"recipient_key": name, "one_id": name} for name in PEOPLE]),
    ("segments.deliveries", [
        {"run_id": "rs", "destination": "engine", "code": "s", "as_of": "2024-03-01", "purpose": "service", "seq": 1, "attempt": 1,
         "status": "DELIVERED", "accepted": 1, "rejected": 0, "manifest_sha256": "x"},
    ]),
    ("trusted.receipts", _receipts()),
    ("segments.assignments", [
        {"salt": salt, "one_id": name, "bucket": 1, "arm": arm, "assigned_on": on, "source": "bucket"}
        for name, salt, arm, on in (
            ("gc", "GCG-2024H1", "CONTROL", "2024-03-30"), ("gc_not", "GCG-2024H1", "TREATED", "2024-03-30"),
            ("gc_today", "GCG-2024H1", "CONTROL", "2024-03-31"), ("gc_other", "GCG-2023H2", "CONTROL", "2023-12-01"),
            (1_999_999_999_999, "GCG-2024H1", "CONTROL", "2024-03-30"),
        )
    ]),
    ("identity.redirects", [{"from_one_id": 1_999_999_999_999, "to_one_id": "gc_moved"}]),
    ("identity.inheritances", [
        {"one_id": name, "from_one_id": ONE_IDS["gc"], "parted_on": on, "shared_until": on}
        for name, on in (("gc_part", "2024-03-31"), ("gc_parted", "2024-03-30"))
    ]),
    ("identity.inheritances", [
        {"one_id": name, "from_one_id": ONE_IDS["ref_receipt"], "parted_on": on, "shared_until": on}
        for name, on in (("ref_part", "2024-01-05"), ("ref_parted", "2024-01-04"))
    ]),
]  # fmt: skip
CASES = cases_of(
    """
    | tag                | person      | kind     | answer | why |
    | reachable_channels | ok_all      | positive | {BRANCH, CALL, EMAIL, INAPP, PUSH, SMS, WECHAT, WECOM} | an address for each and a grant for all |
    |                    | ok_sms      | positive | {SMS}  | a grant for SMS only |
    |                    | ok_ends     | boundary | {}     | the grant no longer holds tomorrow |
    |                    | ok_holds    | boundary | {BRANCH, CALL, SMS} | the grant holds tomorrow, for the last day |
    |                    | ok_refused  | boundary | {BRANCH, CALL} | a refusal of a channel stands against a later grant of all |
    |                    | ok_regrant  | boundary | {CALL} | a channel granted after all were refused |
    |                    | ok_back     | boundary | {BRANCH, CALL, SMS} | something was received after the bounce |
    |                    | ok_bounced  | negative | {BRANCH, CALL} | SMS bounced hard |
    |                    | ok_badphone | negative | {BRANCH} | a device is no phone |
    |                    | ok_gone     | negative | {BRANCH} | the phone is gone since today |
    |                    | ok_none     | negative | {}     | a phone and no decision |
    |                    | silent_one  | default  | {}     | nothing |
    | is_do_not_disturb  | ref_all     | positive | true   | refused all marketing |
    |                    | ref_prof    | positive | true   | refused profiling |
    |                    | comp        | boundary | true   | a complaint from today |
    |                    | comp_ended  | boundary | false  | a complaint that ended today |
    |                    | comp_receipt | positive | true  | complained about a message |
    |                    | ref_receipt | positive | true   | answered a message of service with a refusal |
    |                    | ref_part    | boundary | true   | split off on the day of the answer, after the contact of the day before |
    |                    | ref_parted  | boundary | false  | split off before the contact |
    |                    | ref_then    | boundary | false  | a channel was granted after the refusal of all |
    |                    | ref_before  | boundary | true   | a channel was granted before the refusal of all |
    |                    | ref_same    | boundary | true   | of the same instant the refusal counts |
    |                    | ref_one     | negative | false  | one channel refused is no global refusal |
    |                    | ref_serv    | negative | false  | service refused is no refusal of marketing |
    |                    | silent_one  | default  | false  | nothing |
    | touch_count_7d     | tc7         | positive | 3      | two runs by SMS, one of them also by push; two receipts of one contact are one |
    |                    | tc8         | boundary | 0      | sent a day before the window, delivered in it |
    |                    | tc_capped   | negative | 0      | capped, deferred, dropped, expired, only assigned |
    |                    | tc_service  | negative | 0      | of service |
    |                    | tc_run      | negative | 0      | the run was of service, whatever the receipt says |
    |                    | silent_one  | default  | 0      | nothing |
    | touch_count_30d    | fat6        | positive | 6      | six runs |
    |                    | tc30        | boundary | 2      | the first and the last day of 30 |
    |                    | tc31        | boundary | 0      | a day earlier |
    |                    | tc_service  | negative | 0      | of service |
    |                    | silent_one  | default  | 0      | nothing |
    | touch_channel_count_30d | tc30   | positive | 2      | SMS and call |
    |                    | nr_two      | boundary | 2      | SMS on the second day and push; the SMS a day before the window is not needed |
    |                    | tc31        | boundary | 0      | a day before the window |
    |                    | tc_service  | negative | 0      | of service |
    |                    | silent_one  | default  | 0      | nothing |
    | days_since_response | resp       | positive | 11     | the click of 20 March, later than the opening |
    |                    | resp_won    | boundary | 0      | a deal won from a worklist is a conversion |
    |                    | resp_lost   | negative | null not_applicable | a deal lost is no response |
    |                    | tc_service  | negative | null not_applicable | opened, and of service |
    |                    | tc7         | null     | null not_applicable | touched and silent |
    | fatigue            | fat6        | positive | HIGH   | 6 touches from the first day of 30 on |
    |                    | fat5        | boundary | MID    | 5 touches |
    |                    | fat3        | boundary | MID    | 3 touches |
    |                    | fat2        | boundary | LOW    | 2 touches |
    |                    | fat_resp    | boundary | LOW    | a response 29 days ago |
    |                    | fat_resp30  | boundary | HIGH   | a response 30 days ago is outside |
    |                    | fat_old     | negative | LOW    | 6 touches a day before the window |
    |                    | silent_one  | default  | LOW    | nothing |
    | no_response_state  | nr          | positive | NO_RESPONSE | 3 contacts over 2 channels |
    |                    | nr_one      | boundary | NONE   | 3 contacts over 1 channel |
    |                    | nr_two      | boundary | NONE   | 2 contacts, a third is a day too early |
    |                    | nr_resp     | negative | NONE   | opened once |
    |                    | silent_one  | default  | NONE   | nothing |
    | assigned_global_control | gc     | positive | true   | assigned the day before |
    |                    | gc_not      | positive | false  | assigned to the others |
    |                    | gc_today    | boundary | null not_applicable | an assignment of today is not known yet |
    |                    | gc_other    | negative | null not_applicable | of the half-year before |
    |                    | silent_one  | null     | null not_applicable | never assigned |
    |                    | gc_moved    | boundary | true   | assigned under a number that was merged |
    |                    | gc_part     | boundary | true   | split off today from a number that was assigned |
    |                    | gc_parted   | boundary | null not_applicable | split off on the day the whole was assigned |
    | is_global_control  | gc          | positive | true   | assigned, though the bucket is 9000 |
    |                    | gc_moved    | positive | true   | assigned under a number that was merged |
    |                    | gc_part     | positive | true   | split off from a number that was assigned |
    |                    | gc_499      | boundary | true   | bucket 499 of the first 500 |
    |                    | gc_500      | boundary | false  | bucket 500 |
    |                    | gc_not      | negative | false  | assigned to the others |
"""
)
