"""Memory that a step frees is kept for the next one on a CPU."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's mallopt
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Keep freed memory in this process. By default glibc gives large tensors back to the system, which clears every
    page anew: a tenth to a fifth of a step's time. Other C libraries are left as they are."""
    if platform.libc_ver()[0] == "glibc":
        process = ctypes.CDLL(None)
        process.mallopt(_MMAP_MAX, 0)
        process.mallopt(_TRIM_THRESHOLD, _MOST)
