"""``cdp tags compile --check --sample``: a sample's values are those of the night, and what a night would refuse ends with 3."""

from __future__ import annotations

import json
import shutil

import pytest

from jobs.cli import run
from lakehouse.expressions.duckdb import function_statements
from lakehouse.ledger.ledger import publish
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.hashing import table_hash
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.build.project import source_tables
from tags.compile.compilation import compile_tags
from tags.sample.model_relations import ModelRelations
from tests.tags.drawn import draw
from tests.tags.golden.test_golden import D, copied_bank, fill

pytestmark = pytest.mark.xdist_group("test_golden")
pytestmark = pytest.mark.slow
HEAD = "family: site\ntags:\n"
COMMAND = ("tags", "compile", "--check", "--sample")


def tag(code, compute, value="{type: int}", rule="Z", reads="trusted.transactions.amount_base", **more):
    keys = "".join(f"    {name}: {text}\n" for name, text in more.items())
    return f"""\
  - code: {code}
    name: {{zh: {code}, en: {code}}}
    definition: {{zh: 说明, en: Meaning of {code}}}
    kind: fact
    value: {value}
    null_rule: {rule}
    level: C2
    purposes: [service]
    inputs: [{reads}]
    owner: data
    version: 1.0.0
    status: online
    compute: {compute}
{keys}"""


COUNT = tag("all_count", "{aggregate: {from: trusted.transactions, measure: count}}")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """A drawn bank after its published night."""
    folder = tmp_path_factory.mktemp("sample")
    lake, _ = copied_bank(folder)
    publish(lake, D, "drawn", {})
    (folder / "tags").mkdir()
    return folder


@pytest.fixture
def site(bank):
    """A function that gives the bank's workspace these tags and runs the command; the tags are gone afterwards."""
    file = bank / "tags" / "site.yml"

    def check(text, *words):
        file.write_text(HEAD + text if text else "family: site\ntags: []\n")
        return run([*COMMAND, *words, "--workspace", str(bank)])

    yield check
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("size", [3, 100])
def test_every_shipped_tag_of_a_sample_is_what_the_night_published(bank, size):
    compilation = compile_tags(bank)
    with open_publication(load_settings(bank)) as desk:
        for statement in function_statements():
            desk.run(statement)
        relations = ModelRelations(desk, compilation, size)
        sample = desk.arrow(
            f"SELECT * FROM {relations.relation('customer_tags')} ORDER BY one_id"
        ).to_pylist()
        night = {row["one_id"]: row for row in desk.arrow("SELECT * FROM tags.customer_tags").to_pylist()}
    assert len(sample) == min(size, len(night))
    for row in sample:
        person = night[row["one_id"]]
        assert {name: row[name] for name in person} == person


def test_a_larger_sample_holds_the_smaller_one(bank):
    people = []
    for size in (2, 4):
        with open_publication(load_settings(bank)) as desk:
            relations = ModelRelations(desk, compile_tags(bank), size)
            people.append({one_id for (one_id,) in desk.rows(f"SELECT one_id FROM {relations.people}")})
    assert len(people[0]) == 2 and people[0] < people[1]


def test_the_workspaces_own_tags_are_computed_and_nothing_is_written(bank, site, capsys):
    settings = load_settings(bank)
    before = {path: path.stat().st_mtime_ns for path in settings.lake.rglob("*")}
    hashed = table_hash(settings, "tags.customer_tags")
    assert site(COUNT) == 0
    out, err = capsys.readouterr()
    assert "all_count" in out and "well" in out and "aum_eod" not in out
    assert f"1 tags of 7 people of the night of {D}" in err
    assert {path: path.stat().st_mtime_ns for path in settings.lake.rglob("*")} == before
    assert table_hash(settings, "tags.customer_tags") == hashed


def test_all_computes_the_shipped_tags_too(site, capsys):
    assert site(COUNT, "--all") == 0
    out = capsys.readouterr().out
    assert "all_count" in out and "aum_eod" in out


def test_a_sample_of_a_given_size(site, capsys):
    assert site(COUNT, "--sample=2") == 0
    assert "of 2 people" in capsys.readouterr().err


def test_values_of_few_people_are_not_said(site, capsys):
    """Seven people are too few for any value."""
    last = tag(
        "last_place", "{latest: {from: trusted.transactions, of: transaction_id, order_by: [transaction_id]}}",
        "{type: string}", "U", "trusted.transactions.transaction_id",
    )  # fmt: skip
    assert site(last, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["where_values_lie"] == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (tag("small_sum", "{aggregate: {from: trusted.transactions, measure: sum, of: amount_base}}", "{type: decimal, min: 0, max: 1}"),
         "values outside its domain"),
        (tag("kind_of_last", "{latest: {from: trusted.transactions, of: transaction_type, order_by: [transaction_id]}}",
             "{type: string, domain: [NOTHING]}", "U", "trusted.transactions.transaction_type, trusted.transactions.transaction_id"), "values outside its domain"),
        (tag("huge_sum", "{aggregate: {from: trusted.transactions, measure: sum, of: 'amount_base * 1000000000'}}"),
         "answers that are no int"),
        (tag("lost_rule", "{expression: 'nullif(tenure_days, tenure_days)'}", rule="U", reads="'tag:tenure_days'"),
         "nulls that nothing explains"),
    ],
)  # fmt: skip
def test_what_a_night_would_refuse_ends_with_3_and_names_tag_file_and_line(
    site, capsys, bank, text, sentence
):
    assert site(COUNT + text) == 3
    out, err = capsys.readouterr()
    code = text.split("code: ")[1].split("\n")[0]
    line = (HEAD + COUNT + text).splitlines().index(text.splitlines()[-1]) + 1
    assert "refused" in out
    assert f"site.yml:{line}: '{code}' has " in err and sentence in err
    assert "all_count" not in err


