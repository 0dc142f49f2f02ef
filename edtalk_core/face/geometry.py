"""Plane geometry of crops: similarity transforms, and warps without aliasing.

Points are (x, y); the centre of a picture's top-left pixel is (0, 0), as in OpenCV and scikit-image. A matrix is (2, 3)
float64 and maps a point of one picture to a point of another: `matrix[:, :2] @ point + matrix[:, 2]`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..errors import PictureError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in picture pixels; the right and bottom edges are not part of the box."""


def check_picture(picture: np.ndarray) -> None:
    """Raise PictureError unless `picture` is uint8 (H, W, 3) of at least 16 px a side."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        actual = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise PictureError(
            f"Expected a picture as a uint8 array (height, width, 3), got {actual}; read_picture makes one of any file."
        )
    if min(picture.shape[:2]) < 16:
        raise PictureError(
            f"The picture is {picture.shape[1]}x{picture.shape[0]} px; at least 16 px a side are needed."
        )


def overlap(box: Box | np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the intersection over union (IoU) (N,) of a box with each of others (N, 4)."""
    box, others = np.asarray(box), np.reshape(others, (-1, 4))
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + areas - shared)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit rotation, uniform scale and translation from `source` (N, 2) to `target` (N, 2); return the (2, 3) matrix.

    Least squares after Umeyama (1991), "Least-squares estimation of transformation parameters between two point
    patterns", the estimate of scikit-image's SimilarityTransform. In the plane it is one complex division: with centred
    points as complex numbers, the factor of rotation and scale is <source, target> / <source, source>; reflections
    cannot occur.
    """
    a = source[:, 0] + 1j * source[:, 1]
    b = target[:, 0] + 1j * target[:, 1]
    a_centre, b_centre = a.mean(), b.mean()
    factor = np.vdot(a - a_centre, b - b_centre) / np.vdot(a - a_centre, a - a_centre).real
    shift = b_centre - factor * a_centre
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a (2, 3) matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map points (N, 2) by a (2, 3) matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def square_matrix(centre: tuple[float, float], side: float, size: int, angle: float = 0.0) -> np.ndarray:
    """Return the matrix that maps a square of the source onto a size x size picture.

    `centre` and `side` are in source pixels; `angle` (radians, clockwise on screen) is the direction of the square's
    own x axis.
    """
    scale = size / side
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]])
    # The square's middle falls between pixels when size is even: pixel centres count from 0 to size - 1.
    shift = (size - 1) / 2 - linear @ np.asarray(centre, np.float64)
    return np.concatenate([linear, shift[:, None]], axis=1)


def rescale(matrix: np.ndarray, scale: float) -> np.ndarray:
    """Return the matrix to the same square at `scale` times the pixels: edges stay edges, pixel centres shift."""
    result = matrix * scale
    result[:, 2] += 0.5 * (scale - 1)
    return result


def own_size(matrix: np.ndarray, size: int) -> float:
    """Return the side, in pixels of the picture, of the square that a matrix (2, 3) maps to a crop of `size` pixels."""
    return size / math.sqrt(abs(np.linalg.det(matrix[:, :2])))


def warp(
    picture: np.ndarray,
    matrix: np.ndarray,
    size: int,
    *,
    interpolation: Literal["linear", "cubic"] = "linear",
    border: Literal["replicate", "mirror"] = "replicate",
) -> np.ndarray:
    """Warp a picture (H, W, 3) uint8 to (size, size, 3) by a source-to-target matrix.

    Bilinear like the published crop, unless `interpolation` is "cubic". Beyond the picture, `border` continues it.
    Bilinear sampling reads four source pixels at any distance between samples, so a portrait shrunk to less than half
    would alias (moiré in hair and cloth); such a picture is first averaged over blocks of k x k pixels, k the integer
    number of source pixels that a sample covers. That is an exact change of grid: the geometry stays that of `matrix`.
    """
    import cv2

    beyond = cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_REFLECT
    block = math.floor(1 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6)
    block = min(block, *picture.shape[:2])
    if block >= 2:
        # Average only the visible part, padded to an integer number of blocks.
        height, width = picture.shape[:2]
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) - 0.5
        visible = transform(corners, invert(matrix))
        left, top = np.clip(np.floor(visible.min(axis=0)) - block, 0, [width - 1, height - 1]).astype(int)
        right, bottom = np.clip(np.ceil(visible.max(axis=0)) + block, [left + 1, top + 1], [width, height]).astype(int)
        part = picture[top:bottom, left:right]
        pad_x, pad_y = -part.shape[1] % block, -part.shape[0] % block
        if pad_x or pad_y:
            part = cv2.copyMakeBorder(part, 0, pad_y, 0, pad_x, beyond)
        picture = cv2.resize(part, (part.shape[1] // block, part.shape[0] // block), interpolation=cv2.INTER_AREA)
        # Pixel X of the small picture is centred on source pixel left + (X + 0.5) * block - 0.5.
        origin = np.array([left, top]) + (block - 1) / 2
        matrix = np.concatenate([matrix[:, :2] * block, (matrix[:, :2] @ origin + matrix[:, 2])[:, None]], axis=1)
    flags = cv2.INTER_LINEAR if interpolation == "linear" else cv2.INTER_CUBIC
    return cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=beyond)
