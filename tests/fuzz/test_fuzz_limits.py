"""Sizes, lengths and numbers that files only claim: refused clearly, or harmless."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
import squares
from command import files_in, msnvis
from fuzz_readers import READERS, frame
from PIL import Image

from msnvis.datasets.formats.frames import image_size
from msnvis.errors import InputError, OptionError
from msnvis.io.formats.png import read_labels
from msnvis.io.image_file import read_bgr
from msnvis.io.image_folder import read_image
from msnvis.io.info import _longest_run
from msnvis.io.readers import open_source
from msnvis.structures import VideoInstances


def huge_png(width, height, mode=0):
    """A few bytes whose header claims a size."""
    header = struct.pack(">2I5B", width, height, 8, mode, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def replaced(reader, name, old, new):
    """The valid input of a reader with `old` replaced in one of its files."""
    files = dict(READERS[reader].make())
    assert old in files[name], files[name][:1000]
    return {**files, name: files[name].replace(old, new)}


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("images", "00000.png"),
        ("image folder", "00001.png"),
        ("label maps", "00000.png"),
        ("dataset ytvis", "JPEGImages/left/00000.png"),
        ("dataset davis", "Annotations/480p/bear/00001.png"),
        ("dataset mots maps", "instances/0002/000001.png"),
        ("dataset openimages", "train-masks/m0.png"),
        ("dataset labelme", "000.png"),
    ],
)
@pytest.mark.parametrize("size", [(30_000, 30_000), (100_000, 100_000), (2**31 - 1, 1)])
def test_sizes_that_an_image_claims(guard, reader, name, size):
    outcome = guard.attempt(reader, {**READERS[reader].make(), name: huge_png(*size)})
    assert outcome.is_fine, outcome
    assert outcome.megabytes < 200


def test_a_part_of_an_image_that_claims_gigabytes(guard):
    files = dict(READERS["images"].make())
    whole = files["00000.png"]
    files["00000.png"] = whole[:-12] + struct.pack(">I", 2**32 - 16) + b"tEXt" + whole[-12:]
    outcome = guard.attempt("images", files)
    assert outcome.is_fine, outcome
    assert outcome.megabytes < 200


def test_a_damaged_video_may_have_no_keyframe():
    assert _longest_run([(0, 1, False), (1, 1, False)]) is None
    assert _longest_run([(0, 1, True), (1, 1, False), (2, 1, True)]) == 2


@pytest.mark.parametrize("size", [(30_000, 30_000), (32_767, 32_767), (0, 0), (1, 2**31 - 1)])
def test_sizes_that_a_video_claims(guard, size):
    data = bytearray(READERS["video a.avi"].make()["a.avi"])
    for field, place in ((b"strf", 12), (b"avih", 40)):
        start = data.index(field) + place
        data[start : start + 8] = struct.pack("<2I", *size)
    outcome = guard.attempt("video a.avi", {"a.avi": bytes(data)})
    assert outcome.is_fine, outcome
    assert outcome.megabytes < 400


@pytest.mark.parametrize(
    ("reader", "name", "old", "new"),
    [
        ("dataset ytvis", "instances.json", b'"height": 24', b'"height": 100000000'),
        ("dataset ytvis", "instances.json", b'"length": 3', b'"length": 1000000000'),
        ("dataset coco", "instances.json", b'"width": 32', b'"width": 100000000'),
        ("dataset labelme", "000.json", b'"imageWidth": 32', b'"imageWidth": 100000000'),
        ("dataset cvat", "annotations.xml", b"<size>5<", b"<size>1000000000<"),
        ("dataset cvat", "annotations.xml", b"<width>32<", b"<width>1000000000<"),
        ("dataset cvat", "annotations.xml", b"step=1<", b"step=999999<"),
        ("dataset cvat", "annotations.xml", b'rle="1, 2, 1"', b'rle="1, 1000000000000, 1"'),
        ("dataset mots text", "MOTS20-02/gt/gt.txt", b"24 32", b"100000 100000"),
        ("dataset mots text", "MOTS20-02/gt/gt.txt", b"3 1000", b"1000000000 1000"),
        ("dataset mots text", "MOTS20-02/seqinfo.ini", b"seqLength=3", b"seqLength=1000000000"),
        ("ground truth", "truth.json", b'"length": 3', b'"length": 1000000000'),
        ("ground truth", "truth.json", b'"height": 24', b'"height": 100000000'),
        ("results ytvis", "ytvis.json", b'"length": 3', b'"length": 1000000000'),
        ("results ytvis", "ytvis.json", b'"height": 24', b'"height": 100000000'),
        ("results coco", "coco.json", b'"height": 24', b'"height": 100000000'),
        ("results mots", "mots.txt", b"2 1010", b"999999999 1010"),
        ("training images", "coco.json", b'"height": 64', b'"height": 100000000'),
    ],
)
def test_numbers_that_are_claimed(guard, reader, name, old, new):
    outcome = guard.attempt(reader, replaced(reader, name, old, new))
    assert outcome.is_fine, outcome
    assert outcome.megabytes < 300


@pytest.mark.parametrize("reader", ["dataset ytvis", "dataset coco"])
def test_ids_of_any_size_are_only_names(guard, reader):
    files = dict(READERS[reader].make())
    content = json.loads(files["instances.json"])
    for entry in (*content["categories"], *content["annotations"]):
        key = "id" if "name" in entry else "category_id"
        entry[key] += 10**18
    outcome = guard.attempt(reader, {**files, "instances.json": json.dumps(content).encode()})
    assert outcome.verdict == "read", outcome


def test_one_line_does_not_make_a_video_of_days():
    with pytest.raises(InputError, match="a video of 1000000000 frames without timestamps"):
        VideoInstances.from_mots("999999999 1001 1 4 6 0h0", {1: "car"})
    assert VideoInstances.from_mots("999 1001 1 4 6 0h0", {1: "car"}).num_frames == 1000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The same six frames of 80x48 as a file that says its length, one that does not, and images."""
    folder = tmp_path_factory.mktemp("inputs")
    clip = squares.write_clip(folder / "clip.mp4", squares.frames(6))
    squares.write_clip(folder / "clip.ts", squares.frames(6))
    (folder / "images").mkdir()
    for index, image in enumerate(squares.frames(6)):
        Image.fromarray(image).save(folder / "images" / f"{index}.png")
    return {"mp4": clip, "ts": folder / "clip.ts", "images": folder / "images"}


