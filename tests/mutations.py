"""Mutants of files by a seed: what lines, disks, editors and other systems do to a file on its way."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import numpy as np

Chance = np.random.Generator
ODD = [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\\", b"\r", b"\n", b",", b"|", b"{", b"}", b"[", b"9" * 400, b"1e-400", b"\xed\xa0\x80",
       b"-", b"&a *a", b"!!python/object:x ", b"\t", b"'", b"0000-00-00", b"<<: ", b"\xf0\x9f\x98\x80", b"{{", b"%", b"#"]  # fmt: skip


def _span(content: bytes, chance: Chance) -> tuple[int, int]:
    begin = int(chance.integers(len(content) + 1))
    return begin, min(len(content), begin + int(chance.integers(1, 200)))


def _flipped(content: bytes, chance: Chance) -> bytes:
    bits = bytearray(content)
    for _ in range(int(chance.integers(1, 4))):
        bits[int(chance.integers(len(bits)))] ^= 1 << int(chance.integers(8))
    return bytes(bits)


def _cut(content: bytes, chance: Chance) -> bytes:
    return content[: int(chance.integers(len(content)))]


def _headless(content: bytes, chance: Chance) -> bytes:
    return content[int(chance.integers(len(content))) :]


def _without_span(content: bytes, chance: Chance) -> bytes:
    begin, end = _span(content, chance)
    return content[:begin] + content[end:]


def _with_twin(content: bytes, chance: Chance) -> bytes:
    begin, end = _span(content, chance)
    return content[:end] + content[begin:end] * int(chance.integers(1, 5)) + content[end:]


def _twice(content: bytes, chance: Chance) -> bytes:
    return content + content


def _with_odd(content: bytes, chance: Chance) -> bytes:
    for _ in range(int(chance.integers(1, 6))):
        at = int(chance.integers(len(content) + 1))
        content = content[:at] + ODD[int(chance.integers(len(ODD)))] + content[at:]
    return content


def _with_noise(content: bytes, chance: Chance) -> bytes:
    begin, end = _span(content, chance)
    return content[:begin] + chance.bytes(end - begin) + content[end:]


def _lines_mixed(content: bytes, chance: Chance) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[i] for i in chance.permutation(len(lines)))


def _recoded(content: bytes, chance: Chance) -> bytes:
    text = content.decode("utf-8", "replace")
    name = ["gb18030", "utf-16", "utf-16-be", "utf-8-sig", "cp037", "latin-1"][int(chance.integers(6))]
    return text.encode(name, "replace")


def _digits_changed(content: bytes, chance: Chance) -> bytes:
    old, new = (str(int(n)).encode() for n in chance.integers(0, 10, 2))
    return content.replace(old, new * int(chance.integers(1, 40)))


MUTATIONS: tuple[Callable[[bytes, Chance], bytes], ...] = (
    _flipped, _cut, _headless, _without_span, _with_twin, _twice, _with_odd, _with_noise, _lines_mixed, _recoded, _digits_changed,
)  # fmt: skip


def mutants(content: bytes, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Give so many mutants of a file, each with the names of what was done to it; the same for the same seed."""
    chance = np.random.default_rng(seed)
    is_packed = content.startswith(b"\x1f\x8b")
    for _ in range(count):
        mutant, names = content, []
        inside = is_packed and chance.random() < 0.5
        if inside:
            mutant = gzip.decompress(mutant)
        for _ in range(int(chance.integers(1, 3))):
            mutation = MUTATIONS[int(chance.integers(len(MUTATIONS)))]
            if mutant:
                mutant = mutation(mutant, chance)
                names.append(mutation.__name__.strip("_"))
        yield " ".join(names), gzip.compress(mutant, 1) if inside else mutant
