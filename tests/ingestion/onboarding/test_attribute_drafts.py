"""Columns that no trusted table has, drafted as attributes: declared, filled, and nothing that names a person among them."""

from __future__ import annotations

import pytest

from ingestion.onboarding.data_dictionary import ColumnMeaning
from ingestion.onboarding.draft import draft_feed
from jobs.cli import run
from lakehouse.settings.yaml_files import parse_yaml
from vocabulary.attributes import read_attributes

HEADER = (
    "subscriber_no,full_name,mobile,email,birth_date,plan,monthlyFee,contract_end,is_5g,data_gb,device brand,备注,churn_rate,"
    "order,password,remark,_row,rare,visits\n"
)
SUBSCRIBERS = HEADER + "".join(
    f"S{n},张{n},138{n:08d},a{n}@b.cn,1980-01-{1 + n % 28:02d},{'PLUS' if n % 2 else '1'},39.00,2027-0{1 + n % 9}-01,{'yes' if n % 3 else 'no'},"
    f"{n / 8},{'Huawei' if n % 2 else 'Xiaomi'},{'好' if n % 2 else '一般'},0.{n:03d},{n % 7},pw{n},about person number {n},{n},"
    f"{'common' if n else 'once'},{n % 5}\n"
    for n in range(60)
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "subscribers.csv"
    path.write_text(SUBSCRIBERS, encoding="utf-8")
    return path


def draft(file, **wishes):
    return draft_feed(file, tables=("trusted.customers",), **{"attribute_codes": frozenset(), **wishes})


def test_columns_that_no_table_has_are_declared_and_filled(file):
    drafted = draft(file)
    declared = {one["code"]: one for one in parse_yaml(drafted.declarations, file="x.yml")["attributes"]}
    assert {code: (one["type"], one["level"]) for code, one in declared.items()} == {
        "plan": ("string", "C1"), "monthly_fee": ("decimal", "C1"), "contract_end": ("date", "C1"), "is_5g": ("boolean", "C1"),
        "data_gb": ("decimal", "C2"), "device_brand": ("string", "C1"), "churn_rate": ("ratio", "C2"), "rare": ("string", "C1"),
        "visits": ("int", "C1"),
    }  # fmt: skip
    assert declared["plan"]["domain"] == ["1", "PLUS"], "texts, also where they look like numbers"
    assert "domain" not in declared["rare"], "a value of one person is none of the codes that many share"
    assert declared["monthly_fee"]["name"] == {"zh": "monthlyFee", "en": "Monthlyfee"}
    (target,) = [
        t for t in parse_yaml(drafted.text, file="x.yml")["targets"] if t["table"] == "trusted.attributes"
    ]
    assert (target["entity"], target["key"]) == ("customer", "subscriber_no")
    assert target["attributes"]["device_brand"] == "`device brand`"
    assert target["attributes"]["contract_end"] == "try_to_date(contract_end, 'yyyy-M-d')"


def test_nothing_that_names_a_person_and_no_secret_becomes_one(file):
    drafted = draft(file)
    for word in ("password", "remark", "mobile", "email", "full_name", "_row", "order"):
        assert f"code: {word}" not in drafted.declarations, word
    assert not [
        n
        for n in range(60)
        if f"张{n}" in drafted.declarations or f"person number {n}" in drafted.declarations
    ]
    assert "once" not in drafted.declarations + drafted.text


def test_a_name_that_makes_no_code_needs_a_dictionary(file):
    assert "备注" in draft(file).text.partition("# Not mapped")[2]
    meanings = {"备注": ColumnMeaning("Remark of the shop", "shop_remark")}
    assert "code: shop_remark" in draft(file, meanings=meanings).declarations


def test_an_attribute_is_called_as_the_dictionary_says_without_its_remark(file):
    meanings = {"is_5g": ColumnMeaning.of("是否5G（Y-是，N-否）")}
    assert 'name: {zh: "是否5G", en: is_5g}' in draft(file, meanings=meanings).declarations


def test_a_draft_without_a_table_says_why_it_has_no_attributes(tmp_path, capsys):
    file = tmp_path / "codes.csv"
    file.write_text("zzz,yyy\n" + "".join(f"a{n % 3},b{n % 2}\n" for n in range(40)))
    assert run(["feeds", "draft", str(file), "--attributes"]) == 0
    assert (
        "no attributes: no target says whose they are; name the table of their entity"
        in capsys.readouterr().err
    )


def test_what_is_declared_already_is_left_alone(file):
    assert "code: plan" not in draft(file, attribute_codes=frozenset({"plan"})).declarations


@pytest.mark.parametrize("table", ["trusted.transactions", "trusted.events"])
def test_rows_of_no_entity_have_no_attributes(file, table):
    assert draft_feed(file, tables=(table,), attribute_codes=frozenset()).declarations is None


def test_without_the_wish_nothing_changes(file):
    plain = draft(file, attribute_codes=None)
    assert plain.declarations is None and "trusted.attributes" not in plain.text


@pytest.mark.slow
def test_a_file_is_onboarded_asked_by_a_tag_and_a_segment_and_its_draft_stands_once(file, tmp_path, capsys):
    workspace = tmp_path / "shop 1"
    assert run(["init", str(workspace)]) == 0
    words = ["--table", "customers", "--attributes", "--workspace", str(workspace)]
    assert run(["feeds", "draft", str(file), *words]) == 0
    printed = capsys.readouterr().out
    assert "--- # attributes/subscribers.yml\n" in printed and not (workspace / "attributes").exists()
    assert run(["feeds", "draft", str(file), *words, "--write"]) == 0
    assert (
        "9 columns become attributes of the customer, declared in attributes/subscribers.yml"
        in capsys.readouterr().out
    )
    assert set(read_attributes(workspace).by_code) >= {"plan", "data_gb", "churn_rate"}
    assert run(["feeds", "draft", str(file), *words, "--write", "--feed", "subscribers"]) == 2
    inbox = workspace / "inbox" / "subscribers" / "2026-11-20"
    inbox.mkdir(parents=True)
    (inbox / file.name).write_bytes(file.read_bytes())
    shown = ["feeds", "check", "subscribers", "--show-values", "--workspace", str(workspace)]
    assert run(shown) == 0 and "subscribers.csv" in (workspace / "audit" / "reveals.jsonl").read_text()
    (workspace / "roles.yml").write_text("roles: {privacy: {users: [nobody], may: [reveal]}}")
    capsys.readouterr()
    assert run(shown) == 2 and capsys.readouterr().out == ""
    (workspace / "roles.yml").unlink()
    assert run(["nightly", "--date", "2026-11-20", "--workspace", str(workspace)]) == 0
    capsys.readouterr()
    statement = "select count(*), count(value) from trusted.attributes where attribute = 'is_5g' and value_type = 'boolean'"
    assert run(["sql", statement, "--format", "csv", "--workspace", str(workspace)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "60,60"
