"""What can be chosen about synthetic video."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from msnvis.errors import OptionError

#: Parts of the source images: `train` and `val` share none.
SPLITS = ("all", "train", "val")

_SIDES = (32, 8192)


@dataclass(frozen=True)
class SynthOptions:
    """The same options and the same sources give the same bytes.

    Attributes:
        videos: how many.
        frames: of each video.
        size: ``(height, width)``, both even.
        objects: least and most moving objects a video; labelled objects of the background come on top.
        degradation: strength of motion blur, light, defocus, noise and video compression: 0 (none) to 1.
        split: which source images are used: all, or one of two parts without a common image.
        val_share: share of the source images that belong to `val`.
        split_seed: deals the images to the parts; apart from `seed`, so that a new seed keeps the parts.
        seed: of everything else.

    Raises:
        OptionError: a value makes no sense.
    """

    videos: int = 100
    frames: int = 32
    size: tuple[int, int] = (270, 480)
    objects: tuple[int, int] = (1, 6)
    degradation: float = 1.0
    split: str = "all"
    val_share: float = 0.2
    split_seed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.videos < 1 or self.frames < 1:
            raise OptionError(
                f"{self.videos} videos of {self.frames} frames are nothing; ask for one or more of each"
            )
        if any(side % 2 or not _SIDES[0] <= side <= _SIDES[1] for side in self.size):
            raise OptionError(
                f"a size of {self.size[1]}x{self.size[0]} cannot be made; width and height must be even and "
                f"between {_SIDES[0]} and {_SIDES[1]}, like 480x270"
            )
        least, most = self.objects
        if not 0 <= least <= most:
            raise OptionError(f"{least}-{most} objects make no sense; give least and most, like 1-6")
        if not 0 <= self.degradation <= 1:
            raise OptionError(f"a degradation of {self.degradation} makes no sense; give 0 (none) to 1")
        if self.split not in SPLITS:
            raise OptionError(f"no split is called '{self.split}'; known: {', '.join(SPLITS)}")
        if not 0 < self.val_share < 1:
            raise OptionError(f"a validation share of {self.val_share} is not between 0 and 1")
        if self.seed < 0 or self.split_seed < 0:
            raise OptionError("a seed is a whole number, 0 or more")

    def to_json(self) -> dict[str, Any]:
        """All values as JSON can hold them."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
