"""How often each trouble and each way of living occurs in the simulated bank.

Every number is a share of the population named in its comment. They are set to what practitioners report of retail banks, not to
what makes identity resolution look good.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Shares (0…1) unless the name says a count; one object rules a whole simulation."""

    # who uses what
    adult_customers: float = 0.90  # of people of 18 and older
    minor_customers: float = 0.35  # of people under 18
    app_of_customers: float = 0.62  # of customers from 14 to 80
    app_of_prospects: float = 0.45
    followers: float = 0.45  # of people of 14 and older: official account
    mini_users: float = 0.34  # of people of 14 and older: mini-program
    web_visitors: float = 0.16  # of people of 14 and older who use another channel
    web_strangers: float = 0.5  # of people of 14 and older whom no other channel knows
    second_cookie: float = 0.25  # of web visitors
    late_profiles: float = 0.05  # of channel profiles: appear on a night between the 2nd and the 51st
    arrivals_per_night: float = 0.001  # of the population: people nobody knew before

    # how much a channel knows of its user
    app_bound: float = 0.80  # of customers' app profiles carry the core customer number
    app_without_phone: float = 0.02
    follower_bound: float = 0.92  # of followers who are customers
    follower_phone_only: float = 0.35  # of bound followers
    mini_phone: float = 0.90  # of mini-program users let WeChat hand over the phone
    mini_bound: float = 0.45  # of mini-program users who are customers
    unionid_missing: float = 0.03  # of WeChat profiles older than the open-platform binding
    web_signed_in: float = 0.88  # of the cookies of people with the app (the web bank asks for it)
    web_form_phone: float = 0.8  # of the other cookies of people some channel knows
    stranger_form_phone: float = 0.1
    email_known: float = 0.30  # of core records

    # the mess
    family_phone: float = 0.05  # of customers: a relative's phone stands on their records
    recycled_phone: float = (
        0.01  # of customers: their old number, still on the core record, belongs to a stranger now
    )
    stale_core_phone: float = (
        0.03  # of customers: changed number, the bank was not told, nobody has the old one yet
    )
    placeholder_phone: float = 0.01  # of core records
    placeholder_device: float = 0.015  # of app profiles
    placeholder_login: float = 0.04  # of cookies nobody signed in on
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
    second_app_profile: float = 0.012  # of app users: an older registration under an older phone
    phone_written_plus86: float = 0.04
    phone_written_spaces: float = 0.03
    phone_written_dashes: float = 0.02
    phone_written_full_width: float = 0.003
    name_full_width_space: float = 0.02  # of names in the app
    name_spaced: float = 0.03
    name_pinyin: float = 0.04

    # rows and files
    bad_rows: float = 0.0003  # of a night's rows in feeds that suffer from it; at least one
    duplicate_rows: float = 0.0003
    late_rows: float = 0.005  # of a night's transactions and web events

    # standing of customers
    staff: float = 0.006
    merchants: float = 0.03
    deceased: float = 0.004
    new_customers: float = 0.06  # of customers: opened within the last 100 days
    aml_high: float = 0.004  # grade H; twice as many MH
    controlled: float = 0.004
    complaints: float = 0.003
    consent_none: float = 0.12  # of customers never asked
    consent_refused: float = 0.07
    profiling_refused: float = 0.03
    overdue: float = 0.07  # of loans and credit cards
    overdrawn: float = 0.001  # of savings accounts

    # what changes from night to night
    binds_per_night: float = 0.004  # of unbound profiles of customers
    phone_changes_per_night: float = 0.0015  # of people: more than in life, so that small demos see some
    opt_outs_per_night: float = 0.001  # of consents
    account_changes_per_night: float = 0.0005  # of accounts: frozen, closed or awake again
