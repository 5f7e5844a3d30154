"""A second evaluator of segments, in plain Python over rows: what the compiled SQL must agree with.

It knows the YAML of a rule and the rows of the tables, and nothing of how the product reads or compiles either.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

Answer = bool | None
Row = dict[str, Any]
SECONDS = {"m": 60, "h": 3600, "d": 86400}
ZONE = dt.timezone(dt.timedelta(hours=8))


def all_of(answers: list[Answer]) -> Answer:
    """Kleene's conjunction."""
    return False if False in answers else None if None in answers else True


def any_of(answers: list[Answer]) -> Answer:
    """Kleene's disjunction."""
    return True if True in answers else None if None in answers else False


def opposite(answer: Answer) -> Answer:
    """Kleene's negation."""
    return None if answer is None else not answer


@dataclass
class Bank:
    """Rows by table, people by profile, and the day."""

    day: dt.date
    people: dict[int, Row]
    """The tag row of each person."""
    profiles: dict[tuple[str, str], int]
    tables: dict[str, list[Row]] = field(default_factory=dict)
    expressions: dict[str, Callable[[Row], Answer]] = field(default_factory=dict)
    """The same condition as each expression, in Python."""
    open_days: dict[str, list[dt.date]] = field(default_factory=dict)
    lists: dict[str, list[Row]] = field(default_factory=dict)
    """The entries of each list: one_id, or source and source_key, and expires_on."""
    members: dict[str, set[int]] = field(default_factory=dict)
    """Whom another segment chose tonight."""
    before: dict[int, dict[int, Row]] = field(default_factory=dict)
    """The tag rows of the people who had one so many days ago."""


def answer_of(rule: Any, person: int, bank: Bank, *, segment: str, base: Any = None) -> Answer:
    """The answer of a rule as YAML says it, for one person."""

    def ask(node: Any) -> Answer:
        return answer_of(node, person, bank, segment=segment, base=base)

    (word,) = [w for w in WORDS if w in rule] or [None]
    if word == "all":
        return all_of([ask(part) for part in rule["all"]])
    if word == "any":
        return any_of([ask(part) for part in rule["any"]])
    if word == "not":
        return opposite(ask(rule["not"]))
    if word == "tag" and ("top_n" in rule or "top_percent" in rule):
        answer = _rank(rule, person, bank, segment, base)
    elif word == "sample":
        salt = rule["sample"].get("salt", f"sample:{segment}")
        answer = _bucket(salt, person) < round(rule["sample"]["percent"] * 100)
    else:
        answer = {
            "tag": _tag, "detail": _detail, "event": _event, "receipt": _receipt, "absence": _absence,
            "sequence": _sequence, "date": _date, "expr": _expression, "list": _list, "segment": _segment,
            "micro_segment": _micro_segment,
        }[word](rule, person, bank)  # fmt: skip
    unknown = rule.get("include_unknown")
    return unknown if answer is None and unknown is not None else answer


WORDS = ("all", "any", "not", "tag", "detail", "event", "receipt", "absence", "sequence", "sample", "date", "expr", "list", "segment", "micro_segment")  # fmt: skip


def _bucket(salt: str, person: int) -> int:
    return int(hashlib.sha256(f"{salt}|{person}".encode()).hexdigest()[:15], 16) % 10000


# ---------------------------------------------------------------------------------------------- entities


@dataclass(frozen=True)
class Belonging:
    """The people of each company or household, and the reason against each person."""

    people: dict[str, set[int]]
    reasons: dict[int, str | None]

    def counting(self, key: str) -> list[int]:
        """Those of its people whose values may choose it."""
        late = (None, "NO_CONSENT", "UNREACHABLE", "UNSUITABLE")
        return sorted(n for n in self.people[key] if self.reasons[n] in late)


def entity_answer(rule: Any, key: str, belonging: Belonging, bank: Bank) -> Answer:
    """The answer of a rule about companies or households, for one of them."""
    if "members" not in rule:
        ((word, parts),) = rule.items()
        if word == "not":
            return opposite(entity_answer(parts, key, belonging, bank))
        join = {"all": all_of, "any": any_of}[word]
        return join([entity_answer(part, key, belonging, bank) for part in parts])
    body = rule["members"]
    pairs = [
        (bank.people[n], answer_of(body["where"], n, bank, segment="x") if "where" in body else True)
        for n in belonging.counting(key)
    ]
    answer = measured(body, pairs, bank.day)
    return rule.get("include_unknown") if answer is None else answer


