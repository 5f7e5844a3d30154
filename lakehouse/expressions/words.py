"""The words of the language: functions, keywords, types and signs. What does not stand here is refused.

Every function is a plain one of Spark SQL over the values of one row: it gives the same answer whenever and wherever it
runs, reaches no file, table, class, session or network, and its answer is not much longer than what it is given.
"""

from __future__ import annotations


def word_set(*lines: str) -> frozenset[str]:
    """Give the words of some lines."""
    return frozenset(" ".join(lines).split())


FUNCTIONS_BY_SUBJECT = {
    "text": word_set(
        "ascii bit_length btrim char_length character_length concat concat_ws contains endswith find_in_set initcap instr left",
        "length locate lower ltrim md5 octet_length overlay position regexp regexp_count regexp_extract regexp_instr regexp_like",
        "regexp_replace replace reverse right rlike rtrim sha1 sha2 soundex split split_part startswith substr substring",
        "substring_index translate trim upper lpad rpad",
    ),
    "nothing and choice": word_set(
        "coalesce greatest if ifnull isnotnull isnull least nullif nvl nvl2",
    ),
    "numbers": word_set(
        "abs bround ceil ceiling floor mod pmod round sign signum try_add try_divide try_multiply try_subtract",
    ),
    "days and instants": word_set(
        "add_months date_add date_diff date_format date_sub date_trunc dateadd datediff day dayofmonth dayofweek dayofyear",
        "from_unixtime from_utc_timestamp hour last_day make_date minute month months_between next_day quarter second",
        "timestamp_micros timestamp_millis timestamp_seconds to_date to_timestamp to_utc_timestamp trunc try_to_date",
        "try_to_timestamp unix_micros unix_millis unix_seconds weekday weekofyear year",
    ),
    "lists and JSON": word_set(
        "array array_compact array_contains array_distinct array_except array_intersect array_join array_max array_min",
        "array_position array_remove array_sort array_union arrays_overlap cardinality element_at exists filter flatten forall",
        "get get_json_object json_array_length size slice sort_array transform try_element_at",
    ),
    "types": word_set(
        "cast date try_cast",
    ),
    "of this product": word_set(
        "bucket",
    ),
}
FUNCTIONS = frozenset().union(*FUNCTIONS_BY_SUBJECT.values())

KEYWORDS = word_set(
    "and as between both case distinct else end escape false from ilike in is leading like not null or",
    "regexp rlike then trailing true when",
)

# Keywords that cannot be the last word of what they stand in, with the words that may follow (any operand where none is named).
WANTING: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        word_set(
            "and as between both case else escape from ilike leading like not or regexp rlike then trailing when"
        ),
        frozenset(),
    ),
    "in": frozenset({"("}),
    "is": word_set("not null true false distinct"),
    "distinct": word_set("from"),
}

TYPES = word_set(
    "array bigint boolean date decimal int integer long numeric smallint string timestamp",
)

_CLOCK = "its answer changes from run to run, and the business date is the only clock"
_CHANCE = "its answer changes from run to run"
_ROWS = "it needs more than one row"
# What is said of words that people expect.
INSTEAD = {
    **dict.fromkeys(
        word_set("now current_date current_time current_timestamp localtimestamp curdate unix_timestamp"),
        _CLOCK,
    ),
    **dict.fromkeys(
        word_set(
            "rand randn random randstr uniform uuid shuffle monotonically_increasing_id input_file_name spark_partition_id"
        ),
        _CHANCE,
    ),
    **dict.fromkeys(
        word_set(
            "any_value approx_count_distinct array_agg avg bool_and bool_or collect_list collect_set count count_if",
            "dense_rank first first_value lag last last_value lead listagg max max_by mean median min min_by mode",
            "ntile percentile rank row_number std stddev string_agg sum variance",
        ),
        _ROWS,
    ),
    **dict.fromkeys(("double", "float", "real"), "money and shares are decimals"),
}

# Spark computes these where no column has their name, without parentheses; a column of such a name stands in backticks.
RESERVED = word_set(
    "current_catalog current_database current_date current_path current_schema current_time",
    "current_timestamp current_user grouping__id isnull localtimestamp notnull session_user",
)

# Words that DuckDB, Spark or their parsers read as their own where a column is meant; a test asks them.
SQL_WORDS = (
    KEYWORDS
    | RESERVED
    | word_set(
        "all alter analyse analyze anti any array asc asof asymmetric at authorization begin binary by cache call check collate",
        "collation column comment commit concurrently constraint copy create cross declare default deferrable delete desc",
        "describe do drop except execute explain fetch for foreign freeze full glob grant group having initially inner insert",
        "intersect into join kill lambda lateral limit load merge minus natural offset on only optimize order outer overlaps",
        "partitioned_by pivot pivot_longer pivot_wider placing positional pragma prepare primary qualify references refresh",
        "rename returning revoke rollback select semi serdeproperties set show similar some summarize symmetric table",
        "tablesample to truncate uncache union unique unpack unpivot update use user using vacuum values variadic verbose where",
        "window with xor",
    )
)

# What is followed by a regular expression.
PATTERN_WORDS = word_set("regexp regexp_count regexp_extract regexp_like regexp_replace rlike split")

# Signs that stand between names and values; the longest come first.
SIGNS = ("<=>", "<>", "!=", "==", "<=", ">=", "||", "->", "(", ")", "[", "]", ",", "=", "<", ">", "+", "-", "*", "/", "%")  # fmt: skip

LONGEST_TEXT = 8_000
MOST_TOKENS = 1_500
DEEPEST = 40
# Functions that can make a text of any length, and the longest that a workspace may ask for.
LENGTHENING = ("lpad", "rpad")
LONGEST_PAD = 1_000
