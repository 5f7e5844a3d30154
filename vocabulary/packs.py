"""Packs: shipped tags that a workspace computes together, and why one is off there: what no feed fills, or the settings.

A tag of a pack needs something of all that it reads: of each trusted table one of its columns, and every tag. ``needs`` of its entry
says otherwise where it makes sense without some. Whether a feed fills a column, its file says; before the first feed nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import files_in, optional_file
from lakehouse.settings.settings import FILE_NAME
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_plain_yaml, load_yaml
from lakehouse.texts import text
from vocabulary.attributes import ATTRIBUTES, ENTITIES, PROPERTIES

PACKS = ("base", "bank", "retail", "interest")
"""The packs of the shipped tags; ``base`` is what every site has."""
OFF = "off"
"""What stands for the status of a tag that is online in the registry and not computed in a workspace."""
KEY = "packs"
MOST_NAMES = 6

_TAG = "tag:"
_NEED = re.compile(r"tag:[a-z]\w*|(trusted\.\w+)(?:\.(\w+)(?: = ([\w.@*-]+))?)?")
_LITERAL = re.compile(r"\s*'((?:[^']|'')*)'\s*")

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class PackTag:
    """What decides whether a tag is off: its pack and what it reads; ``needs`` in groups of which each has one that is enough."""

    code: str
    pack: str | None
    inputs: tuple[str, ...]
    needs: Groups | None = None
    counts_people: bool = False
    """Whether it counts people by their tags, so that no setting does without these."""

    @property
    def groups(self) -> Groups:
        """What the tag needs, one of each group."""
        if self.needs is not None:
            return self.needs
        columns: dict[str, list[str]] = {}
        for name in self.inputs:
            if name.startswith("trusted."):
                columns.setdefault(name.rpartition(".")[0], []).append(name)
        tags = [(name,) for name in self.inputs if name.startswith(_TAG)]
        return (*map(tuple, columns.values()), *tags)


@dataclass(frozen=True)
class Absence:
    """Why a tag is off: groups of tables and columns of which no feed fills one, and packs that the settings switch off."""

    unfilled: Groups = ()
    packs: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The reason, in the language spoken, as part of a sentence."""
        parts = []
        if self.unfilled:
            joiner = text("tag.off_or")
            groups = [joiner.join(_shortened(group)) for group in self.unfilled]
            parts.append(text("tag.off_no_feed", names=text("tag.off_nor").join(_shortened(groups))))
        if self.packs:
            parts.append(text("tag.off_pack", packs=", ".join(self.packs)))
        return text("tag.off_and").join(parts)

    @property
    def remedy(self) -> str:
        """What would switch the tag on, in the language spoken."""
        remedies = []
        if self.unfilled:
            remedies.append(text("tag.on_feed"))
        if self.packs:
            remedies.append(text("tag.on_pack", packs=", ".join(self.packs)))
        return text("tag.off_and").join(remedies)


@dataclass(frozen=True)
class Deliveries:
    """What the feeds of a workspace fill: by table and column the texts that may stand there, None where it may be any."""

    columns: Mapping[str, Mapping[str, frozenset[str] | None]] = field(default_factory=dict)

    def fills(self, need: str) -> bool:
        """Tell whether a feed fills a table, a column, or a column with a text: ``trusted.table.column = value*``."""
        match = _NEED.fullmatch(need)
        if match is None:
            return False
        table, column, value = match.groups()
        columns = self.columns.get(table, {})
        if column is None:
            return bool(columns)
        if column not in columns:
            # Properties stand together in one column, of which a feed does not say what it holds.
            is_property = dict(PROPERTIES.values()).get(table) in columns
            return is_property and value is None and column not in contract(table).columns
        texts = columns[column]
        return value is None or texts is None or any(fnmatchcase(one, value) for one in texts)


