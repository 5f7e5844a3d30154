"""A source's data dictionary: what its columns are called, and what their codes mean, in the words people write there."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import InputInvalid
from lakehouse.settings.optional_files import require_ordinary

# "1 = male", "1：男", "1-男": a code is one short word, its meaning goes on to the next separator.
_CODE = re.compile(
    r"(?<![A-Za-z0-9.])((?:[A-Za-z0-9.]{1,12})(?=\s*[=＝:：])|\d{1,6}(?=-))\s*[=＝:：-]\s*([^;；,，、()（）]+)"
)
_REMARK = re.compile(r"[(（:：;；]")


@dataclass(frozen=True)
class ColumnMeaning:
    """What a column is, as the dictionary says it: the whole text, the name before any remark, and its codes."""

    text: str
    name: str
    codes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> ColumnMeaning:
        """Read ``Gender (1 = male; 2 = female)`` or ``性别：1-男，2-女`` as a name and codes."""
        codes_in_text = list(_CODE.finditer(text))
        ends = [codes_in_text[0].start() if codes_in_text else len(text)]
        if remark := _REMARK.search(text):
            ends.append(remark.start())
        codes = {code[1]: code[2].strip() for code in codes_in_text}
        return cls(text, text[: min(ends)].strip() or text, codes)


def read_dictionary(path: Path) -> dict[str, ColumnMeaning]:
    """Give delivered column → what it means, from a CSV of two columns (a bank's data dictionary)."""
    require_ordinary(path)
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(row)]
    except FileNotFoundError:
        raise InputInvalid("the dictionary does not exist", file=path) from None
    except (UnicodeDecodeError, OSError):
        raise InputInvalid(
            "the dictionary is not UTF-8 text of two columns: column,meaning", file=path
        ) from None
    for number, row in enumerate(rows, 1):
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            raise InputInvalid("a line of the dictionary is not 'column,meaning'", file=path, line=number)
    # A meaning with commas that nobody quoted is still one meaning.
    meanings = {row[0].strip(): ColumnMeaning.of(",".join(row[1:]).strip().rstrip(",")) for row in rows}
    meanings.pop("column", None)
    return meanings
