"""Estimates audio-video offsets of clips, by the correlation between lips predicted from the sound and the real ones.

Videos that were edited and converted repeatedly are often some frames out of sync. The lips are predicted by kernel
ridge regression, for which some minutes of other people's speech suffice; a network would overfit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .correlation import correlation

Lips = NDArray[np.floating[Any]]

MAX_OFFSET = 6
"""Largest offset of the sound in frames; beyond it, it is more likely not the sound of the picture at all."""
OFFSET_PENALTY = 0.004
"""Gain in correlation that an offset of one frame must bring; k frames, k^2 times that."""
KERNEL_POINTS = 500
RIDGE = 3.0
FOLDS = 8
ROUNDS = 3
BANDS, COLUMNS = 20, 8
"""Size of an averaged mel window, coarse enough to keep formants and drop harmonics."""


def average_windows(windows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Average mel windows (...,80,16) over blocks of bands and columns: (...,160)."""
    lead = windows.shape[:-2]
    blocks = windows.reshape(*lead, BANDS, windows.shape[-2] // BANDS, COLUMNS, windows.shape[-1] // COLUMNS)
    return np.asarray(blocks.mean(axis=(-3, -1), dtype=np.float64).reshape(*lead, BANDS * COLUMNS))


def fit_lip_regression(sounds: NDArray[np.float64], lips: Lips) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Fit a kernel ridge regression (Gaussian kernel, Nystroem approximation) from sound to lip weights.

    `sounds`: results of `average_windows` (N,160); `lips`: lip weights (N,lip). Returns a function that predicts lip
    weights from sound.
    """
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    mean, scale = sounds.mean(axis=0), sounds.std(axis=0).mean() + 1e-6
    regression = make_pipeline(
        Nystroem(gamma=1 / sounds.shape[1], n_components=min(KERNEL_POINTS, len(sounds)), random_state=0),
        Ridge(alpha=RIDGE),
    ).fit((sounds - mean) / scale, lips)
    return lambda queries: np.asarray(regression.predict((queries - mean) / scale))


def align_series(sound: Lips, mouth: Lips, offset: int) -> tuple[Lips, Lips]:
    """Matching frames of both when the mouth is `offset` frames behind the sound."""
    length = min(len(sound), len(mouth)) - abs(offset)
    first = max(0, -offset)
    return sound[first : first + length], mouth[first + offset : first + offset + length]


def sound_offsets(
    windows: Sequence[NDArray[np.floating[Any]]], lips: Sequence[Lips], people: Sequence[str]
) -> tuple[list[int], float]:
    """Estimate for each clip how many frames the mouth is behind the sound, from -MAX_OFFSET to MAX_OFFSET.

    Arguments have one entry per clip: mel windows (T,80,16), lip weights (T,lip), speaker. The lips of a clip are
    predicted by a regression on other people's clips; offsets are relative to the one at which the predictions of all
    clips correlate best. Also returns the correlation of predicted and true weights at these offsets, mean over clips.
    With a single speaker, all offsets are 0 and the correlation is nan.
    """
    sounds = [average_windows(clip_windows) for clip_windows in windows]
    mouths = [weights - weights.mean(axis=0) for weights in lips]
    offsets = [0] * len(sounds)
    names = sorted(set(people))
    if len(names) < 2:
        return offsets, float("nan")
    folds = [set(names[k::FOLDS]) for k in range(min(FOLDS, len(names)))]
    predicted: dict[int, Lips] = {}
    for _ in range(ROUNDS):
        for fold in folds:
            pairs = [
                align_series(sounds[i], mouths[i], offsets[i]) for i, person in enumerate(people) if person not in fold
            ]
            predict = fit_lip_regression(*(np.concatenate(series) for series in zip(*pairs, strict=True)))
            predicted |= {i: predict(sounds[i]) for i, person in enumerate(people) if person in fold}
        offsets = _best_offsets([predicted[i] for i in range(len(people))], mouths)
    correlations = [correlation(*align_series(predicted[i], mouths[i], offset)) for i, offset in enumerate(offsets)]
    return offsets, float(np.mean(correlations))


def _best_offsets(predicted: Sequence[Lips], mouths: Sequence[Lips]) -> list[int]:
    lags = np.arange(-MAX_OFFSET, MAX_OFFSET + 1)
    correlations = np.array(
        [
            [correlation(*align_series(*pair, int(lag))) if 4 * abs(lag) <= len(pair[1]) else -1.0 for lag in lags]
            for pair in zip(predicted, mouths, strict=True)
        ]
    )
    common = lags[correlations.mean(axis=0).argmax()]
    own = lags[(correlations - OFFSET_PENALTY * (lags - common) ** 2).argmax(axis=1)]
    return [int(offset) for offset in np.clip(own - common, -MAX_OFFSET, MAX_OFFSET)]
