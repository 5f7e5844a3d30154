"""Identity numbers, phones and names as people and systems write them: right, wrong, old, placeholder and dressed up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.world import codes
from simulator.world.draws import calendar, digits_of, joined, put, scattered, strings_of, taken

# GB 11643: weights of the first 17 digits, and the check character for each remainder
WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
CHECKS = np.frombuffer(b"10X98765432", dtype=np.uint8)

# how an identity number stands on a core record
ID_18, ID_15, ID_WRONG_CHECK, ID_MISSING, ID_PLACEHOLDER, ID_FULL_WIDTH, ID_FOREIGN = range(7)
# how a phone is written
PHONE_PLAIN, PHONE_PLUS86, PHONE_SPACES, PHONE_DASHES, PHONE_FULL_WIDTH = range(5)
# a phone index below zero is no phone of a person
NO_PHONE, LANDLINE = -1, -2
PLACEHOLDER_BASE = -10


def unique_sequences(area: np.ndarray, birth: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Order codes (odd for men, even for women) such that no two people share area, birth day and code; earlier people keep theirs."""
    sequence = sequence.copy()
    while True:
        key = (area.astype(np.int64) * 100_000 + birth + 40_000) * 1_000 + sequence
        _, first = np.unique(key, return_index=True)
        again = np.ones(len(key), dtype=bool)
        again[first] = False
        if not again.any():
            return sequence
        sequence[again] = (sequence[again] + 2) % 1000


def id_characters(area: np.ndarray, birth: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Give the 18 characters of each identity number, check character included."""
    years, months, dates = calendar(birth)
    body = np.hstack(
        [
            digits_of(area, 6),
            digits_of(years, 4),
            digits_of(months, 2),
            digits_of(dates, 2),
            digits_of(sequence, 3),
        ]
    )
    check = CHECKS[((body.astype(np.int64) - 48) @ WEIGHTS) % 11]
    return np.hstack([body, check[:, None]])


def written_ids(
    characters: np.ndarray, form: np.ndarray, lower_x: np.ndarray, number: np.ndarray
) -> pa.Array:
    """Identity numbers as the core system holds them, by form; `number` varies placeholders and foreign documents."""
    text = strings_of(characters)
    text = put(
        text,
        lower_x & (characters[:, 17] == ord("X")),
        pc.utf8_lower(text.filter(pa.array(lower_x & (characters[:, 17] == ord("X"))))),
    )
    old = form == ID_15
    text = put(text, old, strings_of(np.delete(characters[old], [6, 7, 17], axis=1)))
    wrong = form == ID_WRONG_CHECK
    broken = characters[wrong].copy()
    place = np.argmax(CHECKS[None, :] == broken[:, 17][:, None], axis=1)
    broken[:, 17] = CHECKS[(place + 1 + number[wrong] % 10) % 11]
    text = put(text, wrong, strings_of(broken))
    text = put(text, form == ID_MISSING, None)
    blank = form == ID_PLACEHOLDER
    text = put(text, blank, taken(codes.PLACEHOLDER_IDS, number[blank] % len(codes.PLACEHOLDER_IDS)))
    wide = form == ID_FULL_WIDTH
    text = put(text, wide, full_width(text.filter(pa.array(wide))))
    abroad = form == ID_FOREIGN
    return put(text, abroad, joined("E", strings_of(digits_of(scattered(number[abroad], 8, 71), 8))))


def full_width(text: pa.Array) -> pa.Array:
    """Digits, plus and letter X as full-width characters."""
    for narrow in "0123456789+X":
        text = pc.replace_substring(text, narrow, chr(ord(narrow) + 0xFEE0))
    return text


def phone_digits(index: np.ndarray) -> np.ndarray:
    """Give the 11 digits of each phone index: distinct indexes give distinct numbers."""
    suffix = scattered(index, 8, 17)
    prefix = np.array(codes.PHONE_PREFIXES)[(suffix // 7 + index) % len(codes.PHONE_PREFIXES)]
    return np.hstack([digits_of(prefix, 3), digits_of(suffix, 8)])


def written_phones(index: np.ndarray, style: np.ndarray) -> pa.Array:
    """Phones as typed; negative indexes give nothing, a landline or a placeholder."""
    digits = phone_digits(np.maximum(index, 0))
    plain = strings_of(digits)
    text = plain
    real = index >= 0
    dashed = joined(
        strings_of(digits[:, :3]), "-", strings_of(digits[:, 3:7]), "-", strings_of(digits[:, 7:])
    )
    text = put(
        text,
        real & (style == PHONE_PLUS86),
        joined("+86 ", plain.filter(pa.array(real & (style == PHONE_PLUS86)))),
    )
    text = put(text, real & (style == PHONE_DASHES), dashed.filter(pa.array(real & (style == PHONE_DASHES))))
    spaced = real & (style == PHONE_SPACES)
    text = put(text, spaced, pc.replace_substring(dashed.filter(pa.array(spaced)), "-", " "))
    wide = real & (style == PHONE_FULL_WIDTH)
    text = put(text, wide, full_width(plain.filter(pa.array(wide))))
    text = put(text, index == NO_PHONE, None)
    fixed = index == LANDLINE
    text = put(text, fixed, joined("021-", strings_of(digits_of(scattered(np.flatnonzero(fixed), 7, 5), 8))))
    held = index <= PLACEHOLDER_BASE
    return put(
        text,
        held,
        taken(codes.PLACEHOLDER_PHONES, (PLACEHOLDER_BASE - index[held]) % len(codes.PLACEHOLDER_PHONES)),
    )


# how a name is written in a channel
NAME_PLAIN, NAME_FULL_WIDTH_SPACE, NAME_SPACED, NAME_PINYIN, NAME_MASKED = range(5)


def written_names(surname: np.ndarray, first: np.ndarray, second: np.ndarray, style: np.ndarray) -> pa.Array:
    """Names by surname and given-name indexes; second −1 = one given character, −2−k = the k-th minority name."""
    family = taken(list(codes.SURNAMES), surname)
    given = joined(
        taken(list(codes.GIVEN), first), put(taken(list(codes.GIVEN), np.maximum(second, 0)), second < 0, "")
    )
    text = joined(family, given)
    for kind, middle in ((NAME_FULL_WIDTH_SPACE, "\u3000"), (NAME_SPACED, " ")):
        text = put(text, style == kind, joined(family, middle, given).filter(pa.array(style == kind)))
    latin = style == NAME_PINYIN
    spoken = joined(
        taken(codes.SURNAME_PINYIN, surname[latin]),
        " ",
        taken(codes.GIVEN_PINYIN, first[latin]),
        put(taken(codes.GIVEN_PINYIN, np.maximum(second[latin], 0)), second[latin] < 0, ""),
    )
    text = put(text, latin, spoken)
    text = put(text, style == NAME_MASKED, joined(family.filter(pa.array(style == NAME_MASKED)), "**"))
    minority = second <= -2
    return put(text, minority, taken(codes.MINORITY_NAMES, -2 - second[minority]))
