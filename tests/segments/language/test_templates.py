"""A branch narrows what head office lays down, and parameters change within bounds; whatever would widen is refused."""

from __future__ import annotations

import dataclasses

import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    bank_lake,
    catalogue_of,
    publish,
    spec,
    surroundings,
)

from delivery.manifest import read_latest, read_manifest
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.settings.yaml_files import load_yaml
from segments.choosing.evaluation import evaluate
from segments.language.conditions import decide
from segments.language.parameters import Parameter, parameter_values
from segments.language.spec import read_segment
from segments.language.templates import joined_texts, merged_tree, parted_texts

TEMPLATE = """\
spec: segment_template/v1
name: {zh: 总行, en: Head office}
owner: {business: retail, tech: data}
entity: customer
kind: dynamic
purpose: marketing
unknown: exclude
overrides: [name, owner, contact, guards]
allows_include: [list]
base: {tag: tier, in: [T2, T3]}
where: {tag: balance, gte: 100}
include: [{tag: is_active, eq: true}]
exclude: [{tag: days_left, lt: 1}]
contact: {channels: [SMS, PUSH]}
publish: {destinations: [engine], columns: [channel]}
"""
BRANCH = """\
spec: segment/v1
code: branch
version: 1.0.0
extends: wealth@2
name: {zh: 支行, en: Branch}
"""


@pytest.fixture
def write(make_workspace):
    base = {
        "cdp.yml": "generate_secrets: true\n", "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML,
        "lists/friends@1.csv": "one_id\n4\n", "templates/wealth@2.yml": TEMPLATE,
    }  # fmt: skip

    def make(text, **others):
        return make_workspace({**base, "segments/branch.yml": text, **others})

    return make


def branch(folder):
    return read_segment(folder / "segments" / "branch.yml")


def answers(segment, values):
    """The rule's answer where each leaf answers by the words of its normal form."""
    return decide(segment.rule, lambda leaf: values[next(iter(leaf.normal().values()))])


def test_a_branch_narrows_also_whom_the_template_includes_and_replaces_what_it_may(write):
    own = "where: {tag: interests, contains_any: [FUND]}\nexclude: [{tag: opened_on, days_ago: {lt: 3}}]\ncontact: {channels: [PUSH]}\n"
    segment = branch(write(BRANCH + own))
    assert (segment.spec.contact.channels, segment.spec.name.en) == (["PUSH"], "Branch")
    yes = {
        "tier": True,
        "balance": True,
        "is_active": False,
        "days_left": False,
        "interests": True,
        "opened_on": False,
    }
    assert answers(segment, yes) is True
    assert answers(segment, {**yes, "interests": False}) is False
    assert answers(segment, {**yes, "tier": False}) is False
    assert answers(segment, {**yes, "tier": False, "is_active": True}) is True, "the template includes them"
    assert answers(segment, {**yes, "interests": False, "is_active": True}) is False, (
        "and the branch narrows them"
    )
    assert answers(segment, {**yes, "days_left": True}) is False
    assert answers(segment, {**yes, "opened_on": True}) is False
    assert answers(segment, {**yes, "balance": None}) is None


def test_what_a_template_leaves_to_its_branches_is_missed_in_their_file(write):
    template = TEMPLATE.replace("contact: {channels: [SMS, PUSH]}\n", "")
    folder = write(BRANCH, **{"templates/wealth@2.yml": template})
    with pytest.raises(
        SettingsInvalid, match="key 'contact' is missing, and the template wealth@2 leaves it to this file"
    ):
        branch(folder)


WIDENING = [
    ("unknown: include\n", 6, "E17 the template 'wealth@2' does not let 'unknown' be replaced"),
    ("purpose: service\n", 6, "E17 the template 'wealth@2' does not let 'purpose' be replaced"),
    ("publish: {destinations: [engine], columns: [balance]}\n", 6, "does not let 'publish' be replaced; it lets: name, owner"),
    ("include: [{tag: tier, eq: T1}]\n", 6, "E17 include would widen the template 'wealth@2', which lets people be added by: list"),
    ("include:\n  - {list: friends@1}\n  - {any: [{list: friends@1}]}\n", 8, "E17 include would widen"),
    ("extends: welth@2\n", 4, "E01 there is no template 'welth@2'"),
    ("extends: ../templates/wealth@2\n", 4, "E01 there is no template"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "line", "words"), WIDENING)
