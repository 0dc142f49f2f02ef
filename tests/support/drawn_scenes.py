"""Pictures and frames for tests of the face modules: heads on a plain background, and textures."""

from __future__ import annotations

import cv2
import numpy as np


def resized(picture: np.ndarray, scale: float) -> np.ndarray:
    """A picture enlarged or reduced."""
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def textured(height: int, width: int) -> np.ndarray:
    """Smooth texture, in which the source of each pixel of a warp can be identified."""
    noise = np.random.default_rng(5).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return resized(noise, 8)[:height, :width].copy()


def scene(
    head: np.ndarray, *places: tuple[float, float], shade: int = 90, size: tuple[int, int] = (360, 240)
) -> np.ndarray:
    """Heads at (left, top), fractions of pixels allowed, on a plain background; `size` is (width, height)."""
    canvas = np.full((size[1], size[0], 3), shade, np.uint8)
    for left, top in places:
        cv2.warpAffine(head, np.array([[1.0, 0, left], [0, 1, top]]), size, canvas, borderMode=cv2.BORDER_TRANSPARENT)
    return canvas


def dissolve(before: np.ndarray, after: np.ndarray, frames: int = 20) -> list[np.ndarray]:
    """Frames in which one picture fades into another, both ends included."""
    shares = np.linspace(0, 1, frames)
    return [np.rint(before * (1 - share) + after * share).astype(np.uint8) for share in shares]


def head_that_dissolves(portrait: np.ndarray) -> list[np.ndarray]:
    """A head that dissolves into itself, 70 px further to the right: 45 frames, (240, 360, 3) each.

    The face mesh stays at the old position until the detector finds the head again.
    """
    head = cv2.resize(portrait[30:230, 130:330], (180, 180), interpolation=cv2.INTER_AREA)
    before, after = scene(head, (60, 30)), scene(head, (130, 30))
    return [before] * 3 + dissolve(before, after) + [after] * 22
