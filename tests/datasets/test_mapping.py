"""Datasets carried over to a label space, on the command line and below."""

import json

import pytest
from command import msnvis
from dataset_makers import COMPRESSED, write_json

from msnvis.datasets.formats import read_dataset
from msnvis.datasets.labels import class_map, label_space, openimages_classes, openimages_map


def coco(names, **image):
    """An image with one object of each class."""
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 6, "height": 4, **image}],
        "categories": [{"id": 10 * i, "name": name} for i, name in enumerate(names, start=1)],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 10 * i, "segmentation": COMPRESSED}
            for i in range(1, len(names) + 1)
        ],
    }


@pytest.fixture
def convert(tmp_path):
    def run(content, target, labels):
        path = write_json(tmp_path / "in" / "instances.json", content)
        arguments = ("--from", "coco", "--to", target, "--labels", labels, "-o", tmp_path / "out")
        return msnvis("convert", path, *arguments), tmp_path / "out"

    return run


def test_coco_becomes_youtube_vis_2019(convert):
    outcome, output = convert(coco(["person", "car", "cup", "motorcycle", "bowl"]), "ytvis", "ytvis2019")
    assert outcome.code == 0
    assert outcome.err == (
        "msnvis: warning: left out 2 tracks of 2 classes that ytvis2019 does not have: cup 1, bowl 1\n"
    )
    content = json.loads((output / "instances.json").read_text())
    assert [(c["id"], c["name"]) for c in content["categories"]] == list(
        zip(label_space("ytvis2019").ids, label_space("ytvis2019").classes, strict=True)
    )
    assert [a["category_id"] for a in content["annotations"]] == [1, 6, 21]  # person, sedan, motorbike


def test_what_is_not_labelled_is_said(convert):
    """Of the 40 classes, a file vouches for those that it has; reading it again keeps that."""
    _, output = convert(coco(["person", "car", "cup"]), "coco", "ytvis2021")
    (image,) = json.loads((output / "instances.json").read_text())["images"]
    assert image["exhaustive"] == "car,person"
    assert read_dataset(output, "coco").videos[0].exhaustive == "car,person"


def test_what_no_image_says_is_all(convert, tmp_path):
    names = label_space("ytvis2021").classes
    _, output = convert(coco(names), "coco", "ytvis2021")
    assert "exhaustive" not in (output / "instances.json").read_text()


def test_partly_labelled_images_stay_so(convert):
    _, output = convert(coco(["person", "car", "cup"], exhaustive="cup,car"), "coco", "any")
    (image,) = json.loads((output / "instances.json").read_text())["images"]
    assert set(image["exhaustive"].split(",")) == {"cup", "car"}


def test_an_unknown_label_space_is_one_sentence(convert):
    outcome, output = convert(coco(["person"]), "coco", "ytvis2020")
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert "did you mean 'ytvis20" in outcome.err
    assert not output.exists()


@pytest.mark.parametrize("space", ["ytvis2019", "ytvis2021", "coco", "any"])
def test_openimages_classes_are_known_by_name_and_by_id(space):
    target = label_space(space)
    expected = openimages_map(target)
    classes = openimages_classes()
    assert (class_map(list(classes), target) == expected).all()
    assert (class_map(list(classes.values()), target) == expected).all()


def test_ovis_names_are_read_without_regard_to_capitals():
    names = ["Person", "Giant_panda", "Cow", "Vehical", "Fish"]
    target = label_space("ytvis2021")
    rows = class_map(names, target)
    found = [target.classes[row.argmax()] if row.any() else None for row in rows]
    assert found == ["person", "giant_panda", "cow", None, "fish"]
