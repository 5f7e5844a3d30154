"""The language and whole models of Spark SQL in DuckDB's words, with the meaning that Spark gives them.

What the engines name alike is taken over; what they compute in two ways is said by a rule here, by a function of
``duckdb_functions.sql``, or not at all: a function without an entry in ``MEANINGS`` is refused. The meaning is that of
Spark without ANSI, as dbt runs it: what cannot be cast is null, a division by zero is null, decimals divide HALF_UP.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from lakehouse.expressions.patterns import (
    LINE_BREAK,
    PatternInvalid,
    Untranslatable,
    group_count,
    java_format,
    re2_pattern,
    re2_replacement,
    refuse_empty_matches,
    require_group,
)
from lakehouse.expressions.tokens import text_value
from lakehouse.expressions.words import word_set
from lakehouse.query.words import literal

FUNCTIONS_FILE = Path(__file__).parent / "duckdb_functions.sql"


_LITERAL = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_TEMPLATE = re.compile(r"\{(?=[{%#])")
_MARK = re.compile(r"literal (\d+)")
# What both engines name and compute alike: names of sqlglot's classes.
PLAIN = word_set(
    "Abs And Or Xor Array ArrayFilter Case Coalesce Count Greatest If Lag Lead Least Lower Max Min Nullif RowNumber Sum",
    "Avg TimestampTrunc Transform Upper StartsWith EndsWith Contains Replace Left Right",
)
# Whose value is a list, whatever they are given.
LISTS = word_set(
    "Array ArrayCompact ArrayDistinct ArrayExcept ArrayFilter ArrayIntersect ArrayRemove ArraySlice ArraySort Flatten",
    "RegexpSplit Transform",
)


def duckdb_query(text: str) -> str:
    """Give a query of Spark SQL as one of DuckDB; ``Untranslatable`` names what has no meaning there."""
    tree = spark_tree(text)
    _refuse_unknown(tree)
    return str(_dialect()().generate(tree, pretty=True))


def duckdb_expression(text: str) -> str:
    """Give one expression of Spark SQL in DuckDB's words; see ``duckdb_query``."""
    return duckdb_query(f"select {text} as stands").removeprefix("SELECT").rpartition(" AS ")[0].strip()


def spark_tree(text: str) -> Any:
    """Give sqlglot's tree of a text of Spark SQL, its literals as Spark reads them; ``Untranslatable`` of another text."""
    import sqlglot

    values: list[str] = []
    try:
        tree = sqlglot.parse_one(_LITERAL.sub(lambda match: _mark(match, values), text), dialect="spark")
    except sqlglot.errors.SqlglotError as wrong:
        details = getattr(wrong, "errors", None) or [{}]
        raise Untranslatable(f"cannot be read as Spark SQL ({details[0].get('description')})") from None
    exp = sqlglot.exp
    for node in tree.find_all(exp.Literal):
        if node.is_string and (mark := _MARK.fullmatch(node.this)):
            node.set("this", values[int(mark[1])])
    return tree


def duckdb_node(node: Any) -> str:
    """Give a node of sqlglot, whose arguments may be texts of DuckDB already, in DuckDB's words; see ``duckdb_query``."""
    _refuse_unknown(node)
    return str(_dialect()().generate(node))


def refuse_wrong_patterns(text: str) -> None:
    """Raise ``PatternInvalid`` where a regular expression of a text fails in every engine, so that no night meets it."""
    from sqlglot import exp

    kinds = (exp.RegexpLike, exp.RegexpReplace, exp.RegexpExtract, exp.RegexpSplit, exp.RegexpCount)
    for node in spark_tree(text).find_all(*kinds):
        try:
            _pattern(node.expression, is_test=True)
            groups = group_count(node.expression.name)
        except PatternInvalid:
            raise
        except Untranslatable:
            continue
        group, replacement = node.args.get("group"), node.args.get("replacement")
        if isinstance(node, exp.RegexpExtract):
            require_group(group.name if group is not None else "1", groups)
        elif replacement is not None and replacement.is_string:
            for number in re.findall(r"(?<!\\)\$([0-9])", replacement.name):
                require_group(number, groups)


