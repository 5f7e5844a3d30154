"""What can be wrong with a delivered audience, each done to a sound one; a damage has the kind of the verdict it must get.

Where a damage is not the signature itself, the manifest is signed anew: such an audience is what a faulty platform would
deliver, and a signature alone does not find it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from delivery.contract.verify_audience import (
    LATEST,
    MANIFEST,
    MANIFEST_SUM,
    SIGNATURE,
    SUCCESS,
    file_hash,
    key_id,
    signature_of,
)
from delivery.kit.nights import VERIFICATION_KEY
from lakehouse.errors import StepFailed

KEY = VERIFICATION_KEY.encode()
OTHER_KEY = b"a key of somebody else, who forges"


@dataclass(frozen=True)
class Damage:
    """One damage: its name, the kind of verdict, what was done, and what does it to a segment's folder."""

    name: str
    kind: str
    text: str
    apply: Callable[[Path], None]
    file_format: str = "json_lines"


def newest_run(root: Path) -> Path:
    """Give the folder of the run that a segment's pointer names."""
    path = json.loads((root / LATEST).read_bytes())["path"]
    return root / str(path)


def read_manifest_of(root: Path) -> dict[str, Any]:
    """Give the manifest of a segment's newest run."""
    manifest: dict[str, Any] = json.loads((newest_run(root) / MANIFEST).read_bytes())
    return manifest


def seal(root: Path, manifest: Mapping[str, Any], *, key: bytes | None = KEY) -> None:
    """Write a manifest with its hash and, by the key, its signature, and let the pointer follow it."""
    run = newest_run(root)
    body = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    (run / MANIFEST).write_bytes(body)
    (run / MANIFEST_SUM).write_text(f"{sha256(body).hexdigest()}  {MANIFEST}\n", encoding="ascii")
    if key is not None:
        (run / SIGNATURE).write_text(f"{signature_of(body, key)}  {MANIFEST}\n", encoding="ascii")
    names = ("segment", "run_id", "seq", "as_of", "valid_until")
    pointer = json.loads((root / LATEST).read_bytes())
    pointer |= {name: manifest[name] for name in names if name in manifest}
    pointer["manifest_sha256"] = sha256(body).hexdigest()
    (root / LATEST).write_text(json.dumps(pointer, indent=2) + "\n", encoding="ascii")


