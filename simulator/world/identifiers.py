"""Identity numbers, phones and names as people and systems write them: right, wrong, old, placeholder, and in other spellings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.world import codes
from simulator.world.draws import (
    calendar,
    digits_of,
    join_texts,
    replace_where,
    scatter,
    strings_of,
    texts_at,
)

# GB 11643: weights of the first 17 digits, and the check character for each remainder
WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
CHECKS = np.frombuffer(b"10X98765432", dtype=np.uint8)

# how an identity number stands on a core record
ID_18, ID_15, ID_WRONG_CHECK, ID_MISSING, ID_PLACEHOLDER, ID_FULL_WIDTH, ID_FOREIGN = range(7)
# how a source writes a phone
PHONE_PLAIN, PHONE_PLUS86, PHONE_SPACES, PHONE_DASHES, PHONE_FULL_WIDTH = range(5)
# a phone index below zero is no person's phone
NO_PHONE, LANDLINE = -1, -2
PLACEHOLDER_BASE = -10


def unique_sequences(area: np.ndarray, birth: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Give order codes (odd for men, even for women); no two people share area, birth day and code, and earlier people keep their code."""
    sequence = sequence.copy()
    while True:
        key = (area.astype(np.int64) * 100_000 + birth + 40_000) * 1_000 + sequence
        _, first = np.unique(key, return_index=True)
        is_repeat = np.ones(len(key), dtype=bool)
        is_repeat[first] = False
        if not is_repeat.any():
            return sequence
        sequence[is_repeat] = (sequence[is_repeat] + 2) % 1000


