"""DAVIS, MOTS and OpenImages: datasets that are folders of frames, maps and lists."""

import numpy as np
import pytest
from dataset_makers import SQUARE, pixels, write_image
from PIL import Image

from msnvis import masks as mask_ops
from msnvis.datasets.coco import read_coco
from msnvis.datasets.formats import read_dataset, write_dataset
from msnvis.datasets.problems import DatasetError
from msnvis.errors import InputError

OTHER = np.zeros((4, 6), bool)
OTHER[0, :] = True


def write_map(path, values, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values).astype(np.uint8))
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(path)


@pytest.fixture
def davis(tmp_path):
    """`bear` as in 2017, two objects and void pixels; `boat` as in 2016; `camel` with one map of three."""

    def make(resolution="480p", annotations="Annotations"):
        maps, frames = tmp_path / annotations / resolution, tmp_path / "JPEGImages" / resolution
        void = np.zeros((4, 6))
        void[3, 0] = 255
        write_map(maps / "bear" / "00000.png", SQUARE * 1 + OTHER * 2 + void, "P")
        write_map(maps / "bear" / "00001.png", SQUARE * 2, "P")
        write_map(maps / "boat" / "00000.png", SQUARE * 255)
        write_map(maps / "camel" / "00001.png", SQUARE * 1, "P")
        for name, count in (("bear", 2), ("boat", 1), ("camel", 3)):
            for index in range(count):
                write_image(frames / name / f"{index:05d}.jpg", (4, 6), 10 * index)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("resolution", "annotations"),
    [("480p", "Annotations"), ("", "Annotations"), ("480p", "Annotations_unsupervised")],
)
def test_davis_in_every_layout(davis, resolution, annotations):
    dataset = read_dataset(davis(resolution, annotations), "davis", need_frames=True)
    assert dataset.classes == ("object",)
    assert [(v.name, v.num_frames, v.size) for v in dataset.videos] == [
        ("bear", 2, (4, 6)),
        ("boat", 1, (4, 6)),
        ("camel", 3, (4, 6)),
    ]
    bear, boat, camel = (video.tracks for video in dataset.videos)
    assert [(track.id, sorted(track.rles)) for track in (*bear, *boat, *camel)] == [
        (1, [0]),
        (2, [0, 1]),
        (3, [0]),
        (4, [1]),
    ]
    assert np.array_equal(pixels(bear[1].rles[0]), OTHER)
    assert np.array_equal(pixels(boat[0].rles[0]), SQUARE)
    assert dataset.videos[2].image(2).mean() == 20


def test_davis_numbers_stay_where_they_are_unique(davis, tmp_path):
    davis()
    chosen = tmp_path / "ImageSets" / "2017" / "val.txt"
    chosen.parent.mkdir(parents=True)
    chosen.write_text("camel\n")
    (video,) = read_dataset(chosen, "davis").videos
    assert (video.name, [track.id for track in video.tracks]) == ("camel", [1])


def test_image_sets_of_davis_2016_name_frames(davis, tmp_path):
    davis()
    chosen = tmp_path / "ImageSets" / "480p" / "train.txt"
    chosen.parent.mkdir(parents=True)
    line = "/JPEGImages/480p/boat/00000.jpg /Annotations/480p/boat/00000.png\n"
    chosen.write_text(line * 2)
    assert [video.name for video in read_dataset(chosen, "davis").videos] == ["boat"]


def test_davis_without_frames_has_the_size_of_the_maps(davis, tmp_path):
    root = davis()
    (root / "JPEGImages").rename(tmp_path / "gone")
    bear = read_dataset(root, "davis").videos[0]
    assert (bear.size, bear.frames[1]) == ((4, 6), root / "JPEGImages" / "bear" / "00001.jpg")


def test_bad_davis_sequences_are_told(davis):
    root = davis()
    write_image(root / "JPEGImages" / "480p" / "bear" / "00000.jpg", (8, 12))
    write_map(root / "Annotations" / "480p" / "boat" / "00009.png", SQUARE)
    (root / "Annotations" / "480p" / "camel" / "00001.png").write_bytes(b"no image")
    with pytest.raises(DatasetError) as raised:
        read_dataset(root, "davis")
    texts = [str(problem) for problem in raised.value.problems]
    assert len(texts) == 3
    assert "sequence 'bear'" in texts[0] and "is 6x4, its video 12x8" in texts[0]
    assert "1 label maps have no frame" in texts[1]
    assert "sequence 'camel'" in texts[2]
    lenient = read_dataset(root, "davis", lenient=True)
    assert lenient.videos == []


def test_a_folder_that_is_not_davis(tmp_path):
    with pytest.raises(InputError, match="a folder of DAVIS, which holds"):
        read_dataset(tmp_path, "davis")


TEXT = mask_ops.to_json(mask_ops.encode(SQUARE[None])[0])["counts"]


