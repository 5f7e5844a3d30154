"""Verifying a delivered audience from its files alone. This one file needs Python 3.10 and, for Parquet, pyarrow.

Consumers copy it; the platform's own ``cdp segments verify`` is this file, so both give the same verdicts::

    python verify_audience.py FOLDER --key-file KEY --at "$(date --iso-8601=seconds)"

FOLDER is a run, a segment, a destination, or a copy of one. Exit code 0 when everything is as the manifests say, 1 with one
line for each fault, 2 when there is nothing to verify. Nothing is written. Each fault has a kind, see ``KINDS``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import hmac
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

CONTRACT_VERSION = "audience/v1"
MANIFEST = "_manifest.json"
MANIFEST_SUM = "_manifest.sha256"
SIGNATURE = "_manifest.hmac"
SUCCESS = "_SUCCESS"
LATEST = "LATEST.json"
NOT_DATA = {MANIFEST, MANIFEST_SUM, SIGNATURE, SUCCESS}
PROFILE = "hmac-sha256"
SECRET_LENGTH = 16
SUFFIX = {"parquet": "parquet", "csv": "csv", "json_lines": "jsonl"}
OPS = ("ENTER", "EXIT", "UPDATE")
KEY = "recipient_key"
STAGES = ("whitelist", "small", "full")
APPROVAL_KEYS = ("stage", "definition_hash", "basis", "approval_id", "approved_at", "until")

KINDS = {
    "incomplete": "manifest, its hash or `_SUCCESS` is missing: the run is still being written, or was cut",
    "manifest_hash": "the manifest is not the one whose hash stands beside it",
    "manifest_shape": "the manifest is no JSON object of the documented shape",
    "contract_version": "the manifest follows another major version of the contract",
    "place": "the folder names another segment, run, business date or version than the manifest",
    "signature": "the manifest is not signed, or not by the verification key at hand",
    "file_missing": "a file that the manifest names is not there",
    "file_unlisted": "a file is there that the manifest does not name",
    "file_bytes": "a file has other bytes than the manifest states",
    "file_content": "a file cannot be read in its format, or has other rows or columns than the manifest states",
    "recipients": "a recipient stands there twice, or a row has no `recipient_key` of 32 hexadecimal digits",
    "counts": "the numbers of the manifest do not add up",
    "delta": "the delta does not lead from the previous snapshot to this one",
    "sequence": "the run does not follow the one that it names as previous",
    "formula": "a cell of a CSV would run in a spreadsheet, and the manifest says that none would",
    "approvals": "an approval is for another definition or a lower stage, or was over on the business date",
    "expired": "the audience is past its `valid_until`",
    "superseded": "a newer run replaced this one",
    "pointer": "`LATEST.json` is missing, cannot be read, or says something else than the run it points to",
}

_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_COUNTS_BY_NAME = {"type": "object", "additionalProperties": _COUNT}
_DAY = {"type": "string", "format": "date"}
_INSTANT = {"type": "string", "format": "date-time"}
_RECIPIENT = re.compile("[0-9a-f]{32}")
_SEGMENT = re.compile(r"_?[a-z][a-z0-9_]*")
_RUN_PATH = {"type": "string", "pattern": "^v=[^/]+/as_of=[^/]+/run=[^/]+$"}


def _object(properties: Mapping[str, Any], *, optional: Sequence[str] = ()) -> dict[str, Any]:
    """Give the schema of an object; further keys are allowed everywhere, because a minor version may add some."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


_COLUMN = _object(
    {
        "name": _TEXT | {"description": "Name of the column."},
        "type": _TEXT | {"description": "Type as Spark SQL writes it: string, int, bigint, boolean, date, decimal(p,s), array<…>."},
        "level": _TEXT | {"description": "Personal level: C1 says little of a person, C2 is personal."},
        "allowed": {"type": "array", "items": _TEXT, "description": "The values that occur, where they are a closed list."},
    },
    optional=["allowed"],
)  # fmt: skip

