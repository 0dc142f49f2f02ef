"""Mouth, head pose and expression measured on landmarks: targets that teach the weights early what they should mean.

The paper needs hours of video until these come apart by themselves. With few clips, 68 landmarks tell most of it at
once: six numbers of head pose (x, y, size, roll, yaw, pitch); the principal components of the mouth's shape once pose
and the clip's own average are taken out; and those of brows and eyes, together with what the clip's average mouth
differs by from the person's, which is what an emotion does to a mouth that speaks. A model taught so has bases that an
artist can name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..face.landmarks import (
    BROWS,
    EYES,
    LANDMARK_COUNT,
    LEFT_CHEEK,
    LEFT_EYE_CORNERS,
    LOWER_INNER_LIP,
    MIRRORED,
    MOUTH,
    NOSE_BASE,
    NOSE_TIP,
    RIGHT_CHEEK,
    RIGHT_EYE_CORNERS,
    RIGHT_UPPER_LID,
    STABLE,
    UPPER_INNER_LIP,
    indices,
)
from .clips import Clip

Array = NDArray[np.floating[Any]]

SPREAD = 4.0
"""Standard deviation of a pose weight over the clips. The published weights spread by a few units as well: the bases
are unit vectors, and a style latent is not moved by less."""

MOOD = 0.7
"""Weight of the mouth beside brows and eyes: few clips tell its mood, and its differences are large."""

_MOUTH = indices(MOUTH)
_BROWS_EYES = indices(BROWS, EYES)
_RIGHT_EYE_CORNERS, _LEFT_EYE_CORNERS = list(RIGHT_EYE_CORNERS), list(LEFT_EYE_CORNERS)


def _y_of(point: int, part: NDArray[np.int64]) -> int:
    """Where a landmark's y stands among the flattened coordinates of a part of the face: x, y of each of its points."""
    return 2 * int(np.flatnonzero(part == point)[0]) + 1


