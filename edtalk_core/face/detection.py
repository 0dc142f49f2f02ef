"""Find faces and their landmarks offline, with the two models that ship with the project.

BlazeFace (Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond neural face detection on mobile GPUs"; the back-camera
model of MediaPipe) proposes faces; the face mesh places landmarks on each, and tells faces from what only looks like
one.
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
    """Forehead to chin, ear to ear: what the published crops are made from."""
    score: float
    """How sure the detector is, 0 to 1."""
    keypoints: np.ndarray
    """(6, 2) float64: eye, eye, tip of the nose, middle of the mouth, ear, ear. Of each pair first the person's right
    one, which is at the left of the picture."""
    landmarks: np.ndarray | None = None
    """(68, 2) float64 iBUG points, or None where none could be placed (some drawings and masks)."""
    mesh: Mesh | None = None
    """What the landmarks were read off, if they come from the face mesh; lets a video follow the face."""

    @property
    def side(self) -> float:
        """Longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @classmethod
    def from_landmarks(cls, box: Box, score: float, landmarks: np.ndarray, mesh: Mesh | None = None) -> Face:
        """A face known by its 68 landmarks; the keypoints are means of them."""
        groups = (RIGHT_EYE, LEFT_EYE, [NOSE_TIP], MOUTH, RIGHT_JAW_END, LEFT_JAW_END)
        return cls(box, score, np.stack([landmarks[group].mean(axis=0) for group in groups]), landmarks, mesh)


