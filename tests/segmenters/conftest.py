"""Images to train segmenters on."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

COLOURS = {"disc": (220, 40, 40), "box": (40, 60, 220)}


def draw(rng, kind, image, mask):
    """A filled disc or rectangle at a random place."""
    x, y = rng.integers(15, 65, 2)
    for canvas, colour in ((image, COLOURS[kind]), (mask, 1)):
        if kind == "disc":
            cv2.circle(canvas, (int(x), int(y)), 12, colour, -1)
        else:
            cv2.rectangle(canvas, (int(x) - 12, int(y) - 8), (int(x) + 12, int(y) + 8), colour, -1)


@pytest.fixture
def shapes(tmp_path):
    """A COCO dataset of 10 images of coloured shapes; one has only boxes, one vouches for discs only."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(10):
        kind = ("disc", "box")[number % 2]
        image, mask = np.full((80, 80, 3), 120, np.uint8), np.zeros((80, 80), np.uint8)
        draw(rng, kind, image, mask)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image[:, :, ::-1])
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 80})
        rle = coco_mask.encode(np.asfortranarray(mask))
        entry = {"id": number + 1, "image_id": number, "category_id": 1 + number % 2, "iscrowd": 0}
        entry |= {"bbox": coco_mask.toBbox(rle).tolist()}
        if number != 4:
            entry["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
        annotations.append(entry)
    images[6]["exhaustive"] = "disc"
    categories = [{"id": 1, "name": "disc"}, {"id": 2, "name": "box"}]
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path, tmp_path / "images"
