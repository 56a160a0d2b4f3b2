"""Folders, globs and single images."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from video_makers import number_of, numbered, read

from msnvis.errors import InputError, OptionError
from msnvis.io.readers import open_source
from msnvis.io.writers.summary import SummaryWriter


def save(folder, names: dict[str, int], size=(48, 64)) -> None:
    folder.mkdir(exist_ok=True)
    for name, number in names.items():
        Image.fromarray(numbered(number, size)).save(folder / name)


def numbers(frames) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def test_frames_are_ordered_by_number_and_gaps_are_told(tmp_path):
    save(tmp_path / "walk", {"f10.png": 3, "f9.png": 2, "f1.png": 0, "f2.png": 1})
    source = open_source(tmp_path / "walk")
    frames = list(source.frames())
    assert source.name == "walk" and source.num_frames == 4 and source.fps is None
    assert numbers(frames) == [0, 1, 2, 3]
    assert [frame.timestamp for frame in frames] == [0, 1 / 25, 2 / 25, 3 / 25]
    assert source.warnings == [
        "the frame numbers of walk have a gap, first between f2.png and f9.png; gaps are skipped over"
    ]
    assert read(source.frames_reversed()) == read(frames)[::-1]


def test_even_steps_are_no_gap(tmp_path):
    save(tmp_path / "every5", {f"{5 * n:05}.jpg": n for n in range(6)})
    source = open_source(tmp_path / "every5")
    assert numbers(source.frames()) == [0, 1, 2, 3, 4, 5]
    assert source.warnings == []


def test_window_of_a_folder(tmp_path):
    save(tmp_path / "walk", {f"{n}.png": n for n in range(12)})
    source = open_source(tmp_path / "walk", start=2, end="0.4s", stride=3, max_side=32)
    frames = list(source.frames())
    assert numbers(frames) == [2, 5, 8]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.timestamp for frame in frames] == [2 / 25, 5 / 25, 8 / 25]
    assert source.size == (24, 32) and source.source_size == (48, 64) and source.num_frames == 3
    assert read(source.frames_reversed()) == read(frames)[::-1]
    with pytest.raises(OptionError, match=r"no frame of walk .* 12 frames"):
        open_source(tmp_path / "walk", start=12)


def test_glob_takes_what_matches(tmp_path):
    save(tmp_path / "two", {"a1.png": 1, "a2.png": 2, "b1.png": 9})
    source = open_source(str(tmp_path / "two" / "a*.png"))
    assert numbers(source.frames()) == [1, 2]
    assert source.name == "two"


def test_a_glob_of_folders_is_named_after_the_one_that_holds_all_of_them(tmp_path):
    for name in ("left", "right"):
        (tmp_path / "views" / name).mkdir(parents=True)
        save(tmp_path / "views" / name, {"1.png": 1})
    assert open_source(str(tmp_path / "views" / "*" / "*.png")).name == "views"
    assert open_source(str(tmp_path / "v*" / "l*" / "*.png")).name == "left"


def test_the_summary_of_an_earlier_run_is_no_frame(tmp_path):
    save(tmp_path / "frames", {"1.png": 1, "2.png": 2, SummaryWriter.filename: 200})
    assert numbers(open_source(tmp_path / "frames").frames()) == [1, 2]


def test_only_the_most_frequent_kind_is_read(tmp_path):
    save(tmp_path / "mixed", {"1.jpg": 1, "2.JPG": 2, "3.jpeg": 3, "1.png": 200})
    (tmp_path / "mixed" / "notes.txt").write_text("not a frame")
    source = open_source(tmp_path / "mixed")
    assert numbers(source.frames()) == [1, 2, 3]
    assert source.warnings == ["mixed holds files of several kinds; the 3 .jpg are read, not 1 .png"]


def test_folder_without_images(tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("not a frame")
    with pytest.raises(InputError, match=r"^bare holds no images"):
        open_source(tmp_path / "bare")


@pytest.mark.parametrize("broken", ["text", "cut"])
def test_the_frame_before_stands_in_for_an_unreadable_one(tmp_path, broken):
    folder = tmp_path / "walk"
    save(folder, {f"{n}.jpg": n for n in range(6)}, (96, 128))
    for number in (0, 3, 4):
        file = folder / f"{number}.jpg"
        whole = file.read_bytes()
        file.write_bytes(b"not an image" if broken == "text" else whole[: len(whole) * 2 // 3])
    source = open_source(folder)
    frames = list(source.frames())
    assert numbers(frames) == [1, 1, 2, 2, 2, 5]
    assert len(source.warnings) == 3
    assert source.warnings[1].startswith("frame 3: 3.jpg ")
    assert source.warnings[1].endswith("; a frame next to it stands in")
    assert read(source.frames_reversed()) == read(frames)[::-1]
    assert len(source.warnings) == 3


def test_a_folder_of_broken_images_is_an_input_error(tmp_path):
    (tmp_path / "bad").mkdir()
    for number in range(3):
        (tmp_path / "bad" / f"{number}.png").write_bytes(b"nothing")
    with pytest.raises(
        InputError, match=r"not one of the 3 images of bad can be read.*2\.png is not an image"
    ):
        open_source(tmp_path / "bad")


def test_a_single_image_is_a_video_of_one_frame(tmp_path):
    save(tmp_path, {"still.png": 77})
    source = open_source(tmp_path / "still.png")
    frames = list(source.frames())
    assert (source.name, source.num_frames, numbers(frames)) == ("still", 1, [77])
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"^bad\.png is not an image$"):
        open_source(tmp_path / "bad.png")


def test_other_sizes_are_scaled_to_the_first_with_a_warning(tmp_path):
    save(tmp_path / "sizes", {"1.png": 1})
    save(tmp_path / "sizes", {"2.png": 2, "3.png": 3}, (96, 100))
    source = open_source(tmp_path / "sizes")
    frames = list(source.frames())
    assert numbers(frames) == [1, 2, 3]
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert source.warnings == [
        "the frames of sizes change size: 2.png (frame 1) is 100x96, the first 64x48; "
        "all are scaled to the size of the first"
    ]


def test_exif_orientation_is_applied(tmp_path):
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(image).save(tmp_path / "phone.jpg", exif=exif)
    shown = next(open_source(tmp_path / "phone.jpg").frames()).image
    assert shown.shape == (60, 40, 3)
    assert shown[:28].min() > 200 and shown[32:].max() < 50


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0, 256, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 1, 255]], np.uint8), [0, 1, 255]),
        (np.array([[[0, 0, 0, 0], [1, 1, 1, 9], [255, 255, 255, 255]]], np.uint8), [0, 1, 255]),
    ],
    ids=["16 bits", "grey", "alpha"],
)
def test_other_kinds_of_pixels_become_rgb(tmp_path, image, expected):
    Image.fromarray(image).save(tmp_path / "still.png")
    frame = next(open_source(tmp_path / "still.png").frames())
    assert frame.image.dtype == np.uint8
    assert frame.image.tolist() == [[[value] * 3 for value in expected]]


def test_a_hostile_image_is_refused_by_its_header(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "huge.png")
    data = bytearray((tmp_path / "huge.png").read_bytes())
    data[16:24] = struct.pack(">2I", 13000, 13000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "huge.png").write_bytes(data)
    with pytest.raises(InputError, match=r"^huge\.png is an image of 13000x13000 pixels"):
        open_source(tmp_path / "huge.png")
