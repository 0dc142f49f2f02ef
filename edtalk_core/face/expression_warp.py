"""Warp pictures of faces to other expressions with the fitted face model: motion that is exact by construction.

Few people were filmed with eight emotions, and nobody with one brow at a time. A mesh fitted to a picture can produce
any of them, so each expression base of a model trained this way corresponds to a named group of blend shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .face_model import EXPRESSION_BASES, FACE, LEFT_EYE_HOLE, RIGHT_EYE_HOLE, FaceFit, face_model
from .landmarks import JAW, LEFT_LOWER_LID, LEFT_UPPER_LID, RIGHT_LOWER_LID, RIGHT_UPPER_LID

Array = NDArray[np.floating[Any]]

LIDS = list(EXPRESSION_BASES).index("lids")
UNIT = 3.0
"""Expression weight that corresponds to an amount of 1."""
WIDENED = {"eyeWide": 1.0}
"""Blend shapes of the base "lids" at an amount of -1."""

_OVERLAP = 0.08
"""Overlap of the lids in a blink, cm."""
_LID_REACH = (0.25, 1.6)
"""Range of the factor that scales the blink shape to close the eyes of a face."""
_RESIDUAL_REACH, _RESIDUAL_RIDGE = 1.1, 0.15
"""Radius, in cm, over which the fit's landmark residuals deform the mesh, and the ridge that smooths them."""
_BEHIND = 1.0
"""Depth of a hole's patch behind its rim, cm."""


@cache
def _base_displacements() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacements (B,V,3) of the bases at an amount of 1, and (V,3) of the lids at -1."""
    model = face_model()
    return model.fitted[: len(EXPRESSION_BASES)], model.displacement(WIDENED)


class WarpFlow(NamedTuple):
    """Optical flow from one expression of a face to another."""

    offsets: NDArray[np.float32]
    """(S,S,2), pixels: the content of pixel (x, y) is taken from (x, y) + offset."""
    face: NDArray[np.bool_]
    """(S,S): the pixels that the mesh covers."""


@dataclass(frozen=True)
class PosedFace:
    """The mesh fitted to one picture: vertex positions for any amounts of the expression bases."""

    rest: NDArray[np.float32]
    """(V,3): vertices in the picture's own expression; x and y in pixels, and depth towards the viewer."""
    axes: NDArray[np.float32]
    """(3,3): maps a displacement in cm to these coordinates."""
    lid_reach: NDArray[np.float32]
    """(V,): factor on the blink shape that closes this face's eyes."""

    @classmethod
    def of(cls, fit: FaceFit) -> PosedFace:
        """The mesh of a fit's first picture, corrected by the residuals so that it meets the landmarks."""
        model = face_model()
        shapes = model.neutral + np.tensordot(fit.identity, model.identities, 1)
        shapes = shapes + np.tensordot(fit.weights[0], model.fitted, 1)
        axes = fit.scale[0] * np.array([[1.0], [-1], [1]]) * fit.rotation[0]
        rest = shapes @ axes.T
        rest[:, :2] += fit.shift[0]
        rest[:, :2] += _interpolate_residuals(rest[:, :2], rest[model.landmarks[JAW.stop :], :2], fit)
        blink = _base_displacements()[0][LIDS] @ axes.T
        reach = np.zeros(len(rest))
        for upper, lower, side in (
            (RIGHT_UPPER_LID, RIGHT_LOWER_LID, model.neutral[:, 0] < 0),
            (LEFT_UPPER_LID, LEFT_LOWER_LID, model.neutral[:, 0] >= 0),
        ):
            above, below = model.landmarks[list(upper)], model.landmarks[list(lower)]
            opening = (rest[below, 1] - rest[above, 1]).mean() + _OVERLAP * fit.scale[0]
            closing = (blink[above, 1] - blink[below, 1]).mean()
            reach[side] = np.clip(opening / max(closing, 1e-3), *_LID_REACH)
        return cls(*(values.astype(np.float32) for values in (rest, axes, reach)))

    def vertices(self, amounts: Array) -> NDArray[np.float32]:
        """Vertices (V,3), as `rest`, for amounts (B,) of EXPRESSION_BASES beyond the picture's own expression.

        Lids at 1 are shut, however far they are open in the picture; below 0 they are widened.
        """
        bases, widened = _base_displacements()
        others, lids = np.array(amounts, np.float32), float(amounts[LIDS])
        others[LIDS] = 0
        displacement = np.tensordot(others, bases, 1)
        displacement += lids * self.lid_reach[:, None] * bases[LIDS] if lids > 0 else -lids * widened
        return np.asarray(self.rest + displacement @ self.axes.T, np.float32)


def _interpolate_residuals(points: Array, landmarks: Array, fit: FaceFit) -> Array:
    """Landmark residuals of a fit interpolated at points (V,2) by Gaussian radial basis functions."""
    extent = 2 * (_RESIDUAL_REACH * fit.scale[0]) ** 2

    def kernel(positions: Array) -> Array:
        return np.exp(-((positions[:, None] - landmarks) ** 2).sum(-1) / extent)

    system = kernel(landmarks) + _RESIDUAL_RIDGE * np.eye(len(landmarks))
    return kernel(points) @ np.linalg.solve(system, fit.residual[0, JAW.stop :])


