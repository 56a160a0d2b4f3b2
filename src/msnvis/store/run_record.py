"""``run.json``: what a run was made of, and how it went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msnvis.io.atomic import replacing
from msnvis.store.fingerprint import is_recognisable
from msnvis.structures import VideoInstances
from msnvis.timings import Timings

#: In the folder of the results.
NAME = "run.json"


def write_run_record(
    folder: Path,
    instances: VideoInstances,
    *,
    fingerprint: Mapping[str, Any],
    timings: Timings,
    written: Sequence[Path],
    interruptions: int,
    complete: bool,
) -> Path:
    """Write ``run.json``; of all results this file alone depends on how long things took.

    Args:
        folder: of the results.
        instances: the results.
        fingerprint: input, options, parts and versions, see `VideoInstanceSegmenter.fingerprint`.
        timings: seconds by part; those before an interruption count as far as the last checkpoint.
        written: the other files.
        interruptions: after which the run went on.
        complete: whether it came to its end.

    Raises `OutputError` when the file system refuses.
    """
    content = {
        "complete": complete,
        "interruptions": interruptions,
        **fingerprint,
        "frames": instances.num_frames,
        "cuts": len(instances.cuts),
        "gaps": [list(gap) for gap in instances.gaps],
        "tracks": len(instances.tracks),
        "results": sorted(path.name for path in written),
        "seconds": {
            part: {"wall": round(seconds, 3), "cpu": round(timings.cpu[part], 3)}
            for part, seconds in timings.wall.items()
        },
    }
    path = Path(folder) / NAME
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def is_record_of(folder: Path, fingerprint: Mapping[str, Any], results: Sequence[str]) -> bool:
    """Whether ``run.json`` in `folder` tells of a complete run with this fingerprint that wrote `results`.

    False where the input or a part cannot be recognised.
    """
    try:
        record = json.loads((Path(folder) / NAME).read_text(encoding="utf-8"))
        is_same = {name: record[name] for name in fingerprint} == json.loads(json.dumps(fingerprint))
        is_complete = record["complete"] is True and set(results) <= set(record["results"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return is_recognisable(fingerprint) and is_same and is_complete
