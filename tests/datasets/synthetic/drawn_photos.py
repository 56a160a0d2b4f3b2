"""A COCO-format dataset drawn with a pencil: red shapes on green, blue backgrounds without red and green."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from msnvis import masks as mask_ops

SIZE = (120, 160)
RED = (220, 0, 0)


def ellipse(
    centre: tuple[int, int] = (80, 60), axes: tuple[int, int] = (36, 24), angle: int = 0
) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
    return mask.astype(bool)


def rectangle(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def texture(channel: int, seed: int) -> np.ndarray:
    """Cloudy in one colour channel, 0 in the others."""
    noise = np.random.default_rng(seed).uniform(0, 255, SIZE).astype(np.float32)
    image = np.zeros((*SIZE, 3), np.uint8)
    image[..., channel] = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 40, 200, cv2.NORM_MINMAX)
    return image


def annotation(mask: np.ndarray, category: int = 1, **extra: object) -> dict:
    x1, y1, x2, y2 = mask_ops.boxes(mask_ops.encode(mask[None]))[0].tolist()
    segmentation = mask_ops.to_json(mask_ops.encode(mask[None])[0])
    box = [x1, y1, x2 - x1, y2 - y1]
    return {"category_id": category, "bbox": box, "segmentation": segmentation, "iscrowd": 0, **extra}


class Drawing:
    """Collects images and objects and writes them; files are PNG, so that colours stay exact."""

    def __init__(self, folder: Path) -> None:
        self.images, self.json = folder / "images", folder / "coco.json"
        self.images.mkdir(parents=True)
        categories = [{"id": 1, "name": "ball"}, {"id": 5, "name": "box"}]
        self.content: dict = {"images": [], "annotations": [], "categories": categories}

    def add(self, picture: np.ndarray, annotations: list[dict] = (), **extra: object) -> int:
        """Add an image with its objects; returns its id, which is not its place in the file."""
        number = 100 + len(self.content["images"])
        name = f"{number}.png"
        cv2.imwrite(str(self.images / name), picture[..., ::-1])
        height, width = picture.shape[:2]
        entry = {"id": number, "file_name": name, "width": width, "height": height, **extra}
        self.content["images"].append(entry)
        for one in annotations:
            known = self.content["annotations"]
            known.append({"id": 1000 + len(known), "image_id": number, **one})
        return number

    def add_background(self, seed: int = 0) -> int:
        return self.add(texture(2, seed))

    def add_object(self, mask: np.ndarray, seed: int = 0, category: int = 1, **extra: object) -> int:
        """A red object on green; the photograph is no background, for not everything is labelled in it."""
        picture = texture(1, seed)
        picture[mask] = RED
        return self.add(picture, [annotation(mask, category, **extra)], exhaustive="ball")

    def write(self) -> tuple[Path, Path]:
        """The annotation file and the folder of images."""
        self.json.write_text(json.dumps(self.content))
        return self.json, self.images


def draw_dataset(folder: Path, images: int = 1) -> tuple[Path, Path]:
    """`images` photographs of balls, of boxes and of nothing each."""
    drawing = Drawing(folder)
    for seed in range(images):
        drawing.add_object(ellipse(angle=20 * seed), seed)
        drawing.add_object(rectangle(40, 40, 90, 80 + seed % 20), seed, category=5)
        drawing.add_background(seed)
    return drawing.write()
