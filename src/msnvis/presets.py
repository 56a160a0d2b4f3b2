"""Whole pipelines by name: which parts go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

from msnvis.errors import MsnvisError, UnknownPartError
from msnvis.propagators.cfbi import PAPER_SCALES
from msnvis.registry import did_you_mean
from msnvis.weights.catalogue import find_weights
from msnvis.weights.files import local_path

#: A part by name, or by name with options of its own.
PartName = str | tuple[str, Mapping[str, object]]

#: The paper's propagator as the paper runs it (4.1).
_PAPER_CFBI = ("cfbi", {"scales": PAPER_SCALES, "flip": True})
_TRANSFORMERS = "transformers"


@dataclass(frozen=True)
class Choice:
    """A part that a preset takes if it can.

    Attributes:
        part: what it is.
        package: that must be installed, or none.
        weights: name of a file that only a browser can fetch and that must be here, or none.
    """

    part: PartName
    package: str | None = None
    weights: str | None = None

    def is_possible(self) -> bool:
        """Whether nothing is missing on this machine that a download does not bring."""
        installed = self.package is None or find_spec(self.package) is not None
        return installed and (self.weights is None or local_path(find_weights(self.weights)).is_file())


@dataclass(frozen=True)
class Preset:
    """A pipeline.

    Attributes:
        summary: what it is, for `msnvis models`.
        options: of `VideoInstanceSegmenter`, parts among them.
        choices: kind of part -> alternatives, the strongest first; the first that is possible is taken, and
            the last of them where none is.
    """

    summary: str
    options: Mapping[str, object] = field(default_factory=dict)
    choices: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)

    def resolve(self) -> dict[str, object]:
        """Its options on this machine."""
        taken = {kind: next(filter(Choice.is_possible, c), c[-1]) for kind, c in self.choices.items()}
        return {**self.options, **{kind: choice.part for kind, choice in taken.items()}}


PRESETS = {
    "compact": Preset("every default: works offline, made for CPUs"),
    "paper": Preset(
        "what the paper ran: Swin-B cascade, multi-scale CFBI, MSN, ViT, both directions",
        {
            "segmenter": "swin-b-cascade",
            "propagator": _PAPER_CFBI,
            "selector": ("msn", {"score_weight": 0.0}),  # the network alone decides (3.2)
            "classifier": "torchvision:vit_b_16",  # the paper's "ViT-based strong classifier" (4.1)
            "direction": "both",
        },
    ),
    # The best published figures (docs/models.md) among weights that may be used for any purpose.
    "best": Preset(
        "the strongest that the installed extras allow; made for GPUs",
        {"classifier": "torchvision:efficientnet_v2_l", "selector": "score", "direction": "both"},
        {
            "segmenter": (
                Choice("transformers:tue-mps/coco_instance_eomt_large_1280", package=_TRANSFORMERS),
                Choice("swin-b-cascade"),
            ),
            "propagator": (
                Choice("transformers:facebook/sam2.1-hiera-large", package=_TRANSFORMERS),
                Choice(_PAPER_CFBI, weights="cfbi"),
                Choice("flow"),
            ),
        },
    ),
}


def preset_options(name: str) -> dict[str, object]:
    """Options of `VideoInstanceSegmenter` that make up a preset on this machine.

    Raises:
        UnknownPartError: there is no such preset.

    >>> preset_options("paper")["segmenter"]
    'swin-b-cascade'
    """
    if name not in PRESETS:
        raise UnknownPartError(f"no preset is called '{name}'; {did_you_mean(name, PRESETS)}")
    return PRESETS[name].resolve()


@contextmanager
def naming_preset(name: str | None) -> Iterator[None]:
    """Let errors of the block say that preset `name` wanted what is missing; None changes nothing."""
    try:
        yield
    except MsnvisError as error:
        if name is not None:
            error.args = (f"preset '{name}': {error}",)
        raise
