"""The three stages together, on squares of pure colour that move over a noisy ground."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.errors import OptionError, UnknownPartError
from msnvis.io.readers import Frame, FrameSource, source_from_frames
from msnvis.merging.directions import DirectionMatcher
from msnvis.pipeline import ProgressEvent, VideoInstanceSegmenter
from msnvis.propagators import propagators
from msnvis.segmenters import Segmenter, classifiers, segmenters
from msnvis.segmenters.classifier import Classifier
from msnvis.selection import selectors
from msnvis.selection.rules import ScoreSelector
from msnvis.store import DetectionStore
from msnvis.structures import Detections, Track, VideoInstances

HEIGHT, WIDTH = 72, 128
COLOURS = {
    "person": (230, 20, 20),
    "dog": (20, 230, 20),
    "skateboard": (20, 20, 230),
    "whatnot": (230, 230, 20),
}
RNG = np.random.default_rng(0)
GROUND = np.kron(RNG.integers(90, 150, (HEIGHT // 4, WIDTH // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
OTHER_GROUND = GROUND[::-1] - 80
TEXTURE = np.kron(RNG.integers(-18, 19, (HEIGHT // 4, WIDTH // 4, 3)), np.ones((4, 4, 1))).astype(int)
Box = tuple[int, int, int, int]


class ColourSegmenter(Segmenter):
    """Every colour is one object of its class; ``whatnot`` is no class that anyone knows.

    Args:
        blind: numbers of the frames, as they come, in which it sees nothing.
    """

    classes = tuple(COLOURS)

    def __init__(self, blind: Collection[int] = (), score: float = 0.9):
        self.blind, self.score, self.frames = blind, score, 0

    def reset(self, frame: int = 0) -> None:
        self.frames = 0

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        return [self._segment(image) for image in images]

    def _segment(self, image: np.ndarray) -> Detections:
        number, self.frames = self.frames, self.frames + 1
        found = []
        for label, colour in enumerate(COLOURS.values()):
            mask = (np.abs(image.astype(int) - colour) < 25).all(axis=2)
            if mask.sum() > 10 and number not in self.blind:
                found.append((mask, label))
        if not found:
            return Detections.empty(image.shape[:2], len(COLOURS))
        masks, labels = zip(*found, strict=True)
        return Detections.from_masks(
            np.stack(masks), [self.score] * len(found), np.eye(len(COLOURS))[list(labels)]
        )


def draw(*squares: tuple[str, Box], ground: np.ndarray = GROUND) -> np.ndarray:
    """A frame; later squares are in front."""
    image = ground.copy()
    for name, (x1, y1, x2, y2) in squares:
        left, top = max(-x1, 0), max(-y1, 0)
        inside = image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
        texture = TEXTURE[top : top + inside.shape[0], left : left + inside.shape[1]]
        inside[:] = np.clip(texture + COLOURS[name], 0, 255)
    return image


def slide(name: str, x: int, y: int, dx: int, count: int, size: int = 20) -> list[tuple[str, Box]]:
    return [(name, (x + dx * t, y, x + dx * t + size, y + size)) for t in range(count)]


def film(*slides: list[tuple[str, Box]]) -> list[np.ndarray]:
    return [draw(*squares) for squares in zip(*slides, strict=True)]


def pipeline(segmenter: Segmenter | None = None, **options) -> VideoInstanceSegmenter:
    return VideoInstanceSegmenter(segmenter or ColourSegmenter(), classifier="none", **options)


def by_class(video: VideoInstances) -> dict[str, list[Track]]:
    groups: dict[str, list[Track]] = {}
    for track in video.tracks:
        groups.setdefault(video.class_name(track), []).append(track)
    return groups


def spans(video: VideoInstances) -> dict[str, list[tuple[int, int, int]]]:
    """Class -> first frame, last frame and number of frames of each track."""
    return {
        name: [(min(t.rles), max(t.rles), len(t.rles)) for t in tracks]
        for name, tracks in by_class(video).items()
    }


def overlap(track: Track, box: Box, index: int) -> float:
    truth = np.zeros((1, HEIGHT, WIDTH), bool)
    truth[0, box[1] : box[3], box[0] : box[2]] = True
    return float(mask_ops.iou_matrix([track.rles[index]], mask_ops.encode(truth))[0, 0])


PASSING = (slide("person", 5, 5, 4, 20), slide("dog", 100, 45, -4, 20))


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_objects_keep_their_ids_and_masks(direction):
    video = pipeline(direction=direction).run(film(*PASSING))
    assert spans(video) == {"person": [(0, 19, 20)], "dog": [(0, 19, 20)]}
    for (track,), path in zip(
        by_class(video).values(),
        sorted(PASSING, key=lambda p: p[0][0] != video.class_name(video.tracks[0])),
        strict=True,
    ):
        assert min(overlap(track, path[t][1], t) for t in range(20)) > 0.9
    assert video.size == (HEIGHT, WIDTH) and video.cuts == ()
    assert video.num_frames == 20 and (np.diff(video.timestamps) > 0).all()
    assert all(track.score == pytest.approx(0.9) for track in video.tracks)


def test_squares_that_cross_keep_their_ids():
    person, dog = slide("person", 5, 25, 5, 20), slide("dog", 100, 29, -5, 20)
    video = pipeline().run(film(person, dog))
    groups = by_class(video)
    assert {name: len(tracks) for name, tracks in groups.items()} == {"person": 1, "dog": 1}
    for t in (0, 4, 15, 19):  # before and after they meet
        assert overlap(groups["person"][0], person[t][1], t) > 0.8
        assert overlap(groups["dog"][0], dog[t][1], t) > 0.8


def test_an_object_that_leaves_has_no_masks_afterwards():
    video = pipeline().run(film(slide("person", 90, 20, 8, 20), slide("dog", 10, 20, 0, 20)))
    ((_, last, _),) = spans(video)["person"]
    assert 4 <= last <= 8  # all of it is outside from frame 5 on; a rim may linger
    assert spans(video)["dog"] == [(0, 19, 20)]


def test_an_object_behind_another_comes_back_under_its_id():
    hidden = [draw(("person", (20 + 2 * t, 20, 36 + 2 * t, 36)), ("dog", (40, 5, 80, 60))) for t in range(35)]
    video = pipeline(direction="forward").run(hidden)
    (person,) = by_class(video)["person"]
    assert not set(range(13, 20)) & set(person.rles)  # from 46 to 64 it is all behind the dog
    assert {0, 5, 32, 34} <= set(person.rles)


def test_late_detection_is_carried_back_by_the_second_pass():
    """The scenario of the paper: present from the beginning, detected from the 10th frame on."""
    walk = slide("person", 5, 5, 2, 20, size=30), slide("dog", 90, 38, -2, 20, size=30)
    frames = film(*walk)
    forward = pipeline(ColourSegmenter(blind=range(10)), direction="forward").run(frames)
    both = pipeline(ColourSegmenter(blind=range(10)), direction="both").run(frames)
    assert spans(forward) == {"person": [(10, 19, 10)], "dog": [(10, 19, 10)]}
    assert spans(both) == {"person": [(0, 19, 20)], "dog": [(0, 19, 20)]}
    person = by_class(both)["person"][0]
    assert overlap(person, walk[0][4][1], 4) > 0.7
    assert person.frame_scores[0] < person.frame_scores[9] < person.frame_scores[10]


def test_the_segmenters_own_results_are_left_as_they_are():
    class Remembering(ColourSegmenter):
        def segment(self, images):
            self.given = super().segment(images)
            return self.given

    segmenter = Remembering()
    pipeline(segmenter, labels="coco").run(film(*PASSING)[:2])
    assert [found.class_scores.shape for found in segmenter.given] == [(2, len(COLOURS))] * 2


def test_each_frame_is_segmented_once():
    segmenter = ColourSegmenter()
    for direction in ("forward", "backward", "both"):
        pipeline(segmenter, direction=direction, batch_size=3).run(film(*PASSING))
        assert segmenter.frames == 20


def test_batches_change_nothing():
    results = [pipeline(batch_size=size).run(film(*PASSING)) for size in (1, 7, 64)]
    assert all(result.tracks[0].rles == results[0].tracks[0].rles for result in results)


def test_no_batch_crosses_a_cut():
    batches: list[int] = []

    class Counting(ColourSegmenter):
        def segment(self, images):
            batches.append(len(images))
            return super().segment(images)

    still = ("person", (40, 20, 70, 50))
    frames = [draw(still)] * 12 + [draw(still, ground=OTHER_GROUND)[::-1]] * 11
    for shots, expected in ((True, [5, 5, 2, 5, 5, 1]), (False, [5, 5, 5, 5, 3])):
        batches.clear()
        pipeline(Counting(), batch_size=5, shots=shots).run(frames)
        assert batches == expected


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_nothing_crosses_a_cut(direction):
    still = ("person", (40, 20, 70, 50))
    frames = [draw(still)] * 12 + [draw(still, ground=OTHER_GROUND)[::-1]] * 12
    video = pipeline(direction=direction).run(frames)
    assert video.cuts == (12,)
    assert sorted(spans(video)["person"]) == [(0, 11, 12), (12, 23, 12)]
    without = pipeline(direction=direction, shots=False).run(frames)
    assert without.cuts == () and spans(without)["person"] == [(0, 23, 24)]


def test_stream_is_online_and_equals_a_forward_run():
    frames = film(*PASSING)
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for index, image in enumerate(frames):
            taken.append(index)
            yield image

    streamed = []
    for found in pipeline().stream(camera()):
        streamed.append(found)
        assert len(taken) == len(streamed)  # nothing is read ahead
    video = pipeline(direction="forward").run(frames)
    assert [found.ids.tolist() for found in streamed] == [[1, 2]] * 20
    for track in video.tracks:
        for index, rle in track.rles.items():
            row = streamed[index].ids.tolist().index(track.id)
            assert streamed[index].rles[row] == rle
            assert streamed[index].labels[row] == track.label


def test_an_endless_stream_remembers_nothing_of_objects_that_ended(monkeypatch):
    trackers, make = [], VideoInstanceSegmenter._tracker
    monkeypatch.setattr(
        VideoInstanceSegmenter, "_tracker", lambda self: trackers.append(make(self)) or trackers[0]
    )
    flashes = [draw(("person", (20, 20, 44, 44))) if t % 3 == 0 else draw() for t in range(30)]
    frames = list(pipeline(max_lost=0, frames_per_confirmation=0).stream(flashes))
    assert max(found.ids.max(initial=0) for found in frames) == 10  # each flash is an object of its own
    assert len(trackers[0].votes) <= 1


def test_backward_is_forward_on_the_reversed_video():
    frames = film(*PASSING)
    backward = by_class(pipeline(direction="backward").run(frames))
    forward = by_class(pipeline(direction="forward").run(frames[::-1]))
    for name in ("person", "dog"):
        assert {19 - i: rle for i, rle in backward[name][0].rles.items()} == forward[name][0].rles


def test_what_nobody_can_name_is_an_object_only_when_asked_for():
    frames = film(slide("whatnot", 10, 10, 3, 10), slide("dog", 60, 40, 2, 10))
    assert set(by_class(pipeline().run(frames))) == {"dog"}
    assert set(by_class(pipeline(labels="any").run(frames))) == {"dog", "object"}
    assert {len(found) for found in pipeline().stream(iter(frames))} == {1}
    assert {len(found) for found in pipeline(labels="any").stream(iter(frames))} == {2}


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_ids_count_from_1_in_order_of_appearance_whatever_was_dropped(direction):
    unnamed = slide("whatnot", 5, 5, 2, 16)
    dog, person = slide("dog", 30, 45, 1, 16), slide("person", 100, 45, -1, 16)
    frames = [draw(unnamed[t], *[dog[t]] * (t > 0), *[person[t]] * (t > 7)) for t in range(16)]
    # Detections alone bring objects in, so that the second pass does not carry them back to the beginning.
    video = pipeline(direction=direction, max_unconfirmed=0).run(frames)
    assert [(track.id, video.class_name(track)) for track in video.tracks] == [(1, "dog"), (2, "person")]
    video = pipeline(labels="any", direction=direction, max_unconfirmed=0).run(frames)
    assert [(track.id, min(track.rles)) for track in video.tracks] == [(1, 0), (2, 1), (3, 8)]


def test_labels_are_those_of_the_space():
    for name in ("ytvis2019", "coco"):
        video = pipeline(labels=name).run(film(*PASSING)[:3])
        assert {video.class_name(track) for track in video.tracks} == {"person", "dog"}
        assert video.classes != pipeline().classes
        assert len(video.category_ids) == len(video.classes)


class Cats(Classifier):
    classes = ("cat",)

    def __init__(self):
        self.frames = 0

    def classify(self, image, detections):
        self.frames += 1
        return np.full((len(detections), 1), 0.9, np.float32)


def test_the_classifier_names_what_the_segmenter_cannot_and_does_not_overrule_person():
    cats = Cats()
    segmenter = VideoInstanceSegmenter(ColourSegmenter(), classifier=cats, classify_every=8)
    video = segmenter.run(film(slide("whatnot", 10, 10, 2, 20), slide("person", 60, 40, 2, 20)))
    assert {name: len(tracks) for name, tracks in by_class(video).items()} == {"cat": 1, "person": 1}
    assert cats.frames == 3  # frames 0, 8, 16; the second pass sees nothing new


def test_fragments_beside_a_person_are_joined_unless_turned_off():
    board = [("skateboard", (40 + t, 50, 56 + t, 58)) for t in range(30)]
    frames = [
        draw(("person", (36 + t, 20, 60 + t, 52)), *([board[t]] if t < 8 or t > 21 else []))
        for t in range(30)
    ]
    options = {"max_lost": 2, "max_unconfirmed": 1, "direction": "forward"}
    assert len(by_class(pipeline(human_objects=False, **options).run(frames))["skateboard"]) == 2
    assert len(by_class(pipeline(**options).run(frames))["skateboard"]) == 1


def test_at_most_so_many_objects():
    video = pipeline(max_objects=1).run(film(*PASSING))
    assert max(Counter(index for track in video.tracks for index in track.rles).values()) == 1


def test_no_objects_and_no_frames_give_valid_empty_results():
    video = pipeline().run([GROUND] * 4)
    assert video.tracks == [] and video.num_frames == 4 and video.size == (HEIGHT, WIDTH)
    assert [len(found) for found in pipeline().stream([GROUND] * 2)] == [0, 0]


def test_a_single_frame_and_a_single_pixel():
    assert spans(pipeline().run(film(*PASSING)[:1])) == {"person": [(0, 0, 1)], "dog": [(0, 0, 1)]}
    assert pipeline().run([np.zeros((1, 1, 3), np.uint8)] * 3).tracks == []


def test_progress_tells_every_frame():
    events: list[ProgressEvent] = []
    pipeline().run(film(*PASSING), progress=events.append)
    assert Counter(event.stage for event in events) == {"forward": 20, "backward": 20, "merge": 1}
    assert [event.frame for event in events if event.stage == "backward"] == list(range(1, 21))
    assert {event.total for event in events} == {20}
    assert events[0].objects == 2 and events[-1].objects == 2 and events[5].fps > 0


def test_timings_name_every_part():
    segmenter = pipeline()
    segmenter.run(film(*PASSING)[:4])
    expected = {
        "decode",
        "shots",
        "segment",
        "propagate",
        "associate",
        "select",
        "classify",
        "encode",
        "merge",
    }
    assert set(segmenter.timings.wall) == set(segmenter.timings.cpu) == expected


@pytest.mark.parametrize(
    ("direction", "stop", "frames"), [("both", 8, 8), ("both", 25, 20), ("backward", 26, 20)]
)
def test_ctrl_c_keeps_what_is_done(direction, stop, frames):
    calls = itertools.count(1)

    def interrupt(event: ProgressEvent) -> None:
        if next(calls) == stop:
            raise KeyboardInterrupt

    source = source_from_frames(film(*PASSING), name="clip")
    segmenter = pipeline(direction=direction)
    video = segmenter.run(source, progress=interrupt)
    assert segmenter.interrupted and any("interrupted" in text for text in source.warnings)
    assert video.num_frames == frames and len(video.tracks) == 2
    assert max(max(track.rles) for track in video.tracks) == frames - 1
    segmenter.run(film(*PASSING)[:2])
    assert not segmenter.interrupted


@pytest.mark.parametrize(("owner", "method"), [(DetectionStore, "__setitem__"), (DirectionMatcher, "add")])
@pytest.mark.parametrize("stop", [1, 5, 6, 8])
def test_ctrl_c_within_a_frame_leaves_a_result_that_can_be_written(monkeypatch, owner, method, stop):
    calls, whole = itertools.count(1), getattr(owner, method)

    def interrupted(self, *arguments):
        answer = whole(self, *arguments)
        if next(calls) == stop:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(owner, method, interrupted)
    segmenter = pipeline()
    video = segmenter.run(film(*PASSING)[:8])
    assert segmenter.interrupted
    content = video.to_ytvis()
    assert VideoInstances.from_ytvis(content).to_ytvis() == content
    assert max(max(track.rles) for track in video.tracks) < video.num_frames


def test_ctrl_c_before_any_tracking_says_so():
    def interrupt(event: ProgressEvent) -> None:
        if (event.stage, event.frame) == ("segment", 5):
            raise KeyboardInterrupt

    source = source_from_frames(film(*PASSING), name="clip")
    video = pipeline(direction="backward").run(source, progress=interrupt)
    assert video.num_frames == 5 and video.tracks == []
    assert source.warnings == [
        "clip was interrupted: 5 of 20 frames were segmented, and tracking had not begun"
    ]


def test_live_sources_are_tracked_forward_with_a_warning():
    source = source_from_frames(iter(film(*PASSING)), name="camera0")
    video = pipeline().run(source)
    assert spans(video) == {"person": [(0, 19, 20)], "dog": [(0, 19, 20)]}
    assert source.warnings == ["camera0 is live: objects are tracked forward only"]


class Learned(ScoreSelector):
    """Weights that know the mistakes of `compact` and `cfbi` only."""

    trained_on = (("compact", "cfbi"),)


@pytest.mark.parametrize(
    ("segmenter", "selector", "warned"),
    [
        ("compact", Learned(), True),
        (("compact", {"min_score": 0.3}), Learned(), True),
        (ColourSegmenter(), Learned(), False),  # nobody knows what it is
        ("compact", "score", False),  # has learned nothing
    ],
)
def test_a_selector_that_was_trained_on_other_parts_is_told(segmenter, selector, warned):
    source = source_from_frames(film(*PASSING)[:1], name="clip")
    parts = VideoInstanceSegmenter(segmenter, "flow", selector, "none", direction="forward")
    parts.run(source)
    assert [
        "trained on masks of compact and cfbi, not of compact and flow" in w for w in source.warnings
    ] == ([True] if warned else [])


def test_a_selector_that_was_trained_on_these_parts_is_not_told():
    source = source_from_frames(film(*PASSING)[:1], name="clip")
    fitting = type("Fitting", (Learned,), {"trained_on": [("compact", "cfbi"), ("compact", "flow")]})()
    list(VideoInstanceSegmenter("compact", "flow", fitting, "none").stream(source))
    assert source.warnings == []


class Damaged(FrameSource):
    """Gives other frames backward than forward, as broken files do."""

    def __init__(self, images: list[np.ndarray]):
        super().__init__("damaged")
        self.images = images

    def frames(self) -> Iterator[Frame]:
        return (Frame(i, i / 25, image) for i, image in enumerate(self.images[:8]))

    def frames_reversed(self) -> Iterator[Frame]:
        return (Frame(i, i / 25, self.images[i]) for i in (9, 8, 7, 6, 4, 3, 2))


def test_nothing_crosses_a_cut_beside_a_frame_that_cannot_be_read_backward():
    still = ("person", (40, 20, 70, 50))
    frames = [draw(still)] * 6 + [draw(still, ground=OTHER_GROUND)[::-1]] * 4
    video = pipeline(direction="backward").run(Damaged(frames))  # backward there is no frame 5
    assert video.cuts == (6,)
    assert sorted(spans(video)["person"]) == [(2, 4, 3), (6, 7, 2)]


def test_frames_that_only_one_direction_can_read():
    video = pipeline().run(Damaged(film(*PASSING)))
    assert video.num_frames == 8
    assert spans(video) == {"person": [(0, 7, 8)], "dog": [(0, 7, 8)]}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"direction": "sideways"}, "direction is 'sideways'"),
        ({"score_threshold": 2}, "score_threshold is 2"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"classifier_weight": -1}, "classifier_weight is -1"),
        ({"join_iou": 3}, "join_iou is 3"),
        ({"max_unconfirmt": 3}, "no option 'max_unconfirmt'; did you mean 'max_unconfirmed'"),
    ],
)
def test_senseless_options_are_refused_in_a_sentence(options, text):
    with pytest.raises(OptionError, match=text):
        pipeline(**options)


def test_the_device_reaches_every_part_that_takes_one(monkeypatch):
    given = {}
    for registry in (segmenters, propagators, selectors, classifiers):

        def with_device(device="auto", labels="", kind=registry.kind):
            given[kind] = device
            return SimpleNamespace(classes=("person",))

        def without_device(labels="", kind=registry.kind):
            given[kind] = "not asked for"
            return SimpleNamespace(classes=("person",))

        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        registry.register("with", summary="for this test")(with_device)
        registry.register("without", summary="for this test")(without_device)
    VideoInstanceSegmenter("with", "with", "with", "with", device="cuda:7")
    assert given == dict.fromkeys(["segmenter", "propagator", "selector", "classifier"], "cuda:7")
    VideoInstanceSegmenter("without", "without", "without", "without", device="cuda:7")
    assert set(given.values()) == {"not asked for"}


def test_the_propagator_remembers_a_vanished_object_as_long_as_it_can_come_back():
    frames = [draw(("person", (20, 20, 44, 44)))] * 3 + [draw()] * 40
    segmenter = pipeline(max_lost=40)
    assert len(list(segmenter.stream(frames))[-1]) == 0
    assert segmenter.propagator.state_dict()["ids"].tolist() == [1]


def test_unknown_parts_are_refused():
    with pytest.raises(UnknownPartError, match="flow"):
        VideoInstanceSegmenter(ColourSegmenter(), propagator="flwo", classifier="none")
    with pytest.raises(UnknownPartError, match="ytvis2021"):
        pipeline(labels="ytvis2012")


positions = st.tuples(st.integers(0, 100), st.integers(0, 50), st.integers(-6, 6))


@settings(max_examples=5, deadline=None)
@given(
    st.lists(positions, min_size=3, max_size=3),
    st.sets(st.integers(0, 13), max_size=8),
    st.sampled_from([None, 6]),
)
def test_rules_that_always_hold(starts, blind, cut):
    paths = [slide(name, x, y, dx, 14) for name, (x, y, dx) in zip(COLOURS, starts, strict=False)]
    frames = film(*paths)
    if cut:
        frames[cut:] = [255 - image for image in frames[cut:]]
    video = pipeline(ColourSegmenter(blind), max_objects=2, labels="any").run(frames)
    assert [track.id for track in video.tracks] == list(range(1, len(video.tracks) + 1))
    first = [min(track.rles) for track in video.tracks]
    assert first == sorted(first)
    present = Counter(index for track in video.tracks for index in track.rles)
    assert max(present.values(), default=0) <= 2
    for track in video.tracks:
        assert track.rles.keys() == track.frame_scores.keys() and track.rles
        assert (mask_ops.areas(list(track.rles.values())) > 0).all()
        assert 0 < track.score <= 1
        for shot in video.cuts:
            assert max(track.rles) < shot or min(track.rles) >= shot
