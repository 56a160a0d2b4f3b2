import dataclasses
import json

import cv2
import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo
from msnvis.errors import InputError, OptionError, UnknownPartError
from msnvis.propagators import Propagator
from msnvis.segmenters import Segmenter, segmenters
from msnvis.selection.base import Selector
from msnvis.selection.make_pairs import PairOptions, make_pairs, missing_shards
from msnvis.selection.pair_store import PairStore, write_shard
from msnvis.selection.pairs import STARTS, video_pairs
from msnvis.structures import Detections

SIZE = (40, 60)


def box(x, width=10, y=10):
    mask = np.zeros(SIZE, bool)
    mask[y : y + 10, x : x + width] = True
    return mask


class Still(Propagator):
    """Leaves every mask where it is; remembers what it was told."""

    def start(self, image, masks):
        self.masks = dict(masks)
        self.told = []

    def step(self, image, corrections=None):
        self.told.append({i: m.copy() for i, m in corrections.masks.items()})
        self.masks |= corrections.masks
        return dict(self.masks)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Scripted(Segmenter):
    """Answers with prepared masks, one list a frame."""

    classes = ("thing",)

    def __init__(self, frames):
        self.frames = frames
        self.calls = 0

    def segment(self, images):
        masks = self.frames[self.calls]
        self.calls += 1
        scores = [0.9 - 0.1 * k for k in range(len(masks))]
        return [Detections.from_masks(np.array(masks).reshape(-1, *SIZE), scores, [[1.0]] * len(masks))]


@pytest.fixture
def make_video(tmp_path):
    def make(truths):
        """`truths`: id -> one mask or None a frame."""
        length = len(next(iter(truths.values())))
        for index in range(length):
            picture = np.full((*SIZE, 3), 20 * index, np.uint8)
            cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
        tracks = tuple(
            AnnotatedTrack(
                i, 0, {f: mask_ops.encode(m[None])[0] for f, m in enumerate(masks) if m is not None}
            )
            for i, masks in truths.items()
        )
        return AnnotatedVideo(1, "clip", SIZE, tuple(tmp_path / f"{i}.png" for i in range(length)), tracks)

    return make


def test_an_object_that_moves_by_hand(make_video):
    # The truth moves 2 px a frame; the segmenter is 1 px off, the propagator stands still: 2 px off.
    video = make_video({7: [box(10), box(12), box(14)]})
    segmenter, propagator = Scripted([[box(11)], [box(13)], [box(15)]]), Still()
    first, second = video_pairs(video, segmenter, propagator, ["forward"])
    assert (first.frame, first.objects.tolist(), second.frame) == (1, [7], 2)
    np.testing.assert_allclose(first.ious, [[90 / 110, 80 / 120]])
    # The better mask, the segmenter's at 13, was propagated on: it is 1 px off too.
    np.testing.assert_allclose(second.ious, [[90 / 110, 90 / 110]])
    np.testing.assert_allclose(second.overlaps, [80 / 120])
    np.testing.assert_allclose(first.scores, [[0.9, 0.9 * 0.95]], rtol=1e-6)


def test_the_propagated_mask_goes_on_where_it_is_better(make_video):
    video = make_video({7: [box(10)] * 3})
    segmenter, propagator = Scripted([[box(14)]] * 3), Still()
    pairs = list(video_pairs(video, segmenter, propagator, ["forward"]))
    assert [p.ious[0, 1] for p in pairs] == [1, 1]
    assert [sorted(told) for told in propagator.told] == [[7], []]


def test_objects_are_matched_to_the_truth_and_join_when_they_appear(make_video):
    video = make_video({1: [box(5)] * 3, 2: [None, box(40), box(40)]})
    segmenter = Scripted([[box(5)], [box(41), box(5)], [box(41), box(5)]])
    pairs = list(video_pairs(video, segmenter, Still(), ["forward"]))
    assert [p.objects.tolist() for p in pairs] == [[1], [1, 2]]
    np.testing.assert_allclose(pairs[1].ious, [[1, 1], [90 / 110, 1]])