MANIFEST_SCHEMA = _object(
    {
        "contract_version": {"const": CONTRACT_VERSION, "description": "The contract's major version; another one is to be refused."},
        "segment": _TEXT | {"description": "Code of the segment; of a directory `_directory`."},
        "version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$",
                    "description": "Version of the definition: major = meaning, minor = thresholds, patch = text."},
        "definition_hash": _TEXT | {"description": "Hash of the normalised definition."},
        "parameters": {"type": "object", "description": "Values of the definition's parameters."},
        "purpose": _TEXT | {"description": "What the people may be contacted for; receipts repeat it."},
        "destination": _TEXT | {"description": "Name of the destination; receipts repeat it."},
        "run_id": _TEXT | {"description": "The run; receipts repeat it."},
        "seq": {"type": "integer", "minimum": 1, "description": "Number of the run at this destination, from 1 without a gap."},
        "previous_run_id": {"type": ["string", "null"], "description": "The run that the delta starts from; null in the first."},
        "as_of": _DAY | {"description": "Business date."},
        "valid_until": _INSTANT | {"description": "From this instant on the audience must not be used."},
        "mode": {"type": "array", "items": {"enum": ["snapshot", "delta"]}, "description": "What is delivered; always the snapshot."},
        "format": {"enum": ["parquet", "csv", "json_lines"], "description": "Format of the files."},
        "schema": {"type": "array", "items": _COLUMN, "description": "Columns of the snapshot, in their order."},
        "delta_schema": {"type": "array", "items": _COLUMN,
                         "description": "Columns of the delta: `op` (ENTER, EXIT, UPDATE) and those of the snapshot, null for EXIT."},
        "files": {
            "type": "array",
            "items": _object({
                "path": {"type": "string", "pattern": "^(snapshot|delta)/part-[0-9]{5}[.](parquet|csv|jsonl)$",
                         "description": "Path in the folder of the run."},
                "rows": _COUNT | {"description": "Rows of the file."},
                "bytes": _COUNT | {"description": "Size of the file."},
                "sha256": _HEX | {"description": "Hash of the file's bytes."},
            }),
            "description": "Every file of data; read no other.",
        },
        "counts": _object({
            "candidates": _COUNT | {"description": "People whom the rule selects."},
            "suppressed_by_reason": _COUNTS_BY_NAME | {"description": "People left out by law or policy, one reason each."},
            "eligible": _COUNT | {"description": "Candidates without those."},
            "not_in_rollout": _COUNT | {"description": "Eligible people outside the roll-out."},
            "control_global": _COUNT | {"description": "Eligible people of the global control group."},
            "holdout_local": _COUNT | {"description": "Eligible people of the segment's own hold-out."},
            "contaminated": _COUNT | {"description": "Eligible people whom a merge put into two arms."},
            "variants": _COUNTS_BY_NAME | {"description": "People by arm."},
            "dropped_by_contact": _COUNTS_BY_NAME | {"description": "People in an arm whom contact policy or a recall drops."},
            "published": _COUNT | {"description": "Recipients: rows of the snapshot."},
            "consent": _COUNTS_BY_NAME | {"description": "Recipients by the ground on which they may be contacted."},
            "delta": _object({
                "previous": _COUNT | {"description": "Recipients of the previous run."},
                "enter": _COUNT | {"description": "Rows with ENTER."},
                "exit": _COUNT | {"description": "Rows with EXIT."},
                "update": _COUNT | {"description": "Rows with UPDATE."},
            }) | {"description": "What the delta holds, delivered or not."},
        }) | {"description": "How many people each step kept or left out."},
        "key": _object({
            "column": _TEXT | {"description": "Name of the key column."},
            "profile": _TEXT | {"description": "How keys are made: HMAC-SHA256 of the OneID, 32 hexadecimal digits."},
            "key_id": _TEXT | {"description": "Which secret made them; another one means other keys for the same people."},
        }) | {"description": "The recipients' key."},
        "consent_as_of": _DAY | {"description": "Day whose consents were looked at."},
        "tag_versions": {"type": "object", "additionalProperties": _TEXT, "description": "Version of each tag that was read."},
        "inputs": {"type": "array", "items": {"type": "object"}, "description": "What was read, with an order-free hash of it."},
        "approvals": {
            "type": "array",
            "items": _object({
                "by": _TEXT | {"description": "The role or system that approved; no user."},
                "stage": {"enum": list(STAGES), "description": "Up to which stage."},
                "definition_hash": _TEXT | {"description": "Hash of the definition that was approved."},
                "basis": _TEXT | {"description": "Hash of everything that was approved with it."},
                "approval_id": _TEXT | {"description": "What the platform or the other system calls the approval."},
                "approved_at": _INSTANT | {"description": "When it was given."},
                "until": {"type": ["string", "null"], "format": "date", "description": "Last business date it holds for; null without end."},
                "date": _DAY | {"description": "Of a directory: when it was given."},
                "hash": _TEXT | {"description": "Of a directory: hash of what is disclosed to whom."},
            }, optional=[*APPROVAL_KEYS, "date", "hash"]),
            "description": "Who approved what is published. Of an audience each names `stage`, `definition_hash`, `basis`, `approval_id`, "
                           "`approved_at`, `until`; of a directory `date` and `hash`.",
        },
        "stage": {"enum": list(STAGES), "description": "How far the segment is rolled out; absent where it knows no stages or approvals."},
        "kind": _TEXT | {"description": "`directory` for a directory of addresses; absent for an audience. Leave alone what you do not know."},
        "spreadsheet": _object({
            "rule": {"enum": ["neutralise", "refuse", "keep"],
                     "description": "`neutralise`: take one leading apostrophe from text that has one."},
            "cells": _COUNTS_BY_NAME | {"description": "Cells that would have run, by column."},
        }) | {"description": "CSV only: what became of cells that a spreadsheet would run."},
        "signature": _object({
            "profile": _TEXT | {"description": "Method of the signature: hmac-sha256."},
            "key_id": _TEXT | {"description": "Which verification key signed; see the text about keys."},
        }) | {"description": "How the manifest is signed; absent before manifests were."},
    },
    optional=["delta_schema", "stage", "kind", "spreadsheet", "signature"],
)  # fmt: skip

POINTER_SCHEMA = _object(
    {
        "segment": _TEXT | {"description": "Code of the segment."},
        "run_id": _TEXT | {"description": "The newest run."},
        "seq": {"type": "integer", "minimum": 1, "description": "Its number at this destination."},
        "as_of": _DAY | {"description": "Its business date."},
        "valid_until": _INSTANT
        | {"description": "Until when it may be used; what counts is the signed manifest."},
        "path": _RUN_PATH | {"description": "Its folder below that of the segment."},
        "manifest_sha256": _HEX | {"description": "Hash of its manifest."},
    }
)

# Gives the verification key of a destination by its name; None where it is not at hand.
Keys = Callable[[str], "bytes | None"]


