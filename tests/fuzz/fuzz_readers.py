"""Every reader of files that come from strangers: a small valid input made by a writer, and how it is read.

`Reader.read` does with the input what the commands do with it, results included: a value that does harm only
when it is written would otherwise go unseen.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import squares
import torch
from command import msnvis
from fuzz_mutations import Files, hostile
from PIL import Image
from safetensors.torch import save_file

from msnvis import masks as mask_ops
from msnvis.datasets.coco import read_category_ids, read_class_names, read_coco
from msnvis.datasets.formats import read_dataset, write_dataset
from msnvis.datasets.synthetic import SynthOptions
from msnvis.datasets.synthetic.sources import read_sources
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo, VideoDataset
from msnvis.errors import InputError, MsnvisError
from msnvis.evaluation import evaluate
from msnvis.evaluation.davis import evaluate_davis
from msnvis.evaluation.diagnosis import diagnose_videos
from msnvis.evaluation.frames import pair_videos
from msnvis.evaluation.tracking import measure_tracking
from msnvis.io.readers import open_source
from msnvis.segmenters.cascade_files import read_classes
from msnvis.segmenters.precomputed import PrecomputedSegmenter
from msnvis.selection.crops import CropOptions
from msnvis.selection.make_pairs import PairOptions, missing_shards
from msnvis.selection.network_selector import Use
from msnvis.selection.pair_store import PairStore, write_shard
from msnvis.selection.pairs import FramePairs
from msnvis.structures import Detections, VideoInstances
from msnvis.weights.state import load_into, read_metadata

squares.register()
SIZE = (24, 32)
FRAMES = 3


@dataclass(frozen=True)
class Reader:
    """A reader and what it reads.

    Attributes:
        make: gives the valid input.
        read: takes the folder that holds the input, and may use ``out`` beside it.
        changed: the only file that is made hostile; any if it is empty.
    """

    make: Callable[[], Files]
    read: Callable[[Path], None]
    changed: str = ""

    def hostile(self, random: Random) -> Files:
        files = self.make()
        return hostile(files, random, self.changed or None)


def frame(index: int) -> np.ndarray:
    """RGB ``(24, 32, 3)``."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[4:14, 2 + 4 * index : 12 + 4 * index] = (200, 40, 30)
    return image


def mask(index: int, top: int = 4) -> np.ndarray:
    found = np.zeros(SIZE, bool)
    found[top : top + 10, 2 + 4 * index : 12 + 4 * index] = True
    return found


def encoded(index: int, top: int = 4) -> mask_ops.RLE:
    return mask_ops.encode(mask(index, top)[None])[0]


def found_at(index: int) -> Detections:
    return Detections.from_masks(mask(index)[None], [0.5], [[1.0]])


def dataset(folder: Path) -> VideoDataset:
    """Two videos with two tracks each, and their frames in `folder`."""
    videos = []
    for number, name in enumerate(("left", "right"), start=1):
        files = tuple(folder / name / f"{index:05d}.png" for index in range(FRAMES))
        for index, file in enumerate(files):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame(index)).save(file)
        tracks = tuple(
            AnnotatedTrack(10 * number + k, k, {i: encoded(i, 4 + 10 * k) for i in range(FRAMES - k)})
            for k in range(2)
        )
        videos.append(AnnotatedVideo(number, name, SIZE, files, tracks))
    return VideoDataset(("person", "car"), (1, 3), videos)


def files_of(fill: Callable[[Path], None]) -> Callable[[], Files]:
    """What `fill` puts into a folder."""

    @cache
    def make() -> Files:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder))
            paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return make


def use(found: VideoDataset, folder: Path) -> None:
    """What `msnvis convert` and the trainings do with a dataset."""
    for video in found.videos:
        found.instances(video)
        for track in video.tracks:
            mask_ops.areas(list(track.rles.values()))
    out = folder.with_name("out")
    try:
        write_dataset(found, out / "coco", "coco")
        write_dataset(found, out / "ytvis", "ytvis", frames="copy")
        for video in found.videos:
            for _ in islice(video.images(), 2):
                pass
    finally:
        shutil.rmtree(out, ignore_errors=True)