def test_a_look_up_that_finds_two_rows_is_refused(bank, capsys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("doubles")
    (folder / "cdp.yml").write_text("time_zone: Asia/Shanghai\nengine: duckdb\n")
    (folder / "tags").mkdir()
    text = tag(
        "wealth_sum", "{aggregate: {from: trusted.transactions, measure: count, where: \"`product.product_class` = 'wealth'\"}}",
        reads="trusted.products.product_class",
    )  # fmt: skip
    (folder / "tags" / "site.yml").write_text(HEAD + text)
    lake = open_lake(load_settings(folder))
    lake.create([*source_tables(compile_tags(folder)), "tags.customer_tags"])
    fill(lake)
    draw(
        lake,
        "trusted.products",
        "| product_id | product_class | valid_from |\n| P1 | wealth | 2020-01-01 |\n| P1 | fund | 2020-01-02 |",
    )
    publish(lake, D, "drawn", {})
    assert run([*COMMAND, "--workspace", str(folder)]) == 3
    err = capsys.readouterr().err
    assert "the look-up 'product' from trusted.transactions" in err and "site.yml:" in err


def test_before_the_first_night_there_is_one_sentence(make_workspace, capsys):
    folder = make_workspace({"tags/site.yml": HEAD + COUNT})
    assert run([*COMMAND, "--workspace", str(folder)]) == 2
    assert "nothing was published yet" in capsys.readouterr().err


def test_a_source_that_was_not_published_is_named_with_the_tag(tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("unpublished")
    (folder / "cdp.yml").write_text("time_zone: Asia/Shanghai\nengine: duckdb\n")
    (folder / "tags").mkdir()
    (folder / "tags" / "site.yml").write_text(HEAD + COUNT)
    lake = open_lake(load_settings(folder))
    lake.create([*source_tables(compile_tags(folder)), "tags.customer_tags"])
    fill(lake)
    shutil.rmtree(lake.settings.lake / "trusted" / "transactions")
    publish(lake, D, "drawn", {})
    assert run([*COMMAND, "--workspace", str(folder)]) == 2
    err = capsys.readouterr().err
    assert (
        "site.yml:" in err
        and "'all_count'" in err
        and f"the night of {D} published no table trusted.transactions" in err
    )


def test_a_workspace_without_tags_of_its_own_is_told_of_all(site, capsys):
    assert site("") == 2
    assert "--all computes the shipped ones" in capsys.readouterr().err


def test_a_lake_that_is_being_written_is_read_as_published(bank, site, capsys):
    settings = load_settings(bank)
    assert site(COUNT) == 0
    assert "is being written" not in capsys.readouterr().err
    with hold_lock(settings.lock_dir, "nightly of a day"):
        assert site(COUNT) == 0
        assert (
            "the lake is being written (nightly of a day); what was read is what was published"
            in capsys.readouterr().err
        )


@pytest.mark.parametrize("model", ["{{ run_query('select 1') }}", "{{ adapter.quote('x') }}"])
def test_a_model_that_needs_dbt_itself_is_named(bank, site, capsys, model):
    models = bank / "models"
    models.mkdir()
    try:
        (models / "site_rows.sql").write_text(
            f"select one_id, 1 as n, {model} as x from {{{{ ref('int_people') }}}}"
        )
        (models / "site_rows.yml").write_text(
            "version: 2\nmodels:\n  - name: site_rows\n    config: {meta: {key: [one_id]}}\n    columns: [{name: one_id}, {name: n}, {name: x}]\n"
        )
        text = tag("site_n", "{column: {from: site_rows, of: n}}", reads="trusted.customers.kind")
        assert site(text) == 2
        err = capsys.readouterr().err
        assert "the model 'site_rows' needs dbt itself" in err and "Traceback" not in err
    finally:
        for file in models.iterdir():
            file.unlink()
        models.rmdir()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tags", "compile", "--sample"), "write --check --sample"),
        (("tags", "compile", "--check", "--all"), "write --check --sample --all"),
        (("tags", "compile", "--check", "--sample=0"), "0 is not in the range"),
    ],
)
def test_flags_that_belong_together(bank, capsys, words, sentence):
    assert run([*words, "--workspace", str(bank)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_tag_of_a_branch_is_computed_over_the_rows_of_the_sample(site, capsys):
    accounts = tag("branch_people_count", "{aggregate: {from: customer_tags, via: int_home_branches, measure: count, where: age >= 18}}",
                   reads="tag:age", entity="branch")  # fmt: skip
    assert site(accounts) == 0
    out, err = capsys.readouterr()
    assert "branch_people_count" in out and "1 tags of 7 people" in err
    assert site(accounts.replace("age >= 18", "agee >= 18")) == 2
    assert "customer_tags has no column 'agee'; did you mean 'age'?" in capsys.readouterr().err
