"""The memory allocator of the C library, set up for training on a CPU."""

from __future__ import annotations

import ctypes
import os

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 2**31 - 1
_PAD = 64 * 2**20


def keep_large_blocks() -> None:
    """Let glibc keep freed blocks instead of returning them to the system.

    Each step frees and asks for the same activations, hundreds of megabytes. Memory that was
    returned comes back as pages of zeros that the kernel writes first: a tenth of a step of batch
    8, more of larger ones. What the environment (``MALLOC_*``) says stays as it is; other C
    libraries are left alone.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST)
        mallopt(_M_TOP_PAD, _PAD)
