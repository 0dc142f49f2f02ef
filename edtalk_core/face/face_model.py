"""A 3D face model whose pose, identity and blend shapes are fitted to landmarks: motion in named terms.

The mesh is the face area of ICT-FaceKit (University of Southern California, MIT): a neutral head, identities and the
blend shapes of ARKit, separate for left and right. Coordinates are centimetres, x to the right of a picture, y up, z
towards the viewer; the person's left is at positive x. The camera is scaled orthographic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..builtin_files import builtin_file
from ..errors import ArgumentError
from .landmarks import EYES, JAW, LANDMARK_COUNT, MOUTH, OUTER_EYE_CORNERS, Points

Array = NDArray[np.floating[Any]]

FACE, RIGHT_EYE_HOLE, LEFT_EYE_HOLE, MOUTH_HOLE = range(4)
"""Parts of the mesh, see `FaceModel.parts`."""

EXPRESSION_BASES: dict[str, dict[str, float]] = {
    "brows down": {"browDown": 1.0},
    "smile": {"mouthSmile": 1.0, "mouthDimple": 0.3},
    "frown": {"mouthFrown": 1.0, "mouthShrugLower": 0.4},
    "corner": {
        "mouthSmile_L": 1.0,
        "mouthDimple_L": 0.6,
        "cheekSquint_L": 0.4,
        "mouthSmile_R": -0.3,
        "mouthDimple_R": -0.2,
        "cheekSquint_R": -0.1,
    },
    "inner brows": {"browInnerUp": 1.0},
    "outer brows": {"browOuterUp": 1.0},
    "stretch": {"mouthStretch": 1.0},
    "squint": {"eyeSquint": 1.0, "cheekSquint": 1.0},
    "lids": {"eyeBlink": 1.0},
    "sneer": {"noseSneer": 1.0},
}
"""Bases of an expression bank by name, in order: the weights of their blend shapes at an amount of 1.

"corner" raises the corner of the mouth at the picture's right."""

MOUTH_SHAPES: tuple[str, ...] = (
    *("jawOpen", "jawLeft", "mouthLeft", "mouthPucker", "mouthFunnel", "mouthRollLower", "mouthRollUpper"),
    *("mouthLowerDown", "mouthUpperUp", "mouthShrugLower"),
)
"""Blend shapes of the mouth in speech."""

MIN_WEIGHT, MAX_WEIGHT = -0.5, 1.3
"""Range of fitted weights. It includes negative ones: a relaxed face is not the mesh's neutral one."""


@dataclass(frozen=True)
class FaceModel:
    """The mesh, its identities and its blend shapes."""

    neutral: NDArray[np.float32]
    """(V,3): vertices of the neutral face."""
    triangles: NDArray[np.int64]
    """(F,3), of the face and of the patches that close its three holes."""
    parts: NDArray[np.int64]
    """(F,): FACE, or the hole that the triangle closes."""
    landmarks: NDArray[np.int64]
    """(68,): the vertices of the landmarks."""
    landmark_offsets: NDArray[np.float32]
    """(68,3): mean offsets of MediaPipe's landmarks from these vertices, measured on clips."""
    identities: NDArray[np.float32]
    """(I,V,3): displacements at one standard deviation each."""
    shapes: Mapping[str, NDArray[np.float32]]
    """Displacements (V,3) of each blend shape at weight 1."""
    holes: Sequence[NDArray[np.int64]]
    """Vertices around the right eye, the left eye and the mouth, in order."""

    def displacement(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """Vertex displacements (V,3) of blend shapes by weight; a name without _L or _R means both sides.

        Raises ArgumentError for a shape that the mesh does not have.
        """
        total = np.zeros_like(self.neutral)
        for name, weight in weights.items():
            sides = [side for side in (name, f"{name}_L", f"{name}_R") if side in self.shapes]
            if not sides:
                raise ArgumentError(f'The face model has no blend shape "{name}"; it has {", ".join(self.shapes)}.')
            for side in sides:
                total += np.float32(weight) * self.shapes[side]
        return total

    @cached_property
    def fitted(self) -> NDArray[np.float32]:
        """Displacements (K,V,3) of EXPRESSION_BASES and then of MOUTH_SHAPES, in their order."""
        shapes = [*EXPRESSION_BASES.values(), *({name: 1.0} for name in MOUTH_SHAPES)]
        return np.stack([self.displacement(weights) for weights in shapes])


@cache
def face_model() -> FaceModel:
    """The face model that ships with EDTalk; it is read once and cached."""
    with np.load(builtin_file("face_model.npz"), allow_pickle=False) as file:
        arrays = dict(file)
    neutral = arrays["neutral"].astype(np.float32)
    quads = arrays["quads"].astype(np.int64)
    holes = _find_holes(neutral, quads)
    patches = [_triangulate_hole(neutral, hole) for hole in holes]
    triangles = [np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]), *patches]
    return FaceModel(
        neutral,
        np.concatenate(triangles),
        np.repeat(np.arange(len(triangles)), [len(part) for part in triangles]),
        arrays["landmarks"].astype(np.int64),
        arrays["landmark_offsets"].astype(np.float32),
        arrays["identities"].astype(np.float32),
        dict(zip(arrays["shape_names"].tolist(), arrays["shapes"].astype(np.float32), strict=True)),
        holes,
    )


