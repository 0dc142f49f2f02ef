"""Expressions measured with the 3D face: the amount of each named base in a face.

The principal components of `LandmarkMotion` have no names; these weights mean "brows down" or "smile", as do those of
warped pictures (`expression_warp`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..errors import ArgumentError
from ..face.expression_warp import LIDS, UNIT
from ..face.face_model import EXPRESSION_BASES, fit_face
from ..face.landmarks import MIRRORED
from ..motion.bases import Bases, Lids
from .clips import Clip
from .landmark_motion import Array, LandmarkMotion

EMOTIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "angry": {"brows down": 1.6, "squint": 0.5, "sneer": 1.2, "frown": 0.8, "stretch": 0.8, "lids": -0.7},
    "contempt": {"corner": 1.0, "squint": 0.3, "lids": 0.2},
    "disgusted": {"sneer": 1.8, "brows down": 0.7, "squint": 0.6, "frown": 1.4, "lids": 0.3},
    "fear": {"inner brows": 1.6, "outer brows": 0.4, "brows down": 0.6, "lids": -1.8, "stretch": 1.4, "frown": 0.6},
    "happy": {"smile": 1.4, "squint": 1.1},
    "sad": {"inner brows": 1.7, "brows down": 0.8, "frown": 1.7, "squint": 0.3, "lids": 0.2},
    "surprised": {"inner brows": 1.2, "outer brows": 1.3, "lids": -1.5, "stretch": -0.8, "smile": -0.4},
}
"""The emotions of the paper as amounts of EXPRESSION_BASES."""

SHUT = 1.4
"""Amount of the base "lids" that closes the eyes: a trained generator moves them less far than the 3D face, in which 1
does. From about 2 on its eyes tear."""

_MOUTH_BASES = np.array([name in ("smile", "frown", "corner", "stretch", "sneer") for name in EXPRESSION_BASES])
"""Mask (10,) of the mouth's bases. Their changes from frame to frame are speech, which lip weights express."""
_PIXELS = 128.0
"""Factor from landmarks in [-1,1] to pixels, up to a shift."""
_FRAMES = 24
"""Frames of each clip that the identity and the neutral face are fitted to."""


def emotion_presets(strength: float = 1.0) -> dict[str, tuple[float, ...]]:
    """Emotion -> expression weights (10) of EMOTIONS, for a model trained with FaceMotion."""
    return {
        emotion: tuple(round(float(weight), 3) for weight in strength * UNIT * emotion_amounts(emotion))
        for emotion in sorted(EMOTIONS)
    }


def emotion_amounts(emotion: str) -> Array:
    """Amounts (10,) of EXPRESSION_BASES in one of EMOTIONS."""
    return np.array([EMOTIONS[emotion].get(base, 0.0) for base in EXPRESSION_BASES])


@dataclass(frozen=True)
class _Person:
    """Identity and expression statistics of a clip's person, mirrored or not."""

    identity: Array
    """Weights of the face model's identities."""
    neutral: Array
    """Amounts (10,) without an emotion: those of the person's neutral clips or, without any, of the clip itself."""
    mean: Array
    """Amounts (10,) over the clip."""


class FaceMotion(LandmarkMotion):
    """As LandmarkMotion, with expression weights for EXPRESSION_BASES: a weight of UNIT is an amount of 1.

    Brows and lids are measured per frame; the mouth, which speech moves, by its mean over the clip. All are relative to
    the person's neutral face. Raises ArgumentError for an expression bank of another size.
    """

    BASES: ClassVar[Bases] = replace(
        LandmarkMotion.BASES, expression=tuple(EXPRESSION_BASES), lids=Lids(LIDS, closed=round(SHUT * UNIT, 3))
    )

    def __init__(self, clips: Iterable[Clip], lip: int, expression: int) -> None:
        clips = list(clips)
        if expression != len(EXPRESSION_BASES):
            raise ArgumentError(
                f"The 3D face measures {len(EXPRESSION_BASES)} expression bases ({', '.join(EXPRESSION_BASES)}), "
                f"and the model has {expression}. Measure expressions by landmarks, or start with as many bases."
            )
        super().__init__(clips, lip, expression)
        self._people: dict[tuple[str, bool], _Person] = {}
        self._fit_people(clips)

    def add(self, clips: Iterable[Clip]) -> None:
        """Fit further clips as well, see `LandmarkMotion.add`."""
        clips = list(clips)
        super().add(clips)
        self._fit_people(clips)

    def _fit_people(self, clips: list[Clip]) -> None:
        people: dict[str, list[Clip]] = {}
        for clip in clips:
            people.setdefault(clip.info.person, []).append(clip)
        for person_clips in people.values():
            for mirrored in (False, True):
                self._fit_person(person_clips, mirrored)

    def _fit_person(self, clips: list[Clip], mirrored: bool) -> None:
        """Fit the clips of one person, mirrored or not."""
        pictures = []
        for clip in clips:
            points = clip.points[np.unique(np.linspace(0, len(clip) - 1, _FRAMES).astype(int))]
            pictures.append(mirror(points) if mirrored else points)
        fit = fit_face(np.concatenate(pictures) * _PIXELS)
        amounts = fit.weights[:, : len(EXPRESSION_BASES)]
        means = [part.mean(axis=0) for part in np.split(amounts, np.cumsum([len(part) for part in pictures])[:-1])]
        neutral_means = [mean for clip, mean in zip(clips, means, strict=True) if clip.info.emotion == "neutral"]
        for clip, mean in zip(clips, means, strict=True):
            neutral = np.mean(neutral_means or [mean], axis=0)
            self._people[clip.info.name, mirrored] = _Person(fit.identity, neutral, mean)

    def expression(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> expression weights (T,10)."""
        person = self._people[clip, mirrored]
        amounts = fit_face(points * _PIXELS, identity=person.identity).weights[:, : len(EXPRESSION_BASES)]
        return UNIT * (np.where(_MOUTH_BASES, person.mean, amounts) - person.neutral)


def mirror(points: Array) -> Array:
    """Landmarks (T,68,2) in [-1,1] of the mirrored picture."""
    return points[:, MIRRORED] * [-1, 1]
