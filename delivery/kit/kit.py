"""Writing the contract test kit: cases of one folder and one verdict, and streams of nights with what a consumer holds after each."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from delivery.contract import verify_audience
from delivery.contract.schemas import schema_files
from delivery.contract.verify_audience import CONTRACT_VERSION, KINDS, LATEST
from delivery.disclosures import DIRECTORY
from delivery.kit.damages import DAMAGES, newest_run
from delivery.kit.nights import (
    DESTINATION,
    FORMATS,
    RECIPIENT_KEY,
    SEGMENT,
    VERIFICATION_KEY,
    KitNight,
    write_nights,
)
from lakehouse.errors import UsageError

EXPECTED, KEY_FILE, README = "expected.json", "verification.key", "README.md"
NIGHTS = 5
# What only a consumer can tell, who remembers the run it used last.
REPLAY = "replay"

_README = """\
# Contract test kit for audiences

Made-up audiences, good and damaged, with the verdict each must get. `docs/consume-an-audience.md` of the platform says what the words mean.

- `verification.key`: the verification key of destination `kit`. It protects nothing; never use it elsewhere.
- `cases/<name>/gold/`: the folder of one segment. `expected.json` → `cases` says whether it may be used at the instant `at`,
  and if not of which kind the fault is. Verify with the key.
- `streams/<name>/<night>/gold/`: the folder of one segment as it stands on a morning. Run your consumer over the nights of a
  stream in their order, with one memory. `expected.json` → `streams` says what it must hold after each: `rows` by recipient, and whom it
  must `enter` (begin to contact), `exit` (stop) and `update` since the morning before. On a night with `is_usable: false` it refuses
  and changes nothing. `directory` is the folder that says who the recipients are, and `addresses` what your consumer must know of each.
- `schemas/`: JSON Schemas of manifest, pointer and receipt, which your receipts must fit; and of what goes over a wire: `http_request`,
  `http_answer`, which your answers must fit, `kafka_row` and `kafka_mark`.
- `verify_audience.py`: the verifier of the platform in one file, `python verify_audience.py cases/sound-csv --key-file verification.key`.

Values are those that JSON lines hold (decimals and days are text); of CSV they are the text of the cells after one leading apostrophe was
taken from text that has one.
"""


def write_kit(folder: Path) -> int:
    """Write the kit into a new or empty folder and give the number of its cases and nights. Another one raises ``UsageError``."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; name a new one, nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        workshop = Path(name)
        nights = {form: _make_nights(workshop / form, form) for form in FORMATS}
        cases = _write_cases(workshop, folder / "cases", nights)
        streams = _write_streams(workshop, folder / "streams", nights)
    expectations = {
        "contract_version": CONTRACT_VERSION,
        "segment": SEGMENT,
        "destination": DESTINATION,
        "kinds": {**KINDS, REPLAY: "the pointer names an older run than the one that was used last"},
        "cases": cases,
        "streams": streams,
    }
    _write(folder / EXPECTED, json.dumps(expectations, ensure_ascii=False, indent=1) + "\n")
    _write(folder / KEY_FILE, VERIFICATION_KEY + "\n")
    _write(folder / "recipients.key", RECIPIENT_KEY + "\n")
    _write(folder / README, _README)
    for file, text in schema_files().items():
        _write(folder / "schemas" / file, text)
    shutil.copyfile(verify_audience.__file__, folder / "verify_audience.py")
    return len(cases) + sum(len(stream["nights"]) for stream in streams)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _make_nights(place: Path, file_format: str) -> list[KitNight]:
    (place / "workshop").mkdir(parents=True)
    return write_nights(place / "workshop", file_format, [place / str(number) for number in range(NIGHTS)])


