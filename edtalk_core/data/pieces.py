"""Splits videos into pieces for training clips: each shows one face, without a cut."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..face.geometry import overlap
from ..face.tracking import DETECT_EVERY, SAME
from ..face.tracks import FaceTrack, FrameFaces, follow_faces

MAX_LENGTH = 7500
"""Largest length of a piece in frames, which bounds memory; a longer one is divided."""
MAX_LOST = 5
"""Consecutive frames without the face after which a piece ends; in shorter gaps the last landmarks are repeated."""


def find_pieces(frames: Iterable[NDArray[np.uint8]], *, anywhere: bool = False) -> list[FaceTrack]:
    """Find pieces of a video, frames (H,W,3) uint8, that track one face, the largest at the start, without a cut.

    Pieces have no gaps: where the face is lost for up to MAX_LOST frames, its last box and landmarks are repeated.
    Unless `anywhere` is set, a piece also ends where the face leaves its initial position.

    Raises VideoError when there are no frames, or frames of several sizes.
    """
    finder = _PieceFinder(anywhere)
    for frame in follow_faces(frames):
        finder.add(frame)
    finder.end()
    return finder.pieces


class _PieceFinder:
    def __init__(self, anywhere: bool) -> None:
        self.pieces: list[FaceTrack] = []
        self._anywhere = anywhere
        self._track: int | None = None
        """Face track of the last piece; None between pieces."""
        self._lost = 0
        """Frames at the end of the last piece in which the face was lost."""
        self._shot = 0

    def add(self, frame: FrameFaces) -> None:
        """Process the next frame: continue the last piece, end it, or start a new one."""
        faces = frame.faces
        if self._track is not None:
            self._end_with_track(frame)
        self._shot = frame.shot
        if self._track is not None and self._track in faces and not self._anywhere:
            start = self.pieces[-1].boxes[0]
            if float(overlap(start, np.array([faces[self._track].box]))[0]) <= SAME:
                self.end()
        if self._track is not None and self._track not in faces:
            piece = self.pieces[-1]
            piece.add(frame.index, piece.boxes[-1], piece.landmarks[-1])
            self._lost += 1
            if self._lost > MAX_LOST:
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

    def _end_with_track(self, frame: FrameFaces) -> None:
        if self._track in frame.slid:
            self.end(DETECT_EVERY)
        elif (
            frame.shot != self._shot
            or self._track in frame.jumped
            or len(self.pieces[-1]) >= MAX_LENGTH
            # One face disappears as another appears: a cut that the pictures hardly show.
            or (self._track not in frame.faces and frame.appeared)
        ):
            self.end()

    def end(self, doubtful: int = 0) -> None:
        """End the last piece, without the repeated frames at its end and the `doubtful` frames before them."""
        if self._track is not None:
            piece = self.pieces[-1]
            piece.cut_before(piece.frames[-1] + 1 - self._lost - doubtful)
            if not len(piece):
                self.pieces.pop()
        self._track, self._lost = None, 0
