"""`Motion`: the movement of a face over time, as 36 numbers a frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch

from ..checks import check_number
from ..errors import ArgumentError, MotionError
from ..media.mel import MAX_FRAMES
from ..wording import counted

LIP, POSE, EXPRESSION = 20, 6, 10
"""Widths of the three tracks in the published models. Other models may have others; `Motion` holds any."""

TRACKS = ("lip", "pose", "expression")
"""The names of the tracks, in the order of the banks' columns."""


FPS = 25.0
"""Frames a second of the published models' training data."""

MAX_FPS = 1000.0

MAX_WEIGHTS = 1024
"""Weights a frame of one track; the published models have 20, 6 and 10."""


@dataclass(frozen=True, eq=False, repr=False)
class Motion:
    """Weights over the banks' bases, frame by frame: lip (T,20), pose (T,6), expression (T,10) and a frame rate.

    Where a track is None, the portrait keeps its own lips, pose or expression. At least one track is required, and all
    have the same number of frames T >= 1. Frame i is shown at i / fps seconds.

    Tracks may be floating-point tensors of any precision, on any device; they are stored as copies: float32,
    contiguous, on the CPU, without gradient. Raises MotionError for anything else, and for values that are not finite.
    """

    lip: torch.Tensor | None = None
    pose: torch.Tensor | None = None
    expression: torch.Tensor | None = None
    fps: float = FPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", checked_fps(self.fps))
        lengths = {}
        for name in TRACKS:
            value = getattr(self, name)
            if value is not None:
                track = _checked_track(name, value)
                lengths[name] = len(track)
                object.__setattr__(self, name, track)
        if not lengths:
            raise MotionError("A motion needs at least one of the tracks lip, pose and expression; got none.")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise MotionError(
                f"The tracks of a motion must have the same number of frames; got {counts}. "
                "Join tracks of different lengths with combine()."
            )

    @property
    def tracks(self) -> dict[str, torch.Tensor]:
        """The tracks that are not None, by name, in the order lip, pose, expression."""
        return {name: track for name in TRACKS if (track := getattr(self, name)) is not None}

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(next(iter(self.tracks.values())))

    @property
    def duration(self) -> float:
        """Length in seconds: frames / fps."""
        return self.frames / self.fps

    def track(self, name: str) -> torch.Tensor:
        """Return a track by name. MotionError when it is missing, ArgumentError for an unknown name."""
        _check_names((name,))
        value = getattr(self, name)
        if value is None:
            raise MotionError(f"This motion has no {name} track; it has {' and '.join(self.tracks)}.")
        return cast(torch.Tensor, value)

    def select(self, *names: str) -> Motion:
        """Return a motion of these tracks only. MotionError when one is missing, ArgumentError for an unknown name."""
        if not names:
            raise ArgumentError(f"select() needs the name of at least one track: {', '.join(TRACKS)}.")
        return Motion(fps=self.fps, **{name: self.track(name) for name in names})

    def without(self, *names: str) -> Motion:
        """Return the motion without these tracks. MotionError when none would remain, ArgumentError for a bad name."""
        _check_names(names)
        return Motion(fps=self.fps, **{name: track for name, track in self.tracks.items() if name not in names})

    def with_tracks(self, **tracks: torch.Tensor | None) -> Motion:
        """Return a copy with these tracks replaced: `motion.with_tracks(pose=still)`; None removes a track."""
        _check_names(tuple(tracks))
        return Motion(fps=self.fps, **{**self.tracks, **tracks})

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Motion:
        """Apply `function`, (T,D) -> (T',D), to every track; the frame rate stays."""
        return Motion(fps=self.fps, **{name: function(track) for name, track in self.tracks.items()})

    def frame(self, index: int) -> Motion:
        """Return frame `index` as a motion of one frame (an anchor, say). Negative indices count from the end."""
        if not -self.frames <= index < self.frames:
            raise ArgumentError(f"There is no frame {index} in a motion of {counted(self.frames, 'frame')}.")
        start = index % self.frames
        return self.map(lambda track: track[start : start + 1])

    def equals(self, other: Motion, tolerance: float = 0.0) -> bool:
        """Whether both have the same tracks, lengths and frame rate, and values at most `tolerance` apart."""
        mine, theirs = self.tracks, other.tracks
        return (
            math.isclose(self.fps, other.fps, rel_tol=1e-9)
            and mine.keys() == theirs.keys()
            and all(
                track.shape == theirs[name].shape and bool((track - theirs[name]).abs().max() <= tolerance)
                for name, track in mine.items()
            )
        )

    def __repr__(self) -> str:
        widths = ", ".join(f"{name} {track.shape[1]}" for name, track in self.tracks.items())
        return f"Motion({widths}; {counted(self.frames, 'frame')} at {self.fps:g} fps, {self.duration:.2f} s)"


def checked_fps(fps: object) -> float:
    """Return the frame rate as float; MotionError unless it is a number above 0 and at most MAX_FPS."""
    return check_number(fps, "A frame rate", above=0, high=MAX_FPS, error=MotionError)


def check_track_size(name: str, frames: int, weights: int) -> None:
    """Raise MotionError for a track of more frames or weights than are supported."""
    if frames > MAX_FRAMES or weights > MAX_WEIGHTS or frames * weights > MAX_FRAMES * LIP * 2:
        raise MotionError(
            f"The {name} track has {frames:,} frames of {weights:,} weights; at most {MAX_FRAMES:,} frames are "
            f"supported ({MAX_FRAMES / FPS / 3600:.0f} hours at 25 a second), and {MAX_WEIGHTS:,} weights."
        )


def _checked_track(name: str, value: object) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise MotionError(f"The {name} track must be a tensor (frames, weights); got {type(value).__name__}.")
    if not value.is_floating_point():
        raise MotionError(f"The {name} track must hold floating-point numbers; got {value.dtype}.")
    if value.ndim != 2 or 0 in value.shape:
        raise MotionError(
            f"The {name} track must have the shape (frames, weights), both at least 1; got {tuple(value.shape)}."
        )
    check_track_size(name, *value.shape)
    # Outside of inference mode, so that a motion read by a model may later take part in training.
    with torch.inference_mode(False):
        track = value.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()
    if not bool(torch.isfinite(track).all()):
        frame = int((~torch.isfinite(track)).any(dim=1).nonzero()[0])
        raise MotionError(
            f"The {name} track holds values that are not finite (NaN or infinite), first in frame {frame}."
        )
    return track


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in TRACKS:
            raise ArgumentError(f"There is no track {name!r}; the tracks are {', '.join(TRACKS)}.")
