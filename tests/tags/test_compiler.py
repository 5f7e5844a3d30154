"""The compiler's text and its refusals, without Spark."""

from __future__ import annotations

import re

import pytest

from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.duckdb import duckdb_query
from lakehouse.query.desk import new_connection
from tags.build.project import PROJECT, product_files, project_files, wide_contracts
from tags.compile.compilation import compile_tags
from tags.compile.lineage import Lineage
from tags.compile.shared_models import shared_models
from vocabulary.policy import Policy

ROOT = PROJECT.parent
TAG = """
family: site
tags:
  - code: site_tag
    name: {{zh: 本行标签, en: Site tag}}
    definition: {{zh: 说明, en: Meaning}}
    kind: fact
    value: {value}
    null_rule: {null_rule}
    level: {level}
    purposes: [{purpose}]
    inputs: [{inputs}]
    compute:
      {compute}
    owner: data
    version: 1.0.0
    status: online
"""


def site(make_workspace, **said):
    """Compile a workspace with one tag of its own."""
    told = {
        "value": "{type: int}",
        "null_rule": "U",
        "level": "C2",
        "purpose": "service",
        "inputs": "trusted.transactions.amount_base",
        "compute": "aggregate: {from: trusted.transactions, measure: sum, of: amount_base}",
    }
    text = TAG.format(**(told | said))
    return compile_tags(make_workspace({"tags/site.yml": text}))


def test_what_is_committed_of_the_compiler_is_what_it_writes_today():
    files = product_files()
    stale = [
        str(f.relative_to(ROOT))
        for f, text in files.items()
        if not f.is_file() or f.read_text("utf-8") != text
    ]
    assert stale == [], "run `python -m tags.build.project` and commit what it writes"
    known = set(files)
    assert [f for f in (PROJECT / "compiled").rglob("*") if f.is_file() and f not in known] == []


def test_all_aggregates_over_one_relation_are_one_scan():
    compiled = compile_tags(None)
    relations = [scan.relation.name for scan in compiled.plan.scans if scan.aggregated]
    assert len(relations) == len(set(relations))
    over_transactions = next(s for s in compiled.plan.scans if s.relation.name == "int_transactions_judged")
    text = compiled.writer.scan_sql(over_transactions)
    assert text.count("{{ ref('int_transactions_judged') }}") == 1
    assert {"active_txn_count_90d", "is_payroll", "days_since_active_txn"} <= {
        e.code for e in over_transactions.entries
    }
    assert "filter (where" not in text.lower()


def test_a_site_tag_joins_the_shipped_scan(make_workspace):
    compiled = site(
        make_workspace,
        compute="aggregate: {from: int_transactions_judged, measure: sum, of: amount_base, window_days: 7}",
    )
    scans = [s for s in compiled.plan.scans if s.relation.name == "int_transactions_judged"]
    assert len(scans) == 1
    assert "site_tag" in [entry.code for entry in scans[0].entries]
    assert "site_tag" in wide_contracts(compiled)[0].columns


def test_a_rule_stands_in_a_layer_above_every_tag_it_reads():
    plan = compile_tags(None).plan
    depth = {entry.code: at for at, layer in enumerate(plan.layers) for entry in layer}
    for entry in plan.entries:
        if depth[entry.code]:
            assert all(depth[code] < depth[entry.code] for code in entry.tag_inputs)


SITE_MODEL = """
select people.one_id, customers.source, customers.source_key, customers.registered_on, names.city
from {{ ref('stg_trusted__customers') }} customers
join {{ ref('int_profiles_keyed') }} people on people.source_key = customers.source_key
join (
    select source_key, concat(lower(value), '') as city from {{ ref('stg_trusted__identifier_observations') }}
    union all
    select source_key, registered_city as city from {{ ref('stg_trusted__customers') }}
) names on names.source_key = customers.source_key
"""
SITE_MODEL_YAML = """
version: 2
models:
  - name: int_site
    config: {meta: {key: [source, source_key]}}
    columns: [{name: one_id}, {name: source}, {name: source_key}, {name: registered_on}, {name: city}]
"""


