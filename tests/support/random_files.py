"""Random damage of files, and checks of what reads them, for tests with Hypothesis."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from edtalk_core.errors import EDTalkError

MIB = 1 << 20
LONGEST_S = 10.0
"""Seconds of the processor that a reader may take."""
LARGEST = 1024
"""Memory that a reader may take over what the process has, MiB."""

_BYTES = st.one_of(
    st.binary(min_size=1, max_size=8),
    # Ends of the ranges of numbers, of both orders of bytes.
    st.sampled_from([bytes([value]) * size for value in (0, 255) for size in (1, 2, 4, 8)]),
    st.sampled_from([b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80", b"\0\1\0\0", b"\0\0\0\1"]),
    st.sampled_from([b"null", b"[", b"{}", b'"', b"1e999", b"-1", b"9999999999", b"\xed\xa0\x80", b"\n"]),
)
_EDIT = st.tuples(
    st.sampled_from(["write", "write", "write", "insert", "delete", "repeat", "end"]),
    st.floats(0, 1),
    st.sampled_from([1, 3, 8]),
    _BYTES,
    st.integers(1, 4096),
)

_NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(), st.sampled_from([0, 1, -1, 2**31, 2**63, 10**400]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
"""Any content of JSON, with numbers that JSON has not."""


def _edited(data: bytes, edits: list[tuple[str, float, int, bytes, int]]) -> bytes:
    for kind, place, slope, piece, length in edits:
        # Most edits lie near the start, where headers are.
        start = int(len(data) * place**slope)
        if kind == "write":
            data = data[:start] + piece + data[start + len(piece) :]
        elif kind == "insert":
            data = data[:start] + piece + data[start:]
        elif kind == "delete":
            data = data[:start] + data[start + length :]
        elif kind == "repeat":
            data = data[:start] + data[start : start + length] * 3 + data[start + length :]
        else:
            data = data[:start]
    return data


def damaged(*contents: bytes) -> st.SearchStrategy[bytes]:
    """One of these contents of files, edited at random."""
    return st.builds(_edited, st.sampled_from(contents), st.lists(_EDIT, max_size=6))


def fuzz(strategy: st.SearchStrategy[Any], read: Callable[[Any], object], seconds: float) -> int:
    """Read random values for so long, and return their number.

    A reader returns or raises an EDTalkError, within LONGEST_S and LARGEST; else the test fails with the smallest such
    value. The values are the same each time, as far as the time allows.
    """
    count = 0

    def check(value: Any) -> None:
        nonlocal count
        count += 1
        before, started = _reset_peak(), time.process_time()
        sentence = "read"
        try:
            read(value)
        except EDTalkError as error:
            sentence = str(error)
        assert sentence, "an error without a sentence"
        used, more = time.process_time() - started, _status_mebibytes("VmHWM") - before
        assert used < LONGEST_S, f"{used:.0f} s"
        assert more < LARGEST, f"{more:.0f} MiB"

    run = settings(
        max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )(given(strategy)(check))  # fmt: skip
    end = time.monotonic() + seconds
    for number in itertools.count():
        seed(number)(run)()
        if time.monotonic() > end:
            return count
    return count


def _reset_peak() -> float:
    """Resident memory of this process, MiB; its peak counts from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _status_mebibytes("VmHWM")
    return _status_mebibytes("VmRSS")


def _status_mebibytes(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # where there is no /proc, memory is not looked at
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
