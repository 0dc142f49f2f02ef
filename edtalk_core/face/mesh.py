"""Detect facial landmarks offline with the MediaPipe face mesh, which ships with the project.

Kartynnik et al. (2019), "Real-time facial surface geometry from monocular video on mobile GPUs": 468 points in a 192 px
crop, rotated upright by the eyes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .geometry import Box, invert, square_matrix, transform, warp
from .tflite import TFLiteNetwork, sigmoid

# fmt: off
IBUG_POINTS = np.array([
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,  # mouth
])
# fmt: on
"""Mesh point nearest to each of the 68 iBUG points."""

_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners

PRESENT = 0.9
"""A mesh whose presence is below this lies on no face. (Measured: over 0.99 in 99.9 % of the frames of 30 clips,
profiles included; below 0.11 on 99 % of background, seldom up to 0.8 on hands and emblems.)"""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Landmarks of one face."""

    points: np.ndarray
    """(468, 2) float64, pixels of the picture."""
    presence: float
    """Confidence of the model that the crop shows a face, 0 to 1."""

    @property
    def landmarks(self) -> np.ndarray:
        """(68, 2) float64 iBUG points."""
        return self.points[IBUG_POINTS]

    @property
    def box(self) -> Box:
        """Face box as in the published crops: forehead to chin, ear to ear.

        Those boxes come from another detector, S3FD. Their relation to the mesh was measured on clips cropped by the
        published script, where the box follows from the crop (17 full clips: the script's own samples, MEAD, HDTF-like
        speakers): the bounding box of the mesh, from 0.09 of its height (median; 0.01 to 0.12) above it to 0.01 (-0.02
        to 0.06) below it.
        """
        # Points count from pixel centres, boxes from edges.
        left, top = (float(x) for x in self.points.min(axis=0) + 0.5)
        right, bottom = (float(x) for x in self.points.max(axis=0) + 0.5)
        height = bottom - top
        return left, top - 0.09 * height, right, bottom + 0.01 * height


class FaceMesh:
    """The face mesh network (192 px); an instance may be shared between threads."""

    def __init__(self) -> None:
        self._network = TFLiteNetwork("face_landmark.tflite")

    def locate(self, picture: np.ndarray, box: Box, keypoints: np.ndarray) -> Mesh:
        """Fit the mesh to a face in a picture (H, W, 3) uint8 RGB, by BlazeFace's box and keypoints (6, 2)."""
        left, top, right, bottom = box
        eyes = keypoints[1] - keypoints[0]
        centre = ((left + right - 1) / 2, (top + bottom - 1) / 2)
        return self._read(picture, centre, max(right - left, bottom - top), math.atan2(eyes[1], eyes[0]))

    def follow(self, picture: np.ndarray, previous: Mesh) -> Mesh:
        """Fit the mesh to the same face in the next frame, or again in the same picture, which refines it.

        The crop comes from the previous landmarks, which costs nothing and is steadier than a detector's box.
        """
        eyes = previous.points[_LEFT_EYE] - previous.points[_RIGHT_EYE]
        angle = math.atan2(eyes[1], eyes[0])
        turn = square_matrix((0.0, 0.0), 1.0, 1, angle)
        upright = transform(previous.points, turn)
        low, high = upright.min(axis=0), upright.max(axis=0)
        centre = transform(((low + high) / 2)[None], invert(turn))[0]
        return self._read(picture, (centre[0], centre[1]), float((high - low).max()), angle)

    def _read(self, picture: np.ndarray, centre: tuple[float, float], side: float, angle: float) -> Mesh:
        # The network was trained on crops of 1.5 times the face.
        matrix = square_matrix(centre, 1.5 * max(side, 1.0), 192, angle)
        presence, points = self._network(warp(picture, matrix, 192), 0, 1)
        # The network counts from the crop's corner, we from the centre of its first pixel.
        in_crop = points.reshape(468, 3)[:, :2] - 0.5
        return Mesh(transform(in_crop, invert(matrix)), float(sigmoid(presence)[0]))
