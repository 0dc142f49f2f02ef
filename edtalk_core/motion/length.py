"""How long a result lasts, and what becomes of a track that is shorter: one rule for rendering, dubbing and nodes.

What is heard leads: a result lasts as long as its sound; without one, as the driver video, else as the motion that was
given, else as the lips, else as the longest of the tracks. A longer track loses its end. Of shorter ones a head goes
back and forth, as a video does that is dubbed, while a mouth and an expression stay as they end (`SHORT_TRACKS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from ..errors import ArgumentError
from ..media.video import exact_fps, frame_count_for

LEADERS = ("audio", "video", "motion", "lip")
"""Which of the things that last decides, in this order, when nothing else is asked for."""

Mode = Literal["hold", "repeat", "ping-pong"]
"""How a motion goes on after its end: its last frame stays, it starts again, or it runs backwards and forwards."""

MODES: tuple[Mode, ...] = get_args(Mode)

SHORT_TRACKS: Mapping[str, Mode] = {"lip": "hold", "pose": "ping-pong", "expression": "hold"}
"""How a track goes on that is shorter than the result."""


@dataclass(frozen=True)
class Length:
    """How long a result lasts."""

    seconds: float
    """Duration of what leads, not rounded to frames."""
    rate: Fraction
    """Frames a second."""
    frames: int
    """At least 1."""


def lasting(seconds: float, fps: float | Fraction) -> Length:
    """The length of something that lasts so many seconds: round(seconds * fps) frames, at least 1.

    Raises ArgumentError for seconds that are negative or not finite, and for a frame rate out of range.
    """
    return Length(seconds, exact_fps(fps), max(1, frame_count_for(seconds, fps)))


def leader(seconds: Mapping[str, float], length: str = "auto") -> str | None:
    """The name of what decides how long the result lasts; None when there is nothing that lasts.

    Args:
        seconds: how long each lasts: "audio" (the sound), "video" (the driver), "motion" (the one given), or tracks by
            name. Single frames are left out: they last as long as anything.
        length: "auto" for the first of LEADERS that is there, else the longest; "longest"; "shortest"; or a name.

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
    """The length of a result, by `leader`; where nothing lasts, one frame. Raises ArgumentError as `leader` does."""
    name = leader(seconds, length)
    return lasting(seconds[name] if name is not None else 0.0, fps)