class BlazeFace:
    """The detector network alone (256 px); one instance may serve several threads."""

    def __init__(self) -> None:
        self._network = TFLiteNetwork("face_detection_back.tflite")
        # Centres of the 896 anchors in the input: 2 in each cell of 16 px, then 6 (three layers of 2) in each of 32 px.
        grids = []
        for stride, count in ((16, 2), (32, 6)):
            steps = (np.arange(256 // stride) + 0.5) * stride
            y, x = np.meshgrid(steps, steps, indexing="ij")
            grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
        self._anchors = np.concatenate(grids)

    def look(self, picture: np.ndarray, matrices: list[np.ndarray], threshold: float) -> list[Face]:
        """Faces that score at least `threshold` in any of several square views of a picture, the surest first.

        picture: (H, W, 3) uint8 RGB. matrices: (2, 3) each, from the picture to a 256 px view. The faces have no
        landmarks, and their boxes, about square, begin at the brows.
        """
        all_scores, all_points = [], []
        for matrix in matrices:
            logits, regressors = self._network(warp(picture, matrix, 256), -1, 1)
            scores = sigmoid(logits)
            kept = scores >= threshold
            # Eight points a prediction, in input pixels about its anchor: centre of the box, its width and height, six
            # keypoints.
            raw, anchors = regressors.reshape(896, 8, 2)[kept], self._anchors[kept][:, None]
            centre, extent, keypoints = raw[:, :1] + anchors, raw[:, 1:2], raw[:, 2:] + anchors
            points = np.concatenate([centre - extent / 2, centre + extent / 2, keypoints], axis=1) - 0.5
            all_scores.append(scores[kept])
            all_points.append(transform(points.reshape(-1, 2), invert(matrix)).reshape(-1, 8, 2))
        scores, points = np.concatenate(all_scores), np.concatenate(all_points)
        # A view may lie on its side: which corner is left-top shows only in the picture. Boxes count from pixel edges.
        boxes = np.concatenate([points[:, :2].min(axis=1), points[:, :2].max(axis=1)], axis=1) + 0.5
        faces = []
        while len(scores):
            # The paper's post-processing: average what overlaps the best instead of dropping it, for steady boxes.
            best = scores.argmax()
            same = overlap(boxes[best], boxes) >= 0.3
            same[best] = True
            left, top, right, bottom = (float(x) for x in np.average(boxes[same], axis=0, weights=scores[same]))
            keypoints = np.average(points[same, 2:], axis=0, weights=scores[same])
            faces.append(Face((left, top, right, bottom), float(scores[best]), keypoints))
            scores, points, boxes = scores[~same], points[~same], boxes[~same]
        return faces


class FaceDetector:
    """Faces with landmarks; one instance may serve several threads.

    A first look at the whole picture finds faces from about 5 % of its longer side. When it finds none, further looks
    seek faces that are drawn, fill the picture, lie on their side or are small.
    """

    SURE = 0.5
    """BlazeFace scores that count in the first look."""
    UNSURE = 0.2
    """BlazeFace scores that count in further looks; so low, for drawings, because the mesh has the last word."""
    DRAWN = 0.65
    """What the first look sees with this score is given even though no landmarks fit, when there is no better face."""
    CANDIDATES = 12
    """At most so many candidates of a look are shown to the mesh, which bounds the time."""

    def __init__(self) -> None:
        self.blazeface = BlazeFace()
        self.mesh = FaceMesh()

    def detect(self, picture: np.ndarray) -> list[Face]:
        """All faces of a picture (H, W, 3) uint8 RGB, the largest first; an empty list when there is none.

        Faces with landmarks; if there is none of those, what looks much like a face, without landmarks. Raises
        PictureError for anything but such a picture.
        """
        check_picture(picture)
        looks = _looks(picture.shape[1], picture.shape[0])
        candidates = self.blazeface.look(picture, next(looks), self.SURE)
        faces = self._place(picture, candidates)
        while not faces and (matrices := next(looks, None)):
            faces = self._place(picture, self.blazeface.look(picture, matrices, self.UNSURE))
        if not faces:
            faces = [_without_landmarks(candidate) for candidate in candidates if candidate.score >= self.DRAWN]
        return sorted(faces, key=lambda face: -face.side)

    def detect_at_once(self, picture: np.ndarray) -> list[Face]:
        """The faces with landmarks of the first look alone, the largest first.

        For video, where the next frame is another chance: 15 ms a frame.
        """
        matrices = next(_looks(picture.shape[1], picture.shape[0]))
        faces = self._place(picture, self.blazeface.look(picture, matrices, self.SURE))
        return sorted(faces, key=lambda face: -face.side)

    def _place(self, picture: np.ndarray, candidates: list[Face]) -> list[Face]:
        """The candidates on which a mesh fits, with landmarks, each face once."""
        faces: list[Face] = []
        for candidate in candidates[: self.CANDIDATES]:
            # Twice: the second crop, by the landmarks of the first, is the kind of crop the mesh was trained on. It
            # moves the points by 1 % of the distance of the eyes; a third would move them by 0.5 %. And what only looks
            # like a face seldom does so twice.
            first = self.mesh.locate(picture, candidate.box, candidate.keypoints)
            mesh = self.mesh.follow(picture, first)
            # Candidates of different looks and sizes may lead to the same face.
            known = np.array([face.box for face in faces])
            if min(first.presence, mesh.presence) >= PRESENT and not (overlap(mesh.box, known) > 0.3).any():
                faces.append(Face(mesh.box, candidate.score, candidate.keypoints, mesh.landmarks, mesh))
        return faces


def _without_landmarks(candidate: Face) -> Face:
    """Extend BlazeFace's box, brows to chin, to the face's: median ratios over 76 portraits."""
    left, top, right, bottom = candidate.box
    width, height = right - left, bottom - top
    return replace(candidate, box=(left + 0.04 * width, top - 0.175 * height, right - 0.05 * width, bottom))


def _looks(width: int, height: int) -> Iterator[list[np.ndarray]]:
    """Sets of views of a picture, in the order of trying; a view is a (2, 3) matrix from the picture to 256 px."""
    centre, longer = ((width - 1) / 2, (height - 1) / 2), max(width, height)
    yield [square_matrix(centre, longer, 256)]
    # The same with fewer demands; a face that fills the picture or goes beyond it; a picture that lies on its side.
    # (Of one that stands on its head the first look takes mouth and chin for eyes and forehead.)
    turned = [square_matrix(centre, longer, 256, turns * math.pi / 2) for turns in (0, 1, 3)]
    yield [*turned, square_matrix(centre, 1.6 * longer, 256)]
    for division in (2, 4, 8):
        side = longer / division
        if side < 384:
            return  # smaller tiles would only add faces of some 20 px, too few to animate
        # Tiles overlap by half, so that every face of up to half a tile lies whole in one.
        columns, rows = (max(1, math.ceil(2 * extent / side - 1)) for extent in (width, height))
        across = np.linspace(side / 2, width - side / 2, columns) if columns > 1 else np.array([width / 2])
        down = np.linspace(side / 2, height - side / 2, rows) if rows > 1 else np.array([height / 2])
        yield [square_matrix((x - 0.5, y - 0.5), side, 256) for y in down for x in across]
