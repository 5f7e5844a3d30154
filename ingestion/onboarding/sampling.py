"""How an unknown text file is written, found from its bytes: encoding, separator, quote, header, and a sample.

Small files are read whole; of larger ones slices from beginning to end, so that a draft takes a second or two
whatever the size. Nothing here needs Spark. A further format joins by an entry in ``KNOWN_SIGNATURES`` or ``_kind``.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lakehouse.errors import InputInvalid, UsageError
from lakehouse.settings.optional_files import require_ordinary

WHOLE_BYTES = 8 << 20
SLICE_BYTES = 512 << 10
SLICES = 12
SNIFFED_LINES = 200
SEPARATORS = (",", ";", "\t", "|", "\x01", "^", "~")
# Files of other kinds, by how they begin, and what a person can do about them.
KNOWN_SIGNATURES = {
    b"PAR1": "is a Parquet file, which says its own columns and types; drafts are made from text files",
    b"PK\x03\x04": "is a zip archive (or an Excel workbook); unpack it, or save the sheet as CSV, and name the text file",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save the sheet as CSV and name that file",
    b"%PDF": "is a PDF; have the data delivered as CSV or JSON lines",
    b"BZh": "is a bzip2 archive; unpack it and name the text file",
    b"\xfd7zXZ": "is an xz archive; unpack it and name the text file",
    b"\x28\xb5\x2f\xfd": "is a zstd archive; unpack it and name the text file",
}


@dataclass(frozen=True)
class FileSample:
    """Records of a file by column (empty text is None), and how the file is written.

    ``records`` counts what was read, ``estimated`` what the file holds (equal when ``is_whole``), ``broken`` records
    of another width than the header; ``has_line_end`` tells whether the last line has one, as far as it was read.
    """

    path: Path
    type: Literal["csv", "json_lines"]
    separator: str
    quote: str | None
    encoding: str
    header: bool
    columns: dict[str, list[str | None]]
    records: int
    estimated: int
    is_whole: bool
    broken_lines: int = 0
    has_line_end: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The delivered columns in the order of the file."""
        return tuple(self.columns)


def read_sample(
    path: Path, *, separator: str | None = None, encoding: str | None = None, header: bool | None = None
) -> FileSample:
    """Give a sample of ``path`` and how it is written; what the caller states is not guessed.

    A file that is empty, no text, of one column, or a header without records raises ``InputInvalid``.
    """
    blocks, size, is_whole = _bytes_of(path)
    if not any(block.strip(b"\x00\r\n\t ") for block in blocks):
        raise InputInvalid("is empty; have it delivered again", file=path)
    signature = next(
        (meaning for sign, meaning in KNOWN_SIGNATURES.items() if blocks[0].startswith(sign)), None
    )
    if signature:
        raise InputInvalid(signature, file=path)
    name = _codec(encoding, path) if encoding else detect_encoding(blocks, path)
    texts = [_decoded(block, name, is_first=at == 0) for at, block in enumerate(blocks)]
    # Of a large archive only the beginning was read.
    has_line_end = texts[-1].endswith(("\n", "\r")) or (not is_whole and len(blocks) == 1)
    if not is_whole:
        texts = [_whole_lines(text, is_first=at == 0) for at, text in enumerate(texts)]
    if not any(text.strip() for text in texts):
        raise InputInvalid("is empty; have it delivered again", file=path)
    sampled_bytes = sum(map(len, blocks))
    if _is_json_lines(texts[0]):
        return _json_sample(path, texts, name, is_whole=is_whole, scale=size / sampled_bytes)
    sample = _csv_sample(
        path, texts, name, separator=separator, header=header, is_whole=is_whole, scale=size / sampled_bytes
    )
    return replace(sample, has_line_end=has_line_end)


def detect_encoding(blocks: list[bytes], path: Path) -> str:
    """Give the encoding of the bytes as the feed's YAML names it; bytes that are no text raise ``InputInvalid``."""
    head = blocks[0]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = head[:4096].count(0)
    if zeros:
        for name, half in (("utf-16-le", head[1:4096:2]), ("utf-16-be", head[0:4096:2])):
            if half.count(0) > 0.4 * len(half) and zeros - half.count(0) < 0.05 * len(half):
                return name
        raise InputInvalid(
            "is no text (it holds zero bytes); drafts are made from CSV or JSON lines", file=path
        )
    sample = b"".join(blocks)
    controls = sum(sample.count(bytes([sign])) for sign in range(32) if sign not in (1, 9, 10, 13, 27, 31))
    if controls > len(sample) / 1000:
        raise InputInvalid(
            "is no text (it holds control characters); drafts are made from CSV or JSON lines", file=path
        )
    if all(_decodes(block, "utf-8") for block in blocks):
        return "utf-8"
    if all(_decodes(block, "gb18030") for block in blocks) and _is_plausible_chinese(sample):
        return "gb18030"
    if re.search(rb"[\x80-\x9f]", sample) and all(_decodes(block, "cp1252") for block in blocks):
        return "cp1252"
    return "latin-1"


