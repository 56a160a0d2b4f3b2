"""What may be shown on a terminal: names come from files that strangers wrote."""

from __future__ import annotations

import re

#: Controls of terminals (Unicode's category Cc) but the end of a line; ends of lines of Unicode's own; what
#: turns the direction of text around (Unicode Standard Annex 9); halves of pairs, which no terminal can show.
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def neutral(text: str) -> str:
    r"""`text` with all characters that would steer a terminal written as in Python.

    Escape sequences move the cursor, write to the clipboard or rename the window; others hide what follows.

    >>> print(neutral("cat\x1b[2J"))
    cat\x1b[2J
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
