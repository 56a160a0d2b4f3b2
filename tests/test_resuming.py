"""A run that is broken off anywhere and repeated ends with the bytes of one that is not."""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import squares

from msnvis.errors import OptionError
from msnvis.io.readers import open_source, source_from_frames
from msnvis.io.writers import write_results
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.segmenters.classifier import Classifier
from msnvis.store import WorkFolder, folder

FRAMES = 11
FORMATS = ("ytvis", "coco", "mots", "png", "overlay", "summary")


class PowerCut(BaseException):
    """Ends a run without anything being tidied up by it."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    images = squares.frames(FRAMES, size=(48, 96))
    images[4][:, :, 2] = 200  # nothing but blue for a frame
    images[6:] = [255 - image for image in images[6:]]
    return squares.write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


@pytest.fixture(autouse=True)
def checkpoint_always(monkeypatch):
    monkeypatch.setattr(folder, "SECONDS", 0.0)
    monkeypatch.setattr(folder, "_SHARE", 0)


def run(
    clip, out: Path, stop: int | None = None, formats: Sequence[str] = ("ytvis",), **options
) -> VideoInstanceSegmenter:
    """Process and write; `stop` is the number of the event after which the power fails."""
    given = {"segmenter": squares.SquareSegmenter(), "batch_size": 3, "labels": "any", **options}
    parts = VideoInstanceSegmenter(classifier="none", **given)
    calls = itertools.count(1)

    def progress(event) -> None:
        if next(calls) == stop:
            raise PowerCut

    source = open_source(clip)
    with WorkFolder(out) as work:
        instances = parts.run(source, progress=progress, work=work)
        write_results(instances, source, out, formats)
        work.finish()
    return parts


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize(
    ("direction", "selector"),
    [("both", "score"), ("both", "segmenter"), ("forward", "score"), ("backward", "score")],
)
def test_broken_off_after_every_frame(clip, tmp_path, direction, selector):
    # The other formats follow from the same results and the same video.
    formats = FORMATS if (direction, selector) == ("both", "score") else ("ytvis",)
    options = {"direction": direction, "selector": selector, "max_unconfirmed": 2, "formats": formats}
    assert run(clip, tmp_path / "whole", **options).interruptions == 0
    whole = contents(tmp_path / "whole")
    assert len(whole) == (5 + FRAMES if formats is FORMATS else 1)
    events = (1 if direction == "forward" else 2) * FRAMES + 1
    for stop in range(1, events + 1):
        out = tmp_path / f"out{stop}"
        with pytest.raises(PowerCut):
            run(clip, out, stop, **options)
        parts = run(clip, out, **options)
        assert contents(out) == whole, f"broken off after event {stop}"
        assert parts.interruptions == (stop >= 3)  # before, there was no checkpoint


class Sociable(squares.SquareSegmenter):
    """Is the surer the more images it gets at a time."""

    def segment(self, images):
        return [
            replace(found, scores=found.scores - np.float32(0.2 / len(images)))
            for found in super().segment(images)
        ]


def test_batches_that_end_at_a_cut_are_made_up_again(clip, tmp_path):
    options = {"segmenter": Sociable(), "direction": "forward"}
    run(clip, tmp_path / "whole", **options)
    for stop in (3, 4, 5, 7, 10):  # the cut is at 4, the batches are of 3
        out = tmp_path / f"out{stop}"
        with pytest.raises(PowerCut):
            run(clip, out, stop, **options)
        assert run(clip, out, **options).interruptions == 1
        assert contents(out) == contents(tmp_path / "whole")


def test_broken_off_again_and_again(clip, tmp_path):
    run(clip, tmp_path / "whole")
    failures, parts = 0, None
    while parts is None:
        try:
            parts = run(clip, tmp_path / "out", 5)
        except PowerCut:
            failures += 1
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert parts.interruptions == failures > 2


class Blobs(squares.SquareSegmenter):
    classes = ("blob", "thing")  # names that no label space has


class Cats(Classifier):
    """The redder the object, the surer a cat."""

    classes = ("cat", "dog")

    def classify(self, image, detections):
        cat = np.array([image[mask][:, 0].mean() / 255 for mask in detections.masks])
        return np.stack([cat, (1 - cat) / 2], axis=1).astype(np.float32)


def test_the_classifiers_votes_and_the_warnings_survive(clip, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    for results, stops in ((whole, [None]), (out, [4, 8, None])):
        for attempt, stop in enumerate(stops):
            parts = VideoInstanceSegmenter(
                Blobs(), classifier=Cats(), labels="any", batch_size=1, classify_every=2, min_evidence=0.2
            )
            source, calls = open_source(clip), itertools.count(1)
            if attempt == 0:
                source.warn("the third packet is damaged")

            def progress(event, calls=calls, stop=stop):
                if next(calls) == stop:
                    raise PowerCut

            with suppress(PowerCut), WorkFolder(results) as work:
                video = parts.run(source, progress=progress, work=work)
                write_results(video, source, results, ["ytvis"])
                work.finish()
        assert source.warnings == ["the third packet is damaged"]
    assert contents(whole) == contents(out)
    assert {video.class_name(track) for track in video.tracks} == {"cat", "dog"}


def test_timings_go_on_counting(clip, tmp_path):
    with pytest.raises(PowerCut):
        run(clip, tmp_path, 2 * FRAMES + 1)
    parts = run(clip, tmp_path)
    assert parts.timings.wall["propagate"] > 0  # though this time nothing was propagated


def test_other_options_are_refused(clip, tmp_path):
    with pytest.raises(PowerCut):
        run(clip, tmp_path, 9)
    with pytest.raises(OptionError, match="options tracking max_objects was 15 and is 2"):
        run(clip, tmp_path, max_objects=2)
    run(clip, tmp_path)


class Careless(squares.SquareSegmenter):
    """Finds objects as surely as it is told, and tells nobody."""

    def __init__(self, score):
        self.score = score

    def segment(self, images):
        found = super().segment(images)
        return [replace(one, scores=np.full(len(one), self.score, np.float32)) for one in found]


class Careful(Careless):
    def fingerprint(self):
        return {"score": self.score}


@pytest.mark.parametrize("kind", [Careful, Careless])
def test_ready_made_parts_that_were_made_otherwise_do_not_go_on(clip, tmp_path, kind):
    run(clip, tmp_path / "whole", segmenter=kind(0.75))
    for score in (0.75, 0.5):
        with pytest.raises(PowerCut):
            run(clip, tmp_path / "out", 9, segmenter=kind(score))
        if kind is Careful:
            with pytest.raises(OptionError, match="segmenter options score was"):
                run(clip, tmp_path / "out", segmenter=kind(0.6))
            (tmp_path / "out" / ".msnvis" / "checkpoint").unlink()
        else:
            assert contents(tmp_path / "out") == {}
    assert run(clip, tmp_path / "out", segmenter=kind(0.75)).interruptions == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_live_sources_and_arrays_leave_nothing_to_go_on_with(tmp_path):
    frames = squares.frames(5)
    for given in (iter(frames), frames):
        parts = VideoInstanceSegmenter(squares.SquareSegmenter(), classifier="none", direction="forward")
        with WorkFolder(tmp_path / "out") as work:
            video = parts.run(source_from_frames(given), work=work)
            assert [len(track.rles) for track in video.tracks] == [5, 5]
        assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_gives_what_is_done_and_the_next_run_goes_on(clip, tmp_path):
    run(clip, tmp_path / "whole")
    parts = VideoInstanceSegmenter(squares.SquareSegmenter(), classifier="none", batch_size=3, labels="any")
    calls = itertools.count(1)

    def progress(event) -> None:
        if next(calls) == 8:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with WorkFolder(out) as work:
        video = parts.run(open_source(clip), progress=progress, work=work)
        assert parts.interrupted and video.num_frames == 8
        assert video.to_ytvis()["videos"][0]["length"] == 8
    assert run(clip, out).interruptions == 1
    assert contents(out) == contents(tmp_path / "whole")