def _mark(match: re.Match[str], values: list[str]) -> str:
    """Give a literal with escapes as a plain one that stands for it: sqlglot reads fewer escapes than Spark."""
    text = match[0]
    if text[0] not in "'\"" or ("\\" not in text and "literal " not in text):
        return text
    values.append(text_value(text))
    return f"'literal {len(values) - 1}'"


def _refuse_unknown(tree: Any) -> None:
    from sqlglot import exp

    for node in tree.find_all(exp.Func):
        name = type(node).__name__
        if not isinstance(node, exp.Anonymous) and name not in PLAIN and type(node) not in _rules():
            raise Untranslatable(f"uses {node.sql_name().lower()}(), which the engine duckdb does not have")


def function_statements() -> list[str]:
    """Give the statements that make Spark's functions known to a DuckDB database."""
    text = FUNCTIONS_FILE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


def _call(name: str, *parts: str) -> Callable[[Any, Any], str]:
    """Give a rule that writes a call of ``name`` with the parts of a node in this order."""

    def rule(generator: Any, node: Any) -> str:
        return _call_sql(generator, name, *(node.args.get(part) for part in parts))

    return rule


def _call_sql(generator: Any, name: str, *arguments: Any) -> str:
    return f"{name}({', '.join(generator.sql(a) for a in arguments if a is not None)})"


def _divided(generator: Any, node: Any) -> str:
    return _call_sql(generator, "spark_div", node.this, node.expression)


def _product(generator: Any, node: Any) -> str:
    """Multiply in 38 digits; two whole numbers that stand there as DuckDB does."""
    sides = [node.this, node.expression]
    if all(re.fullmatch(r"-?\d{1,9}", generator.sql(side.unnest())) for side in sides):
        return f"{generator.sql(node.this)} * {generator.sql(node.expression)}"
    return _call_sql(generator, "spark_product", *sides)


def _cast(generator: Any, node: Any) -> str:
    from sqlglot import exp

    kind = node.args["to"]
    value = generator.sql(node.this)
    word = kind.this
    if isinstance(node.this, exp.Null):
        return f"CAST(NULL AS {generator.sql(kind)})"
    if word in (exp.DataType.Type.INT, exp.DataType.Type.BIGINT, exp.DataType.Type.SMALLINT):
        inner = node.this.unnest()
        if not isinstance(inner, (exp.Count, exp.DateDiff, exp.ArraySize)):
            is_strict = isinstance(node, exp.TryCast) and node.args.get("safe")
            value = f"{'spark_whole_number' if is_strict else 'spark_whole'}({value})"
        return f"TRY_CAST({value} AS {generator.sql(kind)})"
    if word in (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR):
        return f"spark_text({value})"
    if word == exp.DataType.Type.DATE:
        return f"spark_date({value})"
    if word == exp.DataType.Type.BOOLEAN:
        return f"spark_truth({value})"
    return f"TRY_CAST({value} AS {generator.sql(kind)})"


def _lambda(generator: Any, node: Any) -> str:
    names = ", ".join(generator.sql(name) for name in node.expressions)
    return f"LAMBDA {names} : {generator.sql(node.this)}"


def _exists(generator: Any, node: Any) -> str:
    from sqlglot import exp

    condition = node.args.get("expression")
    if condition is None and isinstance(node.this, (exp.Query, exp.Subquery)):
        return f"EXISTS{generator.wrap(node)}"
    names = ", ".join(generator.sql(name) for name in condition.expressions)
    values, test = generator.sql(node.this), generator.sql(condition.this)
    return (
        f"CASE WHEN {values} IS NULL THEN NULL WHEN len(list_filter({values}, LAMBDA {names} : {test})) > 0 THEN true"
        f" WHEN len(list_filter({values}, LAMBDA {names} : ({test}) IS NULL)) > 0 THEN NULL ELSE false END"
    )


def _winner(name: str) -> Callable[[Any, Any], str]:
    """Give the rule of ``max_by`` and ``min_by``: nulls of an order are its smallest, as Spark has it."""

    def rule(generator: Any, node: Any) -> str:
        return f"{name}({generator.sql(node.this)}, {_order(generator, node.expression)})"

    return rule


