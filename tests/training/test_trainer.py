"""What every training does, whatever it trains: interruptions, several processes, one folder for one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import TinyTrainer

from msnvis.errors import OutputError, WeightsError
from msnvis.io.lock import locked
from msnvis.training.trainer import read_history

STEPS = 11


def results(output):
    """Everything that a training leaves, times and TensorBoard's events left out."""
    weights = [load_file(output / f"{name}.safetensors") for name in ("best", "final")]
    history = [{k: v for k, v in entry.items() if k != "minutes"} for entry in read_history(output)]
    return [{name: value.tolist() for name, value in part.items()} for part in weights], history


@pytest.fixture
def whole(tmp_path):
    TinyTrainer(tmp_path / "whole", STEPS).run()
    return results(tmp_path / "whole")


def interrupt_at(trainer, name, call):
    """Ctrl-C at the beginning of a call of a method, or of a function of an object, of the trainer."""
    *way, last = name.split(".")
    holder = trainer
    for part in way:
        holder = getattr(holder, part)
    original, count = getattr(holder, last), [0]

    def interrupted(*arguments, **named):
        count[0] += 1
        if count[0] == call:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    setattr(holder, last, interrupted)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("losses", 1),
        ("losses", 6),
        ("optimizer.step", 5),
        ("average.update_parameters", 5),
        ("average.update_parameters", 6),
        ("validate", 1),
        ("validate", 3),
        ("save_weights", 1),
        ("_save", 2),
    ],
)
def test_ctrl_c_at_any_moment_of_a_step_changes_nothing(tmp_path, whole, name, call):
    interrupted = TinyTrainer(tmp_path / "out", STEPS)
    interrupt_at(interrupted, name, call)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    TinyTrainer(tmp_path / "out", STEPS).run()
    assert results(tmp_path / "out") == whole


@pytest.mark.parametrize("torn", [b"", b'{"kind": "train", "step": 7, "lo', b"\0\0\0\n"])
def test_what_is_done_again_is_in_the_history_once(tmp_path, whole, torn):
    class PowerCut(BaseException):
        pass

    def cut(*_):
        raise PowerCut

    first = TinyTrainer(tmp_path / "out", STEPS, checkpoint_every=3)
    original = first.losses
    first.losses = lambda batch: original(batch) if first.step < 8 else cut()
    with pytest.raises(PowerCut):
        first.run()
    assert [e["step"] for e in read_history(tmp_path / "out") if e["kind"] == "train"] == list(range(1, 9))
    with (tmp_path / "out" / "history.jsonl").open("ab") as file:
        file.write(torn)
    TinyTrainer(tmp_path / "out", STEPS).run()
    assert results(tmp_path / "out") == whole


def test_two_trainings_do_not_share_a_folder(tmp_path, whole):
    with locked(tmp_path / "whole"), pytest.raises(OutputError, match=r"another run is writing to .*whole"):
        TinyTrainer(tmp_path / "whole", 2 * STEPS).run()
    assert results(tmp_path / "whole") == whole
    assert not (tmp_path / "whole" / ".lock").exists()


def test_checkpoints_of_something_else_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    TinyTrainer(tmp_path, 2).run()
    good = torch.load(path, weights_only=True)
    for change in ({"network": {}}, {"optimizer": {"state": {}}}, {"step": None}):
        torch.save({key: change.get(key, value) for key, value in good.items()}, path)
        if change == {"step": None}:
            torch.save({key: value for key, value in good.items() if key != "step"}, path)
        with pytest.raises(WeightsError, match=r"checkpoint\.pt is damaged; remove it"):
            TinyTrainer(tmp_path, 4)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is damaged; remove it"):
        TinyTrainer(tmp_path, 4)


@pytest.mark.slow
def test_two_processes_have_the_loss_and_the_weights_of_one(tmp_path):
    script = Path(__file__).with_name("tiny_training.py")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for output, start, batch_size in (("one", [], 4), ("two", launcher, 2)):
        command = [sys.executable, *start, str(script), str(tmp_path / output), str(STEPS), str(batch_size)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    one, two = (read_history(tmp_path / output) for output in ("one", "two"))
    assert len(one) == len(two) == STEPS + 3
    for first, second in zip(one, two, strict=True):
        assert {**second, "minutes": 0} == pytest.approx({**first, "minutes": 0}, abs=2e-6), json.dumps(first)
    weights = [load_file(tmp_path / output / "final.safetensors") for output in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value)
