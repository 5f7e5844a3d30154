"""`python -m simulator.truth.pictures` draws the distributions of the simulated bank; a banker can say what is unreal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from simulator.truth.effects import OPENS, UPLIFT
from simulator.truth.evidence import identifier_pairs, records_of
from simulator.truth.troubles import troubles_of
from simulator.world.accounts import first_holdings
from simulator.world.bank import Bank, BankPlan
from simulator.world.bookings import history_bookings

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
PLAN = BankPlan(people=20_000, nights=1, history_months=1)
INK = "#2f5d8a"


def draw_all(folder: Path = FOLDER, plan: BankPlan = PLAN) -> list[Path]:
    """Draw every picture of a plan as SVG; the same plan gives the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "simulator", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    bank = Bank(plan)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (title, draw) in PICTURES.items():
        figure, axes = pyplot.subplots(figsize=(6, 3))
        draw(bank, axes)
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        path = folder / f"simulator_{name}.svg"
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
        # matplotlib ends some lines with blanks
        path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))
        paths.append(path)
    return paths


def _draw_ages(bank: Bank, axes: Any) -> None:
    customers = bank.people.is_customer
    bins = np.arange(0, 101, 5)
    axes.hist(
        [bank.people.age[customers], bank.people.age[~customers]],
        bins=bins,
        stacked=True,
        color=[INK, "#c8d6e5"],
    )
    axes.legend(["customers", "others"], frameon=False)
    axes.set_xlabel("years")
    axes.set_ylabel("people")


def _draw_money(cents: np.ndarray, axes: Any) -> None:
    axes.hist(np.log10(np.maximum(cents / 100, 1)), bins=np.arange(0, 8.01, 0.25), color=INK)
    axes.set_xticks(range(9), ["≤1", "10", "100", "1k", "10k", "100k", "1M", "10M", "100M"])
    axes.set_xlabel("CNY")
    axes.set_ylabel("core records")


def _draw_aum(bank: Bank, axes: Any) -> None:
    _draw_money(bank.finances.total, axes)
    for tier in (1e4, 5e4, 5e5, 6e6):
        axes.axvline(np.log10(tier), color="#b0413e", linewidth=0.8)


def _draw_demand(bank: Bank, axes: Any) -> None:
    _draw_money(bank.finances.demand, axes)


def _draw_bookings(bank: Bank, axes: Any) -> None:
    plan, rows = bank.plan, slice(0, int((bank.core.first_night == 0).sum()))
    holdings = first_holdings(plan.seed, bank.core, bank.finances, plan.first_day)
    bookings, _, _ = history_bookings(
        plan.seed, 0, rows, bank.core, bank.finances, holdings, bank.loans, plan.first_day, plan.start, plan.rates.overdrawn
    )  # fmt: skip
    counts = np.bincount(bookings.owner, minlength=rows.stop) * 30 / (plan.first_day - plan.start)
    axes.hist(np.minimum(counts, 30), bins=np.arange(0, 31), color=INK)
    axes.set_xlabel("bookings in 30 days (30 = 30 or more)")
    axes.set_ylabel("core records")


def _draw_counts(numbers: np.ndarray, label: str, axes: Any) -> None:
    values, counts = np.unique(numbers, return_counts=True)
    axes.bar(values, counts, color=INK)
    axes.set_xticks(values)
    axes.set_xlabel(label)
    axes.set_ylabel("count")


def _draw_records(bank: Bank, axes: Any) -> None:
    _draw_counts(
        np.unique(records_of(bank).person, return_counts=True)[1], "delivered records of a person", axes
    )


def _draw_identifiers(bank: Bank, axes: Any) -> None:
    records = records_of(bank)
    place, _ = identifier_pairs(bank, records)
    numbers = np.bincount(place, minlength=len(records.person))
    _draw_counts(numbers, "identifiers of a record that say something, beside its own key", axes)


def _draw_troubles(bank: Bank, axes: Any) -> None:
    sizes = {
        "core_banking": len(bank.core.person), "mobile_app": len(bank.app.person), "web": len(bank.web.person),
        "wechat_account": len(bank.followers.person), "wechat_mini": len(bank.minis.person),
    } | {name: len(records) for name, records in bank.contacts.items()}  # fmt: skip
    shares = sorted(
        (float(mask.sum()) / max(sizes[source], 1), f"{source}: {trouble}")
        for source, trouble, mask in troubles_of(bank)
    )
    shares = [pair for pair in shares if pair[0] > 0]
    axes.figure.set_size_inches(6, 7)
    axes.barh([name for _, name in shares], [100 * share for share, _ in shares], color=INK)
    axes.set_xlabel("% of the source's records")
    axes.tick_params(axis="y", labelsize=7)


def _draw_responses(bank: Bank, axes: Any) -> None:
    del bank
    channels = sorted(UPLIFT)
    place = np.arange(len(channels))
    axes.bar(place - 0.2, [100 * OPENS.get(c, OPENS["SMS"])[0] for c in channels], 0.4, color="#c8d6e5")
    axes.bar(place + 0.2, [100 * UPLIFT[c] for c in channels], 0.4, color=INK)
    axes.set_xticks(place, channels, fontsize=7)
    axes.legend(["opened", "purchase caused"], frameon=False)
    axes.set_ylabel("% of delivered")


PICTURES: dict[str, tuple[str, Callable[[Bank, Any], None]]] = {
    "ages": ("Ages", _draw_ages),
    "aum": ("Money in all classes aimed at; lines: tiers", _draw_aum),
    "demand": ("Demand balance aimed at", _draw_demand),
    "bookings": ("Bookings on the savings account", _draw_bookings),
    "records": ("Records per person", _draw_records),
    "identifiers": ("Identifiers per record", _draw_identifiers),
    "troubles": ("How often each trouble occurs", _draw_troubles),
    "responses": ("What messages do, by channel", _draw_responses),
}

if __name__ == "__main__":
    for picture in draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        sys.stdout.write(f"{picture}\n")