def addressee_of(addressee: Any, key: str, belonging: Belonging, bank: Bank) -> int | None:
    """Who is contacted for a company or household."""

    def meets(word: str, person: int) -> bool:
        return word not in addressee or answer_of(addressee[word], person, bank, segment="x") is True

    def place(person: int) -> tuple[Any, ...]:
        tag = addressee.get("highest") or addressee.get("lowest")
        value = bank.people[person][tag] if tag else None
        number = 0 if value is None else value if "lowest" in addressee else -value
        return (
            belonging.reasons[person] is not None,
            not meets("prefer", person),
            value is None,
            number,
            person,
        )

    return min((n for n in belonging.people[key] if meets("where", n)), key=place, default=None)


# ---------------------------------------------------------------------------------------------- values


def compare(value: Any, operator: str, operand: Any, day: dt.date) -> Answer:
    """One operator on one value; null is unknown but for is_null."""
    if operator == "is_null":
        return (value is None) == operand
    if value is None:
        return None
    if operator == "days_ago":
        return all(compare((day - value).days, sign, bound, day) for sign, bound in operand.items())
    if operator == "days_ahead":
        return all(compare((value - day).days, sign, bound, day) for sign, bound in operand.items())
    return {
        "eq": lambda: value == operand,
        "ne": lambda: value != operand,
        "in": lambda: value in operand,
        "not_in": lambda: value not in operand,
        "gt": lambda: value > operand,
        "gte": lambda: value >= operand,
        "lt": lambda: value < operand,
        "lte": lambda: value <= operand,
        "between": lambda: operand[0] <= value <= operand[1],
        "contains_any": lambda: bool(set(value) & set(operand)),
        "contains_all": lambda: set(operand) <= set(value),
    }[operator]()


def _meets(value: Any, wish: Any, day: dt.date) -> Answer:
    if isinstance(wish, list):
        wish = {"in": wish}
    if not isinstance(wish, dict):
        wish = {"eq": wish}
    return all_of([compare(value, operator, operand, day) for operator, operand in wish.items()])


def _tag(rule: Any, person: int, bank: Bank) -> Answer:
    tests = {k: v for k, v in rule.items() if k not in ("tag", "include_unknown", "changed_since")}
    value = bank.people[person][rule["tag"]]
    answers = [_meets(value, tests, bank.day)]
    if "changed_since" in rule:
        before = bank.before.get(rule["changed_since"], {}).get(person)
        answers.append(None if before is None else before[rule["tag"]] != value)
    return all_of(answers)


def _list(rule: Any, person: int, bank: Bank) -> Answer:
    redirects = {row["from_one_id"]: row["to_one_id"] for row in bank.tables.get("identity.redirects", [])}
    people = set()
    for entry in bank.lists[rule["list"]]:
        if entry.get("expires_on") is None or entry["expires_on"] > bank.day:
            if "one_id" in entry:
                people.add(redirects.get(entry["one_id"], entry["one_id"]))
            else:
                people.add(bank.profiles.get((entry["source"], entry["source_key"])))
    return person in people


def _segment(rule: Any, person: int, bank: Bank) -> Answer:
    return person in bank.members[rule["segment"]]


def _micro_segment(rule: Any, person: int, bank: Bank) -> Answer:
    body = rule["micro_segment"]
    labels = body["label"] if isinstance(body["label"], list) else [body["label"]]
    for row in bank.tables.get("segments.micro_segments", []):
        if (row["code"], row["as_of"], row["one_id"]) == (body["set"], bank.day, person):
            return row["label"] in labels
    return None


def _expression(rule: Any, person: int, bank: Bank) -> Answer:
    return bank.expressions[rule["expr"]](bank.people[person])


# ---------------------------------------------------------------------------------------------- rows


def _state(row: Row, day: dt.date) -> bool:
    return row["valid_from"] <= day and (row["valid_to"] is None or row["valid_to"] > day)


def _owner(bank: Bank, source: str, account: str) -> int | None:
    stated = [
        ((r["started_on"] or dt.date.max), r["from_source"], r["from_key"])
        for r in bank.tables["trusted.relationships"]
        if (r["to_source"], r["to_key"]) == (source, account)
        and (r["relationship_type"], r["role"]) == ("person_account", "owner")
        and _state(r, bank.day)
        and (r["started_on"] is None or r["started_on"] <= bank.day)
        and (r["ended_on"] is None or r["ended_on"] > bank.day)
    ]
    return bank.profiles.get(min(stated)[1:]) if stated else None


