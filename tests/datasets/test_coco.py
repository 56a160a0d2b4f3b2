import json
from collections import Counter

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from msnvis.datasets.coco import read_class_names, read_coco, split_held_out
from msnvis.datasets.labels import label_space
from msnvis.errors import InputError

SQUARE = np.zeros((10, 20), np.uint8)
SQUARE[2:6, 3:9] = 1


def content(**changes):
    base = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [],
    }
    return base | changes


def annotation(**changes):
    return {"id": 1, "image_id": 7, "category_id": 3, "bbox": [3, 2, 6, 4], "iscrowd": 0} | changes


@pytest.fixture
def read(tmp_path):
    def write_and_read(value, **options):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(value))
        return read_coco(path, tmp_path / "images", **options)

    return write_and_read


def compressed():
    rle = coco_mask.encode(np.asfortranarray(SQUARE))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.mark.parametrize(
    "segmentation",
    [
        compressed(),
        {"size": [10, 20], "counts": [32, 4, 6, 4, 6, 4, 6, 4, 6, 4, 6, 4, 114]},
        [[3, 2, 9, 2, 9, 6, 3, 6]],
    ],
    ids=["compressed", "uncompressed", "polygon"],
)
def test_every_kind_of_mask_is_read(read, segmentation):
    (record,) = read(content(annotations=[annotation(segmentation=segmentation)]))
    (entry,) = record.annotations
    assert np.array_equal(coco_mask.decode(entry.rle), SQUARE)
    assert entry.box == (3, 2, 9, 6)
    assert entry.label == 1  # person has the lower id


def test_an_annotation_may_have_only_a_box(read):
    (record,) = read(content(annotations=[annotation()]))
    assert record.annotations[0].rle is None


@pytest.mark.parametrize(
    ("exhaustive", "vouched"),
    [
        ("all", {0, 1}),
        ("all80", {0, 1}),
        ("car", {1}),
        ("person, car", {0, 1}),
        ("voc20", {0, 1}),
        ("", set()),
    ],
)
def test_exhaustive_names_the_classes_an_image_vouches_for(read, exhaustive, vouched):
    image = {"id": 7, "file_name": "a.jpg", "width": 20, "height": 10, "exhaustive": exhaustive}
    (record,) = read(content(images=[image]))
    assert record.vouched == vouched


def test_classes_can_be_those_of_another_dataset(read):
    annotations = [annotation(), annotation(id=2, category_id=1)]
    (record,) = read(content(annotations=annotations), classes=("bus", "car"))
    assert [a.label for a in record.annotations] == [1]


def test_an_image_vouches_only_for_classes_that_its_file_has(read):
    (record,) = read(content(), classes=("bus", "car", "person"))
    assert record.vouched == {1, 2}


def test_categories_are_carried_over_to_a_label_space(read):
    """COCO's car is the sedan of YouTube-VIS 2019; it has no cups, and COCO no pandas."""
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 47, "name": "cup"}]
    annotations = [annotation(id=1), annotation(id=2, category_id=47), annotation(id=3, category_id=47)]
    space, dropped = label_space("ytvis2019"), Counter()
    (record,) = read(content(categories=categories, annotations=annotations), classes=space, dropped=dropped)
    assert [space.classes[a.label] for a in record.annotations] == ["sedan"]
    assert {space.classes[label] for label in record.vouched} == {"person", "sedan"}
    assert dropped == {"cup": 2}


def test_a_class_is_vouched_for_when_all_that_make_it_up_are(read):
    """OpenImages' Van and Car are cars: where only vans are complete, cars are not."""
    categories = [{"id": 3, "name": "Car"}, {"id": 1, "name": "Van"}, {"id": 2, "name": "Horse"}]
    image = {"id": 7, "file_name": "a.jpg", "width": 20, "height": 10, "exhaustive": "Van,Horse"}
    space = label_space("ytvis2021")
    (record,) = read(content(images=[image], categories=categories), classes=space)
    assert {space.classes[label] for label in record.vouched} == {"horse"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "no images, annotations, categories"),
        (content(annotations=[annotation(image_id=8)]), "annotation 1 names an image"),
        (content(annotations=[annotation(bbox=[1, 2])]), "annotation 1 has a broken box"),
        (content(annotations=[annotation(segmentation={"size": [9, 20], "counts": "a"})]), "mask of"),
        (
            content(
                images=[
                    {"id": 7, "file_name": "a", "width": 20, "height": 10, "exhaustive": "person,unicorn"}
                ]
            ),
            "unicorn",
        ),
    ],
)
def test_broken_entries_are_named(read, value, said):
    with pytest.raises(InputError, match=said):
        read(value)


def test_missing_and_garbled_files_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_class_names(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_class_names(tmp_path / "bad.json")


def test_held_out_images_are_fully_labelled_and_never_trained_on(read):
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 10, "exhaustive": "all" if i % 2 else "car"}
        for i in range(20)
    ]
    annotations = [annotation(id=i + 1, image_id=i) for i in range(16)]
    records = read(content(images=images, annotations=annotations))
    train, held_out = split_held_out(records, num_classes=2, count=5, seed=1)
    assert len(held_out) == 5
    assert all(len(r.vouched) == 2 and r.annotations for r in held_out)
    assert {r.path for r in train} | {r.path for r in held_out} == {r.path for r in records}
    assert not {r.path for r in train} & {r.path for r in held_out}
    assert split_held_out(records, 2, 5, seed=1)[1] == held_out
    with pytest.raises(InputError, match="only 8"):
        split_held_out(records, 2, 9, seed=1)