def _order(generator: Any, node: Any) -> str:
    from sqlglot import exp

    if isinstance(node, exp.Case):
        copy = node.copy()
        for branch in copy.args["ifs"]:
            if isinstance(branch.args["true"], exp.Struct):
                branch.set("true", exp.Var(this=_order(generator, branch.args["true"])))
        return str(generator.sql(copy))
    if not isinstance(node, exp.Struct):
        return str(generator.sql(node))
    parts = [part.expression if isinstance(part, exp.PropertyEQ) else part for part in node.expressions]
    sides = (generator.sql(part) for part in parts)
    return f"ROW({', '.join(f'({side}) IS NOT NULL, {side}' for side in sides)})"


def _set(generator: Any, node: Any) -> str:
    value = generator.sql(node.this)
    return f"coalesce(array_agg(DISTINCT {value}) FILTER (WHERE ({value}) IS NOT NULL), [])"


def _list(generator: Any, node: Any) -> str:
    value = generator.sql(node.this)
    return f"coalesce(array_agg({value}) FILTER (WHERE ({value}) IS NOT NULL), [])"


def _numbers(generator: Any, node: Any) -> str:
    if node.args.get("step") is not None:
        raise Untranslatable("counts in other steps than one, which the engine duckdb does not have")
    return _call_sql(generator, "generate_series", node.args["start"], node.args["end"])


def _fold(generator: Any, node: Any) -> str:
    """Fold a list of one type into a value of the same; that of Spark may have another."""
    if node.args.get("finish") is not None:
        raise Untranslatable("folds a list with a last step, which the engine duckdb does not have")
    return _call_sql(generator, "list_reduce", node.this, node.args["merge"], node.args["initial"])


def _size(generator: Any, node: Any) -> str:
    from sqlglot import exp

    if isinstance(node.this, exp.ArrayUniqueAgg):
        return f"count(DISTINCT {generator.sql(node.this.this)})"
    return _call_sql(generator, "spark_size", node.this)


def _concat(generator: Any, node: Any) -> str:
    """Join texts, or lists where one of the parts is seen to be a list."""
    if any(type(part.unnest()).__name__ in LISTS or _is_list_call(part) for part in node.expressions):
        return f"({' || '.join(generator.sql(part) for part in node.expressions)})"
    return f"({' || '.join(f'spark_text({generator.sql(part)})' for part in node.expressions)})"


def _is_list_call(node: Any) -> bool:
    from sqlglot import exp

    return isinstance(node, exp.Anonymous) and str(node.this).lower() == "array_union"


def _trunc_date(generator: Any, node: Any) -> str:
    unit = node.args["unit"]
    return f"spark_trunc({generator.sql(node.this)}, '{unit.name.lower()}')"


def _sha2(generator: Any, node: Any) -> str:
    length = node.args.get("length")
    if length is not None and length.name not in ("0", "256"):
        raise Untranslatable(
            "uses sha2() with another length than 256, which the engine duckdb does not have"
        )
    return _call_sql(generator, "sha256", node.this)


def _date_add(generator: Any, node: Any) -> str:
    if str(node.args.get("unit") or "DAY").upper() != "DAY":
        raise Untranslatable("adds another unit than days, which the engine duckdb does not have")
    return _call_sql(generator, "spark_date_add", node.this, node.expression)


def _replacement(generator: Any, node: Any) -> str:
    if (removal := _removal_at_end(generator, node)) is not None:
        return removal
    pattern, replacement = _pattern(node.expression, is_test=False), node.args.get("replacement")
    if replacement is None or not replacement.is_string:
        raise Untranslatable("has a computed replacement, which the engine duckdb does not have")
    if replacement.name:
        refuse_empty_matches(node.expression.name)
    text = re2_replacement(replacement.name, group_count(node.expression.name))
    return f"regexp_replace({generator.sql(node.this)}, {pattern}, {_quoted(text)}, 'g')"


def _removal_at_end(generator: Any, node: Any) -> str | None:
    """Give what takes away a match at the end; None of another replacement.

    Java's ``$`` also stands before a last line break: what is matched before it goes, and the break stays.
    """
    from sqlglot import exp

    pattern, replacement = node.expression, node.args.get("replacement")
    text = pattern.name if pattern.is_string else ""
    is_removal = replacement is not None and replacement.is_string and not replacement.name
    if not is_removal or not text.endswith("$") or re.search(r"[|()\\]|\[\^|\[[^]]*$", text):
        return None
    before = _pattern(exp.Literal.string(text[:-1]), is_test=False)
    return f"regexp_replace({generator.sql(node.this)}, {before[:-1]}({LINE_BREAK})\\z', '\\1', 'g')"


