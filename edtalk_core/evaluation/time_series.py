"""Figures of a face over time: mouth against sound, head pose, blinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.correlation import correlation
from ..face.landmarks import eye_distance, eye_opening
from .faces import Landmarks, angles, head_rotation, relative_mouth_opening, rotation_between
from .metrics import Frame, Unmeasurable

FPS = 25
MAX_SHIFT = 10
"""Largest shift of the sound in frames when the mouth is compared with it."""
MIN_FRAMES = 5
"""Shortest series with a figure."""
MIN_OPENING = 1e-3
"""Smallest standard deviation of the relative mouth opening of a moving mouth."""
MIN_ROTATION = 0.3
"""Smallest standard deviation of a moving head, in degrees, root mean square over the three angles."""
MIN_LEVEL = 0.05
"""Smallest standard deviation of the level of a sound that is no silence, mean of a mel window in [-4,4]."""
SHUT = 0.6
"""Opening of shut eyes, relative to the median of the clip."""
LONGEST_BLINK = round(0.5 * FPS)
"""Longest blink in frames; eyes that stay shut longer do not blink."""


@dataclass(frozen=True)
class Moment:
    """The faces of a frame, and how loud it is."""

    index: int
    true: Landmarks
    """(68,2) relative to the picture's side."""
    rendered: Landmarks
    """(68,2)."""
    level: float
    """Mean of the mel window in [-4,4]; nan without sound."""


def moment(frame: Frame) -> Moment:
    """The faces of a frame. Raises Unmeasurable where there is none."""
    check_faces(frame)
    level = float(frame.mel.mean()) if frame.mel.size else float("nan")
    return Moment(frame.index, frame.true_landmarks, frame.rendered_landmarks, level)


def check_faces(frame: Frame) -> None:
    """Raise Unmeasurable if the true or the rendered frame shows no face."""
    from ..face.mesh import PRESENT

    for name, presence in (("true", frame.true_presence), ("rendered", frame.rendered_presence)):
        if presence < PRESENT:
            raise Unmeasurable(f"no face in the {name} frame")


def stacked(moments: Sequence[Moment], fewest: int = MIN_FRAMES) -> tuple[Landmarks, Landmarks]:
    """True and rendered landmarks (T,68,2). Raises Unmeasurable for too few frames."""
    if len(moments) < fewest:
        raise Unmeasurable(f"fewer than {fewest} frames with faces")
    return np.stack([m.true for m in moments]), np.stack([m.rendered for m in moments])


def _openings(moments: Sequence[Moment]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    true, rendered = (relative_mouth_opening(landmarks) for landmarks in stacked(moments))
    if true.std() < MIN_OPENING:
        raise Unmeasurable("the true mouth does not move")
    return true, rendered


def mouth_correlation(moments: Sequence[Moment]) -> float:
    """Correlation over time of the rendered with the true relative mouth opening, without a search over lags."""
    true, rendered = _openings(moments)
    return correlation(rendered, true)


def mouth_amplitude(moments: Sequence[Moment]) -> float:
    """Standard deviation of the rendered relative mouth opening over that of the true one."""
    true, rendered = _openings(moments)
    return float(rendered.std() / true.std())


def opening_confidence(moments: Sequence[Moment]) -> float:
    """How much better the mouth's opening correlates with the level of the sound at the best shift than at others.

    Maximum minus median of the correlation over shifts of up to MAX_SHIFT frames: the form of SyncNet's confidence, on
    signals that need no network. Raises Unmeasurable for silence and for clips too short for the shifts.
    """
    _, rendered = stacked(moments, 2 * MAX_SHIFT + MIN_FRAMES)
    level = np.array([m.level for m in moments])
    if np.isnan(level).any():
        raise Unmeasurable("no sound")
    if level.std() < MIN_LEVEL:
        raise Unmeasurable("silence")
    opening = relative_mouth_opening(rendered)
    inner = slice(MAX_SHIFT, len(opening) - MAX_SHIFT)
    values = [
        correlation(opening[inner], level[MAX_SHIFT + shift : len(level) - MAX_SHIFT + shift])
        for shift in range(-MAX_SHIFT, MAX_SHIFT + 1)
    ]
    return float(max(values) - np.median(values))


def pose_error(moments: Sequence[Moment]) -> float:
    """Mean angle in degrees between the rendered and the true head."""
    true, rendered = (head_rotation(landmarks) for landmarks in stacked(moments, 1))
    return float(rotation_between(true, rendered).mean())


def _pose_ratio(moments: Sequence[Moment], speed: bool) -> float:
    true, rendered = (angles(head_rotation(landmarks)) for landmarks in stacked(moments))
    if np.sqrt(np.square(true.std(axis=0)).mean()) < MIN_ROTATION:
        raise Unmeasurable("the true head does not move")
    if speed:
        true, rendered = np.diff(true, axis=0), np.diff(rendered, axis=0)
        return float(np.abs(rendered).mean() / np.abs(true).mean())
    return float(np.sqrt(np.square(rendered.std(axis=0)).mean() / np.square(true.std(axis=0)).mean()))


def pose_range(moments: Sequence[Moment]) -> float:
    """Standard deviation of the rendered head's angles over that of the true ones, root mean square over the angles."""
    return _pose_ratio(moments, speed=False)


def pose_speed(moments: Sequence[Moment]) -> float:
    """Mean speed of the rendered head's angles over that of the true ones."""
    return _pose_ratio(moments, speed=True)


def count_blinks(openings: NDArray[np.float64]) -> int:
    """Number of times that eyes with these openings (T,) are shut for at most LONGEST_BLINK frames and open again."""
    shut = openings < SHUT * np.median(openings)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], shut, [False]]).astype(int)))
    starts, ends = edges[::2], edges[1::2]
    return int(
        sum(
            start > 0 and end < len(shut) and end - start <= LONGEST_BLINK
            for start, end in zip(starts, ends, strict=True)
        )
    )


def _blinks_per_minute(landmarks: Landmarks) -> float:
    return count_blinks(eye_opening(landmarks) / eye_distance(landmarks)) * 60 * FPS / len(landmarks)


def blink_rate(moments: Sequence[Moment]) -> float:
    """Blinks a minute of the rendered face. Raises Unmeasurable for clips of less than two seconds."""
    return _blinks_per_minute(stacked(moments, 2 * FPS)[1])


def blink_rate_error(moments: Sequence[Moment]) -> float:
    """Absolute difference of the blinks a minute of the rendered and of the true face."""
    true, rendered = stacked(moments, 2 * FPS)
    return abs(_blinks_per_minute(rendered) - _blinks_per_minute(true))


def curves(moments: Sequence[Moment]) -> dict[str, list[float]]:
    """Series for plots: frame, relative mouth opening, yaw and pitch in degrees of both faces, level of the sound."""
    true, rendered = stacked(moments, 1)
    series: dict[str, NDArray[np.float64]] = {"frame": np.array([m.index for m in moments], np.float64)}
    for name, landmarks in (("true", true), ("rendered", rendered)):
        turns = angles(head_rotation(landmarks))
        series |= {
            f"opening_{name}": relative_mouth_opening(landmarks),
            f"yaw_{name}": turns[:, 0],
            f"pitch_{name}": turns[:, 1],
        }
    level = np.array([m.level for m in moments])
    if not np.isnan(level).any():
        series["level"] = level
    return {name: [round(float(value), 4) for value in values] for name, values in series.items()}
