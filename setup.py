"""The example workspaces that ``cdp init`` copies go into the wheel; everything else stands in ``pyproject.toml``."""

from pathlib import Path
from shutil import copy2

from setuptools import setup
from setuptools.command.build_py import build_py

EXAMPLES = ("bank",)
# What a workspace is made of; what runs have made beside it stays at home.
PARTS = ("*.yml", "[a-z]*/*.yml", "lists/*")


class BuildWithExamples(build_py):
    """Copies the examples beside the templates of new workspaces."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        for example in EXAMPLES:
            source = Path("examples") / example
            target = Path(self.build_lib) / "jobs" / "workspace" / "templates" / example
            for file in (file for part in PARTS for file in source.glob(part) if file.is_file()):
                place = target / file.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                copy2(file, place)


setup(cmdclass={"build_py": BuildWithExamples})
