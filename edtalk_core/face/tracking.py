"""Track the faces of a video from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detection import Face, FaceDetector
from .geometry import Box, check_picture, overlap
from .mesh import PRESENT, Mesh

SAME = 0.25
"""Boxes that overlap by more (intersection over union) are the same face, as in the published script."""
DETECT_EVERY = 10
"""Frames between two detections of new or returning faces; a detected face is followed by its mesh."""
SEARCH_AFTER = 25
"""Frames without any face until all passes of the detector are run again: they detect small faces too, but take up to
seconds in a large frame. The interval doubles each time, so that an hour without a face does not take a day."""

FAR, SETTLED = 0.15, 0.01
"""Face sizes: a mesh that moves further than FAR from one frame to the next is refitted until it moves less than
SETTLED."""
MAX_REFITS = 10


@dataclass
class _FollowedFace:
    first: Box
    """Box in the first frame that shows it."""
    last: Box
    """Box in the last frame that shows it."""
    mesh: Mesh | None
    """None while the face is lost."""


class FaceTracker:
    """Tracker that numbers the faces of a video; feed it the frames in order.

    A face is followed by its mesh, whose next crop comes from the last landmarks: steady, and 7 ms a frame on one core.
    It is detected again only when lost; if it returns to its last or first position, it keeps its number.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self.detected: set[int] = set()
        """Numbers of the faces that the detector found in the last frame; in most frames it does not run."""
        self._detector = detector
        self._faces: dict[int, _FollowedFace] = {}
        self._next_number = 0
        self._frame = 0
        self._faceless = 0
        """Frames since the last frame with a face."""
        self._search_at = 0
        """Value of `_faceless` at which all passes of the detector are run."""

    def follow(self, picture: np.ndarray) -> dict[int, Face]:
        """Return the faces with landmarks of the next frame (H, W, 3) uint8 RGB by number, from 0."""
        check_picture(picture)
        height, width = picture.shape[:2]
        self.detected = set()
        followed: list[_FollowedFace] = []
        lost = False
        for face in self._faces.values():
            if face.mesh is None:
                continue
            mesh = self._follow(picture, face.mesh)
            x, y = mesh.points.mean(axis=0)
            # Two meshes may slide onto the same face as people pass each other: the earlier number keeps it.
            duplicate = (overlap(mesh.box, np.array([other.last for other in followed])) > 0.5).any()
            if mesh.presence >= PRESENT and 0 <= x < width and 0 <= y < height and not duplicate:
                face.mesh, face.last = mesh, mesh.box
                followed.append(face)
            else:
                face.mesh, lost = None, True
        if lost or not followed or self._frame % DETECT_EVERY == 0:
            search = not followed and self._faceless >= self._search_at
            if search:
                self._search_at = 2 * self._search_at + SEARCH_AFTER
            for detection in self._detector.detect(picture) if search else self._detector.detect_first_pass(picture):
                if detection.mesh is not None:
                    self.detected.add(self._number_of(detection.mesh))
        faces = {
            number: Face.from_landmarks(face.last, face.mesh.presence, face.mesh.landmarks, face.mesh)
            for number, face in self._faces.items()
            if face.mesh is not None
        }
        self._frame += 1
        self._faceless += 1
        if faces:
            self._faceless = self._search_at = 0
        return faces

    def forget(self, number: int) -> None:
        """Stop following this face; if it is detected again, it gets a new number."""
        del self._faces[number]

    def _follow(self, picture: np.ndarray, before: Mesh) -> Mesh:
        """Fit the mesh to the next frame; after a jump, as at a cut, refit it until it settles on the face."""
        mesh = self._detector.mesh.follow(picture, before)
        if mesh.presence >= PRESENT and _displacement(before, mesh) > FAR:
            for _ in range(MAX_REFITS):
                before, mesh = mesh, self._detector.mesh.follow(picture, mesh)
                if _displacement(before, mesh) < SETTLED:
                    break
        return mesh

    def _number_of(self, mesh: Mesh) -> int:
        """Return the number of a detected face: that of a followed face, of a lost face that returned, or a new one."""
        for number, face in self._faces.items():
            if face.mesh is not None and overlap(mesh.box, np.array(face.last))[0] > SAME:
                return number
        for number, face in self._faces.items():
            if face.mesh is None and (overlap(mesh.box, np.array([face.last, face.first])) > SAME).any():
                face.mesh, face.last = mesh, mesh.box
                return number
        number = self._next_number
        self._next_number += 1
        self._faces[number] = _FollowedFace(mesh.box, mesh.box, mesh)
        return number


def _displacement(before: Mesh, after: Mesh) -> float:
    """Return the distance between the centres of two meshes, in sizes of the face."""
    size = np.ptp(before.points, axis=0).max()
    return float(np.linalg.norm(after.points.mean(axis=0) - before.points.mean(axis=0)) / size)
