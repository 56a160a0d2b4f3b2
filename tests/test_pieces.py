"""Pieces of a video, each processed by itself, together give the bytes of the whole."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import shots
import squares
from hypothesis import given
from hypothesis import strategies as st

from msnvis.errors import OptionError
from msnvis.io.readers import open_source
from msnvis.io.writers import write_results
from msnvis.merging.directions import DirectionMatcher
from msnvis.pieces import VideoPieces, group_shots
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.segmenters.classifier import Classifier
from msnvis.store import Journal, RunStore, WorkFolder, folder
from msnvis.structures import Detections
from msnvis.tracking.tracker import Tracker


@given(st.lists(st.integers(1, 400), unique=True).map(sorted), st.integers(401, 500), st.integers(1, 200))
def test_shots_are_grouped_into_pieces_of_some_length(cuts, frames, least):
    bounds = group_shots(cuts, frames, least)
    assert [first for first, _ in bounds] == [0, *(last for _, last in bounds[:-1])]
    assert bounds[-1][1] == frames
    assert {first for first, _ in bounds[1:]} <= set(cuts)
    if len(bounds) > 1:
        assert min(last - first for first, last in bounds) >= least
    for first, last in bounds:  # none could be two
        assert not [c for c in cuts if first < c < last and c - first >= least and frames - c >= least]


class Sociable(squares.SquareSegmenter):
    """Its scores depend on the rest of the batch, as the last digits of a network do, and on the frame."""

    def __init__(self):
        self.frame = 0

    def fingerprint(self):
        return {}

    def reset(self, frame: int = 0) -> None:
        self.frame = frame

    def segment(self, images):
        found = super().segment(images)
        for number, one in enumerate(found):
            place = (self.frame + number) % 7
            one.scores = one.scores - np.float32((0.1 + 0.05 * place) / len(images))
            if place == 3:
                found[number] = one[[]]
        self.frame += len(images)
        return found


class Cats(Classifier):
    """The redder the object, the surer a cat."""

    classes = ("cat", "dog")

    def classify(self, image, detections):
        cat = np.array([image[mask][:, 0].mean() / 255 for mask in detections.masks])
        return np.stack([cat, (1 - cat) / 2], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return shots.write(tmp_path_factory.mktemp("clip") / "clip.mp4")


def parts(**options) -> VideoInstanceSegmenter:
    given = {"labels": "any", "max_unconfirmed": 2, "batch_size": 4, "classify_every": 5, **options}
    return VideoInstanceSegmenter(Sociable(), classifier=Cats(), **given)


def results(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and ".msnvis" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def finish(clip: Path, out: Path, pieces: VideoPieces | None = None, **options) -> VideoInstanceSegmenter:
    """Process the whole, or join its pieces, and write; what it was made of is kept."""
    segmenter, source = parts(**options), open_source(clip)
    with WorkFolder(out, keep=True) as work:
        video = segmenter.run(source, work=work, pieces=pieces)
        write_results(video, source, out, ["ytvis", "png"])
        work.finish()
    return segmenter


def planned(clip: Path, out: Path, least: int = 8, **options) -> VideoPieces:
    """As another process would have them."""
    pieces = VideoPieces(parts(**options), open_source(clip), out)
    pieces.plan(least)
    return pieces


def plain(value):
    """Arrays as lists, so that `==` compares."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def kept(out: Path) -> dict[str, object]:
    """All that a complete run has found, but how long it took."""
    with WorkFolder(out, keep=True) as work:
        about = json.loads(Journal.open(work.path / "journal", b"").about)
        store, state = work.open(about)
        tables = [store.found, *store.tracked.values(), store.verdicts]
        frames = [{frame: plain(vars_of(table[frame])) for frame in table} for table in tables]
    matcher = plain(state["matcher"])
    matcher["overlaps"] = sorted(zip(matcher.pop("overlapping"), matcher["overlaps"], strict=True))
    matcher["strength"].sort()
    left = {name: plain(value) for name, value in state.items() if name not in ("timings", "matcher")}
    order = [[direction, list(votes["ids"])] for direction, votes in state["votes"].items()]
    return {"about": about, "frames": frames, "matcher": matcher, "order": order, **left}


def vars_of(row: Detections | np.ndarray) -> object:
    return vars(row) if isinstance(row, Detections) else row


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
@pytest.mark.parametrize(("least", "count"), [(8, 4), (14, 2)])
def test_pieces_are_the_whole(clip, tmp_path, direction, least, count):
    finish(clip, tmp_path / "whole", direction=direction)
    out = tmp_path / "out"
    assert planned(clip, out, least, direction=direction).missing == list(range(count))
    for number in reversed(range(count)):
        planned(clip, out, direction=direction)[number].process()
    pieces = planned(clip, out, direction=direction)
    assert pieces.missing == []
    joined = finish(clip, out, pieces, direction=direction)
    assert results(out) == results(tmp_path / "whole")
    assert kept(out) == kept(tmp_path / "whole")
    assert joined.interruptions == 0
    assert joined.timings.wall["segment"] > 0 and joined.timings.wall["shots"] > 0
    assert not (out / ".msnvis" / "pieces").exists()


class PowerCut(BaseException):
    """Ends a run without anything being tidied up by it."""


def failing(method, calls: int):
    """`method`, which ends everything at the last of so many calls."""
    count = itertools.count(1)

    def call(self, *arguments, **options):
        if next(count) == calls:
            raise PowerCut
        return method(self, *arguments, **options)

    return call


def test_a_piece_that_is_broken_off_goes_on(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "SECONDS", 0.0)
    monkeypatch.setattr(folder, "_SHARE", 0)
    finish(clip, tmp_path / "whole")
    out = tmp_path / "out"
    planned(clip, out)[0].process()
    for owner, method, calls in ((Tracker, "step", 9), (DirectionMatcher, "add", 5)):  # in each sweep once
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, failing(getattr(owner, method), calls))
            with pytest.raises(PowerCut):
                planned(clip, out)[1].process()
    assert planned(clip, out).missing == [1, 2, 3]
    for number in (1, 2, 3):
        planned(clip, out)[number].process()
    joined = finish(clip, out, planned(clip, out))
    assert results(out) == results(tmp_path / "whole") and joined.interruptions == 2
    once, twice = kept(out), kept(tmp_path / "whole")
    assert once.pop("interruptions") == 2 and twice.pop("interruptions") == 0
    assert once == twice


def test_joining_that_is_broken_off_is_repeated(clip, tmp_path, monkeypatch):
    finish(clip, tmp_path / "whole")
    out = tmp_path / "out"
    for number in planned(clip, out).missing:
        planned(clip, out)[number].process()
    for calls in (2, 4):
        with monkeypatch.context() as patch:
            patch.setattr(RunStore, "append", failing(RunStore.append, calls))
            with pytest.raises(PowerCut):
                finish(clip, out, planned(clip, out))
    assert planned(clip, out).missing == []
    finish(clip, out, planned(clip, out))
    assert results(out) == results(tmp_path / "whole") and kept(out) == kept(tmp_path / "whole")


def test_incomplete_pieces_are_not_joined(clip, tmp_path):
    planned(clip, tmp_path)[0].process()
    with pytest.raises(OptionError, match="piece 1 of clip is not complete"):
        finish(clip, tmp_path, planned(clip, tmp_path))
    assert planned(clip, tmp_path).missing == [1, 2, 3]