def read_format(format: str, folder: Path, file: str = "") -> None:
    found = read_dataset(folder / file, format, lenient=True)
    if found.problems:
        try:
            read_dataset(folder / file, format)
        except InputError:
            pass
        else:
            raise AssertionError("problems were found, but only by the lenient reader")
    use(found, folder)


def make_written(format: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as frames:
            write_dataset(dataset(Path(frames)), folder / "set", format, frames="copy")
        shutil.copytree(folder / "set", folder, dirs_exist_ok=True)
        shutil.rmtree(folder / "set")

    return fill


def image_bytes(image: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format)
    return buffer.getvalue()


def save_map(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(labels))


def make_openimages(folder: Path) -> None:
    rows = ["MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"]
    for index in range(2):
        save_map(folder / "train-masks" / f"m{index}.png", mask(index) * np.uint8(255))
        rows.append(f"m{index}.png,img{index},/m/0k4j,b{index},0,1,0,1,0.5,")
        save_map(folder / "train" / f"img{index}.jpg", frame(index))
    (folder / "train-annotations.csv").write_text("\n".join(rows) + "\n")
    (folder / "class-descriptions.csv").write_text("LabelName,DisplayName\n/m/0k4j,Car\n/m/01g317,Person\n")


def make_davis(folder: Path) -> None:
    for index in range(FRAMES):
        labels = mask(index) * np.uint8(1) + mask(index, 14) * np.uint8(2)
        save_map(folder / "Annotations" / "480p" / "bear" / f"{index:05d}.png", labels)
        save_map(folder / "JPEGImages" / "480p" / "bear" / f"{index:05d}.jpg", frame(index))
    (folder / "ImageSets").mkdir()
    (folder / "ImageSets" / "train.txt").write_text("bear\n")


def make_mots(folder: Path) -> None:
    gt = folder / "MOTS20-02" / "gt" / "gt.txt"
    gt.parent.mkdir(parents=True)
    lines = [
        f"{index + 1} {1000 * (k + 1) + k} {k + 1} {SIZE[0]} {SIZE[1]} "
        f"{encoded(index, 4 + 10 * k)['counts'].decode()}"
        for index in range(FRAMES)
        for k in range(2)
    ]
    for index in range(FRAMES):
        save_map(folder / "MOTS20-02" / "img1" / f"{index + 1:06d}.png", frame(index))
    gt.write_text("\n".join(lines) + "\n")
    (folder / "MOTS20-02" / "seqinfo.ini").write_text(f"[Sequence]\nframeRate=30\nseqLength={FRAMES}\n")


def make_mots_maps(folder: Path) -> None:
    for index in range(FRAMES):
        labels = (mask(index) * 1001 + mask(index, 14) * 2005).astype(np.uint16)
        save_map(folder / "instances" / "0002" / f"{index:06d}.png", labels)
        save_map(folder / "images" / "0002" / f"{index:06d}.jpg", frame(index))


def make_labelme(folder: Path) -> None:
    import base64

    for index in range(FRAMES):
        save_map(folder / f"{index:03d}.png", frame(index))
        crop = base64.b64encode(image_bytes(np.full((10, 10), 255, np.uint8))).decode()
        shapes = [
            {"label": "a", "group_id": 1, "shape_type": "rectangle", "points": [[2, 3], [9, 9]]},
            {"label": "a", "group_id": 2, "shape_type": "polygon", "points": [[2, 3], [9, 9], [2, 9]]},
            {"label": "b", "group_id": None, "shape_type": "circle", "points": [[9, 9], [9, 13]]},
            {"label": "c", "group_id": 3, "shape_type": "mask", "points": [[2, 3], [12, 13]], "mask": crop},
        ]
        about = {"imagePath": f"{index:03d}.png", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
        (folder / f"{index:03d}.json").write_text(json.dumps({**about, "shapes": shapes}))


def make_cvat(folder: Path) -> None:
    for index in range(5):
        save_map(folder / "images" / f"frame_{index:06d}.png", frame(index))
    box = '<box frame="{}" xtl="2" ytl="3" xbr="9" ybr="9" outside="0" keyframe="1" rotation="5"/>'
    polygon = '<polygon frame="{}" points="2,3;9,9;2,9" outside="{}" keyframe="1"/>'
    runs = '<mask frame="0" rle="1, 2, 1" left="2" top="2" width="2" height="2" outside="0"/>'
    oval = '<ellipse frame="1" cx="9" cy="9" rx="3" ry="4" outside="0"/>'
    (folder / "annotations.xml").write_text(
        "<annotations><meta><task><name>clip</name><size>5</size><start_frame>0</start_frame>"
        "<frame_filter>step=1</frame_filter><labels><label><name>cat</name></label></labels><original_size>"
        f"<width>{SIZE[1]}</width><height>{SIZE[0]}</height></original_size></task></meta>"
        f'<track id="0" label="cat">{box.format(0)}{box.format(3)}</track>'
        f'<track id="1" label="cat">{polygon.format(0, 0)}{polygon.format(2, 1)}</track>'
        f'<track id="2" label="cat">{runs}</track><track id="3" label="cat">{oval}</track></annotations>'
    )


def instances() -> VideoInstances:
    with tempfile.TemporaryDirectory() as folder:
        found = dataset(Path(folder))
    return found.instances(found.videos[0])


def make_evaluated(folder: Path) -> None:
    """Ground truth, results as the official list, and as `msnvis run` writes them."""
    with tempfile.TemporaryDirectory() as frames:
        found = dataset(Path(frames))
        write_dataset(found, folder / "truth", "ytvis")
    truth = json.loads((folder / "truth" / "instances.json").read_text())
    (folder / "truth.json").write_text(json.dumps(truth))
    shutil.rmtree(folder / "truth")
    results = [row for video in found.videos for row in found.instances(video).to_ytvis_results(video.id)]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "tracks.json").write_text(json.dumps(found.instances(found.videos[0]).to_ytvis()))


def read_evaluated(folder: Path, mutated: str) -> None:
    for results in ("results.json", "tracks.json") if mutated == "truth.json" else (mutated,):
        report = evaluate(folder / results, folder / "truth.json", bootstrap=2)
        report.table("x", sizes=True, per_category=True), report.to_json(), report.to_csv()
        paired = pair_videos(folder / results, folder / "truth.json")
        measure_tracking(paired).to_json()
        diagnose_videos(paired).to_json()


def make_results(format: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        if format == "mots":
            (folder / "mots.txt").write_text(instances().to_mots())
        else:
            content = getattr(instances(), f"to_{format}")()
            (folder / f"{format}.json").write_text(json.dumps(content))

    return fill


def read_results(format: str, folder: Path) -> None:
    if format == "mots":
        found = VideoInstances.from_mots(folder / "mots.txt", {1: "person", 3: "car"})
    else:
        found = getattr(VideoInstances, f"from_{format}")(folder / f"{format}.json")
    found.to_coco(), found.to_ytvis(), found.to_mots()
    for _ in islice(found.frames(), 3):
        pass


def make_maps(folder: Path) -> None:
    for index in range(FRAMES):
        save_map(folder / f"{index:05d}.png", mask(index) * np.uint8(1) + mask(index, 14) * np.uint8(2))


def read_maps(folder: Path) -> None:
    VideoInstances.from_png(folder).to_ytvis()
    with tempfile.TemporaryDirectory() as truth:
        make_maps(Path(truth))
        evaluate_davis(folder, truth, all_frames=True)
        evaluate_davis(truth, folder, task="unsupervised")


def make_video(name: str, codec: str, pixels: str = "yuv420p", count: int = 12) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        import av

        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 80, 48, pixels
            stream.codec_context.gop_size = 5
            for image in squares.frames(count):
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(picture.reformat(format=pixels)))
            container.mux(stream.encode())

    return fill


def read_video(name: str, folder: Path) -> None:
    source = open_source(folder / name)
    str(source.describe())
    for frames in (source.frames(), source.frames_reversed(), source.pictures(), source.pick([0, 3])):
        for _ in frames:
            pass
    str(open_source(folder / name, start=2, stride=2, max_side=16).describe())


def make_images(*formats: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for index, format in enumerate(formats):
            ending = {"JPEG": "jpg", "TIFF": "tif"}.get(format, format.lower())
            (folder / f"{index:05d}.{ending}").write_bytes(image_bytes(frame(index), format))

    return fill


def read_images(folder: Path) -> None:
    refusal = None
    for file in sorted(folder.iterdir()):
        try:
            for _ in open_source(file).frames():
                pass
        except MsnvisError as error:  # the others are read nevertheless
            refusal = error
    for source in (open_source(folder, max_side=16),):
        for frames in (source.frames(), source.frames_reversed()):
            for _ in frames:
                pass
    if refusal:
        raise refusal


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def make_safetensors(folder: Path) -> None:
    from msnvis.weights.int8 import quantise

    metadata = {
        "architecture": "tiny",
        "classes": json.dumps(["cat", "dog"]),
        "use": Use(CropOptions(), True, (("compact", "flow"),)).to_json(),
    }
    state = {key: value for key, value in network().state_dict().items() if "num_batches" not in key}
    save_file(quantise(state), folder / "tiny.safetensors", metadata=metadata)


def read_safetensors(folder: Path) -> None:
    path = folder / "tiny.safetensors"
    metadata = read_metadata(path, "tiny", "msnvis train")
    read_classes(path, "tiny")
    Use.from_json(metadata.get("use", ""), path)
    load_into(network(), path)


def make_checkpoint(legacy: bool) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        state = {"state_dict": network().state_dict(), "epoch": 3}
        torch.save(state, folder / "tiny.pth", _use_new_zipfile_serialization=not legacy)

    return fill


def read_checkpoint(folder: Path) -> None:
    load_into(network(), folder / "tiny.pth")


def make_onnx(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((1, 8, 3, 3), np.float32), "weight")
    nodes = [
        helper.make_node("Conv", ["pairs", "weight"], ["maps"], strides=[8, 8]),
        helper.make_node("ReduceMean", ["maps"], ["logits"], axes=[1, 2, 3], keepdims=0),
    ]
    given = helper.make_tensor_value_info("pairs", TensorProto.FLOAT, ["n", 8, 32, 32])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "tiny", [given], [gives], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    use = Use(CropOptions(side=32)).to_json()
    helper.set_model_props(model, {"architecture": "msn", "use": use})
    onnx.save(model, folder / "tiny.onnx")


def read_onnx(folder: Path) -> None:
    from msnvis.selection import create_selector

    selector = create_selector("msn", weights=folder / "tiny.onnx", skip_iou=1.0)
    selector.prefer(frame(0), found_at(0), found_at(2))


def make_detections(folder: Path) -> None:
    entries = [
        {"image_id": i, "category_id": 1, "segmentation": mask_ops.to_json(encoded(i)), "score": 0.5}
        for i in range(2)
    ]
    (folder / "list.json").write_text(json.dumps(entries))
    (folder / "coco.json").write_text(json.dumps(instances().to_coco()))


def read_detections(folder: Path) -> None:
    for name in ("list.json", "coco.json"):
        segmenter = PrecomputedSegmenter(folder / name)
        for found in segmenter.segment([frame(0), frame(1)]):
            VideoInstances.from_frames("a", [replace(found, ids=np.arange(len(found)))], [0.0], ("a",) * 200)


def make_shard(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as frames:
        video = dataset(Path(frames)).videos[0]
        pairs = FramePairs(
            frame=0,
            start="truth",
            objects=np.array([10, 11]),
            first=[encoded(0), encoded(1)],
            second=[encoded(1), encoded(2)],
            truth=[encoded(0), encoded(1)],
            ious=np.ones((2, 2), np.float32),
            overlaps=np.ones(2, np.float32),
            scores=np.ones((2, 2), np.float32),
        )
        write_shard(folder / "pairs-00000.safetensors", [(video, [pairs])])


def read_shard(folder: Path) -> None:
    from msnvis.selection.crops import crop_pairs

    store = PairStore(folder)
    for index in range(len(store)):
        pair = store[index]
        if mask_ops.areas([pair.first, pair.second]).all():
            crop_pairs(pair.image, [pair.first], [pair.second], CropOptions(side=32))
        mask_ops.decode([pair.truth], pair.image.shape[:2])


def make_recipe(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as frames:
        missing_shards(dataset(Path(frames)).videos, folder, PairOptions())


def read_recipe(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as frames:
        missing_shards(dataset(Path(frames)).videos, folder, PairOptions())


def make_training(folder: Path) -> None:
    """COCO json with photographs, as `msnvis train segmenter` and `msnvis synth` take it."""
    side = 64
    images, annotations = [], []
    for number in range(3):
        picture = np.full((side, side, 3), 40 * number, np.uint8)
        (folder / f"{number}.jpg").write_bytes(image_bytes(picture, "JPEG"))
        images.append({"id": number, "file_name": f"{number}.jpg", "height": side, "width": side})
        images[-1]["exhaustive"] = "all" if number else "cat"
        if number:
            square = np.zeros((side, side), bool)
            square[10:50, 10:50] = True
            rle = mask_ops.to_json(mask_ops.encode(square[None])[0])
            annotations.append(
                {"id": number, "image_id": number, "category_id": number, "bbox": [10, 10, 40, 40]}
                | {"segmentation": rle, "iscrowd": 0, "area": 1600}
            )
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(content))


def read_training(folder: Path) -> None:
    from msnvis.segmenters.training.augment import Augmentation
    from msnvis.segmenters.training.data import TrainingImages

    file = folder / "coco.json"
    names, _ = read_class_names(file), read_category_ids(file)
    records = read_coco(file, folder)
    images = TrainingImages(records, len(names), (64,), 1, Augmentation(), seed=0)
    for index in range(min(len(records), 5)):
        images[index, 0]
    read_sources(file, folder, SynthOptions(videos=1, frames=2, size=(32, 32), objects=(1, 1)))


def read_command(read: Callable[[Path], tuple], folder: Path) -> None:
    """Run a command; its exit code and what it says are those of a refusal or a success."""
    out = folder.with_name("out")
    try:
        outcome = msnvis(*read(folder))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    complaints = [line for line in outcome.err.splitlines() if line.startswith("msnvis: error: ")]
    if outcome.code == 2 and len(complaints) >= 1 and "unexpected" not in complaints[0]:
        raise InputError(complaints[0])
    assert outcome.code == 0, outcome.err


def command_convert(format: str, folder: Path) -> tuple:
    out = folder.with_name("out")
    return "convert", folder, "--from", format, "--to", "ytvis", "-o", out, "--frames", "copy", "--lenient"


def command_eval(folder: Path) -> tuple:
    out = folder.with_name("out")
    files = "--json", out / "a.json", "--csv", out / "a.csv", "--tracking", out / "t.json"
    return "eval", folder / "results.json", "-a", folder / "truth.json", "--per-category", *files


def command_run(folder: Path) -> tuple:
    parts = "--segmenter", "squares", "--classifier", "none", "--propagator", "flow"
    return "run", folder / "a.mp4", "-o", folder.with_name("out"), *parts, "-f", "ytvis", "-f", "png"


def make_kept(folder: Path) -> None:
    """A video, and beside it the results of a run that kept what they were made of."""
    make_video("a.mp4", "mpeg4")(folder)
    outcome = msnvis(*command_again(folder), "--keep-intermediate")
    assert outcome.code == 0, outcome.err


def command_again(folder: Path) -> tuple:
    parts = "--segmenter", "squares", "--classifier", "none"
    return "run", folder / "a.mp4", "-o", folder / "results", *parts, "-f", "ytvis"


def read_kept(folder: Path) -> None:
    tracks = folder / "results" / "tracks.json"
    before = tracks.read_bytes()
    read_command(command_again, folder)
    assert tracks.read_bytes() == before, "other results came of a damaged store"


def _dataset_reader(format: str, fill: Callable[[Path], None], file: str = "") -> Reader:
    return Reader(files_of(fill), partial(read_format, format, file=file))


def _evaluation_reader(changed: str) -> Reader:
    return Reader(files_of(make_evaluated), partial(read_evaluated, mutated=changed), changed)


READERS: dict[str, Reader] = {
    "dataset ytvis": _dataset_reader("ytvis", make_written("ytvis")),
    "dataset coco": _dataset_reader("coco", make_written("coco")),
    "dataset openimages": _dataset_reader("openimages", make_openimages, "train-annotations.csv"),
    "dataset davis": _dataset_reader("davis", make_davis),
    "dataset davis ImageSets": _dataset_reader("davis", make_davis, "ImageSets/train.txt"),
    "dataset mots text": _dataset_reader("mots", make_mots),
    "dataset mots maps": _dataset_reader("mots", make_mots_maps),
    "dataset labelme": _dataset_reader("labelme", make_labelme),
    "dataset cvat": _dataset_reader("cvat", make_cvat),
    "evaluated results": _evaluation_reader("results.json"),
    "evaluated tracks": _evaluation_reader("tracks.json"),
    "ground truth": _evaluation_reader("truth.json"),
    "results ytvis": Reader(files_of(make_results("ytvis")), partial(read_results, "ytvis")),
    "results coco": Reader(files_of(make_results("coco")), partial(read_results, "coco")),
    "results mots": Reader(files_of(make_results("mots")), partial(read_results, "mots")),
    "label maps": Reader(files_of(make_maps), read_maps),
    "images": Reader(files_of(make_images("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")), read_images),
    "image folder": Reader(files_of(make_images("PNG", "PNG", "PNG")), read_images),
    "weights safetensors": Reader(files_of(make_safetensors), read_safetensors),
    "weights pth": Reader(files_of(make_checkpoint(legacy=False)), read_checkpoint),
    "weights pth legacy": Reader(files_of(make_checkpoint(legacy=True)), read_checkpoint),
    "weights onnx": Reader(files_of(make_onnx), read_onnx),
    "precomputed": Reader(files_of(make_detections), read_detections),
    "pair shard": Reader(files_of(make_shard), read_shard),
    "pair recipe": Reader(files_of(make_recipe), read_recipe),
    "training images": Reader(files_of(make_training), read_training),
    "store journal": Reader(files_of(make_kept), read_kept, "results/.msnvis/journal"),
    "store checkpoint": Reader(files_of(make_kept), read_kept, "results/.msnvis/checkpoint"),
    "command convert ytvis": Reader(
        files_of(make_written("ytvis")), partial(read_command, partial(command_convert, "ytvis"))
    ),
    "command convert labelme": Reader(
        files_of(make_labelme), partial(read_command, partial(command_convert, "labelme"))
    ),
    "command eval": Reader(files_of(make_evaluated), partial(read_command, command_eval)),
    "command run": Reader(files_of(make_video("a.mp4", "mpeg4")), partial(read_command, command_run)),
} | {
    f"video {name}": Reader(files_of(make_video(name, *how)), partial(read_video, name))
    for name, how in {
        "a.mp4": ("libx264",),
        "a.mkv": ("mpeg4",),
        "a.avi": ("mjpeg", "yuvj420p"),
        "a.webm": ("libvpx",),
        "a.ts": ("mpeg2video",),
        "a.gif": ("gif", "rgb8"),
        "a.mov": ("prores_ks", "yuv422p10le"),
    }.items()
}