def test_what_would_widen_the_template_is_refused_with_its_line(write, own, line, words):
    text = BRANCH.replace("extends: wealth@2\n", own) if own.startswith("extends") else BRANCH + own
    with pytest.raises(SettingsInvalid) as refused:
        branch(write(text))
    assert (refused.value.line, words in refused.value.message) == (line, True), str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("overrides: [name", "overrides: [where, name"), "'overrides' cannot hold 'where'"),
        (("spec: segment_template/v1", "spec: segment/v1"), "begins with spec: segment_template/v1"),
        (("allows_include: [list]", "allows_include: [anybody]"), "'allows_include' cannot hold 'anybody'"),
        (("kind: dynamic", "kind: dynamic\ncode: x"), "a template has no 'code'"),
        (("kind: dynamic", "kind: dynamic\nwaves: []"), "'waves' is not supported yet"),
    ],
)
def test_a_template_that_promises_what_none_may_is_refused(write, change, words):
    with pytest.raises(SettingsInvalid, match=words):
        branch(write(BRANCH, **{"templates/wealth@2.yml": TEMPLATE.replace(*change)}))


def test_an_addition_that_the_template_allows_is_one_and_a_changed_template_changes_the_definition(write):
    segment = branch(write(BRANCH + "include: [{list: friends@1}]\n"))
    assert [leaf.normal() for leaf in segment.include][-1] == {"list": "friends@1"}
    plain = branch(write(BRANCH))
    assert plain.definition_hash != segment.definition_hash
    changed = branch(write(BRANCH, **{"templates/wealth@2.yml": TEMPLATE.replace("gte: 100", "gte: 90")}))
    assert changed.definition_hash != plain.definition_hash
    assert "gte: 100" in plain.text, "the text that is kept holds the template, too"


def test_a_fault_of_the_template_is_named_where_it_is_extended(write):
    template = TEMPLATE.replace("{tag: balance, gte: 100}", "{tag: balanec, gte: 100}")
    settings = load_settings(write(BRANCH, **{"templates/wealth@2.yml": template}))
    assert [(f.file.name, f.line, f.code) for f in catalogue_of(settings).findings()] == [
        ("branch.yml", 4, "E01")
    ]


def test_a_branch_is_checked_and_published_like_any_other(write):
    folder = write(BRANCH + "where: {tag: interests, contains_any: [FUND]}\n")
    settings = load_settings(folder)
    assert catalogue_of(settings).findings() == []
    lake = bank_lake(settings)
    evaluate(lake, D, surroundings(settings), engine="duckdb")
    assert [row["one_id"] for row in lake.read_arrow("segments.members").to_pylist()] == [1, 10]


RULE = "parameters: {least: {default: 200, min: 100, max: 500}, wish: {default: T3, one_of: [T2, T3]}}\nwhere: {all: [{tag: balance, gte: $least}, {tag: tier, eq: $wish}]}"


def parametrised(write, text="", rule=RULE):
    return write(spec("branch", rule), **{"segment_parameters.yml": text or "{}\n"})


def test_a_value_within_the_bounds_changes_whom_the_rule_chooses_and_the_run_but_not_the_definition(write):
    own = branch(parametrised(write))
    other = branch(parametrised(write, "branch: {least: 300}\n"))
    assert own.values == {"least": 200, "wish": "T3"} and other.values == {"least": 300, "wish": "T3"}
    assert own.where != other.where
    assert own.definition_hash == other.definition_hash
    for change in (
        ("max: 500", "max: 600"),
        ("$least", "200.5"),
        ("gte: $least", "gt: $least"),
        ("default: 200", "default: 201"),
    ):
        rule = RULE.replace(*change)
        rule = (
            rule.replace("least: {default: 200, min: 100, max: 500}, ", "") if "$least" not in rule else rule
        )
        assert branch(parametrised(write, rule=rule)).definition_hash != own.definition_hash, change


def test_a_fault_of_a_rule_with_parameters_keeps_its_line(write):
    rule = "parameters: {x: {default: 5, min: 1, max: 9}}\nwhere:\n  all:\n    - {tag: balance, gte: $x}\n    - {tag: tier, in: T1}"
    with pytest.raises(SettingsInvalid, match="E03 'in' takes a list") as refused:
        branch(parametrised(write, rule=rule))
    assert refused.value.line == 13


def test_two_parameters_that_change_places_are_another_definition(write):
    rule = "parameters: {a: {default: 5, min: 1, max: 9}, b: {default: 5, min: 1, max: 9}}\nwhere: {any: [{tag: balance, gte: $a}, {tag: days_left, gte: $b}]}"
    turned = rule.replace("$a", "$x").replace("$b", "$a").replace("$x", "$b")
    assert (
        branch(parametrised(write, rule=rule)).definition_hash
        != branch(parametrised(write, rule=turned)).definition_hash
    )


def test_a_text_and_that_of_its_template_part_as_they_were_joined():
    own, template = "code: a\n--- # x\n", "spec: segment_template/v1\n"
    assert parted_texts(joined_texts(own, "wealth@2", template)) == (own, template)
    assert parted_texts(own) == (own, None)


def test_a_template_that_is_given_is_taken_and_not_the_one_in_the_workspace(write):
    folder = write(BRANCH)
    file = folder / "segments" / "branch.yml"
    older = TEMPLATE.replace("gte: 100", "gte: 7")
    _, template = merged_tree(load_yaml(file), file, folder, older)
    assert (template.tree["where"]["gte"], template.text) == (7, older)
    assert template.owner == "template:wealth"


