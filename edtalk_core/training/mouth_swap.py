"""Frames composed of two: "A with the mouth of B" (supplement 3.3, Fig. 9)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STABLE = [*range(27, 36), 36, 39, 42, 45]
"""Nose and eye corners: points that do not move with the mouth."""
_LOWER_FACE = [*range(4, 13), *range(31, 36), *range(48, 68)]
"""Jaw, base of the nose, lips: what moves with the mouth."""
JAW_DROP = 0.2
"""How far a jaw drops, in shares of the way from the nose to the chin."""
_MOVING = [*range(4, 13), *range(48, 68)]


def still_part(points: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    """Where nothing moves when lips do: 1 there, softly 0 in the lower face and as far below it as a jaw drops.

    `points`: landmarks (68,2) in [-1,1]. Returns (size,size).
    """
    own = (points + 1) * size / 2 - 0.5
    dropped = own[_LOWER_FACE] + JAW_DROP * (own[8] - own[33])
    return np.asarray(1 - lower_face(np.concatenate([own[_LOWER_FACE], dropped]), size), np.float32)


def lower_face(points: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    """The convex hull of points (N,2), in pixels, as a soft mask (size,size)."""
    import cv2

    mask: NDArray[np.float32] = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, np.round(cv2.convexHull(points.astype(np.float32))).astype(np.int32), 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), size / 64), np.float32)


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
    mask = lower_face(np.concatenate([own[_LOWER_FACE], moved[_LOWER_FACE]]), size)[:, :, None]
    mixed = image.transpose(1, 2, 0) * (1 - mask) + warped * mask
    landmarks = own.copy()
    landmarks[_MOVING] = moved[_MOVING]
    return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32), ((landmarks + 0.5) * 2 / size - 1).astype(
        np.float32
    )