def _substring(generator: Any, node: Any) -> str:
    length = node.args.get("length")
    name = "spark_substring" if length is not None else "spark_substring_from"
    return _call_sql(generator, name, node.this, node.args.get("start"), length)


def _explode(generator: Any, node: Any) -> str:
    return _call_sql(generator, "unnest", node.this)


def _struct(generator: Any, node: Any) -> str:
    from sqlglot import exp

    parts = []
    for at, part in enumerate(node.expressions):
        if isinstance(part, exp.PropertyEQ):
            name, value = part.this.name, part.expression
        else:
            name, value = part.alias_or_name or f"col{at + 1}", part.unalias()
        parts.append(f"'{name}': {generator.sql(value)}")
    return f"{{{', '.join(parts)}}}"


def _anonymous(generator: Any, node: Any) -> str:
    name = str(node.this).lower()
    if name == "named_struct":
        pairs = node.expressions
        fields = (
            f"{generator.sql(name)}: {generator.sql(value)}"
            for name, value in zip(pairs[::2], pairs[1::2], strict=True)
        )
        return f"{{{', '.join(fields)}}}"
    if name == "forall":
        return _forall(generator, node)
    if name == "regexp" and len(node.expressions) == 2:
        text, pattern = node.expressions
        return f"regexp_matches({generator.sql(text)}, {_pattern(pattern, is_test=True)})"
    if name == "try_to_date" and len(node.expressions) == 2:
        return _date_by(generator, *node.expressions)
    if name not in ANONYMOUS:
        raise Untranslatable(f"uses {name}(), which the engine duckdb does not have")
    return _call_sql(generator, ANONYMOUS[name], *node.expressions)


def _concat_ws(generator: Any, node: Any) -> str:
    sign, *values = node.expressions
    return f"spark_array_join([{', '.join(f'spark_text({generator.sql(value)})' for value in values)}], {generator.sql(sign)})"


def _nvl2(generator: Any, node: Any) -> str:
    value, yes, no = (generator.sql(node.args[part]) for part in ("this", "true", "false"))
    return f"CASE WHEN ({value}) IS NOT NULL THEN {yes} ELSE {no} END"


def _replace(generator: Any, node: Any) -> str:
    other = node.args.get("replacement")
    return f"replace({generator.sql(node.this)}, {generator.sql(node.expression)}, {generator.sql(other) if other else repr('')})"


def _forall(generator: Any, node: Any) -> str:
    values, condition = node.expressions
    names = ", ".join(generator.sql(name) for name in condition.expressions)
    values_sql, test = generator.sql(values), generator.sql(condition.this)
    return (
        f"CASE WHEN {values_sql} IS NULL THEN NULL WHEN len(list_filter({values_sql}, LAMBDA {names} : NOT ({test}))) > 0 THEN false"
        f" WHEN len(list_filter({values_sql}, LAMBDA {names} : ({test}) IS NULL)) > 0 THEN NULL ELSE true END"
    )


def _position(generator: Any, node: Any) -> str:
    if node.args.get("position") is not None:
        raise Untranslatable("looks for a text from a place on, which the engine duckdb does not have")
    return _call_sql(generator, "strpos", node.this, node.args.get("substr"))


def _pad(generator: Any, node: Any) -> str:
    filling = node.args.get("fill_pattern")
    if filling is not None and not filling.name:
        raise Untranslatable("pads with nothing, which the engine duckdb does not have")
    side = "lpad" if node.args.get("is_left") else "rpad"
    return f"{side}({generator.sql(node.this)}, {generator.sql(node.expression)}, {generator.sql(filling) if filling else repr(' ')})"


def _trunc_instant(generator: Any, node: Any) -> str:
    unit = node.args["unit"].name.lower()
    if unit not in ("year", "quarter", "month", "week", "day", "hour", "minute", "second"):
        raise Untranslatable(f"truncates to '{unit}', which the engine duckdb does not have")
    return f"CAST(date_trunc('{unit}', {generator.sql(node.this)}) AS TIMESTAMPTZ)"


def _date_of_text(generator: Any, node: Any) -> str:
    form = node.args.get("format")
    if form is None:
        return _call_sql(generator, "spark_date", node.this)
    return _date_by(generator, node.this, form)


