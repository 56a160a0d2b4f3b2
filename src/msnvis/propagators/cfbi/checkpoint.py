"""Loading CFBI's checkpoints, the official ones or ours."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from msnvis.errors import WeightsError
from msnvis.propagators.cfbi.network import CFBI
from msnvis.weights.state import load_state, load_weights

#: What the official files hold twice, and under which of the names we look for it.
_TWINS = {
    "seperate_conv.": "semantic_embedding.0.",
    "bn1.": "semantic_embedding.1.",
    "embedding_conv.": "semantic_embedding.3.",
    "bn2.": "semantic_embedding.4.",
    **{
        f"feature_extracter.backbone.{part}.": "feature_extracter.backbone.features."
        for part in ("low_level_features", "high_level_features", "feautre_8x", "feature_16x", "feature_32x")
    },
}


def load_cfbi(network: CFBI, path: str | Path) -> None:
    """Fill `network` with a checkpoint, of which every tensor must fit and none may be missing.

    Raises:
        TensorsError: the file belongs to another network; it lists all tensors that do not fit.
        WeightsError: the file cannot be read, or holds a tensor twice with different values.
    """
    state: dict[str, Tensor] = {}
    for name, value in load_weights(path).items():
        name = _without_twin(name.removeprefix("module."))
        if name in state and not torch.equal(state[name], value):
            raise WeightsError(
                f"{path} holds '{name}' twice with different values; get the original checkpoint again"
            )
        state[name] = value
    load_state(network, state, path)


def _without_twin(name: str) -> str:
    twin = next((prefix for prefix in _TWINS if name.startswith(prefix)), None)
    return name if twin is None else _TWINS[twin] + name.removeprefix(twin)
