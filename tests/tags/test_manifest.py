"""The manifest that a night takes over from an earlier one is the one it would have parsed itself."""

from __future__ import annotations

import pytest

from lakehouse.settings.settings import load_settings
from tags.build.manifest import manifest_of
from tags.build.project import write_project
from tags.compile.compilation import compile_tags


@pytest.fixture
def project(make_workspace):
    workspace = make_workspace()
    folder = workspace / ".cdp" / "dbt"
    write_project(compile_tags(workspace), folder, load_settings(workspace))
    return folder


@pytest.fixture
def parses(monkeypatch):
    """The commands that dbt was asked to run."""
    from dbt.cli.main import dbtRunner

    commands = []
    invoke = dbtRunner.invoke

    def remember(runner, arguments, **options):
        commands.append(arguments[0])
        return invoke(runner, arguments, **options)

    monkeypatch.setattr(dbtRunner, "invoke", remember)
    return commands


def manifest(project, day, **others):
    variables = {"business_date": day, "small": False, **others}
    options = [
        *("--target", "duckdb", "--project-dir", str(project), "--profiles-dir", str(project)),
        *("--target-path", str(project / "target"), "--log-path", str(project), "--log-level", "none"),
    ]
    return manifest_of(project, "duckdb", options, variables)


@pytest.mark.slow
def test_another_date_takes_the_manifest_and_anything_else_parses_anew(project, parses):
    first = manifest(project, "2026-01-05")
    assert parses == ["parse"]
    nodes = {name: node.raw_code for name, node in first.nodes.items()}
    again = manifest(project, "2026-01-06")
    assert parses == ["parse"] and {name: node.raw_code for name, node in again.nodes.items()} == nodes
    manifest(project, "2026-01-06", small=True)
    assert len(parses) == 2
    model = next((project / "duckdb" / "models").glob("*.sql"))
    model.write_text(model.read_text() + "\n-- another text\n")
    assert "another text" in "".join(n.raw_code for n in manifest(project, "2026-01-06").nodes.values())
    assert len(parses) == 3


@pytest.mark.slow
def test_a_damaged_manifest_is_not_believed(project, parses):
    manifest(project, "2026-01-05")
    file = project / "target" / "duckdb.manifest"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    for damage in (bytes(content), content[: len(content) // 2], b""):
        file.write_bytes(damage)
        assert manifest(project, "2026-01-05").nodes
    assert len(parses) == 4


def test_a_project_that_dbt_cannot_parse_has_no_manifest(project):
    model = next((project / "duckdb" / "models").glob("*.sql"))
    model.write_text("select {% if %}")
    assert manifest(project, "2026-01-05") is None
