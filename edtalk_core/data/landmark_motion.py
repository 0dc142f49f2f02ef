"""Mouth, head pose and expression measured on landmarks: supervision for the weights when there is little data.

The paper needs hours of video until these are disentangled without supervision. With few clips, 68 landmarks supply
most of the information: six numbers of head pose (x, y, size, roll, yaw, pitch); the principal components of the
mouth's shape without pose and the clip's mean; and those of brows and eyes, together with the difference between the
mean mouth of the clip and of the person, which is the effect of an emotion on a speaking mouth. The bases of a model
trained this way have an interpretable meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

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
from ..motion.bases import Bases
from .clips import Clip

Array = NDArray[np.floating[Any]]

SPREAD = 4.0
"""Standard deviation of a pose weight over the clips. The published weights have deviations of a few units as well:
the bases are unit vectors, and smaller weights hardly change a style latent."""

MOUTH_WEIGHT = 0.7
"""Weight of the mouth relative to brows and eyes in expressions: its differences are large, and few clips show them."""

_MOUTH = indices(MOUTH)
_BROWS_EYES = indices(BROWS, EYES)
_RIGHT_EYE_CORNERS, _LEFT_EYE_CORNERS = list(RIGHT_EYE_CORNERS), list(LEFT_EYE_CORNERS)


def _y_of(point: int, part: NDArray[np.int64]) -> int:
    """Index of a landmark's y in the flattened coordinates (x, y per point) of a part of the face."""
    return 2 * int(np.flatnonzero(part == point)[0]) + 1


