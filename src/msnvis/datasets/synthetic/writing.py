"""Synthetic video as a dataset in the format of YouTube-VIS: ``JPEGImages/`` and ``instances.json``."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from msnvis.datasets.synthetic.options import SynthOptions
from msnvis.datasets.synthetic.sources import Sources, read_sources
from msnvis.datasets.synthetic.videos import VideoStream, frame_names, video_name
from msnvis.errors import InputError, OutputError
from msnvis.io.atomic import replacing
from msnvis.io.formats.ytvis import mask_lists
from msnvis.io.lock import locked
from msnvis.io.writers.json_stream import write_annotations
from msnvis.processes import spawned

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
) -> Path:
    """Write the videos; called again with the same options, it goes on where it was interrupted.

    Args:
        annotations: a COCO json with masks.
        images: the folder of its photographs.
        output: the folder to fill. Nothing in it depends on the machine or the number of workers.
        options: what to make.
        workers: processes. With more than one, a script needs the usual ``if __name__ == "__main__":``.

    Returns:
        The annotation file.

    Raises:
        InputError: nothing to make video of, or a file of it is broken.
        OutputError: `output` holds something else, or cannot be written.
    """
    for _ in write_videos(annotations, images, output, options, workers):
        pass
    return Path(output, ANNOTATIONS)


def write_videos(
    annotations: str | Path,
    images: str | Path,
    output: str | Path,
    options: SynthOptions | None = None,
    workers: int = 1,
) -> Iterator[str]:
    """`write_dataset` step by step: the name of each video when it is there, none that was there before."""
    annotations, output = Path(annotations), Path(output)
    options = options or SynthOptions()
    info = _info(annotations, options)
    with locked(output, output / FRAMES):
        if not _is_finished(output, info):
            sources = read_sources(annotations, Path(images), options)
            _write_json(output / _PARTS / _INFO, info)
            missing = [i for i in range(options.videos) if not _part(output, i).exists()]
            yield from _made(missing, sources, options, output, workers)
            _join(output, sources, options, info)
        shutil.rmtree(output / _PARTS, ignore_errors=True)


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
    with spawned(min(workers, len(missing)), _Worker.prepare, sources, options, output) as pool:
        yield from pool.map(_Worker.write, missing)


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
            **mask_lists(track.rles, options.frames),
            "source": asdict(origins[track.id]),
        }
        for track in stream.tracks
    ]
    return {"video": video, "annotations": tracks}


def _join(output: Path, sources: Sources, options: SynthOptions, info: dict[str, Any]) -> None:
    """Write the one file of all videos."""
    parts = [_part(output, index) for index in range(options.videos)]
    header = {
        "info": info,
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(sources.category_ids, sources.classes, strict=True)
        ],
        "videos": [_read(part)["video"] for part in parts],
    }
    tracks = (track for part in parts for track in _read(part)["annotations"])
    write_annotations(output / ANNOTATIONS, header, tracks)


def _read(part: Path) -> dict[str, Any]:
    return json.loads(part.read_text())


def _part(output: Path, index: int) -> Path:
    return output / _PARTS / f"{video_name(index)}.json"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content))
