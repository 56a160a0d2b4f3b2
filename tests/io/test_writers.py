"""Result files: what they hold, their size, and that they are never half-written."""

from __future__ import annotations

import json
import resource
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from PIL import Image
from video_makers import write_video

from msnvis import masks as mask_ops
from msnvis.errors import InputError, OutputError, UnknownPartError
from msnvis.io.arrays import FrameArrays
from msnvis.io.readers import open_source, source_from_frames
from msnvis.io.writers import formats, write_results
from msnvis.structures import Detections, VideoInstances

HEIGHT, WIDTH, LENGTH = 24, 32, 4
ALL = ["ytvis", "coco", "png", "mots", "overlay", "summary"]


@pytest.fixture
def frames():
    return [np.full((HEIGHT, WIDTH, 3), 40 * i + 50, np.uint8) for i in range(LENGTH)]


@pytest.fixture
def video():
    """Two objects that overlap in part, both in every frame but the last."""
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    masks[0, 2:12, 2:18] = masks[1, 8:20, 10:30] = True
    full = Detections.from_masks(masks, [0.9, 0.6], [[1, 0], [0, 1]], ids=[1, 2])
    empty = Detections.from_masks(masks[:0], [], np.zeros((0, 2)), ids=[])
    return VideoInstances.from_frames("clip", [full] * 3 + [empty], np.arange(4) / 25, ("cat", "dog"))


