"""One column over all people as bit slices: each value is a number in a sorted list, slice ``i`` holds bit ``i`` of it.

A question about the values is asked of the list, once per different value; the answer of all people follows from runs of numbers by
a few operations on whole words (O'Neil and Quass, *Improved query performance with variant indexes*, SIGMOD 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segments.indexing.bits import bits_at, everybody, nobody, words_for, words_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from segments.indexing.bits import Words

# The number of those without a value.
NULL = 0
# With more runs than this the numbers of everybody are looked up one by one.
MOST_RUNS = 24


@dataclass(frozen=True)
class CodedColumn:
    """The slices of a column, one row of words per bit, and its different values; the first is numbered 1, no value 0."""

    slices: NDArray[np.uint64]
    values: pa.Array
    people: int

    def numbers_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the numbers of some people's values."""
        numbers = np.zeros(len(positions), dtype=np.int64)
        for bit, words in enumerate(self.slices):
            numbers |= bits_at(words, positions).astype(np.int64) << bit
        return numbers

    def values_at(self, positions: NDArray[np.int64]) -> pa.Array:
        """Give the values of some people."""
        import pyarrow as pa

        numbers = self.numbers_at(positions)
        return self.values.take(pa.array(numbers - 1, mask=numbers == NULL))

    def people_with(self, flags: NDArray[np.bool_]) -> Words:
        """Give a bit for each person whose value has a flag; ``flags`` has one per number, that of no value first."""
        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
        runs = edges.reshape(-1, 2)
        if len(runs) > MOST_RUNS:
            return words_of(flags[self._numbers()])
        people_bits = nobody(self.people)
        for begin, end in runs.tolist():
            people_bits |= self._below(end) & ~self._below(begin)
        return people_bits

    def _below(self, number: int) -> Words:
        """Give a bit for each person whose number is less."""
        if number >> len(self.slices):
            return everybody(self.people)
        less, equal = nobody(self.people), everybody(self.people)
        for bit in reversed(range(len(self.slices))):
            if number >> bit & 1:
                less |= equal & ~self.slices[bit]
                equal &= self.slices[bit]
            else:
                equal &= ~self.slices[bit]
        return less

    def _numbers(self) -> NDArray[np.uint32]:
        numbers = np.zeros(self.people, dtype=np.uint32)
        for bit, words in enumerate(self.slices):
            flags = np.unpackbits(words.view(np.uint8), count=self.people, bitorder="little")
            numbers |= flags.astype(np.uint32) << np.uint32(bit)
        return numbers


def slices_of(rows: pa.ChunkedArray) -> CodedColumn:
    """Give a column as slices. Values of a type that has no order keep the order in which they appear."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = rows.combine_chunks().dictionary_encode()
    if isinstance(whole, pa.ChunkedArray):
        whole = (
            pa.concat_arrays(whole.chunks)
            if whole.num_chunks
            else pa.array([], rows.type).dictionary_encode()
        )
    values = whole.dictionary
    order = pc.sort_indices(values)
    ranks = np.empty(len(values) + 1, dtype=np.int64)
    ranks[order.to_numpy()] = np.arange(1, len(values) + 1)
    ranks[-1] = NULL
    numbers = ranks[whole.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)]
    return column_of_numbers(numbers, values.take(order))


def column_of_numbers(numbers: NDArray[np.int64], values: pa.Array) -> CodedColumn:
    """Give a column whose values are numbered already, from 1; 0 is no value."""
    people = len(numbers)
    bits = int(numbers.max()).bit_length() if people else 0
    slices = np.empty((bits, words_for(people)), dtype="<u8")
    for bit in range(bits):
        slices[bit] = words_of((numbers >> bit & 1).astype(np.bool_))
    return CodedColumn(slices, values, people)
