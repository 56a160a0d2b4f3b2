"""Stage 2: carrying masks from one frame to the next."""

from msnvis.propagators import flow as flow  # fills the registry
from msnvis.propagators.base import Corrections, Propagator, create_propagator, propagators

__all__ = ["Corrections", "Propagator", "create_propagator", "propagators"]
