"""Selectors that ask a network which of two masks is better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit, logit
from torch import nn

from msnvis import masks as mask_ops
from msnvis.devices import pick_device
from msnvis.errors import OptionError, WeightsError
from msnvis.masks import RLE
from msnvis.selection.base import Selector
from msnvis.selection.crops import CropOptions, crop_pairs, normalise_pairs
from msnvis.selection.lite import LiteMaskSelectionNetwork
from msnvis.selection.rules import ScoreSelector, settle_empty
from msnvis.structures import Detections

#: Pairs that go through the network together.
BATCH = 64


@dataclass(frozen=True)
class Use:
    """How a network is to be used, as its weights file says.

    Attributes:
        crops: how its training pairs were cut out.
        average_orders: whether it was trained to be asked in both orders.
        trained_on: of all its training pairs, the names of the segmenter and of the propagator that made
            them; empty where nobody knows.
    """

    crops: CropOptions
    average_orders: bool = False
    trained_on: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> str:
        """For the file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, path: Path) -> Use:
        """Reverses `to_json`; raises `WeightsError`, about the file at `path`, for anything else."""
        try:
            use = json.loads(text)
            parts = tuple((str(one), str(other)) for one, other in use.get("trained_on", ()))
            return cls(CropOptions(**use["crops"]), bool(use["average_orders"]), parts)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise WeightsError(
                f"{path} does not say properly how its network is to be used; train it again"
            ) from error


class NetworkSelector(Selector):
    """Shows every pair of a frame to a network, in one pass.

    Args:
        network: ``(N, 8, S, S)`` pairs to ``(N,)`` logits.
        use: how pairs are cut out, and more. With `average_orders` it is asked a second time with the masks
            exchanged, so that exchanging them gives exactly the complement; twice the time.
        device: where the network runs.
        skip_iou: pairs at least this alike are not worth the network's time; the score decides.
        score_weight: this times how much higher the first score is gets added to the network's logit; the
            paper's network does not see the scores (3.2), which is 0.

    Raises:
        OptionError: an option is out of its range.
    """

    def __init__(
        self,
        network: nn.Module,
        use: Use,
        device: str = "auto",
        skip_iou: float = 0.98,
        score_weight: float = 0.0,
    ) -> None:
        if not 0 <= skip_iou <= 1:
            raise OptionError(f"skip_iou is {skip_iou} but an IoU is from 0 to 1")
        if not (score_weight >= 0 and isfinite(score_weight)):
            raise OptionError(f"score_weight is {score_weight} but must be a number that is not negative")
        self.device = pick_device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()
        self.use, self.trained_on = use, use.trained_on
        self.skip_iou, self.score_weight = skip_iou, score_weight
        self._score = ScoreSelector()

    def prefer(self, image: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
        chances = self._score.prefer(image, first, second)
        hard = self._hard_pairs(first.rles, second.rles)
        if len(hard):
            chances[hard] = self._weigh(image, first[hard], second[hard])
        return settle_empty(chances, first, second)

    def _weigh(self, image: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
        """What network and scores say together of pairs of real masks."""
        chances = self.judge(image, first.rles, second.rles)
        if not self.score_weight:
            return chances
        return expit(logit(chances) + self.score_weight * (first.scores - second.scores))

    def judge(self, image: np.ndarray, first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
        """What the network says of pairs of real masks: ``(N,)`` float32 probabilities as in `prefer`."""
        pairs = torch.from_numpy(crop_pairs(image, first, second, self.use.crops))
        return np.concatenate([self._probability(batch) for batch in pairs.split(BATCH)])

    @torch.inference_mode()
    def _probability(self, pairs: torch.Tensor) -> np.ndarray:
        x = normalise_pairs(pairs.to(self.device)).contiguous(memory_format=torch.channels_last)
        return probabilities(self.network, x, self.use.average_orders)

    def _hard_pairs(self, first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
        """Indices of pairs of real masks that differ enough."""
        iou = np.diag(mask_ops.iou_matrix(first, second)) if len(first) else np.zeros(0)
        real = (mask_ops.areas(first) > 0) & (mask_ops.areas(second) > 0)
        return np.flatnonzero(real & (iou < self.skip_iou))


def probabilities(network: nn.Module, pairs: torch.Tensor, both_orders: bool) -> np.ndarray:
    """``(N,)`` float32 chances that the first is better.

    Args:
        network: ``(N, 8, S, S)`` pairs to ``(N,)`` logits.
        pairs: as the network takes them.
        both_orders: half the difference of its logits for the two orders; exchanging the masks then gives
            the complement.
    """
    if not both_orders:
        logits = network(pairs)
    elif isinstance(network, LiteMaskSelectionNetwork):
        logits = network.in_both_orders(pairs)
    else:
        logits = (network(pairs) - network(torch.cat([pairs[:, 4:], pairs[:, :4]], dim=1))) / 2
    return logits.sigmoid().float().cpu().numpy()
