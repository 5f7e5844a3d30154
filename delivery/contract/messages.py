"""JSON Schemas of what goes over a wire: a batch that is posted and its answer, and the records of a topic.

Further keys are allowed wherever a minor version may add some; the values of a row are the columns that its audience publishes.
"""

from __future__ import annotations

from typing import Any

from delivery.contract.verify_audience import CONTRACT_VERSION, KEY, OPS

# How the reason is written for which an endpoint does not take a row.
REJECT_CODE = "[A-Z][A-Z0-9_]{0,39}"

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "integer", "minimum": 1}
_HEX = "^[0-9a-f]{64}$"
_RECIPIENT = {
    "type": "string",
    "pattern": "^[0-9a-f]{32}$",
    "description": "The person, as in every audience of this destination.",
}
_VALUE = {
    "type": ["string", "number", "boolean", "array", "null"],
    "description": "A published column, written as in JSON lines; the manifest's `schema` has its type.",
}

# What a batch and a mark say of the run, with the words of its manifest.
_OF_RUN: dict[str, dict[str, Any]] = {
    "contract_version": {"const": CONTRACT_VERSION, "description": "The contract's major version; refuse another one."},
    "destination": _TEXT | {"description": "Name of the destination; receipts repeat it."},
    "segment": _TEXT | {"description": "Code of the segment."},
    "version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$", "description": "Version of the definition."},
    "purpose": _TEXT | {"description": "What the people may be contacted for; receipts repeat it."},
    "run_id": _TEXT | {"description": "The run; receipts repeat it."},
    "seq": _NUMBER | {"description": "Number of the run at this destination."},
    "as_of": {"type": "string", "format": "date", "description": "Business date."},
    "valid_until": {"type": "string", "format": "date-time", "description": "From this instant on the audience must not be used."},
    "manifest_sha256": {"type": "string", "pattern": _HEX, "description": "Hash of the signed manifest in the folder."},
}  # fmt: skip


def message_schemas() -> dict[str, dict[str, Any]]:
    """Give each schema by its name: http_request, http_answer, kafka_row, kafka_mark; each has its title."""
    return {
        "http_request": {"title": "Body of a batch that is posted", **_http_request()},
        "http_answer": {"title": "Body of the answer 200 to a batch", **_http_answer()},
        "kafka_row": {"title": "Value of a person's record; a tombstone has none", **_kafka_row()},
        "kafka_mark": {"title": "Value of a mark, the record _run", **_kafka_mark()},
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "required": list(required or properties), "properties": properties}


def _http_request() -> dict[str, Any]:
    op = {"enum": list(OPS), "description": "ENTER and UPDATE set the whole row, EXIT removes the person."}
    row = _object({"op": op, KEY: _RECIPIENT}) | {
        "additionalProperties": _VALUE,
        # Of who leaves no value is told.
        "if": {"properties": {"op": {"const": "EXIT"}}},
        "then": {"maxProperties": 2},
    }
    rows = {"type": "array", "minItems": 1, "items": row, "description": "Who leaves, then who changed, then who enters."}  # fmt: skip
    number = _NUMBER | {"description": "Number of the batch in this attempt."}
    return _object({**_OF_RUN, "batch": number, "rows": rows})


def _http_answer() -> dict[str, Any]:
    code = {
        "type": "string",
        "pattern": f"^{REJECT_CODE}$",
        "description": "Why; a word of yours, and no value of the person.",
    }
    reject = _object({KEY: _RECIPIENT, "code": code})
    rejects = {"type": "array", "items": reject, "uniqueItems": True, "description": "The other rows of the batch, each once; absent is none."}  # fmt: skip
    number = _COUNT | {
        "description": "How many rows were stored: as many as were sent, less those rejected. Without a decimal point."
    }
    return _object({"accepted": number, "rejected": rejects}, "accepted")


def _kafka_row() -> dict[str, Any]:
    op = {"enum": ["ENTER", "UPDATE"], "description": "Both set the whole row."}
    properties = {
        "op": op,
        KEY: _RECIPIENT,
        "_run_id": _OF_RUN["run_id"],
        "_seq": _OF_RUN["seq"],
    }
    return _object(properties) | {"additionalProperties": _VALUE}


def _kafka_mark() -> dict[str, Any]:
    return _object({
        **_OF_RUN,
        "op": {"const": "RUN", "description": "What tells a mark from a row."},
        "key_id": _TEXT | {"description": "Which secret made the recipients' keys, as in the manifest; no other destination has it."},
        "attempt": _NUMBER | {"description": "Number of the attempt; refuse a lower one than before."},
        "batch": _COUNT | {"description": "After which batch; 0 is the beginning."},
        "topic_id": _TEXT | {"description": "Which topic it was written for, by the cluster's own id."},
        "partition": _COUNT | {"description": "Which partition it was written for."},
        "partitions": _NUMBER | {"description": "How many partitions the topic has."},
        "first_offset": _COUNT | {"description": "The first offset of the partition when it was written."},
        "is_complete": {"type": "boolean", "description": "Whether the partition holds the whole run."},
        "people": {"type": ["integer", "null"], "minimum": 0, "description": "Rows of the partition; null until it is complete."},
        "keys_sha256": {"type": ["string", "null"], "pattern": _HEX,
                        "description": "SHA-256 over their recipient_keys in order, each with a line feed after it; null until it is complete."},
    })  # fmt: skip
