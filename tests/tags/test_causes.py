"""The cause of a failed dbt node: one sentence from pages of Spark's words, without a value."""

from __future__ import annotations

import pytest

from tags.build.causes import LONGEST, cause_of

CASES = {
    "what invalidated DuckDB's database": (
        """FATAL Error: Failed: database has been invalidated because of a previous fatal error. The database must be restarted prior to being used again.
Original error: "dict-surviving join: column 13800138000 of 'Anna' is not single-source"
""",
        "an error inside DuckDB: dict-surviving join: column … of … is not single-source",
    ),
    "a name": (
        """Runtime Error in model int_site (models/int_site.sql)
  Runtime Error
    [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `naam` cannot be resolved. Did you mean one of the following? [`name`]. SQLSTATE: 42703; line 18 pos 13;
    'CreateTable `spark_catalog`.`tags_work`.`int_site`, ErrorIfExists
    +- 'Project ['naam]
          +- Project [13800138000 AS name#12]
""",
        "UNRESOLVED_COLUMN.WITH_SUGGESTION: A column, variable, or function parameter with name `naam` cannot be resolved. Did you mean one of the following? [`name`]",
    ),
    "a table": (
        """Runtime Error in model m (models/m.sql)
  Runtime Error
    [TABLE_OR_VIEW_NOT_FOUND] The table or view `nowhere`.`at_all` cannot be found. Verify the spelling and correctness of the schema and catalog.
    Search path: [`system`.`builtin`].
    To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01; line 18 pos 20;
""",
        "TABLE_OR_VIEW_NOT_FOUND: The table or view `nowhere`.`at_all` cannot be found. Verify the spelling and correctness of the schema and catalog",
    ),
    "syntax": (
        """Runtime Error in model m (models/m.sql)
  Runtime Error

    [PARSE_SYNTAX_ERROR] Syntax error at or near '1': extra input '1'. SQLSTATE: 42601 (line 18, pos 20)

    == SQL ==
    select select 1 from [SECRET_LOOKING] 张三
""",
        "PARSE_SYNTAX_ERROR: Syntax error at or near '1': extra input '1'",
    ),
    "a value that cannot be read": (
        "[CAST_INVALID_INPUT] The value '13800138000a' of the type \"STRING\" cannot be cast to \"INT\" because it is malformed. SQLSTATE: 22018",
        "CAST_INVALID_INPUT: The value … of the type … cannot be cast to … because it is malformed",
    ),
    "a value without quotes": (
        "[ARITHMETIC_OVERFLOW] 13800138000 + Zhang张三 caused overflow. SQLSTATE: 22003",
        "ARITHMETIC_OVERFLOW: … + Zhang… caused overflow",
    ),
    "what a model says itself": (
        "[USER_RAISED_EXCEPTION] Anna Miller of Example Road is bad SQLSTATE: P0001",
        "USER_RAISED_EXCEPTION: a check of the model itself; its words are in the log",
    ),
    "the innermost of several": (
        """An error occurred while calling o99.sql.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times
Caused by: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/lake/x. SQLSTATE: 58030
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.taskFailedWhileWritingRowsError(QueryExecutionErrors.scala:776)
Caused by: org.apache.spark.SparkArithmeticException: [DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. SQLSTATE: 22012
""",
        "DIVIDE_BY_ZERO: Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead",
    ),
    "Java's own": (
        """An error occurred while calling o99.sql.
: org.apache.spark.SparkException: Job aborted.
Caused by: java.io.IOException: No space left on device
\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)
""",
        "IOException: No space left on device",
    ),
    "Java's own with a value": (
        ': java.lang.NumberFormatException: For input string: "13800138000"',
        "NumberFormatException: For input string: …",
    ),
    "memory": (": java.lang.OutOfMemoryError: Java heap space", "OutOfMemoryError: Java heap space"),
    "dbt's own about a model": (
        """Compilation Error in model int_site (models/int_site.sql)
  Model 'model.cdp.int_site' (models/int_site.sql) depends on a node named 'int_people2' which was not found
""",
        "Model 'model.cdp.int_site' (models/int_site.sql) depends on a node named 'int_people2' which was not found",
    ),
    "a test of a key": ("Got 2 results, configured to fail if != 0", "Got 2 results, configured to fail if != 0"),
    "nothing": (None, "no reason given"),
    "a headline and nothing else": ("Runtime Error in model m", "Runtime Error in model m"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_cause_is_one_sentence_without_a_value(case):
    message, sentence = CASES[case]
    assert cause_of(message) == sentence
    assert not any(value in cause_of(message) for value in ("13800138000", "张三", "Anna"))


def test_a_cause_is_short():
    assert len(cause_of("[X_Y] " + "word " * 1000 + "SQLSTATE: 42703")) <= LONGEST
