"""Presets: what they take, what wins over them, and what they say when something is missing."""

import inspect

import pytest
import squares
import torch
from command import files_in, msnvis

from msnvis import VideoInstanceSegmenter, presets
from msnvis.errors import MsnvisError, UnknownPartError
from msnvis.presets import PRESETS, Preset, preset_options
from msnvis.propagators import propagators
from msnvis.segmenters import classifiers, segmenters
from msnvis.selection import selectors
from msnvis.weights.catalogue import find_weights
from msnvis.weights.files import local_path

KINDS = {
    "segmenter": segmenters,
    "propagator": propagators,
    "selector": selectors,
    "classifier": classifiers,
}


@pytest.fixture(autouse=True)
def nothing_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")


@pytest.fixture
def without_transformers(monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda name: None)


def parts_of(preset):
    """(kind, name, own options) of each part that a preset may take."""
    fixed = [(kind, preset.options[kind]) for kind in KINDS if kind in preset.options]
    chosen = [(kind, choice.part) for kind, choices in preset.choices.items() for choice in choices]
    return [(k, p, {}) if isinstance(p, str) else (k, *p) for k, p in fixed + chosen]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_parts_and_options_that_exist(name):
    preset = PRESETS[name]
    known = set(inspect.signature(VideoInstanceSegmenter).parameters)
    assert {*preset.options, *preset.choices} <= known
    for kind, part, options in parts_of(preset):
        KINDS[kind].takes(part, "device")  # raises where there is no such part
        assert [option for option in options if not KINDS[kind].takes(part, option)] == []


def test_the_paper_preset_is_the_papers_pipeline():
    assert preset_options("paper") == {
        "segmenter": "swin-b-cascade",
        "propagator": ("cfbi", {"scales": (1.0, 1.15, 1.3, 1.5), "flip": True}),
        "selector": ("msn", {"score_weight": 0.0}),
        "classifier": "torchvision:vit_b_16",
        "direction": "both",
    }


def test_the_compact_preset_is_every_default():
    assert preset_options("compact") == {}
    made = VideoInstanceSegmenter.from_preset("compact", device="cpu", direction="forward", max_objects=3)
    assert made.direction == "forward" and made.tracking.max_objects == 3
    default = VideoInstanceSegmenter(device="cpu")
    assert type(made.segmenter) is type(default.segmenter)
    assert type(made.propagator) is type(default.propagator)
    assert type(made.selector) is type(default.selector)


def test_best_takes_what_can_be_had(without_transformers):
    assert preset_options("best")["segmenter"] == "swin-b-cascade"
    assert preset_options("best")["propagator"] == "flow"
    target = local_path(find_weights("cfbi"))
    target.parent.mkdir(parents=True)
    torch.save({"w": torch.zeros(1)}, target)
    assert preset_options("best")["propagator"] == preset_options("paper")["propagator"]


def test_best_takes_models_of_transformers_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda name: object() if name == "transformers" else None)
    options = preset_options("best")
    assert options["segmenter"].startswith("transformers:")
    assert options["propagator"].startswith("transformers:")


@pytest.mark.parametrize(
    ("instead", "text"),
    [
        ({}, "preset 'paper': the weights 'swin-b-cascade' are not on this machine and MSNVIS_OFFLINE"),
        (
            {"segmenter": squares.SquareSegmenter()},
            "preset 'paper': the weights 'cfbi' can only be fetched by hand: open https://drive.google.com/",
        ),
    ],
)
def test_what_a_preset_lacks_is_said_with_the_remedy(instead, text):
    with pytest.raises(MsnvisError) as caught:
        VideoInstanceSegmenter.from_preset("paper", device="cpu", **instead)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_part_that_nobody_registered(monkeypatch):
    monkeypatch.setitem(PRESETS, "odd", Preset("for this test", {"propagator": "wrap"}))
    with pytest.raises(UnknownPartError, match=r"preset 'odd': no propagator is called 'wrap'; "):
        VideoInstanceSegmenter.from_preset("odd", segmenter="squares", device="cpu")


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownPartError, match="no preset is called 'papper'; did you mean 'paper'"):
        VideoInstanceSegmenter.from_preset("papper")


def test_a_part_with_options_of_its_own_gets_them_and_what_the_pipeline_offers():
    made = VideoInstanceSegmenter(
        "squares", ("flow", {"max_side": 123}), classifier="none", device="cpu", max_lost=7
    )
    expected = propagators.create("flow", max_side=123, keep_alive=8)
    assert vars(made.propagator).keys() == vars(expected).keys()
    assert made.propagator.max_side == 123 and made.propagator.keep_alive == 8


@pytest.fixture
def clip(tmp_path):
    return squares.write_clip(tmp_path / "clip.mp4", squares.frames(4))


def test_command_options_win_over_the_preset_even_where_they_are_the_defaults(clip, tmp_path):
    run = ("run", clip, "-o", tmp_path / "out", "-f", "mots", "--preset", "paper")
    parts = ("--segmenter", "squares", "--propagator", "flow", "--selector", "score", "--classifier", "none")
    outcome = msnvis(*run, *parts, "--direction", "forward")
    assert outcome.code == 0, outcome.err
    assert "mots.txt" in files_in(tmp_path / "out")
    assert "forward: " in outcome.err and "backward: " not in outcome.err


def test_command_tells_what_the_preset_lacks(clip, tmp_path):
    run = ("run", clip, "-o", tmp_path / "out", "--preset", "paper", "--segmenter", "squares")
    outcome = msnvis(*run)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "preset 'paper': the weights 'cfbi' can only be fetched by hand" in outcome.err
    missing = tmp_path / "mine.pth"
    outcome = msnvis(*run, "--propagator-weights", missing)
    assert f"preset 'paper': {missing}: there is no such weights file" in outcome.err
    outcome = msnvis(*run, "--propagator", "flow", "--propagator-weights", missing)
    assert "propagator 'flow' has no option 'weights'" in outcome.err
    assert "did you mean 'best'?" in msnvis("run", clip, "--preset", "bestest").err


def test_models_lists_the_presets():
    rows = [line.split() for line in msnvis("models").out.splitlines() if line.startswith("preset")]
    assert [row[1] for row in rows] == list(PRESETS)
