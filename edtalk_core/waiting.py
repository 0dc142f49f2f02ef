"""How torch's threads wait for each other on a CPU: a program that waits must not take the cores that others work on.

Rendering a frame is some hundred parallel loops, and at the end of each the threads wait for the slowest. GNU's OpenMP,
which torch uses on Linux, lets them spin for milliseconds before they sleep. On an idle machine the wait is far
shorter; where another process has one of the cores, the thread that is waited for cannot run while those that wait for
it spin, and every loop takes a scheduler's time slice: rendering was measured ten times as slow as its share of the
machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from .process import WAIT_POLICIES

_lock = threading.Lock()
_users = 0
_surplus: tuple[threading.Thread, threading.Event] | None = None


@contextmanager
def short_waits(device: torch.device) -> Iterator[None]:
    """Context manager in which waiting threads of torch sleep after some microseconds; for computing on a CPU.

    GNU's OpenMP cannot be told so once it is loaded, but spins 100 times instead of 300,000 while a process has more
    threads of it than the machine has cores (its manual, GOMP_SPINCOUNT). This sees to that by as many threads that
    sleep all the time, and ends them with the block, so that whatever else the process computes is as before. Blocks
    may overlap, in several threads too. Elsewhere, or where the user has set a policy, nothing happens.
    """
    if device.type != "cpu" or torch.get_num_threads() == 1 or not _spins():
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


@cache
def _spins() -> bool:
    """Whether torch computes with GNU's OpenMP, and nobody has told that how to wait."""
    maps = Path("/proc/self/maps")
    return (
        not any(name in os.environ for name in WAIT_POLICIES)
        and maps.is_file()
        and "libgomp" in maps.read_text(errors="replace")
    )


def _enter() -> None:
    global _surplus, _users
    with _lock:
        _users += 1
        if _surplus is None:
            started, finished = threading.Event(), threading.Event()
            thread = threading.Thread(
                target=_own_surplus, args=(started, finished), name="edtalk-short-waits", daemon=True
            )
            thread.start()
            started.wait()
            _surplus = thread, finished


def _leave() -> None:
    global _surplus, _users
    with _lock:
        _users -= 1
        if _users == 0 and _surplus is not None:
            thread, finished = _surplus
            _surplus = None
            finished.set()
            thread.join()


def _own_surplus(started: threading.Event, finished: threading.Event) -> None:
    """Have one OpenMP thread more than there are cores, which sleep, until `finished` is set."""
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    try:
        # For this thread, whose parallel loops then start so many; torch's number for new threads is put back at once.
        torch.set_num_threads(cores + 1)
        torch.zeros(1 << 16).add_(1)  # large enough for a parallel loop
    finally:
        torch.set_num_threads(threads)
        started.set()
    finished.wait()
