"""The length of a result, and how shorter tracks continue: one rule for rendering, dubbing and nodes.

The sound leads: a result lasts as long as its sound; without sound, as the driver video, else as the input motion, else
as the lips, else as the longest of the tracks. Longer tracks are cut off. Of shorter tracks the pose runs backwards and
forwards, as a dubbed video does, while lips and expression hold their last frame (`SHORT_TRACKS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from ..errors import ArgumentError
from ..media.mel import MAX_FRAMES
from ..media.video import exact_fps, frame_count_for

LEADERS = ("audio", "video", "motion", "lip")
"""The inputs that decide the length by default, the first one present."""

Mode = Literal["hold", "repeat", "ping-pong"]
"""Continuation of a motion after its end: hold the last frame, start again, or run backwards and forwards."""

MODES: tuple[Mode, ...] = get_args(Mode)

SHORT_TRACKS: Mapping[str, Mode] = {"lip": "hold", "pose": "ping-pong", "expression": "hold"}
"""Continuation of tracks that are shorter than the result."""


@dataclass(frozen=True)
class Length:
    """The length of a result."""

    seconds: float
    """Duration of the leading input, not rounded to frames."""
    rate: Fraction
    """Frames a second."""
    frames: int
    """At least 1."""


def length_of_duration(seconds: float, fps: float | Fraction) -> Length:
    """Return the length of a duration: round(seconds * fps) frames, at least 1.

    Raises ArgumentError for seconds that are negative, not finite or too many, and for a frame rate out of range.
    """
    frames = max(1, frame_count_for(seconds, fps))
    if frames > MAX_FRAMES:
        raise ArgumentError(
            f"{seconds / 3600:,.1f} hours at {float(fps):g} frames a second are {frames:,} frames, and a result has at "
            f"most {MAX_FRAMES:,}: cut the input into parts, or choose a lower frame rate."
        )
    return Length(seconds, exact_fps(fps), frames)


def leader(seconds: Mapping[str, float], length: str = "auto") -> str | None:
    """Return the name of the input that decides the length of the result; None without an input that has a duration.

    Args:
        seconds: durations by name: "audio" (the sound), "video" (the driver), "motion" (the input motion), or tracks.
            Single frames have no duration and are left out.
        length: "auto" for the first of LEADERS that is present, else the longest; "longest"; "shortest"; or a name.

    Raises:
        ArgumentError: a name that is not among `seconds`.
    """
    if length == "auto":
        length = next((name for name in LEADERS if name in seconds), "longest")
    if length in ("longest", "shortest"):
        choose = max if length == "longest" else min
        return choose(seconds, key=lambda name: seconds[name], default=None)
    if length not in seconds:
        raise ArgumentError(
            f'The length is to be that of "{length}", and only these last: {", ".join(seconds) or "nothing"}.'
        )
    return length


def result_length(seconds: Mapping[str, float], fps: float | Fraction, length: str = "auto") -> Length:
    """Return the length of a result, by `leader`; without any duration, one frame. Raises as `leader` does."""
    name = leader(seconds, length)
    return length_of_duration(seconds[name] if name is not None else 0.0, fps)
