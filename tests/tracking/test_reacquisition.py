import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.tracking.reacquisition import centre_distance, colour_histogram, histogram_similarity

RED, BLUE = (200, 20, 20), (20, 20, 200)


def painted(colour, rows, columns) -> tuple[np.ndarray, mask_ops.RLE]:
    image = np.full((100, 120, 3), 128, np.uint8)
    mask = np.zeros((1, 100, 120), bool)
    mask[0, rows, columns] = True
    image[mask[0]] = colour
    return image, mask_ops.encode(mask)[0]


def test_same_colour_elsewhere_and_smaller_is_alike_and_another_colour_is_not():
    red = colour_histogram(*painted(RED, slice(0, 90), slice(0, 100)))
    small_red = colour_histogram(*painted(RED, slice(50, 60), slice(110, 115)))
    blue = colour_histogram(*painted(BLUE, slice(0, 90), slice(0, 100)))
    assert histogram_similarity(red, small_red) == pytest.approx(1, abs=1e-5)
    assert histogram_similarity(red, blue) == pytest.approx(0, abs=1e-5)


def test_only_pixels_of_the_object_count():
    image, rle = painted(RED, slice(10, 20), slice(10, 20))
    reference = colour_histogram(image, rle)
    image[:, 20:] = BLUE
    image[:, :10] = BLUE
    np.testing.assert_array_equal(colour_histogram(image, rle), reference)
    assert reference.sum() == pytest.approx(1)


def test_half_red_half_blue():
    image, rle = painted(RED, slice(10, 30), slice(10, 30))
    image[10:20, 10:30] = BLUE
    half, red = colour_histogram(image, rle), colour_histogram(*painted(RED, slice(0, 9), slice(0, 9)))
    assert histogram_similarity(half, red) == pytest.approx(np.sqrt(0.5), abs=1e-4)


def test_a_line_missed_by_the_sampling_still_has_colours():
    image = np.full((400, 400, 3), 90, np.uint8)
    mask = np.eye(400, dtype=bool)[None, ::-1]
    assert colour_histogram(image, mask_ops.encode(mask)[0]).sum() == pytest.approx(1)


def test_distance_is_between_centres():
    first = np.array([0.0, 0, 6, 8])
    assert centre_distance(first, first + 10 * np.array([0.6, 0.8, 0.6, 0.8])) == pytest.approx(10)
    assert centre_distance(np.array([2.0, 3, 4, 5]), first) == 0
