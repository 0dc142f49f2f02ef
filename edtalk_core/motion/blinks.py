"""Blinks: when lids close and how far, and their addition to an expression track.

Statistics are those of people in conversation: about 17 blinks a minute (Bentivoglio et al. 1997, "Analysis of blink
rate patterns in normal subjects") at irregular, log-normally distributed intervals; a blink takes 0.1 to 0.4 s, and
lids open about twice as slowly as they close. People who speak blink most when a phrase ends, and in pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..checks import check_number, check_seed
from ..errors import MotionError
from ..media.pauses import Pause
from .motion import Motion

BLINK_RATE = 17.0
"""Blinks a minute in conversation."""
MAX_RATE = 60.0
MAX_STRENGTH = 2.0

_DURATION, _DURATION_SPREAD, _DURATION_RANGE = 0.22, 0.3, (0.1, 0.4)
"""Median of a blink's duration in seconds, the deviation of its logarithm, and its range."""
_CLOSING, _CLOSED = 0.3, 0.12
"""Shares of a blink in which lids close and stay closed; they open in the rest."""
_REFRACTORY = 0.4
"""Shortest time from a blink to the next in seconds, except in a double blink."""
_INTERVAL_SPREAD = 0.75
"""Deviation of the logarithm of the times between blinks."""
_DOUBLE_SHARE, _DOUBLE_GAP = 0.06, (0.08, 0.2)
"""Share of the blinks that are followed at once by another, and the range of the time between the two, seconds."""
_SPEECH, _PAUSE, _PHRASE_END = 0.6, 1.6, 5.0
"""Frequencies of blinks while somebody speaks, in a pause, and when a phrase ends, relative to each other."""
_PHRASE_END_TIME = (-0.08, 0.4)
"""Seconds from the start of a pause that count as the end of the phrase before it."""
_STEP = 0.01
"""Seconds of a step on the grid of blink frequencies."""
_RUN_UP = 10
"""Mean intervals that are drawn and dropped before the start, so that it does not stand out."""


@dataclass(frozen=True)
class Blink:
    """One blink; all times in seconds."""

    start: float
    """The time at which the lids begin to close."""
    closing: float
    """Duration of the closing."""
    closed: float
    """Time for which the lids stay closed."""
    opening: float
    """Duration of the opening."""

    @property
    def end(self) -> float:
        """The time at which the lids are open again."""
        return self.start + self.closing + self.closed + self.opening

    @property
    def middle(self) -> float:
        """The middle of the time for which the lids are closed."""
        return self.start + self.closing + self.closed / 2

    def closure(self, seconds: np.ndarray) -> np.ndarray:
        """Closure of the lids at times (T,): 0 as in the expression, 1 closed, with smooth starts and ends."""
        shut = self.start + self.closing
        closing = np.clip((seconds - self.start) / self.closing, 0, 1)
        opening = np.clip((seconds - shut - self.closed) / self.opening, 0, 1)
        share = np.minimum(closing, 1 - opening)
        return np.asarray(share * share * (3 - 2 * share))


def draw_blinks(
    duration: float, *, rate: float = BLINK_RATE, seed: int = 0, pauses: Sequence[Pause] | None = None
) -> tuple[Blink, ...]:
    """Draw the blinks of a face at random.

    Args:
        duration: seconds; all blinks end within. Without pauses, a longer time begins with the blinks of a shorter one.
        rate: mean blinks a minute, 0 to 60; 0 for none.
        seed: the same seed gives the same blinks.
        pauses: silences in the speech, in order, for blinks mostly at ends of phrases and in pauses; None without
            speech. The mean rate stays.

    Raises:
        ArgumentError: a number out of range.
    """
    check_number(duration, "The duration", low=0, unit="seconds")
    check_number(rate, "The blink rate", low=0, high=MAX_RATE, unit="blinks a minute")
    rng = np.random.default_rng(check_seed(seed))
    if not rate:
        return ()
    # Time runs faster where blinks are frequent: intervals are drawn in this time, in which blinks are even.
    frequencies = _frequencies(duration, pauses)
    grid = np.arange(len(frequencies) + 1) * _STEP
    passed = np.concatenate([[0.0], np.cumsum(frequencies * _STEP)])
    mean = 60 / rate
    mean_duration = _DURATION * np.exp(_DURATION_SPREAD**2 / 2)
    wait = (mean - mean_duration - _DOUBLE_SHARE * np.mean(_DOUBLE_GAP)) / (1 - _DOUBLE_SHARE) - _REFRACTORY
    median = wait * np.exp(-(_INTERVAL_SPREAD**2) / 2)
    blinks: list[Blink] = []
    blink = Blink(-_RUN_UP * mean, 0.0, 0.0, 0.0)
    while True:
        double = rng.random() < _DOUBLE_SHARE
        gap = _DOUBLE_GAP[0] + rng.random() * (_DOUBLE_GAP[1] - _DOUBLE_GAP[0])
        interval = blink.end - blink.start + _REFRACTORY + median * np.exp(_INTERVAL_SPREAD * rng.standard_normal())
        length = float(np.clip(_DURATION * np.exp(_DURATION_SPREAD * rng.standard_normal()), *_DURATION_RANGE))
        start = blink.end + gap
        if not double:
            start = max(blink.end + _REFRACTORY, _advance(blink.start, interval, grid, passed))
        blink = Blink(start, _CLOSING * length, _CLOSED * length, (1 - _CLOSING - _CLOSED) * length)
        if blink.end > duration:
            return tuple(blinks)
        if start >= 0:
            blinks.append(blink)