def _find_holes(neutral: Array, quads: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Boundary loops of the mesh without its outer rim: right eye, left eye, mouth."""
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    neighbours: dict[int, list[int]] = {}
    for start, end in edges[uses == 1].tolist():
        neighbours.setdefault(start, []).append(end)
        neighbours.setdefault(end, []).append(start)
    loops = []
    while neighbours:
        loop = [next(iter(neighbours))]
        while candidates := [vertex for vertex in neighbours.pop(loop[-1]) if vertex in neighbours]:
            loop.append(candidates[0])
        loops.append(np.array(loop))
    right, left, mouth = sorted(loops, key=len)[:3]
    if neutral[right, 0].mean() > 0:
        right, left = left, right
    return [right, left, mouth]


def _triangulate_hole(neutral: Array, hole: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangulate a hole as a strip between its upper and lower rim, from corner to corner: (F,3)."""
    start = int(neutral[hole, 0].argmin())
    hole = np.roll(hole, -start)
    end = int(neutral[hole, 0].argmax())
    rims = hole[: end + 1], np.r_[hole[:1], hole[: end - 1 : -1]]
    triangles = []
    i = j = 0
    while i < len(rims[0]) - 1 or j < len(rims[1]) - 1:
        first_is_behind = j == len(rims[1]) - 1 or (
            i < len(rims[0]) - 1 and neutral[rims[0][i + 1], 0] <= neutral[rims[1][j + 1], 0]
        )
        following = rims[0][i + 1] if first_is_behind else rims[1][j + 1]
        triangles.append((rims[0][i], rims[1][j], following))
        i, j = (i + 1, j) if first_is_behind else (i, j + 1)
    return np.array([triangle for triangle in triangles if len(set(triangle)) == 3])


@dataclass(frozen=True)
class FaceFit:
    """Pose, identity and expression of a face in T pictures.

    A vertex v of the mesh lies at scale * (x, -y) + shift, where (x, y, z) = rotation @ v.
    """

    scale: Array
    """(T,): pixels per centimetre."""
    rotation: Array
    """(T,3,3)."""
    shift: Array
    """(T,2): position of the mesh's origin in the picture, pixels."""
    identity: Array
    """(I,): weights of the identities, the same in all pictures."""
    weights: Array
    """(T,K): of EXPRESSION_BASES and then of MOUTH_SHAPES, in their order."""
    residual: Array
    """(T,68,2): landmarks minus the model's projections, pixels."""

    def at(self, index: int) -> FaceFit:
        """The fit of a single picture."""
        row = slice(index, index + 1)
        return FaceFit(
            self.scale[row], self.rotation[row], self.shift[row], self.identity, self.weights[row], self.residual[row]
        )


_FITTED = np.arange(JAW.stop, LANDMARK_COUNT)
"""Landmarks that are fitted. Those of the jaw lie on the outline, a different line of the face in each pose."""
_IMPORTANCE = np.ones(LANDMARK_COUNT)
_IMPORTANCE[EYES], _IMPORTANCE[MOUTH] = 1.6, 1.2
_ROBUST_ERROR = 0.5
"""Landmark error, in cm, beyond which a landmark counts less."""
_SHAPE_PRIORS = np.repeat([0.2, 0.7], [len(EXPRESSION_BASES), len(MOUTH_SHAPES)])
_IDENTITY_PRIOR = 0.4
"""Strengths with which weights are pulled to zero: the reduction of landmark errors, in cm, that justifies a weight
of 1. The shapes of speech are many and similar: with weaker priors they would cancel each other."""
_MAX_IDENTITY_PICTURES = 60
"""Largest number of pictures that an identity is fitted to."""
_POSE_SIZE = 6
"""Unknowns of a pose: logarithm of the scale, rotation vector, shift."""


def fit_face(landmarks: Points, *, identity: Array | None = None, iterations: int = 20) -> FaceFit:
    """Fit pose, shapes and one identity to the landmarks (T,68,2) of one person's pictures, in pixels.

    Robust least squares by Gauss-Newton with priors: poses and shapes picture by picture, alternating with the
    identity, which is fixed if `identity` (I,) is set. Raises ArgumentError for landmarks of another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (LANDMARK_COUNT, 2) or not len(landmarks):
        raise ArgumentError(f"A face is fitted to landmarks (T,{LANDMARK_COUNT},2), not {landmarks.shape}.")
    model = face_model()
    vertices = model.landmarks[_FITTED]
    target = landmarks[:, _FITTED].astype(np.float64)
    neutral = (model.neutral[vertices] + model.landmark_offsets[_FITTED]).astype(np.float64)
    identities = model.identities[:, vertices].astype(np.float64)
    shapes = model.fitted[:, vertices].astype(np.float64)
    eyes = [corner - JAW.stop for corner in OUTER_EYE_CORNERS]
    scale = np.linalg.norm(np.diff(target[:, eyes], axis=1)[:, 0], axis=1) / np.ptp(neutral[eyes, 0])
    rotation = np.tile(np.eye(3), (len(target), 1, 1))
    shift = target.mean(axis=1) - scale[:, None] * neutral.mean(axis=0)[:2] * [1, -1]
    weights = np.zeros((len(target), len(shapes)))
    person = np.zeros(len(identities)) if identity is None else np.asarray(identity, np.float64)

    def posed_points() -> Array:
        points = neutral + np.tensordot(person, identities, 1) + np.tensordot(weights, shapes, 1)
        return points @ rotation.transpose(0, 2, 1)

    def project(points: Array) -> Array:
        return scale[:, None, None] * points[..., :2] * [1, -1] + shift[:, None]

    for iteration in range(iterations):
        points = posed_points()
        error = target - project(points)
        distance = np.linalg.norm(error, axis=2) / scale[:, None]
        confidence = _IMPORTANCE[_FITTED] / np.sqrt(1 + (distance / _ROBUST_ERROR) ** 2)
        system, right = _pose_equations(points, error, confidence, rotation, scale, shapes)
        # The pose converges first, or shapes would explain a turned head.
        prior = (_SHAPE_PRIORS * scale[:, None]) ** 2 if iteration > 2 else np.full_like(weights, 1e9)
        diagonal = np.arange(_POSE_SIZE, system.shape[1])
        system[:, diagonal, diagonal] += prior
        right[:, _POSE_SIZE:] -= prior * weights
        step = np.linalg.solve(system, right[..., None])[..., 0]
        scale = scale * np.exp(step[:, 0].clip(-0.3, 0.3))
        rotation = _rotations(step[:, 1:4].clip(-0.4, 0.4)) @ rotation
        shift = shift + step[:, 4:_POSE_SIZE]
        weights = (weights + step[:, _POSE_SIZE:]).clip(MIN_WEIGHT, MAX_WEIGHT)
        if identity is None and iteration > 1:
            sample = slice(None, None, -(-len(target) // _MAX_IDENTITY_PICTURES))
            error = ((target - project(posed_points()))[sample] / scale[sample, None, None]) * confidence[
                sample, :, None
            ]
            jacobian = _projection(rotation[sample], identities) * confidence[sample, :, None, None]
            jacobian = jacobian.reshape(-1, len(identities))
            pictures = len(scale[sample])
            person = person + np.linalg.solve(
                jacobian.T @ jacobian / pictures + _IDENTITY_PRIOR**2 * np.eye(len(person)),
                jacobian.T @ error.reshape(-1) / pictures - _IDENTITY_PRIOR**2 * person,
            )
    vertices = model.landmarks
    points = model.neutral[vertices] + model.landmark_offsets + np.tensordot(person, model.identities[:, vertices], 1)
    points = (points + np.tensordot(weights, model.fitted[:, vertices], 1)) @ rotation.transpose(0, 2, 1)
    return FaceFit(scale, rotation, shift, person, weights, landmarks - project(points))


def _projection(rotation: Array, displacements: Array) -> Array:
    """Image-plane motion, in cm, of points under displacements (K,P,3): (T,P,2,K)."""
    count, points, _ = displacements.shape
    projected = (rotation[:, :2] * [[1], [-1]]) @ displacements.transpose(2, 1, 0).reshape(3, -1)
    return projected.reshape(-1, 2, points, count).transpose(0, 2, 1, 3)


def _pose_equations(
    points: Array, error: Array, confidence: Array, rotation: Array, scale: Array, shapes: Array
) -> tuple[Array, Array]:
    """Normal equations (T,6+K,6+K) and (T,6+K) of a step in the pose and the shapes' weights."""
    pictures, count, _ = points.shape
    jacobian = np.zeros((pictures, count, 2, _POSE_SIZE + len(shapes)))
    x, y, z = np.moveaxis(points, -1, 0)
    jacobian[:, :, 0, 0], jacobian[:, :, 1, 0] = x, -y
    # A small rotation (a, b, c) adds its cross product with the point.
    jacobian[:, :, 1, 1], jacobian[:, :, 0, 2] = z, z
    jacobian[:, :, 0, 3], jacobian[:, :, 1, 3] = -y, -x
    jacobian[..., _POSE_SIZE:] = _projection(rotation, shapes)
    jacobian *= scale[:, None, None, None]
    jacobian[:, :, 0, 4] = jacobian[:, :, 1, 5] = 1
    weighted = (jacobian * confidence[..., None, None]).reshape(pictures, 2 * count, -1)
    system = weighted.transpose(0, 2, 1) @ weighted
    diagonal = np.arange(system.shape[1])
    system[:, diagonal, diagonal] *= 1.01
    right = weighted.transpose(0, 2, 1) @ (error * confidence[..., None]).reshape(pictures, -1, 1)
    return system, right[..., 0]


def _rotations(vectors: Array) -> Array:
    """Convert rotation vectors (T,3) to matrices (T,3,3) by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    axis = vectors / np.maximum(angle[:, 0], 1e-12)
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
