"""One colour for each track: the same in the overlay, the contact sheet and the timeline."""

from __future__ import annotations

#: RGB, told apart with any kind of colour vision (after Okabe & Ito and Paul Tol), neighbours unlike.
PALETTE: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 178, 130),
    (240, 100, 160),
    (240, 228, 66),
    (51, 119, 255),
    (238, 102, 51),
    (187, 204, 51),
    (170, 110, 240),
    (68, 220, 220),
    (221, 68, 90),
    (153, 221, 255),
    (170, 140, 60),
    (255, 170, 187),
    (60, 160, 70),
    (200, 200, 210),
)


def colour_of(track_id: int) -> tuple[int, int, int]:
    """RGB of a track; ids count from 1."""
    return PALETTE[(track_id - 1) % len(PALETTE)]


def text_colour_on(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better (Rec. 601 luma)."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else (255, 255, 255)
