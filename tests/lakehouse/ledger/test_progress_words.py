"""Lines of the log are words: counts are no values of Python."""

from __future__ import annotations

import pytest

from lakehouse.ledger.progress import counts_text


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"candidates": 1234, "suppressed": 0, "by_reason": {"OPT_OUT": 2}, "new_members": 3}, "1,234 candidates, 3 new members"),
        ({"suppressed": 0}, "nothing"),
        ({}, "nothing"),
        ({"is_first": True, "people": 5, "kind": "a"}, "5 people"),
    ],
)  # fmt: skip
def test_counts_are_words_without_zeros_and_what_is_nested(counts, words):
    assert counts_text(counts) == words
