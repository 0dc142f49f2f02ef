"""Follow the faces of a video from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detection import Face, FaceDetector
from .geometry import Box, check_picture, overlap
from .mesh import PRESENT, Mesh

SAME = 0.25
"""Two boxes that overlap by more are the same face, as in the published script for driver videos (intersection over
union)."""
DETECT_EVERY = 10
"""Frames between two looks for faces that are new or have come back; a face once found is followed by its mesh alone.
"""
SEARCH_EVERY = 25
"""Frames without any face between two searches with all looks, which find small faces too but take up to seconds."""


@dataclass
class _Track:
    first: Box
    last: Box
    mesh: Mesh | None
    """None while the face is lost."""


class FaceTracker:
    """Gives each face of a video a number and follows it; feed it the frames in order.

    A face is followed by its mesh (3 ms a frame: the next crop comes from the last landmarks), and detected again only
    when that is lost. A face that comes back where it was, or where it was first seen, keeps its number.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._tracks: list[_Track] = []
        self._frame = 0
        self._faceless = 0
        """Frames since a face was last seen."""

    def follow(self, picture: np.ndarray) -> dict[int, Face]:
        """Faces with landmarks in the next frame (H, W, 3) uint8 RGB, by number: 0 for the first face of the video."""
        check_picture(picture)
        height, width = picture.shape[:2]
        followed: list[_Track] = []
        lost = False
        for track in self._tracks:
            if track.mesh is None:
                continue
            mesh = self._detector.mesh.follow(picture, track.mesh)
            x, y = mesh.points.mean(axis=0)
            # Two meshes may slide onto one face as people pass each other: the older track keeps it.
            taken = (overlap(mesh.box, np.array([other.last for other in followed])) > 0.5).any()
            if mesh.presence >= PRESENT and 0 <= x < width and 0 <= y < height and not taken:
                track.mesh, track.last = mesh, mesh.box
                followed.append(track)
            else:
                track.mesh, lost = None, True
        if lost or not followed or self._frame % DETECT_EVERY == 0:
            search = not followed and self._faceless % SEARCH_EVERY == 0
            for face in self._detector.detect(picture) if search else self._detector.detect_at_once(picture):
                if face.mesh is not None:
                    self._note(face.mesh)
        faces = {
            number: Face.from_landmarks(track.last, track.mesh.presence, track.mesh.landmarks, track.mesh)
            for number, track in enumerate(self._tracks)
            if track.mesh is not None
        }
        self._frame += 1
        self._faceless = 0 if faces else self._faceless + 1
        return faces

    def _note(self, mesh: Mesh) -> None:
        """Give a detected face to the track it belongs to, or begin one."""
        if any(track.mesh is not None and overlap(mesh.box, np.array(track.last))[0] > SAME for track in self._tracks):
            return
        for track in self._tracks:
            if track.mesh is None and (overlap(mesh.box, np.array([track.last, track.first])) > SAME).any():
                track.mesh, track.last = mesh, mesh.box
                return
        self._tracks.append(_Track(mesh.box, mesh.box, mesh))