EVENT_DATES = {
    "transactions": "transacted_on", "events": "occurred_on", "balances": "balance_on", "orders": "ordered_on", "order_lines": "ordered_on",
}  # fmt: skip
# What the rows of a table look up: the table and its key, by the first part of a path.
LOOK_UPS = {"product": ("products", "product_id"), "order": ("orders", "order_id")}
LOOKED_UP = {"product": ("category", "min_purchase", "unit_value_on"), "order": ("channel", "amount")}


READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "card_look": ("string", str), "fee": ("decimal", Decimal), "renews_on": ("date", dt.date.fromisoformat),
    "is_metal": ("boolean", lambda text: text == "true"),
}  # fmt: skip


def _attributes(card: str, bank: Bank) -> Row:
    """The attributes of a card as of the day; one of another type than it is declared with has no value."""
    values: Row = dict.fromkeys(READERS)
    for row in bank.tables.get("trusted.attributes", []):
        kind, read = READERS[row["attribute"]]
        is_asked = (row["entity"], row["entity_key"], row["value_type"]) == ("card", card, kind)
        if is_asked and _state(row, bank.day) and row["value"] is not None:
            values[row["attribute"]] = read(row["value"])
    return values


def _is_known(name: str, row: Row, bank: Bank) -> bool:
    if name in EVENT_DATES:
        return bool(row["_arrived_on"] <= bank.day and row[EVENT_DATES[name]] <= bank.day)
    return _state(row, bank.day)


def _look_up(word: str, row: Row, bank: Bank) -> Row:
    """The row that a row looks up as of the day, empty where there is none."""
    name, key = LOOK_UPS[word]
    for other in bank.tables.get(f"trusted.{name}", []):
        if row.get(key) is not None and other[key] == row[key] and _is_known(name, other, bank):
            return other
    return {}


def rows_of_person(name: str, person: int, bank: Bank) -> list[Row]:
    """The rows of a table that are a person's, as of the day, with what they look up."""
    rows = []
    for stated in bank.tables[f"trusted.{name}"]:
        if not _is_known(name, stated, bank):
            continue
        row = stated
        for word, columns in LOOKED_UP.items():
            other = _look_up(word, stated, bank)
            row = row | {f"{word}.{column}": other.get(column) for column in columns}
        if name == "relationships":
            holds = (row["started_on"] is None or row["started_on"] <= bank.day) and (
                row["ended_on"] is None or row["ended_on"] > bank.day
            )
            owner = bank.profiles.get((row["from_source"], row["from_key"])) if holds else None
        elif name == "order_lines":
            order = _look_up("order", stated, bank)
            owner = bank.profiles.get((stated["source"], order.get("source_key")))
        elif row.get("source_key") is not None:
            owner = bank.profiles.get((row["source"], row["source_key"]))
        else:
            owner = _owner(bank, row["source"], row.get("account_id"))
        if owner == person:
            rows.append(row | (_attributes(row["card_id"], bank) if name == "cards" else {}))
    if name == "balances":
        last: dict[Any, Row] = {}
        for row in sorted(rows, key=lambda r: (r["balance_on"], r["_arrived_on"], r["_file"], r["_row"])):
            last[row["account_id"], row["product_class"]] = row
        rows = list(last.values())
    return rows


def measured(body: Any, pairs: list[tuple[Row, Answer]], day: dt.date) -> Answer:
    """What a measure says of rows that match, may match or do not."""
    sure = [row for row, match in pairs if match]
    perhaps = [row for row, match in pairs if match is None]
    if body.get("any") is not None and "any" in body:
        body = {"count": {"gte": 1} if body["any"] else {"eq": 0}}
    for name in ("sum", "min", "max"):
        if name in body:
            wish = {k: v for k, v in body[name].items() if k != "of"}
            column = body[name]["of"]
            return extent_meets(
                name, [row[column] for row in sure], [row[column] for row in perhaps], wish, day
            )
    parts: list[Answer] = []
    for sign, bound in body.get("count", {"gte": 1}).items():
        answers = {
            compare(number, sign, bound, day) for number in range(len(sure), len(sure) + len(perhaps) + 1)
        }
        # Between the ends a number may hit or miss what neither end does.
        parts.append(answers.pop() if len(answers) == 1 else None)
    return all_of(parts)


NOTHING = object()


