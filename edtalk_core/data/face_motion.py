"""Expressions measured with the 3D face: how much of each named base a face shows.

Where `LandmarkMotion` finds principal components, whose names an artist has to guess, these weights say "brows down" or
"smile"; what pictures of people are warped by (`expression_warp`) is told in the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..face.landmarks import MIRRORED
from .clips import Clip
from .expression_warp import UNIT
from .face_model import EXPRESSION_BASES, fit_face
from .landmark_motion import Array, LandmarkMotion

EMOTIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "angry": {"brows down": 1.4, "squint": 0.7, "sneer": 0.5, "frown": 0.6, "lids": -0.2},
    "contempt": {"corner": 1.1, "squint": 0.25, "lids": 0.2},
    "disgusted": {"sneer": 1.3, "brows down": 0.6, "squint": 0.6, "frown": 1.2},
    "fear": {"inner brows": 1.2, "outer brows": 0.3, "brows down": 0.5, "lids": -1.4, "stretch": 1.0, "frown": 0.2},
    "happy": {"smile": 1.1, "squint": 0.9},
    "sad": {"inner brows": 1.4, "brows down": 0.7, "frown": 1.2, "squint": 0.2, "lids": 0.15},
    "surprised": {"inner brows": 1.1, "outer brows": 1.2, "lids": -1.6},
}
"""The emotions of the paper as amounts of EXPRESSION_BASES."""

_OF_THE_CLIP = np.array([name in ("smile", "frown", "corner", "stretch", "sneer") for name in EXPRESSION_BASES])
"""Bases of the mouth: what speech does to them from frame to frame is the lip weights'."""
_PIXELS = 128.0
"""By which landmarks in [-1,1] are multiplied to be pixels, but for a shift."""
_FRAMES = 24
"""Of each clip that tell who is seen and how the face is when calm."""


def emotion_presets(strength: float = 1.0) -> dict[str, tuple[float, ...]]:
    """Emotion -> expression weights (10) of EMOTIONS, for a model that was taught with FaceMotion."""
    return {
        emotion: tuple(round(float(weight), 3) for weight in strength * UNIT * amounts_of(emotion))
        for emotion in EMOTIONS
    }


def amounts_of(emotion: str) -> Array:
    """Amounts (10,) of EXPRESSION_BASES in one of EMOTIONS."""
    return np.array([EMOTIONS[emotion].get(base, 0.0) for base in EXPRESSION_BASES])


@dataclass(frozen=True)
class _Person:
    """What is known of a clip's person, from one side of the mirror."""

    identity: Array
    """Weights of the face model's identities."""
    calm: Array
    """Amounts (10,) without an emotion: those of the person's neutral clips or, without any, of the clip itself."""
    mean: Array
    """Amounts (10,) over the clip."""


class FaceMotion(LandmarkMotion):
    """As LandmarkMotion, with expression weights of the bases of EXPRESSION_BASES: UNIT stands for an amount of 1.

    Brows and lids count frame by frame; the mouth, which speech moves, by its mean over the clip. All are told from the
    person's calm face. Raises ArgumentError for a bank of another number of bases.
    """

    def __init__(self, clips: Iterable[Clip], lip: int, expression: int) -> None:
        clips = list(clips)
        if expression != len(EXPRESSION_BASES):
            raise ArgumentError(
                f"The 3D face tells {len(EXPRESSION_BASES)} expression bases apart ({', '.join(EXPRESSION_BASES)}), "
                f"and the model has {expression}. Measure expressions by landmarks, or start with as many bases."
            )
        super().__init__(clips, lip, expression)
        people: dict[str, list[Clip]] = {}
        for clip in clips:
            people.setdefault(clip.info.person, []).append(clip)
        self._people: dict[tuple[str, bool], _Person] = {}
        for own in people.values():
            for mirrored in (False, True):
                self._get_to_know(own, mirrored)

    def _get_to_know(self, clips: list[Clip], mirrored: bool) -> None:
        """Fit one person's clips, as they are or mirrored."""
        pictures = []
        for clip in clips:
            points = clip.points[np.unique(np.linspace(0, len(clip) - 1, _FRAMES).astype(int))]
            pictures.append(mirror(points) if mirrored else points)
        fit = fit_face(np.concatenate(pictures) * _PIXELS)
        amounts = fit.weights[:, : len(EXPRESSION_BASES)]
        means = [part.mean(axis=0) for part in np.split(amounts, np.cumsum([len(part) for part in pictures])[:-1])]
        neutral = [mean for clip, mean in zip(clips, means, strict=True) if clip.info.emotion == "neutral"]
        for clip, mean in zip(clips, means, strict=True):
            calm = np.mean(neutral or [mean], axis=0)
            self._people[clip.info.name, mirrored] = _Person(fit.identity, calm, mean)

    def expression(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> expression weights (T,10)."""
        person = self._people[clip, mirrored]
        amounts = fit_face(points * _PIXELS, identity=person.identity).weights[:, : len(EXPRESSION_BASES)]
        return UNIT * (np.where(_OF_THE_CLIP, person.mean, amounts) - person.calm)


def mirror(points: Array) -> Array:
    """Landmarks (T,68,2) in [-1,1] as they are in the mirrored picture."""
    return points[:, MIRRORED] * [-1, 1]
