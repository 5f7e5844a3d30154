"""From registry entries to SQL: one scan per relation for everything read, one select per layer of rules.

Thousand tags stay a handful of scans: all aggregates over a relation become conditional aggregation
(``CASE``, since ``FILTER`` on many aggregates is many times slower) over one pass; rules become columns of one
select per dependency layer; everything is joined on ``one_id`` once. This module only writes text; what can be
wrong with an entry is found by ``tags.compile.checks``.
"""

from __future__ import annotations

from decimal import Decimal

from lakehouse.expressions.tokens import ExpressionInvalid, short_text
from lakehouse.settings.yaml_files import did_you_mean
from tags.compile.entry_texts import names_over_rows
from tags.compile.joins import attributed_rows, key_column, lookups_of
from tags.compile.measures import mode_sql, quantile_sql
from tags.compile.plan import Scan, ScanPlan, plan_of
from tags.compile.relations import TagSource
from tags.compile.sql_text import BUSINESS_DATE, dbt_literal, note, resolve
from vocabulary.entities import PERSON
from vocabulary.lookups import Lookup
from vocabulary.registry import Aggregate, Entry, Latest, Param, Registry
from vocabulary.reserved_names import AS_OF, EXCEPTIONS, LOST, SOURCES, UNEXPLAINED

WIDE_MODEL = PERSON.wide_model
# What the rows of each wide model are.
ROWS_OF_WIDE = {
    "customer": "One row per OneID of kind customer or prospect.",
    "product": "One row per product that its source knows on D.",
    "branch": "One row per branch that its source knows on D.",
    "employee": "One row per employee whom a source knows on D.",
    "company": "One row per company to which somebody known belongs on D.",
    "household": "One row per household to which somebody known belongs on D.",
}
GENERATED = "-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.\n"
_ZERO = {"int": "0", "decimal": "0", "ratio": "0", "boolean": "false"}


