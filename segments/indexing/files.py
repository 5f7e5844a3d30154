"""An index on disk: ``<lake>/_preview/<publication>``, one file of slices and one of values per column, and a manifest written last.

A file is read whole and held against its digest before a bit of it counts. The manifest is bound to the publication by its hash in the
chain, and sealed: by the secret ``preview_index`` where the workspace has one, else by its digest alone, which shows damage but not the
hand of somebody who may write the lake. What is damaged, foreign or old raises ``StepFailed`` and is nobody's answer.
"""

from __future__ import annotations

import hmac
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.errors import StepFailed
from lakehouse.integrity.chain import publication_hash
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

    def column(self, name: str) -> CodedColumn:
        """Give a column; one that is not as the manifest says raises ``StepFailed``."""
        if name not in self._columns:
            entry = self.entries[name]
            content = self._content(entry, "bits")
            if len(content) != entry["slices"] * words_for(self.people) * 8:
                raise self._damage(entry, "bits")
            slices = np.frombuffer(content, dtype="<u8").reshape(entry["slices"], words_for(self.people))
            self._columns[name] = CodedColumn(slices, _values(self._content(entry, "values")), self.people)
        return self._columns[name]

    def _content(self, entry: Mapping[str, Any], kind: str) -> bytes:
        file = self.folder / f"{entry['file']}.{kind}"
        try:
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

    A manifest that cannot be read, is of another publication or another format, or whose seal is not right raises ``StepFailed``.
    """
    file = index_folder(settings, publication) / MANIFEST
    if not file.is_file():
        return None
    try:
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
    except OSError as wrong:
        raise StepFailed(f"the index cannot be read ({wrong.strerror}); {_MAKE_AGAIN}", file=file) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StepFailed(
            f"the index is damaged, or is not of this publication and product; {_MAKE_AGAIN}", file=file
        ) from None


class IndexWriter:
    """Writes an index into a folder of its own, which becomes visible whole by ``finish``. Use it in a ``with`` block."""

    def __init__(self, settings: Settings, publication: Publication) -> None:
        self.settings, self.publication = settings, publication
        root = settings.lake / FOLDER
        root.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
        self.entries: dict[str, dict[str, Any]] = {}
        self.bytes = 0

    def __enter__(self) -> IndexWriter:
        """Give the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing unfinished behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

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
        shutil.rmtree(place, ignore_errors=True)
        self.folder.rename(place)
        remove_indexes(self.settings, keep=self.publication)
        return place


def remove_indexes(settings: Settings, *, keep: Publication | None = None) -> int:
    """Delete the indexes of a lake but for that of one publication; give how many there were.

    An index holds what is known of people, so it is kept no longer than it is of use. One that cannot be deleted stays for the next time.
    """
    newest = index_folder(settings, keep).name if keep is not None else None
    folders = [one for one in (settings.lake / FOLDER).glob("*") if one.name != newest]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return sum(not folder.exists() for folder in folders)


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
