"""How often each trouble and each way of living occurs in the simulated bank.

Every number is a share of the population in its comment. The numbers follow reports of practitioners about retail banks; they do not
make identity resolution look good. `cdp simulate --mess` picks one of three sets, `--rates FILE` changes single numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml


@dataclass(frozen=True)
class Rates:
    """Shares (0…1) for a whole simulation."""

    # who uses what
    adult_customers: float = 0.90  # of people of 18 and older
    minor_customers: float = 0.35  # of people under 18
    app_of_customers: float = 0.62  # of customers from 14 to 80
    app_of_prospects: float = 0.45
    followers: float = 0.45  # of people of 14 and older: official account
    mini_users: float = 0.34  # of people of 14 and older: mini-program
    web_visitors: float = 0.16  # of people of 14 and older who use another channel
    web_strangers: float = 0.5  # of people of 14 and older without another channel
    second_cookie: float = 0.25  # of web visitors
    crm_customers: float = 0.12  # of adult customers: have a CRM record; the wealthy three times as often
    crm_prospects: float = 0.10  # of adults who are no customers: visit a branch
    callers: float = 0.08  # of people of 16 and older with a channel: a record in the call centre
    wecom_friends: float = 0.15  # of adult customers: have an employee as a WeCom contact
    partner_members: float = 0.05  # of adults: on a scene partner's list
    mall_members: float = 0.22  # of customers with the app: members of the points mall
    late_profiles: float = 0.05  # of channel profiles: appear on a night between the 2nd and the 51st
    arrivals_per_night: float = 0.001  # of the population: new people

    # how much a channel knows of its user
    app_bound: float = 0.86  # of customers' app profiles carry the core customer number
    app_without_phone: float = 0.004
    same_handset: float = 0.85  # of second app profiles: on the same handset
    follower_bound: float = 0.92  # of followers who are customers
    follower_phone_only: float = 0.35  # of bound followers
    mini_phone: float = 0.90  # of mini-program users: share their phone
    mini_bound: float = 0.45  # of mini-program users who are customers
    unionid_missing: float = 0.03  # of WeChat profiles older than the open-platform binding
    dependants: float = 0.25  # of the usage of others: people with a relative's phone have few accounts
    guardians_bound: float = 0.95  # of customers who share a phone with a relative: bound in each channel
    web_signed_in: float = 0.88  # of the cookies of people with the app (the web bank asks for it)
    web_form_phone: float = 0.8  # of the other cookies of people with a channel
    stranger_form_phone: float = 0.1
    email_known: float = 0.30  # of core records
    crm_customer_number: float = 0.85  # of CRM records of customers
    call_authenticated: float = 0.75  # of callers who are customers: identify themselves on the telephone
    wecom_phone: float = 0.6  # of WeCom friends: the employee has a note of the phone
    wecom_unionid: float = 0.9  # of WeCom friends
    partner_hashed: float = 0.30  # of partner members who are no customers (others a fifth): only a hash

    # the mess: identifiers
    family_phone: float = 0.025  # of customers: a relative's phone stands on their records
    recycled_phone: float = 0.008  # of customers: the old number on the core record belongs to a stranger now
    stale_core_phone: float = 0.02  # of customers: the bank has only the old number, still nobody else's
    hidden_family_phone: float = 0.0  # of customers: a relative's phone, and the relative is no customer
    hidden_phone_taker: float = 0.0  # of customers: their old number belongs to a stranger who is no customer
    agent_phone: float = 0.003  # of people: their policy has the phone of the insurance agent
    kiosk_users: float = 0.004  # of app users: have the device of a branch kiosk
    placeholder_phone: float = 0.01  # of core records
    placeholder_device: float = 0.015  # of app profiles
    placeholder_login: float = 0.04  # of cookies without a sign-in
    placeholder_id: float = 0.003  # of core records
    missing_phone: float = 0.015  # of core records
    landline: float = 0.008  # of core records
    missing_id: float = 0.004  # of core records
    wrong_check_digit: float = 0.004  # of core records
    foreign_document: float = 0.006  # of core records
    second_core_record: float = 0.03  # of customers born before 1983: an old record with the 15-digit number
    old_form_only: float = 0.01  # of customers born before 1983: one record, 15-digit number
    id_full_width: float = 0.003  # of core records
    id_lower_x: float = 0.5  # of numbers that end in X
    shared_tablet: float = 0.04  # of couples where both use the app
    second_app_profile: float = 0.008  # of app users: an older registration under an older phone
    phone_written_plus86: float = 0.04
    phone_written_spaces: float = 0.03
    phone_written_dashes: float = 0.02
    phone_written_full_width: float = 0.003
    name_full_width_space: float = 0.02  # of names in the app
    name_spaced: float = 0.03
    name_pinyin: float = 0.04

    # the mess: rows and files
    bad_rows: float = 0.0003  # of a night's rows in feeds that suffer from it; at least one
    duplicate_rows: float = 0.0003
    late_rows: float = 0.005  # of a night's transactions and web events
    cut_last_lines: float = 0.34  # of nights: the call centre's file ends within a record
    extra_columns: float = 0.34  # of nights: the WeCom export has an unexpected field
    out_of_order: float = 0.02  # of a night's app events: later in the file than newer events
    retracted: float = 0.0005  # of app profiles, each night: the snapshot no longer has them

    # standing of customers
    staff: float = 0.006
    merchants: float = 0.03
    company_owners: float = 0.35  # of merchants and self-employed in the branch CRM: represent a company
    deceased: float = 0.004
    new_customers: float = 0.06  # of customers: customers since at most 100 days
    aml_high: float = 0.004  # grade H; twice as many MH
    controlled: float = 0.004
    complaints: float = 0.003
    consent_none: float = 0.12  # of customers: the bank has no decision of them
    consent_refused: float = 0.07
    profiling_refused: float = 0.03
    overdue: float = 0.07  # of loans and credit cards
    overdrawn: float = 0.001  # of savings accounts

    # what changes from night to night
    binds_per_night: float = 0.004  # of unbound profiles of customers
    phone_changes_per_night: float = 0.0015  # of people: more than in life, so that small demos see some
    moves_per_night: float = 0.0008  # of people: another city or district, and another branch
    marriages_per_night: float = 0.0004  # of single people of 22 to 50
    deaths_per_night: float = 0.00012  # of people of 65 and older, a twentieth of it of the others
    erasures_per_night: float = 0.0002  # of customers: ask to be forgotten
    opt_outs_per_night: float = 0.001  # of consents
    account_changes_per_night: float = 0.0005  # of accounts: frozen, closed or awake again

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise UsageError(f"the rate {name} must lie between 0 and 1, not {value}")
        for names in ONE_DRAW:
            total = sum(getattr(self, name) for name in names)
            if total > 1:
                raise UsageError(f"{', '.join(names)} together must not exceed 1, but are {total:g}")


# Shares of one draw: their sum must not exceed 1.
ONE_DRAW = (
    ("wrong_check_digit", "missing_id", "placeholder_id", "id_full_width", "foreign_document"),
    ("placeholder_phone", "missing_phone", "landline"),
    ("phone_written_plus86", "phone_written_spaces", "phone_written_dashes", "phone_written_full_width"),
    ("name_full_width_space", "name_spaced", "name_pinyin"),
    ("consent_none", "consent_refused"),
    ("second_core_record", "old_form_only"),
)

# The differences from the default. Light: a bank with clean records since last year. Heavy: a bank after mergers with two others, with
# relatives and takers of numbers that nobody can tell from the record's owner.
LIGHT = {
    "family_phone": 0.01, "recycled_phone": 0.002, "stale_core_phone": 0.008, "agent_phone": 0.001, "kiosk_users": 0.001,
    "placeholder_phone": 0.002, "placeholder_device": 0.004, "placeholder_id": 0.0005, "missing_phone": 0.004, "landline": 0.002,
    "missing_id": 0.001, "wrong_check_digit": 0.001, "second_core_record": 0.008, "old_form_only": 0.003, "id_full_width": 0.001,
    "shared_tablet": 0.015, "second_app_profile": 0.004, "phone_written_plus86": 0.01, "phone_written_spaces": 0.008,
    "phone_written_dashes": 0.005, "phone_written_full_width": 0.001, "name_full_width_space": 0.005, "name_spaced": 0.01,
    "name_pinyin": 0.01, "unionid_missing": 0.01, "placeholder_login": 0.01, "late_rows": 0.001, "cut_last_lines": 0.0,
    "extra_columns": 0.1, "out_of_order": 0.005, "retracted": 0.0001,
}  # fmt: skip
HEAVY = {
    "family_phone": 0.05, "recycled_phone": 0.02, "stale_core_phone": 0.045, "hidden_family_phone": 0.002,
    "hidden_phone_taker": 0.0015, "agent_phone": 0.01, "kiosk_users": 0.012, "placeholder_phone": 0.03,
    "placeholder_device": 0.05, "placeholder_login": 0.10, "placeholder_id": 0.008, "missing_phone": 0.03, "landline": 0.02,
    "missing_id": 0.01, "wrong_check_digit": 0.012, "second_core_record": 0.06, "old_form_only": 0.03, "id_full_width": 0.01,
    "shared_tablet": 0.08, "second_app_profile": 0.02, "phone_written_plus86": 0.10, "phone_written_spaces": 0.08,
    "phone_written_dashes": 0.05, "phone_written_full_width": 0.01, "name_full_width_space": 0.05, "name_spaced": 0.08,
    "name_pinyin": 0.09, "unionid_missing": 0.06, "bad_rows": 0.002, "duplicate_rows": 0.002, "late_rows": 0.02,
    "cut_last_lines": 1.0, "extra_columns": 1.0, "out_of_order": 0.10, "retracted": 0.002,
}  # fmt: skip
MESSES = {"light": LIGHT, "default": {}, "heavy": HEAVY}


def rates_of(mess: str = "default", file: Path | None = None) -> Rates:
    """Give the rates of a mess; rates in a YAML file (`name: share`) replace single ones.

    An unknown name, something that is no number, or a number out of range raises `SettingsInvalid` with its line.
    """
    if mess not in MESSES:
        raise UsageError(f"there is no mess '{mess}'{did_you_mean(mess, list(MESSES))}")
    rates = replace(Rates(), **MESSES[mess])
    if file is None:
        return rates
    tree = load_yaml(file)
    if tree is None:
        return rates
    rate_names = [field.name for field in fields(Rates)]
    if not isinstance(tree, dict):
        raise SettingsInvalid("rates are written `name: share`, one a line", file=file, line=line_of(tree))
    for name, value in tree.items():
        line = line_of(tree, name)
        if name not in rate_names:
            raise SettingsInvalid(
                f"unknown rate '{name}'{did_you_mean(name, rate_names)}", file=file, line=line
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsInvalid(f"{name} must be a number from 0 to 1, not '{value}'", file=file, line=line)
        if not 0 <= value <= 1:
            raise SettingsInvalid(f"{name} must lie between 0 and 1, not {value}", file=file, line=line)
    try:
        return replace(rates, **{str(name): float(value) for name, value in tree.items()})
    except UsageError as error:
        raise SettingsInvalid(str(error), file=file) from None