class Writer:
    """Writes the SQL of single tags and of whole models for one plan."""

    def __init__(self, registry: Registry, plan: ScanPlan) -> None:
        self.registry = registry
        self.plan = plan
        self.entity = plan.entity

    def text(self, entry: Entry, text: str, *keys: str | int) -> str:
        """Give an entry's expression as SQL; a parameter it does not define raises with its line."""
        params: dict[str, list[Param]] = {}
        for param in entry.params:
            params.setdefault(param.name, []).append(param)

        def missing(name: str) -> Exception:
            hint = did_you_mean(name, [*params, "business_date"])
            return self.registry.fault(entry.code, f"unknown parameter ':{name}'{hint}", *keys)

        try:
            return resolve(text, params, missing, entry.code)
        except ExpressionInvalid as wrong:
            raise self.registry.fault(entry.code, f"'{short_text(text)}' {wrong}", *keys) from None

    # ------------------------------------------------------------------ what is read

    def measure(self, entry: Entry, relation: TagSource) -> str:
        """Give the aggregate expression of a tag over its relation's rows."""
        compute = entry.compute
        assert compute is not None
        form = compute.aggregate or compute.latest
        assert form is not None
        key = compute.kind
        conditions = []
        if form.where:
            conditions.append(f"({self.text(entry, form.where, 'compute', key, 'where')})")
        of = self.text(entry, form.of, "compute", key, "of") if form.of else "1"
        if isinstance(form, Latest):
            return self._pick("max_by", entry, of, form.order_by, conditions, relation)
        if form.measure == "trend":
            return self._trend(entry, form, of, conditions, relation)
        conditions += self._window(entry, form, relation)
        if form.measure in ("first", "last"):
            picker = "min_by" if form.measure == "first" else "max_by"
            return self._pick(picker, entry, of, form.order_by or [], conditions, relation)
        per_row = _per_row(of, conditions)
        if form.measure == "any":
            return f"max({' and '.join([*conditions, of] if form.of else conditions) or 'true'})"
        sql = self._measure_of_rows(entry, form, of, conditions, relation)
        if form.rows_at_least:
            least = self.text(entry, form.rows_at_least, "compute", key, "rows_at_least")
            sql = f"case when count({per_row}) >= ({least}) then {sql} end"
        if form.at_least:
            sql = f"{sql} >= {self.text(entry, form.at_least, 'compute', key, 'at_least')}"
        return sql

    def _measure_of_rows(
        self, entry: Entry, form: Aggregate, of: str, conditions: list[str], relation: TagSource
    ) -> str:
        """Give the aggregate expression of a measure over the rows that its conditions let stand."""
        if form.measure == "mode":
            order = [self.text(entry, part, "compute") for part in form.order_by or []]
            weight = self.text(entry, form.of_weight, "compute") if form.of_weight else None
            return mode_sql(of, conditions, order, weight)
        if form.measure in ("median", "quantile"):
            return quantile_sql(of, conditions, Decimal("0.5") if form.quantile is None else form.quantile)
        per_row = _per_row(of, conditions)
        return {
            "sum": f"sum({per_row})",
            "count": f"count({per_row})",
            # collect_set once per group: several COUNT(DISTINCT) make Spark copy every row once per tag.
            "count_distinct": f"size(collect_set({per_row}))",
            "min": f"min({per_row})",
            "max": f"max({per_row})",
            "avg": f"sum({per_row}) / nullif({self._divisor(entry, form, conditions) or f'count({per_row})'}, 0)",
            "ratio": f"sum({per_row}) / nullif({self._divisor(entry, form, conditions)}, 0)",
            "set": f"array_sort(collect_set({per_row}))",
        }[form.measure]

    def _trend(
        self, entry: Entry, form: Aggregate, of: str, conditions: list[str], relation: TagSource
    ) -> str:
        """Give what a measure says of the window over what it says of the one before, minus 1; null below the least base."""
        values = []
        for back in (0, 1):
            per_row = _per_row(of, [*conditions, *self._window(entry, form, relation, back)])
            sql = {
                "sum": f"coalesce(sum({per_row}), 0)",
                "count": f"count({per_row})",
                "count_distinct": f"size(collect_set({per_row}))",
                "min": f"min({per_row})",
                "max": f"max({per_row})",
            }[form.trend_of or "sum"]
            # Of decimals of 26 digits Spark keeps twelve of a quotient, as many as DuckDB is given.
            values.append(f"cast({sql} as decimal(26,6))")
        now, base = values
        least = self.text(entry, str(form.base_at_least), "compute", "aggregate", "base_at_least")
        trend = f"case when {base} >= ({least}) and {base} > 0 then {now} / {base} - 1 end"
        if form.at_least:
            trend = f"{trend} >= {self.text(entry, form.at_least, 'compute', 'aggregate', 'at_least')}"
        return trend

    def _divisor(self, entry: Entry, form: Aggregate, conditions: list[str]) -> str | None:
        if form.per is None:
            return None
        per = self.text(entry, form.per, "compute", "aggregate", "per")
        per_row = _per_row(per, conditions)
        return f"sum({per_row})" if form.measure == "ratio" else f"size(collect_set({per_row}))"

    def _window(self, entry: Entry, form: Aggregate, relation: TagSource, back: int = 0) -> list[str]:
        """Give the conditions of the window, or of the one that lies ``back`` windows before it."""
        if not (form.window_days or form.months):
            return []
        if relation.event_date is None:
            raise self.registry.fault(
                entry.code,
                f"'{relation.name}' has no event date, so a window cannot be cut",
                "compute",
                "aggregate",
            )
        day = relation.event_date
        if form.window_days:
            begins = f"{day} > date_sub({BUSINESS_DATE}, {form.window_days * (back + 1)})"
            return (
                [begins, f"{day} <= date_sub({BUSINESS_DATE}, {form.window_days * back})"]
                if back
                else [begins]
            )
        months = form.months or 0
        ends = (
            f"add_months(trunc({BUSINESS_DATE}, 'MM'), -{months * back})"
            if back
            else f"trunc({BUSINESS_DATE}, 'MM')"
        )
        return [
            f"{day} >= add_months(trunc({BUSINESS_DATE}, 'MM'), -{months * (back + 1)})",
            f"{day} < {ends}",
        ]

    def _pick(
        self,
        picker: str,
        entry: Entry,
        of: str,
        order_by: list[str],
        conditions: list[str],
        relation: TagSource,
    ) -> str:
        """Give the value of the row that wins; rows without a value do not stand, and ties end in the key."""
        order = [self.text(entry, part, "compute") for part in order_by]
        order += [column for column in relation.key if column not in order]
        if relation.event_date and "_arrived_on" in relation.columns:
            order += ["_arrived_on", "_file", "_row"]
        stands = " and ".join([*conditions, f"{of} is not null"])
        return f"{picker}({of}, case when {stands} then struct({', '.join(order)}) end)"

    def scan_sql(self, scan: Scan) -> str:
        """Give the model that answers all tags over one relation in one pass."""
        relation = scan.relation
        lines = [
            GENERATED + f"-- {rows_of_scan(scan)}",
            "{{ config(materialized='ephemeral') }}\n",
            "with attributed as (",
            *("    " + line for line in attributed_rows(relation, self._names(scan))),
            ")\n",
            "select",
            *(f"    {source if source == name else f'{source} as {name}'}," for source, name in self._key()),
        ]
        for at, entry in enumerate(scan.entries):
            comma = "," if at + 1 < len(scan.entries) else ""
            lines.append(f"    -- {self.remark(entry)}")
            lines.append(f"    {self.measure(entry, relation)} as {entry.code}{comma}")
        lines.append("from attributed")
        if widest := self._widest(scan):
            lines.append(f"where {widest}")
        lines.append(f"group by {', '.join(source for source, _ in self._key())}")
        return "\n".join(lines) + "\n"

    def _key(self) -> list[tuple[str, str]]:
        """Give the columns that rows are grouped by, each with its name in the answer."""
        if self.entity == PERSON:
            return [(name, name) for name in PERSON.key]
        return [(key_column(name), name) for name in self.entity.key]

    def lookups(self, code: str | None = None) -> list[Lookup]:
        """Give the look-ups by which tags, or the tag of a code, are computed, each once."""
        scans = self.plan.scans if code is None else plan_of(self.plan, [code]).scans
        steps = [step for scan in scans for step in lookups_of(scan.relation, self._names(scan))]
        return [step for at, step in enumerate(steps) if step not in steps[:at]]

    def _names(self, scan: Scan) -> set[str]:
        """Give the columns that a scan reads and that its relation does not have by itself."""
        names: set[str] = set()
        for entry in scan.entries:
            try:
                names |= names_over_rows(entry)
            except ExpressionInvalid as wrong:
                raise self.registry.fault(entry.code, str(wrong), "compute") from None
        own = set(scan.relation.columns)
        return {name for name in names if name not in own}

    def _widest(self, scan: Scan) -> str | None:
        """Give the day before which no tag of the scan looks, so that old rows are not even read."""
        forms = [entry.compute.aggregate for entry in scan.entries if entry.compute]
        if not scan.relation.event_date or any(f is None or not (f.window_days or f.months) for f in forms):
            return None
        days = max((f.window_days or 0) * f.windows for f in forms if f)
        months = max((f.months or 0) * f.windows for f in forms if f)
        bounds = [f"date_sub({BUSINESS_DATE}, {days - 1})"] if days else []
        bounds += [f"add_months(trunc({BUSINESS_DATE}, 'MM'), -{months})"] if months else []
        earliest = bounds[0] if len(bounds) == 1 else f"least({', '.join(bounds)})"
        return f"{scan.relation.event_date} >= {earliest}"

    # ------------------------------------------------------------------ what is derived

    def default(self, entry: Entry) -> str | None:
        """Give the SQL of the value that stands for absence (null rule Z), or None."""
        if entry.null_rule not in ("Z", "NEVER"):
            return None
        if entry.value.cardinality == "set":
            values = entry.default if isinstance(entry.default, list) else []
            return f"cast(array({', '.join(dbt_literal(value) for value in values)}) as {entry.value.spark_type})"
        if entry.default is not None:
            return dbt_literal(entry.default)
        if entry.value.type in _ZERO:
            return _ZERO[entry.value.type]
        if entry.null_rule == "NEVER":
            return None
        raise self.registry.fault(
            entry.code, f"null rule Z of a {entry.value.type} needs a 'default'", "null_rule"
        )

    def typed(self, entry: Entry, sql: str) -> str:
        """Give a value cast to its type, sorted if it is a set, with its null rule applied."""
        if entry.value.cardinality == "set":
            sql = f"array_sort(array_compact({sql}))"
        if (default := self.default(entry)) is not None:
            sql = f"coalesce({sql}, {default})"
        return _cast(entry, sql)

    def absent(self, entry: Entry) -> str:
        """Give what a tag that is off is to those that read it: the value that stands for absence, else null."""
        return _cast(entry, self.default(entry) or "null")

    def rule(self, entry: Entry) -> str:
        """Give the expression of a rule over the layer below it."""
        compute = entry.compute
        assert compute is not None
        if compute.relation:
            sql = f"{entry.code}__read"
        else:
            if compute.expression:
                sql = self.text(entry, compute.expression, "compute", "expression")
            else:
                lines = []
                for at, case in enumerate(compute.cases or []):
                    if case.when is not None and case.then is not None:
                        when = self.text(entry, case.when, "compute", "cases", at)
                        lines.append(
                            f"when {when} then {self.text(entry, case.then, 'compute', 'cases', at)}"
                        )
                    else:
                        lines.append(f"else {self.text(entry, str(case.otherwise), 'compute', 'cases', at)}")
                sql = "case\n            " + "\n            ".join(lines) + "\n        end"
            sql = self.typed(entry, sql)
        for at, exception in enumerate(entry.null_when):
            when = self.text(entry, exception.when, "null_when", at)
            sql = f"case when {when} then null else {sql} end"
        return sql

    def wide_sql(self) -> str:
        """Give the model that joins every scan on ``one_id`` once and adds the rules layer by layer."""
        plan = self.plan
        lines = [
            GENERATED + f"-- {ROWS_OF_WIDE[self.entity.code]}",
            "{{ config(materialized='table') }}\n",
            "with read as (",
            f"    select {{{{ sent_to_every_task({[_alias(scan) for scan in plan.scans]}) }}}}",
        ]
        base = "people" if self.entity == PERSON else "entities"
        columns = [f"{base}.{name}" for name in self.entity.columns]
        for scan in plan.scans:
            for entry in scan.entries:
                name = f"{entry.code}__read" if entry.null_when else entry.code
                columns.append(f"{self.typed(entry, _answer(scan, entry))} as {name}")
        columns += [f"{self.absent(entry)} as {entry.code}" for entry in plan.absent]
        columns += [f"{self.read_sources()} as {SOURCES}", f"{self.lost_answers()} as {LOST}"]
        lines += [f"        {column}," for column in columns[:-1]] + [f"        {columns[-1]}"]
        lines += self._base_rows()
        for scan in plan.scans:
            lines.append(f"    left join {{{{ ref('{scan.model}') }}}} {_alias(scan)}")
            names = [(name, name) for name in self.entity.key]
            if not scan.aggregated and self.entity != PERSON:
                names = list(zip(scan.relation.names_of(self.entity), self.entity.key, strict=True))
            on = " and ".join(f"{_alias(scan)}.{name} = {base}.{column}" for name, column in names)
            lines.append(f"        on {on}")
        lines.append(")")
        below = "read"
        for number, layer in enumerate(plan.layers[1:], start=1):
            lines[-1] += ","
            lines += ["", f"layer_{number} as (", "    select", "        *,"]
            for at, entry in enumerate(layer):
                comma = "," if at + 1 < len(layer) else ""
                lines.append(f"        -- {self.remark(entry)}")
                lines.append(f"        {self.rule(entry)} as {entry.code}{comma}")
            lines += [f"    from {below}", ")"]
            below = f"layer_{number}"
        lines += ["", "select", *(f"    {name}," for name in self.entity.columns)]
        lines += [f"    {entry.code}," for entry in plan.entries]
        lines += [
            f"    {self.exceptions()} as {EXCEPTIONS},",
            f"    {SOURCES},",
            f"    {self.unexplained_nulls()} as {UNEXPLAINED},",
            f"    {BUSINESS_DATE} as {AS_OF}",
            f"from {below}",
        ]
        return "\n".join(lines) + "\n"

    def _base_rows(self) -> list[str]:
        """Give the lines that say which rows the wide model has: those of its entity, whatever is known of them."""
        if self.entity == PERSON:
            return ["    from {{ ref('int_people') }} people"]
        return [
            "    from (",
            f"        select distinct {', '.join(self.entity.key)}",
            f"        from {{{{ ref('{self.entity.rows_model}') }}}}",
            "    ) entities",
        ]

    def exceptions(self) -> str:
        """Give the array of nulls whose reason is not the null rule's own, sorted by tag."""
        cases = []
        for entry in sorted(self.plan.entries, key=lambda e: e.code):
            for at, exception in enumerate(entry.null_when):
                if exception.reason == entry.default_reason:
                    continue
                when = self.text(entry, exception.when, "null_when", at)
                cases.append(
                    f"        case when {entry.code} is null and ({when})\n"
                    f"            then named_struct('tag', '{entry.code}', 'reason', '{exception.reason}') end"
                )
        kind = "array<struct<tag:string,reason:string>>"
        if not cases:
            return f"cast(array() as {kind})"
        return "cast(array_compact(array(\n" + ",\n".join(cases) + f"\n    )) as {kind})"

    def read_sources(self) -> str:
        """Give the array of scans that have rows of the person: absence is an answer only where something could be there."""
        cases = [
            f"            case when {_alias(scan)}.{self._present(scan)} is not null then '{_alias(scan)}' end"
            for scan in self.plan.scans
        ]
        return _texts(cases, "        ")

    def _present(self, scan: Scan) -> str:
        """Give a column that is null only where a scan has no row."""
        own = scan.relation.names_of(self.entity) if not scan.aggregated and self.entity != PERSON else ()
        return (own or self.entity.key)[-1]

    def lost_answers(self) -> str:
        """Give the array of tags whose rows gave an answer that is no value of the tag's type, as a number too large for it."""
        cases = [
            f"            case when {answer} is not null and {_cast(entry, answer)} is null then '{entry.code}' end"
            for scan in self.plan.scans
            for entry in scan.entries
            if _may_be_lost(entry)
            for answer in [_answer(scan, entry)]
        ]
        return _texts(cases, "        ")

    def unexplained_nulls(self) -> str:
        """Give the array of lost answers and of rules that are null although all that they read is known.

        A condition of ``null_when`` explains a null; the reason of the null rule does not, if nothing was missing.
        """
        cases = []
        for entry in self.plan.entries:
            if entry.default_reason is None or entry.compute is None or entry.compute.relation:
                continue
            tests = [f"{entry.code} is null", *(f"{code} is not null" for code in entry.tag_inputs)]
            for at, exception in enumerate(entry.null_when):
                tests.append(f"not coalesce({self.text(entry, exception.when, 'null_when', at)}, false)")
            cases.append(f"        case when {' and '.join(tests)}\n            then '{entry.code}' end")
        return f"concat({LOST}, {_texts(cases, '    ')})" if cases else LOST

    def remark(self, entry: Entry) -> str:
        """Give what a comment says of an entry: code, names and file."""
        return note(f"{entry.code}: {entry.name.zh} · {entry.name.en} ({self.origin(entry)})")

    def origin(self, entry: Entry) -> str:
        """Give the file an entry stands in, the same on every machine."""
        folder = "workspace tags" if entry.code in self.registry.site else "tags/registry"
        return f"{folder}/{self.registry.places[entry.code].file.name}"

    def tag_sql(self, entry: Entry) -> str:
        """Give the SQL that answers one tag, for people to read, with what of its answer stands in no SQL of its own."""
        lines = [self._answer_sql(entry)]
        if entry.value.rounded_type is not None:
            lines.append(f"-- rounded to {entry.value.scale} digits after the point")
        for at, exception in enumerate(entry.null_when):
            when = " ".join(self.text(entry, exception.when, "null_when", at).split())
            lines.append(f"-- null when {when}: {exception.reason}")
        return "\n".join(lines)

    def _answer_sql(self, entry: Entry) -> str:
        for scan in self.plan.scans:
            if entry in scan.entries and scan.aggregated:
                way = "".join(f" via {step.code}" for step in scan.relation.way)
                if scan.relation.bridge is not None:
                    way = f" via {scan.relation.bridge.name}"
                key = ", ".join(self.entity.key)
                sql = f"{self.measure(entry, scan.relation)}\nfrom {scan.relation.name}{way} group by {key}"
                return sql if not entry.null_when else f"{sql}\n-- then: {self.rule(entry)}"
            if entry in scan.entries:
                return f"{entry.compute.column.of}\nfrom {scan.relation.name}"  # type: ignore[union-attr]
        return self.rule(entry)


