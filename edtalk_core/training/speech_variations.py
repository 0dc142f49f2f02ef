"""Augmentation of speech: mel windows at another pace, and as from another voice, microphone and room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.mel import WINDOW_COLUMNS


def interpolate_rows(rows: NDArray[np.float32], positions: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Interpolate rows (N,D) linearly at fractional indexes (...), clamped to the ends: (...,D)."""
    positions = np.clip(positions, 0, len(rows) - 1)
    low = np.floor(positions).astype(np.int64)
    share = (positions - low)[..., None].astype(np.float32)
    return np.asarray(rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share)


def paced_windows(mel: NDArray[np.float32], frames: NDArray[np.floating[Any]], pace: float) -> NDArray[np.float32]:
    """Mel windows (T,80,16) at fractional frames of a mel spectrogram (columns,80), speech `pace` times as fast."""
    middle = np.trunc(80 / 25 * (frames - 2)) + WINDOW_COLUMNS / 2
    columns = middle[:, None] + pace * (np.arange(WINDOW_COLUMNS) - WINDOW_COLUMNS / 2)
    return interpolate_rows(mel, columns).transpose(0, 2, 1)


def augment_sound(windows: NDArray[np.float32], rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Augment mel windows (T,80,16) as if from another voice, microphone and room.

    Up to 15 dB louder or 30 dB quieter (recordings are far more often too quiet than too loud), a tilt and smooth
    colouring of the spectrum, pitch (shifts by up to 5 bands), noise, and a masked range of bands (SpecAugment).
    Without it, a network overfits a few hundred seconds of speech.
    """
    bands = np.arange(80)
    shifted = np.clip(bands + strength * rng.uniform(-5, 5), 0, 79)
    low = shifted.astype(int)
    share = (shifted - low)[None, :, None].astype(np.float32)
    varied = windows[:, low] * (1 - share) + windows[:, np.minimum(low + 1, 79)] * share
    # 8 units are 100 dB.
    colour = rng.uniform(-2.4, 1.2) + rng.uniform(-0.8, 0.8) * (bands / 40 - 1)
    colour = colour + np.interp(bands, np.linspace(0, 79, 6), rng.normal(0, 0.4, 6))
    varied = varied + (strength * colour)[None, :, None]
    varied = np.logaddexp(4 * varied, 4 * rng.uniform(-5, -2.5)) / 4  # A noise floor masks quiet sounds.
    varied = varied + strength * rng.normal(0, rng.uniform(0, 0.4), varied.shape)
    if rng.random() < 0.5:
        first = int(rng.integers(0, 70))
        varied[:, first : first + int(rng.integers(3, 16))] = varied.mean()
    return np.clip(varied, -4, 4).astype(np.float32)
