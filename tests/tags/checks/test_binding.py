"""``cdp tags compile --check``: an expression over tags that DuckDB refuses for its types is named with its line."""

from __future__ import annotations

import pytest

from jobs.cli import run
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from tags.compile.compilation import compile_tags
from tags.sample.binding import require_computable

TAGS = """\
family: site
tags:
  - code: is_rich
    name: {{zh: 富裕, en: Rich}}
    definition: {{zh: 余额大于40。, en: More than 40.}}
    kind: rule
    value: {{type: boolean}}
    null_rule: U
    level: C2
    purposes: [service]
    inputs: ["tag:aum_eod", "tag:product_classes_held", "tag:id_document_valid_until"]
    compute: {{expression: "{condition} and id_document_valid_until is not null and size(product_classes_held) > 0 and aum_eod > 0"}}
    owner: data
    version: 1.0.0
    status: online
"""


@pytest.fixture
def workspace(make_workspace):
    """A function that gives a workspace with one tag of this condition."""
    return lambda condition: make_workspace({"tags/site.yml": TAGS.format(condition=condition)})


@pytest.mark.parametrize(
    "condition",
    [
        "upper(aum_eod) = 'A'",
        "date_add(aum_eod, 3) is null",
        "size(aum_eod) = 3",
        "array_contains(aum_eod, 3)",
        "aum_eod like '4%'",
        "(aum_eod > 40) + 1 = 2",
        "cast(aum_eod as decimal(39,2)) > 40",
    ],
)
def test_an_expression_that_the_engine_refuses_for_its_types_is_refused_at_its_line(
    workspace, condition, capsys
):
    folder = workspace(condition)
    assert run(["tags", "compile", "--check", "--workspace", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "site.yml:12: '" in said and "cannot be computed" in said


@pytest.mark.parametrize(
    "condition",
    [
        "aum_eod > 40",
        "datediff(:business_date, id_document_valid_until) > 3",
        "array_contains(product_classes_held, 'fund')",
        "cast(aum_eod as string) like '4%'",
        "case when aum_eod is null then null else aum_eod end > 3",
    ],
)
def test_an_expression_that_the_engine_computes_passes(workspace, condition):
    folder = workspace(condition)
    require_computable(load_settings(folder), compile_tags(folder))


def test_where_the_settings_name_spark_duckdb_is_not_asked(make_workspace):
    files = {"tags/site.yml": TAGS.format(condition="upper(aum_eod) = 'A'")}
    folder = make_workspace(files)
    compilation = compile_tags(folder)
    with pytest.raises(SettingsInvalid):
        require_computable(load_settings(folder), compilation)
    require_computable(load_settings(folder, engine="spark"), compilation)


OF_ROWS = """\
family: site
tags:
  - code: largest_text
    name: {{zh: 最大, en: Largest}}
    definition: {{zh: 30天内最大的。, en: The largest of 30 days.}}
    kind: fact
    value: {{type: string}}
    null_rule: U
    level: C2
    purposes: []
    inputs: [trusted.transactions.amount_base, trusted.transactions.transacted_at{also}]
    compute: {{aggregate: {{from: trusted.transactions, measure: max, of: "{of}", where: "{where}", window_days: 30}}}}
    owner: data
    version: 1.0.0
    status: online
"""


def refusal(make_workspace, capsys, **parts):
    """Whether the check refuses a tag over rows at the line of its expression."""
    files = {"cdp.yml": "packs: {bank: on}\n", "tags/site.yml": OF_ROWS.format(**parts)}
    code = run(["tags", "compile", "--check", "--workspace", str(make_workspace(files))])
    words = capsys.readouterr().err
    return code == 2 and "site.yml:12: '" in words and "cannot be computed" in words


@pytest.mark.parametrize(
    ("of", "where"),
    [
        ("upper(amount_base)", "amount_base > 0"),
        ("cast(amount_base as string)", "amount_base like '4%'"),
        ("cast(amount_base as string)", "date_add(amount_base, 3) is null"),
    ],
)
def test_an_expression_over_rows_that_the_engine_refuses_is_refused_at_its_line(
    make_workspace, capsys, of, where
):
    assert refusal(make_workspace, capsys, of=of, where=where, also="")


@pytest.mark.parametrize(
    ("of", "where", "also"),
    [
        ("cast(amount_base as string)", "upper(`card.credit_limit`) = 'A'", "cards.credit_limit"),
        ("upper(`account.opened_on`)", "amount_base > 0", "accounts.opened_on"),
    ],
)
def test_an_expression_over_what_rows_look_up_is_asked_as_well(make_workspace, capsys, of, where, also):
    assert refusal(make_workspace, capsys, of=of, where=where, also=f", trusted.{also}")


def test_an_expression_over_rows_that_the_engine_computes_passes(make_workspace):
    text = OF_ROWS.format(
        of="concat(cast(amount_base as string), `card.card_type`)",
        where="amount_base > 0 and `card.credit_limit` > 5",
        also=", trusted.cards.credit_limit, trusted.cards.card_type",
    )
    folder = make_workspace({"cdp.yml": "packs: {bank: on}\n", "tags/site.yml": text})
    require_computable(load_settings(folder), compile_tags(folder))