def rows_of_scan(scan: Scan) -> str:
    """Say what the rows of a generated scan are, as one sentence."""
    relation, entity = scan.relation, scan.relation.entity
    if relation.bridge is not None:
        return f"One row per {entity.code} that has people in {relation.bridge.name}."
    return f"One row per {'OneID' if entity == PERSON else entity.code} that has rows in {relation.name}."


def _per_row(value: str, conditions: list[str]) -> str:
    """Give a row's value where its conditions hold, else null."""
    return f"case when {' and '.join(conditions)} then {value} end" if conditions else value


def _cast(entry: Entry, sql: str) -> str:
    """Give a value as one of the tag's type, rounded as the tag says."""
    if entry.value.rounded_type is not None:
        sql = f"cast({sql} as {entry.value.rounded_type})"
    return f"cast({sql} as {entry.value.spark_type})"


def _alias(scan: Scan) -> str:
    return scan.relation.noun


def _answer(scan: Scan, entry: Entry) -> str:
    """Give the column in which a scan answers a tag."""
    column = entry.compute.column if entry.compute else None
    return f"{_alias(scan)}.{entry.code if scan.aggregated or column is None else column.of}"


def _may_be_lost(entry: Entry) -> bool:
    """Tell whether an answer that is no value of the tag's type would pass for a null that the null rule explains.

    Everything is a text, and a yes and a count always fit.
    """
    form = entry.compute.aggregate if entry.compute else None
    is_counted = form is not None and form.measure in ("any", "count", "count_distinct")
    return entry.default_reason is not None and entry.value.type != "string" and not is_counted


def _texts(cases: list[str], indent: str) -> str:
    """Give an array of the texts that are not null."""
    if not cases:
        return "cast(array() as array<string>)"
    return "array_compact(array(\n" + ",\n".join(cases) + f"\n{indent}))"
