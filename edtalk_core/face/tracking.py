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

CUT = 0.15
"""Mean difference (0 to 1) of two frames, shrunk to 16 px, above which there is a cut. The liveliest of 149 face clips
stays below 0.11."""


FAR, SETTLED = 0.15, 0.01
"""Face sizes: a mesh that moves further than the first from one frame to the next is looked at again, until it moves
less than the second."""
LOOKS = 10


class CutDetector:
    """Tells where a video cuts from one shot to the next; feed it the frames in order."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def is_cut(self, picture: np.ndarray) -> bool:
        """Whether the next frame (H, W, 3) uint8 begins another shot; never the first."""
        import cv2

        small = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
        before, self._before = self._before, small
        return before is not None and float(np.abs(small - before).mean()) > CUT


def covers(first: Box, second: Box) -> bool:
    """Whether two boxes share so much of the smaller one that they cannot be two faces side by side."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width > 0 and height > 0 and width * height > 0.3 * min(areas)


@dataclass
class _Track:
    first: Box
    last: Box
    mesh: Mesh | None
    """None while the face is lost."""


class FaceTracker:
    """Gives each face of a video a number and follows it; feed it the frames in order.

    A face is followed by its mesh, whose next crop comes from the last landmarks: steady, and 7 ms a frame on one core.
    It is detected again only when lost; if it comes back where it was, or where it was first seen, it keeps its number.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._tracks: list[_Track] = []
        self._frame = 0
        self._faceless = 0
        """Frames since a face was last seen."""
        self._search_at = 0
        """Value of `_faceless` at which all looks are tried."""

    def follow(self, picture: np.ndarray) -> dict[int, Face]:
        """Faces with landmarks in the next frame (H, W, 3) uint8 RGB, by number: 0 for the first face of the video."""
        check_picture(picture)
        height, width = picture.shape[:2]
        followed: list[_Track] = []
        lost = False
        for track in self._tracks:
            if track.mesh is None:
                continue
            mesh = self._follow(picture, track.mesh)
            x, y = mesh.points.mean(axis=0)
            # Two meshes may slide onto one face as people pass each other: the older track keeps it.
            taken = (overlap(mesh.box, np.array([other.last for other in followed])) > 0.5).any()
            if mesh.presence >= PRESENT and 0 <= x < width and 0 <= y < height and not taken:
                track.mesh, track.last = mesh, mesh.box
                followed.append(track)
            else:
                track.mesh, lost = None, True
        if lost or not followed or self._frame % DETECT_EVERY == 0:
            search = not followed and self._faceless >= self._search_at
            if search:
                self._search_at = 2 * self._search_at + SEARCH_AFTER
            for face in self._detector.detect(picture) if search else self._detector.detect_at_once(picture):
                if face.mesh is not None:
                    self._note(face.mesh)
        faces = {
            number: Face.from_landmarks(track.last, track.mesh.presence, track.mesh.landmarks, track.mesh)
            for number, track in enumerate(self._tracks)
            if track.mesh is not None
        }
        self._frame += 1
        self._faceless += 1
        if faces:
            self._faceless = self._search_at = 0
        return faces

    def _follow(self, picture: np.ndarray, before: Mesh) -> Mesh:
        """The mesh in the next frame, settled: at a face that has jumped, as at a cut, one look only comes nearer."""
        mesh = self._detector.mesh.follow(picture, before)
        if mesh.presence >= PRESENT and _moved(before, mesh) > FAR:
            for _ in range(LOOKS):
                before, mesh = mesh, self._detector.mesh.follow(picture, mesh)
                if _moved(before, mesh) < SETTLED:
                    break
        return mesh

    def _note(self, mesh: Mesh) -> None:
        """Give a detected face to the track it belongs to, or begin one."""
        if any(track.mesh is not None and overlap(mesh.box, np.array(track.last))[0] > SAME for track in self._tracks):
            return
        for track in self._tracks:
            if track.mesh is None and (overlap(mesh.box, np.array([track.last, track.first])) > SAME).any():
                track.mesh, track.last = mesh, mesh.box
                return
        self._tracks.append(_Track(mesh.box, mesh.box, mesh))


def _moved(before: Mesh, after: Mesh) -> float:
    """How far a mesh has moved, in sizes of the face."""
    size = np.ptp(before.points, axis=0).max()
    return float(np.linalg.norm(after.points.mean(axis=0) - before.points.mean(axis=0)) / size)
