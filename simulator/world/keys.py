"""Keys of the source systems, made from numbers: distinct numbers give distinct keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.world.draws import HEX, numbered_texts, scatter, strings_of, tokens


def account_numbers(number: np.ndarray, kind: np.ndarray | int) -> pa.Array:
    """Give account numbers by core record number and kind of account."""
    return numbered_texts("6217", scatter(number * 8 + kind, 12, 51), 12)


def card_numbers(number: np.ndarray, kind: int) -> pa.Array:
    """Give card keys (the card itself carries another number)."""
    return numbered_texts("K", scatter(number * 2 + kind, 11, 61), 11)


def branch_ids(index: np.ndarray) -> pa.Array:
    """Give branch codes: a city has three sub-branches under one city branch."""
    return numbered_texts("B", index, 4)


def customer_numbers(number: np.ndarray) -> pa.Array:
    """Give customer numbers of core records."""
    return numbered_texts("1", scatter(number, 9, 3), 9)


def app_user_ids(number: np.ndarray) -> pa.Array:
    """Give user ids of app profiles."""
    return numbered_texts("U", scatter(number, 9, 11), 9)


def kiosk_devices(kiosk: np.ndarray) -> pa.Array:
    """Give device ids of branch kiosks; no person has one of them."""
    return device_ids(kiosk + 2**40)


def contact_keys(source: str, number: np.ndarray) -> pa.Array:
    """Give keys of the records of a service channel by its name; a WeCom friend has an external user id."""
    if source == "wecom":
        return tokens("wm", number, 30, 24)
    prefix, salt = {
        "branch_crm": ("CRM", 13),
        "call_centre": ("CC", 14),
        "partner_list": ("PT", 15),
        "mall": ("M", 16),
    }[source]
    return numbered_texts(prefix, scatter(number, 9, salt), 9)


def device_ids(number: np.ndarray) -> pa.Array:
    """Give device ids in the form of a UUID."""
    hex_texts = tokens("", number, 32, 41, HEX)
    letters = (
        np.frombuffer(hex_texts.buffers()[2], dtype=np.uint8).reshape(-1, 32)
        if len(hex_texts)
        else np.zeros((0, 32), dtype=np.uint8)
    )
    dash = np.full((len(hex_texts), 1), ord("-"), dtype=np.uint8)
    pieces = [letters[:, a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))]
    return strings_of(np.hstack([part for piece in pieces for part in (piece, dash)][:-1]))
