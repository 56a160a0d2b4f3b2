"""Every registered propagator, small enough for tests: what `test_contract` runs over.

An entry prepares random weights in a folder and returns what makes instances with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import tiny_video_models

from msnvis.propagators import Propagator, create_propagator
from msnvis.propagators.flow import FlowPropagator

Make = Callable[[], Propagator]


def _video_model(kind: str, folder: Path) -> Make:
    name = f"transformers:{tiny_video_models.save(kind, folder)}"
    return lambda: create_propagator(name, device="cpu")


#: Registered name, followed by the member where it is a family (``transformers:sam2``) -> how to make it.
TINY: dict[str, Callable[[Path], Make]] = {
    "flow": lambda folder: FlowPropagator,
    **{f"transformers:{kind}": partial(_video_model, kind) for kind in tiny_video_models.KINDS},
}

#: Those that follow objects as they are. Random weights follow nothing.
FOLLOWING = ["flow"]
