import json
import os
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from msnvis.errors import InputError, OptionError, OutputError
from msnvis.store import WorkFolder
from msnvis.store.checkpoint import read_checkpoint, write_checkpoint
from msnvis.store.folder import NAME

FINGERPRINT = {"input": {"name": "clip.mp4", "size": 10}, "options": {"direction": "both"}, "parts": {}}


def interrupted(results, fingerprint=FINGERPRINT):
    """A run that made a checkpoint after its second record."""
    with WorkFolder(results) as work:
        store, state = work.open(fingerprint)
        assert state is None
        for frame in range(2):
            store.verdicts[frame] = np.full((1, 4), float(frame))
        work.save({"frame": 2})
        store.verdicts[2] = np.zeros((1, 4))


def test_everything_up_to_the_checkpoint_is_there_again(tmp_path):
    interrupted(tmp_path / "out")
    with WorkFolder(tmp_path / "out") as work:
        store, state = work.open(FINGERPRINT)
        assert state == {"frame": 2}
        assert list(store.verdicts) == [0, 1] and store.verdicts[1].tolist() == [[1.0] * 4]
        work.finish()
    assert os.listdir(tmp_path / "out") == []


def test_without_a_checkpoint_nothing_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), WorkFolder(tmp_path) as work:
        work.open(FINGERPRINT)
        (work.path / "live.mp4").write_bytes(b"")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_read_again_leaves_nothing(tmp_path):
    with WorkFolder(tmp_path) as work:
        work.open({**FINGERPRINT, "input": None})
        assert not work.is_due
        work.save({"frame": 1})
    assert os.listdir(tmp_path) == []


def test_a_run_begun_otherwise_is_refused_with_what_differs(tmp_path):
    interrupted(tmp_path)
    for changed, said in (
        ({"options": {"direction": "forward"}}, "options direction was both and is forward"),
        ({"input": {"name": "clip.mp4", "size": 11}}, "input size was 10 and is 11"),
        ({"input": None}, "input name was clip.mp4 and is null, input size was 10 and is null"),
        ({"input": {f"k{n}": n for n in range(9)}}, "and 6 more"),
    ):
        with WorkFolder(tmp_path) as work, pytest.raises(OptionError) as refusal:
            work.open({**FINGERPRINT, **changed})
        assert said in str(refusal.value) and "--restart" in str(refusal.value)
    with WorkFolder(tmp_path, restart=True) as work:
        assert work.open({**FINGERPRINT, "options": {}})[1] is None


def test_before_the_first_checkpoint_there_is_nothing_to_refuse(tmp_path):
    with WorkFolder(tmp_path) as work:
        work.open(FINGERPRINT)
        (tmp_path / "journal").write_bytes((work.path / "journal").read_bytes())
    (tmp_path / NAME).mkdir()
    (tmp_path / "journal").rename(tmp_path / NAME / "journal")
    with WorkFolder(tmp_path) as work:
        store, state = work.open({"input": {"name": "other"}})
        assert state is None and list(store.journal.records()) == []
        assert json.loads(store.journal.about) == {"input": {"name": "other"}}


@pytest.mark.parametrize("file", ["journal", "checkpoint"])
@pytest.mark.parametrize("damage", ["cut", "change", "replace"])
def test_damage_is_told(tmp_path, file, damage):
    interrupted(tmp_path)
    path = tmp_path / NAME / file
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "change": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
            "replace": b"something else",
        }[damage]
    )
    with WorkFolder(tmp_path) as work, pytest.raises(OptionError, match=r"damaged.*--restart"):
        work.open(FINGERPRINT)


def test_two_runs_do_not_share_a_folder(tmp_path):
    with WorkFolder(tmp_path) as work:
        work.open(FINGERPRINT)
        with pytest.raises(OutputError, match="another run is writing to"), WorkFolder(tmp_path):
            pass
        assert (work.path / "journal").exists()
    with WorkFolder(tmp_path):
        pass


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    for name in (
        ".tracks.123.partial.json",
        ".masks.old.7.old",
        "tracks.json",
        ".hidden.json",
        "a.1.partial",
    ):
        (tmp_path / name).write_text("")
    (tmp_path / ".masks.99.partial").mkdir()
    (tmp_path / ".masks.99.partial" / "00000.png").write_text("")
    with WorkFolder(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == [".hidden.json", "a.1.partial", "tracks.json"]


def test_checkpoints_are_rarer_where_they_take_long(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("msnvis.store.folder.time.monotonic", lambda: clock[0])
    with WorkFolder(tmp_path) as work:
        work.open(FINGERPRINT)
        clock[0] = 9.9
        assert not work.is_due
        clock[0] = 10.0
        assert work.is_due
        monkeypatch.setattr(
            "msnvis.store.folder.write_checkpoint", lambda *arguments: clock.__setitem__(0, clock[0] + 2)
        )
        work.save({})
        clock[0] += 39
        assert not work.is_due
        clock[0] += 1
        assert work.is_due


def test_a_state_comes_back_bit_by_bit(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [
        rng.random(3),
        rng.random((2, 0, 4), np.float32),
        np.array(-7),
        rng.integers(0, 9, 4)[::2],
    ]
    state = {
        "floats": [0.1 + 0.2, 1e-300, 5e-324],
        "text": "ä",
        "nothing": None,
        "arrays": arrays,
        "deep": {"a": [{}]},
    }
    write_checkpoint(tmp_path / "state", state)
    again = read_checkpoint(tmp_path / "state")
    for before, after in zip(state.pop("arrays"), again.pop("arrays"), strict=True):
        assert before.dtype == after.dtype and before.shape == after.shape
        np.testing.assert_array_equal(before, after)
    assert again == state
    assert os.listdir(tmp_path) == ["state"]


def test_what_json_cannot_hold_is_not_written(tmp_path):
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path / "state", {"object": object()})
    assert os.listdir(tmp_path) == []


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_single_wrong_byte_is_noticed(position, difference):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state")
        write_checkpoint(path, {"frame": 3, "votes": np.arange(9.0), "cuts": [1, 2]})
        data = bytearray(path.read_bytes())
        data[position % len(data)] ^= difference
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    zeros = {"a": np.zeros(1)}
    for name, text in (("other", '{"x": {"array": "b"}}'), ("deep", "[" * 100_000), ("not text", "\udcff")):
        content = np.frombuffer(text.encode(errors="surrogateescape"), np.uint8)
        data = save(zeros | {"state": content})
        (tmp_path / name).write_bytes(zlib.crc32(data).to_bytes(4, "little") + data)
    (tmp_path / "weights").write_bytes(save(zeros))
    (tmp_path / "empty").touch()
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(path)
