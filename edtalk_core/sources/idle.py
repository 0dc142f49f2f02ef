"""Idle head motion without a video or a pose flow: slow, small, smooth random movement about a pose."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..checks import check_number, check_seed
from ..motion.length import length_of_duration
from ..motion.motion import FPS, Motion
from ..motion.operations import hold

TALKING = (1.9, 1.4, 0.4, 2.0, 1.2, 1.8)
"""Movement of the pose weights of a talking head: x, y, size, roll, yaw and pitch as in the demo model.

Standard deviation within a clip, the median of 35 clips of talking people, of the landmarks' pose in the units of
`data.landmark_motion`. The meaning of another model's bases is unknown, but its weights spread alike.
"""

SHARE = 0.3
"""Share of TALKING by which an idle head moves; chosen by eye."""

SLOW, FAST = 2.5, 0.5
"""Seconds. The movement is noise between two Gaussian filters of these deviations: periods of 2 to 11 s have
nine tenths of its power, a calm breath of 4 s is in their middle. Talking heads move mostly below 0.5 Hz too."""


def idle_motion(
    anchor: Motion,
    duration: float,
    *,
    seed: int = 0,
    amount: float = 1.0,
    loop: bool = False,
    fps: float = FPS,
) -> Motion:
    """Return an idle pose track, drifting slowly about the anchor: band-limited Gaussian noise.

    It starts exactly at the anchor and stays around it. Without `loop`, a longer motion begins with the shorter one.

    Args:
        anchor: the motion in whose first pose the head starts (`Portrait.own`).
        duration: seconds; the motion has round(duration * fps) frames, at least 1.
        seed: the same seed gives the same motion, on every machine.
        amount: 0 holds the pose exactly, 1 is an idle head, about 3 moves as far as a talking head.
        loop: whether the end leads into the start, so that it can be repeated without a jump. A loop of less than
            about 3 s hardly moves: it has no room for anything slow.
        fps: frames a second.

    Returns:
        A motion with a pose track.

    Raises:
        ArgumentError: a number out of range.
        MotionError: the anchor has no pose, or the frame rate is out of range.
    """
    check_seed(seed)
    check_number(amount, "The amount", low=0)
    first = Motion(pose=anchor.track("pose")[:1], fps=fps)
    still = hold(first, length_of_duration(duration, fps).frames)
    frames, bases = still.track("pose").shape
    spread = torch.tensor(TALKING if bases == len(TALKING) else [sum(TALKING) / len(TALKING)] * bases)

    reach = math.ceil(4 * SLOW * fps)
    seconds = torch.arange(-reach, reach + 1, dtype=torch.float64) / fps
    fast, slow = (torch.exp(-0.5 * (seconds / deviation) ** 2) for deviation in (FAST, SLOW))
    kernel = fast / fast.sum() - slow / slow.sum()
    kernel /= kernel.norm()

    # The noise is periodic: for a loop its period is the length, else it is so long that the ends do not meet.
    start = 0 if loop else reach
    period = frames + 2 * start
    spectrum = torch.fft.rfft(
        torch.zeros(period, dtype=torch.float64).index_add_(0, torch.arange(-reach, reach + 1) % period, kernel)
    )
    noise = torch.from_numpy(np.random.default_rng(int(seed)).standard_normal((period, bases)))
    drift = torch.fft.irfft(spectrum[:, None] * torch.fft.rfft(noise, dim=0), n=period, dim=0)[start : start + frames]
    # Condition the noise on being zero in the first frame; subtracting its value would leave a constant offset.
    autocorrelation = torch.fft.irfft(spectrum.abs() ** 2, n=period)[:frames, None]
    drift = drift - autocorrelation / autocorrelation[0].clamp(min=1e-30) * drift[0]
    return Motion(pose=still.track("pose") + amount * SHARE * spread * drift, fps=fps)
