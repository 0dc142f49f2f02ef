"""Keyframes in text: the syntax of expression timelines and of curves of numbers.

One entry a line, or several separated by ";". An entry is a time (seconds, with or without "s", or m:ss or h:mm:ss,
with fractions), a value, and the easing from the entry before (linear by default). The first value also holds before
its time, and the last one after it. "#" starts a comment. A curve of numbers:

    0:00 0
    1.5s 0.8 ease-in-out     # eases from 0 to 0.8, which it reaches at 1.5 seconds
    4 1 hold                 # stays at 0.8, then jumps
"""

from __future__ import annotations

import difflib
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from ..errors import ArgumentError, EDTalkError, MotionError

Value = TypeVar("Value")

MAX_KEYS = 10_000

REACHED = 1e-9
"""Tolerance in seconds within which a key counts as reached: times of frames are rounded."""

EASINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": lambda x: x,
    "hold": torch.zeros_like,
    "step": torch.zeros_like,
    "ease-in": lambda x: x * x,
    "ease-out": lambda x: x * (2 - x),
    "ease-in-out": lambda x: x * x * (3 - 2 * x),
    "smoothstep": lambda x: x * x * (3 - 2 * x),
}
"""Easing functions: share of the time from one key to the next, x (0 <= x < 1) -> share of the change (0..1)."""


@dataclass(frozen=True)
class Key(Generic[Value]):
    """One entry."""

    time: float
    """Seconds."""
    value: Value
    easing: str
    """One of EASINGS: the transition from the key before to this one."""
    text: str
    """The entry as written."""
    line: int
    """Line number in the text, from 1."""


@dataclass(frozen=True)
class NumberCurve:
    """A number that changes over time, by keys. Call it with seconds; it is accepted wherever a `Curve` is."""

    keys: tuple[Key[float], ...]
    """At least one key, in order of time."""

    @property
    def end(self) -> float:
        """The time of its last key in seconds."""
        return self.keys[-1].time

    def __call__(self, seconds: float) -> float:
        """Return the number at a time in seconds."""
        index = bisect_right(self.keys, seconds + REACHED, key=lambda key: key.time)
        if index == 0 or index == len(self.keys):
            return self.keys[max(index - 1, 0)].value
        before, key = self.keys[index - 1 : index + 1]
        progress = max(0.0, (seconds - before.time) / (key.time - before.time))
        share = float(EASINGS[key.easing](torch.tensor(progress, dtype=torch.float64)))
        return share * key.value + (1 - share) * before.value


def interpolate_keys(keys: Sequence[Key[Any]], values: torch.Tensor, seconds: torch.Tensor) -> torch.Tensor:
    """Return values that change by keys at times: `values` (K,D), one row a key, and `seconds` (T,) -> (T,D).

    Between two keys equation 3 blends their values, by the easing of the later one. The first value also holds before
    its time, and the last one after it. A frame at a key's time has reached it.
    """
    seconds = seconds.double() + REACHED
    track = values[:1].expand(len(seconds), -1).clone()
    for before, key, start, end in zip(keys, keys[1:], values, values[1:], strict=False):
        between = (seconds >= before.time) & (seconds < key.time)
        progress = ((seconds[between] - before.time) / (key.time - before.time)).unsqueeze(1)
        share = EASINGS[key.easing](progress).to(values.dtype)
        track[between] = share * end + (1 - share) * start
    track[seconds >= keys[-1].time] = values[-1]
    return track


def parse_curve(text: str) -> NumberCurve:
    """Parse a curve of numbers in the syntax at the top of this module.

    Raises MotionError naming the line and the reason.
    """
    return NumberCurve(parse_keys(text, _parse_number, "curve", "a number", "0:00 0; 1.5s 0.8 ease-in-out"))


def frames_until(seconds: float, fps: float) -> int:
    """Return the number of frames needed for the last one to reach a key at this time."""
    return math.ceil((seconds - REACHED) * fps) + 1


def parse_keys(
    text: str, parse_value: Callable[[str], Value], kind: str, value: str, example: str
) -> tuple[Key[Value], ...]:
    """Parse the entries of a text, in order.

    Args:
        text: in the syntax at the top of this module.
        parse_value: parses a value, a word; raises ArgumentError with the reason for an invalid one.
        kind: the kind of text, for messages: "timeline".
        value: the kind of value, for messages: "an emotion".
        example: two entries separated by "; ", for messages.

    Raises:
        MotionError: naming the line and the reason.
    """
    keys: list[Key[Value]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for entry in line.partition("#")[0].split(";"):
            entry = entry.strip()
            if not entry:
                continue
            try:
                key = _parse_entry(entry, number, parse_value, value, example)
                if keys and key.time <= keys[-1].time:
                    raise ArgumentError(
                        f"its time, {key.time:g} s, is not after that of the entry before, {keys[-1].time:g} s"
                    )
            except ArgumentError as error:
                raise entry_error(kind, number, entry, error) from error
            keys.append(key)
            if len(keys) > MAX_KEYS:
                raise MotionError(f"A {kind} has at most {MAX_KEYS:,} entries; this one has more.")
    if not keys:
        raise MotionError(f"The {kind} has no entries; write for example: {example}")
    return tuple(keys)


def entry_error(kind: str, line: int, entry: str, error: EDTalkError) -> MotionError:
    """Return a MotionError that names an entry, its line and the reason."""
    reason = str(error)
    return MotionError(f"{kind.capitalize()} line {line}, {entry!r}: {reason}{'' if reason[-1] in '.?' else '.'}")


def _parse_entry(entry: str, line: int, parse_value: Callable[[str], Value], value: str, example: str) -> Key[Value]:
    words = entry.split()
    if len(words) < 2:
        example_entry = example.rpartition("; ")[2]
        raise ArgumentError(f"an entry is a time, {value} and perhaps an easing, such as: {example_entry}")
    if len(words) > 3:
        raise ArgumentError(f"{' '.join(words[3:])!r} follows the easing; entries are separated by ';'")
    parsed = parse_value(words[1])
    easing = words[2].lower() if len(words) == 3 else "linear"
    if easing not in EASINGS:
        close = difflib.get_close_matches(easing, EASINGS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ArgumentError(f"there is no easing {words[2]!r}, but {', '.join(EASINGS)}{hint}")
    return Key(_parse_time(words[0]), parsed, easing, entry, line)


def _parse_time(text: str) -> float:
    if match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)s?", text, re.IGNORECASE):
        return float(match[1])
    if match := re.fullmatch(r"(?:([0-9]{1,5}):)?([0-9]{1,5}):([0-5]?[0-9](?:\.[0-9]+)?)", text):
        hours, minutes, seconds = match.groups()
        if hours is None or int(minutes) < 60:
            return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    raise ArgumentError(f"{text!r} is not a time; write seconds (1.5 or 1.5s) or m:ss (0:01.5)")


def _parse_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentError(f"{text!r} is not a number, such as 0.8")
    return number