def id_characters(area: np.ndarray, birth: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Give the 18 characters of each identity number, check character included."""
    years, months, dates = calendar(birth)
    first_characters = np.hstack(
        [
            digits_of(area, 6),
            digits_of(years, 4),
            digits_of(months, 2),
            digits_of(dates, 2),
            digits_of(sequence, 3),
        ]
    )
    check_characters = CHECKS[((first_characters.astype(np.int64) - 48) @ WEIGHTS) % 11]
    return np.hstack([first_characters, check_characters[:, None]])


def id_texts(
    characters: np.ndarray, form: np.ndarray, has_lower_x: np.ndarray, number: np.ndarray
) -> pa.Array:
    """Give identity numbers as the core system has them, by form; `number` varies placeholders and foreign documents."""
    text = strings_of(characters)
    text = replace_where(
        text,
        has_lower_x & (characters[:, 17] == ord("X")),
        pc.utf8_lower(text.filter(pa.array(has_lower_x & (characters[:, 17] == ord("X"))))),
    )
    is_old_form = form == ID_15
    text = replace_where(
        text, is_old_form, strings_of(np.delete(characters[is_old_form], [6, 7, 17], axis=1))
    )
    is_wrong = form == ID_WRONG_CHECK
    wrong_characters = characters[is_wrong].copy()
    place = np.argmax(CHECKS[None, :] == wrong_characters[:, 17][:, None], axis=1)
    wrong_characters[:, 17] = CHECKS[(place + 1 + number[is_wrong] % 10) % 11]
    text = replace_where(text, is_wrong, strings_of(wrong_characters))
    text = replace_where(text, form == ID_MISSING, None)
    is_placeholder = form == ID_PLACEHOLDER
    text = replace_where(
        text,
        is_placeholder,
        texts_at(codes.PLACEHOLDER_IDS, number[is_placeholder] % len(codes.PLACEHOLDER_IDS)),
    )
    is_full_width = form == ID_FULL_WIDTH
    text = replace_where(text, is_full_width, full_width_texts(text.filter(pa.array(is_full_width))))
    is_foreign = form == ID_FOREIGN
    return replace_where(
        text, is_foreign, join_texts("E", strings_of(digits_of(scatter(number[is_foreign], 8, 71), 8)))
    )


def full_width_texts(text: pa.Array) -> pa.Array:
    """Give texts with digits, plus and letter X as full-width characters."""
    for character in "0123456789+X":
        text = pc.replace_substring(text, character, chr(ord(character) + 0xFEE0))
    return text


def phone_digits(index: np.ndarray) -> np.ndarray:
    """Give the 11 digits of each phone index: distinct indexes give distinct numbers."""
    suffix = scatter(index, 8, 17)
    prefix = np.array(codes.PHONE_PREFIXES)[(suffix // 7 + index) % len(codes.PHONE_PREFIXES)]
    return np.hstack([digits_of(prefix, 3), digits_of(suffix, 8)])


def phone_texts(index: np.ndarray, style: np.ndarray) -> pa.Array:
    """Give phones as people type them; a negative index gives nothing, a landline or a placeholder."""
    digits = phone_digits(np.maximum(index, 0))
    plain_texts = strings_of(digits)
    text = plain_texts
    is_real = index >= 0
    dashed_texts = join_texts(
        strings_of(digits[:, :3]), "-", strings_of(digits[:, 3:7]), "-", strings_of(digits[:, 7:])
    )
    text = replace_where(
        text,
        is_real & (style == PHONE_PLUS86),
        join_texts("+86 ", plain_texts.filter(pa.array(is_real & (style == PHONE_PLUS86)))),
    )
    text = replace_where(
        text,
        is_real & (style == PHONE_DASHES),
        dashed_texts.filter(pa.array(is_real & (style == PHONE_DASHES))),
    )
    is_spaced = is_real & (style == PHONE_SPACES)
    text = replace_where(
        text, is_spaced, pc.replace_substring(dashed_texts.filter(pa.array(is_spaced)), "-", " ")
    )
    is_full_width = is_real & (style == PHONE_FULL_WIDTH)
    text = replace_where(text, is_full_width, full_width_texts(plain_texts.filter(pa.array(is_full_width))))
    text = replace_where(text, index == NO_PHONE, None)
    is_landline = index == LANDLINE
    text = replace_where(
        text,
        is_landline,
        join_texts("021-", strings_of(digits_of(scatter(np.flatnonzero(is_landline), 7, 5), 8))),
    )
    is_placeholder = index <= PLACEHOLDER_BASE
    return replace_where(
        text,
        is_placeholder,
        texts_at(
            codes.PLACEHOLDER_PHONES,
            (PLACEHOLDER_BASE - index[is_placeholder]) % len(codes.PLACEHOLDER_PHONES),
        ),
    )


# how a channel writes a name
NAME_PLAIN, NAME_FULL_WIDTH_SPACE, NAME_SPACED, NAME_PINYIN, NAME_MASKED = range(5)


def name_texts(surname: np.ndarray, first: np.ndarray, second: np.ndarray, style: np.ndarray) -> pa.Array:
    """Give names by surname and given-name indexes; second −1 = one character, −2−k = the k-th minority name."""
    surnames = texts_at(list(codes.SURNAMES), surname)
    given_names = join_texts(
        texts_at(list(codes.GIVEN_NAMES), first),
        replace_where(texts_at(list(codes.GIVEN_NAMES), np.maximum(second, 0)), second < 0, ""),
    )
    text = join_texts(surnames, given_names)
    for kind, separator in ((NAME_FULL_WIDTH_SPACE, "\u3000"), (NAME_SPACED, " ")):
        text = replace_where(
            text, style == kind, join_texts(surnames, separator, given_names).filter(pa.array(style == kind))
        )
    is_pinyin = style == NAME_PINYIN
    pinyin = join_texts(
        texts_at(codes.SURNAME_PINYIN, surname[is_pinyin]),
        " ",
        texts_at(codes.GIVEN_NAME_PINYIN, first[is_pinyin]),
        replace_where(
            texts_at(codes.GIVEN_NAME_PINYIN, np.maximum(second[is_pinyin], 0)), second[is_pinyin] < 0, ""
        ),
    )
    text = replace_where(text, is_pinyin, pinyin)
    text = replace_where(
        text, style == NAME_MASKED, join_texts(surnames.filter(pa.array(style == NAME_MASKED)), "**")
    )
    is_minority = second <= -2
    return replace_where(text, is_minority, texts_at(codes.MINORITY_NAMES, -2 - second[is_minority]))
