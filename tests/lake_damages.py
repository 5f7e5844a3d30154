"""What is done to a finished lake and its audiences, and the words of the fault that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path

from deltalake import DeltaTable, write_deltalake

from jobs.night.writing import open_for_writing
from lakehouse.ledger.ledger import publish
from lakehouse.settings.settings import Settings


def files(settings: Settings, table: str) -> list[Path]:
    """The data files of a table, oldest first."""
    folder = settings.lake.joinpath(*table.split("."))
    return sorted(folder.rglob("part-*.parquet"), key=lambda file: file.stat().st_mtime_ns)


def newest_run(settings: Settings) -> Path:
    """The folder that a pointer names, of the first audience whose newest run holds a snapshot and a delta of Parquet."""
    for pointer in sorted(settings.published.glob("*/*/LATEST.json")):
        run = pointer.parent / json.loads(pointer.read_text())["path"]
        if list(run.glob("snapshot/*.parquet")) and list(run.glob("delta/*.parquet")):
            return run
    raise AssertionError("no audience has a snapshot and a delta")


def rewrite(run: Path, **changes: str) -> None:
    """Change a manifest, and its hash and the pointer with it, as one who knows the format would."""
    manifest = json.loads((run / "_manifest.json").read_text()) | changes
    body = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    (run / "_manifest.json").write_bytes(body)
    (run / "_manifest.sha256").write_text(f"{sha256(body).hexdigest()}  _manifest.json\n")
    latest = run.parents[2] / "LATEST.json"
    pointer = json.loads(latest.read_text()) | {"manifest_sha256": sha256(body).hexdigest()}
    latest.write_text(json.dumps(pointer, indent=2) + "\n")


def flip_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def exchange(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def log_entry(settings: Settings, table: str) -> Path:
    """The newest entry of a table's log."""
    return max(settings.lake.joinpath(*table.split("."), "_delta_log").glob("0*.json"))


def delta_table(settings: Settings, table: str) -> DeltaTable:
    return DeltaTable(settings.lake.joinpath(*table.split(".")))


def publish_as_it_stands(settings: Settings, damage: Callable[[], object]) -> None:
    """Damage the newest versions and publish them, as a wrong program that writes by all rules would."""
    runs = delta_table(settings, "segments.runs").to_pyarrow_table()["as_of"].to_pylist()
    newest: date = max(runs)
    with open_for_writing(settings, newest, "nightly") as writer:
        damage()
        publish(writer.lake, newest, "f", {})


def lose_a_member(settings: Settings) -> None:
    code = newest_run(settings).parents[2].name
    members = delta_table(settings, "segments.members")
    rows = [r for r in members.to_pyarrow_table().to_pylist() if r["code"] == code]
    newest = max(row["as_of"] for row in rows)
    one_id = min(row["one_id"] for row in rows if row["as_of"] == newest)
    which = f"code = '{code}' AND as_of = '{newest}' AND one_id = {one_id}"
    publish_as_it_stands(settings, lambda: members.delete(which))


def double_a_key(settings: Settings) -> None:
    runs = delta_table(settings, "segments.runs")
    rows = runs.to_pyarrow_table().slice(0, 1)
    publish_as_it_stands(settings, lambda: write_deltalake(runs, rows, mode="append"))


def turn_back(settings: Settings) -> None:
    """Let a pointer name the run of an earlier night."""
    run = newest_run(settings)
    root = run.parents[2]
    earlier = min(folder for folder in root.glob("v=*/as_of=*/run=*") if folder != run)
    names = {"run_id": earlier.name.removeprefix("run="), "path": earlier.relative_to(root).as_posix()}
    latest = root / "LATEST.json"
    latest.write_text(json.dumps(json.loads(latest.read_text()) | names))


def garble_checkpoint(settings: Settings) -> None:
    delta_table(settings, "segments.members").create_checkpoint()
    log = log_entry(settings, "segments.members").parent
    max(log.glob("*.checkpoint.parquet")).write_bytes(b"no parquet" * 30)


