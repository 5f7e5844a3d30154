"""What makes no sense in a tag or an attribute is refused before a night, with file, line and what to write."""

from __future__ import annotations

import pytest

from jobs.cli import run
from jobs.workspace.check import check_workspace
from jobs.workspace.examine import examine_workspace
from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.words import FUNCTIONS, KEYWORDS, RESERVED, SQL_WORDS, TYPES
from lakehouse.settings.settings import load_settings
from tags.build.project import WIDE_TABLES, wide_contracts
from tags.compile.compilation import compile_tags
from vocabulary.attributes import read_attributes
from vocabulary.reserved_names import fault_of_name

TAG = """
family: site
tags:
  - code: site_tag
    name: {zh: 本行标签, en: Site tag}
    definition: {zh: 说明, en: Meaning}
    kind: fact
    value: {type: decimal}
    null_rule: U
    level: C2
    purposes: [service]
    params: [{name: one, value: 1}]
    inputs: [trusted.transactions.amount_base, trusted.transactions.currency, trusted.transactions.transacted_on, tag:age, tag:gender]
    compute: {aggregate: {from: trusted.transactions, measure: sum, of: amount_base}}
    owner: data
    version: 1.0.0
    status: online
"""


def edited(*edits):
    """The tag with lines that begin with a key written anew."""
    lines = TAG.splitlines()
    for edit in edits:
        key = edit.split(":")[0]
        at = next(at for at, line in enumerate(lines) if line.strip(" -").startswith(f"{key}:"))
        lines[at] = f"{lines[at][:4]}{edit}"
    return "\n".join(lines) + "\n"


def compiled(make_workspace, *edits):
    folder = make_workspace({"tags/site.yml": edited(*edits)})
    return compile_tags(folder)


