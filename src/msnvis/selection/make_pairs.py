"""`msnvis pairs`: pairs of a whole dataset, by several processes, resumable shard by shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from msnvis.datasets.video import AnnotatedVideo
from msnvis.errors import InputError, OptionError
from msnvis.io.atomic import replacing
from msnvis.io.formats.reading import explained
from msnvis.processes import spawned
from msnvis.propagators import create_propagator
from msnvis.segmenters import create_segmenter
from msnvis.selection.base import create_selector
from msnvis.selection.pair_store import RECIPE, SHARDS, write_shard
from msnvis.selection.pairs import STARTS, video_pairs
from msnvis.weights.files import sha256_of

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class PairOptions:
    """How pairs are made.

    Attributes:
        segmenter, propagator: names of the parts whose masks are compared.
        segmenter_options, propagator_options: keyword arguments of their factories.
        directions: in which videos are gone through.
        starts: with which mask objects begin, see `selection.pairs.STARTS`.
        selector: name; the pairs are those that the tracker asks it about. None makes pairs by the recipe.
        selector_options: keyword arguments of its factory.
        mistakes: share of the decisions that are turned round.
        videos_per_shard: what is lost by an interruption is at most one shard a process.
    """

    segmenter: str = "compact"
    propagator: str = "flow"
    segmenter_options: Mapping[str, Any] = field(default_factory=dict)
    propagator_options: Mapping[str, Any] = field(default_factory=dict)
    directions: Sequence[str] = DIRECTIONS
    starts: Sequence[str] = ("truth",)
    selector: str | None = None
    selector_options: Mapping[str, Any] = field(default_factory=dict)
    mistakes: float = 0.0
    videos_per_shard: int = 4

    def __post_init__(self) -> None:
        if not self.directions or not set(self.directions) <= set(DIRECTIONS):
            raise OptionError(f"directions are some of {', '.join(DIRECTIONS)}")
        if not self.starts or not set(self.starts) <= set(STARTS):
            raise OptionError(f"starts are some of {', '.join(STARTS)}")
        if not 0 <= self.mistakes <= 1:
            raise OptionError("mistakes must be a share between 0 and 1")
        if self.selector_options and not self.selector:
            raise OptionError("there are weights for a selector, but none is named for the tracker to ask")
        if self.selector and tuple(self.starts) != ("segmenter",):
            raise OptionError(
                "the tracker's objects begin with masks of the segmenter: give the start segmenter"
            )
        if self.videos_per_shard < 1:
            raise OptionError("videos_per_shard must be at least 1")


def missing_shards(
    videos: Sequence[AnnotatedVideo], folder: Path, options: PairOptions = PairOptions()
) -> dict[Path, Sequence[AnnotatedVideo]]:
    """The shards that `folder` lacks, and of which videos each is to be made.

    Raises:
        InputError: there are no videos.
        OptionError: the folder holds pairs that were made in another way.
        OutputError: the folder cannot be written.
    """
    if not videos:
        raise InputError("there are no videos to make pairs of")
    _check_recipe(folder, videos, options)
    size = options.videos_per_shard
    shards = {
        folder / f"pairs-{number:05d}.safetensors": videos[start : start + size]
        for number, start in enumerate(range(0, len(videos), size))
    }
    return {path: part for path, part in shards.items() if not path.exists()}


def make_pairs(
    shards: Mapping[Path, Sequence[AnnotatedVideo]], options: PairOptions = PairOptions(), workers: int = 0
) -> Iterator[int]:
    """Write shards, and yield how many pairs each one got as soon as it is there.

    Args:
        shards: see `missing_shards`.
        options: how.
        workers: processes, each with its own parts; 0 works in this process.

    Raises:
        InputError: a frame cannot be read.
        OutputError: a shard cannot be written.
    """
    if workers == 0:
        maker = _Maker(options)
        yield from (maker.write(path, videos) for path, videos in shards.items())
        return
    with spawned(workers, _Worker.prepare, options) as pool:
        futures = [pool.submit(_Worker.write, path, videos) for path, videos in shards.items()]
        yield from (future.result() for future in as_completed(futures))


class _Maker:
    def __init__(self, options: PairOptions) -> None:
        self.options = options
        self.segmenter = create_segmenter(options.segmenter, **options.segmenter_options)
        self.propagator = create_propagator(options.propagator, **options.propagator_options)
        self.selector = options.selector and create_selector(options.selector, **options.selector_options)

    def write(self, path: Path, videos: Sequence[AnnotatedVideo]) -> int:
        how = (self.options.directions, self.options.starts, self.options.mistakes, self.selector)
        parts = self.segmenter, self.propagator
        return write_shard(path, ((v, video_pairs(v, *parts, *how)) for v in videos))


class _Worker:
    """What a process of the pool was told at its start."""

    options: PairOptions

    @classmethod
    def prepare(cls, options: PairOptions) -> None:
        # There is a process for each core already.
        torch.set_num_threads(1)
        cls.options = options

    @classmethod
    def write(cls, path: Path, videos: Sequence[AnnotatedVideo]) -> int:
        return cls.maker().write(path, videos)

    @staticmethod
    @cache
    def maker() -> _Maker:
        """Made with the first shard, because what goes wrong there reaches the parent process."""
        return _Maker(_Worker.options)


def _check_recipe(folder: Path, videos: Sequence[AnnotatedVideo], options: PairOptions) -> None:
    """Write down how the pairs are made, or compare with what is written there."""
    names = json.dumps([[video.name, video.num_frames, len(video.tracks)] for video in videos])
    recipe = {
        **asdict(options),
        "segmenter_options": _by_content(options.segmenter_options),
        "propagator_options": _by_content(options.propagator_options),
        "selector_options": _by_content(options.selector_options),
        "directions": list(options.directions),
        "starts": list(options.starts),
        "videos": len(videos),
        "digest": hashlib.sha256(names.encode()).hexdigest()[:16],
    }
    path = folder / RECIPE
    if not path.exists() or not any(folder.glob(SHARDS)):  # what failed at once leaves nothing but a recipe
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(recipe, indent=1))
        return
    with explained(str(path)):
        before = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError("it is no recipe")
    before = {"selector_options": {}} | before  # which older recipes lack
    changed = [name for name, value in recipe.items() if before.get(name) != value]
    if changed:
        raise OptionError(
            f"{folder} holds pairs that were made with other {', '.join(changed)}; choose another folder or "
            "remove it"
        )


def _by_content(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a part, with the SHA-256 of a weights file instead of its path: training writes the same
    path again."""
    weights = options.get("weights")
    if weights is None or not (path := Path(weights)).is_file():
        return dict(options)
    return {**options, "weights": sha256_of(path)}
