"""The manifest of a dbt project, parsed once for as long as the project's texts stay what they are.

dbt parses a whole project anew as soon as a variable has another value, and every night has other dates. They stand in
no text that is read while parsing, so the manifest of an earlier night is the one that this night would come to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

DATES = ("business_date", "compare_on")
_PACKAGES = ("dbt-core", "dbt-spark", "dbt-duckdb")


def manifest_of(
    project: Path, engine: str, arguments: Sequence[str], variables: Mapping[str, object]
) -> Any | None:
    """Give the manifest of a project for a target; None where dbt cannot parse it, which its next command then says.

    ``arguments`` are dbt's options of this run. The manifest is kept below the project's target folder, under a hash of all
    that parsing depends on: texts, variables but the dates, and versions of dbt.
    """
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

    key = _key(project, engine, variables)
    file = project / "target" / f"{engine}.manifest"
    seal, body = _halves(file.read_bytes() if file.is_file() else b"")
    if seal != sha256(key + body).digest():
        manifest = dbtRunner().invoke(["parse", *arguments, "--no-partial-parse"]).result
        if not isinstance(manifest, Manifest):
            return None
        body = manifest.to_msgpack(extended_mashumaro_encoder)
        file.parent.mkdir(exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(sha256(key + body).digest() + body)
        part.replace(file)
    # Always from its bytes: a run writes into the manifest it is given.
    return Manifest.from_msgpack(body, decoder=extended_mashumuro_decoder)


def _halves(content: bytes) -> tuple[bytes, bytes]:
    return content[:32], content[32:]


def _key(project: Path, engine: str, variables: Mapping[str, object]) -> bytes:
    target = project / "target"
    files = sorted(
        file
        for folder in (project, *(project / "linked").glob("*"))
        for file in folder.rglob("*")
        if file.suffix in (".sql", ".yml", ".yaml", ".md", ".csv") and target not in file.parents
    )
    digest = sha256()
    others = {name: value for name, value in variables.items() if name not in DATES}
    head = [engine, others, [version(package) for package in _PACKAGES]]
    for part in (json.dumps(head, sort_keys=True).encode(), *_contents(project, files)):
        digest.update(len(part).to_bytes(8) + part)
    return digest.digest()


def _contents(project: Path, files: Sequence[Path]) -> list[bytes]:
    return [part for file in files for part in (str(file.relative_to(project)).encode(), file.read_bytes())]
