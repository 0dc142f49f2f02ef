"""Nods, and lids that move with them, where speech puts them: at stressed syllables and the ends of phrases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..checks import check_number
from ..errors import MotionError
from ..media.mel import AudioFeatures
from ..media.pauses import speech_pauses
from ..media.stress import speech_stresses
from .bases import Bases
from .motion import FPS, Motion

MAX_NODS = 3.0
"""Largest amount of nods."""

PITCH = "pitch"
"""Name of the pose base that nods; more of it lowers the nose."""


@dataclass(frozen=True)
class _Gesture:
    """What head and lids do at once, along a Gaussian over time."""

    depth: float
    """Change of the pitch's weight, of which a talking head moves 1.8 (see `sources.idle`)."""
    closing: float
    """How far the lids close, in shares of closed; negative: the eyes widen."""
    delay: float
    """Seconds from the loudest moment, or from the end of the phrase, to the middle."""
    width: float
    """Deviation in seconds."""


_STRESS = _Gesture(depth=1.6, closing=-0.1, delay=0.06, width=0.13)
_PHRASE = _Gesture(depth=1.2, closing=0.25, delay=0.15, width=0.25)


def speech_nods(features: AudioFeatures, fps: float = FPS) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far a head nods with speech, and how far lids close: two tensors (T,) at `fps`, as long as the sound.

    The first is in units of the pitch's weight, the second in shares of closed; 0 where nothing is stressed and no
    phrase ends.
    """
    times = np.arange(max(1, round(features.duration * fps))) / fps
    nod, lids = np.zeros(len(times)), np.zeros(len(times))
    moves = [(stress.time, stress.strength, _STRESS) for stress in speech_stresses(features)]
    moves += [(start, 1.0, _PHRASE) for start, _ in speech_pauses(features) if start > 0]  # before 0 there is no phrase
    for time, strength, gesture in moves:
        middle = time + gesture.delay
        first, last = np.searchsorted(times, [middle - 4 * gesture.width, middle + 4 * gesture.width])
        shape = strength * np.exp(-0.5 * ((times[first:last] - middle) / gesture.width) ** 2)
        nod[first:last] += gesture.depth * shape
        lids[first:last] += gesture.closing * shape
    return torch.from_numpy(nod).float(), torch.from_numpy(lids).float()


def add_nods(motion: Motion, nod: torch.Tensor, bases: Bases, amount: float) -> Motion:
    """Add nods to the pose of a motion; its first frame stays.

    Args:
        motion: has a pose track.
        nod: (T,) see `speech_nods`; what is missing at its end is 0.
        bases: names of the model's bases.
        amount: 0 adds nothing, 1 nods as people do, at most 3.

    Raises:
        ArgumentError: an amount out of range.
        MotionError: no pose track, or no base of it is named "pitch".
    """
    check_number(amount, "The amount of nods", low=0, high=MAX_NODS)
    pose = motion.track("pose")
    if not amount:
        return motion
    if PITCH not in bases.pose:
        raise MotionError("This model does not name the base of its pose that nods: leave the nods out.")
    change = torch.zeros_like(pose)
    length = min(len(nod), len(pose))
    change[:length, bases.pose.index(PITCH)] = (nod[:length] - nod[0]).to(pose)
    return motion.with_tracks(pose=pose + amount * change)


def add_lids(motion: Motion, closing: torch.Tensor, bases: Bases, amount: float) -> Motion:
    """Move the lids of a motion's expression with stress and phrases; arguments and errors as in `add_nods`.

    `closing` (T,) is in shares of closed, see `speech_nods`.
    """
    check_number(amount, "The amount of nods", low=0, high=MAX_NODS)
    expression = motion.track("expression")
    if not amount:
        return motion
    if bases.lids is None:
        raise MotionError("This model does not name the base of its lids: leave their movement with the speech out.")
    change = torch.zeros_like(expression)
    length = min(len(closing), len(expression))
    change[:length, bases.lids.base] = (bases.lids.closed * closing[:length]).to(expression)
    return motion.with_tracks(expression=expression + amount * change)
