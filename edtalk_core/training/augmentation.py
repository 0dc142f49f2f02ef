"""Random augmentation of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.clips import Clip
from ..face.landmarks import MIRRORED
from ..media.picture import pictures_to_images


@dataclass(frozen=True)
class Augmentation:
    """An augmentation of all frames of a sample: mirror, zoom, stretch, rotation, shift, colour."""

    mirror: bool
    zoom: float
    stretch: float
    """Factor on the ratio of width to height, in which faces differ."""
    turn: float
    """Radians, clockwise in the picture."""
    shift: tuple[float, float]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> Augmentation:
        """Draw random parameters; `strength` 0 leaves pictures unchanged."""
        return cls(
            mirror=bool(strength > 0 and rng.random() < 0.5),
            zoom=float(np.exp(strength * rng.uniform(-0.12, 0.15))),
            stretch=float(np.exp(strength * rng.normal(0, 0.06))),
            turn=strength * float(rng.normal(0, 0.08)),
            shift=(strength * rng.uniform(-0.06, 0.06), strength * rng.uniform(-0.06, 0.06)),
            gain=(1 + strength * rng.uniform(-0.15, 0.15, 3)).astype(np.float32),
            offset=(strength * rng.uniform(-0.1, 0.1, 3)).astype(np.float32),
        )

    def matrix(self, crop: int, size: int) -> NDArray[np.float64]:
        """Affine map (2,3) from pixels of the `crop` px face crop to pixels of the `size` px view."""
        scale = self.zoom * size / crop
        centre, target = (crop - 1) / 2, (size - 1) / 2
        cos, sin = scale * np.cos(self.turn), scale * np.sin(self.turn)
        turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-self.stretch if self.mirror else self.stretch, 1.0])
        return np.column_stack([turn, target + np.multiply(self.shift, size) - turn @ [centre, centre]])

    def apply(self, clip: Clip, index: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Augment a frame: image (3,size,size) in [-1,1] and landmarks (68,2) in grid_sample coordinates, [-1,1].

        Raises EDTalkError for a clip of smaller frames.
        """
        import cv2

        clip.require_size(size)
        decoded_size = min(clip.size, 2 * size)
        frame = clip.frame(index, decoded_size)
        matrix = self.matrix(clip.size, size)
        # From pixels of the stored crop to those of the smaller decoded picture.
        ratio = clip.size / decoded_size
        decoded_matrix = matrix.copy()
        decoded_matrix[:, 2] += matrix[:, :2] @ np.full(2, (ratio - 1) / 2)
        decoded_matrix[:, :2] *= ratio
        view = cv2.warpAffine(
            frame, decoded_matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        image = pictures_to_images(view).numpy()
        image = np.clip(image * self.gain[:, None, None] + self.offset[:, None, None], -1, 1)
        points = clip.landmarks[index] @ matrix[:, :2].T + matrix[:, 2]
        if self.mirror:
            points = points[MIRRORED]
        return image, ((2 * points + 1) / size - 1).astype(np.float32)
