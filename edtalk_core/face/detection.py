"""Detect faces and their landmarks offline, with the two models that ship with the project.

BlazeFace (Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond neural face detection on mobile GPUs"; the back-camera
model of MediaPipe) proposes candidates; the face mesh places landmarks on each and rejects false positives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .geometry import Box, check_picture, invert, overlap, square_matrix, transform, warp
from .landmarks import LEFT_EYE, LEFT_JAW_END, MOUTH, NOSE_TIP, RIGHT_EYE, RIGHT_JAW_END
from .mesh import PRESENT, FaceMesh, Mesh
from .tflite import TFLiteNetwork, sigmoid


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture; all coordinates are pixels of that picture."""

    box: Box
    """Forehead to chin, ear to ear, as the published crops use it."""
    score: float
    """Confidence of the detector, 0 to 1."""
    keypoints: np.ndarray
    """(6, 2) float64: right eye, left eye, tip of the nose, middle of the mouth, right ear, left ear. Right is the
    person's right, at the left of the picture."""
    landmarks: np.ndarray | None = None
    """(68, 2) float64 iBUG points, or None where none fit (some drawings and masks)."""
    mesh: Mesh | None = None
    """The mesh of the landmarks, if they come from the face mesh, by which a tracker follows the face."""

    @property
    def side(self) -> float:
        """Longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @classmethod
    def from_landmarks(cls, box: Box, score: float, landmarks: np.ndarray, mesh: Mesh | None = None) -> Face:
        """Create a face from its 68 landmarks; the keypoints are means of them."""
        groups = (RIGHT_EYE, LEFT_EYE, [NOSE_TIP], MOUTH, RIGHT_JAW_END, LEFT_JAW_END)
        return cls(box, score, np.stack([landmarks[group].mean(axis=0) for group in groups]), landmarks, mesh)


class BlazeFace:
    """The detector network alone (256 px); an instance may be shared between threads."""

    def __init__(self) -> None:
        self._network = TFLiteNetwork("face_detection_back.tflite")
        # Centres of the 896 anchors in the input: 2 in each cell of 16 px, then 6 (three layers of 2) in each of 32 px.
        grids = []
        for stride, count in ((16, 2), (32, 6)):
            steps = (np.arange(256 // stride) + 0.5) * stride
            y, x = np.meshgrid(steps, steps, indexing="ij")
            grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
        self._anchors = np.concatenate(grids)

    def detect(self, picture: np.ndarray, matrices: list[np.ndarray], threshold: float) -> list[Face]:
        """Detect faces that score at least `threshold` in any of several square views of a picture, best first.

        picture: (H, W, 3) uint8 RGB. matrices: (2, 3) each, from the picture to a 256 px view. The faces have no
        landmarks, and their boxes, about square, begin at the brows.
        """
        all_scores, all_points = [], []
        for matrix in matrices:
            logits, regressors = self._network(warp(picture, matrix, 256), -1, 1)
            scores = sigmoid(logits)
            confident = scores >= threshold
            # Eight points a prediction, in input pixels about its anchor: centre of the box, its width and height, six
            # keypoints.
            raw, anchors = regressors.reshape(896, 8, 2)[confident], self._anchors[confident][:, None]
            centre, extent, keypoints = raw[:, :1] + anchors, raw[:, 1:2], raw[:, 2:] + anchors
            points = np.concatenate([centre - extent / 2, centre + extent / 2, keypoints], axis=1) - 0.5
            all_scores.append(scores[confident])
            all_points.append(transform(points.reshape(-1, 2), invert(matrix)).reshape(-1, 8, 2))
        scores, points = np.concatenate(all_scores), np.concatenate(all_points)
        # A view may be rotated: which corner is left-top is known only in the picture. Boxes count from pixel edges.
        boxes = np.concatenate([points[:, :2].min(axis=1), points[:, :2].max(axis=1)], axis=1) + 0.5
        faces = []
        while len(scores):
            # The paper's blending instead of non-maximum suppression: average overlapping boxes, for stability.
            best = scores.argmax()
            cluster = overlap(boxes[best], boxes) >= 0.3
            cluster[best] = True
            left, top, right, bottom = (float(x) for x in np.average(boxes[cluster], axis=0, weights=scores[cluster]))
            keypoints = np.average(points[cluster, 2:], axis=0, weights=scores[cluster])
            faces.append(Face((left, top, right, bottom), float(scores[best]), keypoints))
            scores, points, boxes = scores[~cluster], points[~cluster], boxes[~cluster]
        return faces


class FaceDetector:
    """Detector of faces with landmarks; an instance may be shared between threads.

    The first pass, over the full picture, detects faces from about 5 % of its longer side. Without a face, further
    passes search for drawn, frame-filling, sideways or small faces.
    """

    FIRST_PASS_SCORE = 0.5
    """Lowest BlazeFace score of a candidate in the first pass."""
    LATER_PASS_SCORE = 0.2
    """Lowest score in further passes; low, for drawings, because the mesh rejects false positives."""
    NO_LANDMARKS_SCORE = 0.65
    """Lowest score in the first pass of a face without landmarks; such faces only count if there are no others."""
    MAX_CANDIDATES = 12
    """Candidates of a pass that the mesh is fitted to, which bounds the time."""

    def __init__(self) -> None:
        self.blazeface = BlazeFace()
        self.mesh = FaceMesh()

    def detect(self, picture: np.ndarray) -> list[Face]:
        """Detect all faces of a picture (H, W, 3) uint8 RGB, largest first; an empty list when there is none.

        The faces have landmarks; if none does, confident candidates without landmarks are returned instead. Raises
        PictureError for a picture of another shape or type.
        """
        check_picture(picture)
        passes = _search_passes(picture.shape[1], picture.shape[0])
        candidates = self.blazeface.detect(picture, next(passes), self.FIRST_PASS_SCORE)
        faces = self._fit_meshes(picture, candidates)
        while not faces and (matrices := next(passes, None)):
            faces = self._fit_meshes(picture, self.blazeface.detect(picture, matrices, self.LATER_PASS_SCORE))
        if not faces:
            faces = [
                _without_landmarks(candidate) for candidate in candidates if candidate.score >= self.NO_LANDMARKS_SCORE
            ]
        return sorted(faces, key=lambda face: -face.side)

    def detect_first_pass(self, picture: np.ndarray) -> list[Face]:
        """Detect faces with landmarks in the first pass alone, largest first.

        For video, where the next frame is another chance: 15 ms a frame.
        """
        matrices = next(_search_passes(picture.shape[1], picture.shape[0]))
        faces = self._fit_meshes(picture, self.blazeface.detect(picture, matrices, self.FIRST_PASS_SCORE))
        return sorted(faces, key=lambda face: -face.side)

    def _fit_meshes(self, picture: np.ndarray, candidates: list[Face]) -> list[Face]:
        """Return the candidates that a mesh fits, with landmarks, without duplicates."""
        faces: list[Face] = []
        for candidate in candidates[: self.MAX_CANDIDATES]:
            # Twice: the second crop, by the landmarks of the first, is the kind of crop the mesh was trained on. It
            # moves the points by 1 % of the distance of the eyes; a third would move them by 0.5 %. And a false
            # positive seldom passes twice.
            first = self.mesh.locate(picture, candidate.box, candidate.keypoints)
            mesh = self.mesh.follow(picture, first)
            # Candidates of different views and sizes may lead to the same face.
            boxes = np.array([face.box for face in faces])
            if min(first.presence, mesh.presence) >= PRESENT and not (overlap(mesh.box, boxes) > 0.3).any():
                faces.append(Face(mesh.box, candidate.score, candidate.keypoints, mesh.landmarks, mesh))
        return faces


def _without_landmarks(candidate: Face) -> Face:
    """Extend BlazeFace's box, brows to chin, to the full face box by median ratios over 76 portraits."""
    left, top, right, bottom = candidate.box
    width, height = right - left, bottom - top
    return replace(candidate, box=(left + 0.04 * width, top - 0.175 * height, right - 0.05 * width, bottom))