def test_objects_may_begin_with_a_mask_of_the_segmenter(make_video):
    video = make_video({1: [box(10)] * 4})
    segmenter, propagator = Scripted([[], [box(12)], [box(10)], [box(15)]]), Still()
    pairs = list(video_pairs(video, segmenter, propagator, ["forward"], ["segmenter"]))
    assert [(p.frame, p.start) for p in pairs] == [(2, "segmenter"), (3, "segmenter")]
    np.testing.assert_allclose(pairs[0].ious, [[1, 80 / 120]])  # what it found in frame 1 stands still
    np.testing.assert_allclose(pairs[1].ious, [[50 / 150, 1]])


def test_mistakes_propagate_the_worse_mask(make_video):
    video = make_video({1: [box(10)] * 3})
    pairs = list(video_pairs(video, Scripted([[box(14)]] * 3), Still(), ["forward"], mistakes=1.0))
    np.testing.assert_allclose(pairs[0].ious, [[60 / 140, 1]])
    np.testing.assert_allclose(pairs[1].ious, [[60 / 140, 60 / 140]])


class Prefers(Selector):
    """Takes the same side of every pair; remembers what it was shown."""

    def __init__(self, first):
        self.first, self.shown = first, []

    def prefer(self, image, first, second):
        self.shown.append((int(image.mean()), first, second))
        return np.full(len(first), float(self.first), np.float32)


def asked(video, found, selector, **options):
    """The pairs that the tracker asks `selector` about."""
    return [
        *video_pairs(
            video, Scripted(found), Still(), ["forward"], ["segmenter"], selector=selector, **options
        )
    ]


def test_the_trackers_pairs_follow_from_the_selectors_answers(make_video):
    # The segmenter is right in each frame; the propagator stays behind by 2 px a frame.
    video = make_video({1: [box(10), box(12), box(14)]})
    found = [[box(10)], [box(12)], [box(14)]]
    drifting = asked(video, found, Prefers(first=False))
    np.testing.assert_allclose([p.ious[0] for p in drifting], [[1, 80 / 120], [1, 60 / 140]])
    right = asked(video, found, Prefers(first=True))
    np.testing.assert_allclose([p.ious[0] for p in right], [[1, 80 / 120], [1, 80 / 120]])
    turned = asked(video, found, Prefers(first=True), mistakes=1)
    assert [p.ious.tolist() for p in turned] == [p.ious.tolist() for p in drifting]


def test_the_trackers_pairs_are_what_its_selector_sees(make_video):
    video = make_video({1: [box(10), box(12)], 2: [box(40), box(40)]})
    selector = Prefers(first=True)
    (pairs,) = asked(video, [[box(40), box(10)], [box(12), box(41)]], selector)
    ((brightness, first, second),) = selector.shown
    assert abs(brightness - 20) <= 1
    assert first.rles == pairs.first and second.rles == pairs.second
    assert (pairs.frame, pairs.start, sorted(pairs.objects.tolist())) == (1, "segmenter", [1, 2])
    by_object = dict(zip(pairs.objects.tolist(), pairs.scores.tolist(), strict=True))
    np.testing.assert_allclose(by_object[1], [0.9, 0.8 * 0.95], rtol=1e-6)
    np.testing.assert_allclose(by_object[2], [0.8, 0.9 * 0.95], rtol=1e-6)


def test_the_trackers_pairs_come_once_whatever_the_starts(make_video):
    video = make_video({1: [box(10), box(12)]})
    both = video_pairs(
        video, Scripted([[box(10)], [box(12)]]), Still(), ["forward"], STARTS, selector=Prefers(first=True)
    )
    assert [(p.frame, p.start) for p in both] == [(1, "segmenter")]


def test_a_pair_of_the_tracker_is_about_the_object_that_either_mask_fits_best(make_video):
    # What is found in the second frame is of object 2, but overlaps the mask that was propagated for 1.
    video = make_video({1: [box(10), box(10)], 2: [None, box(14)]})
    (pairs,) = asked(video, [[box(10)], [box(15)]], Prefers(first=True))
    assert pairs.objects.tolist() == [1]
    np.testing.assert_allclose(pairs.ious, [[50 / 150, 1]])
    np.testing.assert_array_equal(mask_ops.decode(pairs.truth, SIZE)[0], box(10))