class LandmarkMotion:
    """Measures pose (T,6), lip (T,lip) and expression (T,expression), relative to their spread over training clips.

    Landmarks are in grid_sample coordinates, [-1,1] over the picture.
    """

    def __init__(self, clips: Iterable[Clip], lip: int, expression: int) -> None:
        clips = list(clips)
        tracks = {clip.info.name: clip.points for clip in clips}
        everything = np.concatenate(list(tracks.values()))[::5]
        self.template = everything[:, STABLE].mean(0)
        for _ in range(3):
            self.template = self._align(everything)[:, STABLE].mean(0)
        poses = np.concatenate([self._raw_pose(points)[::5] for points in tracks.values()])
        self.pose_mean, self.pose_scale = poses.mean(0), poses.std(0)
        self.turn_mean = np.concatenate([self._turn(points)[::5] for points in tracks.values()]).mean(0)
        self.turned = {part: self._fit_turn(tracks.values(), part) for part in ("mouth", "upper")}

        self.clip_mouths = {name: self._shape(points, "mouth").mean(0) for name, points in tracks.items()}
        mouths = np.concatenate([(self._shape(tracks[name], "mouth") - self.clip_mouths[name])[::5] for name in tracks])
        _, singular, axes = np.linalg.svd(mouths, full_matrices=False)
        # Positive opens: the lower inner lip goes down against the upper one.
        opening = np.subtract(*(axes[:lip, _y_of(point, _MOUTH)] for point in (LOWER_INNER_LIP, UPPER_INNER_LIP)))
        self.axes = (axes[:lip] * np.where(opening < 0, -1.0, 1.0)[:, None]).T
        # A common scale keeps the small components small, so that noise is not blown up to a base of its own.
        self.lip_scale = 2 * singular[0] / np.sqrt(len(mouths)) / np.sqrt(6)

        # Where a face shows no emotion: the person's neutral clips; without any, nothing is known but the clip itself.
        neutral: dict[str, list[str]] = {}
        for clip in clips:
            if clip.info.emotion == "neutral":
                neutral.setdefault(clip.info.person, []).append(clip.info.name)
        means = {name: self._face(points, name).mean(0) for name, points in tracks.items()}
        self.baselines: dict[str, Array] = {
            clip.info.name: np.mean([means[name] for name in neutral.get(clip.info.person, [clip.info.name])], axis=0)
            for clip in clips
        }
        faces = np.concatenate(
            [self._mood(self._face(tracks[name], name) - self.baselines[name])[::5] for name in tracks]
        )
        _, singular, axes = np.linalg.svd(faces, full_matrices=False)
        # Positive opens the eyes: the upper lids go up.
        lids = axes[:expression, [_y_of(point, _BROWS_EYES) for point in RIGHT_UPPER_LID]].sum(1)
        self.expression_axes = (axes[:expression] * np.where(lids > 0, -1.0, 1.0)[:, None]).T
        self.expression_scale = singular[0] / np.sqrt(len(faces))

    def _fit_turn(self, tracks: Iterable[Array], part: str) -> Array:
        """How a part of the aligned face deforms when the head turns, by least squares within clips."""
        turns, shapes = [], []
        for points in tracks:
            turn, shape = self._turn(points)[::5], self._part(points, part)[::5]
            turns.append(turn - turn.mean(0))
            shapes.append(shape - shape.mean(0))
        return np.linalg.lstsq(np.concatenate(turns), np.concatenate(shapes), rcond=None)[0]

    def _align(self, points: Array) -> Array:
        """Similarity transform of nose and eye corners onto the template, by complex least squares."""
        z = points[..., 0] + 1j * points[..., 1]
        centre = z[:, STABLE].mean(1, keepdims=True)
        z = (z - centre) * self._turn_and_scale(points)[:, None] + complex(*self.template.mean(0))
        return np.stack([z.real, z.imag], -1)

    def _turn_and_scale(self, points: Array) -> NDArray[np.complexfloating[Any, Any]]:
        """Factors (T,) that bring points (T,68,2), as complex numbers about their centre, onto the template."""
        z = points[:, STABLE, 0] + 1j * points[:, STABLE, 1]
        z = z - z.mean(1, keepdims=True)
        target = self.template[:, 0] + 1j * self.template[:, 1]
        return np.asarray((z.conj() * (target - target.mean())).sum(1) / (np.abs(z) ** 2).sum(1))

    @staticmethod
    def _raw_pose(points: Array) -> Array:
        eyes = points[:, _RIGHT_EYE_CORNERS].mean(1), points[:, _LEFT_EYE_CORNERS].mean(1)
        across = eyes[1] - eyes[0]
        roll = np.arctan2(across[:, 1], across[:, 0])
        middle = (eyes[0] + eyes[1]) / 2
        right, left = points[:, RIGHT_CHEEK], points[:, LEFT_CHEEK]
        nose = points[:, NOSE_TIP] - (right + left) / 2
        # Nose tip against cheeks and eyes, in the face's own axes: turning moves the nose across and up or down.
        width = np.linalg.norm(left - right, axis=1)
        height = np.linalg.norm(points[:, NOSE_BASE] - middle, axis=1) + 0.5 * np.linalg.norm(across, axis=1)
        x_axis = np.stack([np.cos(roll), np.sin(roll)], -1)
        y_axis = np.stack([-np.sin(roll), np.cos(roll)], -1)
        yaw = (nose * x_axis).sum(1) / width
        pitch = (nose * y_axis).sum(1) / width
        size = np.log(np.sqrt(width * height))
        centre = points[:, STABLE].mean(1)
        return np.stack([centre[:, 0], centre[:, 1], size, roll, yaw, pitch], -1)

    @classmethod
    def _turn(cls, points: Array) -> Array:
        """The part of the pose that deforms the aligned mouth: yaw, pitch and their squares."""
        yaw, pitch = cls._raw_pose(points)[:, 4:].T
        return np.stack([yaw, pitch, yaw**2, pitch**2, yaw * pitch], -1)

    def _part(self, points: Array, part: str) -> Array:
        return self._align(points)[:, _MOUTH if part == "mouth" else _BROWS_EYES].reshape(len(points), -1)

    def _shape(self, points: Array, part: str) -> Array:
        """A part of the face, aligned, as it would be on a head that looks ahead: (T, 2 points)."""
        return self._part(points, part) - (self._turn(points) - self.turn_mean) @ self.turned[part]

    def _face(self, points: Array, clip: str) -> Array:
        """Brows and eyes of the frames, and the mouth's average in their clip (T,84)."""
        mouth = np.broadcast_to(self.clip_mouths[clip], (len(points), 2 * len(_MOUTH)))
        return np.concatenate([self._shape(points, "upper"), mouth], axis=1)

    def _mood(self, face: Array) -> Array:
        """Differences from the baseline (T,84) without the mouth's opening, which is the first lip weight's."""
        upper, mouth = np.split(face, [2 * len(_BROWS_EYES)], axis=1)
        return np.concatenate([upper, MOOD * (mouth - mouth @ self.axes[:, :1] @ self.axes[:, :1].T)], axis=1)

    def _mirrored(self, shape: Array, part: NDArray[np.int64]) -> Array:
        """The shape (2 points,) of a part of the face on the mirrored face."""
        # The template is all but symmetric about its own vertical axis.
        axis = self.template[:, 0].mean()
        place = {int(point): index for index, point in enumerate(part)}
        order = [place[int(point)] for point in MIRRORED[part]]
        return np.asarray((shape.reshape(-1, 2)[order] * [-1, 1] + [2 * axis, 0]).reshape(-1))

    def pose(self, points: Array) -> Array:
        """Landmarks (T,68,2) -> x, y, size, roll, yaw, pitch (T,6): over the clips, mean 0 and deviation SPREAD."""
        return (self._raw_pose(points) - self.pose_mean) / self.pose_scale * SPREAD

    def lip(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> components of the mouth's shape (T,lip)."""
        mean = self.clip_mouths[clip]
        mouth = self._shape(points, "mouth") - (self._mirrored(mean, _MOUTH) if mirrored else mean)
        return mouth @ self.axes / self.lip_scale * SPREAD

    def expression(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> components of brows, eyes and mood (T,expression)."""
        upper, mouth = np.split(self.baselines[clip], [2 * len(_BROWS_EYES)])
        own = self.clip_mouths[clip]
        if mirrored:
            upper, mouth, own = (
                self._mirrored(shape, part) for shape, part in ((upper, _BROWS_EYES), (mouth, _MOUTH), (own, _MOUTH))
            )
        mood = np.broadcast_to(own - mouth, (len(points), len(own)))
        face = np.concatenate([self._shape(points, "upper") - upper, mood], axis=1)
        return self._mood(face) @ self.expression_axes / self.expression_scale * SPREAD

    def expressed(self, points: Array, change: Array) -> Array:
        """Landmarks (T,68,2) as they are once the expression weights have grown by `change` (expression,).

        Brows, lids and mouth move; what alignment goes by, the eyes' corners, stays.
        """
        upper, mouth = np.split(
            self.expression_axes @ (change * (self.expression_scale / SPREAD)), [2 * len(_BROWS_EYES)]
        )
        moves = np.zeros((LANDMARK_COUNT, 2))
        moves[_BROWS_EYES], moves[_MOUTH] = upper.reshape(-1, 2), mouth.reshape(-1, 2) / MOOD
        moves[STABLE] = 0
        back = (moves[:, 0] + 1j * moves[:, 1]) / self._turn_and_scale(points)[:, None]
        return np.asarray(points + np.stack([back.real, back.imag], -1))

    def measure(self, points: Array, clip: str, mirrored: bool = False) -> dict[str, NDArray[np.float32]]:
        """All three by name."""
        tracks = {
            "lip": self.lip(points, clip, mirrored),
            "pose": self.pose(points),
            "expression": self.expression(points, clip, mirrored),
        }
        return {name: values.astype(np.float32) for name, values in tracks.items()}