# What was done to a lake of two nights, and the words of the fault that the deep check names it by. docs/security.md lists them.
DAMAGES: dict[str, tuple[Callable[[Settings], object], tuple[str, ...]]] = {
    "a data file is gone": (lambda s: files(s, "identity.memberships")[0].unlink(), ("identity.memberships", "is missing")),
    "a data file is cut": (lambda s: cut(files(s, "segments.members")[0]), ("segments.members", "were published")),
    "one bit of a data file is flipped": (lambda s: flip_bit(files(s, "segments.suppressions")[0]), ("segments.suppressions", "does not have the bytes that were published")),
    "two data files of a table are exchanged": (lambda s: exchange(*files(s, "segments.runs")[:2]), ("segments.runs", "were published")),
    "a log entry is cut": (lambda s: cut(log_entry(s, "segments.runs")), ("the log of segments.runs cannot be read",)),
    "a log entry is emptied": (lambda s: log_entry(s, "segments.runs").write_bytes(b""), ("segments.runs: its log or its rows in ops.file_digests do not name",)),
    "the newest log entry is gone": (lambda s: log_entry(s, "segments.runs").unlink(), ("segments.runs", "at version")),
    "a checkpoint is garbage": (garble_checkpoint, ("the log of segments.members cannot be read",)),
    "a table is gone as a whole": (lambda s: shutil.rmtree(s.lake / "identity" / "memberships"), ("the log of identity.memberships cannot be read",)),
    "the last publication is gone": (lambda s: delta_table(s, "ops.publications").delete("seq = 2"), ("publication 2 was the last one and is missing",)),
    "an earlier publication is gone": (lambda s: delta_table(s, "ops.publications").delete("seq = 1"), ("publication 1 is missing",)),
    "a publication says something else": (lambda s: delta_table(s, "ops.publications").update({"fingerprint": "'x'"}, predicate="seq = 1"), ("publication 2 does not follow publication 1 as it stands",)),
    "the head of the chain is gone": (lambda s: (s.lake / "ops" / "HEAD.json").unlink(), ("ops/HEAD.json, is missing",)),
    "the head of the chain is garbage": (lambda s: (s.lake / "ops" / "HEAD.json").write_text("{"), ("the head of the chain of publications cannot be read",)),
    "a recorded digest says something else": (lambda s: delta_table(s, "ops.file_digests").update({"sha256": "'0'"}, predicate="table_name = 'segments.runs'"), ("segments.runs: its log or its rows in ops.file_digests do not name",)),
    "the ledger of attempts is damaged": (lambda s: cut(log_entry(s, "ops.runs")), ("the log of ops.runs cannot be read",)),
    "a published member is lost": (lose_a_member, ("rows of segments.members is",)),
    "a published key stands there twice": (double_a_key, ("segments.runs: 1 keys (run_id) stand there more than once",)),
    "the audiences are gone": (lambda s: shutil.rmtree(s.published), ("was delivered to", "and is not there")),
    "a file of an audience is changed": (lambda s: flip_bit(next(newest_run(s).glob("snapshot/*"))), ("part-00000.parquet does not have the bytes that were delivered to",)),
    "a file of an audience is gone": (lambda s: next(newest_run(s).glob("delta/*")).unlink(), ("delta/part-00000.parquet was delivered to", "and is missing")),
    "manifest, hash and pointer are forged together": (lambda s: rewrite(newest_run(s), purpose="service"), ("_manifest.json is not the one that was delivered to",)),
    "a signature is exchanged": (lambda s: (newest_run(s) / "_manifest.hmac").write_text("0" * 64), ("_manifest.hmac is not the one that was delivered to",)),
    "the pointer is turned back": (turn_back, ("LATEST.json names run", "was delivered last")),
    "the pointer is garbage": (lambda s: (newest_run(s).parents[2] / "LATEST.json").write_text("{"), ("LATEST.json", "it is not JSON")),
}  # fmt: skip
