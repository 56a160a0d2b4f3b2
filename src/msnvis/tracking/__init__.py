"""Stage 2: association, new objects and the step from frame to frame."""

from msnvis.tracking.tracker import Tracker, TrackingOptions

__all__ = ["Tracker", "TrackingOptions"]
