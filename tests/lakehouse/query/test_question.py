"""Which functions a reader may call: judged over DuckDB's whole catalogue, so that a release that adds one is seen."""

from __future__ import annotations

import duckdb

from lakehouse.errors import UsageError
from lakehouse.query.question import parse_question
from lakehouse.query.words import identifier

OF_THE_MOMENT = """age current_date current_localtime current_localtimestamp get_current_time get_current_timestamp now today
transaction_timestamp gen_random_uuid random uuid uuidv4 uuidv7"""
OF_THE_TIME_ZONE = """+ - century date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
dayofmonth dayofweek dayofyear decade era generate_series hour isodow isoyear julian last_day make_timestamptz microsecond
millennium millisecond minute month monthname quarter range second strftime time_bucket timezone timezone_hour
timezone_minute week weekday weekofyear year yearweek"""


def may_call(name):
    try:
        parse_question(f"SELECT {identifier(name)}(1)")
    except UsageError:
        return False
    return True


def test_of_functions_that_know_more_than_their_arguments_only_time_and_chance_are_for_readers():
    catalogue = duckdb.connect().sql(
        "SELECT lower(function_name), bool_and(stability = 'CONSISTENT') FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'window') GROUP BY ALL"
    )
    settled = dict(catalogue.fetchall())
    unsettled = {name for name, is_settled in settled.items() if not is_settled}
    assert {"getvariable", "current_setting", "nextval", "sleep_ms"} <= unsettled
    assert {name for name in unsettled if may_call(name)} == set(
        (OF_THE_MOMENT + " " + OF_THE_TIME_ZONE).split()
    )


def test_what_names_no_column_and_reads_all_is_told():
    reads_all = {
        "SUMMARIZE trusted.customers": True,
        "SELECT * FROM trusted.customers": True,
        "SELECT #1 FROM trusted.customers": True,
        "SELECT c FROM trusted.customers c": True,
        "SELECT kind FROM trusted.customers": False,
        "SUMMARIZE SELECT kind FROM trusted.customers": True,
    }
    assert {text: parse_question(text).has_star for text in reads_all} == reads_all
