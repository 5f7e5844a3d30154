"""An index on disk: ``<lake>/_preview/<publication>``, one file of slices and one of values per column, and a manifest written last.

A file is read whole and held against its digest before a bit of it counts. The manifest is bound to the publication by its hash in the
chain, and sealed: by the secret ``preview_index`` where the workspace has one, else by its digest alone, which shows damage but not the
hand of somebody who may write the lake. What is damaged, foreign or old raises ``StepFailed`` and is nobody's answer.

One index is made at a time. Nothing is read, written or deleted through a link.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.errors import LockHeld, StepFailed
from lakehouse.integrity.chain import publication_hash
from lakehouse.ledger.lock import FILE_NAME as LOCK_FILE
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import find_secret
from segments.indexing.bits import words_for
from segments.indexing.coding import CodedColumn

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.published import Publication
    from lakehouse.settings.settings import Settings

FOLDER = "_preview"
MANIFEST = "INDEX.json"
FORMAT = 1
SECRET = "preview_index"
_UNFINISHED = ".unfinished-"
_MAKE_AGAIN = "make it again with `cdp segments index`"

log = logging.getLogger("cdp.segments")


@dataclass(frozen=True)
class PeopleIndex:
    """An open index: how many people it covers, what it was made of, and its columns, each read at its first use."""

    folder: Path
    people: int
    first_one_id: int
    facts: str
    """The meaning of the facts of suppression; see ``segments.indexing.contents``."""
    uses: tuple[tuple[str, str, int], ...]
    """The purposes, channels and days that the facts cover."""
    entries: Mapping[str, Mapping[str, Any]]
    _columns: dict[str, CodedColumn] = field(default_factory=dict)

    def read(self, names: Iterable[str]) -> None:
        """Read columns at once, as many as there are cores; one that is not as the manifest says raises ``StepFailed``."""
        missing = sorted(set(names) - self._columns.keys())
        # Reading and digesting, which is most of the work, leaves the interpreter to others.
        with ThreadPoolExecutor(os.cpu_count()) as readers:
            self._columns.update(zip(missing, readers.map(self._read, missing), strict=True))

    def column(self, name: str) -> CodedColumn:
        """Give a column; one that is not as the manifest says raises ``StepFailed``."""
        if name not in self._columns:
            self._columns[name] = self._read(name)
        return self._columns[name]

    def _read(self, name: str) -> CodedColumn:
        entry = self.entries[name]
        size = entry["slices"] * words_for(self.people) * 8
        content = self._content(entry, "bits", size)
        slices = np.frombuffer(content, dtype="<u8").reshape(entry["slices"], words_for(self.people))
        return CodedColumn(slices, _values(self._content(entry, "values")), self.people)

    def _content(self, entry: Mapping[str, Any], kind: str, size: int | None = None) -> bytes:
        file = self.folder / f"{entry['file']}.{kind}"
        try:
            status = file.lstat()
            # A pipe or a device would never end.
            if not stat.S_ISREG(status.st_mode) or size not in (None, status.st_size):
                raise self._damage(entry, kind)
            content = file.read_bytes()
        except OSError as wrong:
            raise StepFailed(
                f"the file cannot be read ({wrong.strerror}); {_MAKE_AGAIN}", file=file
            ) from None
        if sha256(content).hexdigest() != entry[f"{kind}_sha256"]:
            raise self._damage(entry, kind)
        return content

    def _damage(self, entry: Mapping[str, Any], kind: str) -> StepFailed:
        file = self.folder / f"{entry['file']}.{kind}"
        return StepFailed(f"the file is not the one that its index was made with; {_MAKE_AGAIN}", file=file)


def index_folder(settings: Settings, publication: Publication) -> Path:
    """Give where the index of a publication stands."""
    return settings.lake / FOLDER / publication_hash(publication)[:32]


def open_index(settings: Settings, publication: Publication) -> PeopleIndex | None:
    """Give the index of a publication, None where none was made.

    A manifest that cannot be read, is of another publication or another format, or whose seal is not right raises ``StepFailed``; so
    does a link in its place or on the way to it.
    """
    file = index_folder(settings, publication) / MANIFEST
    try:
        for place in (file.parent.parent, file.parent, file):
            if place.is_symlink():
                raise StepFailed(
                    f"a link stands where the index belongs; delete it and {_MAKE_AGAIN}", file=place
                )
        if not stat.S_ISREG(file.lstat().st_mode):
            raise ValueError
        manifest = json.loads(file.read_bytes())
        seal = str(manifest.pop("seal"))
        if not hmac.compare_digest(seal, _seal(settings, manifest)):
            raise ValueError
        if manifest["format"] != FORMAT or manifest["publication"] != publication_hash(publication):
            raise ValueError
        uses = tuple((str(purpose), str(channel), int(days)) for purpose, channel, days in manifest["uses"])
        return PeopleIndex(
            file.parent,
            int(manifest["people"]),
            int(manifest["first_one_id"]),
            str(manifest["facts"]),
            uses,
            manifest["columns"],
        )
    except FileNotFoundError:
        return None
    except OSError as wrong:
        raise StepFailed(f"the index cannot be read ({wrong.strerror}); {_MAKE_AGAIN}", file=file) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StepFailed(
            f"the index is damaged, or is not of this publication and product; {_MAKE_AGAIN}", file=file
        ) from None


class IndexWriter:
    """Writes an index into a folder of its own, which becomes visible whole by ``finish``. Use it in a ``with`` block.

    Whoever begins while another index of the lake is being made gets ``LockHeld``.
    """

    def __init__(self, settings: Settings, publication: Publication) -> None:
        self.settings, self.publication = settings, publication
        self.folder = Path()
        self.entries: dict[str, dict[str, Any]] = {}
        self.bytes = 0
        self._until_exit = ExitStack()

    def __enter__(self) -> IndexWriter:
        """Give the writer itself."""
        with ExitStack() as stack:
            root = stack.enter_context(_only_maker(self.settings))
            _remove(path for path in root.glob(f"{_UNFINISHED}*"))
            self.folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._until_exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing unfinished behind."""
        self._until_exit.close()

    def add(self, name: str, column: CodedColumn) -> None:
        """Write a column."""
        number = f"{len(self.entries):05d}"
        entry: dict[str, Any] = {"file": number, "slices": len(column.slices)}
        for kind, content in (("bits", column.slices.tobytes()), ("values", _value_bytes(column.values))):
            (self.folder / f"{number}.{kind}").write_bytes(content)
            entry[f"{kind}_sha256"] = sha256(content).hexdigest()
            self.bytes += len(content)
        self.entries[name] = entry

    def finish(
        self, *, people: int, first_one_id: int, facts: str, uses: Iterable[tuple[str, str, int]]
    ) -> Path:
        """Write the manifest, put the index in its place and let those of other publications go."""
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "publication": publication_hash(self.publication),
            "people": people,
            "first_one_id": first_one_id,
            "facts": facts,
            "uses": [list(use) for use in uses],
            "columns": self.entries,
        }
        whole = manifest | {"seal": _seal(self.settings, manifest)}
        with (self.folder / MANIFEST).open("w", encoding="utf-8") as out:
            out.write(json.dumps(whole, sort_keys=True) + "\n")
            out.flush()
            os.fsync(out.fileno())
        self.folder.chmod(self.folder.parent.stat().st_mode & 0o777)
        place = index_folder(self.settings, self.publication)
        _remove([place])
        self.folder.rename(place)
        # Only now: a night that publishes after this look deletes what it finds here.
        newest = newest_publication(self.settings)
        _remove(_indexes(self.settings, keep=newest))
        if newest is None or index_folder(self.settings, newest) != place:
            raise StepFailed(
                f"a night was published while the index of {self.publication.business_date} was made, which is of no use any more; "
                f"{_MAKE_AGAIN}"
            )
        return place