def test_a_level_follows_the_columns_that_a_value_comes_from_and_not_what_they_are_called(make_workspace):
    tag = TAG.format(
        value="{type: string}", null_rule="U", level="C1", purpose="service", inputs="trusted.customers.registered_on, trusted.identifier_observations.role",
        compute="latest: {from: int_site, of: city, order_by: [registered_on]}",
    )  # fmt: skip
    files = {"models/int_site.sql": SITE_MODEL, "models/int_site.yml": SITE_MODEL_YAML}
    with pytest.raises(
        SettingsInvalid, match=r"level C1 is lower than that of trusted.identifier_observations.value"
    ):
        compile_tags(make_workspace(files | {"tags/site.yml": tag}))
    other = SITE_MODEL.replace("value", "role").replace("registered_city", "source")
    compile_tags(make_workspace(files | {"models/int_site.sql": other, "tags/site.yml": tag}, name="other"))


def test_a_level_follows_a_condition_too(make_workspace):
    compute = "aggregate: {from: trusted.transactions, measure: any, where: amount_base > 100000}"
    with pytest.raises(
        SettingsInvalid, match=r"level C1 is lower than that of trusted.transactions.amount_base"
    ):
        site(
            make_workspace,
            level="C1",
            value="{type: boolean}",
            compute=compute,
            inputs="trusted.transactions.amount_base",
        )


def test_the_columns_behind_every_model_are_found():
    folders = [PROJECT / "models" / "staging", PROJECT / "models" / "intermediate"]
    lineage = Lineage(folders, shared_models(Policy()))
    assert lineage.sources("int_profiles_described", "gender_by_id") == {
        "trusted.identifier_observations.value"
    }
    assert lineage.sources("int_credits_keyed", "credit_class") == {
        "trusted.cards.card_class",
        "trusted.loans.loan_class",
    }
    assert lineage.sources("int_people_refusing", "has_complained") == {
        "trusted.account_controls.control_type",
        "trusted.receipts.status",
    }
    assert "trusted.identifier_observations.namespace" in lineage.sources(
        "int_channels_reachable", "is_usable"
    )
    assert lineage.sources("trusted.customers", "gender") == {"trusted.customers.gender"}


def test_of_a_column_of_a_model_its_type_and_what_it_holds_are_followed():
    lineage = compile_tags(None).lineage
    types = {
        ("int_transactions_judged", "transacted_on"): "date",
        ("int_transactions_judged", "is_active"): "boolean",
        ("int_credits_keyed", "credit_class"): "string",
        ("int_order_days", "days_since_previous"): "int",
        ("int_profiles_keyed", "one_id"): "bigint",
        ("trusted.transactions", "amount_base"): "decimal(18,2)",
        ("int_transactions_judged", "amounts"): None,
    }
    assert {place: lineage.type_of(*place) for place in types} == types
    held = {
        ("int_payroll_days", "paid_on"): {"trusted.transactions.transacted_on"},
        ("int_credits_keyed", "credit_class"): {"trusted.cards.card_class", "trusted.loans.loan_class"},
        ("int_credits_keyed", "credit_limit"): {"trusted.cards.credit_limit"},
        ("int_credits_keyed", "credit_kind"): set(),
        ("int_transactions_judged", "is_active"): set(),
    }
    assert {place: lineage.columns_held(*place) for place in held} == held
    assert lineage.tables("int_order_lines_keyed") == {"trusted.order_lines", "trusted.orders"}
    assert lineage.tables("trusted.orders") == {"trusted.orders"}


def test_a_model_that_cannot_be_parsed_is_named(tmp_path):
    (tmp_path / "int_site.sql").write_text("select one_id, from where ) x")
    with pytest.raises(SettingsInvalid, match="the model 'int_site' is no Spark SQL whose columns can be"):
        Lineage([tmp_path]).tables("int_site")