def _bytes_of(path: Path) -> tuple[list[bytes], float, bool]:
    """Give blocks of the (unpacked) file, its size in bytes (of a large archive estimated), and whether all was read."""
    if path.is_dir():
        raise InputInvalid("is a folder; name one file of it", file=path)
    require_ordinary(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as raw:
            if raw.read(2) == b"\x1f\x8b":
                return _unpacked(raw, path, size)
            raw.seek(0)
            if size <= WHOLE_BYTES:
                return [raw.read()], size, True
            blocks = []
            for at in range(SLICES):
                # Slices begin at even places: a sign of UTF-16 is two bytes.
                raw.seek((size - SLICE_BYTES) * at // (SLICES - 1) // 2 * 2)
                blocks.append(raw.read(SLICE_BYTES))
            return blocks, size, False
    except FileNotFoundError:
        raise UsageError(f"{path}: the file does not exist") from None
    except OSError as wrong:
        raise InputInvalid(f"the file cannot be opened ({wrong.strerror})", file=path) from None


def _unpacked(raw: Any, path: Path, size: int) -> tuple[list[bytes], float, bool]:
    raw.seek(0)
    try:
        head = gzip.GzipFile(fileobj=raw).read(WHOLE_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputInvalid("is a damaged or cut gzip archive; have it delivered again", file=path) from None
    if len(head) <= WHOLE_BYTES:
        return [head], len(head), True
    return [head], size * len(head) / max(raw.tell(), 1), False


def _codec(name: str, path: Path) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise InputInvalid(
            f"unknown encoding '{name}'; usual are utf-8, gb18030, latin-1", file=path
        ) from None
    return name


def _decodes(block: bytes, name: str) -> bool:
    """Tell whether a block is text of an encoding; a slice may begin and end within a sign."""
    lines = block.split(b"\n")
    body = b"\n".join(lines[1:-1]) if len(lines) > 2 else block
    try:
        codecs.getincrementaldecoder(name)("strict").decode(body, final=len(lines) > 2)
    except UnicodeDecodeError:
        return False
    return True


def _is_plausible_chinese(sample: bytes) -> bool:
    """Tell GB text from Western text that happens to decode: signs in daily use are two bytes from A1 on."""
    pairs = re.findall(rb"[\x80-\xff][\x00-\xff]", sample[: 1 << 20])
    usual = sum(1 for pair in pairs if pair[0] >= 0xA1 and pair[1] >= 0xA1)
    return bool(pairs) and usual >= 0.9 * len(pairs)


def _decoded(block: bytes, name: str, *, is_first: bool) -> str:
    if name == "utf-16" and not is_first:
        name = "utf-16-le"
    text = block.decode(name, "replace")
    return text.lstrip("\ufeff") if is_first else text


def _whole_lines(text: str, *, is_first: bool) -> str:
    """Cut what a slice holds of records it does not hold whole."""
    begin = 0 if is_first else text.find("\n") + 1
    end = text.rfind("\n") + 1
    return text[begin:end] if end > begin else text


def _is_json_lines(text: str) -> bool:
    lines = [line for line in text[: 1 << 16].splitlines() if line.strip()][:20]
    return bool(lines) and lines[0].lstrip().startswith("{")


def _json_sample(path: Path, texts: list[str], name: str, *, is_whole: bool, scale: float) -> FileSample:
    rows: list[dict[str, str | None]] = []
    broken_lines = 0
    for text in texts:
        for line in text.splitlines():
            if not line.strip():
                continue
            try:
                value = json.loads(line, parse_float=str, parse_int=str)
            except ValueError:
                value = None
            if isinstance(value, dict):
                rows.append(_flat(value))
            else:
                broken_lines += 1
    if not rows or broken_lines > len(rows):
        raise InputInvalid(
            "begins with '{' but its lines are no JSON objects; JSON lines hold one object a line", file=path
        )
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = {key: [row.get(key) for row in rows] for key in names}
    estimated = len(rows) if is_whole else round(len(rows) * scale)
    return FileSample(
        path, "json_lines", ",", None, name, False, columns, len(rows), estimated, is_whole, broken_lines
    )


def _flat(members: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    """Give nested objects as paths ``a.b``; lists stay JSON text."""
    flat: dict[str, str | None] = {}
    for key, value in members.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is None or value == "":
            flat[prefix + key] = None
        elif isinstance(value, bool):
            flat[prefix + key] = "true" if value else "false"
        else:
            flat[prefix + key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def _csv_sample(
    path: Path,
    texts: list[str],
    name: str,
    *,
    separator: str | None,
    header: bool | None,
    is_whole: bool,
    scale: float,
) -> FileSample:
    sign, quote = _separator_and_quote(texts[0], separator, path)
    rows = [row for text in texts for row in _records(text, sign, quote)]
    first = [cell.strip() for cell in rows[0]]
    has_header = _looks_like_header(first, rows[1:2000]) if header is None else header
    body = rows[1:] if has_header else rows
    if not body:
        raise InputInvalid("holds a header and no record; name a file with data", file=path)
    width = len(first) if has_header else Counter(map(len, body)).most_common(1)[0][0]
    if has_header:
        twice = [cell for cell, times in Counter(first).items() if times > 1]
        if twice:
            raise InputInvalid(f"names the column '{twice[0]}' twice in its header", file=path)
    names = first if has_header else [f"c{at}" for at in range(1, width + 1)]
    whole = [row for row in body if len(row) == width]
    if not whole:
        raise InputInvalid(
            f"has a header of {width} columns, but no record of that width; name the separator with --separator",
            file=path,
        )
    columns = {key: [row[at] or None for row in whole] for at, key in enumerate(names)}
    estimated = len(body) if is_whole else round(len(body) * scale)
    return FileSample(
        path,
        "csv",
        sign,
        quote,
        name,
        has_header,
        columns,
        len(whole),
        estimated,
        is_whole,
        len(body) - len(whole),
    )


def _separator_and_quote(text: str, wanted_separator: str | None, path: Path) -> tuple[str, str | None]:
    """Give the separator under which most lines have one width above one, and whether quotes quote."""
    head = "".join(text.splitlines(keepends=True)[:SNIFFED_LINES])
    best: tuple[float, int, int, str, str | None] | None = None
    for sign in (wanted_separator,) if wanted_separator else SEPARATORS:
        for quote in ('"', None):
            widths = Counter(len(row) for row in _records(head, sign, quote))
            width, times = widths.most_common(1)[0]
            # More records of one width mean that no stray quote swallowed line breaks.
            candidate = (times / sum(widths.values()), width, sum(widths.values()), sign, quote)
            if (width > 1 or wanted_separator) and (best is None or candidate[:3] > best[:3]):
                best = candidate
    if best is None:
        raise InputInvalid(
            "has one column only under every usual separator (, ; tab | ^A ^ ~); if it has another, name it with "
            "--separator, and for a file that really has one column write --separator ','",
            file=path,
        )
    return best[3], best[4]


def _records(text: str, separator: str, quote: str | None) -> list[list[str]]:
    csv.field_size_limit(1 << 30)
    quoting: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    try:
        return [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, **quoting) if row
        ]
    except csv.Error:
        return [line.split(separator) for line in text.splitlines() if line]


_VALUE = re.compile(
    r"[-+¥￥]?[\d.,:/%\- ]*\d[\d.,:/%\- ]*|[^@\s]+@[^@\s]+\.\w+|\d{4}年.*|true|false|null", re.I
)


def _looks_like_header(first: list[str], rest: list[list[str]]) -> bool:
    """Tell whether the first record names columns: words that are no values and come back in no record."""
    words = [cell for cell in first if cell]
    if not words or any(_VALUE.fullmatch(cell) for cell in words):
        return False
    for at, cell in enumerate(first):
        column = [row[at] for row in rest if at < len(row)]
        if cell and cell in column:
            return False
        shape = _digits_masked(cell)
        if (
            "9" in shape
            and column
            and sum(_digits_masked(value) == shape for value in column) > len(column) / 2
        ):
            return False
    return True


def _digits_masked(cell: str) -> str:
    return re.sub(r"\d", "9", cell)