def warp_flow(source: NDArray[np.float32], target: NDArray[np.float32], size: int) -> WarpFlow:
    """Flow that maps each pixel of a picture (size,size) with the vertices `target` to that with `source`: both (V,3).

    The frontmost surface counts. Eyeballs stay still behind their lids; regions that lids or lips newly uncover are
    stretched. Beyond the mesh the motion of its rim fades out.
    """
    import cv2

    model = face_model()
    # A cm in pixels by the extent of the mesh: patches lie behind the rims of their holes.
    centimetre = np.ptp(target[:, 1]) / np.ptp(model.neutral[:, 1])
    depth = np.where(model.parts == FACE, 0, -_BEHIND * centimetre).astype(np.float32)
    triangle, weights = rasterise(target, model.triangles, depth, size)
    face = triangle >= 0
    offsets = np.zeros((size, size, 2), np.float32)
    displacement = (source - target)[:, :2]
    offsets[face] = (displacement[model.triangles[triangle[face]]] * weights[face][..., None]).sum(axis=1)
    eyes = face & np.isin(model.parts[triangle], (RIGHT_EYE_HOLE, LEFT_EYE_HOLE))
    if eyes.any():
        eyeballs: NDArray[np.uint8] = np.zeros((size, size), np.uint8)
        for hole in model.holes[:2]:
            cv2.fillPoly(eyeballs, [np.round(source[hole, :2] * 16).astype(np.int32)], 1, shift=4)
        visible = cv2.GaussianBlur(cv2.erode(eyeballs, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 1.0)
        offsets[eyes] *= 1 - visible[eyes][:, None]
    if not face.all():
        offsets = np.where(face[..., None], offsets, _extend_flow(offsets, face))
    return WarpFlow(np.asarray(cv2.GaussianBlur(offsets, (0, 0), 0.7), np.float32), face)


def _extend_flow(offsets: NDArray[np.float32], face: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Extend the flow at the rim of the face beyond it, fading with distance: (S,S,2)."""
    import cv2

    size = len(face)
    small = (max(size // 4, 1),) * 2
    shares = cv2.resize(face.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(offsets * face[..., None], small, interpolation=cv2.INTER_AREA)
    shares, sums = cv2.GaussianBlur(shares, (0, 0), 3), cv2.GaussianBlur(sums, (0, 0), 3)
    spread = sums / np.maximum(shares, 1e-4)[..., None] * np.clip(2 * shares, 0, 1)[..., None]
    return np.asarray(cv2.resize(spread, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def rasterise(
    vertices: NDArray[np.float32], triangles: NDArray[np.int64], depth: NDArray[np.float32], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Frontmost triangle at each pixel of a picture (size,size), -1 where there is none, and the pixel's barycentric
    weights in it (size,size,3).

    `vertices` (V,3): x and y in pixels, and depth towards the viewer, to which the `depth` (F,) of each of the
    `triangles` (F,3) is added.
    """
    corners = vertices[triangles]
    low = np.ceil(np.maximum(corners[..., :2].min(axis=1), 0)).astype(np.int64)
    high = np.floor(np.minimum(corners[..., :2].max(axis=1), size - 1)).astype(np.int64)
    extent = high - low + 1
    origin, sides = corners[:, 0, :2], corners[:, 1:, :2] - corners[:, :1, :2]
    area = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 1, 0] * sides[:, 0, 1]
    visible = np.flatnonzero((extent > 0).all(axis=1) & (np.abs(area) > 1e-6))
    # All pixels of the triangles' bounding boxes, one after another.
    counts = extent[visible].prod(axis=1)
    triangle = np.repeat(visible, counts)
    offset = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = extent[triangle, 0]
    x, y = low[triangle, 0] + offset % width, low[triangle, 1] + offset // width
    right, down = x - origin[triangle, 0], y - origin[triangle, 1]
    first, second = sides[triangle, 0], sides[triangle, 1]
    second_weight = (right * second[:, 1] - second[:, 0] * down) / area[triangle]
    third_weight = (first[:, 0] * down - right * first[:, 1]) / area[triangle]
    weights = np.stack([1 - second_weight - third_weight, second_weight, third_weight], 1).astype(np.float32)
    inside = (weights >= -1e-4).all(axis=1)
    triangle, pixel, weights = triangle[inside], (y * size + x)[inside], weights[inside]
    depths = (corners[triangle, :, 2] * weights).sum(axis=1) + depth[triangle]
    order = np.argsort(depths, kind="stable")
    # Where several triangles write to the same pixel NumPy keeps the last one, the frontmost.
    frontmost = np.full(size * size, -1)
    frontmost[pixel[order]] = order
    covered = frontmost >= 0
    index: NDArray[np.int64] = np.full(size * size, -1)
    shares: NDArray[np.float32] = np.zeros((size * size, 3), np.float32)
    index[covered], shares[covered] = triangle[frontmost[covered]], weights[frontmost[covered]]
    return index.reshape(size, size), shares.reshape(size, size, 3)


def warp_picture(picture: NDArray[Any], source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[Any]:
    """Warp a picture (S,S,3) so that the vertices `source` (V,3) move to `target`."""
    return apply_flow(picture, warp_flow(source, target, len(picture)).offsets)


def apply_flow(picture: NDArray[Any], offsets: NDArray[np.float32]) -> NDArray[Any]:
    """Warp a picture (S,S,C) by `offsets` (S,S,2) in pixels; border pixels are replicated."""
    import cv2

    size = len(picture)
    columns, rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    return cv2.remap(
        picture, columns + offsets[..., 0], rows + offsets[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