def test_what_the_tracker_follows_where_nothing_is_gives_no_pairs(make_video):
    video = make_video({1: [box(10), box(10), None], 2: [None, None, None]})
    assert asked(video, [[box(40)], [box(40)], [box(40)]], Prefers(first=True)) == []


def test_a_lost_object_goes_on_from_the_segmenter(make_video):
    class Loses(Still):
        def step(self, image, corrections=None):
            carried = super().step(image, corrections)
            return {i: m & False for i, m in carried.items()} if len(self.told) == 1 else carried

    video = make_video({1: [box(5)] * 4})
    propagator = Loses()
    pairs = list(video_pairs(video, Scripted([[box(6)]] * 4), propagator, ["forward"]))
    assert [p.frame for p in pairs] == [2, 3]
    np.testing.assert_array_equal(propagator.told[1][1], box(6))


def test_both_directions_share_the_segmenters_results(make_video):
    video = make_video({1: [box(10), box(12), box(14)]})
    segmenter = Scripted([[box(10)], [box(12)], [box(14)]])
    pairs = list(video_pairs(video, segmenter, Still()))
    assert [p.frame for p in pairs] == [1, 2, 1, 0]
    assert segmenter.calls == 3


def test_pairs_come_back_from_disk(make_video, tmp_path):
    video = make_video({1: [box(10), box(12), box(14)], 5: [box(30)] * 3})
    frames = list(video_pairs(video, Scripted([[box(10), box(30)], [box(12)], [box(14), box(33)]]), Still()))
    for number in range(2):
        written = write_shard(tmp_path / f"pairs-{number}.safetensors", [(video, frames), (video, frames)])
    store = PairStore(tmp_path)
    expected = [(p.frame, i) for p in frames for i in p.objects.tolist()]
    assert len(store) == 2 * written == 4 * len(expected)
    assert list(zip(store.frame.tolist(), store.object.tolist(), strict=True)) == expected * 4
    assert np.unique(store.video, return_counts=True)[1].tolist() == [len(expected)] * 4
    np.testing.assert_array_equal(store.ious[: len(expected)], np.concatenate([p.ious for p in frames]))
    for index in range(len(store)):
        pair = store[index]
        frame, place = store.frame[index], index % len(expected)
        assert abs(int(pair.image.mean()) - 20 * frame) <= 1
        rles = [r for p in frames for r in p.second]
        np.testing.assert_array_equal(
            mask_ops.decode([pair.second], SIZE), mask_ops.decode([rles[place]], SIZE)
        )


def test_a_video_without_pairs_leaves_the_others_theirs(make_video, tmp_path):
    video = make_video({1: [box(10), box(12)]})
    videos = [dataclasses.replace(video, id=i, name=f"clip{i}") for i in range(3)]
    pairs = list(video_pairs(video, Scripted([[box(10)], [box(11)]]), Still(), ["forward"]))
    write_shard(tmp_path / "pairs-0.safetensors", zip(videos, [[], pairs, pairs], strict=True))
    store = PairStore(tmp_path)
    assert store.videos == ["clip0", "clip1", "clip2"]
    assert store.video.tolist() == [1, 2]