def test_a_davis_map_that_is_a_picture_is_named(davis):
    root = davis()
    write_image(root / "Annotations" / "480p" / "bear" / "00001.png", (4, 6))
    with pytest.raises(DatasetError, match=r"bear/00001\.png cannot be used: it is a picture \(RGB\)"):
        read_dataset(root, "davis")


def mots_lines(*masks):
    return "".join(f"{frame} {number} {number // 1000} 4 6 {TEXT}\n" for frame, number in masks)


def test_kitti_mots(tmp_path):
    text = tmp_path / "instances_txt" / "0002.txt"
    text.parent.mkdir()
    text.write_text(mots_lines((0, 1001), (0, 10000), (2, 1001), (2, 2005)))
    for index in range(4):
        write_image(tmp_path / "training" / "image_02" / "0002" / f"{index:06d}.png", (4, 6))
    dataset = read_dataset(tmp_path, "mots", need_frames=True)
    assert (dataset.classes, dataset.category_ids) == (("car", "pedestrian"), (1, 2))
    (video,) = dataset.videos
    assert (video.name, video.num_frames, video.size) == ("0002", 4, (4, 6))
    assert [(t.id, t.label, sorted(t.rles)) for t in video.tracks] == [(1001, 0, [0, 2]), (2005, 1, [2])]
    assert np.array_equal(pixels(video.tracks[0].rles[2]), SQUARE)


def test_kitti_mots_as_maps(tmp_path):
    """Pedestrian 1 in both frames, car 5 in the second; what is to be ignored is no object."""
    for frame, car in ((0, 0), (1, 1005)):
        labels = np.where(SQUARE, 2001, 0).astype(np.uint16)
        labels[0], labels[3, :2] = 10000, car
        path = tmp_path / "training" / "instances" / "0002" / f"{frame:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path)
        write_image(tmp_path / "training" / "image_02" / "0002" / f"{frame:06d}.png", (4, 6))
    dataset = read_dataset(tmp_path, "mots", need_frames=True)
    (video,) = dataset.videos
    found = {t.id: (dataset.classes[t.label], sorted(t.rles)) for t in video.tracks}
    assert (video.name, found) == ("0002", {2001: ("pedestrian", [0, 1]), 1005: ("car", [1])})
    assert (pixels(video.tracks[0].rles[1]) == SQUARE).all()
    Image.fromarray(labels[:3]).save(path)
    with pytest.raises(DatasetError, match=r"000001\.png: the map: it is 6x3, the first 6x4"):
        read_dataset(tmp_path, "mots")


def test_mots_challenge_counts_frames_from_one(tmp_path):
    sequence = tmp_path / "MOTS20-02"
    (sequence / "gt").mkdir(parents=True)
    (sequence / "gt" / "gt.txt").write_text(mots_lines((1, 2001), (3, 2001)))
    (sequence / "seqinfo.ini").write_text("[Sequence]\nname=MOTS20-02\nframeRate=30\nseqLength=5\n")
    (without,) = read_dataset(tmp_path, "mots").videos
    assert (without.num_frames, without.fps, sorted(without.tracks[0].rles)) == (5, 30.0, [0, 2])
    for number in range(1, 5):
        write_image(sequence / "img1" / f"{number:06d}.jpg", (4, 6))
    (video,) = read_dataset(tmp_path, "mots").videos
    assert (video.num_frames, sorted(video.tracks[0].rles)) == (4, [0, 2])
    assert video.frames[0].name == "000001.jpg"


def test_a_single_mots_text(tmp_path):
    path = tmp_path / "mots.txt"
    path.write_text(mots_lines((0, 1001), (4, 1001)))
    (video,) = read_dataset(path, "mots").videos
    assert (video.num_frames, sorted(video.tracks[0].rles)) == (5, [0, 4])


def test_bad_mots_lines_are_told_by_number(tmp_path):
    path = tmp_path / "a.txt"
    good = mots_lines((0, 1001))
    bad = [
        (f"0 1002 1 4 6 {TEXT} 7", "line 2: it has 7 fields"),
        (f"0 1003 1 5 6 {TEXT}", "line 3: a mask of size [5, 6]"),
        (f"0 7001 7 4 6 {TEXT}", "line 4: class id 7 is neither 1 (car)"),
        ("0 1004 1 4 6 04", "line 5: the runs cover 4 pixels"),
        (mots_lines((0, 1001)).strip(), "line 6: track 1001 already has a mask in this frame"),
        (mots_lines((10**9, 1001)).strip(), "line 7: frame 1000000000 is not in the video"),
        ("x 1001 1 4 6 04", "line 8: invalid literal"),
        (mots_lines((-1, 1001)).strip(), "line 9: frame -1 is before the first"),
    ]
    path.write_text(good + "".join(f"{line}\n" for line, _ in bad))
    dataset = read_dataset(path, "mots", lenient=True)
    assert len(dataset.problems) == len(bad)
    for problem, (_, text) in zip(dataset.problems, bad, strict=True):
        assert text in str(problem)
    assert [sorted(track.rles) for track in dataset.videos[0].tracks] == [[0]]


