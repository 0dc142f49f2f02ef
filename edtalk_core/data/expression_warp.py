"""Pictures of faces warped into other expressions by the fitted face model: motion that is exact by construction.

Few people were filmed with eight emotions, and nobody with one brow at a time. A mesh that is fitted to a picture moves
all of it: each expression base of a model taught this way stands for a group of blend shapes that has a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..face.landmarks import JAW, LEFT_LOWER_LID, LEFT_UPPER_LID, RIGHT_LOWER_LID, RIGHT_UPPER_LID
from .face_model import EXPRESSION_BASES, FACE, LEFT_EYE_HOLE, RIGHT_EYE_HOLE, FaceFit, face_model

Array = NDArray[np.floating[Any]]

LIDS = list(EXPRESSION_BASES).index("lids")
UNIT = 3.0
"""Expression weight that stands for an amount of 1."""
WIDENED = {"eyeWide": 1.0}
"""Blend shapes of "lids" at -1."""

_OVERLAP = 0.08
"""How far the lids are moved beyond each other in a blink, cm."""
_LID_REACH = (0.25, 1.6)
"""By how much the shape of a blink may be scaled to close the eyes of a face."""
_RESIDUAL_REACH, _RESIDUAL_RIDGE = 1.1, 0.15
"""Extent, in cm, over which what the fit leaves of a landmark moves the mesh, and its smoothing."""
_BEHIND = 1.0
"""How far behind the rims of a hole its patch lies, cm."""


@cache
def _base_displacements() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacements (B,V,3) of the bases at an amount of 1, and (V,3) of the lids at -1."""
    model = face_model()
    return model.fitted[: len(EXPRESSION_BASES)], model.displacement(WIDENED)


class WarpFlow(NamedTuple):
    """Where the pixels of one view of a face lie in another."""

    offsets: NDArray[np.float32]
    """(S,S,2), pixels: the content of pixel (x, y) is taken from (x, y) + offset."""
    face: NDArray[np.bool_]
    """(S,S): where the mesh is seen."""


@dataclass(frozen=True)
class PosedFace:
    """The mesh over one picture: where its vertices lie for any amounts of the expression bases."""

    rest: NDArray[np.float32]
    """(V,3): vertices in the picture's own expression; x and y in pixels, and depth towards the viewer."""
    axes: NDArray[np.float32]
    """(3,3): what a displacement in cm is in these coordinates."""
    lid_reach: NDArray[np.float32]
    """(V,): factor of the shape of a blink that closes this face's eyes."""

    @classmethod
    def of(cls, fit: FaceFit) -> PosedFace:
        """The first picture of a fit, its landmarks met exactly but for noise."""
        model = face_model()
        shapes = model.neutral + np.tensordot(fit.identity, model.identities, 1)
        shapes = shapes + np.tensordot(fit.weights[0], model.fitted, 1)
        axes = fit.scale[0] * np.array([[1.0], [-1], [1]]) * fit.rotation[0]
        rest = shapes @ axes.T
        rest[:, :2] += fit.shift[0]
        rest[:, :2] += _spread(rest[:, :2], rest[model.landmarks[JAW.stop :], :2], fit)
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
        moved = np.tensordot(others, bases, 1)
        moved += lids * self.lid_reach[:, None] * bases[LIDS] if lids > 0 else -lids * widened
        return np.asarray(self.rest + moved @ self.axes.T, np.float32)


def _spread(points: Array, landmarks: Array, fit: FaceFit) -> Array:
    """What the fit leaves of landmarks, over points (V,2) beside them: Gaussian radial basis functions."""
    extent = 2 * (_RESIDUAL_REACH * fit.scale[0]) ** 2

    def nearness(some: Array) -> Array:
        return np.exp(-((some[:, None] - landmarks) ** 2).sum(-1) / extent)

    system = nearness(landmarks) + _RESIDUAL_RIDGE * np.eye(len(landmarks))
    return nearness(points) @ np.linalg.solve(system, fit.residual[0, JAW.stop :])


