"""Synthetic frames: "A with the mouth of B" (supplement 3.3, Fig. 9), and frames with moved landmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..face.landmarks import BROWS, CHIN, LOWER_JAW, MOUTH, NOSE_BASE, NOSE_WINGS, STABLE, indices

_LOWER_FACE = indices(LOWER_JAW, NOSE_WINGS, MOUTH)
"""Landmarks that move with the mouth: jaw, base of the nose, lips."""
JAW_DROP = 0.2
"""Distance by which a jaw drops and brows rise, relative to the distance from nose to chin."""
WARP_SIZE = 64
"""Side at which a warp is computed; landmarks contain no finer detail."""
_MOVING = indices(LOWER_JAW, MOUTH)


def still_part(points: NDArray[np.floating[Any]], size: int, moving: str) -> NDArray[np.float32]:
    """Mask of the part of a frame that lips, or expressions, do not move: 1 there, with a soft edge to 0.

    `points`: landmarks (68,2) in [-1,1]. `moving`: "lip", the lower face and as far below it as a jaw drops, or
    "expression", that and the rest of the face up to as far above the brows as they rise. Returns (size,size).
    """
    own = (points + 1) * size / 2 - 0.5
    down = own[CHIN] - own[NOSE_BASE]
    hull = [own[_LOWER_FACE], own[_LOWER_FACE] + JAW_DROP * down]
    if moving == "expression":
        hull += [own, own[BROWS] - JAW_DROP * down]
    return np.asarray(1 - hull_mask(np.concatenate(hull), size), np.float32)


def move_landmarks(
    image: NDArray[np.float32], points: NDArray[np.floating[Any]], moved: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Warp a picture (3,S,S) so that its landmarks (68,2) in [-1,1] move to `moved`.

    Displacements are interpolated by inverse distance; the picture's border stays.
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
    """Match the mean and standard deviation of a picture's colours (3,S,S) to those of another."""
    means, spreads = (
        [statistic(picture, axis=(1, 2), keepdims=True) for picture in (image, other)]
        for statistic in (np.mean, np.std)
    )
    return np.asarray((image - means[0]) * (spreads[1] / np.maximum(spreads[0], 1e-3)) + means[1], np.float32)


def hull_mask(points: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    """Soft mask (size,size) of the convex hull of points (N,2), in pixels."""
    import cv2

    mask: NDArray[np.float32] = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, np.round(cv2.convexHull(points.astype(np.float32))).astype(np.int32), 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), size / 64), np.float32)


def swap_mouth(
    image: NDArray[np.float32], points: NDArray[np.float32], other: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Put the mouth of `other` onto `image`: (3,S,S) each, with landmarks (68,2) in [-1,1]; returns the same of both.

    The other frame is aligned by a similarity transform of nose and eye corners, and blended in over the lower face.
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
    mask = hull_mask(np.concatenate([own[_LOWER_FACE], moved[_LOWER_FACE]]), size)[:, :, None]
    mixed = image.transpose(1, 2, 0) * (1 - mask) + warped * mask
    landmarks = own.copy()
    landmarks[_MOVING] = moved[_MOVING]
    return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32), ((landmarks + 0.5) * 2 / size - 1).astype(
        np.float32
    )
