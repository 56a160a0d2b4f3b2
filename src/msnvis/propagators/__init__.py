"""Stage 2: carrying masks from one frame to the next."""

from msnvis.propagators import cfbi as cfbi  # fills the registry, as do the next
from msnvis.propagators import flow as flow
from msnvis.propagators import transformers_propagator as transformers_propagator
from msnvis.propagators.base import Corrections, Propagator, create_propagator, propagators

__all__ = ["Corrections", "Propagator", "create_propagator", "propagators"]