def read_all(path, **options):
    return sum(1 for _ in open_source(path, **options).frames())


@pytest.mark.parametrize("kind", ["mp4", "ts", "images"])
def test_longer_videos_than_allowed_are_refused(inputs, kind):
    assert read_all(inputs[kind], max_frames=6) == 6
    assert read_all(inputs[kind], max_frames=3, end=3) == 3
    assert read_all(inputs[kind], max_frames=3, stride=2) == 3
    with pytest.raises(InputError, match="more than 5 frames; read a part of it with --start"):
        read_all(inputs[kind], max_frames=5)


@pytest.mark.parametrize("kind", ["mp4", "ts", "images"])
def test_larger_frames_than_allowed_are_refused(inputs, kind):
    assert read_all(inputs[kind], max_pixels=80 * 48) == 6
    with pytest.raises(InputError, match="80x48"):
        read_all(inputs[kind], max_pixels=80 * 48 - 1)


@pytest.mark.parametrize(
    "options", [{"max_frames": 0}, {"max_frames": 2.5}, {"max_pixels": -1}, {"max_pixels": 2**28}]
)
def test_limits_that_make_no_sense(inputs, options):
    with pytest.raises(OptionError, match=next(iter(options))):
        open_source(inputs["mp4"], **options)


@pytest.mark.parametrize(
    ("option", "value", "said"), [("--max-frames", 5, "5 frames"), ("--max-pixels", 99, "80x48")]
)
def test_limits_of_the_command(inputs, tmp_path, option, value, said):
    parts = "--segmenter", "squares", "--classifier", "none", "-f", "ytvis"
    outcome = msnvis("run", inputs["mp4"], "-o", tmp_path / "out", *parts, option, value)
    assert outcome.code == 2 and said in outcome.err
    assert files_in(tmp_path / "out") == []


def test_only_formats_of_pictures_are_opened(tmp_path):
    """Pillow hands EPS to Ghostscript, whatever the file is called."""
    file = tmp_path / "a.png"
    Image.fromarray(frame(0)).save(file, "EPS")
    with Image.open(file) as image:
        assert image.format == "EPS"
    with pytest.raises(InputError, match=r"a\.png is not an image"):
        read_image(file)
    for read in (image_size, read_labels):
        with pytest.raises(ValueError, match="is not an image"):
            read(file)
    assert read_bgr(file) is None


def test_pictures_under_wrong_names_are_read(tmp_path):
    for format in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF"):
        buffer = io.BytesIO()
        Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(buffer, format)
        (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
        assert abs(read_image(tmp_path / "a.jpg").astype(int) - 200).max() < 8