def _search_passes(width: int, height: int) -> Iterator[list[np.ndarray]]:
    """Yield the views of each search pass over a picture; a view is a (2, 3) matrix from the picture to 256 px."""
    centre, longer = ((width - 1) / 2, (height - 1) / 2), max(width, height)
    yield [square_matrix(centre, longer, 256)]
    # The same view with a lower threshold; rotated by a quarter turn; and reduced, for a face that fills the picture or
    # extends beyond it. (In an upside-down picture the first pass takes mouth and chin for eyes and forehead.)
    rotated = [square_matrix(centre, longer, 256, turns * math.pi / 2) for turns in (0, 1, 3)]
    yield [*rotated, square_matrix(centre, 1.6 * longer, 256)]
    for division in (2, 4, 8):
        side = longer / division
        if side < 384:
            return  # smaller tiles would only add faces of some 20 px, too few to animate
        # Tiles overlap by half, so that every face of up to half a tile lies entirely in one of them.
        columns, rows = (max(1, math.ceil(2 * extent / side - 1)) for extent in (width, height))
        across = np.linspace(side / 2, width - side / 2, columns) if columns > 1 else np.array([width / 2])
        down = np.linspace(side / 2, height - side / 2, rows) if rows > 1 else np.array([height / 2])
        yield [square_matrix((x - 0.5, y - 0.5), side, 256) for y in down for x in across]