def require_need(need: str) -> None:
    """Raise ``ValueError`` with a sentence for a need that names no tag and nothing that a feed can fill."""
    match = _NEED.fullmatch(need)
    if match is None:
        raise ValueError(
            f"'{need}' is no need; write trusted.table, trusted.table.column, 'trusted.table.column = value' or tag:code"
        )
    table, column, _ = match.groups()
    if table is None:
        return
    tables = contract_names("trusted")
    if table not in tables:
        raise ValueError(f"there is no table '{table}'{did_you_mean(table, tables)}")
    columns = contract(table).business_columns
    if column is not None and column not in columns:
        raise ValueError(f"{table} has no column '{column}'{did_you_mean(column, list(columns))}")


def deciding_files(workspace: Path | None) -> list[Path]:
    """Give the files of a workspace that decide which tags are off, beside the registry."""
    return [*_feed_files(workspace), workspace / FILE_NAME] if workspace else []


def _feed_files(workspace: Path | None) -> list[Path]:
    return files_in(workspace / "feeds", "*.yml") if workspace else []


def read_deliveries(workspace: Path | None) -> Deliveries | None:
    """Give what the feeds of a workspace fill; None without a workspace or without feeds. What is no feed is for ingestion to refuse."""
    files = _feed_files(workspace)
    columns: dict[str, dict[str, frozenset[str] | None]] = {}
    for file in files:
        tree = load_plain_yaml(file)
        targets = tree.get("targets") if isinstance(tree, dict) else None
        for target in targets if isinstance(targets, list) else ():
            for table, mapping in _mappings(target):
                own = columns.setdefault(table, {})
                for column, expression in mapping.items():
                    own[column] = _texts_together(own.get(column, frozenset()), _texts_of(expression))
    return Deliveries(columns) if files else None


