"""Parameters of a segment: amounts and days that change at run time within bounds, without a new version.

A specification declares ``parameters: {name: {default, min, max}}`` (or ``one_of`` for texts) and writes ``$name`` where the value
stands in its rule. ``segment_parameters.yml`` of the workspace sets values by segment. Names and bounds belong to the
definition, values to the run.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import is_there
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, plain
from segments.language.operators import number_fault

FILE = "segment_parameters.yml"
_NAME = re.compile(r"^\$([a-z][a-z0-9_]*)$")
Scalar = bool | int | float | str


class Parameter(BaseModel):
    """A value of the rule that may change at run time: a number between bounds, or one of some texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Scalar
    min: int | float | None = None
    max: int | float | None = None
    one_of: list[str] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Parameter:
        if (self.one_of is None) == (self.min is None or self.max is None):
            raise ValueError("a parameter has either min and max, or one_of")
        for bound in (self.min, self.max):
            if fault := number_fault(bound):
                raise ValueError(fault)
        if fault := self.fault(self.default):
            raise ValueError(f"the default {fault}")
        return self

    def fault(self, value: Any) -> str | None:
        """Say why a value is not allowed; None where it is."""
        if self.one_of is not None:
            return None if value in self.one_of else f"is none of {', '.join(self.one_of)}"
        assert self.min is not None and self.max is not None
        kinds = (int,) if isinstance(self.default, int) else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return "is no whole number" if kinds == (int,) else "is no number"
        if not self.min <= value <= self.max:
            return f"{value} lies outside {self.min} to {self.max}"
        return None

    @property
    def other(self) -> Scalar | None:
        """Another allowed value than the default, None where there is none."""
        values: list[Any] = list(self.one_of) if self.one_of is not None else [self.min, self.max]
        return next((value for value in values if value != self.default), None)


def parameter_values(
    parameters: Mapping[str, Parameter], code: str, workspace: Path, *, is_in_use: bool = True
) -> dict[str, Scalar]:
    """Give the value of every parameter of a segment: that of the workspace's file, else the default.

    A value outside the bounds, or of a parameter the segment does not have, raises ``SettingsInvalid``. To a version that is not in
    use any more the file may not fit: such a value is left out.
    """
    values = {name: parameter.default for name, parameter in parameters.items()}
    file = workspace / FILE
    tree = _file_tree(file)
    own = tree.get(code) if isinstance(tree, dict) else None
    if own is None:
        return values
    if not isinstance(own, dict):
        raise SettingsInvalid(
            f"'{code}' takes its parameters with their values, like {{min_balance: 60000}}",
            file=file,
            line=line_of(tree, code),
        )
    for name, value in own.items():
        line = line_of(tree, code, name)
        if not is_in_use and (name not in parameters or parameters[name].fault(plain(value))):
            continue
        if name not in parameters:
            hint = did_you_mean(str(name), list(parameters))
            raise SettingsInvalid(f"segment '{code}' has no parameter '{name}'{hint}", file=file, line=line)
        if fault := parameters[name].fault(plain(value)):
            raise SettingsInvalid(f"'{code}.{name}' {fault}", file=file, line=line)
        values[str(name)] = plain(value)
    return values


def named_segments(workspace: Path) -> dict[str, int | None]:
    """Give the segments the workspace's file sets values for, each with its line."""
    file = workspace / FILE
    tree = _file_tree(file)
    if tree is not None and not isinstance(tree, dict):
        raise SettingsInvalid(
            "the file names segments with the values of their parameters", file=file, line=1
        )
    return {str(code): line_of(tree, code) for code in tree or ()}


def _file_tree(file: Path) -> Any:
    """Read the workspace's file; what stands in its place and is no file is a fault, and not the defaults."""
    return load_yaml(file) if is_there(file) else None


def with_values(tree: Any, values: Mapping[str, Scalar]) -> Any:
    """Give a tree of YAML in which every ``$name`` is replaced; lines stay known. An unknown name raises ``KeyError``."""
    if not any(True for _ in _names(tree)):
        return tree
    return _fill(copy.deepcopy(tree), values)


def _names(tree: Any) -> Iterator[str]:
    if isinstance(tree, (dict, list)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _names(part)
    elif isinstance(tree, str) and (match := _NAME.match(tree)):
        yield match[1]


def _fill(tree: Any, values: Mapping[str, Scalar]) -> Any:
    if isinstance(tree, (dict, list)):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            tree[key] = _fill(part, values)
        return tree
    match = _NAME.match(tree) if isinstance(tree, str) else None
    return values[match[1]] if match else tree
