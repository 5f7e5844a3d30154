"""YAML that remembers where each key stood, so that every complaint can name file and line."""

from __future__ import annotations

import difflib
import pickle
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_limits import check_yaml, yaml_text
from lakehouse.texts import text

Model = TypeVar("Model", bound=BaseModel)
# A message lists the names that are known up to so many.
MOST_NAMES = 40


def load_yaml(path: Path) -> Any:
    """Give the tree of a YAML file as dict and list subclasses that know their lines (see ``line_of``).

    An absent file, a syntax error, a duplicate key or YAML beyond ``yaml_limits`` raises ``SettingsInvalid`` with file and line.
    """
    return parse_yaml(yaml_text(Path(path)), file=path)


def load_plain_yaml(path: Path) -> Any:
    """Give the tree of a YAML file as ordinary dicts and lists, an order of magnitude quicker; it knows no lines.

    What ``load_yaml`` refuses is refused in the same words.
    """
    text = yaml_text(Path(path))
    check_yaml(text, file=path)
    try:
        return pickle.loads(_plain_tree(text))
    except (yaml.YAMLError, ValueError) as wrong:
        parse_yaml(text, file=path)
        # One reader took it and the other did not.
        mark = getattr(wrong, "problem_mark", None)
        problem = str(getattr(wrong, "problem", None) or "cannot be read as YAML").split("\n")[0]
        raise SettingsInvalid(problem, file=path, line=mark.line + 1 if mark else None) from None


def parse_yaml(text: str, *, file: str | Path) -> Any:
    """Give the tree of YAML text; ``file`` is the name errors carry. The same text is the same tree: nobody changes one."""
    check_yaml(text, file=file)
    try:
        return _tree(text)
    except MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        problem = (wrong.problem or "is not YAML").split("\n")[0].strip()
        # The parser would show what stands under both keys, which may be values of people.
        problem = re.sub(
            r'^found duplicate key "(.*?)" with value .*$', r"the key '\1' is written twice", problem
        )
        raise SettingsInvalid(problem, file=file, line=mark.line + 1 if mark else None) from None
    except ValueError:
        line = _unreadable_line(text)
        raise SettingsInvalid(
            "a value is neither text nor a date or number; quote it", file=file, line=line
        ) from None


@lru_cache(maxsize=512)
def _plain_tree(text: str) -> bytes:
    """Give a tree that can be had many times: copying it takes a tenth of reading it."""
    return pickle.dumps(yaml.load(text, Loader=_UniqueLoader))


@lru_cache(maxsize=512)
def _tree(text: str) -> Any:
    parser = YAML(typ="rt")
    parser.allow_duplicate_keys = False
    return parser.load(text)


def _unreadable_line(text: str) -> int | None:
    """Give the line of the first plain value that looks like a date or a number and is none, such as 2026-02-30."""
    for event in yaml.parse(text, Loader=_UniqueLoader):
        if isinstance(event, yaml.ScalarEvent) and not event.style and event.value[:1] in "+-.0123456789":
            try:
                YAML(typ="safe", pure=True).load(event.value)
            except (ValueError, YAMLError):
                return int(event.start_mark.line) + 1
    return None


