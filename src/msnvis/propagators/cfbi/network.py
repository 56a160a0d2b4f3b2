"""CFBI (Yang et al., 2020: Collaborative Video Object Segmentation by Foreground-Background Integration).

Modules and tensors are named as in the official checkpoints of https://github.com/z-x-yang/CFBI, their
misspellings included, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msnvis.propagators.cfbi.embedding import DeepLab, fuse_frozen_batch_norm, semantic_embedding
from msnvis.propagators.cfbi.ensembler import Ensembler, PreHead, combine
from msnvis.propagators.cfbi.matching import global_distances, least_of_others, local_distances, squash

_EPSILON = 1e-5
#: Memory of a GPU that the head takes for a pixel of an object: its tensors have up to 640 channels.
_HEAD_BYTES = 8192

#: An embedding ``(1, 100, h, w)`` and the slots of its pixels ``(h, w)`` int64.
Labelled = tuple[Tensor, Tensor]


class CFBI(nn.Module):
    """The network for inference; slots are 0 for the background and from 1 on for the objects.

    Args:
        backbone: `ResNet101` or `MobileNetV2`.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.feature_extracter = DeepLab(backbone)
        self.semantic_embedding = semantic_embedding()
        self.bg_bias = nn.Parameter(torch.zeros(1, 1, 1, 1))
        self.fg_bias = nn.Parameter(torch.zeros(1, 1, 1, 1))
        self.dynamic_prehead = PreHead()
        self.dynamic_seghead = Ensembler(backbone.low_level_channels)

    def optimise(self) -> CFBI:
        """Fold the frozen batch norms away and bring the weights into the layout that is quickest."""
        fuse_frozen_batch_norm(self)
        self.eval().to(memory_format=torch.channels_last)
        # PyTorch's group norm loses digits in channels_last, and distances are taken between embeddings.
        self.semantic_embedding.to(memory_format=torch.contiguous_format)
        return self

    @property
    def device(self) -> torch.device:
        return self.bg_bias.device

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and low level, at a quarter of the size, of a normalised image ``(1, 3, H, W)``.

        H and W are multiples of 16 plus 1.
        """
        features, low = self.feature_extracter(image.contiguous(memory_format=torch.channels_last))
        embedding = self.semantic_embedding(features.contiguous())
        return embedding.contiguous(memory_format=torch.channels_last), low

    def forward(
        self, current: Tensor, low: Tensor, previous: Labelled, references: Sequence[Labelled], count: int
    ) -> Tensor:
        """Logits ``(K, h, w)`` of K = `count` slots.

        Args:
            current, low: of the frame, from `embed`.
            previous: the frame before.
            references: the frames that are remembered.
        """
        distances = self._distances(current, previous, references, count)
        embedding, slots = previous
        masks = _one_hot(slots, count)
        attention = torch.cat(
            [_mean_embeddings(references, count), _mean_embeddings([previous], count)], dim=1
        )
        parts = [
            self._head(current, low, embedding, distances[part], masks[part], attention[part])
            for part in torch.arange(count).split(self._objects_at_a_time(slots))
        ]
        own, rest = (torch.cat(logits) for logits in zip(*parts, strict=True))
        return combine(own, rest)

    def _distances(
        self, current: Tensor, previous: Labelled, references: Sequence[Labelled], count: int
    ) -> Tensor:
        """``(K, 14, h, w)``: global and local distances to the object, local and global to all others."""
        size = current.shape[2:]
        bias = torch.cat([self.bg_bias.view(1), self.fg_bias.view(1).expand(count - 1)])
        pixels = [(_pixels(embedding), slots.flatten()) for embedding, slots in references]
        own = [torch.cat([p[slots == slot] for p, slots in pixels]) for slot in range(count)]
        everywhere = squash(global_distances(_pixels(current), own), bias).view(count, 1, *size)
        # Sizes are multiples of 4 plus 1 here, so that halving with aligned corners takes every second pixel.
        halved = current[..., ::2, ::2], previous[0][..., ::2, ::2]
        slots = F.interpolate(previous[1][None, None].float(), size=halved[0].shape[2:])[0, 0].long()
        near = squash(local_distances(*halved, slots, count), bias)
        near = F.interpolate(near, size=size, mode="bilinear", align_corners=True)
        return torch.cat([everywhere, near, least_of_others(near), least_of_others(everywhere)], dim=1)

    def _head(
        self,
        current: Tensor,
        low: Tensor,
        previous: Tensor,
        distances: Tensor,
        masks: Tensor,
        attention: Tensor,
    ) -> tuple[Tensor, Tensor]:
        masks = masks[:, None]
        at = 1 + distances.shape[1] // 2  # after the distances to the object
        matched = self.dynamic_prehead(
            torch.cat([distances[:, : at - 1], masks, distances[:, at - 1 :]], dim=1)
        )
        parts = [current, previous * masks, previous * (1 - masks), matched]
        return self.dynamic_seghead(parts, attention, low)

    @staticmethod
    def _objects_at_a_time(slots: Tensor) -> int:
        if slots.device.type != "cuda":
            return 1  # one after the other stays in the cache
        free, _ = torch.cuda.mem_get_info(slots.device)
        return max(1, free // (slots.numel() * _HEAD_BYTES))


def _pixels(embedding: Tensor) -> Tensor:
    """``(1, C, h, w)`` -> ``(h * w, C)``."""
    return embedding[0].permute(1, 2, 0).flatten(0, 1).contiguous()


def _one_hot(slots: Tensor, count: int) -> Tensor:
    """``(h, w)`` -> ``(K, h, w)`` float32."""
    return (slots == torch.arange(count, device=slots.device)[:, None, None]).float()


def _mean_embeddings(frames: Sequence[Labelled], count: int) -> Tensor:
    """``(K, 200)``: the mean embeddings of each object's pixels in all frames and of all others."""
    own, total = 0.0, 0.0
    number, area = 0.0, 0
    for embedding, slots in frames:
        pixels, masks = _pixels(embedding), _one_hot(slots, count).flatten(1)
        own = own + masks @ pixels
        total = total + pixels.sum(dim=0)
        number = number + masks.sum(dim=1, keepdim=True)
        area += slots.numel()
    return torch.cat([own / (number + _EPSILON), (total - own) / (area - number + _EPSILON)], dim=1)