def test_a_broken_shard_is_named(tmp_path):
    (tmp_path / "pairs-0.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"pairs-0\.safetensors is damaged"):
        PairStore(tmp_path)
    with pytest.raises(InputError, match="msnvis pairs"):
        PairStore(tmp_path / "missing")


@pytest.fixture
def dataset(make_video):
    video = make_video({1: [box(10), box(12), box(14)]})
    return [dataclasses.replace(video, id=i, name=f"clip{i}") for i in range(5)]


OPTIONS = PairOptions(segmenter="squares-of-pairs", directions=("forward",), videos_per_shard=2)


@pytest.fixture(autouse=True)
def registered():
    """A segmenter by name that finds the box of `dataset`, two pixels late."""

    class Late(Scripted):
        def reset(self, frame=0):
            self.frames, self.calls = [[box(10)], [box(10)], [box(12)]], 0

    segmenters.register("squares-of-pairs", summary="for tests")(lambda: Late([]))
    yield
    segmenters._entries.pop("squares-of-pairs")


def test_shards_are_made_and_what_is_missing_is_made_again(dataset, tmp_path):
    folder = tmp_path / "out"
    shards = missing_shards(dataset, folder, OPTIONS)
    assert [len(videos) for videos in shards.values()] == [2, 2, 1]
    assert sum(make_pairs(shards, OPTIONS)) == len(PairStore(folder)) == 10
    assert PairStore(folder).videos == [v.name for v in dataset]
    first = sorted(folder.glob("*.safetensors"))[0]
    before = first.read_bytes()
    first.unlink()
    again = missing_shards(dataset, folder, OPTIONS)
    assert list(again) == [first] and list(make_pairs(again, OPTIONS)) == [4]
    assert first.read_bytes() == before


def test_pairs_made_in_another_way_are_not_mixed(dataset, tmp_path):
    list(make_pairs(missing_shards(dataset, tmp_path / "out", OPTIONS), OPTIONS))
    with pytest.raises(OptionError, match="other directions, videos, digest"):
        missing_shards(dataset[:1], tmp_path / "out", dataclasses.replace(OPTIONS, directions=("backward",)))
    with pytest.raises(InputError, match="no videos"):
        missing_shards([], tmp_path / "none", OPTIONS)


def test_a_misspelt_part_does_not_spoil_the_folder(dataset, tmp_path):
    wrong = dataclasses.replace(OPTIONS, segmenter="squares-of-pears")
    for workers in (0, 1):
        with pytest.raises(UnknownPartError, match="squares-of-pears"):
            list(make_pairs(missing_shards(dataset, tmp_path, wrong), wrong, workers))
    assert sum(make_pairs(missing_shards(dataset, tmp_path, OPTIONS), OPTIONS)) == 10


def test_a_folder_keeps_to_the_selector_that_it_began_with(dataset, tmp_path):
    followed = dataclasses.replace(OPTIONS, selector="segmenter", starts=("segmenter",))
    assert sum(make_pairs(missing_shards(dataset, tmp_path, followed), followed)) == 10
    with pytest.raises(OptionError, match="other starts, selector;"):
        missing_shards(dataset, tmp_path, OPTIONS)


def test_folders_made_before_selectors_could_be_followed_are_gone_on_with(dataset, tmp_path):
    list(make_pairs(missing_shards(dataset, tmp_path, OPTIONS), OPTIONS))
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    for name in ("selector", "selector_options"):
        del recipe[name]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    assert missing_shards(dataset, tmp_path, OPTIONS) == {}


def test_other_weights_at_the_same_path_are_noticed(dataset, tmp_path):
    weights = tmp_path / "best.safetensors"
    weights.write_bytes(b"first")
    own = dataclasses.replace(OPTIONS, segmenter_options={"weights": str(weights)})
    (tmp_path / "out").mkdir()
    missing_shards(dataset, tmp_path / "out", own)
    (tmp_path / "out" / "pairs-00000.safetensors").touch()
    weights.rename(tmp_path / "renamed.safetensors")
    renamed = {"weights": str(tmp_path / "renamed.safetensors")}
    missing_shards(dataset, tmp_path / "out", dataclasses.replace(own, segmenter_options=renamed))
    weights.write_bytes(b"second")
    with pytest.raises(OptionError, match="other segmenter_options"):
        missing_shards(dataset, tmp_path / "out", own)


def test_processes_make_the_same_pairs(dataset, tmp_path):
    detections = [
        {"image_id": frame, "category_id": 1, "score": 0.9, "segmentation": mask_ops.to_json(rle)}
        for frame, rle in enumerate(mask_ops.encode(np.array([box(10), box(10), box(12)])))
    ]
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    options = PairOptions(
        segmenter="precomputed",
        segmenter_options={"path": str(tmp_path / "detections.json")},
        directions=("forward",),
        videos_per_shard=3,
    )
    for workers in (0, 1):
        list(make_pairs(missing_shards(dataset, tmp_path / str(workers), options), options, workers))
    files = [sorted((tmp_path / str(workers)).glob("*.safetensors")) for workers in (0, 1)]
    assert len(PairStore(tmp_path / "1")) == 10
    assert [p.name for p in files[1]] == ["pairs-00000.safetensors", "pairs-00001.safetensors"]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
