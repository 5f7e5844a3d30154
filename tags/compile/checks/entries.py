"""What can be wrong with a registry entry, found before anything runs and reported with file and line.

Checked here: SQL that does not parse, columns and relations that are not there, tags read without being listed as
inputs, values outside a domain, levels below those of the inputs, purposes wider than those of the inputs,
windows longer than data is kept, answers of another type than the declared one, and tags that ask the same question twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from sqlglot import exp

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import ContractBroken
from lakehouse.expressions.expression import syntax_tree
from lakehouse.expressions.tokens import ExpressionInvalid, short_text
from lakehouse.settings.yaml_files import did_you_mean
from tags.compile.checks.inputs import PIPELINE, check_inputs_of_rows
from tags.compile.checks.origins import columns_behind, columns_held, type_of
from tags.compile.checks.value_types import check_types
from tags.compile.checks.windows import check_window
from tags.compile.entry_texts import THRESHOLDS, Keys, names_in, populations_of, texts_of
from tags.compile.lineage import Lineage
from tags.compile.normal_form import question_of
from tags.compile.plan import ScanPlan
from tags.compile.relations import SiteColumns, TagSource
from vocabulary.attributes import ATTRIBUTES
from vocabulary.entities import PERSON
from vocabulary.levels import LEVELS
from vocabulary.lookups import LookupInvalid
from vocabulary.registry import COMPUTED_STATUSES, Entry, Registry
from vocabulary.relations import RELATED

_NUMBERS = ("decimal", "int", "bigint", "smallint", "tinyint", "double", "float")
# Places where a parameter that is a list may stand.
_USES_OF_LISTS = (exp.Bracket, exp.ArrayContains, exp.ArraySize)


def check(registry: Registry, plan: ScanPlan, lineage: Lineage, site: SiteColumns) -> None:
    """Raise ``SettingsInvalid`` for the first fault of any online tag."""
    relations = {entry.code: scan.relation for scan in plan.scans for entry in scan.entries}
    for entry in plan.entries:
        _check_successor(registry, entry)
        _check_inputs(registry, entry, site)
        relation = relations.get(entry.code)
        if relation is not None and entry.about == PERSON:
            _check_person(registry, entry, relation)
        elif relation is not None:
            _check_entity(registry, entry, relation)
        for keys, text, _ in texts_of(entry):
            _parse(registry, entry, text, keys)
        _check_level(registry, entry, _sources(entry, relation, lineage), site)
        _check_level_of_key(registry, entry, site)
        _check_purposes(registry, entry)
        _check_refresh(registry, entry)
        _check_cut_points(registry, entry)
        for keys, text, over_rows in texts_of(entry):
            tree = _parse(registry, entry, text, keys)
            _check_params(registry, entry, tree, keys)
            _check_divisors(registry, entry, tree, keys)
            if over_rows:
                _check_threshold(registry, entry, tree, keys)
                _check_columns(registry, entry, tree, relations[entry.code], keys)
                _check_allowed(registry, entry, tree, relations[entry.code], lineage, keys)
            else:
                _check_tags(registry, entry, tree, keys)
                _check_compared(registry, entry, tree, keys)
        _check_results(registry, entry)
        if relation is not None:
            check_window(registry, entry, relation, lineage)
            check_inputs_of_rows(registry, entry, relation, lineage)
            _check_number(registry, entry, relation, lineage)
        check_types(registry, entry, relation, lineage)
    _check_duplicates(registry, plan)


def _check_successor(registry: Registry, entry: Entry) -> None:
    """Refuse to replace a tag that is not there, or the tag itself."""
    code = entry.replaces
    if code is not None and (code == entry.code or code not in registry.entries):
        hint = did_you_mean(code, [other for other in registry.entries if other != entry.code])
        what = "itself" if code == entry.code else f"the unknown tag '{code}'{hint}"
        raise registry.fault(entry.code, f"replaces {what}", "replaces")


def _parse(registry: Registry, entry: Entry, text: str, keys: Keys) -> exp.Expression:
    try:
        return syntax_tree(text)  # type: ignore[no-any-return]
    except ExpressionInvalid as wrong:
        raise registry.fault(entry.code, f"'{short_text(text)}' {wrong}", *keys) from None


def _check_params(registry: Registry, entry: Entry, tree: exp.Expression, keys: Keys) -> None:
    names = {param.name for param in entry.params} | {"business_date"}
    for placeholder in tree.find_all(exp.Placeholder):
        if placeholder.name not in names:
            hint = did_you_mean(placeholder.name, sorted(names))
            raise registry.fault(entry.code, f"unknown parameter ':{placeholder.name}'{hint}", *keys)
        _check_list(registry, entry, placeholder, keys)


def _check_list(registry: Registry, entry: Entry, placeholder: exp.Placeholder, keys: Keys) -> None:
    """Refuse a list where one value is meant, one value where a list is, and a place that a list has not."""
    name, use = placeholder.name, placeholder.parent
    values = [param.value for param in entry.params if param.name == name]
    lists = [value for value in values if isinstance(value, list)]
    is_used_as_list = use is not None and use.this is placeholder and isinstance(use, _USES_OF_LISTS)
    if len(lists) not in (0, len(values)):
        raise registry.fault(entry.code, f"':{name}' is a list since one day and none since another", *keys)
    if bool(lists) != is_used_as_list:
        how = f"element_at(:{name}, 1), array_contains(:{name}, x) or size(:{name})"
        what = f"is a list: read it as {how}" if lists and not is_used_as_list else "is no list"
        raise registry.fault(entry.code, f"':{name}' {what}", *keys)
    if lists and isinstance(use, exp.Bracket):
        shortest = min(map(len, lists))
        place = use.expressions[0]
        if not place.is_int or place.sql() not in map(str, range(1, shortest + 1)):
            raise registry.fault(
                entry.code, f"':{name}' has the places 1 to {shortest}; write one of them as a number", *keys
            )


def _check_divisors(registry: Registry, entry: Entry, tree: exp.Expression, keys: Keys) -> None:
    """Refuse a division by a number or a parameter that is 0: it gives null to everybody."""
    for node in tree.find_all(exp.Div, exp.Mod):
        divisor = node.expression.unnest()
        if isinstance(divisor, exp.Literal) and not divisor.is_string and Decimal(divisor.name) == 0:
            raise registry.fault(entry.code, "divides by 0, which is null for everybody", *keys)
        for param in entry.params if isinstance(divisor, exp.Placeholder) else ():
            value = param.value
            if param.name == divisor.name and isinstance(value, int | Decimal) and value == 0:
                raise registry.fault(
                    entry.code, f"divides by ':{param.name}', which is 0 since {param.since}", *keys
                )


def _check_threshold(registry: Registry, entry: Entry, tree: exp.Expression, keys: Keys) -> None:
    """Refuse a threshold that reads a row: it is one value for everybody."""
    names = names_in(tree) if keys[-1] in THRESHOLDS else []
    if names:
        raise registry.fault(
            entry.code, f"'{keys[-1]}' reads the column '{names[0]}'; write a number or a parameter", *keys
        )


def _check_columns(
    registry: Registry, entry: Entry, tree: exp.Expression, relation: TagSource, keys: Keys
) -> None:
    for name in names_in(tree):
        try:
            place = relation.column(name)
        except LookupInvalid as wrong:
            raise registry.fault(entry.code, f"'{name}': {wrong}", *keys) from None
        if place is None:
            hint = did_you_mean(name, [*relation.columns, *relation.attributes])
            raise registry.fault(entry.code, f"{relation.name} has no column '{name}'{hint}", *keys)
        if relation.bridge is not None and name not in (*PERSON.columns, *entry.tag_inputs):
            raise registry.fault(entry.code, f"reads the tag '{name}', which 'inputs' does not list", *keys)
        if relation.is_trusted and name not in PIPELINE and place[0] not in entry.inputs:
            raise registry.fault(entry.code, f"reads {place[0]}, which 'inputs' does not list", *keys)


def _check_tags(registry: Registry, entry: Entry, tree: exp.Expression, keys: Keys) -> None:
    for name in names_in(tree):
        if name in entry.about.columns or name in entry.tag_inputs:
            continue
        if name in registry.entries:
            raise registry.fault(entry.code, f"reads the tag '{name}', which 'inputs' does not list", *keys)
        domain = entry.value.domain or ()
        hint = (
            f"; a text stands in quotes of its own: \"'{name}'\""
            if name in domain
            else did_you_mean(name, list(registry.entries))
        )
        raise registry.fault(entry.code, f"unknown tag '{name}'{hint}", *keys)


def _check_person(registry: Registry, entry: Entry, relation: TagSource) -> None:
    """Refuse a relation whose rows lead to no person; a ``column`` needs a row per person."""
    assert entry.compute is not None
    keys = ("compute", entry.compute.kind, "from")
    if relation.attribution is None:
        raise registry.fault(
            entry.code,
            f"the rows of {relation.name} lead to no person: it has no one_id, no source_key and no account_id; {_way(relation)}",
            *keys,
        )
    if entry.compute.column and relation.attribution != "one_id":
        raise registry.fault(
            entry.code,
            f"{relation.name} has no one_id; 'column' reads one row per person, 'latest' picks one",
            *keys,
        )


def _check_entity(registry: Registry, entry: Entry, relation: TagSource) -> None:
    """Refuse a relation whose rows name none of the entity; a ``column`` needs a row for each."""
    assert entry.compute is not None
    entity, keys = entry.about, ("compute", entry.compute.kind, "from")
    if relation.attribution is None:
        raise registry.fault(
            entry.code,
            f"the rows of {relation.name} name no {entity.code}: they have not the columns {' and '.join(entity.key)}; "
            f"{_way_to_entity(relation, entry)}",
            *keys,
        )
    if entry.compute.column and set(relation.key) != set(relation.names_of(entity)):
        raise registry.fault(
            entry.code,
            f"{relation.name} has more rows than one of a {entity.code}; 'column' reads one row of each, 'latest' picks one",
            *keys,
        )


def _way_to_entity(relation: TagSource, entry: Entry) -> str:
    """Say how the rows of a relation can name the entity of a tag."""
    entity = entry.about
    ways = relation.site.lookups.ways(relation.name, entity.is_named_by) if relation.is_trusted else []
    if ways:
        return f"they do by a look-up: write `via: {ways[0]}`"
    if not relation.is_trusted:
        return "give the model these columns"
    return f"declare a look-up from it to a table that has them in lookups.yml and name it by `via`, or count people: `from: {PERSON.wide_model}`"


def _check_level_of_key(registry: Registry, entry: Entry, site: SiteColumns) -> None:
    """Refuse a level below that of the key under which the values stand: an employee is a person."""
    entity = entry.about
    table, columns = entity.table, entity.key
    if entity.model:
        table, columns = RELATED, ("to_key",)
    levels = {name: site.level(table, name) for name in columns} if table else {}
    for name, level in levels.items():
        if level is None or LEVELS.index(level) <= LEVELS.index(entry.level):  # type: ignore[arg-type]
            continue
        if entry.declassified is None or entry.declassified.to != entry.level:
            raise registry.fault(
                entry.code,
                f"level {entry.level} is lower than that of {table}.{name} ({level}), whose values say whom each answer is about; "
                "raise it or state 'declassified'",
                "level",
            )


def _way(relation: TagSource) -> str:
    """Say how the rows of a relation can lead to a person."""
    if relation.name == ATTRIBUTES:
        return "read an attribute as a column of the table of its entity, such as trusted.customers"
    if not relation.is_trusted:
        return "give the model a column one_id"
    ways = relation.site.lookups.ways_to_a_person(relation.name)
    if ways:
        return f"they do by a look-up: write `via: {ways[0]}`"
    if relation.name == RELATED:
        return "read int_account_owners, int_managers_keyed or int_wallets_keyed, or write a model with a column one_id"
    return "declare a look-up from it to a table with source_key or account_id in lookups.yml and name it by `via`"


def _check_compared(registry: Registry, entry: Entry, tree: exp.Expression, keys: Keys) -> None:
    """Refuse to compare a tag with a value that it can never have: a typing mistake."""
    for name, value in comparisons(tree):
        domain = registry[name].value.domain if name in registry.entries else None
        if domain and value not in domain:
            raise registry.fault(
                entry.code, f"'{name}' never is '{value}'{did_you_mean(value, domain)}", *keys
            )


def _check_allowed(
    registry: Registry, entry: Entry, tree: exp.Expression, relation: TagSource, lineage: Lineage, keys: Keys
) -> None:
    """Refuse to compare a column with a value that the contracts of all tables that it is of do not allow."""
    for name, value in comparisons(tree):
        columns = columns_held(relation, name, lineage)
        if not columns or not all(column.allowed for column in columns.values()):
            continue
        values = sorted({text for column in columns.values() for text in column.allowed})
        if value not in values:
            origin = " and ".join(columns)
            raise registry.fault(
                entry.code, f"{origin} never is '{value}'{did_you_mean(value, values)}", *keys
            )


def comparisons(tree: exp.Expression) -> Iterator[tuple[str, str]]:
    """Give the columns that an expression compares with texts, each with its text."""
    for node in tree.find_all(exp.EQ, exp.NEQ, exp.In):
        column = node.this if isinstance(node.this, exp.Column) else None
        if column is None:
            continue
        for value in node.expressions if isinstance(node, exp.In) else [node.expression]:
            if isinstance(value, exp.Literal) and value.is_string:
                yield column.name, value.name


def _check_results(registry: Registry, entry: Entry) -> None:
    """Refuse a value that the entry states and that is outside its domain or its range."""
    if entry.compute is None:
        return
    defaults: list[object] = [*entry.default] if isinstance(entry.default, list) else [entry.default]
    for value in defaults:
        if value is not None and not isinstance(value, bool):
            _check_value(registry, entry, value, ("default",))
    form = entry.compute.aggregate or entry.compute.latest
    texts: list[tuple[Keys, str | None]] = [(("compute", "expression"), entry.compute.expression)]
    if form and getattr(form, "measure", "latest") in (
        "latest",
        "first",
        "last",
        "min",
        "max",
        "set",
        "mode",
    ):
        texts.append((("compute", entry.compute.kind, "of"), form.of))
    for at, case in enumerate(entry.compute.cases or []):
        texts += [(("compute", "cases", at), text) for text in (case.then, case.otherwise)]
    for keys, text in texts:
        for literal in _results(_parse(registry, entry, text, keys)) if text is not None else ():
            _check_value(registry, entry, literal, keys)


def _results(tree: exp.Expression | None) -> Iterator[str | Decimal]:
    """Give the literals that an expression may come to."""
    if isinstance(tree, exp.Literal):
        yield tree.name if tree.is_string else Decimal(tree.name)
    elif isinstance(tree, exp.Neg) and isinstance(tree.this, exp.Literal):
        yield -Decimal(tree.this.name)
    elif isinstance(tree, exp.Paren | exp.Cast):
        yield from _results(tree.this)
    elif isinstance(tree, exp.Case):
        for branch in tree.args["ifs"]:
            yield from _results(branch.args["true"])
        yield from _results(tree.args.get("default"))
    elif isinstance(tree, exp.If):
        yield from _results(tree.args["true"])
        yield from _results(tree.args.get("false"))
    elif isinstance(tree, exp.Coalesce | exp.Array):
        for part in (tree.this, *tree.expressions):
            yield from _results(part)


def _check_value(registry: Registry, entry: Entry, value: object, keys: Keys) -> None:
    domain, low, high = entry.value.domain, entry.value.min, entry.value.max
    if domain and isinstance(value, str) and value not in domain:
        raise registry.fault(
            entry.code, f"'{value}' is outside the domain{did_you_mean(value, domain)}", *keys
        )
    if not isinstance(value, int | float | Decimal):
        return
    if low is not None and value < low:
        raise registry.fault(entry.code, f"{value} is below the least value {low}", *keys)
    if high is not None and value > high:
        raise registry.fault(entry.code, f"{value} is above the greatest value {high}", *keys)


def _column_level(registry: Registry, entry: Entry, column: str, site: SiteColumns) -> str:
    table, _, name = column.rpartition(".")
    if table not in contract_names():
        raise registry.fault(
            entry.code, f"unknown table '{table}'{did_you_mean(table, contract_names('trusted'))}", "inputs"
        )
    level = site.level(table, name)
    if level is None:
        names = [*contract(table).columns, *site.attributes.of_table(table)]
        raise registry.fault(
            entry.code, f"{table} has no column '{name}'{did_you_mean(name, names)}", "inputs"
        )
    return level


def _check_inputs(registry: Registry, entry: Entry, site: SiteColumns) -> None:
    names = {param.name for param in entry.params}
    for text in entry.inputs:
        if text.startswith("param:") and text.removeprefix("param:") not in names:
            hint = did_you_mean(text.removeprefix("param:"), sorted(names))
            raise registry.fault(entry.code, f"'inputs' names an unknown parameter '{text}'{hint}", "inputs")
    for column in entry.column_inputs:
        try:
            _column_level(registry, entry, column, site)
        except ContractBroken as wrong:
            raise registry.fault(entry.code, wrong.message, "inputs") from None


def _sources(entry: Entry, relation: TagSource | None, lineage: Lineage) -> set[str]:
    """Give the contracted columns that a tag over rows says something of, whatever its 'inputs' say: by its value, or by which rows count."""
    if relation is None:
        return set()
    return columns_behind(entry, relation, lineage).with_meaning


def _check_level(registry: Registry, entry: Entry, sources: Iterable[str], site: SiteColumns) -> None:
    """Refuse a level below the highest of what the tag reads or comes from, unless it says why it reveals less."""
    columns = dict.fromkeys([*entry.column_inputs, *sorted(sources)])
    levels = {column: _column_level(registry, entry, column, site) for column in columns}
    levels |= {f"tag:{code}": registry[code].level for code in entry.tag_inputs}
    for name, level in levels.items():
        if level == "C3":
            raise registry.fault(entry.code, f"reads {name} of level C3, which never enters a tag", "inputs")
    if entry.level == "C3":
        raise registry.fault(entry.code, "a tag cannot be of level C3", "level")
    if not levels:
        return
    name = max(levels, key=lambda n: (LEVELS.index(levels[n]), n))
    if LEVELS.index(levels[name]) <= LEVELS.index(entry.level):
        return
    if entry.declassified is None:
        raise registry.fault(
            entry.code,
            f"level {entry.level} is lower than that of {name} ({levels[name]}); raise it or state 'declassified'",
            "level",
        )
    if entry.declassified.to != entry.level:
        raise registry.fault(
            entry.code,
            f"is declassified to {entry.declassified.to} but its level is {entry.level}",
            "declassified",
        )


def _check_purposes(registry: Registry, entry: Entry) -> None:
    """Refuse wider purposes: what may only serve one does not become free by being combined."""
    for code in entry.tag_inputs:
        wider = [purpose for purpose in entry.purposes if purpose not in registry[code].purposes]
        if wider and entry.declassified is None:
            raise registry.fault(
                entry.code, f"purpose '{wider[0]}' is wider than those of '{code}'", "purposes"
            )


def _check_refresh(registry: Registry, entry: Entry) -> None:
    """Refuse a tag that may change every night and reads one that is held for the month."""
    for code in entry.tag_inputs if entry.refresh != "monthly" else ():
        if registry[code].refresh == "monthly" and registry.status_of(registry[code]) in COMPUTED_STATUSES:
            raise registry.fault(
                entry.code,
                f"reads the tag '{code}', which is held for the month; write `refresh: monthly` here too, or `refresh: nightly` there",
                "inputs",
            )


def _check_number(registry: Registry, entry: Entry, relation: TagSource, lineage: Lineage) -> None:
    """Refuse a measure of numbers over a column that holds none, and one between two numbers whose tag holds whole ones."""
    form = entry.compute.aggregate if entry.compute else None
    if form is None or form.measure not in ("median", "quantile", "trend", "sum", "avg", "ratio"):
        return
    has_fraction = entry.value.type in ("decimal", "ratio") or form.at_least is not None
    if form.measure in ("median", "quantile", "trend") and not has_fraction:
        raise registry.fault(
            entry.code,
            f"a {form.measure} may lie between two whole numbers; write a value of type decimal or ratio",
            "value",
        )
    if form.trend_of in ("count", "count_distinct") or form.of is None:
        return
    tree = _parse(registry, entry, form.of, ("compute", "aggregate", "of"))
    kind = type_of(relation, tree.parts[0].name, lineage) if isinstance(tree, exp.Column) else None
    if kind is not None and not kind.startswith(_NUMBERS):
        raise registry.fault(
            entry.code,
            f"measures the {form.measure} of {form.of}, which is a {kind} and no number",
            "compute",
            "aggregate",
            "of",
        )


def _check_cut_points(registry: Registry, entry: Entry) -> None:
    """Refuse cut points of what is no computed number, of people nobody can name, and of tags more personal than this one."""
    for at, spec in populations_of(entry):
        place: Keys = ("params", at, "cut_points")
        if entry.about != PERSON:
            raise registry.fault(
                entry.code,
                f"cut points are computed over people, and this is a tag of the {entry.entity}",
                *place,
            )
        names = {spec.of: (*place, "of")}
        if spec.population:
            tree = _parse(registry, entry, spec.population, (*place, "population"))
            others = {p.name for p in entry.params if p.cut_points is None} | {"business_date"}
            for placeholder in tree.find_all(exp.Placeholder):
                if placeholder.name not in others:
                    hint = did_you_mean(placeholder.name, sorted(others))
                    raise registry.fault(
                        entry.code, f"unknown parameter ':{placeholder.name}'{hint}", *place, "population"
                    )
            if tree.find(exp.Anonymous) is not None:
                raise registry.fault(
                    entry.code,
                    "a population is a condition over tags, without bucket()",
                    *place,
                    "population",
                )
            _check_compared(registry, entry, tree, (*place, "population"))
            names |= dict.fromkeys(names_in(tree), (*place, "population"))
        for name, keys in names.items():
            _check_cut_tag(registry, entry, name, keys)
        value = registry[spec.of].value
        if value.type not in ("int", "decimal", "ratio") or value.cardinality == "set":
            raise registry.fault(
                entry.code, f"'{spec.of}' is no number, so it has no quantiles", *place, "of"
            )


def _check_cut_tag(registry: Registry, entry: Entry, name: str, keys: Keys) -> None:
    if name not in registry.entries:
        hint = did_you_mean(name, list(registry.entries))
        raise registry.fault(entry.code, f"unknown tag '{name}'{hint}", *keys)
    other = registry[name]
    if absence := registry.absences.get(name):
        raise registry.fault(
            entry.code, f"reads the tag '{name}', which is off: {absence.sentence}; {absence.remedy}", *keys
        )
    if other.about != PERSON:
        raise registry.fault(
            entry.code, f"'{name}' is a tag of the {other.entity}, and people are cut", *keys
        )
    if other.status not in ("online", "deprecated"):
        raise registry.fault(entry.code, f"reads the tag '{name}', which is {other.status}", *keys)
    wider = [purpose for purpose in entry.purposes if purpose not in other.purposes]
    if entry.declassified is None and (LEVELS.index(other.level) > LEVELS.index(entry.level) or wider):
        raise registry.fault(
            entry.code,
            f"is cut by '{name}', whose level is {other.level} and whose purposes are {', '.join(other.purposes)}; "
            "give this tag no lower level and no other purposes",
            *keys,
        )


def _check_duplicates(registry: Registry, plan: ScanPlan) -> None:
    """Two online tags of one normal form are one tag with two names."""
    codes: dict[str, str] = {}
    for entry in plan.entries:
        question = question_of(entry)
        if question in codes:
            raise registry.fault(
                entry.code, f"asks the same as the tag '{codes[question]}'; use that one", "compute"
            )
        codes[question] = entry.code