OF = "compute: {aggregate: {from: trusted.transactions, measure: %s, %s}}"
LATEST = "compute: {latest: {from: trusted.transactions, of: %s, order_by: [transacted_on]}}"
CASES = {
    # Names of columns
    "code: one_id": (4, "'one_id' is a column of tags.customer_tags; choose another code"),
    "code: kind": (4, "'kind' is a column of tags.customer_tags"),
    "code: product_id": (4, "'product_id' is a column of tags.product_tags"),
    "code: as_of": (4, "'as_of' is a column of the tables of tags"),
    "code: null_exceptions": (4, "'null_exceptions' is a column of the tables of tags"),
    "code: read_sources": (4, "'read_sources' is a column of"),
    "code: lost_answers": (4, "'lost_answers' is a column of"),
    "code: unexplained_nulls": (4, "'unexplained_nulls' is a column of"),
    "code: from_value": (4, "'from_value' is a column of tags."),
    "code: age__read": (4, "'age__read' has two underscores side by side"),
    "code: select": (4, "'select' is a word of the language of expressions or of SQL; choose another code"),
    "code: where": (4, "'where' is a word"),
    "code: qualify": (4, "'qualify' is a word"),
    "code: length": (4, "'length' is a word"),
    f"code: {'a' * 64}": (4, "has 64 letters; write at most 63"),
    # Values
    "value: {type: int, min: 5, max: 4}": (8, "'min' 5 is above 'max' 4"),
    "value: {type: int, min: 0.5}": (8, "'min' 0.5 of a value of type int is no whole number"),
    "value: {type: string, min: 0}": (8, "a value of type string has no 'min' and 'max'"),
    "value: {type: boolean, max: 1}": (8, "a value of type boolean has no 'min' and 'max'"),
    "value: {type: date, min: 1}": (8, "a value of type date has no 'min' and 'max'"),
    "value: {type: boolean, domain: ['yes', 'no']}": (8, "a value of type boolean has no 'domain'"),
    "value: {type: string, domain: []}": (8, "an empty 'domain' allows nothing; list its values or take it out"),
    "value: {type: string, domain: [A, B, A]}": (8, "'A' stands twice in the 'domain'; write it once"),
    "value: {type: decimal, scale: 3}": (8, "a value of type decimal has 0 to 2 digits"),
    "value: {type: ratio, scale: -1}": (8, "a value of type ratio has 0 to 6 digits"),
    "value: {type: int, scale: 0}": (8, "a value of type int has no 'scale'"),
    "value: {type: boolean, cardinality: set}": (8, "a set of yes and no says nothing"),
    "value: {type: decimal, scale: 0, cardinality: set}": (8, "a set has no 'scale', to which single values are rounded; take it out"),
    # The rest of an entry
    "params: [{name: one, value: 1}, {name: one, value: 2}]": (12, "the parameter 'one' stands twice without 'since'"),
    "params: [{name: one, value: 1, since: 2026-01-01}, {name: one, value: 2, since: 2026-01-01}]": (12, "stands twice since 2026-01-01; write the day from which each"),
    "null_rule: H(0)": (9, "null_rule"),
    "version: 1.0.0\n    max_staleness_days: -1": (17, "max_staleness_days"),
    "version: 1.0.0\n    refresh: whenever": (17, "'refresh' has to be 'nightly', 'daily' or 'monthly'"),
    "name: {zh: 本行标签, en: ' '}": (5, "is empty; write what people shall read"),
    "definition: {zh: '', en: Meaning}": (6, "is empty; write what people shall read"),
    'name: {zh: 本行标签, en: "Site\\ttag"}': (5, "has the control character U+0009, which nobody sees; take it out"),
    'name: {zh: 本行标签, en: "Site \\u202etag"}': (5, "has the control character U+202E"),
    'definition: {zh: 说明, en: "Mean\\u0007ing"}': (6, "has the control character U+0007"),
    # Types
    "value: {type: boolean}": (8, "measure 'sum' gives a number, and the value is declared as boolean; write `type: int, decimal or ratio`"),
    "value: {type: string}": (8, "measure 'sum' gives a number, and the value is declared as string"),
    "value: {type: date}": (8, "measure 'sum' gives a number, and the value is declared as date"),
    "value: {type: decimal, cardinality: set}": (8, "measure 'sum' gives one value and no set; take 'cardinality' out"),
    OF % ("set", "of: amount_base"): (8, "measure 'set' gives a set; write `cardinality: set`"),
    OF % ("count", "where: amount_base > 1"): (8, "measure 'count' gives a whole number; write `type: int`"),
    OF % ("sum", "of: amount_base, at_least: '3'"): (8, "measure 'sum' with 'at_least' gives a yes or no, and the value is declared as decimal; write `type: boolean`"),
    OF % ("any", "where: amount_base > 1"): (8, "measure 'any' gives a yes or no"),
    OF % ("max", "of: transacted_on"): (14, "'transacted_on' is a day, and the value is declared as decimal; write `type: date`, or make a decimal of it"),
    OF % ("min", "of: currency"): (14, "'currency' is a text, and the value is declared as decimal"),
    OF % ("mode", "of: amount_base > 3"): (14, "'amount_base > 3' is a yes or no, and"),
    OF % ("last", "of: upper(currency), order_by: [transacted_on]"): (14, "'upper(currency)' is a text"),
    OF % ("sum", "of: amount_base, where: amount_base + 1"): (14, "'amount_base + 1' is a number and no condition; compare it with something"),
    OF % ("sum", "of: amount_base, where: currency"): (14, "'currency' is a text and no condition"),
    LATEST % "currency": (14, "'currency' is a text, and the value is declared as decimal"),
    "compute: {expression: gender}": (14, "'gender' is a text, and the value is declared as decimal"),
    "compute: {expression: 'age > 3 and age < 9'}": (14, "is a yes or no, and the value is declared as decimal"),
    "compute: {expression: 'date_add(:business_date, age)'}": (14, "is a day, and the value is declared as decimal"),
    "compute: {expression: 'array(age)'}": (14, "is a list, and the value is single; write `cardinality: set`"),
    "compute: {expression: \"coalesce(age, 'none')\"}": (14, "is a text, and the value is declared as decimal"),
    "compute: {cases: [{when: age > 3, then: gender}, {else: '0'}]}": (14, "'gender' is a text, and"),
    "compute: {cases: [{when: age + 1, then: '1'}, {else: '0'}]}": (14, "'age + 1' is a number and no condition"),
    "compute: {cases: [{when: gender, then: ':one'}, {else: '0'}]}": (14, "'gender' is a text and no condition"),
    "null_rule: Z\n    default: none": (10, "the default 'none' is a text, and the value is declared as decimal; write a decimal"),
    "null_rule: Z\n    default: true": (10, "the default 'True' is a yes or no, and"),
    "null_rule: U\n    null_when: [{when: age, reason: unknown}]": (10, "'age' is a number and no condition"),
}  # fmt: skip