class LandmarkMotion:
    """Measures pose (T,6), lip (T,lip) and expression (T,expression), relative to their deviations over training clips.

    Landmarks are in grid_sample coordinates, [-1,1] over the picture.
    """

    BASES: ClassVar[Bases] = Bases(lip=("opening",), pose=("x", "y", "size", "roll", "yaw", "pitch"))
    """Names of the measured weights; principal components have none but the first of the mouth."""

    def __init__(self, clips: Iterable[Clip], lip: int, expression: int) -> None:
        clips = list(clips)
        tracks = {clip.info.name: clip.points for clip in clips}
        all_points = np.concatenate(list(tracks.values()))[::5]
        self.template = all_points[:, STABLE].mean(0)
        for _ in range(3):
            self.template = self._align(all_points)[:, STABLE].mean(0)
        poses = np.concatenate([self._raw_pose(points)[::5] for points in tracks.values()])
        self.pose_mean, self.pose_scale = poses.mean(0), poses.std(0)
        self.turn_mean = np.concatenate([self._turn_terms(points)[::5] for points in tracks.values()]).mean(0)
        self.turn_effects = {part: self._fit_turn_effect(tracks.values(), part) for part in ("mouth", "upper")}

        self.clip_mouths: dict[str, Array] = {}
        self.baselines: dict[str, Array] = {}
        self._add_means(clips)
        mouths = np.concatenate(
            [(self._frontal_shape(tracks[name], "mouth") - self.clip_mouths[name])[::5] for name in tracks]
        )
        _, singular, axes = np.linalg.svd(mouths, full_matrices=False)
        # Positive weights open the mouth: the lower inner lip moves down relative to the upper one.
        opening = np.subtract(*(axes[:lip, _y_of(point, _MOUTH)] for point in (LOWER_INNER_LIP, UPPER_INNER_LIP)))
        self.axes = (axes[:lip] * np.where(opening < 0, -1.0, 1.0)[:, None]).T
        # One scale for all keeps small components small, so that noise is not amplified to a base of its own.
        self.lip_scale = 2 * singular[0] / np.sqrt(len(mouths)) / np.sqrt(6)

        faces = np.concatenate(
            [self._remove_opening(self._face_shape(tracks[name], name) - self.baselines[name])[::5] for name in tracks]
        )
        _, singular, axes = np.linalg.svd(faces, full_matrices=False)
        # Positive weights open the eyes: the upper lids move up.
        lids = axes[:expression, [_y_of(point, _BROWS_EYES) for point in RIGHT_UPPER_LID]].sum(1)
        self.expression_axes = (axes[:expression] * np.where(lids > 0, -1.0, 1.0)[:, None]).T
        self.expression_scale = singular[0] / np.sqrt(len(faces))

    def add(self, clips: Iterable[Clip]) -> None:
        """Measure further clips as well; what the weights mean does not change."""
        self._add_means(list(clips))

    def _add_means(self, clips: Sequence[Clip]) -> None:
        """Compute the mean mouth and the baseline of clips."""
        tracks = {clip.info.name: clip.points for clip in clips}
        self.clip_mouths |= {name: self._frontal_shape(points, "mouth").mean(0) for name, points in tracks.items()}
        # The reference without an emotion: the person's neutral clips or, without any, the clip itself.
        neutral: dict[str, list[str]] = {}
        for clip in clips:
            if clip.info.emotion == "neutral":
                neutral.setdefault(clip.info.person, []).append(clip.info.name)
        means = {name: self._face_shape(points, name).mean(0) for name, points in tracks.items()}
        self.baselines |= {
            clip.info.name: np.mean([means[name] for name in neutral.get(clip.info.person, [clip.info.name])], axis=0)
            for clip in clips
        }

    def _fit_turn_effect(self, tracks: Iterable[Array], part: str) -> Array:
        """Regression from head turn to the shape of a part of the aligned face, by least squares within clips."""
        turns, shapes = [], []
        for points in tracks:
            turn, shape = self._turn_terms(points)[::5], self._part(points, part)[::5]
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
        # Nose tip relative to the cheeks, in the face's own axes: turning moves it sideways, nodding up or down.
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
    def _turn_terms(cls, points: Array) -> Array:
        """The components of the pose that deform the aligned mouth: yaw, pitch and their products."""
        yaw, pitch = cls._raw_pose(points)[:, 4:].T
        return np.stack([yaw, pitch, yaw**2, pitch**2, yaw * pitch], -1)

    def _part(self, points: Array, part: str) -> Array:
        return self._align(points)[:, _MOUTH if part == "mouth" else _BROWS_EYES].reshape(len(points), -1)

    def _frontal_shape(self, points: Array, part: str) -> Array:
        """A part of the aligned face, corrected to a frontal head: (T, 2 points)."""
        return self._part(points, part) - (self._turn_terms(points) - self.turn_mean) @ self.turn_effects[part]

    def _face_shape(self, points: Array, clip: str) -> Array:
        """Brows and eyes of the frames, and the clip's mean mouth (T,84)."""
        mouth = np.broadcast_to(self.clip_mouths[clip], (len(points), 2 * len(_MOUTH)))
        return np.concatenate([self._frontal_shape(points, "upper"), mouth], axis=1)

    def _remove_opening(self, face: Array) -> Array:
        """Remove the mouth's opening, which is the first lip weight, from differences to the baseline (T,84)."""
        upper, mouth = np.split(face, [2 * len(_BROWS_EYES)], axis=1)
        return np.concatenate([upper, MOUTH_WEIGHT * (mouth - mouth @ self.axes[:, :1] @ self.axes[:, :1].T)], axis=1)

    def _mirror_shape(self, shape: Array, part: NDArray[np.int64]) -> Array:
        """Mirror the shape (2 points,) of a part of the face."""
        # The template is nearly symmetric about its vertical axis.
        axis = self.template[:, 0].mean()
        positions = {int(point): index for index, point in enumerate(part)}
        order = [positions[int(point)] for point in MIRRORED[part]]
        return np.asarray((shape.reshape(-1, 2)[order] * [-1, 1] + [2 * axis, 0]).reshape(-1))

    def pose(self, points: Array) -> Array:
        """Landmarks (T,68,2) -> x, y, size, roll, yaw, pitch (T,6), with mean 0 and deviation SPREAD over the clips."""
        return (self._raw_pose(points) - self.pose_mean) / self.pose_scale * SPREAD

    def lip(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> components of the mouth's shape (T,lip)."""
        mean = self.clip_mouths[clip]
        mouth = self._frontal_shape(points, "mouth") - (self._mirror_shape(mean, _MOUTH) if mirrored else mean)
        return mouth @ self.axes / self.lip_scale * SPREAD

    def expression(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> expression weights (T,expression)."""
        upper, mouth = np.split(self.baselines[clip], [2 * len(_BROWS_EYES)])
        clip_mouth = self.clip_mouths[clip]
        if mirrored:
            upper, mouth, clip_mouth = (
                self._mirror_shape(shape, part)
                for shape, part in ((upper, _BROWS_EYES), (mouth, _MOUTH), (clip_mouth, _MOUTH))
            )
        mouth_difference = np.broadcast_to(clip_mouth - mouth, (len(points), len(clip_mouth)))
        face = np.concatenate([self._frontal_shape(points, "upper") - upper, mouth_difference], axis=1)
        return self._remove_opening(face) @ self.expression_axes / self.expression_scale * SPREAD

    def expression_change(self, displacements: Array) -> Array:
        """Change in expression weights (expression,) by displacements (68,2) of the landmarks of the template."""
        upper, mouth = displacements[_BROWS_EYES].reshape(-1), displacements[_MOUTH].reshape(-1)
        face = self._remove_opening(np.concatenate([upper, mouth])[None])
        return np.asarray((face @ self.expression_axes / self.expression_scale * SPREAD)[0])

    def change_expression(self, points: Array, change: Array) -> Array:
        """Landmarks (T,68,2) after the expression weights increase by `change` (expression,).

        Brows, lids and mouth move; the eyes' corners, which alignment uses, stay.
        """
        upper, mouth = np.split(
            self.expression_axes @ (change * (self.expression_scale / SPREAD)), [2 * len(_BROWS_EYES)]
        )
        moves = np.zeros((LANDMARK_COUNT, 2))
        moves[_BROWS_EYES], moves[_MOUTH] = upper.reshape(-1, 2), mouth.reshape(-1, 2) / MOUTH_WEIGHT
        moves[STABLE] = 0
        image_moves = (moves[:, 0] + 1j * moves[:, 1]) / self._turn_and_scale(points)[:, None]
        return np.asarray(points + np.stack([image_moves.real, image_moves.imag], -1))

    def measure(self, points: Array, clip: str, mirrored: bool = False) -> dict[str, NDArray[np.float32]]:
        """Measure all three tracks, by name."""
        tracks = {
            "lip": self.lip(points, clip, mirrored),
            "pose": self.pose(points),
            "expression": self.expression(points, clip, mirrored),
        }
        return {name: values.astype(np.float32) for name, values in tracks.items()}
