"""Emotions over time as the few keys of an expression timeline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from ..media.transcript import Cue
from ..motion.motion import FPS
from ..motion.presets import EMOTIONS, MAX_STRENGTH, OWN

_SHOWN = 0.03
"""Intensity from which an emotion is worth a key; from less, the face comes to rest in one frame unseen."""
_TOLERANCE = 0.12
"""Largest difference between intensities and the lines between keys."""
_SHORTEST = 0.3
"""Seconds; an emotion that shows for less is left out."""
_COMMENT = 60
"""Characters of the words in a comment."""


def timeline_text(intensities: Tensor, strength: float, words: Sequence[Cue] = ()) -> str:
    """Write intensities as the text of an expression timeline (`motion.timeline`).

    Args:
        intensities: (frames,8) in [0,1] at 25 fps, in the order of EMOTIONS; of the strongest emotion a frame.
        strength: factor on the intensities, at most MAX_STRENGTH.
        words: with times, written as comments beside the keys that follow.

    Returns:
        Lines such as "1.20s happy:0.75 ease-in-out  # what a day"; "own" where no emotion shows.
    """
    values = intensities.numpy()
    emotions = np.where(values.max(axis=1) >= _SHOWN, values.argmax(axis=1), -1)
    keys: list[tuple[int, str]] = []
    for first, last, emotion in _runs(emotions):
        if emotion < 0:
            keys += [(first, OWN), (last, OWN)] if last > first else [(first, OWN)]
            continue
        for frame in _corners(values[first : last + 1, emotion]):
            shown = min(MAX_STRENGTH, round(float(strength * values[first + frame, emotion]), 2))
            keys.append((first + frame, f"{EMOTIONS[emotion]}:{shown:g}"))
    keys = [
        key
        for number, key in enumerate(keys)
        if number == 0 or not key[1] == keys[number - 1][1] == keys[min(number + 1, len(keys) - 1)][1]
    ]
    lines, unwritten = [], list(words)
    for number, (frame, value) in enumerate(keys):
        following = keys[number + 1][0] / FPS if number + 1 < len(keys) else np.inf
        said = []
        while unwritten and unwritten[0].start < following:
            said.append(unwritten.pop(0).text)
        line = f"{frame / FPS:.2f}s {value}" + (" ease-in-out" if number else "")
        lines.append(line + (f"  # {_comment(said)}" if said else ""))
    return "\n".join(lines)


def _comment(words: Sequence[str]) -> str:
    text = " ".join(" ".join(words).split())
    return text if len(text) <= _COMMENT else f"{text[: _COMMENT - 1].rstrip()}…"


def _runs(emotions: np.ndarray) -> list[tuple[int, int, int]]:
    """First and last frame of each stretch of one emotion; those that are too short count as the one before."""
    runs: list[tuple[int, int, int]] = []
    edges = [0, *(np.flatnonzero(np.diff(emotions)) + 1).tolist(), len(emotions)]
    for first, end in pairwise(edges):
        emotion = int(emotions[first])
        short = end - first < _SHORTEST * FPS
        if runs and (short or runs[-1][2] == emotion):
            runs[-1] = (runs[-1][0], end - 1, runs[-1][2])
        else:
            runs.append((first, end - 1, emotion))
    return runs


def _corners(values: np.ndarray) -> list[int]:
    """Indexes between which lines follow the values (N,): Ramer, Douglas and Peucker."""
    corners, pending = {0, len(values) - 1}, [(0, len(values) - 1)]
    while pending:
        first, last = pending.pop()
        line = np.linspace(values[first], values[last], last - first + 1)
        errors = np.abs(values[first : last + 1] - line)
        worst = int(errors.argmax())
        if errors[worst] > _TOLERANCE:
            corners.add(first + worst)
            pending += [(first, first + worst), (first + worst, last)]
    return sorted(corners)
