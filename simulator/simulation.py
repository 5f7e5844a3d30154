"""The whole simulation: the files of every channel and night, and the truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

from simulator.channels.digital import write_digital
from simulator.channels.files import Inbox
from simulator.channels.ledger import write_ledger
from simulator.channels.mall import write_mall
from simulator.channels.masters import write_masters
from simulator.channels.money import write_money
from simulator.channels.partners import write_partners
from simulator.channels.service import write_service
from simulator.truth.truth_files import write_truth
from simulator.world.bank import Bank, BankPlan


def simulate(plan: BankPlan, out: Path) -> dict[str, int | str]:
    """Write inbox and truth of a plan below `out` and give the counts. The same plan writes the same bytes.

    Files of another plan in the folder stay there. So use an empty folder, or the folder of a plan that differs only in fewer `nights`.
    """
    bank = Bank(plan)
    inbox = Inbox(out / "inbox", plan.seed)
    write_masters(bank, inbox)
    write_money(bank, inbox)
    write_digital(bank, inbox)
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
