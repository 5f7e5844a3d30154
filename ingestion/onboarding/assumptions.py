"""What a draft writes for a required column that no delivered one fills: a stated assumption, or a TODO."""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.onboarding.draft_expressions import TODO, Mapped, day_expression, instant_expression, quoted
from ingestion.onboarding.shapes import ColumnShape
from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract

# Words that hold for most deliveries; each is written with a note, so that a person sees it was not delivered.
_USUAL = {
    "trusted.customers.kind": ("customer", "prospect and anonymous are the other words"),
    "trusted.accounts.status": ("open", "closed, frozen and dormant are the other words"),
    "trusted.holdings.status": ("active", "redeemed is the other word"),
    "trusted.balances.product_class": ("demand", "time, wealth, fund … are other words; see the contract"),
    "trusted.transactions.initiator": ("C", "C is the customer, B the bank, S a system"),
    "trusted.products.product_class": (
        "goods",
        "right for shops; a bank's products have classes of their own",
    ),
}


def assumption(
    table: str, column: Column, fits: Sequence[Mapped], shapes: Sequence[ColumnShape], currency: str
) -> Mapped:
    """Give an expression for a required column that nothing delivered fills; ``TODO …`` when nobody can guess."""
    name = column.name
    mapping = _from_others(table, column, {m.column: m for m in fits if not m.waits}, shapes, currency)
    if mapping:
        return Mapped(name, *mapping)
    if name == "currency":
        return Mapped(name, f"'{currency}'", "assumed: the workspace's currency, none is delivered")
    usual = _USUAL.get(f"{table}.{name}")
    if usual:
        return Mapped(name, f"'{usual[0]}'", f"assumed, it is not delivered; {usual[1]}")
    other = next((word for word in column.allowed if word.lower() == "other"), None)
    if other:
        return Mapped(name, f"'{other}'", f"assumed; the words are {', '.join(column.allowed)}")
    if column.allowed:
        return Mapped(name, f"{TODO} one of {', '.join(column.allowed)}")
    return Mapped(name, f"{TODO} {column.description}")


def _from_others(
    table: str, column: Column, fits: dict[str, Mapped], shapes: Sequence[ColumnShape], currency: str
) -> tuple[str, str] | None:
    """Give what follows from the columns that are filled: base amounts, days of instants, made keys."""
    name = column.name
    plain = fits.get(name.removesuffix("_base"))
    if name.endswith("_base") and plain:
        currency_shape = next(
            (s for s in shapes if "currency" in fits and s.name == fits["currency"].source_name), None
        )
        if currency_shape is None or set(currency_shape.codes) == {currency}:
            return plain.expression, "equal, because every amount is in the workspace's currency"
        own = f"case when {fits['currency'].expression} = '{currency}' then {plain.expression} end"
        return own, "records of other currencies are refused until a rate is written here"
    twin = fits.get(name[:-3] + ("_at" if name.endswith("_on") else "_on"))
    if twin and name.endswith("_on"):
        return f"cast({twin.expression} as date)", ""
    if twin and name.endswith("_at"):
        return f"cast({twin.expression} as timestamp)", "only the day is delivered"
    if table == "trusted.order_lines" and name == "line_number":
        return "cast(_row as int)", "no line number is delivered, so the place in the file numbers the lines"
    if table == "trusted.order_lines" and name == "amount" and {"quantity", "unit_price"} <= fits.keys():
        product = f"{fits['quantity'].expression} * {fits['unit_price'].expression}"
        return f"cast({product} as decimal(18,2))", "quantity times price, before any discount"
    contract_of_table = contract(table)
    if name == contract_of_table.event_date or (
        name.endswith("_at") and contract_of_table.event_date and table == "trusted.events"
    ):
        return _only_day(name, shapes)
    if (
        contract_of_table.shape == "fact"
        and contract_of_table.key == ("source", name)
        and len(_delivered_columns(fits)) >= 2
    ):
        parts = ", ".join(
            f"coalesce({quoted(name_of_column)}, '')" for name_of_column in _delivered_columns(fits)
        )
        note = (
            "no column is unique, so the key is made of the mapped columns; records equal in them count once"
        )
        return f"sha2(concat_ws('|', {parts}), 256)", note
    return None


def _delivered_columns(fits: dict[str, Mapped]) -> list[str]:
    return list(dict.fromkeys(mapping.source_name for mapping in fits.values() if mapping.source_name))


def _only_day(name: str, shapes: Sequence[ColumnShape]) -> tuple[str, str] | None:
    """Give the one delivered day or instant as the event's, when there is exactly one."""
    timed = [shape for shape in shapes if shape.type in ("date", "timestamp")]
    if len(timed) != 1:
        return None
    expression = (instant_expression if name.endswith("_at") else day_expression)(timed[0], utc=False)
    return (
        None
        if expression is None
        else (expression[0], expression[1] or f"{timed[0].name} is the only day delivered")
    )