def _frequencies(duration: float, pauses: Sequence[Pause] | None) -> np.ndarray:
    """Return the frequency of blinks on a grid of _STEP, relative to the mean."""
    times = (np.arange(max(1, round(duration / _STEP))) + 0.5) * _STEP
    if pauses is None:
        return np.ones(len(times))
    frequencies = np.full(len(times), _SPEECH)
    for start, end in pauses:
        frequencies[slice(*np.searchsorted(times, (start, end)))] = _PAUSE
    for start, _ in pauses:
        if start > 0:  # before a silence at the start there is no phrase
            before, after = _PHRASE_END_TIME
            frequencies[slice(*np.searchsorted(times, (start + before, start + after)))] = _PHRASE_END
    # Blinks that do not end in time are left out: those of the last phrase end come before that.
    in_time = frequencies * (times < duration - _DURATION_RANGE[1])
    frequencies = in_time if in_time.any() else frequencies
    return frequencies / frequencies.mean()


def _advance(time: float, interval: float, grid: np.ndarray, passed: np.ndarray) -> float:
    """Return the time that lies an interval of even blinks after another; before 0 and at the end they are even."""
    start = time if time < 0 else float(np.interp(time, grid, passed))
    target = start + interval
    if target < 0:
        return target
    return float(np.interp(target, passed, grid)) if target < passed[-1] else float(grid[-1] + target - passed[-1])


def lid_closure(blinks: Iterable[Blink], frames: int, fps: float) -> torch.Tensor:
    """Return how far blinks close the lids in each frame, (frames,): 0 as in the expression, 1 closed.

    The frame that is nearest to the middle of a blink shows it closed, at any frame rate.
    """
    times = np.arange(frames) / fps
    closure = np.zeros(frames)
    for blink in blinks:
        first, last = max(0, int(blink.start * fps)), min(frames, int(blink.end * fps) + 2)
        closure[first:last] = np.maximum(closure[first:last], blink.closure(times[first:last]))
        closure[min(frames - 1, round(blink.middle * fps))] = 1
    return torch.from_numpy(closure).float()


def add_blinks(motion: Motion, blinks: Iterable[Blink], change: torch.Tensor, strength: float = 1.0) -> Motion:
    """Add blinks to the expression track of a motion.

    Args:
        motion: has an expression track.
        blinks: see `draw_blinks`.
        change: (expression,) or (T,expression): change of the weights that closes the eyes.
        strength: 1 closes the eyes; less leaves them partly open, more presses them. 0 to 2.

    Raises:
        ArgumentError: a strength out of range.
        MotionError: no expression track, or a change of another number of weights.
    """
    check_number(strength, "The strength of blinks", low=0, high=MAX_STRENGTH)
    expression = motion.track("expression")
    if change.shape[-1] != expression.shape[1]:
        raise MotionError(
            f"The expression track has {expression.shape[1]} weights and the eyes close by {change.shape[-1]}: they "
            "are of different models."
        )
    closure = lid_closure(blinks, motion.frames, motion.fps).unsqueeze(1)
    return motion.with_tracks(expression=expression + strength * closure * change.to(expression))
