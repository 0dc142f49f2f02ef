"""Frames composed of two: "A with the mouth of B" (supplement 3.3, Fig. 9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STABLE = [*range(27, 36), 36, 39, 42, 45]
"""Nose and eye corners: points that do not move with the mouth."""
_LOWER_FACE = [*range(4, 13), *range(31, 36), *range(48, 68)]
"""Jaw, base of the nose, lips: what moves with the mouth."""
_MOVING = [*range(4, 13), *range(48, 68)]


def swap_mouth(
    image: NDArray[np.float32], points: NDArray[np.float32], other: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Put the mouth of `other` onto `image`: (3,S,S) each, with landmarks (68,2) in [-1,1]; returns the same of both.

    The other frame is moved over by a similarity transform of nose and eye corners, and blended in softly over the
    lower face.
    """
    import cv2

    size = image.shape[-1]
    own, its = ((p + 1) * size / 2 - 0.5 for p in (points, others))
    matrix, _ = cv2.estimateAffinePartial2D(its[_STABLE], own[_STABLE], method=cv2.LMEDS)
    if matrix is None:
        return image, points
    moved = its @ matrix[:, :2].T + matrix[:, 2]
    warped = cv2.warpAffine(
        np.ascontiguousarray(other.transpose(1, 2, 0)), matrix, (size, size), borderMode=cv2.BORDER_REPLICATE
    )
    hull = cv2.convexHull(np.concatenate([own[_LOWER_FACE], moved[_LOWER_FACE]]).astype(np.float32))
    mask: np.ndarray = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), size / 64)[:, :, None]
    mixed = image.transpose(1, 2, 0) * (1 - mask) + warped * mask
    landmarks = own.copy()
    landmarks[_MOVING] = moved[_MOVING]
    return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32), ((landmarks + 0.5) * 2 / size - 1).astype(
        np.float32
    )