def test_a_mots_frame_without_an_image(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(mots_lines((0, 1001), (1, 1001)))
    write_image(tmp_path / "a" / "000000.png", (4, 6))
    with pytest.raises(DatasetError, match="line 2: there is no image of frame 1"):
        read_dataset(path, "mots")


HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"


@pytest.fixture
def openimages(tmp_path):
    """Two masks of image ``0a``, twice as large as they are, and one of ``1b``, whose image is missing."""
    rows = [
        ("0a_m01_x1.png", "0a", "/m/01"),
        ("0a_m02_x2.png", "0a", "/m/02"),
        ("1b_m01_x3.png", "1b", "/m/01"),
    ]
    csv = tmp_path / "train-annotations-object-segmentation.csv"
    csv.write_text(HEADER + "".join(f"{','.join(row)},b,0.1,0.9,0.1,0.9,0.8,0.5 0.5 1\n" for row in rows))
    (tmp_path / "class-descriptions-boxable.csv").write_text('/m/02,Dog\n/m/01,Cat\n/m/03,"Fox, red"\n')
    for name, _, _ in rows:
        folder = f"train-masks-{name[0]}"
        write_map(tmp_path / folder / name, SQUARE * 255)
    write_image(tmp_path / "train" / "0a.jpg", (8, 12))
    return csv


def test_openimages(openimages):
    dataset = read_dataset(openimages, "openimages")
    assert dataset.classes == ("Dog", "Cat", "Fox, red")
    assert [(v.name, v.size, [t.label for t in v.tracks]) for v in dataset.videos] == [
        ("0a", (8, 12), [1, 0]),
        ("1b", (4, 6), [1]),
    ]
    scaled = pixels(dataset.videos[0].tracks[0].rles[0])
    assert scaled[3:5, 5:7].all() and not scaled[:1].any() and 12 <= scaled.sum() <= 16
    assert dataset.videos[0].image(0).shape == (8, 12, 3)


def test_openimages_without_names_of_classes(openimages):
    """The 601 classes with boxes are known anyway."""
    (openimages.parent / "class-descriptions-boxable.csv").unlink()
    openimages.write_text(openimages.read_text().replace("/m/01", "/m/01yrx").replace("/m/02", "/m/0bt9lr"))
    dataset = read_dataset(openimages, "openimages")
    assert len(dataset.classes) == 601
    assert [dataset.classes[t.label] for v in dataset.videos for t in v.tracks] == ["Cat", "Dog", "Cat"]


def test_openimages_masks_are_read_when_they_are_asked_for(openimages):
    """So what is in memory does not grow with the masks: a file that changes shows, one that goes is told."""
    file = openimages.parent / "train-masks-1" / "1b_m01_x3.png"
    (track,) = read_dataset(openimages, "openimages").videos[1].tracks
    assert (pixels(track.rles[0]) == SQUARE).all()
    write_map(file, OTHER * 255)
    assert (pixels(track.rles[0]) == OTHER).all()
    file.unlink()
    with pytest.raises(InputError, match=r"1b_m01_x3\.png does not exist"):
        track.rles[0]


def test_openimages_are_labelled_in_part(openimages, tmp_path):
    """Nobody says that all objects of a class have masks: that must reach a training."""
    dataset = read_dataset(openimages, "openimages")
    write_dataset(dataset, tmp_path / "coco", "coco")
    records = read_coco(tmp_path / "coco" / "instances.json", tmp_path)
    assert [record.vouched for record in records] == [frozenset(), frozenset()]
    assert [len(record.annotations) for record in records] == [2, 1]


def test_bad_openimages_are_told(openimages):
    (openimages.parent / "train-masks-1" / "1b_m01_x3.png").unlink()
    whole = (openimages.parent / "train-masks-0" / "0a_m01_x1.png").read_bytes()
    (openimages.parent / "train-masks-0" / "0a_m01_x1.png").write_bytes(whole[:-20])
    openimages.write_text(openimages.read_text().replace("/m/02", "/m/99"))
    dataset = read_dataset(openimages, "openimages", lenient=True)
    assert [str(problem).split(": ", 1)[1] for problem in dataset.problems] == [
        f"mask 1 ('0a_m01_x1.png'): {openimages.parent}/train-masks-0/0a_m01_x1.png is not a whole PNG; "
        "unpack it again",
        "mask 2 ('0a_m02_x2.png'): its class '/m/99' is not in the class descriptions",
        "mask 3 ('1b_m01_x3.png'): its file is missing; unpack the masks next to the csv",
    ]
    openimages.write_text("ImageID,LabelName\n")
    with pytest.raises(InputError, match="its columns are not MaskPath, ImageID, LabelName"):
        read_dataset(openimages, "openimages")
