"""The demo: a simulated bank, its nights, and an engine that answers the audiences between them."""

from __future__ import annotations

import json
import logging
from datetime import date, timedelta

from ingestion import load_feeds
from jobs.night.nightly import NightOutcome, run_night
from lakehouse.errors import UsageError
from lakehouse.ledger.progress import counts_text
from lakehouse.query.published import open_publication, publications
from lakehouse.settings.settings import Settings
from simulator.engine import answer
from simulator.simulation import simulate
from simulator.world.bank import BankPlan

log = logging.getLogger("cdp.demo")

PLAN_FILE = ".plan.json"


def run_demo(settings: Settings, *, people: int, nights: int, seed: int, history_months: int) -> NightOutcome:
    """Give the last night of the simulated bank, running those that were not published yet.

    A workspace holds one simulated bank: other numbers than those it was made with are refused, nothing is mixed.
    """
    _require_feeds(settings)
    plan = BankPlan(people=people, nights=nights, seed=seed, history_months=history_months)
    _simulate_once(settings, plan)
    last = plan.business_date(nights - 1)
    published_days = {p.business_date for p in publications(settings)}
    night: NightOutcome | None = None
    for number in range(nights):
        day = plan.business_date(number)
        if day in published_days and day != last:
            log.info("the night of %s was published before", day)
        else:
            night = run_night(settings, day)
        if day != last and plan.business_date(number + 1) not in published_days:
            # The same audiences give the same answers, so asking again after an interrupted demo changes nothing.
            truth = settings.workspace / "truth"
            answers = answer(
                settings.published,
                settings.inbox,
                day,
                users=app_users_of_recipients(settings, day),
                truth=truth,
            )
            log.info("the simulated engine answered for %s: %s", day + timedelta(days=1), answers)
    if night is None:
        raise UsageError("there was no night to run")
    return night


def app_users_of_recipients(settings: Settings, business_date: date) -> dict[str, str]:
    """Give one app user per recipient key of what a date published, as an engine's own address book would."""
    rows = open_publication(settings, business_date).sql(
        "SELECT r.recipient_key, min(m.source_key) FROM segments.recipients r JOIN identity.memberships m USING (one_id)"
        " WHERE m.valid_to IS NULL AND m.source = 'mobile_app' GROUP BY 1 ORDER BY 1"
    )
    return dict(rows.fetchall())


def _require_feeds(settings: Settings) -> None:
    """Refuse a workspace whose feeds would read nothing of what the simulated bank delivers."""
    paths = [feed.files.path for feed in load_feeds(settings)]
    if not any(path.startswith("core_customers/") for path in paths):
        raise UsageError(
            f"{settings.workspace} has no feeds of the simulated bank; make a workspace that has with "
            "`cdp init DIR --example bank`"
        )


def _simulate_once(settings: Settings, plan: BankPlan) -> None:
    file = settings.inbox / PLAN_FILE
    numbers = {
        "people": plan.people, "nights": plan.nights, "seed": plan.seed,
        "history_months": plan.history_months, "first": plan.first.isoformat(),
    }  # fmt: skip
    if file.exists():
        others = json.loads(file.read_text(encoding="utf-8"))
        if others != numbers:
            text = ", ".join(f"{key} {value}" for key, value in others.items())
            raise UsageError(
                f"{settings.workspace} holds another simulated bank ({text}); name another workspace, "
                "or remove its inbox, truth, lake, published and reports first"
            )
        return
    if settings.inbox.exists() and any(entry.name != "README.md" for entry in settings.inbox.iterdir()):
        raise UsageError(
            f"{settings.inbox} already holds files that the demo did not write; name another workspace"
        )
    counts = simulate(plan, settings.workspace)
    log.info("simulated a bank of %s people: %s", plan.people, counts_text(counts))
    file.write_text(json.dumps(numbers), encoding="utf-8")