def _mappings(target: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Give the tables and the columns that a target of a feed fills; attributes are columns of the table of their entity."""
    if not isinstance(target, dict) or not isinstance(target.get("table"), str):
        return
    table, attributes = target["table"], target.get("attributes")
    if table == ATTRIBUTES:
        yield table, {"value": None}
        if target.get("entity") in ENTITIES and attributes:
            yield ENTITIES[target["entity"]][0], dict.fromkeys(map(str, attributes))
        return
    each = target.get("each")
    for mapping in each if isinstance(each, list) else [target.get("columns")]:
        if isinstance(mapping, dict):
            yield table, mapping


def _texts_of(expression: Any) -> frozenset[str] | None:
    match = _LITERAL.fullmatch(expression) if isinstance(expression, str) else None
    return frozenset([match[1].replace("''", "'")]) if match else None


def _texts_together(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    return None if first is None or second is None else first | second


def read_switches(workspace: Path | None) -> dict[str, bool]:
    """Give the packs that ``cdp.yml`` switches on or off; whatever is not of that form is for the settings to refuse."""
    file = workspace / FILE_NAME if workspace else None
    tree = load_plain_yaml(file) if file and optional_file(file) else None
    switches = tree.get(KEY) if isinstance(tree, dict) else None
    words = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}
    entries = switches.items() if isinstance(switches, dict) else ()
    # What the quick reader takes for a yes the other one takes for a word.
    return {str(pack): words[str(is_on).lower()] for pack, is_on in entries if str(is_on).lower() in words}


def absences(tags: Iterable[PackTag], workspace: Path | None) -> dict[str, Absence]:
    """Give why tags of a workspace are off, by code; ``tags`` are those that the registry has as computed.

    Only tags of a pack, and those that say what they need, are ever off. An unknown pack in the settings raises ``SettingsInvalid``.
    """
    by_code = {tag.code: tag for tag in tags}
    switches = read_switches(workspace)
    packs = sorted({*PACKS, *(tag.pack for tag in by_code.values() if tag.pack)})
    unknown = next((pack for pack in switches if pack not in packs), None)
    if unknown is not None and workspace is not None:
        file = workspace / FILE_NAME
        line = line_of(load_yaml(file), KEY, unknown)
        raise SettingsInvalid(
            f"there is no pack '{unknown}'{did_you_mean(unknown, packs)}", file=file, line=line
        )
    judgement = _Judgement(by_code, switches, read_deliveries(workspace))
    return {code: absence for code in by_code if (absence := judgement.of_tag(code)) is not None}


@dataclass
class _Judgement:
    """What is known of the tags of a workspace while they are judged, each after those that it needs."""

    tags: Mapping[str, PackTag]
    switches: Mapping[str, bool]
    deliveries: Deliveries | None
    reasons: dict[str, Absence | None] = field(default_factory=dict)

    def of_tag(self, code: str) -> Absence | None:
        """Give why a tag is off. Of one that reads itself in the end nothing is said: the compiler refuses it."""
        if code not in self.reasons:
            self.reasons[code] = None
            self.reasons[code] = self._judge(self.tags[code]) if code in self.tags else None
        return self.reasons[code]

    def _judge(self, tag: PackTag) -> Absence | None:
        groups = tag.groups
        if tag.pack is not None and tag.pack in self.switches:
            if not self.switches[tag.pack]:
                return Absence(packs=(tag.pack,))
            groups = tuple(group for group in groups if tag.counts_people and group[0].startswith(_TAG))
        elif tag.pack is None and tag.needs is None:
            return None
        lacks = [lack for group in groups if (lack := self._lack_of_group(group)) is not None]
        unfilled = tuple(dict.fromkeys(group for lack in lacks for group in lack.unfilled))
        packs = tuple(sorted({pack for lack in lacks for pack in lack.packs}))
        return Absence(unfilled, packs) if lacks else None

    def _lack_of_group(self, group: tuple[str, ...]) -> Absence | None:
        """Give what is lacking where nothing of a group is there; of several each would do."""
        lacks = [self._lack(need) for need in group]
        missing = [lack for lack in lacks if lack is not None]
        if len(missing) < len(lacks):
            return None
        if len(missing) == 1:
            return missing[0]
        names = tuple(dict.fromkeys(name for lack in missing for each in lack.unfilled for name in each))
        return Absence((names,) if names else (), tuple(pack for lack in missing for pack in lack.packs))

    def _lack(self, need: str) -> Absence | None:
        if need.startswith(_TAG):
            return self.of_tag(need.removeprefix(_TAG))
        if self.deliveries is None or self.deliveries.fills(need):
            return None
        table = ".".join(need.split(" ")[0].split(".")[:2])
        return Absence(((need if self.deliveries.fills(table) else table,),))


def _shortened(names: Iterable[str]) -> list[str]:
    names = list(names)
    return names if len(names) <= MOST_NAMES else [*names[: MOST_NAMES - 1], "…"]


def grouped_needs(tree: Any) -> Groups | None:
    """Give ``needs`` as an entry writes them, a list of needs and of lists of needs; None where it says nothing."""
    if not isinstance(tree, list):
        return None
    return tuple(tuple(map(str, one)) if isinstance(one, list) else (str(one),) for one in tree)


@dataclass(frozen=True)
class PackOff:
    """A pack of which tags are off: how many of how many, and the tables and columns that most of them lack."""

    pack: str
    tags: int
    off: int
    lacks: tuple[str, ...]
    is_switched: bool

    @property
    def sentence(self) -> str:
        """What is said of the pack, in the language spoken."""
        count = text("tag.off_all" if self.off == self.tags else "tag.off_some", off=self.off, tags=self.tags)
        reason = (
            text("tag.off_pack", packs=self.pack)
            if self.is_switched
            else text("tag.off_no_feed", names=", ".join(_shortened(self.lacks)))
        )
        return f"{self.pack} {count}, {reason}"


def packs_off(tags: Iterable[PackTag], reasons: Mapping[str, Absence]) -> list[PackOff]:
    """Give the packs of which tags are off, by name; what most of their tags lack stands first."""
    by_pack: dict[str, list[str]] = {}
    for tag in tags:
        if tag.pack is not None:
            by_pack.setdefault(tag.pack, []).append(tag.code)
    packs = []
    for pack, codes in sorted(by_pack.items()):
        absences_of_pack = [reasons[code] for code in codes if code in reasons]
        names = [name for absence in absences_of_pack for group in absence.unfilled for name in group]
        lacks = sorted(set(names), key=lambda name: (-names.count(name), name))
        is_switched = any(pack in absence.packs for absence in absences_of_pack)
        if absences_of_pack:
            packs.append(PackOff(pack, len(codes), len(absences_of_pack), tuple(lacks), is_switched))
    return packs
