"""The committed pictures are those of this simulator."""

from __future__ import annotations

from delivered import files

from simulator.truth.pictures import FOLDER, PICTURES, draw_all


def test_the_committed_pictures_are_fresh(tmp_path):
    draw_all(tmp_path)
    drawn = files(tmp_path)
    assert len(drawn) == len(PICTURES)
    stands = {name: content for name, content in files(FOLDER).items() if name.startswith("simulator_")}
    assert stands == drawn, "run `python -m simulator.truth.pictures` and commit docs/pictures"