def test_of_a_union_only_the_branches_count_whose_rows_are_meant():
    lineage = compile_tags(None).lineage
    of_both = lineage.sources("int_credits_keyed", "credit_id")
    assert of_both == {"trusted.cards.card_id", "trusted.loans.loan_id"}
    for kind, column in (("card", "trusted.cards.card_id"), ("loan", "trusted.loans.loan_id")):
        assert lineage.sources("int_credits_keyed", "credit_id", {"credit_kind": kind}) == {column}
    # What no branch says, or not as a text, leaves nothing out.
    for values in ({"credit_kind": "house"}, {"source": "bank"}):
        assert lineage.sources("int_credits_keyed", "credit_id", values) == of_both


def test_no_text_of_a_site_is_a_template_to_dbt(make_workspace):
    import jinja2

    text = TAG.format(
        value="{type: string}", null_rule="Z", level="C2", purpose="service", inputs="tag:age, param:word",
        compute="expression: \"case when bucket(concat('\\\\' ~ \\\"', :business_date), one_id) < 9 then :word else 'x' end\"",
    ).replace("kind: fact", "kind: rule").replace(
        "    owner: data", "    default: \"{{ 1 + 1 }} it's {% raw %}\"\n    params: [{name: word, value: '{{ 2 + 2 }}'}]\n    owner: data"
    ).replace("Site tag", "'{{ 3 + 3 }}\n      from x; {% set y %} -- {#'")  # fmt: skip
    compilation = compile_tags(make_workspace({"tags/site.yml": text}))
    files = project_files(compilation)
    templates = {part for text in files.values() for part in re.findall(r"\{[{%#].*?[}%#]\}", text)}
    assert not [part for part in templates if re.search(r"\d \+ \d|raw|set y", part)]
    wide = files["models/customer_tags.sql"]
    tree = jinja2.Environment(autoescape=False).parse(wide)
    calls = {node.node.name for node in tree.find_all(jinja2.nodes.Call)}
    assert calls == {"config", "ref", "business_date", "bucket", "sent_to_every_task", "source"}
    assert "from x; { % set y %} -- { #" in wide and "\nfrom x" not in wide


def test_a_bucket_is_a_macro_where_it_is_called_and_a_name_where_it_is_not():
    from tags.compile.sql_text import resolve

    assert resolve("bucket", {}, ValueError) == "bucket"
    assert resolve("bucket('s', one_id) < 9", {}, ValueError) == """{{ bucket("'s'", "one_id") }} < 9"""


def test_a_parameter_follows_the_day_it_takes_effect():
    from tags.compile.sql_text import param_sql
    from vocabulary.registry import Param

    history = [Param(name="x", value=1), Param(name="x", value=2, since="2026-07-01")]
    assert param_sql(history[:1]) == "1"
    assert param_sql(history) == "case when {{ business_date() }} >= DATE '2026-07-01' then 2 else 1 end"


def test_before_its_first_day_the_first_value_of_a_parameter_counts():
    """A night of the past has a value too, as the documentation says: no value is no null for everybody."""
    from tags.compile.sql_text import param_sql
    from vocabulary.registry import Param

    assert param_sql([Param(name="x", value=1, since="2099-01-01")]) == "1"
    later = [Param(name="x", value=2, since="2099-07-01"), Param(name="x", value=1, since="2099-01-01")]
    assert param_sql(later) == "case when {{ business_date() }} >= DATE '2099-07-01' then 2 else 1 end"


def test_a_scale_rounds_what_is_read_and_what_is_derived(make_workspace):
    """``scale: 0`` gives whole money in a column of money; without it cents stay."""
    connection = new_connection("UTC")

    def answers(value):
        compilation = site(
            make_workspace, value=value, inputs="tag:aum_eod", compute='expression: "aum_eod * 1"'
        )
        entry, writer = compilation.registry["site_tag"], compilation.writer
        assert f"{writer.typed(entry, 'aum_eod * 1')} as site_tag" in writer.wide_sql()
        sql = f"select {writer.typed(entry, 'x')} as x from (values (2.5), (-2.5), (1234.4949), (null)) t(x)"
        return writer.tag_sql(entry), [str(x) for (x,) in connection.execute(duckdb_query(sql)).fetchall()]

    sql, values = answers("{type: decimal, scale: 0}")
    assert values == ["3.00", "-3.00", "1234.00", "None"]
    assert sql.splitlines()[-1] == "-- rounded to 0 digits after the point"
    assert answers("{type: ratio, scale: 1}")[1] == ["2.500000", "-2.500000", "1234.500000", "None"]
    sql, values = answers("{type: decimal, scale: 2}")
    assert values == ["2.50", "-2.50", "1234.49", "None"] and "rounded" not in sql


