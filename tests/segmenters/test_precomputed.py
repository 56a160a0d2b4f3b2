"""The segmenter that reads its detections from a file."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from msnvis.errors import InputError, OptionError
from msnvis.segmenters import create_segmenter

SIZE = (6, 8)
IMAGE = np.zeros((*SIZE, 3), np.uint8)


def square(x, y, side=2):
    mask = np.zeros(SIZE, np.uint8)
    mask[y : y + side, x : x + side] = 1
    return mask


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def entry(image_id=0, category_id=1, score=0.5, mask=None, **more):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "score": score,
        "segmentation": rle(square(1, 1) if mask is None else mask),
        **more,
    }


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "results.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_frames_come_in_order_best_first_with_the_classes_of_the_file(write):
    segmenter = create_segmenter(
        "precomputed",
        path=write([entry(2, 18, 0.25), entry(0, 18, 0.5, square(4, 2)), entry(0, 1, 0.75), entry(2, 3, 1)]),
    )
    first, second, third = segmenter.segment([IMAGE] * 3)
    assert first.scores.tolist() == [0.75, 0.5]
    assert [segmenter.classes[label] for label in first.labels] == ["person", "dog"]
    assert first.class_scores.max(axis=1).tolist() == [0.75, 0.5]
    np.testing.assert_array_equal(first.masks, np.stack([square(1, 1), square(4, 2)]).astype(bool))
    assert len(second) == 0 and second.class_scores.shape == (0, 80)
    assert [segmenter.classes[label] for label in third.labels] == ["car", "dog"]


def test_reset_goes_to_a_frame_and_frames_after_the_last_are_empty(write):
    segmenter = create_segmenter("precomputed", path=write([entry(0, score=0.5), entry(1, score=0.75)]))
    for start in (0, 1):
        segmenter.reset(start)
        assert segmenter.segment([IMAGE])[0].scores.tolist() == [(0.5, 0.75)[start]]
    assert len(segmenter.segment([IMAGE])[0]) == 0


def test_first_frame_label_space_and_short_name(write):
    path = write([entry(1, 9)])
    found = create_segmenter(f"precomputed:{path}", first_frame=1, labels="ytvis2021", device="cpu")
    (detections,) = found.segment([IMAGE])
    assert found.classes[detections.labels[0]] == "dog"


def test_file_may_be_given_as_weights(write):
    assert len(create_segmenter("precomputed", weights=write([entry()])).segment([IMAGE])[0]) == 1


@pytest.mark.parametrize(
    "segmentation",
    [
        rle(square(1, 1)),
        {"size": list(SIZE), "counts": [7, 2, 4, 2, 33]},
        [[1, 1, 3, 1, 3, 3, 1, 3]],
    ],
    ids=["compressed", "uncompressed", "polygon"],
)
def test_all_three_kinds_of_segmentation(write, segmentation):
    segmenter = create_segmenter("precomputed", path=write([{**entry(), "segmentation": segmentation}]))
    (found,) = segmenter.segment([IMAGE])
    np.testing.assert_array_equal(found.masks[0], square(1, 1).astype(bool))


def test_coco_json_with_its_own_categories_and_frame_order(write):
    content = {
        "images": [{"id": 7, "frame_index": 1}, {"id": 9, "frame_index": 0}],
        "categories": [{"id": 5, "name": "crab"}, {"id": 0, "name": "object"}],
        "annotations": [entry(7, 5, 0.5), entry(9, 0, 0.75)],
    }
    segmenter = create_segmenter("precomputed", path=write(content))
    unnamed, crab = segmenter.segment([IMAGE, IMAGE])
    assert segmenter.classes == ("crab",)
    assert unnamed.scores.tolist() == [0.75] and unnamed.labels.tolist() == [-1]
    assert crab.labels.tolist() == [0]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (entry(category_id=12), "category 12"),
        (entry(image_id=-1), "image_id -1"),
        (entry(image_id="frame1"), "image_id 'frame1'"),
        (entry(score=1.5), "score 1.5"),
        (entry(score=float("nan")), "score nan"),
        (entry(score="high"), "high"),
        ({"image_id": 0}, "category_id"),
        ("dog", "indices"),
        ({**entry(), "segmentation": {"size": [6, 9], "counts": "0"}}, "9"),
        ({**entry(), "segmentation": {"size": [6, 8], "counts": "~~~"}}, "run-length"),
        ({**entry(), "segmentation": {"size": [6, 8], "counts": [3, 4]}}, "7 pixels of a frame of 48"),
        ({**entry(), "segmentation": None}, "segmentation"),
    ],
)
def test_bad_entry_is_named_in_one_sentence(write, bad, reason):
    path = write([entry(), bad])
    with pytest.raises(InputError) as caught:
        create_segmenter("precomputed", path=path).segment([IMAGE])
    text = str(caught.value)
    assert text.startswith(f"{path}: entry 1")
    assert reason in text and "\n" not in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[{"image_id": 0, ', "not JSON"),
        ("12", "neither a list"),
        ({"annotations": []}, "lacks the field 'categories'"),
        ({"categories": [], "images": [], "annotations": [entry()]}, "no image 0"),
    ],
)
def test_bad_file(write, content, reason):
    with pytest.raises(InputError, match=reason):
        create_segmenter("precomputed", path=write(content))


def test_missing_file_and_missing_option(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        create_segmenter("precomputed", path=tmp_path / "none.json")
    with pytest.raises(OptionError, match=r"precomputed:RESULTS\.json"):
        create_segmenter("precomputed")
