"""Stage 2: choosing the better of two masks."""

from msnvis.selection import rules as rules  # fills the registry
from msnvis.selection.base import Selector, create_selector, selectors

__all__ = ["Selector", "create_selector", "selectors"]
