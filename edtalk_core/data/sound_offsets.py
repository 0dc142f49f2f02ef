"""Which clips have their sound early or late: told by how well their mouths agree with what is heard.

Videos that were cut, converted and cut again are often some frames out of step. Mouths are heard by kernel ridge
regression, which some minutes of other people's speech suffice for; a network would learn them by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .correlation import correlation

Lips = NDArray[np.floating[Any]]

MOST_LATE = 6
"""Frames by which sound may be early or late: more than that and the clip's sound is of something else."""
IN_STEP = 0.004
"""Correlation that one frame out of step must gain; k frames, k^2 times that."""
KERNEL_POINTS = 500
RIDGE = 3.0
FOLDS = 8
ROUNDS = 3
BANDS, COLUMNS = 20, 8
"""Size of an averaged mel window: formants count, and harmonics do not."""


def coarse(windows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Mel windows (...,80,16), averaged: (...,160)."""
    lead = windows.shape[:-2]
    blocks = windows.reshape(*lead, BANDS, windows.shape[-2] // BANDS, COLUMNS, windows.shape[-1] // COLUMNS)
    return np.asarray(blocks.mean(axis=(-3, -1), dtype=np.float64).reshape(*lead, BANDS * COLUMNS))


def hearing(sounds: NDArray[np.float64], lips: Lips) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Kernel ridge regression (Gaussian kernel, Nystroem's approximation) from sound to mouth.

    Learned from mel windows as `coarse` makes them (N,160), and lip weights (N,lip). Returns a function that predicts
    lip weights from sound.
    """
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    mean, scale = sounds.mean(axis=0), sounds.std(axis=0).mean() + 1e-6
    regression = make_pipeline(
        Nystroem(gamma=1 / sounds.shape[1], n_components=min(KERNEL_POINTS, len(sounds)), random_state=0),
        Ridge(alpha=RIDGE),
    ).fit((sounds - mean) / scale, lips)
    return lambda heard: np.asarray(regression.predict((heard - mean) / scale))


def paired(sound: Lips, mouth: Lips, offset: int) -> tuple[Lips, Lips]:
    """The frames of both that belong together when the mouth comes `offset` frames after the sound."""
    length = min(len(sound), len(mouth)) - abs(offset)
    first = max(0, -offset)
    return sound[first : first + length], mouth[first + offset : first + offset + length]


def sound_offsets(
    windows: Sequence[NDArray[np.floating[Any]]], lips: Sequence[Lips], people: Sequence[str]
) -> tuple[list[int], float]:
    """For each clip, by how many frames the mouth comes after the sound, from -MOST_LATE to MOST_LATE.

    Of each clip: mel windows (T,80,16), lip weights (T,lip) and who speaks. What is heard in a clip is learned from the
    other people's. In step is where mouths agree best with what is heard when all clips are left as they are. Also
    returns the correlation of heard and true weights, mean over clips, at these offsets. Clips of one person alone
    cannot be judged: they are taken to be in step, and the correlation is nan.
    """
    sounds = [coarse(one) for one in windows]
    mouths = [one - one.mean(axis=0) for one in lips]
    offsets = [0] * len(sounds)
    names = sorted(set(people))
    if len(names) < 2:
        return offsets, float("nan")
    folds = [set(names[k::FOLDS]) for k in range(min(FOLDS, len(names)))]
    heard: dict[int, Lips] = {}
    for _ in range(ROUNDS):
        for fold in folds:
            pairs = [paired(sounds[i], mouths[i], offsets[i]) for i, person in enumerate(people) if person not in fold]
            mouth = hearing(*(np.concatenate(kind) for kind in zip(*pairs, strict=True)))
            heard |= {i: mouth(sounds[i]) for i, person in enumerate(people) if person in fold}
        offsets = _offsets([heard[i] for i in range(len(people))], mouths)
    agreements = [correlation(*paired(heard[i], mouths[i], offset)) for i, offset in enumerate(offsets)]
    return offsets, float(np.mean(agreements))


def _offsets(heard: Sequence[Lips], mouths: Sequence[Lips]) -> list[int]:
    lags = np.arange(-MOST_LATE, MOST_LATE + 1)
    agreements = np.array(
        [
            [correlation(*paired(*pair, int(lag))) if 4 * abs(lag) <= len(pair[1]) else -1.0 for lag in lags]
            for pair in zip(heard, mouths, strict=True)
        ]
    )
    common = lags[agreements.mean(axis=0).argmax()]
    own = lags[(agreements - IN_STEP * (lags - common) ** 2).argmax(axis=1)]
    return [int(offset) for offset in np.clip(own - common, -MOST_LATE, MOST_LATE)]