def test_the_sql_of_a_tag_says_the_reasons_of_its_nulls(make_workspace):
    """What a plan compares holds the reasons, so that another reason is another tag."""
    rule = "NA\n    null_when: [{when: age < 18, reason: REASON}]"
    one, other = (
        site(make_workspace, null_rule=rule.replace("REASON", reason), inputs="tag:age", compute="expression: age + 1")
        for reason in ("unknown", "expired")
    )  # fmt: skip
    sql = one.writer.tag_sql(one.registry["site_tag"])
    assert sql.endswith("\n-- null when age < 18: unknown")
    assert sql.replace("unknown", "expired") == other.writer.tag_sql(other.registry["site_tag"])
    assert _differing(one, other) == {"site_tag"}


def _differing(*compilations):
    """The computed tags of two compilations that a plan computes anew."""
    from jobs.planning.extent import _computed_tags
    from jobs.planning.extent import _differing as differing
    from tags.catalogue import catalogue_rows

    return differing(*(_computed_tags(catalogue_rows(one)) for one in compilations))


def test_a_workspace_entry_replaces_the_keys_it_names(make_workspace):
    changed = "family: lifecycle\ntags:\n  - code: is_dormant\n    params:\n      - {name: min_inactive_days, value: 180}\n      - {name: max_aum, value: 10}\n"
    compiled = compile_tags(make_workspace({"tags/own.yml": changed}))
    entry = compiled.registry["is_dormant"]
    assert entry.status == "online"
    assert "days_since_active_txn >= 180" in compiled.writer.tag_sql(entry)


def test_generated_files_name_no_machine(make_workspace):
    compiled = compile_tags(None)
    for text in project_files(compiled).values():
        assert not re.search(r"(?m)(^|[\s'\"])/(home|root|work|tmp|Users)/", text)


