"""The class-balanced sampler (paper 4.1, "balanced data sampler"): rare classes are drawn more often.

The paper does not give the rule; this is repeat-factor sampling (Gupta et al., LVIS, CVPR 2019, section 4):
an image is repeated by the largest ``sqrt(threshold / share of images with that class)`` of its classes, at
least once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def repeat_factors(labels: Sequence[Sequence[int]], threshold: float) -> np.ndarray:
    """How often to draw each image an epoch: ``(N,)`` float64, at least 1.

    Args:
        labels: the classes present in each image.
        threshold: classes present in a smaller share of the images are drawn more often; 0 switches it off.

    >>> repeat_factors([[0], [0], [0], [0, 1]], threshold=1.0).round(2).tolist()
    [1.0, 1.0, 1.0, 2.0]
    """
    present = [sorted(set(image)) for image in labels]
    classes, counts = np.unique([c for image in present for c in image], return_counts=True)
    share = dict(zip(classes.tolist(), (counts / max(len(labels), 1)).tolist(), strict=True))
    return np.array([max([1.0, *(np.sqrt(threshold / share[c]) for c in image)]) for image in present])


class BalancedSampler:
    """An endless, resumable stream of ``(image index, sample number)``.

    Entry `n` depends on nothing but the seed and `n`, so that a training that goes on from sample `n` sees
    what an uninterrupted one would have seen.
    """

    def __init__(self, factors: np.ndarray, seed: int, start: int = 0) -> None:
        if not len(factors):
            raise ValueError("there is nothing to sample from")
        self.factors, self.seed, self.start = factors, seed, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        number = 0
        for epoch in self._epochs():
            if number + len(epoch) <= self.start:
                number += len(epoch)
                continue
            for index in epoch:
                if number >= self.start:
                    yield int(index), number
                number += 1

    def _epochs(self) -> Iterator[np.ndarray]:
        epoch = 0
        while True:
            rng = np.random.default_rng([self.seed, epoch])
            whole = np.floor(self.factors)
            repeats = (whole + (rng.random(len(whole)) < self.factors - whole)).astype(int)
            yield rng.permutation(np.repeat(np.arange(len(repeats)), repeats))
            epoch += 1
