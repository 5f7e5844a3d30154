"""The whole simulation: the files of every channel and night, and the truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

from simulator.channels.digital import write_channels
from simulator.channels.files import Inbox
from simulator.channels.ledger import write_ledger
from simulator.channels.mall import write_mall
from simulator.channels.masters import write_core
from simulator.channels.money import write_money
from simulator.channels.partners import write_partners
from simulator.channels.service import write_service
from simulator.truth.truth_files import write_truth
from simulator.world.bank import Bank, Plan


def simulate(plan: Plan, out: Path) -> dict[str, int | str]:
    """Write inbox and truth of a plan below `out`; gives counts. The same plan writes the same bytes.

    Files of other plans that are already there stay, so simulate into an empty folder unless only `nights` grew.
    """
    bank = Bank(plan)
    inbox = Inbox(out / "inbox", plan.seed)
    write_core(bank, inbox)
    write_money(bank, inbox)
    write_channels(bank, inbox)
    write_service(bank, inbox)
    write_partners(bank, inbox)
    write_mall(bank, inbox)
    write_ledger(bank, inbox)
    profiles = write_truth(bank, inbox, out / "truth")
    summary: dict[str, int | str] = {
        "people": plan.people,
        "nights": plan.nights,
        "profiles": profiles,
        "files": len(inbox.notes),
        "rows": sum(note.rows for note in inbox.notes),
        "inbox": str(inbox.root),
        "truth": str(out / "truth"),
    }
    (out / "truth" / "plan.json").write_text(
        json.dumps(
            {k: summary[k] for k in ("people", "nights", "profiles", "rows")} | {"seed": plan.seed}, indent=1
        )
        + "\n"
    )
    return summary
