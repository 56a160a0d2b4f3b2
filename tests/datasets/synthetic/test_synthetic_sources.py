import numpy as np
import pytest
from drawn_photos import Drawing, annotation, draw_dataset, ellipse, rectangle, texture

from msnvis.datasets.synthetic import SynthOptions
from msnvis.datasets.synthetic.sources import in_split, read_sources
from msnvis.errors import InputError


def sources_of(drawing, **options):
    return read_sources(*drawing.write(), SynthOptions(**options))


def usable(tmp_path, *masks_and_extras):
    drawing = Drawing(tmp_path)
    drawing.add_background()
    drawing.add_object(ellipse())
    for mask, extra in masks_and_extras:
        drawing.add_object(mask, **extra)
    return sources_of(drawing).objects


TORN = rectangle(20, 20, 70, 60) | rectangle(90, 20, 140, 60)


@pytest.mark.parametrize(
    ("mask", "extra"),
    [
        (rectangle(50, 50, 70, 70), {}),
        (rectangle(10, 1, 159, 110), {}),
        (rectangle(0, 0, 60, 60), {}),
        (TORN, {}),
        (ellipse(), {"iscrowd": 1}),
    ],
    ids=["small", "fills the picture", "cut at two sides", "torn", "crowd"],
)
def test_bad_objects_are_not_cut_out(tmp_path, mask, extra):
    assert len(usable(tmp_path, (mask, extra))) == 1


@pytest.mark.parametrize(
    ("mask", "side"),
    [
        (rectangle(0, 40, 50, 80), "left"),
        (rectangle(40, 1, 90, 40), "top"),
        (rectangle(110, 40, 159, 80), "right"),
        (rectangle(40, 80, 90, 120), "bottom"),
        (rectangle(40, 40, 90, 80), None),
    ],
)
def test_the_side_at_which_an_object_is_cut_is_known(tmp_path, mask, side):
    assert usable(tmp_path, (mask, {}))[1].cut == side


def test_an_object_shaped_by_its_neighbours_is_not_cut_out(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_background()
    between = [rectangle(50, 30, 80, 90), rectangle(10, 10, 50, 110), rectangle(80, 10, 120, 110)]
    drawing.add(texture(1, 0), [annotation(mask) for mask in between])
    # The middle one touches others along 120 of the 180 pixels around it, the other two along 60 of 280.
    assert [o.annotation.id for o in sources_of(drawing).objects] == [1001, 1002]


def test_backgrounds_have_everything_labelled_and_room_left(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_object(ellipse())  # vouches for one of two classes
    good = drawing.add_background()
    labelled = drawing.add(texture(2, 1), [annotation(ellipse())], exhaustive="all")
    drawing.add(texture(2, 2), [annotation(ellipse(), iscrowd=1)])
    drawing.add(texture(2, 3), [annotation(rectangle(5, 5, 150, 110))])
    drawing.add(texture(2, 4), [annotation(rectangle(x, 10, x + 4, 14)) for x in range(10, 140, 10)])
    assert [r.id for r in sources_of(drawing).backgrounds] == [good, labelled]


def test_splits_share_no_image_and_leave_none_out(tmp_path):
    files = draw_dataset(tmp_path, images=20)
    used = {}
    for split in ("train", "val", "all"):
        sources = read_sources(*files, SynthOptions(split=split, val_share=0.4))
        used[split] = {o.image.id for o in sources.objects} | {r.id for r in sources.backgrounds}
    assert used["train"] | used["val"] == used["all"] == set(range(100, 160))
    assert not used["train"] & used["val"]


def test_the_share_and_the_seed_of_a_split_count_and_the_seed_of_the_videos_does_not():
    def val(**options):
        return [i for i in range(4000) if in_split(i, SynthOptions(split="val", **options))]

    assert len(val(val_share=0.25)) / 4000 == pytest.approx(0.25, abs=0.03)
    assert set(val(val_share=0.1)) <= set(val(val_share=0.3))
    assert val(seed=1) == val(seed=2)
    assert val(split_seed=1) != val(split_seed=2)


def test_rare_classes_are_drawn_more_often_than_their_share(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_background()
    for seed in range(16):
        drawing.add_object(ellipse(), seed, category=1)
    drawing.add_object(ellipse(), 16, category=5)
    sources = sources_of(drawing)
    rng = np.random.default_rng(0)
    rare = np.mean([sources.draw_object(rng).annotation.label == 1 for _ in range(2000)])
    assert rare == pytest.approx(1 / 5, abs=0.03)  # square roots of 16 and 1


def test_nothing_to_cut_out_is_one_sentence(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_background()
    with pytest.raises(InputError, match=r"coco\.json has no object that can be cut out: .* use a larger"):
        sources_of(drawing)


def test_no_background_is_one_sentence(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_object(ellipse())
    with pytest.raises(InputError, match=r"coco\.json has no image that can be a background: .* add photo"):
        sources_of(drawing)


def test_an_empty_split_is_named(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_object(ellipse())
    drawing.add_background()
    with pytest.raises(InputError, match="in the split 'val'"):
        sources_of(drawing, split="val", val_share=1e-6)
