"""What a release says of itself: licences, bill of materials, known faults; and that none of it passes in silence."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from lakehouse.session.session import known_sums
from release import audit as audits
from release.pins import DEVELOP, RUN, licence_of, read_pins
from release.sbom import bill_of_materials

# Several licences of which one is to be chosen, and which one we take (docs/adr/0004-libraries.md).
CHOSEN = {"text-unidecode": "Artistic License"}
COPYLEFT = re.compile(r"\b[AL]?GPL|GNU .*General Public|General Public License|Affero", re.IGNORECASE)
PINS = {(pin.name, pin.version): pin for lock in (RUN, DEVELOP) for pin in read_pins(lock)}
WANTED = sorted({pin.name for pin in PINS.values() if pin.is_wanted})


def is_copyleft(licence: str) -> bool:
    """Whether no licence can be taken that is free of the GPL's family; OR gives a choice, AND does not."""
    return all(COPYLEFT.search(choice) for choice in re.split(r"\bOR\b", licence))


@pytest.mark.parametrize("name", WANTED)
def test_no_pin_is_under_a_licence_of_the_gpl_family(name):
    licence = licence_of(name)
    assert licence is not None, f"{name} is not installed: run make setup, so that its licence can be read"
    assert licence, f"{name} states no licence"
    if name in CHOSEN:
        assert CHOSEN[name] in licence
        licence = CHOSEN[name]
    assert not is_copyleft(licence), licence


@pytest.mark.parametrize(
    ("licence", "answer"),
    [
        ("MIT", False),
        ("GPL-3.0-or-later", True),
        ("LGPL-2.1-only", True),
        ("GNU Affero General Public License v3", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True),
        ("MIT OR GPL-2.0-only", False),
        ("MIT AND LGPL-2.1-only", True),
        ("BSD-3-Clause AND 0BSD", False),
    ],
)
def test_a_licence_of_the_gpl_family_is_seen(licence, answer):
    assert is_copyleft(licence) is answer


def test_hardly_a_pin_is_for_other_machines_only():
    """Their licences cannot be read here, so they are named."""
    assert {pin.name for pin in PINS.values()} - set(WANTED) <= {"pyyaml-ft", "colorama", "tomli"}


def test_the_bill_names_every_pin_and_every_jar_with_its_hashes():
    made_at = datetime(2026, 11, 27, tzinfo=UTC)
    text = bill_of_materials("0.1.0", made_at)
    bill = json.loads(text)
    parts = {part["bom-ref"]: part for part in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX" and bill["metadata"]["component"]["version"] == "0.1.0"
    pins = list(read_pins(RUN))
    assert len(parts) == len(pins) + len(known_sums())
    for pin in pins:
        part = parts[f"pkg:pypi/{pin.name}@{pin.version}"]
        assert (part["name"], part["version"]) == (pin.name, pin.version)
        assert {entry["content"] for entry in part["hashes"]} == set(pin.sha256)
    digests = {entry["content"] for part in parts.values() for entry in part["hashes"]}
    assert set(known_sums().values()) <= digests
    assert parts["pkg:pypi/pyspark@4.2.0"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert [ref for ref, part in parts.items() if not part.get("licenses")] == []
    jars = {part["purl"] for part in parts.values() if part["purl"].startswith("pkg:maven")}
    assert len(jars) == len(known_sums()) and "pkg:maven/io.delta/delta-storage@4.4.0" in jars
    assert bill_of_materials("0.1.0", made_at) == text


LOCK = (
    "six==1.17.0 \\\n    --hash=sha256:" + "0" * 64 + "\nzipp==4.1.2 \\\n    --hash=sha256:" + "1" * 64 + "\n"
)
SOUND = {"name": "six", "version": "1.17.0", "vulns": []}
FAULT = {"id": "PYSEC-2026-1", "fix_versions": ["4.2.0"], "aliases": []}


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "words"),
    [
        ([SOUND, {**SOUND, "name": "zipp"}], "", 0, "2 pins have no known fault"),
        ([SOUND, {"name": "zipp", "version": "4.1.2", "vulns": [FAULT]}], "", 1, "zipp 4.1.2: PYSEC-2026-1, mended in 4.2.0"),
        ([SOUND], "", 2, "Nothing is known of 1 pins, the first is zipp"),
        ([SOUND, {"name": "zipp", "skip_reason": "not on PyPI"}], "", 2, "Nothing is known of 1 pins"),
        ([], "", 2, "Nothing is known of 2 pins"),
        (None, "WARNING\nERROR:pip_audit:Failed to connect to pypi.org", 2,
         "could not be asked, so nothing is known of 2 pins: ERROR:pip_audit:Failed to connect to pypi.org"),
        (None, "", 2, "could not be asked"),
    ],
)  # fmt: skip
def test_an_audit_that_knows_nothing_never_passes(tmp_path, monkeypatch, stdout, stderr, code, words):
    (tmp_path / "lock.txt").write_text(LOCK)
    text = "" if stdout is None else json.dumps({"dependencies": stdout})
    monkeypatch.setattr(
        audits.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=text, stderr=stderr, returncode=1)
    )
    answer, sentences = audits.audit([tmp_path / "lock.txt"])
    assert answer == code
    assert words in "\n".join(sentences)


def test_a_source_that_does_not_answer_is_said(tmp_path):
    """The real tool against a port where nothing listens."""
    (tmp_path / "lock.txt").write_text(LOCK)
    code, sentences = audits.audit(
        [tmp_path / "lock.txt"], "--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:9/v1/query", "--timeout", "2",
    )  # fmt: skip
    assert code == 2
    assert sentences[0].startswith(
        "The source of advisories could not be asked, so nothing is known of 2 pins: "
    )