def _date_by(generator: Any, value: Any, form: Any) -> str:
    pattern, format_of_duckdb = _java_format(form)
    text = generator.sql(value)
    return (
        f"CASE WHEN regexp_full_match(spark_text({text}), '{pattern}')"
        f" THEN CAST(try_strptime(spark_text({text}), '{format_of_duckdb}') AS DATE) END"
    )


def _date_format(generator: Any, node: Any) -> str:
    _, form = _java_format(node.args["format"])
    return f"strftime({generator.sql(node.this)}, '{form}')"


def _pattern(node: Any, *, is_test: bool) -> str:
    """Give the literal of a regular expression that matches what it matches in Java."""
    if not getattr(node, "is_string", False):
        raise Untranslatable("has a computed pattern, which the engine duckdb does not have")
    return _quoted(re2_pattern(str(node.this), is_test=is_test))


def _java_format(node: Any) -> tuple[str, str]:
    """Give the regular expression and the ``strftime`` format of a literal."""
    if not node.is_string:
        raise Untranslatable("has a computed format, which the engine duckdb does not have")
    return java_format(str(node.name))


def _quoted(text: str) -> str:
    """Give a literal in which dbt sees no template."""
    return _TEMPLATE.sub("' || chr(123) || '", literal(text))


def _like(word: str) -> Callable[[Any, Any], str]:
    """Give the rule of ``like``: Spark's patterns have a backslash as their escape."""

    def rule(generator: Any, node: Any) -> str:
        pattern = node.expression
        if not getattr(pattern, "is_string", False):
            raise Untranslatable("has a computed pattern, which the engine duckdb does not have")
        if re.search(r"\\(?![%_\\])", re.sub(r"\\\\", "", pattern.name)):
            raise Untranslatable("has an escape in a pattern that Spark does not have")
        escape = " ESCAPE '\\'" if "\\" in pattern.name else ""
        return f"{generator.sql(node.this)} {word} {generator.sql(pattern)}{escape}"

    return rule


def _trimmed(generator: Any, node: Any) -> str:
    """Take away blanks, or the signs of a text; DuckDB's own trim takes other scripts' blanks, too."""
    word = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    signs = node.expression
    return f"{word}({generator.sql(node.this)}, {generator.sql(signs) if signs is not None else repr(' ')})"


def _clock(generator: Any, node: Any, *, of_utc: bool) -> str:
    """Shift an instant between the clocks of UTC and of a zone, as Spark's two functions do."""
    value, zone = node.this, node.args.get("zone")
    if not getattr(zone, "is_string", False):
        raise Untranslatable("names a computed time zone, which the engine duckdb does not have")
    value = value.this if type(value).__name__ in ("Cast", "TryCast") else value
    sides = [generator.sql(zone), "'UTC'"]
    inner, outer = sides if of_utc else reversed(sides)
    return f"timezone({outer}, timezone({inner}, TRY_CAST({generator.sql(value)} AS TIMESTAMPTZ)))"


def _overlay(generator: Any, node: Any) -> str:
    from sqlglot import exp

    place, length = node.args["from_"], node.args.get("for_")
    if (
        not isinstance(place, exp.Literal)
        or not re.fullmatch(r"[1-9]\d{0,5}", place.name)
        or (length is not None and not length.name.isdigit())
    ):
        raise Untranslatable("puts a text over a computed place, which the engine duckdb does not have")
    text, other = generator.sql(node.this), generator.sql(node.expression)
    after = length.name if length is not None else f"length({other})"
    return f"(left({text}, {int(place.name) - 1}) || {other} || substring({text}, {place.name} + {after}))"


def _count_of_matches(generator: Any, node: Any) -> str:
    pattern = _pattern(node.expression, is_test=False)
    refuse_empty_matches(node.expression.name)
    return f"len(regexp_extract_all({generator.sql(node.this)}, {pattern}))"


def _matches(generator: Any, node: Any) -> str:
    return f"regexp_matches({generator.sql(node.this)}, {_pattern(node.expression, is_test=True)})"


def _extracted(generator: Any, node: Any) -> str:
    group = node.args.get("group")
    number = "1" if group is None else group.name
    if not number.isdigit():
        raise Untranslatable("takes a computed group, which the engine duckdb does not have")
    require_group(number, group_count(node.expression.name))
    return f"regexp_extract({generator.sql(node.this)}, {_pattern(node.expression, is_test=False)}, {number})"


