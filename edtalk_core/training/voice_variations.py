"""Random variations of the mel spectrogram of a voice: pace, pitch, room, level, noise and music behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..media.mel import MEL_BANDS
from ..networks.speech_emotion import WINDOW_COLUMNS

_UNITS_PER_DECADE = 20 / 12.5
"""Units of the mel spectrogram, of 12.5 dB, in a factor of ten of an amplitude."""
_LOUD = 85
"""Percentile of the loudness that is taken for the level of a sound."""
_PACE, _PITCH, _ROOM = 0.08, 0.05, 0.35
"""Deviations of the logarithms of pace and pitch, and of the terms of a random equaliser in units of 12.5 dB."""
_NARROW_SHARE, _NARROW_BANDS = 0.25, (58, 76)
"""Share of voices that lack the high bands, as over a telephone, and the first band that they lack: 3 to 6.5 kHz."""
_NOISE_SHARE, _NOISE_BELOW = 0.4, (0.5, 3.0)
"""Share of voices with a sound behind them, and how far its level is below theirs, in units of 12.5 dB."""


def varied_voice(
    mel: np.ndarray, backgrounds: Sequence[np.ndarray], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Vary a voice (columns,80): pace, pitch, room, high bands, noise or music behind it. 0 changes nothing."""
    if not strength:
        return mel
    mel = _warped(mel, math.exp(_PACE * strength * rng.normal()), math.exp(_PITCH * strength * rng.normal()))
    mel = mel + strength * _ROOM * _equaliser(rng)
    if rng.random() < _NARROW_SHARE:
        first = int(rng.integers(*_NARROW_BANDS))
        mel[:, first:] -= 4 * np.minimum(1, np.arange(MEL_BANDS - first) / 5)
    if rng.random() < _NOISE_SHARE:
        noise = no_voice(len(mel), backgrounds, rng)
        below = rng.uniform(*_NOISE_BELOW) / strength
        mel = add_sounds(mel, noise - _level(noise) + _level(mel) - below)
    return (mel + rng.uniform(-1.5, 0.5) * strength).clip(-4, 4).astype(np.float32)


def add_sounds(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mel spectrogram of two sounds at the same time, whose powers add."""
    power = 2 / _UNITS_PER_DECADE
    return np.log10(10 ** (first * power) + 10 ** (second * power)) / power


def no_voice(columns: int, backgrounds: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Make the mel spectrogram (columns,80) of a sound in which nobody speaks.

    A piece of one of the backgrounds, coloured noise, or chords that follow each other.
    """
    kind = rng.random()
    if backgrounds and kind < 0.4:
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        start = int(rng.integers(max(1, len(background) - columns + 1)))
        piece = background[start : start + columns]
        return np.pad(piece, ((0, columns - len(piece)), (0, 0)), mode="wrap")
    noise = rng.normal(size=(columns, MEL_BANDS)) * 0.35 + np.linspace(0, rng.normal(), MEL_BANDS)[None]
    if kind < 0.75:
        return noise
    chords = noise - 2
    start = 0
    while start < columns:
        stop = start + int(rng.integers(15, 90))
        for note in rng.uniform(3, 25, size=int(rng.integers(1, 5))):
            for harmonic in range(1, 6):
                band = int(note * harmonic)
                if band < MEL_BANDS:
                    decay = np.linspace(0, -1.5 * rng.random(), columns)[: min(stop, columns) - start]
                    piece = chords[start:stop, band]
                    chords[start:stop, band] = np.maximum(piece, 1.5 - 0.3 * harmonic + decay)
        start = stop
    return chords


def window_of(mel: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Cut a window of WINDOW_COLUMNS out of a sound: at random, or the middle without a generator.

    A shorter sound is continued on both sides by its background.
    """
    missing = WINDOW_COLUMNS - len(mel)
    if missing > 0:
        before = missing // 2 if rng is None else int(rng.integers(missing + 1))
        background = np.percentile(mel, 5, axis=0, keepdims=True).astype(np.float32)
        silence = [np.repeat(background, count, axis=0) for count in (before, missing - before)]
        return np.concatenate([silence[0], mel, silence[1]])
    start = -missing // 2 if rng is None else int(rng.integers(-missing + 1))
    return mel[start : start + WINDOW_COLUMNS]


def _warped(mel: np.ndarray, pace: float, pitch: float) -> np.ndarray:
    """A voice at another pace and pitch; its formants move with the pitch."""
    times = np.linspace(0, len(mel) - 1, max(2, round(len(mel) / pace)))
    before = np.floor(times).astype(int).clip(0, max(0, len(mel) - 2))
    share = (times - before)[:, None]
    mel = mel[before] * (1 - share) + mel[np.minimum(before + 1, len(mel) - 1)] * share
    bands = (np.arange(MEL_BANDS) / pitch).clip(0, MEL_BANDS - 1.001)
    below = bands.astype(int)
    return mel[:, below] * (1 - (bands - below)) + mel[:, below + 1] * (bands - below)


def _equaliser(rng: np.random.Generator) -> np.ndarray:
    """Random smooth gains of the bands (80,) of unit deviation a term."""
    angles = np.arange(MEL_BANDS) / MEL_BANDS * math.pi
    return sum(
        (gain * np.cos((term + 1) * angles) for term, gain in enumerate(rng.normal(size=4))), np.zeros(MEL_BANDS)
    )


def _level(mel: np.ndarray) -> float:
    return float(np.percentile(mel.mean(axis=1), _LOUD))
