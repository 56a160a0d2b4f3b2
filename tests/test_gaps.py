"""What the stages make of frames that come after a gap, and that files keep gaps."""

import json

import numpy as np
import pytest
import squares

from msnvis import VideoInstanceSegmenter
from msnvis.errors import InputError
from msnvis.io.readers import Frame, FrameSource
from msnvis.structures import VideoInstances


class Gappy(FrameSource):
    """A live source with `gap` seconds before its sixth frame."""

    def __init__(self, gap):
        super().__init__("door", live=True)
        self.size, self.gap = (48, 80), gap

    def frames(self):
        for index, image in enumerate(squares.frames(12)):
            gap = self.gap if index == 6 else 0.0
            yield Frame(index, index / 10 + (self.gap if index >= 6 else 0), image, gap)


def segmenter(**options):
    return VideoInstanceSegmenter(
        squares.SquareSegmenter(), classifier="none", direction="forward", **options
    )


@pytest.mark.parametrize("shots", [True, False])
def test_nothing_is_carried_across_a_long_gap(shots):
    video = segmenter(shots=shots).run(Gappy(0.6))
    assert video.gaps == ((6, 0.6),) and video.cuts == (6,)
    assert (
        sorted((min(track.rles), max(track.rles)) for track in video.tracks) == [(0, 5)] * 2 + [(6, 11)] * 2
    )


def test_a_short_gap_is_noted_and_bridged():
    video = segmenter().run(Gappy(0.4))
    assert video.gaps == ((6, 0.4),) and video.cuts == ()
    assert [(min(track.rles), max(track.rles)) for track in video.tracks] == [(0, 11)] * 2


def test_a_stream_begins_anew_after_a_long_gap():
    ids = [set(found.ids.tolist()) for found in segmenter().stream(Gappy(0.6))]
    assert len(ids) == 12
    assert not set.union(*ids[:6]) & set.union(*ids[6:])


def test_files_and_tables_keep_gaps():
    video = VideoInstances("door", (4, 6), np.arange(3.0), ("cat",), cuts=(1,), gaps=((1, 0.75), (2, 0.1)))
    for kept in (
        VideoInstances.from_ytvis(json.loads(json.dumps(video.to_ytvis()))),
        VideoInstances.from_coco(json.loads(json.dumps(video.to_coco()))),
        VideoInstances.from_pandas(video.to_pandas()),
    ):
        assert kept.gaps == video.gaps and kept.cuts == video.cuts


@pytest.mark.parametrize("gaps", [3, [3], [[1]], [[3, 0.1]], [[1, "x"]], [[1, -1]], [[1.0, 1]], [[1, True]]])
def test_gaps_that_make_no_sense_are_refused(gaps):
    content = VideoInstances("door", (4, 6), np.arange(3.0), ("cat",)).to_ytvis()
    content = json.loads(json.dumps(content))
    content["videos"][0]["gaps"] = gaps
    with pytest.raises(InputError, match="its gaps"):
        VideoInstances.from_ytvis(content)
