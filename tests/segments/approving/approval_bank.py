"""A bank whose segment asks for approvals, and people who decide by the command line as a user types it."""

from __future__ import annotations

import json

from segment_bank import DESTINATIONS_YML, TAGS_YML, bank_lake, spec

from delivery.contract.verify_audience import signature_of
from jobs.cli import run
from lakehouse.settings.settings import load_settings
from segments.approving.standing import read_authority, standings

ROLES = """\
roles:
  lead: {users: [wang, both, author], may: [approve, pause, recall]}
  compliance: {users: [zhao, both], may: [approve, hold, recall]}
  pilot: {users: [wang], four_eyes: false}
"""
RULE = "where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: $floor}]}\nunknown: exclude\n"
PARAMETERS = "parameters: {floor: {default: 150, min: 0, max: 500}}\n"
STAGES = "rollout: {stage: %s, whitelist: friends@1, percent: 50}\n"
APPROVALS = "approvals: [{role: lead}, {role: compliance}]\n"


def rich(stage="small", approvals=APPROVALS, more="", rule=RULE, parameters=PARAMETERS, **changes):
    """The segment ``rich`` at a stage, with the approvals it asks for."""
    return spec("rich", rule + parameters + STAGES % stage + approvals + more, **changes)


def files_of(segment=None, **more):
    files = {
        "cdp.yml": "generate_secrets: true\n", "tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML,
        "roles.yml": ROLES, "lists/friends@1.csv": "one_id\n10\n", "segments/rich.yml": segment or rich(),
    }  # fmt: skip
    return {**files, **more}


class Bank:
    """A workspace, its lake, and who sits before the terminal."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.settings = load_settings(folder)

    def filled_lake(self):
        lake = bank_lake(self.settings)
        return lake

    def cdp(self, user, *words):
        """Run ``cdp segments …`` as a user; give the exit code."""
        self.monkeypatch.setattr("jobs.report.reveals.operating_user", lambda: user)
        return run(["segments", *words, "--workspace", str(self.folder)])

    def approve(self, user, role, stage="small", *more):
        return self.cdp(user, "approve", "rich", "--stage", stage, "--role", role, *more)

    def approve_all(self, stage="small"):
        assert self.approve("wang", "lead", stage) == 0
        assert self.approve("zhao", "compliance", stage) == 0

    def write(self, path, text):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def standing(self, day, code="rich"):
        from segments.language.spec import read_segments

        return standings(read_segments(self.folder), read_authority(self.settings), day)[code]

    def log(self):
        file = self.folder / "audit" / "segments.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def sign(self, name, body, key, system="workflow"):
        """Write a file of another system with the signature of a key; without one it is not signed."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.write(f"approvals/{system}/{name}.json", text)
        if key is not None:
            self.write(f"approvals/{system}/{name}.json.hmac", signature_of(text.encode(), key) + "  x\n")