@pytest.mark.parametrize("edit", CASES)
def test_what_makes_no_sense_is_refused_with_its_line(make_workspace, edit):
    line, sentence = CASES[edit]
    with pytest.raises(SettingsInvalid) as refusal:
        compiled(make_workspace, edit)
    assert sentence in refusal.value.message
    assert (refusal.value.file.split("/")[-1], refusal.value.line) == ("site.yml", line)


JUDGED = "compute: {aggregate: {from: int_transactions_judged, measure: %s}}"
HELD = "inputs: [trusted.transactions.amount_base, trusted.transactions.direction, trusted.transactions.currency]"
# By name: edits of the tag, the line that is named, and a part of the sentence.
OVER_MODELS = {
    "a window longer than the rows behind a model are kept": (
        (JUDGED % "sum, of: amount_base, window_days: 9000",),
        14, "looks back 9000 days, but trusted.transactions, which int_transactions_judged reads, is kept for 2555",
    ),
    "months longer than the rows behind a model are kept": (
        (JUDGED % "sum, of: amount_base, months: 84",),
        14, "looks back 2635 days, but trusted.transactions, which int_transactions_judged reads, is kept for 2555",
    ),
    "two windows of a trend together": (
        (JUDGED % "trend, of: amount_base, trend_of: sum, base_at_least: '1', window_days: 1300",),
        14, "looks back 2600 days, but trusted.transactions",
    ),
    "no inputs": (
        ("inputs: []", JUDGED % "sum, of: amount_base, window_days: 90"),
        13, "reads trusted.transactions.amount_base, as int_transactions_judged.amount_base, which 'inputs' does not list",
    ),
    "inputs of another table": (
        ("inputs: [trusted.campaigns.name]", JUDGED % "sum, of: amount_base, window_days: 90"),
        13, "reads trusted.transactions.amount_base",
    ),
    "no inputs of a count, which names no column": (
        ("value: {type: int}", "inputs: []", JUDGED % "count, window_days: 90"),
        13, "comes from trusted.transactions, by int_transactions_judged.account_id, of which 'inputs' lists no column; write trusted.transactions.account_id",
    ),
    "no inputs of a table without a model": (
        ("value: {type: int}", "inputs: []", "compute: {aggregate: {from: trusted.transactions, measure: count, window_days: 90}}"),
        13, "reads trusted.transactions, and 'inputs' lists no column that comes from there, so that nothing would say when it is late; "
        "write the columns of trusted.transactions that it depends on",
    ),
    "a table that decides about a computed column of a model": (
        ("value: {type: int}", "inputs: [trusted.order_lines.product_id]",
         "compute: {aggregate: {from: int_order_lines_keyed, measure: count_distinct, of: product_id, where: not is_return, window_days: 365}}"),
        13, "comes from trusted.orders, by int_order_lines_keyed.is_return, of which 'inputs' lists no column; write trusted.orders.is_return",
    ),
    "a table that only says whose a row of a model is": (
        ("value: {type: string}", "inputs: [trusted.order_lines.category, trusted.order_lines.ordered_on]",
         "compute: {aggregate: {from: int_order_lines_keyed, measure: mode, of: category, window_days: 30}}"),
        13, "comes from trusted.orders, by int_order_lines_keyed.source_key",
    ),
    "no inputs over a model whose columns come from no trusted table": (
        ("value: {type: boolean}", "inputs: []", "compute: {aggregate: {from: int_parents, measure: any}}"),
        13, "reads int_parents, and 'inputs' lists no column that comes from there, so that nothing would say when it is late; "
        "write the columns of trusted.relationships that it depends on",
    ),
    "no inputs of a count of people": (
        ("code: site_tag\n    entity: branch", "value: {type: int}", "inputs: []",
         "compute: {aggregate: {from: customer_tags, via: int_home_branches, measure: count}}"),
        14, "reads int_home_branches, and 'inputs' lists no column that comes from there",
    ),
    "the greatest text as a day": (
        ("value: {type: date}", "inputs: [trusted.transactions.direction]", JUDGED % "max, of: direction, window_days: 90"),
        14, "'direction' is a text, and the value is declared as date; write `type: string`, or make a date of it",
    ),
    "a yes or no that a model computes as a number": (
        (HELD, JUDGED % "max, of: is_active, window_days: 90"),
        14, "'is_active' is a yes or no, and the value is declared as decimal",
    ),
    "a text of two tables as a number": (
        ("inputs: [trusted.cards.card_class, trusted.loans.loan_class]",
         "compute: {latest: {from: int_credits_keyed, of: credit_class, order_by: [credit_class]}}"),
        14, "'credit_class' is a text, and the value is declared as decimal",
    ),
    "a number of a model as a condition": (
        (HELD, JUDGED % "sum, of: amount_base, where: amount_base, window_days: 90"),
        14, "'amount_base' is a number and no condition",
    ),
    "a text that is compared with a number": (
        (HELD, JUDGED % "sum, of: amount_base, where: direction = 7, window_days: 90"),
        14, "'direction = 7' compares a text with what is none; compare it with a text, or try_cast it first",
    ),
    "a text that is compared with a number within what is measured": (
        (HELD, JUDGED % "sum, of: 'if(direction > 5, amount_base, 0)', window_days: 90"),
        14, "'direction > 5' compares a text with what is none",
    ),
    "a number that is compared with a text that says none": (
        (HELD, JUDGED % "sum, of: amount_base, where: amount_base > 'much', window_days: 90"),
        14, "'amount_base > 'much'' compares a number with a text that says none",
    ),
    "a day that is compared with a number": (
        ("inputs: [trusted.transactions.amount_base, trusted.transactions.transacted_on]",
         JUDGED % "sum, of: amount_base, where: transacted_on > 20260101, window_days: 90"),
        14, "'transacted_on > 20260101' compares a day with a number",
    ),
    "a sum of texts of a model": (
        (HELD, JUDGED % "sum, of: direction, window_days: 90"),
        14, "measures the sum of direction, which is a string and no number",
    ),
    "a comparison that no row of a model meets": (
        (HELD, JUDGED % "sum, of: amount_base, where: direction = 'credits', window_days: 90"),
        14, "trusted.transactions.direction never is 'credits'; did you mean 'credit'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OVER_MODELS)
def test_a_tag_over_a_model_is_held_against_the_tables_behind_it(make_workspace, case):
    edits, line, sentence = OVER_MODELS[case]
    with pytest.raises(SettingsInvalid) as refusal:
        compiled(make_workspace, *edits)
    assert sentence in refusal.value.message
    assert (refusal.value.file.split("/")[-1], refusal.value.line) == ("site.yml", line)


@pytest.mark.parametrize(
    "edits",
    [
        (JUDGED % "sum, of: amount_base, window_days: 2555",),
        (HELD, JUDGED % "sum, of: amount_base, where: direction = 'credit', window_days: 90"),
        # Of a union only the branch counts that a condition lets stand: what cards say does not depend on loans.
        ("inputs: [trusted.cards.used_amount]", "compute: {aggregate: {from: int_credits_keyed, measure: sum, of: outstanding, where: credit_kind = 'card'}}"),
        ("value: {type: int}", "inputs: [trusted.order_lines.product_id, trusted.orders.is_return]",
         "compute: {aggregate: {from: int_order_lines_keyed, measure: count_distinct, of: product_id, where: not is_return, window_days: 365}}"),
    ],
)  # fmt: skip
def test_a_tag_over_a_model_that_lists_what_it_reads_stands(make_workspace, edits):
    assert compiled(make_workspace, *edits).entries


@pytest.mark.parametrize(
    "edits",
    [
        ("value: {type: int, min: -5, max: 5.0}",),
        ("value: {type: ratio, scale: 6}",),
        (f"code: {'a' * 63}",),
        ("params: [{name: one, value: 1}, {name: one, value: 2, since: 2026-01-01}]",),
        ("definition: {zh: 说明, en: \"Two\\nlines\"}", "version: 1.0.0\n    max_staleness_days: 0\n    refresh: monthly"),
        ("value: {type: string, cardinality: set}", OF % ("set", "of: currency")),
        ("value: {type: int}", OF % ("count", "of: currency")),
        ("value: {type: boolean}", OF % ("count", "at_least: '3'")),
        ("value: {type: date}", OF % ("max", "of: transacted_on")),
        ("value: {type: string}", OF % ("max", "of: cast(amount_base as string)")),
        ("value: {type: boolean}", "compute: {expression: 'coalesce(age > 3, false)'}"),
        ("null_rule: H(7)",),
    ],
)  # fmt: skip
def test_what_makes_sense_stands(make_workspace, edits):
    assert compiled(make_workspace, *edits).entries


def test_no_word_that_an_engine_reads_as_its_own_is_the_name_of_a_column():
    import duckdb
    import sqlglot
    from sqlglot.dialects.spark import Spark

    own = duckdb.connect()

    def stands_in(name):
        try:
            own.execute(f"with r as (select 1 as {name}) select {name}, {name} + 1, case when {name} > 1 then 1 end from r").fetchall()  # fmt: skip
            tree = sqlglot.parse_one(f"select {name} + 1 as x, {name} as {name} from r", dialect="spark")
        except (duckdb.Error, sqlglot.errors.SqlglotError):
            return False
        return {column.name for column in tree.find_all(sqlglot.exp.Column)} == {name}

    words = {word for (word,) in own.sql("select keyword_name from duckdb_keywords()").fetchall()}
    words |= {word.lower() for word in Spark.Tokenizer.KEYWORDS if word.isidentifier()}
    words |= FUNCTIONS | KEYWORDS | RESERVED | TYPES
    assert {word for word in words if not stands_in(word)} - FUNCTIONS <= SQL_WORDS


def test_every_column_beside_tags_is_a_reserved_name():
    compilation = compile_tags(None)
    tags = {entry.code for entry in compilation.entries}
    of_contracts = {name for one in wide_contracts(compilation) for name in one.columns} - tags
    assert len(WIDE_TABLES) == 12 and {"one_id", "kind", "as_of", "employee_id", "company_id"} <= of_contracts
    made_up = {"read_sources", "lost_answers", "unexplained_nulls"}
    assert [name for name in of_contracts | made_up if fault_of_name(name) is None] == []
    assert [code for code in compilation.registry.entries if fault_of_name(code)] == []


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ("code: one_id", "'one_id' is a column of tags.customer_tags; choose another code"),
        ("code: as_of", "'as_of' is a column of the tables of tags"),
        ("code: null_exceptions", "'null_exceptions' is a column of the tables of tags"),
        ("code: value", "'value' is a column of trusted.attributes itself, whose rows are joined"),
        ("code: value_type", "'value_type' is a column of trusted.attributes itself"),
        ("code: to_key", "'to_key' is a column of trusted.relationships itself"),
        ("code: qualify", "'qualify' is a word of the language of expressions or of SQL"),
        ("code: a__b", "'a__b' has two underscores side by side"),
        ("type: int, domain: [1, 2]", "a domain is for the type string, not for int; write 'type: string' and texts in quotes, such as ['1', '2'], or take the domain out"),
        ("type: int, domain: ['1']", "a domain is for the type string, not for int"),
    ],
)  # fmt: skip
def test_an_attribute_that_would_hide_another_column_is_refused(make_workspace, edit, sentence):
    one = "attributes:\n  - {code: plan, entity: customer, type: string, level: C1, name: {zh: 套餐, en: Plan}}\n"
    old = "code: plan" if edit.startswith("code") else "type: string"
    folder = make_workspace({"attributes.yml": one.replace(old, edit)})
    with pytest.raises(SettingsInvalid) as refusal:
        read_attributes(folder)
    assert sentence in refusal.value.message and refusal.value.line == 2


def test_what_only_the_writing_of_sql_finds_is_refused_by_every_check(make_workspace, capsys):
    files = {"tags/site.yml": edited("value: {type: string}", "null_rule: Z", LATEST % "currency")}
    folder = make_workspace(files)
    sentence = "null rule Z of a string needs a 'default'"
    assert run(["tags", "compile", "--check", "--workspace", str(folder)]) == 2
    assert sentence in capsys.readouterr().err
    with pytest.raises(SettingsInvalid, match=sentence):
        check_workspace(load_settings(folder), needs_feeds=False)
    requirement = examine_workspace(folder)
    assert not requirement.is_good and sentence in str(requirement)


def test_what_is_computed_nightly_does_not_read_what_is_computed_monthly(make_workspace):
    monthly = "family: site\ntags:\n  - {code: age, refresh: monthly, version: 2.0.0}\n"
    with pytest.raises(
        SettingsInvalid,
        match="reads the tag 'age', which is held for the month; write `refresh: monthly` here too",
    ):
        compile_tags(make_workspace({"tags/own.yml": monthly}))
