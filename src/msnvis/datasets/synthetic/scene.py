"""The plan of one video: which background, which objects, how all of it moves. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from msnvis.datasets.coco import Annotation, ImageRecord
from msnvis.datasets.synthetic.degrade import Degradation
from msnvis.datasets.synthetic.motion import Camera, Curve, ObjectMotion
from msnvis.datasets.synthetic.objects import Cutout, cut_out, read_photo
from msnvis.datasets.synthetic.options import SynthOptions
from msnvis.datasets.synthetic.sources import SourceObject, Sources

#: Chance that an object is the same cut-out as an earlier one of the video, or another one of its class.
COPIES = 0.12
SAME_CLASS = 0.25
#: Square root of an object's area as a share of the height of the frame.
SIZES = (0.16, 0.7)
#: Photographs are enlarged no more than this.
MAX_SCALE = 1.6


@dataclass(frozen=True)
class MovingObject:
    """A cut-out on its way; `depth` over time is about 0 (near) to 1 (far)."""

    source: SourceObject
    cutout: Cutout
    motion: ObjectMotion
    depth: Curve
    mirrored: bool


@dataclass(frozen=True)
class StandingObject:
    """A labelled object of the background; it moves with the camera only, and things may pass behind it."""

    annotation: Annotation
    depth: float


@dataclass(frozen=True)
class Scene:
    """Everything that decides how a video looks.

    Attributes:
        frames: how many.
        size: ``(height, width)``.
        background: the photograph's entry.
        photo: ``(H, W, 3)`` uint8 RGB.
        camera: moves over it.
        standing: labelled objects of the background.
        moving: the others.
        degradation: of the finished frames.
    """

    frames: int
    size: tuple[int, int]
    background: ImageRecord
    photo: np.ndarray
    camera: Camera
    standing: tuple[StandingObject, ...]
    moving: tuple[MovingObject, ...]
    degradation: Degradation


def draw_scene(sources: Sources, options: SynthOptions, index: int) -> Scene:
    """The plan of video `index`, which depends on the options, the sources and nothing else.

    Raises:
        InputError: a photograph is missing, broken or of another size than annotated.
    """
    rng = np.random.default_rng([options.seed, index])
    background = sources.backgrounds[rng.integers(len(sources.backgrounds))]
    photo = read_photo(background)
    camera = Camera.draw(rng, photo.shape[:2], options.size, options.frames)
    chosen: list[SourceObject] = []
    for _ in range(rng.integers(options.objects[0], options.objects[1] + 1)):
        chosen.append(_choose(sources, chosen, rng))
    return Scene(
        frames=options.frames,
        size=options.size,
        background=background,
        photo=photo,
        camera=camera,
        standing=_standing(background, rng),
        moving=tuple(_moving(source, photo, options, rng) for source in chosen),
        degradation=Degradation.draw(rng, options.frames, options.degradation),
    )


def _choose(sources: Sources, chosen: list[SourceObject], rng: np.random.Generator) -> SourceObject:
    """A new object, or now and then one that is easily taken for an earlier one."""
    kind = rng.random() if chosen else 1.0
    if kind >= COPIES + SAME_CLASS:
        return sources.draw_object(rng)
    earlier = chosen[rng.integers(len(chosen))]
    return earlier if kind < COPIES else sources.draw_of_class(earlier.annotation.label, rng)


def _standing(background: ImageRecord, rng: np.random.Generator) -> tuple[StandingObject, ...]:
    """Most are behind what moves, large ones farthest: where they overlap, the smaller one is in front."""
    by_size = sorted(background.annotations, key=lambda a: (a.box[2] - a.box[0]) * (a.box[3] - a.box[1]))
    depths = np.sort(rng.uniform(0.5, 1.3, len(by_size)))
    return tuple(StandingObject(a, float(d)) for a, d in zip(by_size, depths, strict=True))


def _moving(
    source: SourceObject, backdrop: np.ndarray, options: SynthOptions, rng: np.random.Generator
) -> MovingObject:
    cutout = _lit_like(cut_out(source, read_photo(source.image)), backdrop, rng)
    mirrored = bool(rng.random() < 0.5)
    if mirrored:
        cutout = cutout.mirrored()
    side = options.size[0] * np.exp(rng.uniform(*np.log(SIZES)))
    scale = min(side / np.sqrt(cutout.area), MAX_SCALE)
    motion = ObjectMotion.draw(rng, cutout.size, scale, cutout.cut, options.size, options.frames)
    near = rng.uniform(0, 1)
    depth = Curve.wander(rng, options.frames, 12, np.array(near - 0.4), np.array(near + 0.4))
    largest = scale * motion.max_zoom(options.frames)
    if largest < 1:
        height = cutout.size[0]
        cutout = cutout.shrunk(largest)
        motion = motion.for_size(cutout.size, scale * height / cutout.size[0])
    return MovingObject(source, cutout, motion, depth, mirrored)


def _lit_like(cutout: Cutout, backdrop: np.ndarray, rng: np.random.Generator) -> Cutout:
    """Colours moved a part of the way towards those of the backdrop."""
    gains = (backdrop.reshape(-1, 3).mean(axis=0) + 10) / (cutout.mean_colour() + 10)
    return cutout.with_gains(np.clip(gains ** rng.uniform(0.1, 0.5), 0.6, 1.6))
