"""The stretches of a video that training clips are made of: each shows one face, without a cut."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..face.geometry import overlap
from ..face.tracking import DETECT_EVERY, SAME
from ..face.tracks import FaceTrack, FrameFaces, follow_faces

LONGEST = 7500
"""Frames; a longer stretch is divided, so that memory stays bounded."""
LOST = 5
"""Frames without the face after which a clip ends; up to there the last landmarks are held."""


def find_pieces(frames: Iterable[NDArray[np.uint8]], *, anywhere: bool = False) -> list[FaceTrack]:
    """Stretches of frames (H,W,3) uint8 in which one face, the largest at their start, is followed without a cut.

    Every frame of a stretch is there: where the face is lost for up to LOST frames, its last box and landmarks are
    repeated. A stretch also ends where the face leaves the place it started from, unless it may go `anywhere`.

    Raises VideoError when there are no frames, or frames of several sizes.
    """
    finder = _PieceFinder(anywhere)
    for frame in follow_faces(frames):
        finder.take(frame)
    finder.end()
    return finder.pieces


class _PieceFinder:
    def __init__(self, anywhere: bool) -> None:
        self.pieces: list[FaceTrack] = []
        self._anywhere = anywhere
        self._track: int | None = None
        """The track that the last piece follows; None between pieces."""
        self._lost = 0
        """Frames at the end of the last piece in which the face was lost."""
        self._shot = 0

    def take(self, frame: FrameFaces) -> None:
        """Continue the last piece by the next frame, end it, or begin one."""
        faces = frame.faces
        if self._track is not None:
            self._end_where_the_track_does(frame)
        self._shot = frame.shot
        if self._track is not None and self._track in faces and not self._anywhere:
            start = self.pieces[-1].boxes[0]
            if float(overlap(start, np.array([faces[self._track].box]))[0]) <= SAME:
                self.end()
        if self._track is not None and self._track not in faces:
            piece = self.pieces[-1]
            piece.add(frame.index, piece.boxes[-1], piece.landmarks[-1])
            self._lost += 1
            if self._lost > LOST:
                self.end()
            return
        if self._track is None:
            if not faces:
                return
            self._track = max(faces, key=lambda track: faces[track].side)
            self.pieces.append(FaceTrack(frame.shot))
        face = faces[self._track]
        assert face.landmarks is not None
        self.pieces[-1].add(frame.index, face.box, face.landmarks)
        self._lost = 0

    def _end_where_the_track_does(self, frame: FrameFaces) -> None:
        if self._track in frame.slid:
            self.end(DETECT_EVERY)
        elif (
            frame.shot != self._shot
            or self._track in frame.jumped
            or len(self.pieces[-1]) >= LONGEST
            # The one is gone and another is there: a cut that the pictures hardly show.
            or (self._track not in frame.faces and frame.appeared)
        ):
            self.end()

    def end(self, doubtful: int = 0) -> None:
        """End the last piece, without the frames at its end that only repeat, and the `doubtful` ones before."""
        if self._track is not None:
            piece = self.pieces[-1]
            piece.cut_before(piece.frames[-1] + 1 - self._lost - doubtful)
            if not len(piece):
                self.pieces.pop()
        self._track, self._lost = None, 0
