import json

import numpy as np
import pytest
from command import files_in, msnvis
from drawn_photos import Drawing, draw_dataset, ellipse, texture

from msnvis import masks as mask_ops
from msnvis.datasets.formats import read_dataset
from msnvis.datasets.synthetic import SyntheticVideos, SynthOptions, write_dataset
from msnvis.datasets.synthetic.writing import write_videos
from msnvis.errors import InputError, OptionError, OutputError

SMALL = SynthOptions(videos=3, frames=6, size=(96, 128), objects=(2, 4), seed=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_dataset(tmp_path_factory.mktemp("photos"), images=4)


@pytest.fixture(scope="module")
def written(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_dataset(*photos, folder, SMALL)
    return folder


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


def test_videos_have_the_size_and_objects_asked_for(photos):
    for video in SyntheticVideos(*photos, SMALL):
        assert video.pixels.shape == (6, 96, 128, 3) and video.num_frames == 6
        assert len(video.tracks) <= 4
        assert all(rle["size"] == [96, 128] for track in video.tracks for rle in track.rles.values())


def test_masks_of_a_frame_are_disjoint_and_not_empty(photos):
    options = SynthOptions(videos=4, frames=8, size=(96, 128), objects=(5, 5))
    for video in SyntheticVideos(*photos, options):
        for frame in range(8):
            masks = mask_ops.decode([t.rles[frame] for t in video.tracks if frame in t.rles], (96, 128))
            assert masks.any(axis=(1, 2)).all()
            assert masks.sum(axis=0).max(initial=0) <= 1


def test_without_degradation_masks_are_exact(photos):
    """Every moving object is red, whatever the light of its scene, and no background has any red."""
    options = SynthOptions(videos=6, frames=5, size=(96, 128), objects=(1, 1), degradation=0)
    seen = 0
    for video in SyntheticVideos(*photos, options):
        for track in video.tracks:
            for frame, rle in track.rles.items():
                red = video.image(frame)[..., 0].astype(float)
                mask = mask_ops.decode([rle], video.size)[0]
                if mask.sum() < 200:
                    continue
                seen += 1
                share = red / np.median(red[mask])
                clear = np.abs(share - 0.5) > 0.02
                np.testing.assert_array_equal(mask[clear], share[clear] >= 0.5)
    assert seen > 10


def test_the_same_seed_gives_the_same_and_another_one_something_else(photos):
    first, again = (SyntheticVideos(*photos, SMALL)[1] for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.tracks == again.tracks and first.sources == again.sources
    other = SyntheticVideos(*photos, SynthOptions(**{**SMALL.to_json(), "size": (96, 128), "seed": 4}))[1]
    assert not np.array_equal(first.pixels, other.pixels)


def test_copies_of_one_cutout_are_different_tracks(photos):
    options = SynthOptions(videos=10, frames=1, size=(64, 64), objects=(6, 8), degradation=0)
    copied = 0
    for video in SyntheticVideos(*photos, options):
        origins = [source.annotation_id for source in video.sources.values()]
        copied += len(origins) - len(set(origins))
    assert copied > 5


def test_files_hold_what_the_videos_in_memory_are(photos, written):
    dataset = read_dataset(written / "instances.json", "ytvis", need_frames=True)
    made = SyntheticVideos(*photos, SMALL)
    assert dataset.classes == made.classes == ("ball", "box") and dataset.category_ids == (1, 5)
    assert len(dataset.videos) == 3
    for read, video in zip(dataset.videos, made, strict=True):
        assert (read.id, read.name, read.size) == (video.id, video.name, video.size)
        assert [(t.id, t.label, t.rles) for t in read.tracks] == [
            (t.id, t.label, t.rles) for t in video.tracks
        ]
        for frame, picture in enumerate(read.images()):
            difference = np.abs(picture.astype(int) - video.image(frame))
            assert difference.mean() < 3  # JPEG


def test_files_say_what_they_are_made_of(photos, written):
    content = json.loads((written / "instances.json").read_text())
    assert content["info"]["synthetic"] is True
    assert content["info"]["parameters"]["seed"] == 3
    known = json.loads(photos[0].read_text())
    origins = {a["id"]: a for a in known["annotations"]}
    for video in content["videos"]:
        assert video["background_image_id"] in video["source_image_ids"]
    used = {video["id"]: video["source_image_ids"] for video in content["videos"]}
    for track in content["annotations"]:
        origin = origins[track["source"]["annotation_id"]]
        assert origin["image_id"] == track["source"]["image_id"]
        assert origin["category_id"] == track["category_id"]
        assert origin["image_id"] in used[track["video_id"]]
    ids = [track["id"] for track in content["annotations"]]
    assert len(ids) == len(set(ids)) > 3


def test_splits_of_written_videos_share_no_photograph(tmp_path):
    photos = draw_dataset(tmp_path, images=12)
    used = {}
    for split in ("train", "val"):
        options = SynthOptions(videos=8, frames=1, size=(64, 64), objects=(3, 5), split=split, val_share=0.4)
        content = json.loads(write_dataset(*photos, tmp_path / split, options).read_text())
        used[split] = {number for video in content["videos"] for number in video["source_image_ids"]}
    assert len(used["train"]) > 1 and len(used["val"]) > 1
    assert not used["train"] & used["val"]


def test_the_number_of_workers_changes_no_byte(photos, written, tmp_path):
    write_dataset(*photos, tmp_path / "two", SMALL, workers=2)
    assert contents(tmp_path / "two") == contents(written)


def test_an_interrupted_run_goes_on(photos, written, tmp_path):
    folder = tmp_path / "begun"
    begun = write_videos(*photos, folder, SMALL)
    first = next(begun)
    begun.close()
    assert not (folder / "instances.json").exists()
    kept = (folder / "JPEGImages" / first / "00000.jpg").stat().st_mtime_ns
    assert len(list(write_videos(*photos, folder, SMALL))) == 2
    assert (folder / "JPEGImages" / first / "00000.jpg").stat().st_mtime_ns == kept
    assert contents(folder) == contents(written)
    assert list(write_videos(*photos, folder, SMALL)) == []


def test_other_options_do_not_overwrite(photos, written):
    before = contents(written)
    with pytest.raises(OutputError, match="made with other options or from other images; choose another"):
        write_dataset(*photos, written, SynthOptions(videos=1))
    assert contents(written) == before


def test_a_folder_with_other_frames_is_left_alone(photos, tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(OutputError, match="frames of another dataset"):
        write_dataset(*photos, tmp_path, SMALL)


def test_a_missing_or_wrong_photograph_is_named(tmp_path):
    drawing = Drawing(tmp_path)
    drawing.add_object(ellipse())
    drawing.add_background()
    videos = SyntheticVideos(*drawing.write(), SMALL)
    (tmp_path / "images" / "101.png").unlink()
    with pytest.raises(InputError, match=r"101\.png, image 101 of the annotations, is missing"):
        videos[0]
    drawing.add(texture(2, 0)[:50])
    (tmp_path / "images" / "102.png").rename(tmp_path / "images" / "101.png")
    with pytest.raises(InputError, match=r"101\.png is 160x50 but annotated as 160x120"):
        videos[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (95, 128)}, "128x95 cannot be made; width and height must be even"),
        ({"size": (8, 128)}, "between 32 and 8192"),
        ({"objects": (3, 2)}, "3-2 objects make no sense"),
        ({"videos": 0}, "0 videos of 32 frames"),
        ({"degradation": 1.5}, "degradation of 1.5"),
        ({"split": "test"}, "no split is called 'test'; known: all, train, val"),
        ({"val_share": 1.0}, "not between 0 and 1"),
        ({"seed": -1}, "a seed is a whole number"),
    ],
)
def test_senseless_options_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        SynthOptions(**options)


def test_the_command_makes_a_dataset(photos, tmp_path):
    given = ("--annotations", photos[0], "--images", photos[1], "-o", tmp_path / "out", "--videos", 2)
    small = ("--frames", 2, "--size", "64x48", "--objects", "1-2", "--workers", 1)
    done = msnvis("synth", *given, *small)
    assert done.code == 0 and "2 of 2 videos made" in done.out
    assert len(files_in(tmp_path / "out")) == 1 + 2 * 2
    assert "2 were there already" in msnvis("synth", *given, *small).out


@pytest.mark.parametrize(("option", "value"), [("--size", "640"), ("--objects", "many"), ("--size", "63x64")])
def test_the_command_explains_bad_values(photos, tmp_path, option, value):
    given = ("--annotations", photos[0], "--images", photos[1], "-o", tmp_path / "out")
    done = msnvis("synth", *given, option, value)
    assert done.code == 2 and done.err.count("\n") == 1 and value in done.err
    assert not (tmp_path / "out").exists()
