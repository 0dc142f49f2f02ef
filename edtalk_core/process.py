"""Settings of a process of our own, such as the command's. A host's process, ComfyUI's above all, is never changed."""

from __future__ import annotations

import ctypes
import os
import sys

WAIT_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables that say how OpenMP's threads wait; where one is set, the user has chosen."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_NEVER = 2**31 - 1


def prepare_process() -> None:
    """Make threads that wait sleep, and keep memory that is freed; nothing if torch is loaded, in another's process.

    Waiting: `waiting` says what spinning costs where other processes want the cores. OpenMP reads its policy when it is
    loaded.

    Memory: glibc gives the large tensors of every frame and step back to the system when they are freed, and the system
    has to clear new pages for the next ones: 12.6 of 73 ms a frame with the demo model on one core, 0.2 ms with these
    settings, at the same peak. What a command has needed once it then holds until it ends. In ComfyUI's process that
    would keep the gigabytes of other nodes from other programs, so this is for the command only.
    """
    if "torch" in sys.modules:
        return
    if not any(name in os.environ for name in WAIT_POLICIES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if _has_glibc():
        allocator = ctypes.CDLL(None)
        # Where a glibc refuses the first value, 32 MiB is the most that it takes.
        allocator.mallopt(_M_MMAP_THRESHOLD, 2**30) or allocator.mallopt(_M_MMAP_THRESHOLD, 2**25)
        allocator.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def _has_glibc() -> bool:
    try:
        return sys.platform == "linux" and bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):  # another C library does not know the name
        return False
