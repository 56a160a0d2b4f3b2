"""pandas: one row a track and frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from msnvis import masks as mask_ops
from msnvis.errors import MissingExtraError
from msnvis.structures import Track, VideoInstances

if TYPE_CHECKING:
    import pandas


def to_pandas(video: VideoInstances) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("tables need pandas: pip install msnvis[pandas]") from None
    rows = [(index, track) for track in video.tracks for index in sorted(track.rles)]
    rles = [track.rles[index] for index, track in rows]
    frames = np.array([index for index, _ in rows], dtype=np.int64)
    tracks = [track for _, track in rows]
    boxes = mask_ops.boxes(rles).astype(np.int64)
    table = pandas.DataFrame(
        {
            "frame": frames,
            "timestamp": video.timestamps[frames],
            "track_id": np.array([track.id for track in tracks], dtype=np.int64),
            "label": np.array([track.label for track in tracks], dtype=np.int64),
            "class_name": [video.class_name(track) for track in tracks],
            "category_id": np.array([video.category_id(track) for track in tracks], dtype=np.int64),
            "track_score": np.array([track.score for track in tracks], dtype=np.float64),
            "score": np.array([track.frame_scores[index] for index, track in rows], dtype=np.float64),
            **{name: boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))},
            "area": mask_ops.areas(rles),
            "rle": rles,
        }
    ).sort_values(["frame", "track_id"], ignore_index=True)
    # Plain values: pandas compares and copies attrs.
    table.attrs["video"] = {
        "name": video.name,
        "size": video.size,
        "timestamps": tuple(video.timestamps.tolist()),
        "classes": video.classes,
        "category_ids": video.category_ids,
        "cuts": video.cuts,
        "gaps": video.gaps,
    }
    return table


def from_pandas(table: pandas.DataFrame, video: VideoInstances | None) -> VideoInstances:
    if video is not None:
        about = {
            name: getattr(video, name)
            for name in ("name", "size", "timestamps", "classes", "category_ids", "cuts", "gaps")
        }
    elif "video" in table.attrs:
        about = dict(table.attrs["video"])
    else:
        raise ValueError("the table does not know its video any more: pass video=")
    about["timestamps"] = np.asarray(about["timestamps"], dtype=np.float64)
    tracks: dict[int, Track] = {}
    columns = ("frame", "track_id", "label", "track_score", "score", "rle")
    for index, track_id, label, track_score, score, rle in zip(*(table[c] for c in columns), strict=True):
        track = tracks.setdefault(int(track_id), Track(int(track_id), int(label), float(track_score)))
        track.rles[int(index)] = rle
        track.frame_scores[int(index)] = float(score)
    return VideoInstances(**about, tracks=list(tracks.values()))
