"""Templates: what head office lays down, and what the file of a branch may make of it.

``templates/<name>@<version>.yml`` is a specification without code and version that says by ``overrides`` which fields a file that
``extends`` it may replace, and by ``allows_include`` which leaves it may add people by. Everything else only narrows: base and
where must hold beside the template's own, and exclude takes out more. What the template ranks or samples is the same people for
every file: a rank stands within the template's own base, and salts are the template's. A version of a template is never edited.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean, line_of, parse_yaml, plain
from lakehouse.settings.yaml_limits import yaml_text

FOLDER = "templates"
# What a template may let others replace; whom a rule chooses, and why, is not among it.
OVERRIDABLE = (
    "name", "owner", "description", "schedule", "guards", "rollout", "holdout", "split", "contact", "offer", "publish", "worklist",
)  # fmt: skip
_OF_TEMPLATE = ("spec", "overrides", "allows_include")
_NARROWING = ("base", "where", "exclude")
_OWN = ("spec", "code", "version", "extends")
# A second document of YAML, which neither text can hold by itself.
_SEAM = "\n--- # template "
ADDING_LEAVES = ("list", "segment", "tag", "event", "detail")


@dataclass(frozen=True)
class Template:
    """A template that is extended: its reference, its tree without lines, and its text."""

    reference: str
    tree: Any
    text: str

    @property
    def owner(self) -> str:
        """Whose salts its samples and ranks have."""
        return salt_owner(self.reference)


def salt_owner(reference: str) -> str:
    """Give the owner of a template's salts: its name, so that a later version that samples more only adds people.

    No segment has such a code.
    """
    return f"template:{reference.rpartition('@')[0]}"


def joined_texts(text: str, reference: str, template: str) -> str:
    """Give the text of a segment and that of its template as one, to be kept."""
    return f"{text}{_SEAM}{reference}\n{template}"


def parted_texts(text: str) -> tuple[str, str | None]:
    """Give the text of a segment, and that of its template if it was joined to it."""
    own, seam, template = text.rpartition(_SEAM)
    return (own, template.partition("\n")[2]) if seam else (text, None)


def merged_tree(
    tree: Any, file: Path, workspace: Path, template_text: str | None = None
) -> tuple[Any, Template]:
    """Give the specification that a file and its template are together, but for the template's rule, and the template.

    The template is that of the workspace, or ``template_text``. What would widen it raises ``SettingsInvalid`` (E17).
    """
    line = line_of(tree, "extends")
    reference = str(tree["extends"])
    path = workspace / FOLDER / f"{reference}.yml"
    if template_text is None and ("@" not in reference or "/" in reference or not path.is_file()):
        references = [other.stem for other in files_in(path.parent, "*@*.yml") if other.is_file()]
        raise SettingsInvalid(
            f"E01 there is no template '{reference}' ({path}){did_you_mean(reference, references)}",
            file=file,
            line=line,
        )
    template_text = yaml_text(path) if template_text is None else template_text
    template = read_template(template_text, path)
    overrides, allows = plain(template.get("overrides") or []), plain(template.get("allows_include") or [])
    for key in tree:
        if key in _OWN or key in _NARROWING or key in overrides or key == "include":
            continue
        raise SettingsInvalid(
            f"E17 the template '{reference}' does not let '{key}' be replaced; it lets: {', '.join(overrides) or 'nothing'}",
            file=file,
            line=line_of(tree, key),
        )
    whole = copy.deepcopy(tree)
    for key, value in template.items():
        if key not in _OF_TEMPLATE and key not in _NARROWING and key != "include" and key not in whole:
            whole[key] = plain(value)
    for one, place in ((template, path), (tree, file)):
        for key in ("include", "exclude"):
            _parts(one, key, place)
    _refuse_other_people(tree, allows, reference, file)
    return whole, Template(reference, plain(template), template_text)


def _refuse_other_people(tree: Any, allows: list[str], reference: str, file: Path) -> None:
    for position, part in enumerate(_parts(tree, "include", file)):
        if not isinstance(part, dict) or not any(word in part for word in allows):
            raise SettingsInvalid(
                f"E17 include would widen the template '{reference}', which lets people be added by: {', '.join(allows) or 'nothing'}",
                file=file,
                line=line_of(tree, "include", position),
            )


def _parts(tree: Any, key: str, file: Path) -> list[Any]:
    """Give the conditions of a list; anything else that stands there raises ``SettingsInvalid``."""
    parts = tree.get(key)
    if parts is not None and not isinstance(parts, list):
        raise SettingsInvalid("expected a list of conditions", file=file, line=line_of(tree, key))
    return list(parts or [])


def read_template(text: str, path: Path) -> Any:
    """Give the tree of a template; what no template may say raises ``SettingsInvalid`` with its line."""
    template = parse_yaml(text, file=path)
    if not isinstance(template, dict) or template.get("spec") != "segment_template/v1":
        raise SettingsInvalid(
            "a template is a mapping that begins with spec: segment_template/v1", file=path, line=1
        )
    for key in ("code", "version", "extends"):
        if key in template:
            raise SettingsInvalid(
                f"a template has no '{key}'; its file name says both name and version",
                file=path,
                line=line_of(template, key),
            )
    for key, words in (("overrides", OVERRIDABLE), ("allows_include", ADDING_LEAVES)):
        names = plain(template.get(key) or [])
        if not isinstance(names, list):
            raise SettingsInvalid(f"'{key}' takes a list", file=path, line=line_of(template, key))
        for position, name in enumerate(names):
            if name not in words:
                raise SettingsInvalid(
                    f"'{key}' cannot hold '{name}'; it may hold: {', '.join(words)}",
                    file=path,
                    line=line_of(template, key, position),
                )
    return template