def _with_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Give what changes the manifest and seals it."""

    def apply(root: Path) -> None:
        manifest = read_manifest_of(root)
        change(manifest)
        seal(root, manifest)

    return apply


def _with_part(
    change: Callable[[bytes], bytes],
    *,
    mode: str = "snapshot",
    is_measured: bool = True,
) -> Callable[[Path], None]:
    """Give what changes a file of data; with its new size and hash in the manifest where ``is_measured``."""

    def apply(root: Path) -> None:
        run, manifest = newest_run(root), read_manifest_of(root)
        entry = next(e for e in manifest["files"] if e["path"].startswith(f"{mode}/"))
        part = run / entry["path"]
        body = change(part.read_bytes())
        if body == part.read_bytes():
            raise StepFailed("the damage changes nothing", file=part)
        part.write_bytes(body)
        if is_measured:
            entry |= {"bytes": len(body), "sha256": file_hash(part)}
            seal(root, manifest)

    return apply


def _without_first_line(body: bytes) -> bytes:
    return body.split(b"\n", 1)[1]


def _with_first_line_twice(body: bytes) -> bytes:
    first, _, rest = body.partition(b"\n")
    return first + b"\n" + first + b"\n" + rest.split(b"\n", 1)[1]


def _forge(root: Path) -> None:
    """Take somebody who entered out of the files and let manifest, hash and pointer fit, as one who knows the format would."""
    run, manifest = newest_run(root), read_manifest_of(root)
    delta = (run / "delta/part-00000.jsonl").read_bytes()
    entry = json.loads(next(line for line in delta.splitlines() if b'"ENTER"' in line))
    for file in manifest["files"]:
        part = run / file["path"]
        lines = part.read_bytes().split(b"\n")
        part.write_bytes(b"\n".join(line for line in lines if entry["recipient_key"].encode() not in line))
        file |= {"rows": file["rows"] - 1, "bytes": part.stat().st_size, "sha256": file_hash(part)}
    counts = manifest["counts"]
    for name in ("candidates", "eligible", "published"):
        counts[name] -= 1
    counts["variants"][entry["variant"]] -= 1
    counts["consent"]["granted"] -= 1
    counts["delta"]["enter"] -= 1
    seal(root, manifest, key=None)


def _unsign(root: Path) -> None:
    """Remove the signature and every word of it, as if the run were from before there were signatures."""
    manifest = read_manifest_of(root)
    del manifest["signature"]
    seal(root, manifest, key=None)
    (newest_run(root) / SIGNATURE).unlink()


def _sign_by_another(root: Path) -> None:
    manifest = read_manifest_of(root)
    manifest["signature"]["key_id"] = key_id(OTHER_KEY)
    seal(root, manifest, key=OTHER_KEY)


def _flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def _swap_ops(body: bytes) -> bytes:
    return body.replace(b'"ENTER"', b'"?"').replace(b'"EXIT"', b'"ENTER"').replace(b'"?"', b'"EXIT"')


def _remove(name: str) -> Callable[[Path], None]:
    return lambda root: (newest_run(root) / name).unlink()


def _change_digit(root: Path) -> None:
    file = newest_run(root) / MANIFEST
    file.write_bytes(file.read_bytes().replace(b'"seq": 2', b'"seq": 3'))


def _add_part(root: Path) -> None:
    run = newest_run(root)
    (run / "snapshot" / "part-00001.jsonl").write_bytes((run / "snapshot" / "part-00000.jsonl").read_bytes())


def _point(**changes: str | int) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        pointer = json.loads((root / LATEST).read_bytes()) | changes
        (root / LATEST).write_text(json.dumps(pointer, indent=2) + "\n", encoding="ascii")

    return apply


def _without_offset(root: Path) -> None:
    manifest = read_manifest_of(root)
    until = manifest["valid_until"]
    seal(root, manifest | {"valid_until": until[:19]})
    _point(valid_until=until)(root)


def _with_key(key: str) -> Callable[[bytes], bytes]:
    """Give what lets the first row be about another key."""

    def change(body: bytes) -> bytes:
        first, _, rest = body.partition(b"\n")
        return json.dumps(json.loads(first) | {"recipient_key": key}).encode() + b"\n" + rest

    return change


def _formula(body: bytes) -> bytes:
    return body.replace(b"'=1+1", b"=1+1 ")


DAMAGES = (
    Damage("no-success-mark", "incomplete", "`_SUCCESS` is not there yet", _remove(SUCCESS)),
    Damage("no-manifest", "incomplete", "the manifest is gone", _remove(MANIFEST)),
    Damage("a-changed-digit", "manifest_hash", "one digit of the manifest is another one", _change_digit),
    Damage("no-expiry", "manifest_shape", "the manifest does not say until when it may be used", _with_manifest(lambda m: m.pop("valid_until"))),
    Damage("no-instant", "manifest_shape", "`valid_until` has no offset", _without_offset),
    Damage("another-contract", "contract_version", "the manifest follows audience/v2", _with_manifest(lambda m: m.update(contract_version="audience/v2"))),
    Damage("another-day", "place", "the manifest has another business date than its folder", _with_manifest(lambda m: m.update(as_of="2026-01-01"))),
    Damage("another-segment", "place", "the folder of one segment holds a run of another", _with_manifest(lambda m: m.update(segment="silver"))),
    Damage("a-forged-audience", "signature", "somebody is missing and everything else was rewritten to fit", _forge),
    Damage("a-signature-of-another", "signature", "another key signed", _sign_by_another),
    Damage("no-signature-file", "signature", "`_manifest.hmac` is gone", _remove(SIGNATURE)),
    Damage("no-word-of-a-signature", "signature", "neither the file nor the manifest speaks of a signature", _unsign),
    Damage("a-lost-file", "file_missing", "the delta's file is gone", _remove("delta/part-00000.jsonl")),
    Damage("a-file-too-many", "file_unlisted", "a file of more recipients lies beside", _add_part),
    Damage("a-flipped-bit", "file_bytes", "one bit of the snapshot is another one", _with_part(_flip, is_measured=False)),
    Damage("a-cut-file", "file_bytes", "the snapshot ends early", _with_part(lambda body: body[:-40], is_measured=False)),
    Damage("no-parquet", "file_content", "the file is none of its format", _with_part(lambda _: b"no Parquet"), "parquet"),
    Damage("no-json", "file_content", "a line is no JSON", _with_part(lambda body: b"{" + body)),
    Damage("a-column-too-few", "file_content", "the files lack a column that the manifest names",
           _with_manifest(lambda m: m["schema"].append({"name": "more", "type": "string", "level": "C1"}))),
    Damage("a-lost-row", "file_content", "the snapshot has a row less than the manifest says", _with_part(_without_first_line)),
    Damage("somebody-twice", "recipients", "one recipient stands in place of another, twice", _with_part(_with_first_line_twice)),
    Damage("somebody-nameless", "recipients", "a row has no recipient", _with_part(_with_key(""))),
    Damage("a-name-as-a-key", "recipients", "a row has a key that programs take for something of theirs", _with_part(_with_key("__proto__"))),
    Damage("another-number", "counts", "`published` is one more than the rows", _with_manifest(lambda m: m["counts"].update(published=m["counts"]["published"] + 1))),
    Damage("another-consent", "counts", "somebody has no consent", _with_manifest(lambda m: m["counts"]["consent"].update(granted=m["counts"]["published"] - 1))),
    Damage("an-approval-of-a-lower-stage", "approvals", "the audience is of a higher stage than was approved", _with_manifest(lambda m: m.update(stage="full"))),
    Damage("ops-exchanged", "delta", "who enters and who leaves are exchanged", _with_part(_swap_ops, mode="delta")),
    Damage("an-unknown-op", "delta", "an `op` is none of the three", _with_part(lambda body: body.replace(b'"UPDATE"', b'"UPSERT"'), mode="delta")),
    Damage("a-skipped-number", "sequence", "`seq` is one more than it can be", _with_manifest(lambda m: m.update(seq=m["seq"] + 1))),
    Damage("a-formula", "formula", "a cell that a spreadsheet would run", _with_part(_formula), "csv"),
    Damage("no-pointer", "pointer", "`LATEST.json` is gone", lambda root: (root / LATEST).unlink()),
    Damage("a-pointer-out-of-the-folder", "pointer", "`LATEST.json` leads out of the folder", _point(path="../../elsewhere")),
    Damage("a-pointer-to-nothing", "pointer", "`LATEST.json` names a run that is not there", _point(path="v=1/as_of=2026-01-06/run=0")),
    Damage("a-pointer-of-another-hash", "pointer", "`LATEST.json` states another hash than the manifest has", _point(manifest_sha256="0" * 64)),
    Damage("a-pointer-that-lives-longer", "pointer", "`LATEST.json` states a later `valid_until` than the manifest", _point(valid_until="2036-01-07T06:00:00+08:00")),
)  # fmt: skip
