"""Expression timelines: text that says which emotion a face shows when.

    0:00 neutral
    1.5s happy:0.8 ease-in-out     # eases from neutral to happy, which it reaches at 1.5 seconds
    0:04.5 own                     # linearly back to the face in the picture
    6 angry:1.2 hold               # stays as in the picture, then jumps

One entry a line, or several separated by ";". An entry is a time (seconds, with or without "s", or m:ss or h:mm:ss,
with fractions), an emotion of the model's presets with an optional strength (1 = the preset, 0 = the anchor, more
exaggerates; "own" is the anchor itself), and how the face gets there from the entry before (linear by default).
Before the first entry its expression holds, and after the last that one does. "#" starts a comment.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import torch

from ..errors import ArgumentError, EDTalkError, MotionError
from .motion import FPS, Motion, checked_fps
from .operations import hold
from .presets import OWN, Anchor, Presets, expression_preset, parse_expression

MAX_KEYS = 10_000

EASINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": lambda x: x,
    "hold": torch.zeros_like,
    "step": torch.zeros_like,
    "ease-in": lambda x: x * x,
    "ease-out": lambda x: x * (2 - x),
    "ease-in-out": lambda x: x * x * (3 - 2 * x),
    "smoothstep": lambda x: x * x * (3 - 2 * x),
}
"""How far the face has come (0..1) when a share x (0 <= x < 1) of the time from one key to the next has passed."""


@dataclass(frozen=True)
class Key:
    """One entry of a timeline."""

    time: float
    """Seconds."""
    emotion: str
    strength: float
    easing: str
    """One of EASINGS: the way from the key before to this one."""
    text: str
    """The entry as written."""
    line: int
    """Where it stands in the text, from 1."""


def parse_timeline(text: str) -> tuple[Key, ...]:
    """The entries of a timeline, in order. Whether the emotions exist is for the presets to say.

    Raises MotionError naming the line and what is wrong with it.
    """
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for entry in line.partition("#")[0].split(";"):
            entry = entry.strip()
            if not entry:
                continue
            try:
                key = _parse_entry(entry, number)
                if keys and key.time <= keys[-1].time:
                    raise ArgumentError(
                        f"its time, {key.time:g} s, is not after that of the entry before, {keys[-1].time:g} s"
                    )
            except ArgumentError as error:
                raise _entry_error(number, entry, error) from error
            keys.append(key)
            if len(keys) > MAX_KEYS:
                raise MotionError(f"A timeline has at most {MAX_KEYS:,} entries; this one has more.")
    if not keys:
        raise MotionError("The timeline has no entries; write for example: 0:00 neutral; 1.5s happy:0.8 ease-in-out")
    return tuple(keys)


def expression_timeline(text: str, presets: Presets, anchor: Anchor, duration: float, fps: float = FPS) -> Motion:
    """A timeline as an expression track of round(duration * fps) frames, at least 1.

    `duration` in seconds; `presets` and `anchor` as in `expression_preset`: strength 0 is the anchor. Between two keys
    equation 3 blends their weights, by the easing of the later one. Keys after the end only count as where the face is
    heading. Raises MotionError naming the line and what is wrong with it, and ArgumentError for a bad duration.
    """
    fps = checked_fps(fps)
    if isinstance(duration, bool) or not isinstance(duration, Real) or not math.isfinite(duration) or duration < 0:
        raise ArgumentError(f"The duration must be a finite number of seconds of at least 0; got {duration!r}.")
    keys = parse_timeline(text)
    expression_preset(presets, OWN, 1.0, anchor)  # an anchor that is wrong is no fault of a line
    expressions = [_expression(key, presets, anchor) for key in keys]
    track = hold(Motion(expression=expressions[0], fps=fps), max(1, round(duration * fps))).track("expression").clone()
    seconds = torch.arange(len(track), dtype=torch.float64) / fps + 1e-9  # a frame at a key's time has reached it
    for before, key, start, end in zip(keys, keys[1:], expressions, expressions[1:], strict=False):
        between = (seconds >= before.time) & (seconds < key.time)
        passed = ((seconds[between] - before.time) / (key.time - before.time)).unsqueeze(1)
        share = EASINGS[key.easing](passed).float()
        track[between] = share * end + (1 - share) * start
    track[seconds >= keys[-1].time] = expressions[-1]
    return Motion(expression=track, fps=fps)


def _expression(key: Key, presets: Presets, anchor: Anchor) -> torch.Tensor:
    try:
        return expression_preset(presets, key.emotion, key.strength, anchor).track("expression")
    except EDTalkError as error:
        raise _entry_error(key.line, key.text, error) from error


def _parse_entry(entry: str, line: int) -> Key:
    words = entry.split()
    if len(words) < 2:
        raise ArgumentError("an entry is a time, an emotion and perhaps an easing, such as: 1.5s happy:0.8 ease-in-out")
    if len(words) > 3:
        raise ArgumentError(f"it goes on after the easing, with {' '.join(words[3:])!r}; entries are separated by ';'")
    emotion, strength = parse_expression(words[1])
    easing = words[2].lower() if len(words) == 3 else "linear"
    if easing not in EASINGS:
        close = difflib.get_close_matches(easing, EASINGS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ArgumentError(f"there is no easing {words[2]!r}, but {', '.join(EASINGS)}{hint}")
    return Key(_parse_time(words[0]), emotion, strength, easing, entry, line)


def _parse_time(text: str) -> float:
    if match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)s?", text, re.IGNORECASE):
        return float(match[1])
    if match := re.fullmatch(r"(?:([0-9]{1,5}):)?([0-9]{1,5}):([0-5]?[0-9](?:\.[0-9]+)?)", text):
        hours, minutes, seconds = match.groups()
        if hours is None or int(minutes) < 60:
            return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    raise ArgumentError(f"{text!r} is no time; write seconds (1.5 or 1.5s) or m:ss (0:01.5)")


def _entry_error(line: int, entry: str, error: EDTalkError) -> MotionError:
    return MotionError(f"Timeline line {line}, {entry!r}: {str(error).rstrip('.')}.")
