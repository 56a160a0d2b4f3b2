"""Names of files and folders made of names that strangers chose."""

from __future__ import annotations

import re

#: What Windows takes for a device, whatever its ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
#: Most characters, and most bytes in UTF-8: file systems take 255, and endings and numbers are added.
_MOST, _MOST_BYTES = 100, 200


def file_name(text: str, otherwise: str) -> str:
    r"""`text` made fit to name a file or folder on any system; `otherwise` where nothing of it can be used.

    >>> file_name("../x", "a"), file_name("..", "a"), file_name("con.txt", "a"), file_name("b\0. ", "a")
    ('.._x', 'a', '_con.txt', 'b_')
    """
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]', "_", text)[:_MOST]
    name = name.encode()[:_MOST_BYTES].decode(errors="ignore").rstrip(". ")  # Windows drops these
    return f"_{name}" if _DEVICES.fullmatch(name) else name or otherwise