class _UniqueLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The C loader, refusing a key given twice (YAML takes the last one silently)."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._own_keys: dict[int, list[Any]] = {}

    def flatten_mapping(self, node: Any) -> None:
        """Remember the keys of its own of a mapping that takes over others (`<<`), which then stand among them."""
        own_keys = [key for key, _ in node.value if not key.tag.endswith(":merge")]
        if len(own_keys) != len(node.value):
            self._own_keys.setdefault(id(node), own_keys)
        super().flatten_mapping(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if (own_keys := self._own_keys.get(id(node))) is None:
            is_unique = len(mapping) == len(node.value)
        else:
            is_unique = len({self.construct_object(key, deep=True) for key in own_keys}) == len(own_keys)
        if not is_unique:
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
        return mapping


def line_of(tree: Any, *path: str | int) -> int | None:
    """Give the line (from 1) on which ``path`` stands below ``tree``, or of its nearest known parent."""
    line = getattr(tree, "lc", None)
    line_number: int | None = line.line + 1 if line is not None and line.line is not None else None
    node = tree
    for step in path:
        try:
            if isinstance(node, CommentedMap) and step in node:
                line_number = node.lc.key(step)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(step, int):
                line_number = node.lc.item(step)[0] + 1
            else:
                return line_number
            node = node[step]
        except (KeyError, IndexError, TypeError, AttributeError):
            return line_number
    return line_number


def plain(tree: Any) -> Any:
    """Give the same tree as ordinary dicts, lists and scalars."""
    if isinstance(tree, dict):
        return {plain(key): plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    if isinstance(tree, int):
        return int(tree)
    if isinstance(tree, float):
        return float(tree)
    if isinstance(tree, str):
        return str(tree)
    return tree


def nearest(name: str, names: list[str]) -> str | None:
    """Give the known name that ``name`` was probably meant to be, if any is close."""
    close = difflib.get_close_matches(str(name), [str(k) for k in names], n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, names: list[str]) -> str:
    """Give ``; did you mean 'x'?`` or, without a near miss, the names that are known, in the language spoken."""
    close = nearest(name, names)
    if close:
        return text("hint.did_you_mean", name=close)
    if not names or len(names) > MOST_NAMES:
        return ""
    return text("hint.known", names=", ".join(sorted(map(str, names))))


def parse_model(model: type[Model], tree: Any, *, file: str | Path) -> Model:
    """Give ``tree`` as a frozen pydantic model; the first fault raises ``SettingsInvalid`` with its line.

    Models forbid unknown keys; an unknown key is answered with the nearest known one.
    """
    try:
        return model.model_validate(plain(tree) if tree is not None else {})
    except ValidationError as wrong:
        faults = wrong.errors()
        fault = next((e for e in faults if e["type"] == "extra_forbidden"), faults[0])
        where = _place(fault)
        line = line_of(tree, *where)
        dotted = ".".join(str(step) for step in where) or "file"
        if fault["type"] == "extra_forbidden":
            names = _known_keys(model, where[:-1])
            raise SettingsInvalid(
                f"unknown key '{where[-1]}'{did_you_mean(str(where[-1]), names)}", file=file, line=line
            ) from None
        if fault["type"] == "missing":
            raise SettingsInvalid(f"key '{dotted}' is missing", file=file, line=line) from None
        # A value that may be of several kinds has a fault for each.
        here = [e for e in faults if _place(e) == where]
        kinds = [_kind(e) for e in here]
        if all(kinds):
            alternatives = " or ".join(dict.fromkeys(str(kind) for kind in kinds))
            raise SettingsInvalid(f"'{dotted}' has to be {alternatives}", file=file, line=line) from None
        sentence = next(e["msg"] for e in here if _kind(e) is None).removeprefix("Value error, ")
        raise SettingsInvalid(
            f"'{dotted}': {sentence[0].lower()}{sentence[1:]}", file=file, line=line
        ) from None


# What a value should be, by the type of pydantic's fault.
_KINDS = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), "a number"),
    **dict.fromkeys(("string_type",), "a text"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a block of `key: value`"
    ),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "a date such as 2026-01-31",
    ),
}


def _kind(fault: Any) -> str | None:
    """Give what the value should be; None where the fault is another one."""
    if fault["type"] in ("literal_error", "enum"):
        return str(fault["ctx"]["expected"])
    return _KINDS.get(fault["type"])


def _place(fault: Any) -> list[str | int]:
    """Give the keys that lead to a fault, without the names of a union's members."""
    *above, last = fault["loc"] or ("",)
    # A key that nobody knows may look like a tag of a union.
    is_key = fault["type"] == "extra_forbidden" or not _is_union_tag(last)
    return [step for step in above if not _is_union_tag(step)] + ([last] if is_key and last != "" else [])


def _is_union_tag(step: str | int) -> bool:
    """Pydantic puts the names of union members into the location; they are no keys of the file."""
    return isinstance(step, str) and (
        step[:1].isupper() or "[" in step or step in {"str", "int", "float", "bool"}
    )


def _known_keys(model: type[BaseModel], path: list[str | int]) -> list[str]:
    """Give the keys allowed at ``path`` below ``model``, following nested models as far as they are plain."""
    current: Any = model
    for step in path:
        if isinstance(step, int):
            continue
        field = getattr(current, "model_fields", {}).get(step)
        if field is None:
            field = next((f for f in getattr(current, "model_fields", {}).values() if f.alias == step), None)
        if field is None:
            continue
        inner_model = _model_in(field.annotation)
        if inner_model is None:
            return []
        current = inner_model
    fields = getattr(current, "model_fields", {})
    return [f.alias or name for name, f in fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        inner_model = _model_in(inner)
        if inner_model is not None:
            return inner_model
    return None