def extent_meets(name: str, sure: list[Any], perhaps: list[Any], wish: Any, day: dt.date) -> Answer:
    """What holds of a sum or an extreme: each row that may count is tried with and without, each unknown value near and far."""
    is_date = bool({"days_ago", "days_ahead"} & set(wish))
    middle: Any = day if is_date else Decimal(0)
    far, near = (dt.timedelta(3000), dt.timedelta(1)) if is_date else (Decimal(10) ** 9, Decimal(1))
    unknown = [middle - far, middle, middle + far]
    joined = {"sum": lambda a, b: a + b, "min": min, "max": max}[name]
    results: set[Any] = {Decimal(0) if name == "sum" else NOTHING}
    for value, may_count in [*((v, False) for v in sure), *((v, True) for v in perhaps)]:
        with_it = {
            one if before is NOTHING else joined(before, one)
            for before in results
            for one in (unknown if value is None else [value])
        }
        results = with_it | results if may_count else with_it
    if NOTHING in results:
        return None
    ends = min(results), max(results)
    answers = []
    for operator, operand in wish.items():
        bounds = [bound for bound in _bounds(operator, operand, day) if ends[0] <= bound <= ends[1]]
        # Whatever lies between two possible results is taken for possible, too.
        tried = {
            *ends,
            *bounds,
            *(b + near for b in bounds if b < ends[1]),
            *(b - near for b in bounds if b > ends[0]),
        }
        verdicts = {compare(value, operator, operand, day) for value in tried}
        answers.append(verdicts.pop() if len(verdicts) == 1 else None)
    return all_of(answers)


def _operands(wish: Any) -> list[Any]:
    return [one for operand in wish.values() for one in (operand if isinstance(operand, list) else [operand])]


def _bounds(operator: str, operand: Any, day: dt.date) -> list[Any]:
    """The values at which an answer may change."""
    if operator in ("days_ago", "days_ahead"):
        sign = -1 if operator == "days_ago" else 1
        return [day + dt.timedelta(sign * days) for days in _operands(operand)]
    return [
        bound if isinstance(bound, dt.date) else Decimal(str(bound)) for bound in _operands({"": operand})
    ]


def _detail(rule: Any, person: int, bank: Bank) -> Answer:
    body = rule["detail"]
    rows = rows_of_person(body["from"], person, bank)
    if "within_days" in body:
        first = bank.day - dt.timedelta(days=body["within_days"] - 1)
        rows = [row for row in rows if row[EVENT_DATES[body["from"]]] >= first]
    pairs = [
        (row, all_of([_meets(row[c], w, bank.day) for c, w in body.get("match", {}).items()])) for row in rows
    ]
    return measured(body, pairs, bank.day)


def _property(row: Row, name: str, wish: Any) -> Any:
    try:
        value = json.loads(row["properties"] or "null")
    except ValueError:
        return None
    value = value.get(name) if isinstance(value, dict) else None
    operands = list(wish.values()) if isinstance(wish, dict) else [wish]
    if isinstance(operands[0], (int, float)) and value is not None:
        try:
            return Decimal(str(value))
        except ArithmeticError:
            return None
    return None if value is None else str(value)


def _event(rule: Any, person: int, bank: Bank) -> Answer:
    body = rule["event"]
    names = body["name"] if isinstance(body["name"], list) else [body["name"]]
    first = bank.day - dt.timedelta(days=body["within_days"] - 1)
    pairs = []
    for row in rows_of_person("events", person, bank):
        if row["occurred_on"] < first or row["event_name"] not in names:
            continue
        if any(
            key in body and row[key] != body[key] for key in ("channel", "app_id", "item_class", "is_success")
        ):
            continue
        asks = [_meets(row[c], w, bank.day) for c, w in body.get("match", {}).items()]
        asks += [_meets(_property(row, c, w), w, bank.day) for c, w in body.get("properties", {}).items()]
        pairs.append((row, all_of(asks)))
    return measured(body, pairs, bank.day)


def _absence(rule: Any, person: int, bank: Bank) -> Answer:
    body = rule["absence"]
    nothing = {"name": body["name"], "within_days": body["within_days"], "count": {"eq": 0}}
    answers = [_event({"event": nothing}, person, bank)]
    if "seen_within_days" in body:
        something = {"name": body["name"], "within_days": body["seen_within_days"]}
        answers.append(_event({"event": something}, person, bank))
    return all_of(answers)


