"""Synthetic video as a dataset in the format of YouTube-VIS: ``JPEGImages/`` and ``instances.json``."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.synthetic.options import SynthOptions
from msnvis.datasets.synthetic.sources import Sources, read_sources
from msnvis.datasets.synthetic.videos import VideoStream, frame_names, video_name
from msnvis.datasets.video import AnnotatedTrack
from msnvis.errors import InputError, OutputError
from msnvis.io.atomic import replacing, told

FRAMES = "JPEGImages"
ANNOTATIONS = "instances.json"
#: Annotations of finished videos until all are there.
_PARTS = ".parts"
_INFO = "info.json"
_JPEG_QUALITY = 95


def write_dataset(
    annotations: str | Path,
    images: str | Path,
    output: str | Path,
    options: SynthOptions | None = None,
    workers: int = 1,
) -> Iterator[str]:
    """Write the videos; started again with the same options, it goes on where it was interrupted.

    Args:
        annotations: a COCO json with masks.
        images: the folder of its photographs.
        output: the folder to fill. Nothing in it depends on the machine or the number of workers.
        options: what to make.
        workers: processes. With more than one, a script needs the usual ``if __name__ == "__main__":``.

    Yields:
        The name of each video as it is finished; ``instances.json`` is there after the last one.

    Raises:
        InputError: nothing to make video of, or a file of it is broken.
        OutputError: `output` holds something else, or cannot be written.
    """
    annotations, output = Path(annotations), Path(output)
    options = options or SynthOptions()
    info = _info(annotations, options)
    if _is_finished(output, info):
        return
    sources = read_sources(annotations, Path(images), options)
    with told(output):
        (output / _PARTS).mkdir(parents=True, exist_ok=True)
    _write_json(output / _PARTS / _INFO, info)
    missing = [i for i in range(options.videos) if not _part(output, i).exists()]
    yield from _made(missing, sources, options, output, workers)
    _join(output, sources, options, info)


def _info(annotations: Path, options: SynthOptions) -> dict[str, Any]:
    try:
        digest = hashlib.sha256(annotations.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{annotations} cannot be read: {error.strerror}") from error
    return {
        "description": "synthetic video with exact ground truth, made by msnvis",
        "synthetic": True,
        "source": {"annotations": annotations.name, "sha256": digest},
        "parameters": options.to_json(),
    }


def _is_finished(output: Path, info: dict[str, Any]) -> bool:
    """Whether there is nothing left to do.

    Raises:
        OutputError: the folder holds something else.
    """
    finished, begun = output / ANNOTATIONS, output / _PARTS / _INFO
    known = finished if finished.exists() else begun if begun.exists() else None
    if known is None:
        if (output / FRAMES).exists():
            raise OutputError(f"{output} holds frames of another dataset; choose another folder")
        return False
    try:
        content = json.loads(known.read_text())
        same = (content["info"] if known == finished else content) == info
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise OutputError(
            f"{output} holds a dataset made with other options or from other images; choose another folder"
        )
    return known == finished


def _made(
    missing: Sequence[int], sources: Sources, options: SynthOptions, output: Path, workers: int
) -> Iterator[str]:
    if workers <= 1 or len(missing) <= 1:
        for index in missing:
            yield _write_video(index, sources, options, output)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), get_context("spawn"), _Worker.prepare, (sources, options, output)
    )
    try:
        yield from pool.map(_Worker.write, missing)
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    """What a process of the pool was told at its start."""

    job: tuple[Sources, SynthOptions, Path]

    @classmethod
    def prepare(cls, sources: Sources, options: SynthOptions, output: Path) -> None:
        cv2.setNumThreads(1)
        cls.job = (sources, options, output)

    @classmethod
    def write(cls, index: int) -> str:
        return _write_video(index, *cls.job)


def _write_video(index: int, sources: Sources, options: SynthOptions, output: Path) -> str:
    """The frames and then, as the mark that they are complete, the annotations."""
    stream = VideoStream(sources, options, index)
    with replacing(output / FRAMES / stream.name) as folder:
        folder.mkdir(parents=True)
        for number, frame in enumerate(stream.frames()):
            _write_jpeg(folder / f"{number:05d}.jpg", frame)
    _write_json(_part(output, index), _annotation(stream, index, sources, options))
    return stream.name


def _write_jpeg(path: Path, frame: np.ndarray) -> None:
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    path.write_bytes(data.tobytes())


def _annotation(stream: VideoStream, index: int, sources: Sources, options: SynthOptions) -> dict[str, Any]:
    height, width = options.size
    used = {stream.background_id, *(s.image_id for s in stream.sources.values())}
    video = {
        "id": index + 1,
        "name": stream.name,
        "width": width,
        "height": height,
        "length": options.frames,
        "file_names": frame_names(stream.name, options.frames),
        "background_image_id": stream.background_id,
        "source_image_ids": sorted(used),
    }
    origins = stream.sources
    tracks = [
        {
            "id": track.id,
            "video_id": index + 1,
            "category_id": sources.category_ids[track.label],
            "iscrowd": 0,
            "width": width,
            "height": height,
            "length": options.frames,
            **_dense(track, options.frames),
            "source": asdict(origins[track.id]),
        }
        for track in stream.tracks
    ]
    return {"video": video, "annotations": tracks}


def _dense(track: AnnotatedTrack, frames: int) -> dict[str, list[Any]]:
    """Masks, boxes ``x y width height`` and areas for every frame, None where the object is not visible."""
    rles = list(track.rles.values())
    boxes = mask_ops.boxes(rles)
    boxes[:, 2:] -= boxes[:, :2]
    columns = {
        "segmentations": map(mask_ops.to_json, rles),
        "bboxes": boxes.tolist(),
        "areas": mask_ops.areas(rles).tolist(),
    }
    dense: dict[str, list[Any]] = {}
    for key, values in columns.items():
        known = dict(zip(track.rles, values, strict=True))
        dense[key] = [known.get(frame) for frame in range(frames)]
    return dense


def _join(output: Path, sources: Sources, options: SynthOptions, info: dict[str, Any]) -> None:
    """Write the one file of all videos, video by video, and drop the parts."""
    categories = [
        {"id": number, "name": name}
        for number, name in zip(sources.category_ids, sources.classes, strict=True)
    ]
    parts = [_part(output, index) for index in range(options.videos)]
    with replacing(output / ANNOTATIONS) as temporary, temporary.open("w") as file:
        file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n"videos": [\n')
        _write_list(file, ([_read(part)["video"]] for part in parts))
        file.write('],\n"annotations": [\n')
        _write_list(file, (_read(part)["annotations"] for part in parts))
        file.write("]}\n")
    shutil.rmtree(output / _PARTS)


def _write_list(file: Any, groups: Iterator[list[Any]]) -> None:
    separator = ""
    for group in groups:
        for entry in group:
            file.write(separator + json.dumps(entry))
            separator = ",\n"


def _read(part: Path) -> dict[str, Any]:
    return json.loads(part.read_text())


def _part(output: Path, index: int) -> Path:
    return output / _PARTS / f"{video_name(index)}.json"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content))
