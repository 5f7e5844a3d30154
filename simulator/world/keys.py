"""Keys of the delivered systems, rendered from numbers: distinct numbers give distinct keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.world.draws import HEX, numbered, scattered, strings_of, tokens


def account_numbers(number: np.ndarray, kind: np.ndarray | int) -> pa.Array:
    """Account numbers by core record number and kind of account."""
    return numbered("6217", scattered(number * 8 + kind, 12, 51), 12)


def card_numbers(number: np.ndarray, kind: int) -> pa.Array:
    """Card keys (not what is printed on the card)."""
    return numbered("K", scattered(number * 2 + kind, 11, 61), 11)


def branch_ids(index: np.ndarray) -> pa.Array:
    """Branch codes: three sub-branches a city, under one city branch."""
    return numbered("B", index, 4)


def customer_numbers(number: np.ndarray) -> pa.Array:
    """Give customer numbers of core records."""
    return numbered("1", scattered(number, 9, 3), 9)


def app_user_ids(number: np.ndarray) -> pa.Array:
    """User ids of app profiles."""
    return numbered("U", scattered(number, 9, 11), 9)


def kiosk_devices(kiosk: np.ndarray) -> pa.Array:
    """Device ids of branch kiosks, unlike those of people."""
    return device_ids(kiosk + 2**40)


def contact_keys(source: str, number: np.ndarray) -> pa.Array:
    """Keys of the records of a service channel by its name; a WeCom friend has an external user id."""
    if source == "wecom":
        return tokens("wm", number, 30, 24)
    prefix, salt = {
        "branch_crm": ("CRM", 13),
        "call_centre": ("CC", 14),
        "partner_list": ("PT", 15),
        "mall": ("M", 16),
    }[source]
    return numbered(prefix, scattered(number, 9, salt), 9)


def device_ids(number: np.ndarray) -> pa.Array:
    """Device ids written like a UUID."""
    raw = tokens("", number, 32, 41, HEX)
    letters = (
        np.frombuffer(raw.buffers()[2], dtype=np.uint8).reshape(-1, 32)
        if len(raw)
        else np.zeros((0, 32), dtype=np.uint8)
    )
    dash = np.full((len(raw), 1), ord("-"), dtype=np.uint8)
    cuts = [letters[:, a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))]
    return strings_of(np.hstack([part for cut in cuts for part in (cut, dash)][:-1]))
