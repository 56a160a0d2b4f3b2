"""Everything that a user can get wrong: one sentence, exit code 2, nothing left behind."""

import contextlib
import resource
import wave

import numpy as np
import pytest
import squares
from command import files_in, msnvis

PARTS = ("--segmenter", "squares", "--classifier", "none")


def make_missing(folder):
    return folder / "missing.mp4"


def make_empty(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def make_text(folder):
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    return folder / "text.mp4"


def make_sound(folder):
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.zeros(8000, np.int16).tobytes())
    return folder / "sound.wav"


def make_cut_off(folder):
    """An mp4 whose index, at its end, is missing."""
    whole = squares.write_clip(folder / "cut_off.mp4", squares.frames(6)).read_bytes()
    (folder / "cut_off.mp4").write_bytes(whole[: len(whole) // 2])
    return folder / "cut_off.mp4"


def make_empty_folder(folder):
    (folder / "frames").mkdir()
    return folder / "frames"


def make_unmatched_glob(folder):
    return folder / "frame*.png"


def make_broken_image(folder):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    return folder / "broken.png"


MAKERS = [value for name, value in dict(globals()).items() if name.startswith("make_")]


def assert_one_sentence(outcome, *words):
    assert outcome.code == 2
    lines = [line for line in outcome.err.splitlines() if line.startswith("msnvis: error: ")]
    assert len(lines) == 1 and len(lines[0]) > len("msnvis: error: ") + 15
    assert "Traceback" not in outcome.err and "unexpected" not in lines[0]
    for word in words:
        assert str(word) in lines[0]


@pytest.mark.parametrize("make", MAKERS)
def test_unreadable_input(make, tmp_path):
    bad = make(tmp_path)
    outcome = msnvis("run", bad, "-o", tmp_path / "out", *PARTS)
    assert_one_sentence(outcome, bad.stem.rstrip("*"))
    assert not (tmp_path / "out").exists()
    assert_one_sentence(msnvis("info", bad), bad.stem.rstrip("*"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return squares.write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", squares.frames(4))


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--segmenter", "compactt", "'compact'"),
        ("--propagator", "flew", "'flow'"),
        ("--selector", "scores", "'score'"),
        ("--classifier", "efficientnet", "'efficientnet-lite0'"),
        ("--labels", "ytvis2022", "'ytvis202"),
        ("--format", "yvis", "'ytvis'"),
        ("--direction", "sideways", "forward, backward or both"),
        ("--score-threshold", "1.5", "score_threshold"),
        ("--max-objects", "0", "max_objects"),
        ("--keep-alive", "-1", "--keep-alive"),
        ("--device", "abacus", "abacus"),
        ("--stride", "0", "stride"),
        ("--max-side", "0", "longest side"),
        ("--start", "noon", "noon"),
        ("--start", "4", "start"),
        ("--end", "0", "end"),
        ("--segmenter-weights", "nowhere.safetensors", "nowhere.safetensors"),
        ("--selector", "selector-net", "weights"),
        ("--selector-weights", "nowhere.safetensors", "nowhere.safetensors"),
    ],
)
def test_wrong_option(clip, tmp_path, option, value, hint):
    parts = {"--segmenter": "squares", "--classifier": "none", option: value}
    if option in ("--device", "--segmenter-weights"):
        parts["--segmenter"] = "compact"
    if option == "--selector-weights":
        parts["--selector"] = "msn"
    arguments = [word for pair in parts.items() for word in pair]
    assert_one_sentence(msnvis("run", clip, "-o", tmp_path / "out", *arguments), hint)
    assert files_in(tmp_path / "out") == []


def test_broken_weights_file(clip, tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(bytes(range(256)) * 4)
    options = ("--segmenter", "compact", "--segmenter-weights", weights)
    assert_one_sentence(msnvis("run", clip, "-o", tmp_path / "out", *options), weights)
    assert files_in(tmp_path / "out") == []


def test_broken_detections_file(clip, tmp_path):
    detections = tmp_path / "detections.json"
    detections.write_text('[{"image_id": 0, "category_id": 1,')
    options = ("--segmenter", f"precomputed:{detections}", "--classifier", "none")
    assert_one_sentence(msnvis("run", clip, "-o", tmp_path / "out", *options), detections)
    assert files_in(tmp_path / "out") == []


def test_output_below_a_file(clip, tmp_path):
    (tmp_path / "file").touch()
    outcome = msnvis("run", clip, "-o", tmp_path / "file" / "out", *PARTS)
    assert_one_sentence(outcome, tmp_path / "file" / "out", "--output")


@contextlib.contextmanager
def room_for(size: int):
    """Let no file grow beyond `size` bytes, which is how a full disk or quota looks to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["ytvis", "coco", "png", "mots", "overlay", "summary"])
def test_full_disk(clip, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    with room_for(64):
        outcome = msnvis("run", clip, "-o", out, *PARTS, "-f", name)
    assert_one_sentence(outcome, "free some space")
    assert files_in(out) == []


def test_full_disk_keeps_earlier_results(clip, tmp_path):
    (tmp_path / "tracks.json").write_text("earlier")
    with room_for(64):
        assert_one_sentence(msnvis("run", clip, "-o", tmp_path, *PARTS, "-f", "ytvis"))
    assert (tmp_path / "tracks.json").read_text() == "earlier"
