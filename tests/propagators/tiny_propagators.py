"""Every registered propagator, small enough for tests: what `test_contract` runs over.

An entry prepares random weights in a folder and returns what makes instances with them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msnvis.propagators import Propagator
from msnvis.propagators.flow import FlowPropagator

Make = Callable[[], Propagator]

#: Registered name, followed by the member where it is a family (``transformers:sam2``) -> how to make it.
TINY: dict[str, Callable[[Path], Make]] = {
    "flow": lambda folder: FlowPropagator,
}

#: Those that follow objects as they are. Random weights follow nothing.
FOLLOWING = ["flow"]