def _write_cases(workshop: Path, folder: Path, nights: dict[str, list[KitNight]]) -> list[dict[str, Any]]:
    """Write the sound cases and one case for each damage, all of the second night."""
    cases = []

    def add(name: str, form: str, text: str, kind: str | None = None, at: datetime | None = None) -> Path:
        shutil.copytree(workshop / form / "1", folder / name)
        night = nights[form][1]
        cases.append(
            {
                "name": name,
                "folder": f"cases/{name}/{SEGMENT}",
                "format": form,
                "text": text,
                "at": (at or night.morning).isoformat(),
                "is_usable": kind is None,
                "kind": kind,
                "recipients": len(night.rows) if kind is None else None,
            }
        )
        return folder / name / SEGMENT

    for form in FORMATS:
        add(f"sound-{form}", form, "nothing is wrong")
    for damage in DAMAGES:
        damage.apply(add(damage.name, damage.file_format, damage.text, damage.kind))
    later = nights["json_lines"][1].expiry
    add("an-expired-audience", "json_lines", "the instant is past `valid_until`", "expired", later)
    root = add(
        "a-superseded-run", "json_lines", "the first night's run, asked for by its folder", "superseded"
    )
    first = next(run for run in root.glob("v=*/as_of=*/run=*") if run != newest_run(root))
    cases[-1]["folder"] = f"{cases[-1]['folder']}/{first.relative_to(root)}"
    return cases


def _write_streams(workshop: Path, folder: Path, nights: dict[str, list[KitNight]]) -> list[dict[str, Any]]:
    streams = [
        _stream(f"five-nights-{form}", form, nights[form], workshop, folder, range(NIGHTS))
        for form in FORMATS
    ]
    nights_of_lines = nights["json_lines"]
    streams.append(_stream("two-nights-missed", "json_lines", nights_of_lines, workshop, folder, (0, 3, 4)))
    streams.append(_stream("a-damaged-night", "json_lines", nights_of_lines, workshop, folder, (0, 1, 2, 3)))
    flip = next(damage for damage in DAMAGES if damage.name == "a-flipped-bit")
    flip.apply(folder / "a-damaged-night" / "1" / SEGMENT)
    _refuse(streams[-1], 1, "file_bytes")
    streams.append(
        _stream("a-pointer-turned-back", "json_lines", nights_of_lines, workshop, folder, (0, 1, 1, 2))
    )
    back = folder / "a-pointer-turned-back" / "2" / SEGMENT / LATEST
    back.write_bytes((workshop / "json_lines" / "0" / SEGMENT / LATEST).read_bytes())
    _refuse(streams[-1], 2, REPLAY)
    streams.append(_stream("an-expired-night", "json_lines", nights_of_lines, workshop, folder, (0, 0, 1)))
    streams[-1]["nights"][1]["at"] = nights_of_lines[0].expiry.isoformat()
    _refuse(streams[-1], 1, "expired")
    return streams


def _stream(
    name: str,
    form: str,
    nights: Sequence[KitNight],
    workshop: Path,
    folder: Path,
    numbers: Sequence[int],
) -> dict[str, Any]:
    """Write the folders of some nights in their order and give what a consumer holds after each."""
    entries: list[dict[str, Any]] = []
    before: dict[str, Any] = {}
    for position, number in enumerate(numbers):
        shutil.copytree(workshop / form / str(number), folder / name / str(position))
        rows = nights[number].rows
        entries.append(
            {
                "folder": f"streams/{name}/{position}/{SEGMENT}",
                "at": nights[number].morning.isoformat(),
                "is_usable": True,
                "kind": None,
                **_moves(before, rows),
                "rows": rows,
                "directory": f"streams/{name}/{position}/{DIRECTORY}",
                "addresses": nights[number].addresses,
            }
        )
        before = rows
    return {"name": name, "format": form, "nights": entries}


def _moves(before: dict[str, Any], rows: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "enter": sorted(rows.keys() - before.keys()),
        "exit": sorted(before.keys() - rows.keys()),
        "update": sorted(key for key in rows.keys() & before.keys() if rows[key] != before[key]),
    }


def _refuse(stream: dict[str, Any], position: int, kind: str) -> None:
    """Let a night be refused: the consumer holds what it held, and the moves after it follow from that."""
    nights = stream["nights"]
    nights[position] |= {"is_usable": False, "kind": kind, "rows": nights[position - 1]["rows"]}
    for index in range(position, len(nights)):
        nights[index] |= _moves(nights[index - 1]["rows"], nights[index]["rows"])
