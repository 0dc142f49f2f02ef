"""Follow the faces of a video from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detection import Face, FaceDetector
from .geometry import Box, check_picture, overlap
from .mesh import PRESENT, Mesh

SAME = 0.25
"""Boxes that overlap by more (intersection over union) are the same face, as in the published script."""
DETECT_EVERY = 10
"""Frames between two looks for faces that are new or have come back; a face once found is followed by its mesh."""
SEARCH_AFTER = 25
"""Frames without any face until all looks of the detector are tried again: they find small faces too, but take up to
seconds in a large frame. The wait doubles each time, so that an hour without a face does not take a day."""

FAR, SETTLED = 0.15, 0.01
"""Face sizes: a mesh that moves further than the first from one frame to the next is looked at again, until it moves
less than the second."""
LOOKS = 10


@dataclass
class _FollowedFace:
    first: Box
    """Where it was seen first."""
    last: Box
    mesh: Mesh | None
    """None while the face is lost."""


class FaceTracker:
    """Gives each face of a video a number and follows it; feed it the frames in order.

    A face is followed by its mesh, whose next crop comes from the last landmarks: steady, and 7 ms a frame on one core.
    It is detected again only when lost; if it comes back where it was, or where it was first seen, it keeps its number.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self.detected: set[int] = set()
        """Numbers of the faces that the detector itself saw in the last frame; in most frames it does not look."""
        self._detector = detector
        self._faces: dict[int, _FollowedFace] = {}
        self._next_number = 0
        self._frame = 0
        self._faceless = 0
        """Frames since a face was last seen."""
        self._search_at = 0
        """Value of `_faceless` at which all looks are tried."""

    def follow(self, picture: np.ndarray) -> dict[int, Face]:
        """Faces with landmarks in the next frame (H, W, 3) uint8 RGB, by number: 0 for the first face of the video."""
        check_picture(picture)
        height, width = picture.shape[:2]
        self.detected = set()
        followed: list[_FollowedFace] = []
        lost = False
        for known in self._faces.values():
            if known.mesh is None:
                continue
            mesh = self._follow(picture, known.mesh)
            x, y = mesh.points.mean(axis=0)
            # Two meshes may slide onto one face as people pass each other: the one that was there first keeps it.
            taken = (overlap(mesh.box, np.array([other.last for other in followed])) > 0.5).any()
            if mesh.presence >= PRESENT and 0 <= x < width and 0 <= y < height and not taken:
                known.mesh, known.last = mesh, mesh.box
                followed.append(known)
            else:
                known.mesh, lost = None, True
        if lost or not followed or self._frame % DETECT_EVERY == 0:
            search = not followed and self._faceless >= self._search_at
            if search:
                self._search_at = 2 * self._search_at + SEARCH_AFTER
            for face in self._detector.detect(picture) if search else self._detector.detect_at_once(picture):
                if face.mesh is not None:
                    self.detected.add(self._number_of(face.mesh))
        faces = {
            number: Face.from_landmarks(known.last, known.mesh.presence, known.mesh.landmarks, known.mesh)
            for number, known in self._faces.items()
            if known.mesh is not None
        }
        self._frame += 1
        self._faceless += 1
        if faces:
            self._faceless = self._search_at = 0
        return faces

    def forget(self, number: int) -> None:
        """Follow this face no longer; if it is found again, it is a new one."""
        del self._faces[number]

    def _follow(self, picture: np.ndarray, before: Mesh) -> Mesh:
        """The mesh in the next frame, settled: at a face that has jumped, as at a cut, one look only comes nearer."""
        mesh = self._detector.mesh.follow(picture, before)
        if mesh.presence >= PRESENT and _moved(before, mesh) > FAR:
            for _ in range(LOOKS):
                before, mesh = mesh, self._detector.mesh.follow(picture, mesh)
                if _moved(before, mesh) < SETTLED:
                    break
        return mesh

    def _number_of(self, mesh: Mesh) -> int:
        """The number of a face that was detected: one that is followed, one that has come back, or a new one."""
        for number, known in self._faces.items():
            if known.mesh is not None and overlap(mesh.box, np.array(known.last))[0] > SAME:
                return number
        for number, known in self._faces.items():
            if known.mesh is None and (overlap(mesh.box, np.array([known.last, known.first])) > SAME).any():
                known.mesh, known.last = mesh, mesh.box
                return number
        number = self._next_number
        self._next_number += 1
        self._faces[number] = _FollowedFace(mesh.box, mesh.box, mesh)
        return number


def _moved(before: Mesh, after: Mesh) -> float:
    """How far a mesh has moved, in sizes of the face."""
    size = np.ptp(before.points, axis=0).max()
    return float(np.linalg.norm(after.points.mean(axis=0) - before.points.mean(axis=0)) / size)
