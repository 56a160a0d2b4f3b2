"""The display of a run, and the Ctrl-C that waits for the end of a frame."""

import io
import os
import signal

import pytest
from rich.console import Console

from msnvis.cli import progress
from msnvis.cli.interrupt import PoliteInterrupt
from msnvis.cli.progress import ProgressDisplay
from msnvis.pipeline import ProgressEvent


def shown(events, terminal, sweeps=2):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)
    with ProgressDisplay("street", sweeps, console) as display:
        for event in events:
            display(event)
        if terminal:
            display._bar.refresh()
    return console.file.getvalue()


def test_plain_lines_at_the_end_of_each_pass():
    events = [ProgressEvent("forward", frame, 20, 4.0, 3) for frame in range(1, 21)]
    events += [ProgressEvent("backward", frame, 20, 8.0, 1) for frame in range(1, 21)]
    events.append(ProgressEvent("merge", 20, 20, 0.0, 5))
    assert shown(events, terminal=False).splitlines() == [
        "street: forward: 20/20 frames, 4.0 fps, 3 objects",
        "street: backward: 20/20 frames, 8.0 fps, 1 object",
    ]


def test_a_wrong_estimate_of_the_length_is_not_repeated(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    events = [ProgressEvent("forward", frame, 2, 4.0, 3) for frame in (2, 3)]
    lines = shown([*events, ProgressEvent("backward", 1, 3, 4.0, 3)], terminal=False).splitlines()
    assert lines[:2] == [
        "street: forward: 2/2 frames, 4.0 fps, 3 objects, about 0 s left",
        "street: forward: 3 frames, 4.0 fps, 3 objects, about 0 s left",
    ]
    assert lines[2] == "street: forward: 3/3 frames, 4.0 fps, 3 objects"


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        (ProgressEvent("forward", 5, 20, 2.5, 3), 14),  # 15 frames of this pass and 20 of the next
        (ProgressEvent("backward", 5, 20, 2.5, 3), 6),
    ],
)
def test_time_left_counts_both_passes(monkeypatch, event, seconds):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    assert shown([event], terminal=False).strip().endswith(f"3 objects, about {seconds} s left")


def test_a_live_source_has_no_time_left(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    text = shown([ProgressEvent("forward", 5, None, 2.5, 3)], terminal=False, sweeps=1)
    assert text.strip() == "street: forward: 5 frames, 2.5 fps, 3 objects"


def test_the_bar_shows_frames_speed_and_objects():
    text = shown([ProgressEvent("backward", 5, 20, 2.5, 3)], terminal=True)
    assert "street: backward" in text
    assert "5/20 frames, 2.5 fps, 3 objects" in text


def test_ctrl_c_waits_for_a_check_and_the_second_does_not():
    before = signal.getsignal(signal.SIGINT)
    with PoliteInterrupt() as interrupt:
        interrupt.check()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.pending
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        assert not interrupt.pending
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
