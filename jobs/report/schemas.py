"""JSON Schemas of a workspace's YAML files, for editors: from the models that read them, never written by hand."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from lakehouse.errors import UsageError

TEXTS = Path(__file__).parent / "schema_texts.yml"
FOLDER = ".cdp-schema"
_DIALECT = "http://json-schema.org/draft-07/schema#"


def schemas() -> dict[str, dict[str, Any]]:
    """Give the schema of each kind of file by its name: cdp, feed, identity, segment, micro_segment, roles, tags, attributes, lookups, consent, contact_policy, destinations, expectations, marts."""
    from delivery.destinations import DestinationsFile
    from identity.rules.rules import RulesFile
    from ingestion.feeds.feeds import Feed
    from lakehouse.gates.expectations import ExpectationsFile
    from lakehouse.settings.settings import SettingsFile
    from segments.approving.roles import RolesFile
    from segments.grouping.declaration import MicroSetFile
    from segments.language.contact import ContactPolicy
    from segments.language.spec import SpecFile
    from tags.compile.marts.declaration import MartsFile
    from vocabulary.attributes import DECLARABLE, AttributesFile
    from vocabulary.entities import TAG_ENTITIES
    from vocabulary.lookups import LookupsFile
    from vocabulary.policy import Policy
    from vocabulary.registry import _File

    models: dict[str, type[BaseModel]] = {
        "cdp": SettingsFile,
        "feed": Feed,
        "identity": RulesFile,
        "segment": SpecFile,
        "micro_segment": MicroSetFile,
        "roles": RolesFile,
        "tags": _File,
        "attributes": AttributesFile,
        "lookups": LookupsFile,
        "consent": Policy,
        "contact_policy": ContactPolicy,
        "destinations": DestinationsFile,
        "expectations": ExpectationsFile,
        "marts": MartsFile,
    }
    by_kind = {
        name: _with_texts(model.model_json_schema(by_alias=True), model.__name__)
        for name, model in models.items()
    }
    _complete_feed(by_kind["feed"])
    _complete_identity(by_kind["identity"])
    _complete_segment(by_kind["segment"])
    _complete_micro_segment(by_kind["micro_segment"], by_kind["segment"])
    by_kind["attributes"]["definitions"]["Attribute"]["properties"]["entity"]["enum"] = list(DECLARABLE)
    # A site's entry may name only what differs from the shipped tag.
    by_kind["tags"]["definitions"]["Entry"]["required"] = ["code"]
    by_kind["tags"]["definitions"]["Entry"]["properties"]["entity"]["enum"] = list(TAG_ENTITIES)
    roles = by_kind["roles"]
    roles["properties"]["every_segment"] = _approvals(roles, texts()["RolesFile.every_segment"])
    return by_kind


@cache
def schema_files() -> dict[str, str]:
    """Give the text of each schema by file name."""
    return {
        f"{name}.json": json.dumps(schema, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        for name, schema in schemas().items()
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into a folder; give the files. One of another file's name raises ``UsageError``, and none is written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / name: text for name, text in schema_files().items()}
    for file in files:
        if os.path.lexists(file) and not _is_schema(file):
            raise UsageError("is no schema that cdp wrote; name another folder, or remove it", file=file)
    for file, text in files.items():
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    return list(files)


def _is_schema(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    try:
        tree = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(tree, dict) and tree.get("$schema") == _DIALECT


@cache
def texts() -> dict[str, str]:
    """Give ``Model.field`` → what editors show."""
    by_field: dict[str, str] = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    return by_field


def _with_texts(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a model's schema with a text on every key; definitions stand where draft 7 looks for them."""
    text = json.dumps(schema).replace("#/$defs/", "#/definitions/")
    schema = json.loads(text)
    definitions = schema.pop("$defs", {})
    for owner, body in [(name, schema), *definitions.items()]:
        for field, key in body.get("properties", {}).items():
            key.pop("title", None)
            if text_of_field := texts().get(f"{owner}.{field}"):
                key["description"] = text_of_field
    return {"$schema": _DIALECT, **schema, "definitions": definitions}


def _complete_feed(schema: dict[str, Any]) -> None:
    """Add what the validators of feeds allow beside, and the columns of each trusted table."""
    from ingestion.onboarding.suggestions import fillable_tables
    from vocabulary.attributes import ATTRIBUTES, ENTITIES

    sql = {"type": ["string", "boolean", "number"]}
    definitions = schema["definitions"]
    # A feed that extracts a table says nothing of files.
    schema["required"].remove("files")
    schema["anyOf"] = [{"required": ["files"]}, {"required": ["extract"]}]
    target, rule = definitions["Target"]["properties"], definitions["RowRule"]["properties"]
    rule["refuse_when"]["type"] = target["where"]["anyOf"][0]["type"] = sql["type"]
    schema["properties"]["columns"]["items"] = {"type": ["string", "number"]}
    for at in ("columns", "each"):
        target[at].pop("anyOf")
    target["columns"] |= {"type": ["object", "null"], "additionalProperties": sql}
    target["each"] |= {"type": ["array", "null"], "items": {"type": "object", "additionalProperties": sql}}
    target["attributes"].pop("anyOf")
    target["attributes"] |= {
        "type": ["object", "array", "null"],
        "additionalProperties": sql,
        "items": {"type": "string"},
    }
    target["key"]["anyOf"][0]["type"] = sql["type"]
    target["entity"]["enum"] = [*ENTITIES, None]
    target["table"]["enum"] = [*fillable_tables(), ATTRIBUTES]
    definitions["Target"]["allOf"] = []
    for table in fillable_tables():
        definitions[table] = _columns_of(table, sql)
        mapping = {"$ref": f"#/definitions/{table}"}
        definitions["Target"]["allOf"].append(
            {
                "if": {"properties": {"table": {"const": table}}, "required": ["table"]},
                "then": {"properties": {"columns": mapping, "each": {"items": mapping}}},
            }
        )