class UnreadableAudience(ValueError):
    """A file of an audience cannot be read as what it should be; the message is one sentence."""


class NoAudience(ValueError):
    """There is nothing to verify."""


@dataclass(frozen=True)
class AudienceFault:
    """One thing that is wrong: its kind, which stands in ``KINDS``, and a sentence about it."""

    kind: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Verification:
    """The result of verifying one folder; ``faults`` is empty when the audience may be used.

    ``is_signature_checked`` says whether a key was at hand: without one only damage is seen, not a forger.
    """

    folder: Path
    faults: tuple[AudienceFault, ...]
    published: int | None = None
    valid_until: str | None = None
    destination: str | None = None
    is_signature_checked: bool = False
    superseded_by: str | None = None
    """The run that the segment's pointer names instead; its delta or snapshot takes people out who are in this one."""
    stage: str | None = None
    approved_by: tuple[str, ...] = ()
    """The roles and systems whose approval the manifest names."""

    @property
    def failures(self) -> tuple[str, ...]:
        """The faults as sentences."""
        return tuple(fault.sentence for fault in self.faults)


@dataclass(frozen=True)
class RunMeasures:
    """What the files of a run hold, and those of the run before it when it is still there."""

    rows_by_mode: Mapping[str, int]
    recipients: int | None = None
    entering: frozenset[str] | None = None
    leaving: frozenset[str] | None = None
    updating: frozenset[str] | None = None
    current: frozenset[str] | None = None
    previous: frozenset[str] | None = None
    previous_manifest: Mapping[str, Any] | None = field(default=None)


# ------------------------------------------------------------------------------------------ keys


def key_id(secret: bytes) -> str:
    """Give what a file calls a key, so that a changed key is seen; the key does not follow from it."""
    return hashlib.sha256(b"key id|" + secret).hexdigest()[:12]


def signature_of(body: bytes, key: bytes) -> str:
    """Give the signature of a file's bytes."""
    return hmac.digest(key, body, "sha256").hex()


def is_signature(file: Path, body: bytes, key: bytes) -> bool:
    """Tell whether a file begins with the signature that the key makes of these bytes."""
    with file.open(encoding="ascii", errors="replace") as stream:
        words = stream.read(1024).split()
    return bool(words) and hmac.compare_digest(words[0].encode(), signature_of(body, key).encode())


def is_signed(manifest: Mapping[str, Any], key: bytes) -> bool:
    """Tell whether a manifest says that it is signed by this key; earlier ones are not signed at all."""
    return bool(manifest.get("signature", {}).get("key_id") == key_id(key))


def signature_fault(run: Path, manifest: Mapping[str, Any], key: bytes) -> str | None:
    """Give what is wrong with the signature of a run's manifest; None where the key made it."""
    if "signature" not in manifest and not (run / SIGNATURE).exists():
        return f"{MANIFEST} is not signed"
    if not is_signed(manifest, key):
        name = manifest.get("signature", {}).get("key_id")
        return f"{MANIFEST} is signed by the key {name}, and the verification key at hand is {key_id(key)}"
    if not (run / SIGNATURE).is_file():
        return f"{SIGNATURE} is missing"
    if not is_signature(run / SIGNATURE, (run / MANIFEST).read_bytes(), key):
        return f"{MANIFEST} does not have the signature of the verification key: another hand wrote it"
    return None


def no_keys(destination: str) -> None:
    """Give no key: signatures are not checked."""
    return


# ------------------------------------------------------------------------------------- documents


def read_manifest(run: Path) -> dict[str, Any]:
    """Give the manifest of a run's folder; one that is no JSON object raises ``UnreadableAudience``."""
    return _read_object(run / MANIFEST)


def read_latest(root: Path) -> dict[str, Any] | None:
    """Give what ``LATEST.json`` of a segment's folder points to; None before the first delivery.

    One that cannot be read, or that points out of the folder, raises ``UnreadableAudience``.
    """
    if not (root / LATEST).is_file():
        return None
    pointer = _read_object(root / LATEST)
    if shape_fault(pointer, POINTER_SCHEMA) is not None:
        raise UnreadableAudience("the pointer does not name a run of this folder")
    return pointer


def _read_object(file: Path) -> dict[str, Any]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else "it is not JSON"
        raise UnreadableAudience(f"the file cannot be read ({reason})") from None
    if not isinstance(entries, dict):
        raise UnreadableAudience("the file is no JSON object")
    return entries


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def shape_fault(document: Any, schema: Mapping[str, Any], path: str = "") -> str | None:
    """Give the first place where a document is not as a schema says; None where there is none.

    Knows the words of JSON Schema that the schemas of this file use.
    """
    place = f"{path}: " if path else ""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](document) for kind in kinds):
        return f"{place}it is not of type {' or '.join(kinds)}"
    if "const" in schema and document != schema["const"]:
        return f"{place}it is not {schema['const']}"
    if "enum" in schema and document not in schema["enum"]:
        return f"{place}it is none of {', '.join(schema['enum'])}"
    if isinstance(document, str) and not _is_text(document, schema):
        return f"{place}it is not of the form that is documented"
    if isinstance(document, int) and document < schema.get("minimum", document):
        return f"{place}it is below {schema['minimum']}"
    return _fault_within(document, schema, path)


