"""A branch chooses of whom head office's template chooses: over drawn people, for ranks, samples, include and exclude."""

from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rules import Bank, all_of, answer_of, any_of, opposite
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, bank_lake, catalogue_of, spec, surroundings
from test_segment_populations import BASES, EXPRESSIONS, RANKS, TAG_ROWS, TAGS, UNHURRIED, choice_of

from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from segments.choosing.evaluation import evaluate
from segments.explaining import snapshot
from segments.explaining.explain import explain
from segments.explaining.indexed import index_newest
from segments.explaining.preview import preview
from segments.language.catalogue import read_catalogue
from segments.language.spec import parse_segment, read_segment

TEMPLATE = """\
spec: segment_template/v1
name: {zh: 总行, en: Head office}
owner: {business: retail, tech: data}
entity: customer
kind: dynamic
purpose: marketing
contact: {channels: [SMS, PUSH]}
publish: {destinations: [engine], columns: [channel]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("branches")


def file_of(code, rule=None, version="1.0.0"):
    """The file of a branch; without a rule it is the template alone."""
    parts = "".join(f"{key}: {json.dumps(part)}\n" for key, part in (rule or {}).items())
    return f"spec: segment/v1\ncode: {code}\nversion: {version}\nextends: wealth@2\n{parts}"


def template_of(rule, unknown="exclude"):
    return TEMPLATE + f"unknown: {unknown}\n" + "".join(f"{key}: {json.dumps(rule[key])}\n" for key in rule)


SAMPLES = st.sampled_from([{"sample": {"percent": 50}}, {"sample": {"percent": 40, "salt": "pilot"}}])
CONDITIONS = st.recursive(
    st.one_of(TAGS, RANKS, RANKS, SAMPLES),
    lambda part: st.one_of(
        part.map(lambda p: {"not": p}),
        st.lists(part, min_size=1, max_size=2).map(lambda ps: {"all": ps}),
        st.lists(part, min_size=1, max_size=2).map(lambda ps: {"any": ps}),
    ),
    max_leaves=3,
)
SEVERAL = st.lists(CONDITIONS, max_size=2)
LAID_DOWN = st.fixed_dictionaries(
    {"base": BASES}, optional={"where": CONDITIONS, "include": SEVERAL, "exclude": SEVERAL}
)
OWN = st.fixed_dictionaries({}, optional={"base": TAGS, "where": CONDITIONS, "exclude": SEVERAL})
CROWDS = st.lists(TAG_ROWS, min_size=6, max_size=16).map(
    lambda rows: Bank(
        D, {n: {"one_id": n, **row} for n, row in enumerate(rows, start=1)}, {}, {}, EXPRESSIONS
    )
)


def expected_answer(person, bank, laid_down, own):
    """What plain Python answers: each part by its own salts, the template's ranks within the template's base."""

    def ask(part, owner, base):
        return answer_of(part, person, bank, segment=owner, base=base)

    def head(part):
        return ask(part, "template:wealth", laid_down["base"])

    both = {"all": [laid_down["base"], *([own["base"]] if "base" in own else [])]}
    narrowing = [ask(own[key], "branch", both) for key in ("base", "where") if key in own]
    rule = all_of([*(head(laid_down[key]) for key in ("base", "where") if key in laid_down), *narrowing])
    included = [all_of([head(part), *narrowing]) for part in laid_down.get("include", [])]
    excluded = [head(part) for part in laid_down.get("exclude", [])]
    excluded += [ask(part, "branch", both) for part in own.get("exclude", [])]
    return all_of([any_of([rule, *included]), *map(opposite, excluded)])


def assert_narrower(folder, bank, laid_down, own, unknown):
    """The branch's people are some of the template's, and both are whom plain Python chooses."""
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / "wealth@2.yml").write_text(template_of(laid_down, unknown))
    rules = {"head": {}, "branch": own}
    people = {code: choice_of(folder, bank, file_of(code, rule), code)[0] for code, rule in rules.items()}
    assert set(people["branch"]) <= set(people["head"])
    wanted = (True, None) if unknown == "include" else (True,)
    for code, rule in rules.items():
        assert people[code] == [n for n in bank.people if expected_answer(n, bank, laid_down, rule) in wanted]


TEN = Bank(
    D,
    {
        n: {"one_id": n, "tier": f"T{n % 3 + 1}", "balance": 1000 - n, "days_left": n, "interests": [], "is_active": True,
            "opened_on": D, "grade": None}
        for n in range(1, 11)
    },
    {},
)  # fmt: skip
HIGHEST = {"tag": "balance", "top_n": 3, "within": "base"}
ALL_TIERS = {"tag": "tier", "in": ["T1", "T2", "T3"]}
ATTACKS = {
    "a base beside a rank": ({"base": ALL_TIERS, "where": HIGHEST}, {"base": {"tag": "tier", "eq": "T1"}}),
    "a base beside a percentage": (
        {"base": ALL_TIERS, "where": {"tag": "balance", "top_percent": 30}}, {"base": {"tag": "days_left", "gte": 4}},
    ),
    "a base beside a rank that excludes": ({"base": ALL_TIERS, "exclude": [HIGHEST]}, {"base": {"tag": "tier", "eq": "T1"}}),
    "a base beside a rank that includes": (
        {"base": {"tag": "days_left", "gte": 4}, "where": {"tag": "tier", "eq": "T1"}, "include": [HIGHEST]},
        {"base": {"tag": "tier", "eq": "T3"}},
    ),
    "a rank under a negation": ({"base": ALL_TIERS, "where": {"not": HIGHEST}}, {"base": {"tag": "days_left", "gte": 3}}),
    "a sample": ({"base": ALL_TIERS, "where": {"sample": {"percent": 50}}}, {"where": {"tag": "tier", "ne": "T2"}}),
    "a sample that excludes": ({"base": ALL_TIERS, "exclude": [{"sample": {"percent": 50}}]}, {"where": {"tag": "tier", "ne": "T2"}}),
    "equal values": (
        {"base": ALL_TIERS, "where": {"tag": "opened_on", "top_n": 3}}, {"where": {"tag": "days_left", "gte": 2}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("unknown", ["exclude", "include"])
def test_a_branch_chooses_nobody_whom_its_template_does_not_choose(folder, attack, unknown):
    laid_down, own = ATTACKS[attack]
    assert_narrower(folder, TEN, laid_down, own, unknown)


@pytest.mark.slow
@settings(max_examples=12, **UNHURRIED)
@given(CROWDS, LAID_DOWN, OWN, st.sampled_from(["exclude", "include"]))
def test_whatever_a_branch_writes_it_chooses_some_of_its_templates_people(
    folder, bank, laid_down, own, unknown
):
    assert_narrower(folder, bank, laid_down, own, unknown)


@pytest.mark.slow
@settings(max_examples=150, **UNHURRIED)
@given(CROWDS, LAID_DOWN, OWN, st.sampled_from(["exclude", "include"]))
def test_whatever_many_branches_write_they_choose_some_of_their_templates_people(
    folder, bank, laid_down, own, unknown
):
    assert_narrower(folder, bank, laid_down, own, unknown)


OFFICE = template_of(
    {
        "base": {"tag": "tier", "in": ["T2", "T3"]},
        "where": {"any": [{"tag": "balance", "top_n": 4}, {"sample": {"percent": 30}}]},
        "exclude": [{"tag": "days_left", "top_n": 1}],
    }
)
OWN_BASE = {"base": {"tag": "is_active", "eq": True}}
LOWER = {"base": {"tag": "days_left", "gte": 4}, "where": {"tag": "balance", "top_n": 5}}
BRANCHES = {"head": {}, "active": OWN_BASE, "lower": LOWER}


@pytest.fixture
def write(make_workspace):
    numbers = count()

    def make(branches, template=OFFICE, **others):
        files = {
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "templates/wealth@2.yml": template,
        }
        files |= {f"segments/{code}.yml": file_of(code, rule) for code, rule in branches.items()}
        return make_workspace({**files, **others}, name=f"bank {next(numbers)}")  # fmt: skip

    return make


@pytest.mark.slow
def test_nights_explanations_previews_and_the_index_see_the_same_people_of_branches(write, monkeypatch):
    settings = load_settings(write(BRANCHES))
    assert catalogue_of(settings).findings() == []
    lake = bank_lake(settings)
    result = evaluate(lake, D, surroundings(settings), engine="duckdb")
    make_visible(lake, D, "first", {})
    candidates = {audience.code: audience.counts["candidates"] for audience in result.audiences}
    around = surroundings(settings)
    answers = {
        code: {n for n in range(1, 13) if explain(settings, around, code, n).answer} for code in BRANCHES
    }
    # The highest of T2 and T3 are 1, 5, 6 and 7, the sample adds 8 and 10, and 2 has the most days left. Of those with four days
    # left 11 is among the highest four, and not of all.
    assert answers == {"head": {1, 5, 6, 7, 8, 10}, "active": {1, 5, 6, 7, 8, 10}, "lower": {5, 6, 10}}
    assert candidates == {code: len(people) for code, people in answers.items()}
    expected = [preview(settings, around, code) for code in BRANCHES]
    index_newest(settings, around)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "leaves_by_duckdb", None)
        assert [preview(settings, around, code) for code in BRANCHES] == expected
    assert {figures.code: figures.counts["candidates"] for figures in expected} == candidates


def test_a_rank_of_a_template_needs_a_base_of_the_template(write):
    template = template_of({"where": HIGHEST})
    findings = catalogue_of(load_settings(write({"active": OWN_BASE}, template))).findings()
    assert [(f.file.name, f.line, f.code, f.message) for f in findings] == [
        ("active.yml", 4, "E03", "'within: base' needs the template's base; write within: all to rank everybody")
    ]  # fmt: skip


def test_a_template_that_samples_and_that_nobody_extends_is_sound(write):
    folder = write({}, template_of({"where": {"sample": {"percent": 5}}}), **{"templates/理财@1.yml": OFFICE})
    settings = load_settings(folder)
    assert read_catalogue(settings, surroundings(settings), {}, is_check=True).findings() == []


def definition(folder, code):
    return read_segment(folder / "segments" / f"{code}.yml").definition_hash


def test_only_where_a_template_ranks_or_samples_its_branches_have_another_definition(write):
    """A branch without ranks and samples has the definition of the rule that is written out."""
    rule = {
        "base": ALL_TIERS,
        "where": {"tag": "days_left", "gte": 1},
        "include": [{"tag": "balance", "gte": 5}],
    }
    own = {**OWN_BASE, "where": {"tag": "tier", "ne": "T1"}, "exclude": [{"tag": "grade", "eq": "H"}]}
    whole = {
        "base": {"all": [rule["base"], own["base"]]}, "where": {"all": [rule["where"], own["where"]]},
        "include": [{"all": [*rule["include"], own["base"], own["where"]]}], "exclude": own["exclude"],
    }  # fmt: skip
    written_out = template_of(whole).replace("segment_template/v1", "segment/v1\ncode: whole\nversion: 1.0.0")
    folder = write({"branch": own}, template_of(rule), **{"segments/whole.yml": written_out})
    assert definition(folder, "branch") == definition(folder, "whole")


def test_within_whose_base_a_template_ranks_is_part_of_the_definition(write):
    ranks = {"where": {"tag": "balance", "top_n": 3, "salt": "own"}}
    first = write({"branch": OWN_BASE}, template_of({"base": ALL_TIERS, **ranks}))
    second = write({"branch": {"base": ALL_TIERS}}, template_of({**OWN_BASE, **ranks}))
    assert definition(first, "branch") != definition(second, "branch")


def test_a_template_that_samples_more_only_adds_people(write):
    files = {}
    for version, percent in ((2, 20), (3, 95)):
        files[f"templates/wealth@{version}.yml"] = template_of({"where": {"sample": {"percent": percent}}})
    files["segments/later.yml"] = file_of("later").replace("wealth@2", "wealth@3")
    lake = bank_lake(load_settings(write({"sooner": {}}, **files)))
    evaluate(lake, D, surroundings(lake.settings), engine="duckdb")
    rows = lake.read_arrow("segments.members").to_pylist()
    people = {code: {row["one_id"] for row in rows if row["code"] == code} for code in ("sooner", "later")}
    assert set() < people["sooner"] < people["later"]


def test_a_draft_samples_whom_its_code_will_sample_whatever_its_file_is_called(write):
    folder = write({})
    text = spec("x", "where: {all: [{sample: {percent: 50}}, {tag: balance, top_n: 3, within: all}]}")
    (folder / "segments").mkdir()
    (folder / "segments" / "x.yml").write_text(text)
    draft = parse_segment(text, folder / "segments" / "draft of x.yml", folder)
    assert draft.definition_hash == definition(folder, "x")