def remove_indexes(settings: Settings) -> int:
    """Delete all indexes of a lake; give how many there were.

    One that is being made raises ``LockHeld``, one that cannot be deleted ``StepFailed``.
    """
    if not os.path.lexists(_root(settings)):
        return 0
    with _only_maker(settings):
        folders = _indexes(settings)
        deleted = _remove(folders)
        if deleted < len(folders):
            rest = next(folder for folder in folders if os.path.lexists(folder))
            raise StepFailed(
                "the index cannot be deleted; give this user the right to write there, or mount it for writing, then "
                "run the same command again",
                file=rest,
            )
    return deleted


def remove_old_indexes(settings: Settings, newest: Publication | None) -> int:
    """Delete the indexes of a lake but for that of the newest publication; give how many there were.

    An index holds what is known of people, so it is kept no longer than it is of use. What is being made is left to whoever makes it.
    One that cannot be deleted is a warning and stays for the next time: a night does not fail by it.
    """
    root = _root(settings)
    if not os.path.lexists(root):
        return 0
    folders = _indexes(settings, keep=newest)
    try:
        with _only_maker(settings):
            deleted = _remove(folders)
    except LockHeld:
        folders = [folder for folder in folders if not folder.name.startswith(_UNFINISHED)]
        deleted = _remove(folders)
    except (StepFailed, OSError) as wrong:
        log.warning("old indexes of people are not deleted: %s", wrong)
        return 0
    if deleted < len(folders):
        log.warning("old indexes of people are not deleted: %s cannot be written to", root)
    return deleted


def _root(settings: Settings) -> Path:
    return settings.lake / FOLDER


@contextmanager
def _only_maker(settings: Settings) -> Iterator[Path]:
    """Give the folder of all indexes to one process at a time; a link in its place raises ``StepFailed``."""
    root = _root(settings)
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise StepFailed(
            "the indexes of people belong here, in a folder; move away what stands here", file=root
        )
    root.mkdir(mode=0o750, parents=True, exist_ok=True)
    with hold_lock(settings.lock_dir / FOLDER, "segments index", what="the index of people"):
        yield root


def _indexes(settings: Settings, *, keep: Publication | None = None) -> list[Path]:
    staying = {LOCK_FILE} if keep is None else {LOCK_FILE, index_folder(settings, keep).name}
    root = _root(settings)
    return [] if root.is_symlink() else [path for path in root.glob("*") if path.name not in staying]


def _remove(paths: Iterable[Path]) -> int:
    """Delete folders, files and links, not what links lead to; give how many are gone."""
    every = list(paths)
    for path in every:
        if path.is_symlink() or not path.is_dir():
            with suppress(OSError):
                path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return sum(not os.path.lexists(path) for path in every)


def _seal(settings: Settings, manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    secret = find_secret(SECRET, settings.workspace)
    return sha256(text).hexdigest() if secret is None else hmac.new(secret, text, "sha256").hexdigest()


def _value_bytes(values: pa.Array) -> bytes:
    import pyarrow as pa

    table = pa.table({"value": values})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _values(content: bytes) -> pa.Array:
    import pyarrow as pa

    column = pa.ipc.open_stream(content).read_all()["value"]
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )
