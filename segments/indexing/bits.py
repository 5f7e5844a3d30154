"""Answers of all people as packed bits: a bit per person for yes and one for no; whoever has neither is unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from segments.language.conditions import All, Any_, Leaf, Node, Not

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

WORD_BITS = 64


@dataclass(frozen=True)
class AnswerBits:
    """What all people answer to one condition; ``people`` bits count, those behind them are nought in both."""

    yes: Words
    no: Words
    people: int

    def counts(self) -> tuple[int, int]:
        """Give how many people answer with yes, and of how many the answer is unknown."""
        yes = bit_count(self.yes)
        return yes, self.people - yes - bit_count(self.no)

    def with_unknown_as(self, answer: bool | None) -> AnswerBits:
        """Give the answers with one for the unknown; None keeps them."""
        if answer is None:
            return self
        if answer:
            return AnswerBits(~self.no & everybody(self.people), self.no, self.people)
        return AnswerBits(self.yes, ~self.yes & everybody(self.people), self.people)


def words_for(people: int) -> int:
    """Give the number of words that so many bits take."""
    return -(-people // WORD_BITS)


def everybody(people: int) -> Words:
    """Give a bit for each of so many people."""
    words = np.full(words_for(people), ~np.uint64(0), dtype="<u8")
    if people % WORD_BITS:
        words[-1] = np.uint64((1 << (people % WORD_BITS)) - 1)
    return words


def nobody(people: int) -> Words:
    """Give no bit for any of so many people."""
    return np.zeros(words_for(people), dtype="<u8")


def words_of(flags: NDArray[np.bool_]) -> Words:
    """Give a bit per flag."""
    whole = np.zeros(words_for(len(flags)) * 8, dtype=np.uint8)
    bits = np.packbits(flags, bitorder="little")
    whole[: len(bits)] = bits
    return whole.view("<u8")


def bit_count(words: Words) -> int:
    """Give how many bits are set."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def positions_of(words: Words) -> NDArray[np.int64]:
    """Give the numbers of the people whose bit is set, ascending; words without one cost next to nothing."""
    places = np.flatnonzero(words)
    bits = np.unpackbits(words[places].view(np.uint8), bitorder="little").reshape(len(places), WORD_BITS)
    rows, columns = np.nonzero(bits)
    return places[rows] * WORD_BITS + columns


def bits_at(words: Words, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Give the bits of some people as 0 and 1."""
    values = words.view(np.uint8)[positions >> 3]
    return (values >> (positions & 7).astype(np.uint8)) & np.uint8(1)


def with_bits(positions: NDArray[np.int64], people: int) -> Words:
    """Give a bit for each person of these numbers."""
    flags = np.zeros(people, dtype=np.bool_)
    flags[positions] = True
    return words_of(flags)


def decide_all(node: Node, answers_of: Callable[[Leaf], AnswerBits], people: int) -> AnswerBits:
    """Give what all people answer to a tree, its leaves answered by ``answers_of``: Kleene's logic, as ``conditions.decide``."""
    if isinstance(node, All | Any_):
        parts = [decide_all(part, answers_of, people) for part in node.parts]
        if not parts:
            full, empty = everybody(people), nobody(people)
            return (
                AnswerBits(full, empty, people) if isinstance(node, All) else AnswerBits(empty, full, people)
            )
        yes, no = [part.yes for part in parts], [part.no for part in parts]
        if isinstance(node, All):
            return AnswerBits(_and(yes), _or(no), people)
        return AnswerBits(_or(yes), _and(no), people)
    if isinstance(node, Not):
        part = decide_all(node.part, answers_of, people)
        return AnswerBits(part.no, part.yes, people)
    return answers_of(node).with_unknown_as(node.include_unknown)


def _and(every: Sequence[Words]) -> Words:
    return reduce(np.bitwise_and, every)


def _or(every: Sequence[Words]) -> Words:
    return reduce(np.bitwise_or, every)