def _is_text(text: str, schema: Mapping[str, Any]) -> bool:
    if "pattern" in schema and not re.search(schema["pattern"].removesuffix("$") + r"\Z", text):
        return False
    try:
        if schema.get("format") == "date":
            return len(text) == 10 and bool(date.fromisoformat(text))
        if schema.get("format") == "date-time":
            return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
    return True


def _fault_within(document: Any, schema: Mapping[str, Any], path: str) -> str | None:
    parts: list[tuple[str, Any, Mapping[str, Any]]] = []
    if isinstance(document, list) and "items" in schema:
        parts = [(str(number), value, schema["items"]) for number, value in enumerate(document)]
    elif isinstance(document, dict):
        for name in schema.get("required", ()):
            if name not in document:
                return f"{path + ': ' if path else ''}it lacks '{name}'"
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        parts = [(name, value, properties.get(name, others)) for name, value in document.items()]
    for name, value, schema_of_part in parts:
        fault = shape_fault(value, schema_of_part, f"{path}.{name}" if path else name)
        if fault:
            return fault
    return None


# ------------------------------------------------------------------------------------------ rows


def csv_columns(part: Path) -> dict[str, list[str]]:
    """Give the cells of a CSV file (RFC 4180, UTF-8) by column."""
    try:
        with part.open(encoding="utf-8", newline="") as text:
            lines = csv.reader(text, strict=True)
            names = next(lines)
            columns: list[list[str]] = [[] for _ in names]
            for line in lines:
                if len(line) != len(names):
                    raise UnreadableAudience(f"line {lines.line_num} has {len(line)} cells, not {len(names)}")
                for column, value in zip(columns, line, strict=True):
                    column.append(value)
    except StopIteration:
        raise UnreadableAudience("it has no header") from None
    except (csv.Error, UnicodeDecodeError):
        raise UnreadableAudience("it is no CSV in UTF-8") from None
    if len(set(names)) < len(names):
        raise UnreadableAudience("it names a column twice")
    return dict(zip(names, columns, strict=True))


