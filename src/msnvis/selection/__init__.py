"""Stage 2: choosing the better of two masks."""

from msnvis.selection import learned as learned  # fills the registry, as does the next one
from msnvis.selection import rules as rules
from msnvis.selection.base import Selector, create_selector, selectors

__all__ = ["Selector", "create_selector", "selectors"]
