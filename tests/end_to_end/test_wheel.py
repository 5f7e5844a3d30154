"""The built wheel in a new environment and an empty folder, both with a space in their paths, far from any clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from lakehouse.session.session import jars_folder

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*words, cwd, environment=None):
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what git tracks, so that nothing of this clone's runs gets into it."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.split(b"\0")  # fmt: skip
    for name in (os.fsdecode(name) for name in listed if name):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ".",
                cwd=source)  # fmt: skip
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def cdp(wheel, tmp_path_factory):
    """A function that runs the installed `cdp` in an empty folder; the libraries it needs are those of this environment."""
    home = tmp_path_factory.mktemp("a user")
    environment = home / "an environment"
    assert run(sys.executable, "-m", "venv", environment, cwd=home).returncode == 0
    python = environment / "bin" / "python"
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).stdout.strip()
    )
    # A plain line of a .pth file adds the folder and not what its own .pth files name, such as this clone.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    installed = run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=home)
    assert installed.returncode == 0, installed.stderr
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CDP_", "PYTHON"))}
    variables |= {"CDP_JARS": str(jars_folder())}

    def call(*words):
        return run(environment / "bin" / "cdp", *words, cwd=home, environment=variables)

    call.home, call.site, call.python = home, site, python
    return call


def test_the_wheel_holds_the_example_bank_and_nothing_of_a_run(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    bank = {name.partition("/templates/bank/")[2] for name in names if "/templates/bank/" in name}
    assert {"cdp.yml", "feeds/core_customers.yml", "segments/silent_app_users.yml"} <= bank
    assert {name.partition("/")[0] for name in bank} <= {
        "cdp.yml", "consent.yml", "contact_policy.yml", "destinations.yml", "identity.yml", "feeds", "segments", "lists", "tags", "templates", "marts.yml", "micro_segments",
    }  # fmt: skip


def test_the_installed_product_is_the_one_that_runs(cdp):
    where = run(cdp.python, "-c", "import jobs; print(jobs.__file__)", cwd=cdp.home).stdout.strip()
    assert Path(where).is_relative_to(cdp.site)


def test_the_minimal_example_runs_from_an_empty_folder_to_verified_audiences(cdp):
    answer = cdp("init", "a shop", "--example", "minimal")
    assert answer.returncode == 0 and "cd 'a shop'" in answer.stdout, answer.stderr
    night = cdp("nightly", "--date", "2026-01-05", "--workspace", "a shop")
    assert night.returncode == 0, night.stderr
    assert json.loads(night.stdout.splitlines()[-1])["status"] == "published"
    assert [line for line in night.stderr.splitlines() if not line.startswith('{"')] == []
    verified = cdp("segments", "verify", "--all", "--workspace", "a shop")
    assert verified.returncode == 0 and verified.stdout.startswith("good"), verified.stderr


def test_the_contract_test_kit_is_written_without_a_workspace_and_verifies_itself(cdp):
    answer = cdp("segments", "test-kit", "a kit")
    assert answer.returncode == 0, answer.stderr
    kit = cdp.home / "a kit"
    cases = json.loads((kit / "expected.json").read_text(encoding="utf-8"))["cases"]
    for case in (case for case in cases if case["name"] in ("sound-parquet", "a-flipped-bit")):
        words = (case["folder"], "--key-file", "verification.key", "--at", case["at"], "--json")
        alone = run(cdp.python, "-I", "verify_audience.py", *words, cwd=kit)
        assert alone.returncode == (0 if case["is_usable"] else 1), alone.stderr
        assert case["kind"] in [json.loads(line)["kind"] for line in alone.stdout.splitlines()]


def test_the_bank_runs_its_demo_from_an_empty_folder_and_somebody_is_unsuitable_for_an_offer(cdp):
    assert cdp("init", "a bank", "--example", "bank").returncode == 0
    demo = cdp("demo", "--workspace", "a bank", "--people", "300", "--nights", "1", "--history-months", "1")
    assert demo.returncode == 0, demo.stderr
    assert json.loads(demo.stdout.splitlines()[-1])["status"] == "published"
    assert cdp("segments", "verify", "--all", "--workspace", "a bank").returncode == 0
    asked = cdp(
        "sql", "select reason, count(*) as people from segments.suppressions where code = 'wealth_first_purchase' "
        "group by 1", "--format", "json", "--workspace", "a bank",
    )  # fmt: skip
    people = {row["reason"]: row["people"] for row in map(json.loads, asked.stdout.splitlines())}
    assert people.get("UNSUITABLE", 0) > 0


def test_a_demo_in_another_workspace_says_which_one_it_needs(cdp):
    assert cdp("init", "another shop", "--example", "minimal").returncode == 0
    demo = cdp("demo", "--workspace", "another shop", "--people", "100", "--nights", "1")
    assert demo.returncode == 2 and "cdp init DIR --example bank" in demo.stderr


def test_nothing_is_written_beside_the_installed_code(cdp):
    folder = run(
        cdp.python, "-c",
        "from lakehouse.session.session import jars_folder; print(jars_folder())",
        cwd=cdp.home, environment={"XDG_CACHE_HOME": str(cdp.home / "a cache"), "PATH": os.environ["PATH"]},
    ).stdout.strip()  # fmt: skip
    assert folder == str(cdp.home / "a cache" / "oneid-cdp" / "jars")
    assert not list(cdp.site.glob("jars"))
