"""Every registered propagator, small enough for tests: what `test_contract` runs over.

An entry prepares random weights in a folder and returns what makes instances with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import tiny_video_models
from cfbi_checkpoint import random_checkpoint

from msnvis.propagators import Propagator, create_propagator
from msnvis.propagators.cfbi import create_network
from msnvis.propagators.cfbi.propagator import CFBIPropagator
from msnvis.propagators.flow import FlowPropagator
from msnvis.propagators.transformers_propagator import TransformersPropagator

Make = Callable[[], Propagator]


def _video_model(kind: str, folder: Path) -> Make:
    first = create_propagator(f"transformers:{tiny_video_models.save(kind, folder)}", device="cpu")
    return lambda: TransformersPropagator(first.model, first.processor)


def _cfbi(name: str, folder: Path) -> Make:
    network = create_network(name)
    state = random_checkpoint("resnet" if name == "cfbi" else "mobilenet")
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    if name == "cfbi":  # the contract is not about a deep backbone
        network.feature_extracter.backbone.layer3 = network.feature_extracter.backbone.layer3[:2]
    network.optimise()
    return lambda: CFBIPropagator(network, scales=(1.0,), flip=False, max_side=48, max_references=2)


#: Registered name, followed by the member where it is a family (``transformers:sam2``) -> how to make it.
TINY: dict[str, Callable[[Path], Make]] = {
    "flow": lambda folder: FlowPropagator,
    **{name: partial(_cfbi, name) for name in ("cfbi", "cfbi-mobilenet")},
    **{f"transformers:{kind}": partial(_video_model, kind) for kind in tiny_video_models.KINDS},
}

#: Run by `make test-slow`: they differ from another one only in what the contract does not touch.
SLOW = {"cfbi"}

#: Those that follow objects as they are. Random weights follow nothing.
FOLLOWING = ["flow"]
