"""What a delivered message causes: purchases in the app that would not have been made without it, at rates that are known.

Everybody buys now and then without being asked (the funnels of `simulator.channels.events`), treated or not. A delivered message adds a
purchase on the next day with the chance of its channel, whoever the recipient is. So the true effect of a campaign is known twice:
as the chance per channel (`truth/effects.csv`), and person by person (`truth/responses/<date>.csv`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from simulator.channels.files import Inbox
from simulator.world.draws import joined, moments, taken

# by channel: share opened of delivered, clicked of opened; other channels as SMS
OPENS = {
    "PUSH": (0.22, 0.30),
    "WECHAT": (0.35, 0.35),
    "INAPP": (0.45, 0.25),
    "SMS": (0.10, 0.20),
    "EMAIL": (0.15, 0.15),
    "CALL": (0.5, 0.1),
}
# chance that a delivered message of the channel makes its recipient buy who would not have bought
UPLIFT = {
    "PUSH": 0.03,
    "WECHAT": 0.05,
    "INAPP": 0.04,
    "SMS": 0.015,
    "EMAIL": 0.01,
    "CALL": 0.08,
    "WECOM": 0.06,
    "BRANCH": 0.10,
}
FEED = "app_events"
FILE = "events_campaigns.jsonl.gz"


def write_effects(path: Path) -> None:
    """Write the true chances per channel: opened of delivered, clicked of opened, and the purchase a delivery causes."""
    channels = sorted(UPLIFT)
    chances = [OPENS.get(c, OPENS["SMS"]) for c in channels]
    table = pa.table({
        "channel": channels,
        "opened_of_delivered": [c[0] for c in chances],
        "clicked_of_opened": [c[1] for c in chances],
        "purchase_uplift_of_delivered": [UPLIFT[c] for c in channels],
    })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="none"))


def caused_purchases(delivered: np.ndarray, channel: pa.Array, draw: np.ndarray) -> np.ndarray:
    """Mark the recipients whom the message makes buy; `draw` is one uniform number each."""
    chance = np.array([UPLIFT.get(c, UPLIFT["SMS"]) for c in channel.to_pylist()])
    return delivered & (draw < chance)


def write_purchases(
    responses: pa.Table, users: Mapping[str, str], inbox: Path, truth: Path, day: date
) -> int:
    """Write the caused purchases as app events of `day`, and who was caused into the truth; gives how many purchases.

    `responses` has run_id, segment, channel, recipient_key, is_delivered, buys; `users` maps recipient keys to app users: who has no
    app buys nothing there, and the truth says so.
    """
    known = np.array([key in users for key in responses["recipient_key"].to_pylist()], dtype=bool)
    buys = responses["buys"].to_numpy(zero_copy_only=False) & known
    told = responses.set_column(responses.column_names.index("buys"), "buys", pa.array(buys))
    told = told.append_column("has_app", pa.array(known))
    folder = truth / "responses"
    folder.mkdir(parents=True, exist_ok=True)
    pacsv.write_csv(told, folder / f"{day}.csv", pacsv.WriteOptions(quoting_style="none"))
    buyers = responses.filter(pa.array(buys))
    if not len(buyers):
        return 0
    keys = buyers["recipient_key"].to_pylist()
    count = len(keys)
    second = 10 * 3600 + (np.arange(count) * 7_919) % (10 * 3600)
    stamps = moments(np.full(count, (day - date(1970, 1, 1)).days), second)
    # one purchase per run and person, so that the key is one of both
    name = joined(
        "X",
        pa.array(
            [f"{run[-8:]}{key[:16]}" for run, key in zip(buyers["run_id"].to_pylist(), keys, strict=True)]
        ),
    )
    lines = joined(
        '{"event_id":"', name, '","user":{"id":"', pa.array([users[k] for k in keys], pa.large_string()),
        '"},"event":{"name":"wealth_purchase_ok","ok":true,"at":"', stamps, '"},"session":"', name,
        '","device":{"id":"","os":"android"},"item":{"id":"WM090","class":"wealth"},"props":{"campaign":"',
        taken(buyers["segment"].to_pylist(), np.arange(count)), '"}}\n',
    )  # fmt: skip
    Inbox(inbox, 0).lines(FEED, day, FILE, [lines])
    return count
