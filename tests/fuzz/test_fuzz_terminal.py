"""No name in a file, and none of a file, steers the terminal that it is shown on."""

import json
import os
import unicodedata

import numpy as np
import pytest
import squares
from command import msnvis
from fuzz_readers import READERS
from hypothesis import given
from hypothesis import strategies as st

from msnvis.terminal import neutral

#: Renames the window, writes to the clipboard, clears the screen, in one byte too, goes back to the start of
#: the line, turns what follows around.
STEERING = "\x1b]0;owned\x07\x1b]52;c;aGk=\x07\x1b[2J\x9b2J\r\b\u202e\u2066"
#: What Unicode calls the characters that turn text around.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
PARTS = "--segmenter", "squares", "--classifier", "none", "-f", "ytvis"


def assert_harmless(outcome):
    said = outcome.out + outcome.err
    assert "owned" in said
    kinds = {unicodedata.category(character) for character in said.replace("\n", "")}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}, ascii(said)


@pytest.fixture
def named(tmp_path):
    """Gives the valid input of a reader with one text in it replaced by something that steers."""

    def write(reader, old):
        for name, data in READERS[reader].make().items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.replace(old.encode(), json.dumps(STEERING)[1:-1].encode()))
        return tmp_path / "set"

    return write


@given(st.text(st.characters() | st.characters(categories=("Cc", "Cs", "Cf")) | st.just("\n")))
def test_neutral_text_steers_nothing_and_the_rest_is_left(text):
    shown = neutral(text)
    assert not {unicodedata.category(c) for c in shown.replace("\n", "")} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & TURNING
    assert neutral(shown) == shown
    printable = "".join(c for c in text if c.isprintable())
    assert neutral(printable) == printable


@pytest.mark.parametrize("lenient", [["--lenient"], []])
def test_what_is_wrong_with_a_dataset(named, tmp_path, lenient):
    folder = named("dataset ytvis", "left/00000.png")
    annotations = folder / "instances.json"
    annotations.write_text(annotations.read_text().replace("\\u202e", "/../"))
    outcome = msnvis("convert", folder, "--from", "ytvis", "--to", "coco", "-o", tmp_path / "out", *lenient)
    assert outcome.code == (0 if lenient else 2)
    assert_harmless(outcome)


def test_names_of_classes_in_an_evaluation(named, tmp_path):
    folder = named("ground truth", "person")
    options = "--per-category", "--diagnose", tmp_path / "faults.json"
    outcome = msnvis("eval", folder / "results.json", "-a", folder / "truth.json", *options)
    assert outcome.code == 0, outcome.err
    assert_harmless(outcome)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names of files")
@pytest.mark.parametrize("stranger", [STEERING, "owned \udcff"], ids=["steering", "not UTF-8"])
def test_names_of_files(tmp_path, stranger):
    clip = squares.write_clip(tmp_path / "a.mp4", squares.frames(2)).rename(tmp_path / f"{stranger}.mp4")
    broken = tmp_path / f"{stranger} broken.mp4"
    broken.write_bytes(b"no video")
    empty = squares.write_clip(tmp_path / "b.mp4", [np.zeros((48, 80, 3), np.uint8)] * 2)
    empty = empty.rename(tmp_path / f"{stranger} 0.mp4")
    for inputs, code in ((clip,), 0), ((empty,), 0), ((broken,), 2), ((clip, broken, empty), 2):
        outcome = msnvis("run", *inputs, "-o", tmp_path / "out", *PARTS)
        assert outcome.code == code, outcome.err
        assert_harmless(outcome)
        outcome = msnvis("info", *inputs)
        assert outcome.code == code, outcome.err
        assert_harmless(outcome)
