"""Mel windows of speech at another pace, and as another voice, microphone and room would have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.clips import Clip
from ..media.mel import WINDOW_COLUMNS


def between(rows: NDArray[np.float32], places: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows (N,D) at places (...) between them, linearly; beyond the ends, the ends: (...,D)."""
    places = np.clip(places, 0, len(rows) - 1)
    low = np.floor(places).astype(np.int64)
    share = (places - low)[..., None].astype(np.float32)
    return np.asarray(rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share)


def paced_windows(clip: Clip, frames: NDArray[np.floating[Any]], pace: float) -> NDArray[np.float32]:
    """Mel windows (T,80,16) at places in a clip, in frames of it, of speech that is `pace` times as fast."""
    assert clip.mel is not None
    middle = np.trunc(80 / 25 * (frames - 2)) + WINDOW_COLUMNS / 2
    columns = middle[:, None] + pace * (np.arange(WINDOW_COLUMNS) - WINDOW_COLUMNS / 2)
    return between(clip.mel, columns).transpose(0, 2, 1)


def vary_sound(windows: NDArray[np.float32], rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Mel windows (T,80,16) as another voice, microphone and room would have them.

    Level up to 15 dB up or down, a tilt and slow colouring of the spectrum, pitch (bands moved by up to 5), noise, and
    a masked stretch of bands (SpecAugment). A few hundred seconds of speech are otherwise learned by heart.
    """
    bands = np.arange(80)
    moved = np.clip(bands + strength * rng.uniform(-5, 5), 0, 79)
    low = moved.astype(int)
    share = (moved - low)[None, :, None].astype(np.float32)
    varied = windows[:, low] * (1 - share) + windows[:, np.minimum(low + 1, 79)] * share
    # 8 units are 100 dB.
    colour = rng.uniform(-1.2, 1.2) + rng.uniform(-0.8, 0.8) * (bands / 40 - 1)
    colour = colour + np.interp(bands, np.linspace(0, 79, 6), rng.normal(0, 0.4, 6))
    varied = varied + (strength * colour)[None, :, None]
    varied = np.logaddexp(4 * varied, 4 * rng.uniform(-5, -2.5)) / 4  # A floor of noise swallows what is quiet.
    varied = varied + strength * rng.normal(0, rng.uniform(0, 0.4), varied.shape)
    if rng.random() < 0.5:
        first = int(rng.integers(0, 70))
        varied[:, first : first + int(rng.integers(3, 16))] = varied.mean()
    return np.clip(varied, -4, 4).astype(np.float32)