REFUSED = {
    "an unknown column": (
        {"compute": "aggregate: {from: trusted.transactions, measure: sum, of: amount_bas}"},
        14, "trusted.transactions has no column 'amount_bas'; did you mean 'amount_base'",
    ),
    "an unknown relation": (
        {"compute": "aggregate: {from: trusted.transaction, measure: sum, of: amount_base}"},
        14, "unknown relation 'trusted.transaction'; did you mean 'trusted.transactions'",
    ),
    "a column that inputs do not list": (
        {"compute": "aggregate: {from: trusted.transactions, measure: sum, of: amount}"},
        14, "reads trusted.transactions.amount, which 'inputs' does not list",
    ),
    "an input that is no column": ({"inputs": "trusted.transactions.amounts"}, 12, "has no column 'amounts'"),
    "SQL that does not parse": (
        {"compute": "expression: age >", "inputs": "tag:age"}, 14, "is not Spark SQL",
    ),
    "an unknown tag": ({"compute": "expression: ages", "inputs": "tag:age"}, 14, "unknown tag 'ages'; did you mean 'age'"),
    "a text without its quotes": (
        {"compute": 'cases: [{when: age > 60, then: "OLD"}, {else: "YOUNG"}]', "inputs": "tag:age", "value": "{type: string, domain: [OLD, YOUNG]}"},
        14, "unknown tag 'OLD'; a text stands in quotes of its own: \"'OLD'\"",
    ),
    "a tag that inputs do not list": ({"compute": "expression: tenure_days", "inputs": "tag:age"}, 14, "'inputs' does not list"),
    "a tag that is not computed": ({"compute": "expression: p_churn_90d", "inputs": "tag:p_churn_90d"}, 12, "which is draft"),
    "an unknown parameter": ({"compute": 'expression: "age + :plus"', "inputs": "tag:age"}, 14, "unknown parameter ':plus'"),
    "a circle": ({"compute": "expression: site_tag + 1", "inputs": "tag:site_tag"}, 12, "in a circle: site_tag → site_tag"),
    "a comparison with a value outside the domain": (
        {"compute": "expression: \"aum_tier = 'T9'\"", "inputs": "tag:aum_tier", "value": "{type: boolean}"},
        14, "'aum_tier' never is 'T9'",
    ),
    "a result outside the domain": (
        {"compute": "cases: [{when: age > 60, then: \"'SILVR'\"}]", "inputs": "tag:age", "value": "{type: string, domain: [SILVER]}"},
        14, "'SILVR' is outside the domain; did you mean 'SILVER'",
    ),
    "a result of an expression outside the domain": (
        {"compute": "expression: \"coalesce(case when age > 60 then 'SILVER' when age > 18 then ('ADULTS') end, 'NONE')\"", "inputs": "tag:age",
         "value": "{type: string, domain: [SILVER, ADULT, NONE]}"},
        14, "'ADULTS' is outside the domain; did you mean 'ADULT'",
    ),
    "a value of rows outside the domain": (
        {"compute": "latest: {from: trusted.transactions, of: \"case when amount_base > 1 then 'BIG' else 'SMAL' end\", order_by: [transacted_on]}",
         "value": "{type: string, domain: [BIG, SMALL]}", "inputs": "trusted.transactions.amount_base, trusted.transactions.transacted_on"},
        14, "'SMAL' is outside the domain; did you mean 'SMALL'",
    ),
    "a number outside the range": (
        {"compute": "cases: [{when: age > 60, then: '11'}, {else: '0'}]", "inputs": "tag:age", "value": "{type: int, min: 0, max: 10}"},
        14, "11 is above the greatest value 10",
    ),
    "a default below the range": (
        {"null_rule": "Z\n    default: -1", "value": "{type: decimal, min: 0}"}, 10, "-1 is below the least value 0",
    ),
    "a comparison that no row meets": (
        {"compute": "aggregate: {from: trusted.transactions, measure: sum, of: amount_base, where: \"direction = 'credits'\"}",
         "inputs": "trusted.transactions.amount_base, trusted.transactions.direction"},
        14, "trusted.transactions.direction never is 'credits'; did you mean 'credit'",
    ),
    "rows that lead to no person": (
        {"compute": "aggregate: {from: trusted.products, measure: count, where: \"product_class = 'fund'\"}",
         "inputs": "trusted.products.product_class", "value": "{type: int}"},
        14, "the rows of trusted.products lead to no person: it has no one_id, no source_key and no account_id",
    ),
    "a column of profiles": (
        {"compute": "column: {from: trusted.customers, of: gender}", "value": "{type: string}", "inputs": "trusted.customers.gender"},
        14, "trusted.customers has no one_id; 'column' reads one row per person",
    ),
    "a level below its inputs": ({"level": "C1"}, 10, "level C1 is lower than that of trusted.transactions.amount_base (C2)"),
    "level C3": ({"level": "C3"}, 10, "a tag cannot be of level C3"),
    "a purpose wider than its inputs": (
        {"compute": "expression: aml_grade", "inputs": "tag:aml_grade", "purpose": "marketing", "value": "{type: string}"},
        11, "purpose 'marketing' is wider than those of 'aml_grade'",
    ),
    "a window longer than data is kept": (
        {"compute": "aggregate: {from: trusted.transactions, measure: sum, of: amount_base, window_days: 3000}"},
        14, "looks back 3000 days, but trusted.transactions is kept for 2555",
    ),
    "the same question under another name": (
        {"compute": "latest: {from: int_profiles_described, of: city_tier, order_by: [registered_on]}",
         "value": "{type: string}", "inputs": "trusted.customers.residence_city, trusted.customers.registered_on, trusted.reference_values.code"},
        13, "asks the same as the tag 'city_tier'",
    ),
    "another table under the name of a tag": (
        {"compute": "expression: \"(select max(value) from trusted.identifier_observations) as age\"", "inputs": "tag:age"},
        14, "a name of two parts",
    ),
    "a template that reads a secret": (
        {"compute": "expression: \"{{ env_var('HOME') }}\"", "inputs": "tag:age"}, 14, "'{', a template",
    ),
    "a template inside a text": (
        {"compute": "aggregate: {from: trusted.transactions, measure: count, where: \"currency = '{{ run_query(1) }}'\"}"},
        14, "a template inside the quotes",
    ),
    "the clock of the machine in an expression": (
        {"compute": "expression: \"case when age > 3 then timestamp 'now' > timestamp '2020-01-01' end\"", "inputs": "tag:age"},
        14, "has the text 'now', which Spark reads as the clock of the machine",
    ),
    "the clock of the machine as a parameter": (
        {"null_rule": "U\n    params: [{name: since, value: today}]"}, 10, "'today' is the clock of the machine to Spark",
    ),
    "the clock of the machine as a default": (
        {"null_rule": "Z\n    default: Tomorrow", "value": "{type: string}"}, 10, "'Tomorrow' is the clock of the machine to Spark",
    ),
    "code in the order of rows": (
        {"compute": "latest: {from: int_profiles_described, of: city_tier, order_by: [\"java_method('a', 'b')\"]}",
         "value": "{type: string}", "inputs": "trusted.customers.residence_city"},
        14, "uses java_method()",
    ),
    "an empty null rule": ({"null_rule": ""}, 9, "null_rule"),
    "an unknown key": ({"compute": "aggregate: {from: trusted.transactions, mesure: sum}"}, 14, "unknown key 'mesure'; did you mean 'measure'"),
    "absence without a default": (
        {"null_rule": "Z", "value": "{type: string}", "compute": "expression: gender", "inputs": "tag:gender"}, 9, "null rule Z of a string needs a 'default'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=REFUSED.keys())
def test_a_faulty_entry_is_refused_with_file_and_line(make_workspace, case):
    said, line, sentence = REFUSED[case]
    with pytest.raises(SettingsInvalid) as refused:
        site(make_workspace, **said)
    assert sentence in refused.value.message
    assert refused.value.file.endswith("tags/site.yml")
    assert refused.value.line == line


def test_a_tag_without_a_null_rule_is_refused_with_the_line_where_it_begins(make_workspace):
    lines = [line for line in TAG.splitlines() if "null_rule" not in line]
    text = "\n".join(lines).format(
        value="{type: int}", level="C2", purpose="service", inputs="trusted.transactions.amount_base",
        compute="aggregate: {from: trusted.transactions, measure: sum, of: amount_base}",
    )  # fmt: skip
    with pytest.raises(SettingsInvalid, match="key 'null_rule' is missing") as refused:
        compile_tags(make_workspace({"tags/site.yml": text}))
    assert (refused.value.file.split("/")[-1], refused.value.line) == ("site.yml", 4)


def test_a_code_that_stands_twice_is_refused_with_both_places(make_workspace):
    text = TAG.format(
        value="{type: int}", null_rule="U", level="C2", purpose="service", inputs="trusted.transactions.amount_base",
        compute="aggregate: {from: trusted.transactions, measure: sum, of: amount_base}",
    )  # fmt: skip
    again = text[text.index("  - code") :]
    with pytest.raises(SettingsInvalid) as refused:
        compile_tags(make_workspace({"tags/site.yml": text + again}))
    assert refused.value.message == "the tag 'site_tag' stands twice: also in site.yml, line 4"
    assert (refused.value.file.split("/")[-1], refused.value.line) == ("site.yml", 18)
    with pytest.raises(SettingsInvalid) as refused:
        compile_tags(make_workspace({"tags/other.yml": text, "tags/site.yml": text}, name="two"))
    assert refused.value.message == "the tag 'site_tag' stands twice: also in other.yml, line 4"
    assert (refused.value.file.split("/")[-1], refused.value.line) == ("site.yml", 4)


def test_listing_tags_imports_nothing_heavy():
    import subprocess
    import sys

    script = (
        "import sys; from tags import REGISTRY; from vocabulary.registry import load_registry; assert len(load_registry(shipped=REGISTRY).entries) > 100;"
        "print(sorted({'pyspark', 'pandas', 'dbt', 'sqlglot', 'pyarrow'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert said.stdout.strip() == "[]"
