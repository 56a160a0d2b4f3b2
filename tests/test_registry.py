"""Parts by name: what a part does not take, or lacks, is said in a sentence."""

from importlib import metadata

import pytest

from msnvis.errors import OptionError, UnknownPartError
from msnvis.propagators import create_propagator
from msnvis.registry import Registry
from msnvis.segmenters import create_classifier, create_segmenter
from msnvis.selection import create_selector


@pytest.fixture
def shapes():
    shapes = Registry("shape")

    @shapes.register("square", summary="four equal sides")
    def square(side, colour="red", *, device="auto"):
        if side < 0:
            raise TypeError("square() got an unexpected keyword argument 'from inside'")
        return side, colour, device

    @shapes.register("polygon:", summary="so many sides")
    def polygon(name, side=1):
        return name, side

    @shapes.register("any", summary="takes what comes")
    def anything(side, **options):
        return side, options

    @shapes.register("drawing", summary="by hand", needs="a file made by `draw`")
    def drawing(file):
        return file

    @shapes.register("point", summary="takes nothing")
    class Point:
        pass

    return shapes


def test_options_reach_the_part(shapes):
    assert shapes.create("square", side=2, device="cpu") == (2, "red", "cpu")
    assert shapes.create("polygon:5", side=3) == ("5", 3)
    assert shapes.create("any", side=2, whatever=1) == (2, {"whatever": 1})


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("square", {"side": 1, "color": 2}, "shape 'square' has no option 'color'; did you mean 'colour'?"),
        ("square", {"side": 1, "xyz": 2}, "shape 'square' has no option 'xyz'; known: colour, device, side"),
        ("square", {"colour": 1}, "shape 'square' needs the option 'side'"),
        ("polygon:5", {"sides": 3}, "shape 'polygon:5' has no option 'sides'; did you mean 'side'?"),
        ("drawing", {}, "shape 'drawing' needs the option 'file' (a file made by `draw`)"),
        ("any", {"whatever": 1}, "shape 'any' needs the option 'side'"),
        ("point", {"side": 3}, "shape 'point' has no option 'side'; it takes none"),
    ],
)
def test_options_that_a_part_does_not_take_or_lacks(shapes, name, options, text):
    with pytest.raises(OptionError) as raised:
        shapes.create(name, **options)
    assert str(raised.value) == text


def test_errors_from_inside_a_part_are_left_as_they_are(shapes):
    with pytest.raises(TypeError, match="from inside"):
        shapes.create("square", side=-1)


def test_which_parts_take_an_option(shapes):
    assert shapes.takes("square", "device")
    assert not shapes.takes("polygon:5", "device") and not shapes.takes("polygon:5", "name")
    assert not shapes.takes("any", "device")  # it may hand it on to something that does not
    with pytest.raises(UnknownPartError, match="did you mean 'square'"):
        shapes.takes("squares", "device")


def test_parts_of_other_packages_are_checked_alike(shapes, monkeypatch):
    # A class of the standard library stands in for a package's part.
    point = metadata.EntryPoint("fraction", "fractions:Fraction", "msnvis.shapes")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "msnvis.shapes" else [])
    assert shapes.create("fraction", numerator=3) == 3
    with pytest.raises(
        OptionError, match="shape 'fraction' has no option 'numerate'; did you mean 'numerator'"
    ):
        shapes.create("fraction", numerate=3)


@pytest.mark.parametrize(
    ("create", "name", "option", "nearest"),
    [
        (create_segmenter, "compact", "short_sides", "short_side"),
        (create_segmenter, "precomputed:file.json", "label", "labels"),
        (create_propagator, "flow", "keep_alife", "keep_alive"),
        (create_classifier, "none", "devise", "device"),
        (create_classifier, "efficientnet-lite0", "margins", "margin"),
        (create_classifier, "torchvision:vit_b_16", "flips", "flip"),
        (create_classifier, "transformers:somebody/vit", "batchsize", "batch_size"),
    ],
)
def test_our_own_parts(create, name, option, nearest):
    with pytest.raises(OptionError, match=f"'{name}' has no option '{option}'; did you mean '{nearest}'"):
        create(name, **{option: 1})


def test_a_rule_takes_no_options():
    with pytest.raises(OptionError, match="selector 'score' has no option 'weights'; it takes none"):
        create_selector("score", weights="msn.safetensors")