def json_line_columns(part: Path) -> dict[str, list[Any]]:
    """Give the values of a file of JSON lines by column; a file without rows has no columns.

    A line ends with a line feed and nothing else: JSON may hold the other signs that end a line of text.
    """
    columns: dict[str, list[Any]] = {}
    try:
        with part.open(encoding="utf-8", newline="\n") as text:
            for number, line in enumerate(text, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UnreadableAudience(f"line {number} is no JSON object")
                if number == 1:
                    columns = {name: [] for name in row}
                if row.keys() != columns.keys():
                    raise UnreadableAudience(f"line {number} has other keys than the first")
                for name, value in row.items():
                    columns[name].append(value)
    except UnicodeDecodeError:
        raise UnreadableAudience("it is not UTF-8") from None
    except (json.JSONDecodeError, RecursionError):
        raise UnreadableAudience("a line of it is not JSON") from None
    return columns


def parquet_columns(part: Path, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Give the values of a Parquet file by column: of ``names``, else of every column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(part) as file:
            present = file.schema_arrow.names
            rows = file.read(columns=present if names is None else [n for n in present if n in names])
    except (pa.ArrowException, OSError):
        raise UnreadableAudience("it is no Parquet file") from None
    return {name: rows[name].to_pylist() for name in rows.column_names}


def describe_part(part: Path, file_format: str) -> tuple[list[str] | None, int]:
    """Give the names of a file's columns in their order, None of JSON lines without a row, and the number of its rows."""
    if file_format == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            metadata = pq.read_metadata(part)
        except (pa.ArrowException, OSError):
            raise UnreadableAudience("it is no Parquet file") from None
        return list(metadata.schema.to_arrow_schema().names), int(metadata.num_rows)
    columns = csv_columns(part) if file_format == "csv" else json_line_columns(part)
    return list(columns) or None, len(next(iter(columns.values()), []))


def read_columns(run: Path, mode: str, file_format: str, names: Sequence[str]) -> dict[str, list[Any]]:
    """Give some columns of the snapshot or the delta of a run, over all its files in their order.

    CSV has text only; JSON lines and Parquet have the values themselves. A column that is not there raises ``UnreadableAudience``.
    """
    values: dict[str, list[Any]] = {name: [] for name in names}
    for part in sorted((run / mode).glob(f"part-*.{SUFFIX[file_format]}")):
        columns: Mapping[str, list[Any]]
        if file_format == "parquet":
            columns = parquet_columns(part, names)
        else:
            columns = csv_columns(part) if file_format == "csv" else json_line_columns(part)
        if not columns and file_format == "json_lines":
            continue
        for name in names:
            if name not in columns:
                raise UnreadableAudience(f"{mode}/{part.name} has no column {name}")
            values[name] += columns[name]
    return values


# What begins a formula is known from OWASP's page on CSV injection. A plain number runs nothing, whatever its sign.
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def is_formula(cell: str) -> bool:
    """Tell whether a spreadsheet that opens a CSV would run a cell of text."""
    return _FORMULA.match(cell) is not None and _NUMBER.fullmatch(cell) is None


# ------------------------------------------------------------------------------------- equations


def equation_faults(manifest: Mapping[str, Any], measures: RunMeasures) -> list[AudienceFault]:
    """Give a fault for each equation that does not hold; an empty list when all do."""
    counts = manifest["counts"]
    suppressed = sum(counts["suppressed_by_reason"].values())
    variants = sum(counts["variants"].values())
    dropped_count = sum(counts["dropped_by_contact"].values())
    outside = sum(
        counts[name] for name in ("not_in_rollout", "control_global", "holdout_local", "contaminated")
    )
    published, delta = counts["published"], counts["delta"]
    previous = delta["previous"] + delta["enter"] - delta["exit"]
    pairs = [
        ("rows of the snapshot", measures.rows_by_mode.get("snapshot", 0), "published", published),
        ("candidates", counts["candidates"], "eligible + suppressed", counts["eligible"] + suppressed),
        ("eligible", counts["eligible"], "kept out + variants", outside + variants),
        ("published", published, "variants - dropped by contact", variants - dropped_count),
        ("previous + enter - exit", previous, "published", published),
        ("people with consent", sum(counts["consent"].values()), "published", published),
    ]
    if "delta" in manifest["mode"]:
        delta_rows = delta["enter"] + delta["exit"] + delta["update"]
        pairs.append(
            ("rows of the delta", measures.rows_by_mode.get("delta", 0), "enter + exit + update", delta_rows)
        )
    faults = [
        AudienceFault("counts", f"{name} is {value}, but {other_name} is {other}")
        for name, value, other_name, other in pairs
        if value != other
    ]
    if measures.recipients is not None and measures.recipients != published:
        sentence = f"recipients is {measures.recipients}, but rows of the snapshot is {published}"
        faults.append(AudienceFault("recipients", sentence))
    faults += [AudienceFault("delta", sentence) for sentence in _broken_sets(manifest, measures)]
    return faults + [AudienceFault("sequence", sentence) for sentence in _broken_order(manifest, measures)]


def _broken_sets(manifest: Mapping[str, Any], measures: RunMeasures) -> list[str]:
    """Compare the delta with the snapshots before and after it, as far as they are at hand."""
    faults: list[str] = []
    if measures.entering is None or measures.leaving is None or measures.updating is None:
        return faults
    counts = manifest["counts"]["delta"]
    sets = {"enter": measures.entering, "exit": measures.leaving, "update": measures.updating}
    faults += [
        f"the delta has {len(sets[name])} recipients with {name.upper()}, but {name} is {counts[name]}"
        for name in sets
        if len(sets[name]) != counts[name]
    ]
    if measures.current is not None:
        if measures.leaving & measures.current:
            faults.append("the delta removes recipients that are in the snapshot")
        if not (measures.entering | measures.updating) <= measures.current:
            faults.append("the delta adds or updates recipients that are not in the snapshot")
    previous = frozenset() if manifest["previous_run_id"] is None else measures.previous
    if previous is None:
        return faults
    if measures.entering & previous:
        faults.append("the delta adds recipients that were in the previous snapshot")
    if not (measures.leaving | measures.updating) <= previous:
        faults.append("the delta removes or updates recipients that were not in the previous snapshot")
    if measures.current is not None and (previous | measures.entering) - measures.leaving != measures.current:
        faults.append("the previous snapshot with the delta applied is not the snapshot")
    return faults


def _broken_order(manifest: Mapping[str, Any], measures: RunMeasures) -> list[str]:
    before = measures.previous_manifest
    if manifest["previous_run_id"] is None:
        return [] if manifest["seq"] == 1 else [f"seq is {manifest['seq']} without a previous run"]
    if before is None:
        return []
    faults = []
    if manifest["seq"] != before["seq"] + 1:
        faults.append(f"seq is {manifest['seq']}, but the previous run has {before['seq']}")
    if manifest["counts"]["delta"]["previous"] != before["counts"]["published"]:
        faults.append(
            f"previous is {manifest['counts']['delta']['previous']}, but the previous run published "
            f"{before['counts']['published']}"
        )
    return faults


# -------------------------------------------------------------------------------------- verdicts


def verify(
    folder: Path, *, at: datetime | None = None, keys: Keys = no_keys, needs_signature: bool = False
) -> list[Verification]:
    """Verify every run below ``folder``: a run, a segment, a destination, the whole published folder, or a copy of one.

    An earlier run of a segment says which one superseded it, and fails where it is what was asked for. ``at`` is the instant
    the audience shall be used: the newest run of a segment fails when it is over by then. A run of whose destination ``keys``
    has the key must have its signature where ``needs_signature``; else runs that an earlier key signed, or none, are not
    checked for it. A folder without any run raises ``NoAudience``.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise NoAudience(f"{folder} is no folder")
    runs = [folder] if _is_run(folder) else sorted(_runs_below(folder))
    if not runs:
        raise NoAudience(f"there is no published audience in {folder}")
    verifications = [
        verify_run(run, at=at if is_newest(run) else None, keys=keys, needs_signature=needs_signature)
        for run in runs
    ]
    verifications = [_with_successor(one, is_asked_for=one.folder == folder) for one in verifications]
    roots = {root for run in runs if (root := segment_root(run)) is not None}
    # A run that was copied alone has no pointer: only a segment's folder that is looked at as a whole must have one.
    roots_with_pointer = {
        root for root in roots if (root / LATEST).exists() or root == folder or folder in root.parents
    }
    return verifications + [verify_pointer(root) for root in sorted(roots_with_pointer)]


def verify_run(
    run: Path,
    *,
    at: datetime | None = None,
    keys: Keys = no_keys,
    needs_signature: bool = False,
    root: Path | None = None,
) -> Verification:
    """Verify one run's folder; see ``verify``. ``root`` is the segment's folder of a run that does not lie there yet."""
    faults = _structure(run)
    if faults:
        return Verification(run, tuple(faults))
    manifest = read_manifest(run)
    key = keys(manifest["destination"])
    is_checked = key is not None and (needs_signature or is_signed(manifest, key))
    sentence = signature_fault(run, manifest, key) if key is not None and is_checked else None
    faults = [AudienceFault("signature", sentence)] if sentence else _files(run, manifest)
    if not faults:
        faults = _contents(run, manifest, root or segment_root(run)) + [
            AudienceFault("approvals", one) for one in _unfit_approvals(manifest)
        ]
    if at is not None and at >= datetime.fromisoformat(manifest["valid_until"]):
        sentence = f"the audience expired at {manifest['valid_until']} and must not be sent"
        faults.append(AudienceFault("expired", sentence))
    return Verification(
        run,
        tuple(faults),
        manifest["counts"]["published"],
        manifest["valid_until"],
        manifest["destination"],
        is_checked,
        stage=manifest.get("stage"),
        approved_by=tuple(one["by"] for one in manifest["approvals"]),
    )


def segment_root(run: Path) -> Path | None:
    """Give the segment's folder of a run: ``<segment>/v=…/as_of=…/run=…``; None for a copy that lies elsewhere."""
    version, day = run.parent.parent.name, run.parent.name
    is_in_place = version.startswith("v=") and day.startswith("as_of=") and run.name.startswith("run=")
    return run.parent.parent.parent if is_in_place else None


def is_newest(run: Path) -> bool:
    """Tell whether the segment's pointer names this run; where none can be read, whether no run is of a later date."""
    root = segment_root(run)
    if root is None:
        return True
    try:
        latest = read_latest(root)
    except UnreadableAudience:
        latest = None
    if latest is not None:
        return root / latest["path"] == run
    return run.parent.name == max(day.name for day in root.glob("v=*/as_of=*"))


def previous_run(root: Path | None, manifest: Mapping[str, Any]) -> Path | None:
    """Give the folder of the run before the one of this manifest, if it is still there and whole; ``root`` is the segment's."""
    name = manifest["previous_run_id"]
    for folder in sorted(root.glob("v=*/as_of=*/run=*")) if root and name is not None else ():
        is_whole = (folder / SUCCESS).is_file() and (folder / MANIFEST).is_file()
        if folder.name == f"run={name}" and is_whole:
            return folder
    return None


def _is_run(folder: Path) -> bool:
    return folder.name.startswith("run=") or (folder / MANIFEST).is_file()


def _runs_below(folder: Path) -> list[Path]:
    runs = []
    for place, names, files in os.walk(folder):
        # A run that is being written stands in a hidden folder, and may go while it is looked at.
        names[:] = [name for name in names if not name.startswith(".")]
        runs += [Path(place, name) for name in names if name.startswith("run=")]
        if MANIFEST in files and not Path(place).name.startswith("run="):
            runs.append(Path(place))
    return runs


def _with_successor(verification: Verification, *, is_asked_for: bool) -> Verification:
    """Add the run that superseded a run; a fault for whoever asks whether this very run may be used."""
    run = verification.folder
    root = segment_root(run)
    try:
        latest = None if root is None else read_latest(root)
    except UnreadableAudience:
        return verification  # a pointer that cannot be read has a verdict of its own
    if root is None or latest is None or root / latest["path"] == run:
        return verification
    sentence = (
        f"run {latest['run_id']} (seq {latest['seq']}) superseded this one, which must not be used any more"
    )
    more = (AudienceFault("superseded", sentence),) if is_asked_for else ()
    return replace(verification, faults=(*verification.faults, *more), superseded_by=latest["run_id"])


def _structure(run: Path) -> list[AudienceFault]:
    for name in (MANIFEST, MANIFEST_SUM, SUCCESS):
        if not (run / name).is_file():
            return [AudienceFault("incomplete", f"{name} is missing; the audience is not complete")]
    sums = (run / MANIFEST_SUM).read_text(encoding="utf-8", errors="replace").split()
    if not sums or sums[0] != file_hash(run / MANIFEST):
        sentence = f"{MANIFEST} does not have the hash that {MANIFEST_SUM} states"
        return [AudienceFault("manifest_hash", sentence)]
    try:
        manifest = read_manifest(run)
    except UnreadableAudience as wrong:
        return [AudienceFault("manifest_shape", f"{MANIFEST}: {wrong}")]
    version = manifest.get("contract_version")
    if isinstance(version, str) and version != CONTRACT_VERSION:
        return [AudienceFault("contract_version", f"contract version {version} is not {CONTRACT_VERSION}")]
    fault = shape_fault(manifest, MANIFEST_SCHEMA)
    if fault:
        return [AudienceFault("manifest_shape", f"{MANIFEST} is not as its contract says: {fault}")]
    place = {"run": manifest["run_id"], "as_of": manifest["as_of"], "v": manifest["version"].split(".")[0]}
    folders = dict(
        part.split("=", 1) for part in (run.name, run.parent.name, run.parent.parent.name) if "=" in part
    )
    root = segment_root(run)
    # A copy of a segment's folder may have any name that no segment can have.
    if root is not None and _SEGMENT.fullmatch(root.name):
        folders["segment"], place["segment"] = root.name, manifest["segment"]
    wrong_names = [name for name, value in place.items() if folders.get(name, value) != value]
    return [
        AudienceFault("place", f"the folder says {name}={folders.get(name)}, the manifest {place[name]}")
        for name in wrong_names
    ]


def _files(run: Path, manifest: Mapping[str, Any]) -> list[AudienceFault]:
    faults = []
    entries = {entry["path"]: entry for entry in manifest["files"]}
    present = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()} - NOT_DATA
    faults += [
        AudienceFault("file_unlisted", f"{path} is not in the manifest")
        for path in sorted(present - set(entries))
    ]
    for path, entry in sorted(entries.items()):
        if path not in present:
            faults.append(AudienceFault("file_missing", f"{path} is missing"))
        elif (run / path).stat().st_size != entry["bytes"]:
            size = (run / path).stat().st_size
            sentence = f"{path} has {size} bytes, the manifest says {entry['bytes']}"
            faults.append(AudienceFault("file_bytes", sentence))
        elif file_hash(run / path) != entry["sha256"]:
            sentence = f"{path} does not have the sha256 that the manifest states"
            faults.append(AudienceFault("file_bytes", sentence))
        else:
            sentences = _part_faults(run / path, path, entry["rows"], manifest)
            faults += [AudienceFault("file_content", sentence) for sentence in sentences]
    return faults


def _part_faults(part: Path, path: str, rows: int, manifest: Mapping[str, Any]) -> list[str]:
    file_format = manifest["format"]
    columns = [column["name"] for column in manifest["schema"]]
    if path.startswith("delta/"):
        columns = ["op", *columns]
    try:
        if part.suffix != f".{SUFFIX[file_format]}":
            return [f"{path} is not of the format {file_format}"]
        names, count = describe_part(part, file_format)
    except UnreadableAudience as wrong:
        return [f"{path} cannot be read as {file_format}: {wrong}"]
    faults = []
    if names is not None and names != columns:
        faults.append(f"{path} has other columns than the manifest states")
    if count != rows:
        faults.append(f"{path} has {count} rows, the manifest says {rows}")
    return faults


def _contents(run: Path, manifest: Mapping[str, Any], root: Path | None) -> list[AudienceFault]:
    try:
        measures, faults = _measure(run, manifest, root)
        return faults + equation_faults(manifest, measures) + _running_cells(run, manifest)
    except UnreadableAudience as wrong:
        return [AudienceFault("file_content", str(wrong))]


def _unfit_approvals(manifest: Mapping[str, Any]) -> list[str]:
    """Look for approvals of an audience that are for another definition or a lower stage, or were over on the business date."""
    if manifest.get("kind", "audience") != "audience":
        return []  # a directory has approvals of another form
    faults = []
    stage = manifest.get("stage", STAGES[-1])
    # Who is only taken out of an approved audience is so on a later date, too.
    is_shrunk = "RECALLED" in manifest["counts"]["dropped_by_contact"]
    for one in manifest["approvals"]:
        what = f"the approval {one.get('approval_id')} of {one['by']}"
        missing_keys = [name for name in APPROVAL_KEYS if name not in one]
        if missing_keys:
            faults.append(f"{what} lacks {', '.join(missing_keys)}")
            continue
        if one["definition_hash"] != manifest["definition_hash"]:
            faults.append(f"{what} is for another definition")
        if STAGES.index(one["stage"]) < STAGES.index(stage):
            faults.append(f"{what} is for {one['stage']}, and the audience is of {stage}")
        if one["until"] is not None and one["until"] < manifest["as_of"] and not is_shrunk:
            faults.append(f"{what} was over after {one['until']}")
    return faults


def _running_cells(run: Path, manifest: Mapping[str, Any]) -> list[AudienceFault]:
    """Look for cells that a spreadsheet would run where the manifest says that there are none."""
    if manifest["format"] != "csv" or manifest.get("spreadsheet", {"rule": "keep"})["rule"] == "keep":
        return []
    texts = [
        column["name"]
        for column in manifest["schema"]
        if column["type"] == "string" or column["type"].startswith("array")
    ]
    faults = []
    for mode in manifest["mode"]:
        for name, cells in read_columns(run, mode, "csv", texts).items():
            count = sum(map(is_formula, cells))
            if count:
                sentence = f"column '{name}' of the {mode} has {count} cells that a spreadsheet would run"
                faults.append(AudienceFault("formula", sentence))
    return faults


def _measure(
    run: Path, manifest: Mapping[str, Any], root: Path | None
) -> tuple[RunMeasures, list[AudienceFault]]:
    """Give what the files hold, and the faults of their keys."""
    form = manifest["format"]
    rows = {
        mode: sum(e["rows"] for e in manifest["files"] if e["path"].startswith(f"{mode}/"))
        for mode in ("snapshot", "delta")
    }
    keys = read_columns(run, "snapshot", form, [KEY])[KEY]
    faults = _key_faults(keys, "snapshot", is_unique=False)
    changes: dict[str, frozenset[str] | None] = dict.fromkeys(OPS)
    if "delta" in manifest["mode"]:
        delta = read_columns(run, "delta", form, ["op", KEY])
        faults += _key_faults(delta[KEY], "delta", is_unique=True)
        if set(delta["op"]) - set(OPS):
            faults.append(AudienceFault("delta", f"the delta has an op that is none of {', '.join(OPS)}"))
        pairs = list(zip(delta["op"], delta[KEY], strict=True))
        changes = {name: frozenset(key for op, key in pairs if op == name) for name in OPS}
    before = previous_run(root, manifest)
    before_manifest = _sound_manifest(before) if before else None
    current = frozenset(keys)
    measures = RunMeasures(
        rows_by_mode=rows,
        recipients=len(current),
        entering=changes["ENTER"],
        leaving=changes["EXIT"],
        updating=changes["UPDATE"],
        current=current,
        previous=_keys(before, before_manifest) if before and before_manifest else None,
        previous_manifest=before_manifest,
    )
    return measures, faults


def _key_faults(keys: Sequence[Any], mode: str, *, is_unique: bool) -> list[AudienceFault]:
    faults = []
    nameless = sum(not isinstance(key, str) or _RECIPIENT.fullmatch(key) is None for key in keys)
    if nameless:
        sentence = f"{nameless} rows of the {mode} have no recipient_key of 32 hexadecimal digits"
        faults.append(AudienceFault("recipients", sentence))
    if is_unique and len(set(keys)) < len(keys):
        faults.append(AudienceFault("recipients", f"a recipient stands twice in the {mode}"))
    return faults


def _sound_manifest(run: Path) -> dict[str, Any] | None:
    """Give the manifest of an earlier run where it is of the documented shape; else it tells nothing."""
    try:
        manifest = read_manifest(run)
    except UnreadableAudience:
        return None
    return manifest if shape_fault(manifest, MANIFEST_SCHEMA) is None else None


def _keys(run: Path, manifest: Mapping[str, Any]) -> frozenset[str] | None:
    """Give the recipients of an earlier run; None where its files are gone or damaged, which its own verdict says."""
    entries = [entry for entry in manifest["files"] if entry["path"].startswith("snapshot/")]
    if not entries or any(not _is_whole(run / entry["path"], entry["sha256"]) for entry in entries):
        return None
    try:
        return frozenset(read_columns(run, "snapshot", manifest["format"], [KEY])[KEY])
    except UnreadableAudience:
        return None


def _is_whole(part: Path, digest: str) -> bool:
    return part.is_file() and file_hash(part) == digest


def verify_pointer(root: Path) -> Verification:
    """Verify that the pointer of a segment's folder says what the run it points to says."""
    try:
        latest = read_latest(root)
    except UnreadableAudience as wrong:
        return Verification(root, (AudienceFault("pointer", f"{LATEST}: {wrong}"),))
    if latest is None:
        return Verification(root, (AudienceFault("pointer", f"{LATEST} is missing; no run was released"),))
    run = root / latest["path"]
    sentences = []
    if not (run / SUCCESS).is_file() or not (run / MANIFEST).is_file():
        sentences.append(f"{LATEST} points to {latest['path']}, which is not complete")
    elif file_hash(run / MANIFEST) != latest["manifest_sha256"]:
        sentences.append(f"{LATEST} states another hash than {latest['path']}/{MANIFEST} has")
    elif manifest := _sound_manifest(run):
        sentences += [
            f"{LATEST} states another {name} than the manifest of the run it points to"
            for name in ("segment", "run_id", "seq", "as_of", "valid_until")
            if latest[name] != manifest[name]
        ]
    faults = tuple(AudienceFault("pointer", sentence) for sentence in sentences)
    return Verification(root, faults, None, latest["valid_until"])


def file_hash(path: Path) -> str:
    """Give the sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# ---------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a folder from the command line; give the exit code."""
    parser = argparse.ArgumentParser(description="Verify a delivered audience from its files alone.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key-file", type=Path, help="file with the verification key of the destination")
    parser.add_argument("--at", help="fail an audience that is over by this instant, with its offset")
    parser.add_argument("--json", action="store_true", help="print one JSON object a fault or sound folder")
    options = parser.parse_args(arguments)
    try:
        at = datetime.fromisoformat(options.at) if options.at else None
        key = options.key_file.read_bytes().strip() if options.key_file else None
    except ValueError:
        parser.error(f"'{options.at}' is no instant; write one like 2026-11-21T09:00:00+08:00")
    except OSError as wrong:
        parser.error(f"the key cannot be read ({wrong.strerror})")
    if at is not None and at.tzinfo is None:
        parser.error("the instant needs its offset, like +08:00")
    if key is not None and len(key) < SECRET_LENGTH:
        parser.error(f"the key is shorter than {SECRET_LENGTH} characters")
    try:
        verifications = verify(options.folder, at=at, keys=lambda _: key, needs_signature=True)
    except NoAudience as wrong:
        parser.error(str(wrong))
    try:
        _print(verifications, as_json=options.json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the lines has seen enough; the exit code is the answer all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if key is None:
        sys.stderr.write("signatures were not checked: without --key-file a forged audience is not seen\n")
    return 1 if any(one.faults for one in verifications) else 0


def _print(verifications: Iterable[Verification], *, as_json: bool) -> None:
    for one in verifications:
        for fault in one.faults:
            row: dict[str, Any] = {"folder": str(one.folder), "kind": fault.kind, "fault": fault.sentence}
            text = json.dumps(row, ensure_ascii=False) if as_json else f"{one.folder}: {fault}"
            (sys.stdout if as_json else sys.stderr).write(text + "\n")
        if not one.faults and one.published is not None:
            word = "old" if one.superseded_by else "good"
            row = {"folder": str(one.folder), "kind": None, "published": one.published, "state": word}
            text = f"{word:<4}  {one.published:>8} people, valid until {one.valid_until}  {one.folder}"
            sys.stdout.write((json.dumps(row, ensure_ascii=False) if as_json else text) + "\n")


if __name__ == "__main__":
    sys.exit(main())
