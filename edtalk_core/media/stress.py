"""Stress in speech, by its loudness: syllables that are said louder than those around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mel import COLUMNS_PER_SECOND, AudioFeatures
from .pauses import speech_pauses

_SYLLABLE, _AROUND = 0.06, 0.6
"""Seconds: deviations of the Gaussians that smooth loudness over a syllable, and over a few words."""
_APART = 0.55
"""Seconds between two stressed syllables at least: of those that are closer, the weaker one does not count."""
_CLEAR = 0.35
"""Rise above the loudness around, in units of 12.5 dB, from which a syllable is stressed."""
_STRONG = 1.2
"""Rise at which it is fully stressed."""


@dataclass(frozen=True)
class Stress:
    """A stressed syllable."""

    time: float
    """Seconds, of its loudest moment."""
    strength: float
    """How much it is stressed, from 0 to 1."""


def speech_stresses(features: AudioFeatures) -> list[Stress]:
    """Find the stressed syllables of speech, in order: peaks of loudness above that of the words around them."""
    loudness = features.loudness().astype(np.float64)
    times = np.arange(len(loudness)) / COLUMNS_PER_SECOND
    spoken = np.ones(len(loudness))
    for start, end in speech_pauses(features):
        spoken[(times >= start) & (times < end)] = 0
    if np.ptp(loudness) < _CLEAR or not spoken.any():
        return []
    # Silences do not count among the words around: the first word after one would stand out.
    around = _smoothed(loudness * spoken, _AROUND) / np.maximum(_smoothed(spoken, _AROUND), 1e-6)
    rise = np.where(spoken > 0, _smoothed(loudness, _SYLLABLE) - around, -np.inf)
    peaks = np.flatnonzero((rise[1:-1] >= rise[:-2]) & (rise[1:-1] > rise[2:]) & (rise[1:-1] > _CLEAR)) + 1
    chosen: list[int] = []
    for peak in sorted(peaks.tolist(), key=lambda column: -rise[column]):
        if all(abs(peak - other) >= _APART * COLUMNS_PER_SECOND for other in chosen):
            chosen.append(peak)
    return [Stress(float(times[peak]), min(1.0, float(rise[peak]) / _STRONG)) for peak in sorted(chosen)]


def _smoothed(values: np.ndarray, seconds: float) -> np.ndarray:
    """Gaussian over time; the ends are held."""
    reach = round(3 * seconds * COLUMNS_PER_SECOND)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (seconds * COLUMNS_PER_SECOND)) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
