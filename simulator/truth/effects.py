"""What a delivered message causes: opens, clicks, and purchases in the app that nobody makes without it, at chances per channel.

Everybody buys now and then without a message (the funnels of `simulator.channels.events`), treated or not. A delivered message adds a
purchase on the next day with the chance of its channel, for every recipient alike. So the truth has the effect of a campaign twice:
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
from simulator.world.draws import join_texts, moments, texts_at

# by channel: share opened of delivered, clicked of opened; other channels as SMS
OPENS = {
    "PUSH": (0.22, 0.30),
    "WECHAT": (0.35, 0.35),
    "INAPP": (0.45, 0.25),
    "SMS": (0.10, 0.20),
    "EMAIL": (0.15, 0.15),
    "CALL": (0.5, 0.1),
}
# chance that a delivered message of the channel makes its recipient buy
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
    """Write the true chances per channel: opened of delivered, clicked of opened, and a purchase because of the message."""
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


def caused_purchases(is_delivered: np.ndarray, channel: pa.Array, draw: np.ndarray) -> np.ndarray:
    """Mark the recipients who buy because of the message; `draw` is one uniform number for each."""
    chance = np.array([UPLIFT.get(c, UPLIFT["SMS"]) for c in channel.to_pylist()])
    return is_delivered & (draw < chance)


def write_purchases(
    responses: pa.Table, users: Mapping[str, str], inbox: Path, truth: Path, day: date
) -> int:
    """Write the caused purchases as app events of `day`, write the responses into the truth, and give the number of purchases.

    `responses` has run_id, segment, channel, recipient_key, is_delivered, buys; `users` maps recipient keys to app users. A recipient
    without the app buys nothing, and the truth says so.
    """
    has_app = np.array([key in users for key in responses["recipient_key"].to_pylist()], dtype=bool)
    is_buying = responses["buys"].to_numpy(zero_copy_only=False) & has_app
    truth_rows = responses.set_column(responses.column_names.index("buys"), "buys", pa.array(is_buying))
    truth_rows = truth_rows.append_column("has_app", pa.array(has_app))
    folder = truth / "responses"
    folder.mkdir(parents=True, exist_ok=True)
    pacsv.write_csv(truth_rows, folder / f"{day}.csv", pacsv.WriteOptions(quoting_style="none"))
    buyers = responses.filter(pa.array(is_buying))
    if not len(buyers):
        return 0
    keys = buyers["recipient_key"].to_pylist()
    count = len(keys)
    second = 10 * 3600 + (np.arange(count) * 7_919) % (10 * 3600)
    stamps = moments(np.full(count, (day - date(1970, 1, 1)).days), second)
    # a run and a person have one purchase, so both together make the key
    name = join_texts(
        "X",
        pa.array(
            [f"{run[-8:]}{key[:16]}" for run, key in zip(buyers["run_id"].to_pylist(), keys, strict=True)]
        ),
    )
    lines = join_texts(
        '{"event_id":"', name, '","user":{"id":"', pa.array([users[k] for k in keys], pa.large_string()),
        '"},"event":{"name":"wealth_purchase_ok","ok":true,"at":"', stamps, '"},"session":"', name,
        '","device":{"id":"","os":"android"},"item":{"id":"WM090","class":"wealth"},"props":{"campaign":"',
        texts_at(buyers["segment"].to_pylist(), np.arange(count)), '"}}\n',
    )  # fmt: skip
    Inbox(inbox, 0).write_lines(FEED, day, FILE, [lines])
    return count
