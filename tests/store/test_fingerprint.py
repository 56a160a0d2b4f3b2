import json

import torch

from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.segmenters.precomputed import PrecomputedSegmenter
from msnvis.store.fingerprint import is_recognisable, part_fingerprint, versions, weights_checksum


class Part:
    def __init__(self, seed: int = 0):
        torch.manual_seed(seed)
        self.network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
        self.threshold = seed


def test_every_tensor_counts():
    assert weights_checksum(Part()) == weights_checksum(Part())
    checksums = {weights_checksum(Part()), weights_checksum(Part(1))}
    for name in ("0.bias", "1.running_mean", "1.num_batches_tracked"):
        part = Part()
        part.network.state_dict()[name].view(-1)[-1:] += 1
        checksums.add(weights_checksum(part))
    part = Part()
    part.network.half()
    checksums.add(weights_checksum(part))
    assert len(checksums) == 6


def test_parts_by_name_with_options_and_ready_made():
    assert part_fingerprint("squares", object.__new__(Part)) == {"name": "squares", "weights": None}
    assert part_fingerprint(("a", {"flip": True}), object.__new__(Part))["options"] == {"flip": "True"}
    ready = Part()
    assert part_fingerprint(ready, ready)["name"] == f"{__name__}.Part"


def test_ready_made_parts_say_what_they_were_made_with():
    class Tuned:
        def __init__(self, size):
            self.size = size

        def fingerprint(self):
            return {"size": self.size}

    class Plain:
        pass

    def options(part):
        return part_fingerprint(part, part)["options"]

    assert (options(Tuned(3)), options(Plain()), options(Part())) == ({"size": 3}, {}, None)
    for part, known in ((Tuned(3), True), (Plain(), True), (Part(), False)):
        fingerprint = {"input": {"name": "clip"}, "parts": {"segmenter": part_fingerprint(part, part)}}
        assert is_recognisable(fingerprint) is known
        assert not is_recognisable({**fingerprint, "input": None})
    assert is_recognisable(
        {"input": {"name": "clip"}, "parts": {"segmenter": {"name": "a", "weights": None}}}
    )


def test_versions_are_those_of_the_libraries():
    import scipy
    import torchvision

    found = versions()
    assert (found["torchvision"], found["scipy"]) == (
        torchvision.__version__.split("+")[0],
        scipy.__version__,
    )
    assert found["torch"] == torch.__version__ and found["python"].startswith("3.")


def test_a_file_of_detections_counts(tmp_path):
    entry = {"image_id": 0, "category_id": 1, "score": 0.5, "segmentation": {"size": [1, 1], "counts": "01"}}
    checksums = set()
    for score in (0.5, 0.25):
        (tmp_path / "found.json").write_text(json.dumps([{**entry, "score": score}]))
        checksums.add(weights_checksum(PrecomputedSegmenter(tmp_path / "found.json")))
    assert len(checksums) == 2 and None not in checksums


def test_every_option_of_the_pipeline_counts(tmp_path):
    class Source:
        size = (4, 6)

        @staticmethod
        def identity():
            return {"name": "clip"}

    (tmp_path / "found.json").write_text("[]")
    segmenter = PrecomputedSegmenter(tmp_path / "found.json")
    changes = [
        {},
        {"labels": "coco"},
        {"direction": "forward"},
        {"shots": False},
        {"batch_size": 2},
        {"classify_every": 9},
        {"classifier_weight": 0.1},
        {"min_evidence": 0.35},
        {"human_objects": False},
        {"max_objects": 3},
        {"score_threshold": 0.6},
        {"join_iou": 0.4},
        {"selector": "segmenter"},
    ]
    prints = set()
    for options in changes:
        parts = VideoInstanceSegmenter(segmenter, classifier="none", **options)
        prints.add(json.dumps(parts.fingerprint(Source)))
    assert len(prints) == len(changes)