def _split(generator: Any, node: Any) -> str:
    if node.args.get("limit") is not None:
        raise Untranslatable("splits into a number of parts, which the engine duckdb does not have")
    if not node.expression.name:
        raise Untranslatable("splits at nothing, which the engine duckdb does not have")
    return f"string_split_regex({generator.sql(node.this)}, {_pattern(node.expression, is_test=False)})"


def _sorting(generator: Any, node: Any) -> str:
    if node.args.get("expression") is not None:
        raise Untranslatable("sorts by a rule of its own, which the engine duckdb does not have")

    def is_on(part: str, *, otherwise: bool) -> bool:
        value = node.args.get(part)
        return otherwise if value is None else bool(value.this)

    if not is_on("asc", otherwise=True):
        order = "'DESC', 'NULLS LAST'"
    else:
        order = f"'ASC', 'NULLS {'FIRST' if is_on('nulls_first', otherwise=False) else 'LAST'}'"
    return f"list_sort({generator.sql(node.this)}, {order})"


def _attempt(sign: str) -> Callable[[Any, Any], str]:
    def rule(generator: Any, node: Any) -> str:
        return f"TRY({generator.sql(node.this)} {sign} {generator.sql(node.expression)})"

    return rule


def _json_value(generator: Any, node: Any) -> str:
    path = generator.sql(node.expression)
    return f"TRY(json_extract_string({generator.sql(node.this)}, {path}))"


ANONYMOUS = {
    "array_union": "spark_array_union",
    "arrays_overlap": "spark_arrays_overlap",
    "btrim": "spark_btrim",
    "bucket": "spark_bucket",
    "cardinality": "spark_size",
    "conv": "spark_conv",
    "find_in_set": "spark_find_in_set",
    "get": "spark_get",
    "isnotnull": "spark_is_not_null",
    "isnull": "spark_is_null",
    "json_array_length": "spark_json_array_length",
    "make_date": "spark_make_date",
    "octet_length": "strlen",
    "pmod": "spark_pmod",
    "timestamp_micros": "spark_timestamp_micros",
    "timestamp_millis": "spark_timestamp_millis",
    "timestamp_seconds": "spark_timestamp_seconds",
    "weekday": "spark_weekday",
}

# By the class of the node: the function of DuckDB, and the parts of the node that are its arguments.
CALLS = {
    "AddMonths": ("spark_add_months", "this", "expression"),
    "ArrayCompact": ("spark_array_compact", "this"),
    "ArrayContains": ("spark_array_contains", "this", "expression"),
    "ArrayDistinct": ("spark_array_distinct", "this"),
    "ArrayMax": ("list_max", "this"),
    "ArrayMin": ("list_min", "this"),
    "ArrayPosition": ("spark_array_position", "this", "expression"),
    "ArrayRemove": ("spark_array_remove", "this", "expression"),
    "ArraySlice": ("spark_slice", "this", "start", "end"),
    "ArrayToString": ("spark_array_join", "this", "expression"),
    "Ascii": ("spark_ascii", "this"),
    "BitLength": ("bit_length", "this"),
    "Ceil": ("spark_ceil", "this"),
    "DateDiff": ("spark_datediff", "this", "expression"),
    "Day": ("day", "this"),
    "DayOfMonth": ("day", "this"),
    "DayOfWeek": ("spark_dayofweek", "this"),
    "DayOfYear": ("dayofyear", "this"),
    "Flatten": ("spark_flatten", "this"),
    "Floor": ("spark_floor", "this"),
    "Hour": ("hour", "this"),
    "LastDay": ("last_day", "this"),
    "Left": ("spark_left", "this", "expression"),
    "Length": ("length", "this"),
    "LogicalAnd": ("bool_and", "this"),
    "LogicalOr": ("bool_or", "this"),
    "MD5": ("md5", "this"),
    "Minute": ("minute", "this"),
    "Month": ("month", "this"),
    "Mod": ("spark_mod", "this", "expression"),
    "MonthsBetween": ("spark_months_between", "this", "expression"),
    "NextDay": ("spark_next_day", "this", "expression"),
    "Quarter": ("quarter", "this"),
    "Reverse": ("reverse", "this"),
    "Right": ("spark_right", "this", "expression"),
    "Round": ("round", "this", "decimals"),
    "SHA": ("sha1", "this"),
    "Second": ("second", "this"),
    "Sign": ("sign", "this"),
    "SplitPart": ("spark_split_part", "this", "delimiter", "part_index"),
    "SubstringIndex": ("spark_substring_index", "this", "delimiter", "count"),
    "Translate": ("translate", "this", "from_", "to"),
    "UnixMicros": ("epoch_us", "this"),
    "UnixMillis": ("spark_unix_millis", "this"),
    "UnixSeconds": ("spark_unix_seconds", "this"),
    "WeekOfYear": ("weekofyear", "this"),
    "Year": ("year", "this"),
}


