"""The committed pictures are those of this simulator."""

from __future__ import annotations

from delivery_files import files

from simulator.truth.pictures import FOLDER, PICTURES, draw_all


def test_the_committed_pictures_are_fresh(tmp_path):
    draw_all(tmp_path)
    new_pictures = files(tmp_path)
    assert len(new_pictures) == len(PICTURES)
    committed_pictures = {
        name: content for name, content in files(FOLDER).items() if name.startswith("simulator_")
    }
    assert committed_pictures == new_pictures, (
        "run `python -m simulator.truth.pictures` and commit docs/pictures"
    )
