"""Small random people at the edges of every window: the build says of each what the independent evaluator says.

Each example is a lake of its own, too dear to be shrunk: of every day there are two, and hypothesis names the seed of a failure.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lakehouse.contracts.reading import contract
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.compile.compilation import compile_tags
from tests.tags.golden.cases import fill, fill_people
from tests.tags.golden.evaluator.comparison import differences, entity_differences, tables_of

PEOPLE = 150
DAYS = (
    dt.date(2024, 2, 29),
    dt.date(2024, 3, 31),
    dt.date(2023, 2, 28),
    dt.date(2024, 1, 1),
    dt.date(2025, 3, 1),
    dt.date(2024, 12, 31),
)
# How many days before the business date something is: the edges of all windows, and the day after.
EDGES = (-1, 0, 1, 6, 7, 8, 28, 29, 30, 31, 32, 59, 60, 61, 62, 89, 90, 91, 92, 99, 100, 101, 120, 121, 122, 151, 152, 153, 178, 179, 180, 181,
         182, 213, 214, 215, 363, 364, 365, 366, 367, 399, 400, 728, 729, 730, 1093, 1094, 1095, 1096)  # fmt: skip
AMOUNTS = ("0", "0.01", "0.02", "0.05", "10", "10.01", "99.99", "100", "333.33", "499.99", "500", "999.99", "1000", "1000.01", "10000",
           "49999.99", "50000", "499999.99", "500000", "6000000")  # fmt: skip
PARENTS = {"city": ("T1", "NT1", None), "occupation": ("O1", "O2", None)}
CHOICES: dict[str, tuple[Any, ...]] = {
    "event_name": ("login", "login", "wealth_detail_view", "wealth_click_buy", "wealth_risk_assess", "wealth_password", "wealth_purchase_ok",
                   "wallet_bind", "content_view"),
    "currency": ("CNY",), "purpose": ("marketing", "marketing", "service", "profiling", None), "residence_city": ("c0", "c1", "c9", None),
    "occupation": ("c0", "c1", "c9", None), "branch_id": ("b1", "b2", None), "product_id": ("p0", "p1", "p2", None),
    "days_past_due": (0, 1, 30, 31, 60, 61, 90, 91, None), "quantity": ("1", "1.005", "47.9999", "48", "100.5"), "unit_value": ("1", "2.345678"),
}  # fmt: skip


class Drawer:
    """Draws rows of a table for a person; what no choice says is taken from the contract."""

    def __init__(self, random: Any, day: dt.date) -> None:
        self.random, self.day, self.count = random, day, 0

    def date(self) -> dt.date:
        """Give a day at the edge of a window."""
        return self.day - dt.timedelta(days=self.random.choice(EDGES))

    def row(self, table: str, **fixed: Any) -> dict[str, Any]:
        """Give a row whose cells are drawn by name or by type, but for those that are fixed."""
        self.count += 1
        row: dict[str, Any] = {}
        for name, column in contract(table).columns.items():
            if name.startswith("_") or name in ("source", "valid_from"):
                continue
            if name == "valid_to":
                value = self.random.choice((None, None, None, self.day, self.day + dt.timedelta(days=1)))
            elif name in CHOICES:
                value = self.random.choice([v for v in CHOICES[name] if v is not None or not column.required])
            elif column.allowed:
                value = self.random.choice([*column.allowed, *([] if column.required else [None])])
            else:
                value = self._by_type(column.type, is_required=column.required)
            row[name] = value
        return {**row, **fixed}

    def _by_type(self, kind: str, *, is_required: bool) -> Any:
        if not is_required and self.random.random() < 0.25:
            return None
        if kind == "date":
            return self.date()
        if kind == "timestamp":
            return dt.datetime.combine(self.date(), dt.time(self.random.randrange(24)), dt.UTC)
        if kind.startswith("decimal"):
            return self.random.choice(AMOUNTS)
        if kind == "boolean":
            return self.random.random() < 0.5
        return self.random.randrange(5) if kind in ("int", "bigint") else f"x{self.count}"

    def few(self, most: int) -> range:
        """Give a small number of repetitions."""
        return range(self.random.randrange(most + 1))


def draw_world(lake: Any, random: Any, day: dt.date) -> None:
    """Draw everybody: some have a profile of the app as well, accounts with co-holders, all of it sparse."""
    drawer = Drawer(random, day)
    names = [f"p{at}" for at in range(PEOPLE)]
    people = {name: 4_000_000_000_001 + at for at, name in enumerate(names)}
    twice = [(name, "app", name) for name in names if random.random() < 0.4]
    fill_people(
        lake,
        people,
        twice,
        {name: random.choice(("customer", "prospect", "anonymous")) for name in names[:20]},
    )
    rows: dict[str, list[dict[str, Any]]] = {}

    def add(table: str, **fixed: Any) -> None:
        rows.setdefault(table, []).append(drawer.row(table, **fixed))

    for code_set, parents in PARENTS.items():
        for at, parent in enumerate(parents):
            add(
                "trusted.reference_values",
                code_set=code_set,
                code=f"c{at}",
                parent_code=parent,
                valid_to=None,
            )
    for at in range(3):
        add("trusted.products", product_id=f"p{at}", valid_to=None)
    for code in ("b1", "b2", "b3"):
        add("trusted.branches", branch_id=code, valid_to=None)
    for name in names:
        _draw_person(drawer, add, name, people[name], has_app=(name, "app", name) in twice)
    for table, drawn in rows.items():
        fill(lake, table, drawn, "random", people)


def _draw_person(drawer: Drawer, add: Any, name: str, one_id: int, *, has_app: bool) -> None:
    random = drawer.random
    for source in ("bank", "app") if has_app else ("bank",):
        born = drawer.day - dt.timedelta(
            days=random.choice((0, -1, 6574, 6575, 9131, 9132, 21914, 21915, 44194, 44195, 44560))
        )
        add(
            "trusted.customers",
            source=source,
            source_key=name,
            birth_date=random.choice((born, None, dt.date(2004, 2, 29))),
        )
        for namespace in {
            random.choice(("phone", "email", "app_user_id@app", "app_user_id@app", "openid@x", "national_id"))
            for _ in drawer.few(3)
        }:
            value = (
                f"1101011980010112{random.randrange(10)}X"
                if namespace == "national_id"
                else f"{name}-{namespace}"
            )
            add(
                "trusted.identifier_observations",
                source=source,
                source_key=name,
                namespace=namespace,
                value=value,
            )
    if random.random() < 0.3:
        add("identity.golden_records", one_id=one_id)
    for at in drawer.few(2):
        _draw_account(drawer, add, name, f"{name}-{at}")
    for at in drawer.few(2):
        add(
            "trusted.cards",
            card_id=f"{name}-card{at}",
            source_key=random.choice((name, None)),
            account_id=f"{name}-0",
        )
        if random.random() < 0.5:
            add("trusted.relationships", relationship_type="card_wallet", from_source="bank", from_key=f"{name}-card{at}", to_source="pay", to_key=name, role="wallet")  # fmt: skip
    if random.random() < 0.3:
        add("trusted.relationships", relationship_type="person_manager", from_source="bank", from_key=name, to_source="bank", to_key="rm", role=random.choice(("manager", "remote_seat")))  # fmt: skip
    for _ in drawer.few(2):
        add("trusted.assessments", source_key=name)
    for _ in drawer.few(8):
        moment = dt.datetime.combine(drawer.date(), dt.time(random.randrange(3)), dt.UTC)
        add("trusted.events", source_key=name, occurred_at=moment, occurred_on=moment.date())
    for purpose, channel in {(random.choice(("marketing", "marketing", "profiling", "service")), random.choice(("ALL", "ALL", "SMS", "CALL", "PUSH"))) for _ in drawer.few(4)}:  # fmt: skip
        add("trusted.consents", source_key=name, purpose=purpose, channel=channel)
    for at in drawer.few(2):
        add(
            "trusted.account_controls",
            control_id=f"{name}-{at}",
            source_key=random.choice((name, None)),
            account_id=random.choice((f"{name}-0", None)),
        )
    add("segments.recipients", destination="engine", recipient_key=name, one_id=one_id)
    for _ in drawer.few(8):
        add(
            "trusted.receipts",
            destination="engine",
            recipient_key=name,
            run_id=random.choice(("r1", "r2", "r3", "r4")),
        )
    if random.random() < 0.2:
        add("segments.assignments", salt=random.choice(("GCG-2024H1", "GCG-2023H1", "GCG-2024H2")), one_id=one_id, bucket=1, arm=random.choice(("CONTROL", "TREATED")), source="bucket")  # fmt: skip
    for at in drawer.few(5):
        _draw_order(drawer, add, name, f"{name}-{at}")


def _draw_account(drawer: Drawer, add: Any, name: str, account: str) -> None:
    random = drawer.random
    add("trusted.accounts", account_id=account)
    role = random.choice(("owner", "owner", "owner", "co_holder", "agent"))
    add(
        "trusted.relationships",
        relationship_type="person_account",
        from_source="bank",
        from_key=name,
        to_source="bank",
        to_key=account,
        role=role,
    )
    if random.random() < 0.2:
        add(
            "trusted.relationships",
            relationship_type="person_account",
            from_source="bank",
            from_key="p0",
            to_source="bank",
            to_key=account,
            role="owner",
        )
    stated = set()
    for _ in drawer.few(8):
        day, kind = (
            drawer.date(),
            random.choice(
                ("demand", "demand", "time", "wealth", "fund", "insurance", "metal", "custody", "loan")
            ),
        )
        if (day, kind) not in stated:
            stated.add((day, kind))
            sign = "-" if kind == "demand" and random.random() < 0.2 else ""
            amount = sign + random.choice(AMOUNTS)
            add(
                "trusted.balances",
                account_id=account,
                product_class=kind,
                balance_on=day,
                balance=amount,
                balance_base=amount,
            )
    for _ in drawer.few(8):
        add("trusted.transactions", account_id=account)
    for at in drawer.few(2):
        add("trusted.holdings", holding_id=f"{account}-{at}", account_id=account, matures_on=drawer.day + dt.timedelta(days=random.choice((-1, 0, 1, 3650, 3651))))  # fmt: skip
        add(
            "trusted.loans",
            loan_id=f"{account}-{at}",
            account_id=account,
            repayment_account_id=random.choice((account, None)),
        )


def _draw_order(drawer: Drawer, add: Any, name: str, order: str) -> None:
    random = drawer.random
    day, takes_back = drawer.date(), random.random() < 0.2
    add(
        "trusted.orders",
        order_id=order,
        source_key=name,
        ordered_on=day,
        is_return=random.choice((True,) if takes_back else (False, None)),
    )
    for line in range(1, 2 + random.randrange(3)):
        sign = "-" if takes_back or random.random() < 0.1 else ""
        base = random.choice((None, sign + random.choice(AMOUNTS)))
        add("trusted.order_lines", order_id=order, line_number=line, ordered_on=day, quantity=sign + random.choice(("1", "47.9999", "48", "100")),
            amount=sign + random.choice(AMOUNTS), amount_base=base)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("day", DAYS, ids=str)
@examples(
    max_examples=2,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(random=st.randoms(use_true_random=True))
def test_the_build_says_of_random_people_what_the_evaluator_says(tmp_path_factory, day, random):
    import tags

    random.seed(f"{day} {random.random()}")  # each day has other people
    workspace = tmp_path_factory.mktemp("random")
    (workspace / "cdp.yml").write_text("time_zone: Asia/Shanghai\nengine: duckdb\n")
    lake = open_lake(load_settings(workspace))
    draw_world(lake, random, day)
    tags.build_tags(lake, day)
    entries = compile_tags(None).registry.online()
    tables = tables_of(lake)
    faults = differences(lake.read_arrow("tags.customer_tags").to_pylist(), tables, entries, day)
    rows_of = {code: lake.read_arrow(f"tags.{code}_tags").to_pylist() for code in ("product", "branch")}
    faults += entity_differences(rows_of, tables, entries, day)
    assert not faults, f"{len(faults)} differences\n" + "\n".join(faults[:40])
