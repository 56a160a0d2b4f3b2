"""The propagator around the network: objects by their ids, memory, corrections."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from msnvis.propagators.base import Corrections, Propagator, check_frame, check_mask
from msnvis.propagators.cfbi.memory import Frame, References
from msnvis.propagators.cfbi.network import CFBI, Labelled
from msnvis.propagators.cfbi.passes import Pass, plan_passes


class CFBIPropagator(Propagator):
    """Matches each frame with the frame before and with those in which objects joined.

    A pixel belongs to one object at most: where masks that are given overlap, the smaller one is in front.
    Frames in which an object is given that no remembered frame shows are remembered, `max_references` of them
    (see `References`). The pixels of a forgotten object count as background, until its id is given again.

    Args:
        network: on its device, see `CFBI.optimise`.
        scales: factors of the frame's size; the probabilities of all are averaged.
        flip: look at the mirrored frame as well.
        max_side: pixels of the longest side before it is scaled.
        max_references: how many frames are remembered besides the one before.
    """

    def __init__(
        self, network: CFBI, scales: tuple[float, ...], flip: bool, max_side: float, max_references: int
    ) -> None:
        self.network = network
        self.scales, self.flip, self.max_side = scales, flip, max_side
        self.max_references = max_references
        self._begin(None)

    def _begin(self, previous: Frame | None) -> None:
        self._previous = previous
        self._references = References(self.max_references)
        #: id -> label in all frames; of the live ones and of forgotten ones that a frame still shows.
        self._labels: dict[int, int] = {}
        self._live: list[int] = []
        self._passes: list[Pass] = []
        if previous is not None:
            size = previous.labels.shape
            self._passes = plan_passes(size, self.scales, self.flip, self.max_side)

    @property
    def _size(self) -> tuple[int, int] | None:
        return self._previous.labels.shape if self._previous else None

    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        for id_, mask in masks.items():
            check_mask(id_, mask.shape, image.shape[:2])
        self._begin(_new_frame(image))
        self._correct(masks)

    @torch.inference_mode()
    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        check_frame(image, self._size)
        corrections = corrections or Corrections()
        for id_, mask in corrections.masks.items():
            check_mask(id_, mask.shape, self._size)
        self._correct(corrections.masks)
        self._forget(corrections.forget)
        frame = _new_frame(image)
        seen = self._references.known() | self._previous.visible
        labels = [self._labels[id_] for id_ in self._live if self._labels[id_] in seen]
        if labels:
            frame.labels = self._propagate(frame, labels)
        self._previous = frame
        return {id_: frame.labels == self._labels[id_] for id_ in self._live}

    def _correct(self, masks: Mapping[int, np.ndarray]) -> None:
        """Write masks into the frame before, the smaller ones on top, and remember it where objects join."""
        frame = self._previous
        for id_ in masks:
            self._labels.setdefault(id_, max(self._labels.values(), default=0) + 1)
            if id_ not in self._live:
                self._live.append(id_)
            frame.labels[frame.labels == self._labels[id_]] = 0
        for id_, mask in sorted(masks.items(), key=lambda item: -np.count_nonzero(item[1])):
            frame.labels[mask] = self._labels[id_]
        given = {self._labels[id_] for id_ in masks} & frame.visible
        if self._references.lack(given):
            self._references.add(frame, [self._labels[id_] for id_ in self._live])

    def _forget(self, ids: frozenset[int]) -> None:
        self._live = [id_ for id_ in self._live if id_ not in ids]
        kept = {self._labels[id_] for id_ in self._live} | self._references.known() | self._previous.visible
        self._labels = {id_: label for id_, label in self._labels.items() if label in kept}

    def _propagate(self, frame: Frame, labels: list[int]) -> np.ndarray:
        """``(H, W)`` int32: the objects with these labels in `frame`."""
        total: Tensor | float = 0.0
        for index, look in enumerate(self._passes):
            embedding, low = self.network.embed(self._image(frame, index))
            frame.embeddings[index] = embedding
            previous = self._labelled(self._previous, index, labels)
            references = [self._labelled(reference, index, labels) for reference in self._references.frames]
            logits = self.network(embedding, low, previous, references, len(labels) + 1)
            total = total + look.probabilities(logits, frame.labels.shape)
        slots = total.argmax(dim=0).cpu().numpy()
        return np.array([0, *labels], np.int32)[slots]

    def _labelled(self, frame: Frame, index: int, labels: list[int]) -> Labelled:
        """What the network takes of an earlier frame, with slots in the order of `labels`."""
        if index not in frame.embeddings:
            frame.embeddings[index], _ = self.network.embed(self._image(frame, index))
        slots = np.zeros(max(frame.labels.max(), *labels) + 1, np.int64)
        slots[labels] = np.arange(1, len(labels) + 1)
        shrunk = self._passes[index].shrink(torch.from_numpy(frame.labels))
        return frame.embeddings[index], torch.from_numpy(slots)[shrunk].to(self.network.device)

    def _image(self, frame: Frame, index: int) -> Tensor:
        return self._passes[index].prepare(frame.image).to(self.network.device)

    def state_dict(self) -> dict[str, np.ndarray]:
        frames = list(self._references.frames)
        previous = self._previous
        if previous is not None and previous not in frames:
            frames.append(previous)
        ids = list(self._labels)
        return {
            "ids": np.array(ids, np.int64),
            "labels": np.array([self._labels[id_] for id_ in ids], np.int64),
            "live": np.array(self._live, np.int64),
            "references": np.array(len(self._references.frames), np.int64),
            "previous": np.array(frames.index(previous) if previous else -1, np.int64),
            "images": np.array([frame.image for frame in frames], np.uint8),
            "label_maps": np.array([frame.labels for frame in frames], np.int32),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        frames = [
            Frame(np.array(image), np.array(labels))
            for image, labels in zip(state["images"], state["label_maps"], strict=True)
        ]
        previous = int(state["previous"])
        self._begin(frames[previous] if previous >= 0 else None)
        self._references.frames = frames[: int(state["references"])]
        self._labels = dict(zip(state["ids"].tolist(), state["labels"].tolist(), strict=True))
        self._live = state["live"].tolist()


def _new_frame(image: np.ndarray) -> Frame:
    return Frame(image.copy(), np.zeros(image.shape[:2], np.int32))