def _text_literal(generator: Any, node: Any) -> str:
    """Give a literal in which dbt sees no template, whatever it holds."""
    if not node.is_string:
        return str(node.this)
    return _quoted(node.this)


@cache
def _dialect() -> Any:
    from sqlglot.dialects.duckdb import DuckDB

    generator = type(
        "Generator", (DuckDB.Generator,), {"TRANSFORMS": {**DuckDB.Generator.TRANSFORMS, **_rules()}}
    )
    return type("SparkInDuckDB", (DuckDB,), {"Generator": generator})


@cache
def _rules() -> dict[Any, Callable[[Any, Any], str]]:
    from sqlglot import exp

    calls = {getattr(exp, name): _call(*call) for name, call in CALLS.items()}
    return calls | {
        exp.Anonymous: _anonymous,
        exp.AtTimeZone: lambda generator, node: _clock(generator, node, of_utc=True),
        exp.ArgMax: _winner("arg_max_null"),
        exp.ArgMin: _winner("arg_min_null"),
        exp.ArrayExcept: _both_lists("spark_array_except"),
        exp.ArrayIntersect: _both_lists("spark_array_intersect"),
        exp.ArraySize: _size,
        exp.ArrayAgg: _list,
        exp.ArrayUniqueAgg: _set,
        exp.ArraySort: _sorting,
        exp.Cast: _cast,
        exp.Concat: _concat,
        exp.ConcatWs: _concat_ws,
        exp.DateTrunc: _trunc_date,
        exp.Div: _divided,
        exp.Exists: _exists,
        exp.Explode: _explode,
        exp.JSONExtractScalar: _json_value,
        exp.GenerateSeries: _numbers,
        exp.FromTimeZone: lambda generator, node: _clock(generator, node, of_utc=False),
        exp.ILike: _like("ILIKE"),
        exp.Lambda: _lambda,
        exp.Like: _like("LIKE"),
        exp.Literal: _text_literal,
        exp.Mul: _product,
        exp.Nvl2: _nvl2,
        exp.Overlay: _overlay,
        exp.Pad: _pad,
        exp.Reduce: _fold,
        exp.RegexpCount: _count_of_matches,
        exp.RegexpExtract: _extracted,
        exp.RegexpLike: _matches,
        exp.RegexpReplace: _replacement,
        exp.RegexpSplit: _split,
        exp.Replace: _replace,
        exp.SHA2: _sha2,
        exp.SafeAdd: _attempt("+"),
        exp.SafeDivide: _divided,
        exp.SafeMultiply: lambda generator, node: f"TRY({_product(generator, node)})",
        exp.SafeSubtract: _attempt("-"),
        exp.StrPosition: _position,
        exp.Struct: _struct,
        exp.Substring: _substring,
        exp.TimeToStr: _date_format,
        exp.TimeStrToTime: lambda generator, node: str(generator.sql(node.this)),
        exp.TimestampTrunc: _trunc_instant,
        exp.Trim: _trimmed,
        exp.TryCast: _cast,
        exp.TsOrDsAdd: _date_add,
        exp.TsOrDsToDate: _date_of_text,
    }


def _both_lists(name: str) -> Callable[[Any, Any], str]:
    def rule(generator: Any, node: Any) -> str:
        others = [part for part in (node.this, node.args.get("expression"), *node.expressions) if part]
        if len(others) != 2:
            raise Untranslatable("compares other than two lists, which the engine duckdb does not have")
        return _call_sql(generator, name, *others)

    return rule