def warp_flow(source: NDArray[np.float32], target: NDArray[np.float32], size: int) -> WarpFlow:
    """Where each pixel of a picture (size,size) of the vertices `target` lies in that of `source`: both (V,3).

    The foremost surface counts. Eyeballs stand still behind their lids; what lids uncover that was not seen is
    stretched, as is what lies between the lips. Beyond the mesh the motion of its rim fades out.
    """
    import cv2

    model = face_model()
    # A cm in pixels, told by the extent of the mesh: patches lie behind the rims of their holes.
    centimetre = np.ptp(target[:, 1]) / np.ptp(model.neutral[:, 1])
    depth = np.where(model.parts == FACE, 0, -_BEHIND * centimetre).astype(np.float32)
    triangle, weights = rasterise(target, model.triangles, depth, size)
    face = triangle >= 0
    offsets = np.zeros((size, size, 2), np.float32)
    moved = (source - target)[:, :2]
    offsets[face] = (moved[model.triangles[triangle[face]]] * weights[face][..., None]).sum(axis=1)
    eyes = face & np.isin(model.parts[triangle], (RIGHT_EYE_HOLE, LEFT_EYE_HOLE))
    if eyes.any():
        eyeballs: NDArray[np.uint8] = np.zeros((size, size), np.uint8)
        for hole in model.holes[:2]:
            cv2.fillPoly(eyeballs, [np.round(source[hole, :2] * 16).astype(np.int32)], 1, shift=4)
        seen = cv2.GaussianBlur(cv2.erode(eyeballs, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 1.0)
        offsets[eyes] *= 1 - seen[eyes][:, None]
    if not face.all():
        offsets = np.where(face[..., None], offsets, _faded(offsets, face))
    return WarpFlow(np.asarray(cv2.GaussianBlur(offsets, (0, 0), 0.7), np.float32), face)


def _faded(offsets: NDArray[np.float32], face: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The motion at the rim of the face, spread beyond it and fading: (S,S,2)."""
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
    """The foremost triangle at each pixel of a picture, (size,size), -1 where there is none, and barycentric weights
    (size,size,3) in it.

    `vertices` (V,3): x and y in pixels, and depth towards the viewer, to which `depth` (F,) of each of the `triangles`
    (F,3) is added.
    """
    corners = vertices[triangles]
    low = np.ceil(np.maximum(corners[..., :2].min(axis=1), 0)).astype(np.int64)
    high = np.floor(np.minimum(corners[..., :2].max(axis=1), size - 1)).astype(np.int64)
    extent = high - low + 1
    origin, sides = corners[:, 0, :2], corners[:, 1:, :2] - corners[:, :1, :2]
    area = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 1, 0] * sides[:, 0, 1]
    shown = np.flatnonzero((extent > 0).all(axis=1) & (np.abs(area) > 1e-6))
    # All pixels of the triangles' bounding boxes, one after another.
    counts = extent[shown].prod(axis=1)
    triangle = np.repeat(shown, counts)
    place = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = extent[triangle, 0]
    x, y = low[triangle, 0] + place % width, low[triangle, 1] + place // width
    right, down = x - origin[triangle, 0], y - origin[triangle, 1]
    first, second = sides[triangle, 0], sides[triangle, 1]
    second_weight = (right * second[:, 1] - second[:, 0] * down) / area[triangle]
    third_weight = (first[:, 0] * down - right * first[:, 1]) / area[triangle]
    weights = np.stack([1 - second_weight - third_weight, second_weight, third_weight], 1).astype(np.float32)
    inside = (weights >= -1e-4).all(axis=1)
    triangle, pixel, weights = triangle[inside], (y * size + x)[inside], weights[inside]
    nearness = (corners[triangle, :, 2] * weights).sum(axis=1) + depth[triangle]
    order = np.argsort(nearness, kind="stable")
    # Of several values for one place NumPy keeps the last: the foremost.
    foremost = np.full(size * size, -1)
    foremost[pixel[order]] = order
    seen = foremost >= 0
    index: NDArray[np.int64] = np.full(size * size, -1)
    shares: NDArray[np.float32] = np.zeros((size * size, 3), np.float32)
    index[seen], shares[seen] = triangle[foremost[seen]], weights[foremost[seen]]
    return index.reshape(size, size), shares.reshape(size, size, 3)


def apply_flow(picture: NDArray[Any], offsets: NDArray[np.float32]) -> NDArray[Any]:
    """A picture (S,S,C) whose pixels are taken from where `offsets` (S,S,2) say; beyond the rim it is repeated."""
    import cv2

    size = len(picture)
    columns, rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    return cv2.remap(
        picture, columns + offsets[..., 0], rows + offsets[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
