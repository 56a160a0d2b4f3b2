import json

import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.errors import OutputError
from msnvis.io.formats import ytvis
from msnvis.io.writers.json_stream import write_annotations
from msnvis.structures import Track, VideoInstances


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_iterators_become_the_lists_that_json_would_write(tmp_path, count):
    numbers = list(range(count))
    header = {"info": {"version": "1"}, "images": iter(numbers), "name": 'a "quoted" name'}
    annotations = [{"id": n, "values": iter([n, None, 0.5]), "list": [n]} for n in range(3)]
    write_annotations(tmp_path / "out.json", header, annotations)
    text = (tmp_path / "out.json").read_text()
    assert json.loads(text) == {
        "info": {"version": "1"},
        "images": numbers,
        "name": 'a "quoted" name',
        "annotations": [{"id": n, "values": [n, None, 0.5], "list": [n]} for n in range(3)],
    }
    assert text.startswith(json.dumps({"info": {"version": "1"}, "images": numbers})[:-1])


def test_an_iterator_that_fails_leaves_no_file(tmp_path):
    def failing():
        yield 1
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="cannot be written"):
        write_annotations(tmp_path / "out.json", {"info": 1}, [{"values": failing()}])
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_annotations(tmp_path / "out.json", {"info": 1}, [{"values": iter([float("nan")])}])


def test_masks_frame_by_frame_over_many_chunks():
    rng = np.random.default_rng(0)
    rles = {
        t: mask_ops.encode(rng.random((1, 6, 8)) > 0.5)[0] for t in range(900) if t % 7 and not 300 <= t < 600
    }
    track = Track(1, 0, 0.5, rles, {t: t / 1000 for t in rles}, np.array([0.5], np.float32))
    video = VideoInstances("clip", (6, 8), np.arange(901) / 25, ("cat",), [track])
    (annotation,) = video.to_ytvis()["annotations"]
    for t in range(901):
        if t not in rles:
            assert {annotation[name][t] for name in ("areas", "scores")} == {None}
            assert annotation["segmentations"][t] is annotation["bboxes"][t] is None
            continue
        assert annotation["segmentations"][t] == mask_ops.to_json(rles[t])
        rows, columns = np.nonzero(mask_ops.decode([rles[t]], (6, 8))[0])
        x, y = columns.min(), rows.min()
        assert annotation["bboxes"][t] == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
        assert (annotation["areas"][t], annotation["scores"][t]) == (len(rows), t / 1000)
    assert len(annotation["areas"]) == len(annotation["scores"]) == 901


def test_masks_are_read_a_few_at_a_time():
    class Counted(dict):
        reads = 0

        def __getitem__(self, key):
            Counted.reads += 1
            return super().__getitem__(key)

    rles = Counted({t: {"size": [1, 1], "counts": b"01"} for t in range(1000)})
    segmentations = ytvis.mask_streams(rles, 1000)["segmentations"]
    next(segmentations)
    assert Counted.reads < 300
    assert sum(1 for _ in segmentations) == 999 and Counted.reads == 1000
