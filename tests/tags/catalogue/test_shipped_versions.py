"""The shipped registry keeps what its versions promise, between releases as between nights."""

from __future__ import annotations

import pytest

from tags import REGISTRY
from tests.tags.catalogue.shipped_versions import add_versions, faults, shipped_hashes
from vocabulary.registry import load_registry

ONLINE = load_registry(None, shipped=REGISTRY).online()


def test_no_shipped_tag_was_edited_under_its_version():
    sentences = faults(ONLINE, shipped_hashes())
    assert not sentences, "\n".join(sentences)


@pytest.mark.parametrize(
    "edit", [{"null_rule": "NA"}, {"level": "C2"}, {"max_staleness_days": 9}, {"purposes": ["service"]}]
)
def test_an_edit_without_a_new_version_is_told_and_no_command_hides_it(edit):
    entry = next(entry for entry in ONLINE if entry.code == "age")
    edited = entry.model_copy(update=edit)
    shipped = shipped_hashes()
    (sentence,) = faults([edited], shipped)
    assert sentence.startswith(f"age@{entry.version} was edited and has its old version")
    assert add_versions([edited], shipped) == shipped
    bumped = edited.model_copy(update={"version": "99.0.0"})
    assert faults([bumped], shipped)[0].startswith("age@99.0.0 is not in shipped_versions.json; run ")
    assert faults([bumped], add_versions([bumped], shipped)) == []


def test_what_is_no_part_of_a_definition_needs_no_version():
    entry = next(entry for entry in ONLINE if entry.code == "age")
    assert faults([entry.model_copy(update={"status": "deprecated"})], shipped_hashes()) == []
