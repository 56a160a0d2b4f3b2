"""What makes this process quicker on CPUs, beside the networks."""

from __future__ import annotations

import ctypes
import os
import sys

#: Of ``mallopt`` in glibc's ``malloc.h`` -> bytes.
_MALLOPT = {
    -1: 2**30,  # M_TRIM_THRESHOLD: free memory at the end of the heap beyond which it is given back
    -2: 2**26,  # M_TOP_PAD: what the heap grows by
    -3: 2**25,  # M_MMAP_THRESHOLD, the largest that it takes: greater blocks are given back when freed
}


def prepare_process() -> None:
    """Keep freed memory and let idle threads sleep; to be called before PyTorch is loaded.

    A pipeline frees and asks for the same megabytes at every frame. glibc gives them back each time, and the
    kernel makes them anew, page by page, full of zeros: a quarter of the pipeline's time. And OpenMP's
    threads wait for their next work busily, on cores that the decoder's thread could use.

    Changes the whole process, so it is for programs to call, as the ``msnvis`` command does, not for the
    modules of a library. Only on Linux with glibc; ``OMP_WAIT_POLICY`` is respected where it is set.

    >>> prepare_process()
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    for parameter, size in _MALLOPT.items() if mallopt else ():
        mallopt(parameter, size)