@contextmanager
def full_disk(bytes_free):
    """No file may grow beyond this, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_every_format_has_its_file(video, frames, tmp_path):
    written = write_results(video, source_from_frames(frames), tmp_path / "new" / "out", ALL)
    names = ["tracks.json", "coco.json", "masks", "mots.txt", "overlay.mp4", "summary.png"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == sorted(names)
    assert set(formats.entries()) >= set(ALL)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (50, 49), (49, 49)])
def test_the_summary_is_the_same_with_and_without_the_overlay(size, tmp_path):
    images = [np.full((*size, 3), 5 * i, np.uint8) for i in range(40)]
    found = Detections.from_masks(np.ones((1, *size), bool), [0.9], [[1.0]], ids=[1])
    video = VideoInstances.from_frames("clip", [found] * 40, np.arange(40) / 25, ("cat",))
    path = write_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0", images=images)
    write_results(video, open_source(path), tmp_path / "both", ["overlay", "summary"])
    write_results(video, open_source(path), tmp_path / "swapped", ["summary", "overlay"])
    write_results(video, open_source(path), tmp_path / "alone", ["summary"])
    alone = (tmp_path / "alone" / "summary.png").read_bytes()
    assert (tmp_path / "both" / "summary.png").read_bytes() == alone
    assert (tmp_path / "swapped" / "summary.png").read_bytes() == alone


def test_the_video_is_read_once_for_overlay_and_summary(video, frames, tmp_path):
    class Counted(FrameArrays):
        passes = 0

        def frames(self):
            self.passes += 1
            return super().frames()

    source = Counted(frames, "clip", None)
    write_results(video, source, tmp_path, ALL)
    assert source.passes == 1


def test_files_hold_what_the_conversions_give(video, frames, tmp_path):
    write_results(video, source_from_frames(frames), tmp_path, ["ytvis", "coco", "mots", "png", "ytvis"])
    assert json.loads((tmp_path / "tracks.json").read_text()) == video.to_ytvis()
    assert json.loads((tmp_path / "coco.json").read_text()) == video.to_coco()
    assert (tmp_path / "mots.txt").read_text() == video.to_mots()
    first = np.array(Image.open(tmp_path / "masks" / "00000.png"))
    assert [(first == i).sum() for i in (1, 2)] == [160, 240 - 32]
    assert not np.array(Image.open(tmp_path / "masks" / "00003.png")).any()


def test_no_objects_is_a_valid_result(frames, tmp_path):
    nothing = VideoInstances("clip", (HEIGHT, WIDTH), np.arange(LENGTH) / 25, ("cat",))
    write_results(nothing, source_from_frames(frames), tmp_path, ALL)
    assert not VideoInstances.from_ytvis(tmp_path / "tracks.json").tracks
    assert not VideoInstances.from_coco(tmp_path / "coco.json").tracks
    assert not VideoInstances.from_png(tmp_path / "masks").tracks
    assert (tmp_path / "mots.txt").read_text() == ""


def test_annotations_have_the_size_of_the_input(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), np.zeros((48, 64, 3), np.uint8))
    source = open_source(folder, max_side=32)
    working = np.zeros((1, 24, 32), bool)
    working[0, 6:12, 8:16] = True
    found = Detections.from_masks(working, [0.9], [[1]], ids=[1])
    video = VideoInstances.from_frames("clip", [found] * 2, [0, 0.04], ("cat",))
    write_results(video, source, tmp_path / "out", ALL)
    expected = [16, 12, 32, 24]
    for read in (
        VideoInstances.from_ytvis(tmp_path / "out" / "tracks.json"),
        VideoInstances.from_coco(tmp_path / "out" / "coco.json"),
        VideoInstances.from_png(tmp_path / "out" / "masks"),
        VideoInstances.from_mots(tmp_path / "out" / "mots.txt", {1: "cat"}),
    ):
        assert read.size == (48, 64)
        assert mask_ops.boxes([read.tracks[0].rles[1]])[0].tolist() == expected
    assert open_source(tmp_path / "out" / "overlay.mp4").size == (24, 32)


def test_results_are_replaced_as_a_whole(video, frames, tmp_path):
    write_results(video, source_from_frames(frames), tmp_path, ["png", "mots"])
    del video.tracks[1]
    video.timestamps = video.timestamps[:3]
    write_results(video, source_from_frames(frames), tmp_path, ["png", "mots"])
    assert len(list((tmp_path / "masks").iterdir())) == 3
    assert len((tmp_path / "mots.txt").read_text().splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "mots.txt"]


def test_unknown_format_is_named_before_anything_is_written(video, frames, tmp_path):
    with pytest.raises(UnknownPartError, match="no format is called 'coko'; did you mean 'coco'"):
        write_results(video, source_from_frames(frames), tmp_path / "out", ["ytvis", "coko"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ALL)
def test_full_disk_leaves_nothing_half_written(name, video, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (30, HEIGHT, WIDTH, 3), dtype=np.uint8)
    target = tmp_path / formats.create(name).filename
    with full_disk(40), pytest.raises(OutputError, match=r"cannot be written") as raised:
        write_results(video, source_from_frames(list(noise)), tmp_path, [name])
    assert "\n" not in str(raised.value)
    assert target.name in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_failing_again_keeps_the_old_results(video, frames, tmp_path):
    write_results(video, source_from_frames(frames), tmp_path, ["ytvis", "png"])
    before = (tmp_path / "tracks.json").read_bytes()
    for name in ("ytvis", "png"):
        with full_disk(40), pytest.raises(OutputError):
            write_results(video, source_from_frames(frames), tmp_path, [name])
    assert (tmp_path / "tracks.json").read_bytes() == before
    assert len(VideoInstances.from_png(tmp_path / "masks").tracks) == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ALL)
def test_a_folder_that_cannot_be_made(name, video, frames, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        write_results(video, source_from_frames(frames), tmp_path / "file" / "out", [name])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_ids_beyond_the_format_are_an_error_without_a_file(video, frames, tmp_path):
    video.tracks[0].id = 300
    with pytest.raises(OutputError, match="track id 300"):
        write_results(video, source_from_frames(frames), tmp_path, ["png"])
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_nothing_half_written(video, frames, tmp_path):
    class Interrupted(type(source_from_frames(frames))):
        def frames(self):
            yield from list(super().frames())[:2]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(video, Interrupted(frames, "clip", 25), tmp_path, ["overlay"])
    assert list(tmp_path.iterdir()) == []


def test_live_sources_have_no_overlay(video, frames, tmp_path):
    with pytest.raises(InputError, match="live"):
        write_results(video, source_from_frames(iter(frames)), tmp_path, ["overlay"])
    assert list(tmp_path.iterdir()) == []
