"""Frames that were never filmed: "A with the mouth of B" (supplement 3.3, Fig. 9), and A with landmarks moved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..face.landmarks import BROWS, CHIN, LOWER_JAW, MOUTH, NOSE_BASE, NOSE_WINGS, STABLE, indices

_LOWER_FACE = indices(LOWER_JAW, NOSE_WINGS, MOUTH)
"""Jaw, base of the nose, lips: what moves with the mouth."""
JAW_DROP = 0.2
"""How far a jaw drops and brows rise, in shares of the way from the nose to the chin."""
WARP_SIZE = 64
"""Side at which a warp is computed; finer, landmarks have nothing to say."""
_MOVING = indices(LOWER_JAW, MOUTH)


def still_part(points: NDArray[np.floating[Any]], size: int, moving: str) -> NDArray[np.float32]:
    """Where nothing moves when lips do, or expressions: 1 there, softly 0 in the part of the face that does.

    `points`: landmarks (68,2) in [-1,1]. `moving`: "lip", the lower face and as far below it as a jaw drops, or
    "expression", that and the rest of the face up to as far above the brows as they rise. Returns (size,size).
    """
    own = (points + 1) * size / 2 - 0.5
    down = own[CHIN] - own[NOSE_BASE]
    hull = [own[_LOWER_FACE], own[_LOWER_FACE] + JAW_DROP * down]
    if moving == "expression":
        hull += [own, own[BROWS] - JAW_DROP * down]
    return np.asarray(1 - filled(np.concatenate(hull), size), np.float32)


def move_landmarks(
    image: NDArray[np.float32], points: NDArray[np.floating[Any]], moved: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """A picture (3,S,S) warped so that landmarks (68,2) in [-1,1] come to lie where they were `moved` to.

    What lies between them moves by the mean of their ways, weighed by distance; the picture's rim stays.
    """
    import cv2

    size, coarse = image.shape[-1], min(image.shape[-1], WARP_SIZE)
    line = (np.arange(coarse) * 2 + 1) / coarse - 1
    pixels = np.stack(np.meshgrid(line, line), -1).reshape(-1, 1, 2)
    side = np.linspace(-1, 1, 9)
    rim = np.concatenate(
        [np.stack(pair, -1) for end in (-1, 1) for pair in ((side, 0 * side + end), (0 * side + end, side))]
    )
    places = np.concatenate([moved, rim])
    ways = np.concatenate([points - moved, 0 * rim])
    weights = 1 / (((pixels - places) ** 2).sum(-1) + 1e-3) ** 2
    way = (weights / weights.sum(1, keepdims=True)) @ ways * size / 2
    way = cv2.resize(way.reshape(coarse, coarse, 2).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    warped = cv2.remap(
        np.ascontiguousarray(image.transpose(1, 2, 0)),
        columns + way[..., 0],
        rows + way[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.ascontiguousarray(warped.transpose(2, 0, 1), np.float32)


def match_colours(image: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture (3,S,S) with the mean and the deviation of each colour of another."""
    means, spreads = ([kind(one, axis=(1, 2), keepdims=True) for one in (image, other)] for kind in (np.mean, np.std))
    return np.asarray((image - means[0]) * (spreads[1] / np.maximum(spreads[0], 1e-3)) + means[1], np.float32)


def filled(points: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
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
    matrix, _ = cv2.estimateAffinePartial2D(its[STABLE], own[STABLE], method=cv2.LMEDS)
    if matrix is None:
        return image, points
    moved = its @ matrix[:, :2].T + matrix[:, 2]
    warped = cv2.warpAffine(
        np.ascontiguousarray(other.transpose(1, 2, 0)), matrix, (size, size), borderMode=cv2.BORDER_REPLICATE
    )
    mask = filled(np.concatenate([own[_LOWER_FACE], moved[_LOWER_FACE]]), size)[:, :, None]
    mixed = image.transpose(1, 2, 0) * (1 - mask) + warped * mask
    landmarks = own.copy()
    landmarks[_MOVING] = moved[_MOVING]
    return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32), ((landmarks + 0.5) * 2 / size - 1).astype(
        np.float32
    )
