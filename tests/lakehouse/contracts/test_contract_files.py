"""A contract file is checked like every other YAML: the first fault is told with file and line."""

from __future__ import annotations

import pytest

from lakehouse.contracts.reading import FOLDER, build_contract
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
        (4, "shape: fact", "shape: cube", "'shape': input should be 'fact', 'state', 'dictionary'"),
        (9, "allowed: [", "level: C9, allowed: [", "'columns.kind.level': input should be 'C1', 'C2' or 'C3'"),
        (8, "required: true", "requires: true", "unknown key 'requires'; did you mean 'required'?"),
        (11, "min: 1", "min: few", "'bounds.0.min': input should be a valid number"),
        (1, "key: [pet_id]", "key: [pet]", "'pet' is no column of the table"),
        (1, "owner: shops\n", "", "key 'owner' is missing"),
    ],
)  # fmt: skip
def test_a_fault_names_file_line_and_what_to_write(tmp_path, line, written, wrong, sentence):
    with pytest.raises(ContractBroken) as fault:
        contract_of(tmp_path, WHOLE.replace(written, wrong))
    assert sentence in str(fault.value) and f"pets.yml:{line}:" in str(fault.value)


def test_no_contract_file_says_a_key_twice():
    for file in FOLDER.glob("*/*.yml"):
        load_yaml(file)
