"""What the sound of a clip tells about the mouth, by kernel ridge regression. Some minutes of speech suffice for it.

Measured on people it has not seen, it hears mouths better than a network that was trained on the same clips alone,
which learns them by heart. So it tells which clips have their sound early or late, and teaches the network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger("edtalk")

Lips = NDArray[np.floating[Any]]

MOST_LATE = 6
"""Frames by which sound may be early or late: more than that and the clip's sound is of something else."""
IN_STEP = 0.004
"""Correlation that one frame out of step must gain; k frames, k^2 times that."""
KERNEL_POINTS = 1000
RIDGE = 3.0
FOLDS = 8
ROUNDS = 3
BANDS, COLUMNS = 20, 8
"""What a mel window is averaged to: formants count, and harmonics do not."""


def coarse(windows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Mel windows (...,80,16), averaged: (...,160)."""
    lead = windows.shape[:-2]
    blocks = windows.reshape(*lead, BANDS, windows.shape[-2] // BANDS, COLUMNS, windows.shape[-1] // COLUMNS)
    return np.asarray(blocks.mean(axis=(-3, -1), dtype=np.float64).reshape(*lead, BANDS * COLUMNS))


class HeardMouth:
    """Kernel ridge regression (Gaussian kernel, Nystroem's approximation) from mel windows to lip weights."""

    def __init__(self, windows: NDArray[np.floating[Any]], lips: Lips, points: int = KERNEL_POINTS) -> None:
        """Learn from mel windows (N,80,16), or what `coarse` makes of them (N,160), and lip weights (N,lip)."""
        from sklearn.kernel_approximation import Nystroem
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline

        heard = coarse(windows) if windows.ndim == 3 else windows
        self._mean, self._scale = heard.mean(axis=0), heard.std(axis=0).mean() + 1e-6
        self._regression = make_pipeline(
            Nystroem(gamma=1 / heard.shape[1], n_components=min(points, len(heard)), random_state=0),
            Ridge(alpha=RIDGE),
        ).fit((heard - self._mean) / self._scale, lips)

    def __call__(self, windows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Lip weights (N,lip) heard in mel windows (N,80,16), or in what `coarse` makes of them (N,160)."""
        heard = coarse(windows) if windows.ndim == 3 else windows
        return np.asarray(self._regression.predict((heard - self._mean) / self._scale), np.float32)


def paired(sound: Lips, mouth: Lips, offset: int) -> tuple[Lips, Lips]:
    """The frames of both that belong together when the mouth comes `offset` frames after the sound."""
    length = min(len(sound), len(mouth)) - abs(offset)
    first = max(0, -offset)
    return sound[first : first + length], mouth[first + offset : first + offset + length]


def agreement(one: Lips, other: Lips) -> float:
    """Correlation of two courses (T,lip), about their means, over all weights together."""
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale else 0.0


class Heard:
    """What is heard in clips of several people, each judged by what was learned from the others.

    `offsets`: for each clip, by how many frames the mouth comes after the sound, from -MOST_LATE to MOST_LATE; in step
    is where mouths agree best with what is heard when all clips are left as they are.
    `agreement`: correlation of heard and true weights, mean over clips,
    at these offsets. `spread`: by how much true weights vary, over that of heard ones (a regression moves less).
    """

    def __init__(self, windows: Sequence[NDArray[np.floating[Any]]], lips: Sequence[Lips], people: Sequence[str]):
        """Mel windows (T,80,16) and lip weights (T,lip) of each clip, and who speaks.

        Clips of one person alone cannot be judged: they are taken to be in step, and the spread is 1.
        """
        sounds = [coarse(one) for one in windows]
        mouths = [one - one.mean(axis=0) for one in lips]
        mean = np.mean([one.mean(axis=0) for one in lips], axis=0)
        self.offsets = [0] * len(sounds)
        self.agreement, self.spread = float("nan"), 1.0
        names = sorted(set(people))
        if len(names) > 1:
            folds = [set(names[k::FOLDS]) for k in range(min(FOLDS, len(names)))]
            for _ in range(ROUNDS):
                heard = self._of_others(sounds, mouths, people, folds)
                self.offsets = _offsets(heard, mouths)
            pairs = [paired(*one) for one in zip(heard, mouths, self.offsets, strict=True)]
            self.agreement = float(np.mean([agreement(*pair) for pair in pairs]))
            told, true = (np.concatenate([one - one.mean(axis=0) for one in kind]) for kind in zip(*pairs, strict=True))
            self.spread = float(np.sqrt(true.var(axis=0).sum() / max(told.var(axis=0).sum(), 1e-12)))
        self._mouth = self._learn(sounds, mouths, range(len(sounds)), KERNEL_POINTS)
        self._mean = mean

    def _learn(self, sounds: Sequence[Lips], mouths: Sequence[Lips], which: Sequence[int], points: int) -> HeardMouth:
        pairs = [paired(sounds[i], mouths[i], self.offsets[i]) for i in which]
        windows, lips = (np.concatenate(kind) for kind in zip(*pairs, strict=True))
        return HeardMouth(windows, lips, points)

    def _of_others(
        self, sounds: Sequence[Lips], mouths: Sequence[Lips], people: Sequence[str], folds: Sequence[set[str]]
    ) -> list[Lips]:
        heard: dict[int, Lips] = {}
        for fold in folds:
            learn = [i for i, person in enumerate(people) if person not in fold]
            mouth = self._learn(sounds, mouths, learn, KERNEL_POINTS // 2)
            heard |= {i: mouth(sounds[i]) for i, person in enumerate(people) if person in fold}
        return [heard[i] for i in range(len(people))]

    def __call__(self, windows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Lip weights (N,lip) heard in mel windows (N,80,16), as far from the mean mouth as real ones are."""
        return np.asarray(self._mean + self.spread * self._mouth(windows), np.float32)


def _offsets(heard: Sequence[Lips], mouths: Sequence[Lips]) -> list[int]:
    lags = np.arange(-MOST_LATE, MOST_LATE + 1)
    agreements = np.array(
        [
            [agreement(*paired(*pair, int(lag))) if 4 * abs(lag) <= len(pair[1]) else -1.0 for lag in lags]
            for pair in zip(heard, mouths, strict=True)
        ]
    )
    common = lags[agreements.mean(axis=0).argmax()]
    own = lags[(agreements - IN_STEP * (lags - common) ** 2).argmax(axis=1)]
    return [int(offset) for offset in np.clip(own - common, -MOST_LATE, MOST_LATE)]
