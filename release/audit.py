"""Holds the pins against the known faults of their versions: ``python -m release.audit``.

Exit 0: no known fault. Exit 1: a pin has one. Exit 2: the source of advisories did not answer, or not about every pin, so
nothing is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from release.pins import DEVELOP, RUN, read_pins

SERVICE = "pypi"


def audit(locks: list[Path], *options: str) -> tuple[int, list[str]]:
    """Ask pip-audit about the pins of lock files; give the exit code and the sentences to print."""
    files = [text for lock in locks for text in ("--requirement", str(lock))]
    command = [
        sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off",
        "--format", "json", *files, *(options or ("--vulnerability-service", SERVICE)),
    ]  # fmt: skip
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    names = {pin.name for lock in locks for pin in read_pins(lock) if pin.is_wanted}
    try:
        answers = json.loads(process.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        lines = [line for line in process.stderr.splitlines() if line.strip()]
        cause = lines[-1].strip()[:300] if lines else "it said nothing"
        return 2, [
            f"The source of advisories could not be asked, so nothing is known of {len(names)} pins: {cause}"
        ]
    return _outcome(answers, names)


def _outcome(answers: list[dict[str, Any]], names: set[str]) -> tuple[int, list[str]]:
    faults = [
        f"{answer['name']} {answer['version']}: {fault['id']}"
        + (f", mended in {', '.join(fault['fix_versions'])}" if fault["fix_versions"] else ", not mended yet")
        for answer in answers
        for fault in answer.get("vulns", [])
    ]
    checked = {answer["name"] for answer in answers if "skip_reason" not in answer}
    unknown = sorted(names - checked)
    sentences = list(faults)
    if unknown:
        sentences.append(f"Nothing is known of {len(unknown)} pins, the first is {unknown[0]}")
    if faults:
        return 1, sentences
    return (2, sentences) if unknown else (0, [f"{len(checked)} pins have no known fault"])


if __name__ == "__main__":
    code, messages = audit([RUN, DEVELOP], *sys.argv[1:])
    print("\n".join(messages), file=sys.stderr if code else sys.stdout)
    sys.exit(code)
