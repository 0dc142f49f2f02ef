"""Pauses in speech, by its loudness."""

from __future__ import annotations

import numpy as np

from .mel import COLUMNS_PER_SECOND, AudioFeatures

Pause = tuple[float, float]
"""Start and end of a silence between or after words, seconds."""

_SMOOTHING = 9
"""Mel columns over which loudness is averaged."""
_QUIET = 0.4
"""Loudness, between that of the background (0) and of speech (1), below which nobody speaks."""
_CONTRAST = 0.8
"""Smallest difference between speech and background, in units of the mel spectrogram of 12.5 dB each."""
_SHORTEST_PAUSE = 0.2
"""Seconds; the closures of plosives are shorter."""


def speech_pauses(features: AudioFeatures) -> list[Pause]:
    """Find the silences in speech of at least 0.2 s: start and end of each, seconds.

    Loudness is compared with that of the background and of the speech itself. A sound without any contrast has none.
    """
    loudness = features.loudness()
    kernel = np.ones(_SMOOTHING) / _SMOOTHING
    loudness = np.convolve(np.pad(loudness, _SMOOTHING // 2, mode="edge"), kernel, mode="valid")
    background, speech = np.percentile(loudness, [5, 90])
    if speech - background < _CONTRAST:
        return []
    quiet = loudness < background + _QUIET * (speech - background)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    times = (edges / COLUMNS_PER_SECOND).reshape(-1, 2).tolist()
    return [(start, end) for start, end in times if end - start >= _SHORTEST_PAUSE]
