"""Published checkpoints as safetensors under the names of our modules.

A part that has checkpoints of its own registers how to read them:

>>> @converters.register("doubled", summary="an example")  # doctest: +SKIP
... def read_doubled(path): return {"w": 2 * load_weights(path)["w"]}
"""

from __future__ import annotations

from pathlib import Path

import torchvision
from safetensors.torch import save_file
from torch import Tensor

from msnvis.errors import OptionError
from msnvis.io.atomic import replacing
from msnvis.registry import Registry
from msnvis.weights.files import sha256_of
from msnvis.weights.state import load_into
from msnvis.weights.torchvision_files import MASK_DETECTORS, torchvision_file

#: Part -> what gives the whole state dict of its network from the `path` of a published checkpoint; it raises
#: `WeightsError` where tensors are missing, left over or of another shape.
converters: Registry[dict[str, Tensor]] = Registry("converter")


def convert_weights(part: str, path: Path, output: Path) -> int:
    """Write a published checkpoint as safetensors, under the names of our module and with the same numbers.

    Args:
        part: whose weights they are, such as ``swin-b-cascade``.
        path: the checkpoint; read without executing what its pickles may hold.
        output: the ``.safetensors`` file to write. Its metadata name the part and the SHA-256 of `path`.

    Returns:
        How many tensors it holds.

    Raises:
        UnknownPartError: no part of this name has a converter.
        OptionError: `output` is no safetensors file.
        WeightsError: `path` cannot be read or holds the weights of another network.
        OutputError: `output` cannot be written.
    """
    if output.suffix != ".safetensors":
        raise OptionError(f"{output} must end with .safetensors: nothing else is written")
    state = converters.create(part, path=path)
    metadata = {"architecture": part, "converted_from": f"{path.name}, SHA-256 {sha256_of(path)}"}
    with replacing(output) as temporary:
        # Tensors that share memory are refused; each gets its own.
        save_file({name: value.clone().contiguous() for name, value in state.items()}, temporary, metadata)
    return len(state)


@converters.register("torchvision:", summary="mask detectors and ImageNet classifiers of torchvision")
def read_torchvision(name: str, path: Path) -> dict[str, Tensor]:
    """torchvision's names are ours; what is checked is that the file holds the whole of that network."""
    torchvision_file(name)  # raises where there is no such model
    options = {"weights_backbone": None} if name in MASK_DETECTORS else {}  # or it is downloaded
    network = torchvision.models.get_model(name, weights=None, **options)
    load_into(network, path)
    return network.state_dict()