def _columns_of(table: str, sql: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of a mapping to one table: its columns with their meaning, and no other."""
    from lakehouse.contracts.reading import contract

    columns = {}
    for column in contract(table).business_columns.values():
        if column.name != "source":
            values = f" One of {', '.join(column.allowed)}." if column.allowed else ""
            requirement = " Required." if column.required else ""
            meaning = f"{column.description} ({column.type}, {column.level}).{requirement}{values}"
            columns[column.name] = sql | {"description": meaning}
    return {"type": "object", "properties": columns, "additionalProperties": False}


def _complete_identity(schema: dict[str, Any]) -> None:
    from identity.rules.normalise import NORMALISERS

    schema["definitions"]["NamespaceChange"]["properties"]["normaliser"]["anyOf"] = [
        {"enum": sorted(NORMALISERS)},
        {"type": "null"},
    ]


_CONDITIONS = {
    "event": "name, count | sum | min | max | any, within_days, match, properties, channel, app_id, item_class, is_success.",
    "detail": "from, via, match, count | sum | min | max | any, within_days.",
    "receipt": "status, of, channel, count, within_days.",
    "absence": "name, within_days, seen_within_days.",
    "sequence": "steps, within, then_not with for, within_days.",
    "sample": "percent, salt.",
    "date": "of, from, via, match, pick, every, days_ahead, calendar.",
    "micro_segment": "set, label (a number, or a list of them).",
    "members": "Of companies and households: where (a condition about a person), count | sum | min | max | any.",
}


def _approvals(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """Give the schema of approvals, which may be written as a list of roles; roles may be written as ``role: name``."""
    name = {"type": "string"}
    by_key = {
        "type": "object",
        "properties": {"role": name},
        "required": ["role"],
        "additionalProperties": False,
    }
    roles = {"type": "array", "items": {"anyOf": [name, by_key]}}
    model = schema["definitions"]["Approvals"]
    for key in ("all_of", "any_of"):
        model["properties"][key]["items"] = roles["items"]
    return {
        "description": description,
        "anyOf": [roles, {"$ref": "#/definitions/Approvals"}, {"type": "null"}],
    }


def _complete_micro_segment(schema: dict[str, Any], of_segment: dict[str, Any]) -> None:
    """Add the base, a condition as segments have it."""
    condition = {"$ref": "#/definitions/Condition"}
    schema["definitions"]["Condition"] = of_segment["definitions"]["Condition"]
    schema["properties"]["base"] = {
        "description": texts()["MicroSetFile.base"],
        "anyOf": [condition, {"type": "null"}],
    }


def _complete_segment(schema: dict[str, Any]) -> None:
    """Say what a condition is, and offer the shipped tags where one is named."""
    from tags import REGISTRY
    from vocabulary.entities import PERSON
    from vocabulary.registry import load_registry

    entries = load_registry(shipped=REGISTRY).entries.values()
    tag_codes = sorted(entry.code for entry in entries if entry.about == PERSON)
    condition = {"$ref": "#/definitions/Condition"}
    several = {"type": "array", "items": condition}
    schema["definitions"]["Condition"] = {
        "type": "object",
        "description": "One connector (all, any, not) or one question; operators stand beside tag.",
        "properties": {
            "all": several | {"description": "Every one of these."},
            "any": several | {"description": "At least one of these."},
            "not": {"allOf": [condition], "description": "The opposite; unknown stays unknown."},
            "tag": {"anyOf": [{"enum": tag_codes}, {"type": "string"}], "description": "Code of a tag."},
            "top_percent": {"type": "number", "description": "Beside tag: the highest so many per cent."},
            "top_n": {"type": "integer", "description": "Beside tag: the highest so many people."},
            "within": {"enum": ["base", "all"], "description": "Beside a rank: among whom."},
            "list": {"type": "string", "description": "A list as name@version."},
            "segment": {"type": "string", "description": "Code of another segment."},
            "expr": {"type": "string", "description": "An expression over tags that is true or false."},
            **{word: {"type": "object", "description": text} for word, text in _CONDITIONS.items()},
        },
    }
    # A file that extends a template has from it what it does not say itself.
    schema["anyOf"] = [
        {"required": schema.pop("required")},
        {"required": ["spec", "code", "version", "extends"]},
    ]
    schema["properties"]["approvals"] = _approvals(schema, texts()["SpecFile.approvals"])
    addressee = schema["definitions"]["AddresseeFile"]["properties"]
    for owner, properties, keys in (
        ("SpecFile", schema["properties"], ("base", "where")),
        ("AddresseeFile", addressee, ("where", "prefer")),
    ):
        for key in keys:
            properties[key] = {
                "description": texts()[f"{owner}.{key}"],
                "anyOf": [condition, {"type": "null"}],
            }
    for key in ("include", "exclude"):
        schema["properties"][key] = {
            "description": texts()[f"SpecFile.{key}"],
            "anyOf": [several, {"type": "null"}],
        }
