"""A 3D face whose pose, identity and blend shapes are fitted to landmarks: motion measured in terms that have names.

The mesh is the face area of ICT-FaceKit (University of Southern California, MIT): a neutral head, identities and the
blend shapes that ARKit names, left and right apart. Coordinates are centimetres, x to the right of a picture, y up, z
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
from ..face.landmarks import EYES, JAW, LANDMARK_COUNT, MOUTH, OUTER_EYE_CORNERS, Points

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
"""What the bases of an expression bank stand for, by name and in their order: blend shapes at an amount of 1.

"corner" raises the corner of the mouth at the picture's right."""

MOUTH_SHAPES: tuple[str, ...] = (
    *("jawOpen", "jawLeft", "mouthLeft", "mouthPucker", "mouthFunnel", "mouthRollLower", "mouthRollUpper"),
    *("mouthLowerDown", "mouthUpperUp", "mouthShrugLower"),
)
"""Blend shapes that the mouth has of speech."""

LOWEST_WEIGHT, HIGHEST_WEIGHT = -0.5, 1.3
"""Between which fitted weights stay: a face that looks calm is not the mesh's neutral one."""


@dataclass(frozen=True)
class FaceModel:
    """The mesh and what moves it."""

    neutral: NDArray[np.float32]
    """(V,3)."""
    triangles: NDArray[np.int64]
    """(F,3), of the face and of the patches that close its three holes."""
    parts: NDArray[np.int64]
    """(F,) of each triangle: FACE, or which of the holes it closes."""
    landmarks: NDArray[np.int64]
    """(68,): the vertices of the landmarks."""
    landmark_offsets: NDArray[np.float32]
    """(68,3): how far from these vertices MediaPipe's landmarks lie on average, as measured on people's clips."""
    identities: NDArray[np.float32]
    """(I,V,3): displacements of a standard deviation each."""
    shapes: Mapping[str, NDArray[np.float32]]
    """Displacements (V,3) of each blend shape at weight 1."""
    holes: Sequence[NDArray[np.int64]]
    """Vertices round the right eye, the left eye and the mouth, in order."""

    def displacement(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """Vertex displacements (V,3) of blend shapes by weight; a name without _L or _R stands for both sides.

        Raises ArgumentError for a shape that the mesh does not have.
        """
        total = np.zeros_like(self.neutral)
        for name, weight in weights.items():
            names = [side for side in (name, f"{name}_L", f"{name}_R") if side in self.shapes]
            if not names:
                raise ArgumentError(f'The face model has no blend shape "{name}"; it has {", ".join(self.shapes)}.')
            for side in names:
                total += np.float32(weight) * self.shapes[side]
        return total

    @cached_property
    def fitted(self) -> NDArray[np.float32]:
        """Displacements (K,V,3) of EXPRESSION_BASES and then of MOUTH_SHAPES, in their order."""
        shapes = [*EXPRESSION_BASES.values(), *({name: 1.0} for name in MOUTH_SHAPES)]
        return np.stack([self.displacement(weights) for weights in shapes])


@cache
def face_model() -> FaceModel:
    """The model that ships with EDTalk, read once."""
    with np.load(builtin_file("face_model.npz"), allow_pickle=False) as file:
        arrays = dict(file)
    neutral = arrays["neutral"].astype(np.float32)
    quads = arrays["quads"].astype(np.int64)
    holes = _holes(neutral, quads)
    patches = [_patch(neutral, hole) for hole in holes]
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


def _holes(neutral: Array, quads: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The loops of edges with a face on one side only, except the mesh's own rim: right eye, left eye, mouth."""
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    neighbours: dict[int, list[int]] = {}
    for one, other in edges[uses == 1].tolist():
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    loops = []
    while neighbours:
        loop = [next(iter(neighbours))]
        while ahead := [vertex for vertex in neighbours.pop(loop[-1]) if vertex in neighbours]:
            loop.append(ahead[0])
        loops.append(np.array(loop))
    right, left, mouth = sorted(loops, key=len)[:3]
    if neutral[right, 0].mean() > 0:
        right, left = left, right
    return [right, left, mouth]


def _patch(neutral: Array, hole: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles (F,3) that close a hole by a strip between its upper and its lower rim, from corner to corner."""
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
    """Where a face is in T pictures, and what it does.

    A vertex v of the mesh lies at scale * (x, -y) + shift, where (x, y, z) = rotation @ v.
    """

    scale: Array
    """(T,): pixels a centimetre."""
    rotation: Array
    """(T,3,3)."""
    shift: Array
    """(T,2): where the mesh's origin lies in the picture, pixels."""
    identity: Array
    """(I,): weights of the identities, the same in all pictures."""
    weights: Array
    """(T,K): of EXPRESSION_BASES and then of MOUTH_SHAPES, in their order."""
    residual: Array
    """(T,68,2): landmarks less what the model makes of them, pixels."""

    def at(self, index: int) -> FaceFit:
        """The fit of one of the pictures alone."""
        one = slice(index, index + 1)
        return FaceFit(
            self.scale[one], self.rotation[one], self.shift[one], self.identity, self.weights[one], self.residual[one]
        )


_USED = np.arange(JAW.stop, LANDMARK_COUNT)
"""Of the jaw, landmarks lie on the outline, which is another line of the face in every pose."""
_IMPORTANCE = np.ones(LANDMARK_COUNT)
_IMPORTANCE[EYES], _IMPORTANCE[MOUTH] = 1.6, 1.2
_ROBUST = 0.5
"""Error of a landmark, in cm, from which on it counts less."""
_SHAPE_PRIORS = np.repeat([0.2, 0.7], [len(EXPRESSION_BASES), len(MOUTH_SHAPES)])
_IDENTITY_PRIOR = 0.4
"""How strongly weights are held at zero: errors of all landmarks, in cm, that a weight of 1 must save. Shapes of speech
are many that look alike: held less, they would work against each other."""
_PATIENCE = 60
"""Pictures at most that an identity is told by."""
_POSE = 6
"""Unknowns of a pose: logarithm of the scale, rotation vector, shift."""


def fit_face(landmarks: Points, *, identity: Array | None = None, iterations: int = 20) -> FaceFit:
    """Fit pose, shapes and one identity to the landmarks (T,68,2) of one person's pictures, in pixels.

    Robust least squares by Gauss-Newton with priors: poses and shapes picture by picture, in turn with the identity,
    which stays as it is where `identity` (I,) gives it. Raises ArgumentError for another shape of landmarks.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (LANDMARK_COUNT, 2) or not len(landmarks):
        raise ArgumentError(f"A face is fitted to landmarks (T,{LANDMARK_COUNT},2), not {landmarks.shape}.")
    model = face_model()
    vertices = model.landmarks[_USED]
    target = landmarks[:, _USED].astype(np.float64)
    neutral = (model.neutral[vertices] + model.landmark_offsets[_USED]).astype(np.float64)
    identities = model.identities[:, vertices].astype(np.float64)
    shapes = model.fitted[:, vertices].astype(np.float64)
    eyes = [corner - JAW.stop for corner in OUTER_EYE_CORNERS]
    scale = np.linalg.norm(np.diff(target[:, eyes], axis=1)[:, 0], axis=1) / np.ptp(neutral[eyes, 0])
    rotation = np.tile(np.eye(3), (len(target), 1, 1))
    shift = target.mean(axis=1) - scale[:, None] * neutral.mean(axis=0)[:2] * [1, -1]
    weights = np.zeros((len(target), len(shapes)))
    person = np.zeros(len(identities)) if identity is None else np.asarray(identity, np.float64)

    def turned() -> Array:
        points = neutral + np.tensordot(person, identities, 1) + np.tensordot(weights, shapes, 1)
        return points @ rotation.transpose(0, 2, 1)

    def projected(points: Array) -> Array:
        return scale[:, None, None] * points[..., :2] * [1, -1] + shift[:, None]

    for iteration in range(iterations):
        points = turned()
        error = target - projected(points)
        distance = np.linalg.norm(error, axis=2) / scale[:, None]
        trust = _IMPORTANCE[_USED] / np.sqrt(1 + (distance / _ROBUST) ** 2)
        system, right = _pose_equations(points, error, trust, rotation, scale, shapes)
        # The pose comes first: without it, shapes would explain a turned head.
        prior = (_SHAPE_PRIORS * scale[:, None]) ** 2 if iteration > 2 else np.full_like(weights, 1e9)
        own = np.arange(_POSE, system.shape[1])
        system[:, own, own] += prior
        right[:, _POSE:] -= prior * weights
        step = np.linalg.solve(system, right[..., None])[..., 0]
        scale = scale * np.exp(step[:, 0].clip(-0.3, 0.3))
        rotation = _rotations(step[:, 1:4].clip(-0.4, 0.4)) @ rotation
        shift = shift + step[:, 4:_POSE]
        weights = (weights + step[:, _POSE:]).clip(LOWEST_WEIGHT, HIGHEST_WEIGHT)
        if identity is None and iteration > 1:
            some = slice(None, None, -(-len(target) // _PATIENCE))
            error = ((target - projected(turned()))[some] / scale[some, None, None]) * trust[some, :, None]
            jacobian = _projection(rotation[some], identities) * trust[some, :, None, None]
            jacobian = jacobian.reshape(-1, len(identities))
            pictures = len(scale[some])
            person = person + np.linalg.solve(
                jacobian.T @ jacobian / pictures + _IDENTITY_PRIOR**2 * np.eye(len(person)),
                jacobian.T @ error.reshape(-1) / pictures - _IDENTITY_PRIOR**2 * person,
            )
    everywhere = model.landmarks
    points = (
        model.neutral[everywhere] + model.landmark_offsets + np.tensordot(person, model.identities[:, everywhere], 1)
    )
    points = (points + np.tensordot(weights, model.fitted[:, everywhere], 1)) @ rotation.transpose(0, 2, 1)
    return FaceFit(scale, rotation, shift, person, weights, landmarks - projected(points))


def _projection(rotation: Array, displacements: Array) -> Array:
    """How displacements (K,P,3) move points in pictures, in cm: (T,P,2,K)."""
    count, points, _ = displacements.shape
    moved = (rotation[:, :2] * [[1], [-1]]) @ displacements.transpose(2, 1, 0).reshape(3, -1)
    return moved.reshape(-1, 2, points, count).transpose(0, 2, 1, 3)


def _pose_equations(
    points: Array, error: Array, trust: Array, rotation: Array, scale: Array, shapes: Array
) -> tuple[Array, Array]:
    """Normal equations (T,6+K,6+K) and (T,6+K) for a step of the pose and of the shapes' weights."""
    pictures, count, _ = points.shape
    jacobian = np.zeros((pictures, count, 2, _POSE + len(shapes)))
    x, y, z = np.moveaxis(points, -1, 0)
    jacobian[:, :, 0, 0], jacobian[:, :, 1, 0] = x, -y
    # A small rotation (a, b, c) adds its cross product with the point.
    jacobian[:, :, 1, 1], jacobian[:, :, 0, 2] = z, z
    jacobian[:, :, 0, 3], jacobian[:, :, 1, 3] = -y, -x
    jacobian[..., _POSE:] = _projection(rotation, shapes)
    jacobian *= scale[:, None, None, None]
    jacobian[:, :, 0, 4] = jacobian[:, :, 1, 5] = 1
    weighed = (jacobian * trust[..., None, None]).reshape(pictures, 2 * count, -1)
    system = weighed.transpose(0, 2, 1) @ weighed
    diagonal = np.arange(system.shape[1])
    system[:, diagonal, diagonal] *= 1.01
    right = weighed.transpose(0, 2, 1) @ (error * trust[..., None]).reshape(pictures, -1, 1)
    return system, right[..., 0]


def _rotations(vectors: Array) -> Array:
    """Rotation vectors (T,3) to matrices (T,3,3), by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    axis = vectors / np.maximum(angle[:, 0], 1e-12)
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
