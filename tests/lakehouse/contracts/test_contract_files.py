"""A contract file is checked like every other YAML: the first fault is told with file and line."""

from __future__ import annotations

import pytest

from lakehouse.contracts.reading import FOLDER, build_contract, contract, contract_names, masked_columns
from lakehouse.errors import ContractBroken
from lakehouse.settings.yaml_files import load_yaml, plain

WHOLE = """\
table: trusted.pets
description: Animals of people.
grain: one row per pet_id
shape: fact
key: [pet_id]
owner: shops
columns:
  pet_id: {type: STRING, required: true}
  kind: {type: string, allowed: [cat, dog, 7]}
bounds:
  - {name: none, measure: count(*), min: 1, why: a shop has pets}
"""


def contract_of(tmp_path, text):
    file = tmp_path / "pets.yml"
    file.write_text(text, encoding="utf-8")
    return build_contract(plain(load_yaml(file)), file=file)


def test_a_whole_file_gives_types_pipeline_columns_and_partitions(tmp_path):
    pets = contract_of(tmp_path, WHOLE)
    assert list(pets.columns) == ["pet_id", "kind", "_feed", "_file", "_row", "_arrived_on"]
    assert pets.columns["pet_id"].type == "string" and pets.columns["kind"].allowed == ("cat", "dog", "7")
    assert pets.partition_by == ("_arrived_on",) and pets.bounds[0].severity == "stop"


@pytest.mark.parametrize(
    ("line", "written", "wrong", "sentence"),
    [
        (6, "owner: shops", "owners: shops", "unknown key 'owners'; did you mean 'owner'?"),
        (4, "shape: fact", "shape: cube", "'shape' has to be 'fact', 'state', 'dictionary'"),
        (9, "allowed: [", "level: C9, allowed: [", "'columns.kind.level' has to be 'C1', 'C2' or 'C3'"),
        (8, "required: true", "requires: true", "unknown key 'requires'; did you mean 'required'?"),
        (11, "min: 1", "min: few", "'bounds.0.min' has to be a number"),
        (1, "key: [pet_id]", "key: [pet]", "'pet' is no column of the table"),
        (1, "owner: shops\n", "", "key 'owner' is missing"),
        (9, "allowed: [", "masked: true, allowed: [", "only a string of level C2 is masked"),
    ],
)  # fmt: skip
def test_a_fault_names_file_line_and_what_to_write(tmp_path, line, written, wrong, sentence):
    with pytest.raises(ContractBroken) as fault:
        contract_of(tmp_path, WHOLE.replace(written, wrong))
    assert sentence in str(fault.value) and f"pets.yml:{line}:" in str(fault.value)


def test_no_contract_file_says_a_key_twice():
    for file in FOLDER.glob("*/*.yml"):
        load_yaml(file)


# Free texts of level C2 that readers see as they are: keys of records, which join tables and which commands take, codes
# of reference values, pseudonyms, and who decided. Whoever adds a column decides here or says ``masked: true``.
SHOWN = {
    "keys of persons": "source_key source_key_a source_key_b referrer_key from_key to_key employee_id entity_key",
    "keys of other records": "account_id repayment_account_id assessment_id card_id control_id entry_id holding_id loan_id "
    "order_id transaction_id reverses_transaction_id standing_order_id coupon_id contact_id",
    "codes": "registered_city income_band merchant_category payee_bank",
    "pseudonyms": "recipient_key masked",
    "who decided": "author",
    "numbers at which a rank was cut, with nobody's name": "params",
}
MASKED = {
    "identity.golden_records.full_name",
    "identity.nodes.value",
    "quality.refused_rows.raw_text",
    "segments.transmission_rows.row_hash",
    "trusted.attributes.value",
    "trusted.customers.full_name",
    "trusted.events.device_id",
    "trusted.events.properties",
    "trusted.identifier_observations.value",
    "trusted.standing_orders.payee_account",
    "trusted.transactions.counterparty_account",
}


def test_every_free_text_of_level_c2_is_masked_or_has_been_looked_at():
    shown = {name for names in SHOWN.values() for name in names.split()}
    # Tags are answers about people, made of inputs by the registry, which has levels and purposes of its own.
    tables = [contract(name) for name in contract_names() if not name.startswith("tags.")]
    texts = {
        (table.name, column.name): column.masked
        for table in tables
        for column in table.columns.values()
        if column.level == "C2" and column.type == "string" and not column.allowed
    }
    assert {f"{table}.{name}" for (table, name), is_masked in texts.items() if is_masked} == MASKED
    assert {name for (_, name), is_masked in texts.items() if not is_masked} == shown


def test_what_no_contract_knows_is_masked(tmp_path):
    pets = contract_of(
        tmp_path, WHOLE.replace("pet_id: {type: STRING", "pet_id: {type: STRING, level: C2, masked: true")
    )
    assert set(masked_columns(pets, ["pet_id", "kind", "_row", "chip"])) == {"pet_id", "chip"}
    assert set(masked_columns(None, ["mobile", "_extra", "_file", "_row", "_feed", "_arrived_on"])) == {
        "mobile",
        "_extra",
    }
