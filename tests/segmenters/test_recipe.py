import dataclasses
import inspect
import json
import re

import pytest
from command import msnvis

from msnvis.errors import InputError, OptionError
from msnvis.segmenters import create_segmenter
from msnvis.segmenters.training import TrainOptions, read_recipe
from msnvis.segmenters.training.augment import Augmentation
from msnvis.segmenters.training.loop import SegmenterTrainer


def write(path, text):
    path.write_text(text)
    return str(path)


def test_the_papers_recipe_says_what_section_4_1_says():
    options = TrainOptions(data=[("a.json", "a")], output="out", **read_recipe("msn-paper"))
    assert options.network == "swin-b-cascade"
    assert (options.batch_size, options.learning_rate, options.weight_decay) == (2, 1e-4, 0.05)
    assert options.warmup == 1000
    assert options.short_sides == (640, 672, 704, 736, 768, 800)
    assert options.long_side == 1333
    assert options.labels == "ytvis2021"
    assert options.balance > 0
    assert options.augmentation == Augmentation(scale=(1.0, 1.0), flip=0.5, paste=0, colour=0, blur=0)


def test_the_learning_rate_falls_after_epochs_3_and_5_of_6():
    options = TrainOptions(
        data=[("a.json", "a")], output="out", **(read_recipe("msn-paper") | {"steps": 60_000})
    )
    trainer = SegmenterTrainer.__new__(SegmenterTrainer)
    trainer.options, trainer.steps = options, options.steps
    rates = {}
    for epoch in (0.05, 0.5, 2.99, 3.01, 4.99, 5.01, 6):
        trainer.step = round(epoch * 10_000) - 1
        rates[epoch] = trainer.learning_rate()
    expected = {0.05: 0.5e-4, 0.5: 1e-4, 2.99: 1e-4, 3.01: 1e-5, 4.99: 1e-5, 5.01: 1e-6, 6: 1e-6}
    assert rates == pytest.approx(expected)


def test_a_recipe_of_ones_own(tmp_path):
    recipe = write(tmp_path / "mine.toml", "steps = 7\ncanvases = [64, 96]\n[augmentation]\nflip = 0.25\n")
    expected = {"steps": 7, "canvases": (64, 96), "augmentation": Augmentation(flip=0.25)}
    assert read_recipe(recipe) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepps = 7", r"mine\.toml sets 'stepps', which is no option; did you mean 'steps'"),
        ("output = 'x'", "sets 'output', which is no option"),
        ("steps = 'many'", r"'steps' cannot be 'many'; it is like 12000"),
        ("imagenet = 1", "'imagenet' cannot be 1"),
        ("canvases = [64, 'x']", "'canvases' cannot be"),
        ("augmentation = 3", r"\[augmentation\] must be a table"),
        ("[augmentation]\nflipp = 1", "sets 'flipp', .* 'flip'"),
    ],
)
def test_what_is_no_option_is_named(tmp_path, text, words):
    with pytest.raises(OptionError, match=words):
        read_recipe(write(tmp_path / "mine.toml", text))


def test_recipes_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"mine\.toml is not a TOML file"):
        read_recipe(write(tmp_path / "mine.toml", "steps ="))
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(OptionError, match="no recipe is called 'msn-papper'; did you mean 'msn-paper'"):
        read_recipe("msn-papper")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "swin-x-cascade"}, "'swin-x-cascade' cannot be trained; did you mean 'swin-"),
        ({"short_sides": (32,)}, "at least 64"),
        ({"decay_at": (1.5,)}, "between 0 and 1"),
    ],
)
def test_options_that_make_no_sense(changes, words):
    with pytest.raises(OptionError, match=words):
        TrainOptions(data=[("a.json", "a")], output="out", **changes)


def test_the_command_shows_the_defaults_of_the_options():
    from msnvis.cli.train import segmenter

    defaults = {f.name: f.default for f in dataclasses.fields(TrainOptions)}
    shown = {n: p.default for n, p in inspect.signature(segmenter).parameters.items() if n in defaults}
    lists = {"canvases", "short_sides"}  # None there stands for the option's own
    assert len(shown) > 15
    for name in shown.keys() - lists - {"output"}:
        assert shown[name] == defaults[name], name


def test_options_of_the_command_line_win(shapes, tmp_path):
    """A recipe with two steps of `compact` becomes a training of one step."""
    recipe = write(
        tmp_path / "mine.toml", "steps = 2\nhold_out = 0\nworkers = 0\ncanvases = [96]\nlog_every = 1"
    )
    path, images = shapes
    command = ["train", "segmenter", "--annotations", path, "--images", images, "-o", tmp_path / "run"]
    done = msnvis(*command, "--recipe", recipe, "--steps", 1, "--batch-size", 2)
    assert done.code == 0, done.err
    entries = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1]
    assert re.search(r"step 1/1", done.err)
    assert create_segmenter("compact", weights=tmp_path / "run" / "final.safetensors").classes == (
        "disc",
        "box",
    )