def _receipt(rule: Any, person: int, bank: Bank) -> Answer:
    body = rule["receipt"]

    def wish(key: str) -> list[str] | None:
        value = body.get(key)
        return value if isinstance(value, list) or value is None else [value]

    runs = {(d["destination"], d["run_id"]): d["code"] for d in bank.tables["segments.deliveries"]}
    keys = {(k["destination"], k["recipient_key"]): k["one_id"] for k in bank.tables["segments.recipients"]}
    first = bank.day - dt.timedelta(days=body.get("within_days", 100_000) - 1)
    count = 0
    for row in bank.tables["trusted.receipts"]:
        is_his = keys.get((row["destination"], row["recipient_key"])) == person
        is_of = wish("of") is None or runs.get((row["destination"], row["run_id"])) in wish("of")
        is_by = wish("channel") is None or row["channel"] in wish("channel")
        is_known = row["_arrived_on"] <= bank.day and first <= row["event_on"] <= bank.day
        count += is_his and is_of and is_by and is_known and row["status"] in wish("status")
    return all(compare(count, sign, bound, bank.day) for sign, bound in body.get("count", {"gte": 1}).items())


# ---------------------------------------------------------------------------------------------- time


def _seconds(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


def _sequence(rule: Any, person: int, bank: Bank) -> Answer:
    body = rule["sequence"]
    within, then = _seconds(body.get("within", "0m")), body.get("then_not")
    period = _seconds(then["for"]) if then else 0
    days = body.get("within_days", math.ceil((within + period) / 86400) + 1)
    first = bank.day - dt.timedelta(days=days - 1)
    events = [row for row in rows_of_person("events", person, bank) if row["occurred_on"] >= first]

    def instants(step: Any) -> list[dt.datetime]:
        return [row["occurred_at"] for row in events if row["event_name"] == step["name"]]

    paths = [[at] for at in instants(body["steps"][0])]
    for step in body["steps"][1:]:
        paths = [
            [*path, at]
            for path in paths
            for at in instants(step)
            if at > path[-1] and (at - path[0]).total_seconds() <= within
        ]
    if not then:
        return bool(paths)
    end = dt.datetime.combine(bank.day + dt.timedelta(days=1), dt.time(), ZONE)
    answers: list[Answer] = []
    for last in {path[-1] for path in paths}:
        until = last + dt.timedelta(seconds=period)
        if any(last < at <= until for at in instants(then)):
            answers.append(False)
        else:
            answers.append(True if until < end else None)
    return any_of(answers)


def _on_day(year: int, month: int, number: int) -> dt.date:
    return dt.date(year, month, min(number, calendar.monthrange(year, month)[1]))


def _date(rule: Any, person: int, bank: Bank) -> Answer:
    body, day = rule["date"], bank.day
    if "from" in body:
        rows = rows_of_person(body["from"], person, bank)
        pairs = [
            (row[body["of"]], all_of([_meets(row[c], w, day) for c, w in body.get("match", {}).items()]))
            for row in rows
        ]
        pairs = [(d, m) for d, m in pairs if d is not None and (body["pick"] != "next" or d >= day)]
        days = [d for d, match in pairs if match]
        picked = max if body["pick"] == "last" else min
        # Each row that may match is tried: where it would be picked, the date is not known.
        if not days or any(picked([d, *days]) != picked(days) for d, match in pairs if match is None):
            return None
        value: Any = picked(days)
    else:
        value = bank.people[person][body["of"]]
    if value is None:
        return None
    if body.get("every") == "year":
        here = _on_day(day.year, value.month, value.day)
        value = here if here >= day else _on_day(day.year + 1, value.month, value.day)
    elif body.get("every") == "month":
        number = value.day if isinstance(value, dt.date) else value
        here = _on_day(day.year, day.month, number)
        following = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        value = here if here >= day else _on_day(following.year, following.month, number)
    if "calendar" in body:
        opened = bank.open_days[body["calendar"]]
        if not opened[0] <= value <= opened[-1]:
            return None
        number = sum(day < d <= value for d in opened) - sum(value < d <= day for d in opened)
    else:
        number = (value - day).days
    return all(compare(number, sign, bound, day) for sign, bound in body["days_ahead"].items())


def _rank(rule: Any, person: int, bank: Bank, segment: str, base: Any) -> Answer:
    tag, salt = rule["tag"], f"rank:{segment}"
    is_all = rule.get("within", "base") == "all"
    group = {
        other: True if is_all else answer_of(base, other, bank, segment=segment) for other in bank.people
    }
    if group[person] is False:
        return False
    ranked = [p for p in bank.people if group[p] and bank.people[p][tag] is not None]
    if person not in ranked:
        return None
    ranked.sort(key=lambda p: hashlib.sha256(f"{salt}|{p}".encode()).hexdigest())
    ranked.sort(key=lambda p: bank.people[p][tag], reverse=True)
    last = rule.get("top_n")
    if last is None:
        last = math.ceil(Fraction(str(rule["top_percent"])) * len(ranked) / 100)
    return ranked.index(person) < last