def test_a_value_that_does_not_fit_a_version_of_before_is_left_out_and_one_that_fits_is_taken(write):
    folder = parametrised(write, "branch: {least: 501, wish: T3, lest: 1}\n")
    parameters = {
        "least": Parameter(default=200, min=100, max=500),
        "wish": Parameter(default="T2", one_of=["T2", "T3"]),
    }
    found = parameter_values(parameters, "branch", folder, is_in_use=False)
    assert found == {"least": 200, "wish": "T3"}


@pytest.mark.parametrize("value", [0, 1.25, 2])
def test_a_parameter_with_a_fraction_takes_whole_numbers_too(value):
    assert Parameter(default=0.5, min=0, max=2).fault(value) is None


@pytest.mark.parametrize("value", [True, "1", float("nan"), float("inf"), None])
def test_a_parameter_takes_no_other_thing_for_a_number(value):
    assert Parameter(default=0.5, min=0, max=2).fault(value)


OUTSIDE = [
    ("branch: {least: 501}\n", "'branch.least' 501 lies outside 100 to 500"),
    ("branch: {least: 200.5}\n", "'branch.least' is no whole number"),
    ("branch: {wish: T1}\n", "'branch.wish' is none of T2, T3"),
    ("branch: {lest: 200}\n", "has no parameter 'lest'; did you mean 'least'?"),
    ("branch: [200]\n", "takes its parameters with their values"),
]


@pytest.mark.parametrize(("text", "words"), OUTSIDE)
def test_a_value_outside_the_bounds_is_refused_where_it_stands(write, text, words):
    with pytest.raises(SettingsInvalid) as refused:
        branch(parametrised(write, text))
    assert words in refused.value.message and refused.value.line == 1
    assert str(refused.value.file).endswith("segment_parameters.yml")


DECLARED = [
    ("parameters: {x: {default: 5, min: 6, max: 9}}\nwhere: {tag: balance, gte: $x}", "the default 5 lies outside"),
    ("parameters: {x: {default: 5}}\nwhere: {tag: balance, gte: $x}", "either min and max, or one_of"),
    ("parameters: {x: {default: 5, min: 1, max: 9}}\nwhere: {tag: balance, gte: 5}", "the rule does not use the parameter 'x'"),
    ("parameters: {x: {default: 5, min: 1, max: 9}}\nwhere: {tag: balance, gte: $y}", "E01 there is no parameter 'y'"),
    ("where: {tag: balance, gte: $y}", "E01 there is no parameter 'y'"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "words"), DECLARED)
def test_a_parameter_that_is_not_declared_soundly_or_not_used_is_refused(write, rule, words):
    with pytest.raises(SettingsInvalid, match=words.replace("$", r"\$")):
        branch(parametrised(write, rule=rule))


def test_values_for_a_segment_that_is_not_there_are_found(write):
    settings = load_settings(parametrised(write, "branch: {least: 300}\nbranhc: {least: 300}\n"))
    assert [(f.line, f.message) for f in catalogue_of(settings).findings()] == [
        (2, "the segment 'branhc' does not exist")
    ]


def test_a_segment_whose_value_is_outside_its_bounds_is_not_said_to_be_absent(write):
    naming = spec("naming", "where: {segment: branch}")
    folder = parametrised(write, "branch: {least: 501}\n")
    (folder / "segments" / "naming.yml").write_text(naming)
    catalogue = catalogue_of(load_settings(folder))
    assert [(f.file.name, f.code) for f in catalogue.findings()] == [("segment_parameters.yml", "E00")]
    with pytest.raises(SettingsInvalid, match="lies outside 100 to 500"):
        catalogue.segment("branch")


def test_another_value_is_another_run_under_the_same_definition_and_stands_in_manifest_and_run(write, caplog):
    folder = parametrised(write)
    lake = bank_lake(load_settings(folder))
    first = publish(lake, D).audiences[0]
    (folder / "segment_parameters.yml").write_text("branch: {least: 350}\n")
    caplog.set_level("INFO", logger="cdp.segments")
    second = publish(lake, D).audiences[0]
    assert first.definition_hash == second.definition_hash and first.run_id != second.run_id
    assert (first.counts["published"], second.counts["published"]) == (2, 1)
    assert "segment branch: parameter least is 350, by default 200" in caplog.messages
    root = lake.settings.published / "engine" / "branch"
    assert read_manifest(root / read_latest(root)["path"])["parameters"] == {"least": 350, "wish": "T3"}
    (run,) = lake.read_arrow("segments.runs").to_pylist()
    assert run["params"] == '{"parameters": {"least": 350, "wish": "T3"}}'
    assert dataclasses.asdict(second)["parameters"] == {"least": 350, "wish": "T3"}
