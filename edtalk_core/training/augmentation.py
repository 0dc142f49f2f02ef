"""Random views of frames, as portraits vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.clips import Clip
from ..face.landmarks import MIRRORED
from ..media.picture import pictures_to_images


@dataclass(frozen=True)
class Augmentation:
    """One random view for all frames of a sample: mirror, zoom, stretch, turn, shift, colour, as portraits vary."""

    mirror: bool
    zoom: float
    stretch: float
    """Width over height, against the picture's own: faces differ by it."""
    turn: float
    """Radians, clockwise in the picture."""
    shift: tuple[float, float]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> Augmentation:
        """`strength` 0 gives the picture as it is."""
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
        """Image (3,size,size) in [-1,1] and landmarks (68,2) in normalised coordinates of grid_sample, [-1,1].

        Raises EDTalkError for a clip of smaller frames.
        """
        import cv2

        clip.require_size(size)
        read = min(clip.size, 2 * size)
        frame = clip.frame(index, read)
        matrix = self.matrix(clip.size, size)
        # From pixels of the stored crop to pixels of the smaller picture that was read.
        ratio = clip.size / read
        reading = matrix.copy()
        reading[:, 2] += matrix[:, :2] @ np.full(2, (ratio - 1) / 2)
        reading[:, :2] *= ratio
        view = cv2.warpAffine(frame, reading, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        image = pictures_to_images(view).numpy()
        image = np.clip(image * self.gain[:, None, None] + self.offset[:, None, None], -1, 1)
        points = clip.landmarks[index] @ matrix[:, :2].T + matrix[:, 2]
        if self.mirror:
            points = points[MIRRORED]
        return image, ((2 * points + 1) / size - 1).astype(np.float32)
