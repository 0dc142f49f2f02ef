"""Mouth shape and head pose measured on landmarks: targets that teach the weights early what they should mean.

The paper needs hours of video until mouth and pose come apart by themselves. With few clips, 68 landmarks tell most of
it at once: six numbers of head pose (x, y, size, roll, yaw, pitch), and the principal components of the mouth's
shape once pose and the person's own average are taken out. A model taught so has bases that an artist can name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .clips import MIRRORED, Clip

Array = NDArray[np.floating[Any]]

SPREAD = 4.0
"""Standard deviation of a pose weight over the clips. The published weights spread by a few units as well: the bases
are unit vectors, and a style latent is not moved by less."""

_STABLE = np.array([*range(27, 36), 36, 39, 42, 45])
_MOUTH = np.arange(48, 68)


class LandmarkMotion:
    """Measures pose (T,6) and lip (T,lip) of landmarks, relative to their spread over the training clips.

    Landmarks are in grid_sample coordinates, [-1,1] over the picture.
    """

    def __init__(self, clips: Iterable[Clip], lip: int) -> None:
        tracks = {clip.info.name: (2 * clip.landmarks.astype(np.float64) + 1) / 256 - 1 for clip in clips}
        everything = np.concatenate(list(tracks.values()))[::5]
        self.template = everything[:, _STABLE].mean(0)
        for _ in range(3):
            self.template = self._align(everything)[:, _STABLE].mean(0)
        poses = np.concatenate([self._raw_pose(points)[::5] for points in tracks.values()])
        self.pose_mean, self.pose_scale = poses.mean(0), poses.std(0)
        centred = {name: self._mouth(points) for name, points in tracks.items()}
        self.clip_means = {name: mouth.mean(0) for name, mouth in centred.items()}
        mouths = np.concatenate([(centred[name] - self.clip_means[name])[::5] for name in tracks])
        turns = np.concatenate([self._turn(points)[::5] for points in tracks.values()])
        self.turn_mean = turns.mean(0)
        self.turned, *_ = np.linalg.lstsq(turns - self.turn_mean, mouths, rcond=None)
        mouths = mouths - (turns - self.turn_mean) @ self.turned
        _, singular, axes = np.linalg.svd(mouths, full_matrices=False)
        # Positive opens: the lower inner lip (66) goes down against the upper one (62).
        opening = axes[:lip, 2 * (66 - 48) + 1] - axes[:lip, 2 * (62 - 48) + 1]
        self.axes = (axes[:lip] * np.where(opening < 0, -1.0, 1.0)[:, None]).T
        # A common scale keeps the small components small, so that noise is not blown up to a base of its own.
        self.lip_scale = 2 * singular[0] / np.sqrt(len(mouths)) / np.sqrt(6)

    def _align(self, points: Array) -> Array:
        """Similarity transform of nose and eye corners onto the template, by complex least squares."""
        z = points[..., 0] + 1j * points[..., 1]
        target = self.template[:, 0] + 1j * self.template[:, 1]
        centre = z[:, _STABLE].mean(1, keepdims=True)
        z = z - centre
        stable, target_centre = z[:, _STABLE], target.mean()
        turn = (stable.conj() * (target - target_centre)).sum(1) / (np.abs(stable) ** 2).sum(1)
        z = z * turn[:, None] + target_centre
        return np.stack([z.real, z.imag], -1)

    @staticmethod
    def _raw_pose(points: Array) -> Array:
        eyes = points[:, [36, 39]].mean(1), points[:, [42, 45]].mean(1)
        across = eyes[1] - eyes[0]
        roll = np.arctan2(across[:, 1], across[:, 0])
        middle = (eyes[0] + eyes[1]) / 2
        sides = (points[:, 1] + points[:, 15]) / 2
        # Nose tip against cheeks and eyes, in the face's own axes: turning moves the nose across and up or down.
        width = np.linalg.norm(points[:, 15] - points[:, 1], axis=1)
        height = np.linalg.norm(points[:, 33] - middle, axis=1) + 0.5 * np.linalg.norm(across, axis=1)
        x_axis = np.stack([np.cos(roll), np.sin(roll)], -1)
        y_axis = np.stack([-np.sin(roll), np.cos(roll)], -1)
        yaw = ((points[:, 30] - sides) * x_axis).sum(1) / width
        pitch = ((points[:, 30] - (points[:, 1] + points[:, 15]) / 2) * y_axis).sum(1) / width
        size = np.log(np.sqrt(width * height))
        centre = points[:, _STABLE].mean(1)
        return np.stack([centre[:, 0], centre[:, 1], size, roll, yaw, pitch], -1)

    @classmethod
    def _turn(cls, points: Array) -> Array:
        """What of the pose deforms the aligned mouth: yaw, pitch and their squares."""
        yaw, pitch = cls._raw_pose(points)[:, 4:].T
        return np.stack([yaw, pitch, yaw**2, pitch**2, yaw * pitch], -1)

    def _mouth(self, points: Array) -> Array:
        return self._align(points)[:, _MOUTH].reshape(len(points), -1)

    def pose(self, points: Array) -> Array:
        """Landmarks (T,68,2) -> x, y, size, roll, yaw, pitch (T,6): over the clips, mean 0 and deviation SPREAD."""
        return (self._raw_pose(points) - self.pose_mean) / self.pose_scale * SPREAD

    def lip(self, points: Array, clip: str, mirrored: bool) -> Array:
        """Landmarks (T,68,2) of a clip of the constructor -> components of the mouth's shape (T,lip)."""
        mean = self.clip_means[clip].reshape(-1, 2)
        if mirrored:
            # The template is all but symmetric about its own vertical axis.
            axis = self.template[:, 0].mean()
            mean = mean[MIRRORED[_MOUTH] - _MOUTH[0]] * [-1, 1] + [2 * axis, 0]
        mouth = self._mouth(points) - mean.reshape(-1)
        mouth = mouth - (self._turn(points) - self.turn_mean) @ self.turned
        return mouth @ self.axes / self.lip_scale * SPREAD
