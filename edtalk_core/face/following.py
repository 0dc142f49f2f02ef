"""Follow one face through a video, steadily enough to crop it from each frame and paste it back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..media.picture import as_picture
from ..progress import Progress
from .framing import (
    BRIEF,
    EXTENSION,
    FaceChoice,
    Framing,
    VideoCropMode,
    check_crop_size,
    check_frame_size,
    is_cropped_already,
    middle_square,
    published_square,
    small_face_warning,
)
from .geometry import overlap, own_size, rescale, square_matrix, warp
from .landmarks import LANDMARK_COUNT
from .tracking import DETECT_EVERY
from .tracks import FaceTrack, follow_faces

STILL_HEAD_LIMIT = 1.3
"""Size of the union of the boxes, in face sizes, up to which one box crops all frames, as in the training data; above,
the box follows the head."""
_MAX_SIZE_RATIO = 2.0
"""Ratio of sizes up to which two faces that never appear together may be one person."""

# Standard deviations in seconds. Landmarks draw the mask, which must keep up with the face; the box need not.
_LANDMARKS_SIGMA = 0.03
_CENTRE_SIGMA = 0.25
_SIDE_SIGMA = 0.5


@dataclass(frozen=True, eq=False)
class FacePath:
    """One face in every frame of a video."""

    fps: float
    frame_size: tuple[int, int]
    """(width, height) of the frames."""
    size: int
    """Side of the crops in pixels."""
    stretches: np.ndarray
    """(T,) int32: the same number for frames between which the face does not jump; -1 where the face is missing."""
    matrices: np.ndarray
    """(T, 2, 3) float64: maps a point of each frame to its crop, pixel centres are integers in both; zero where the
    face is missing."""
    landmarks: np.ndarray
    """(T, 68, 2) float32, in pixels of the frame, slightly smoothed over time; NaN where they are unknown."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user on anything that may spoil the result."""

    def __len__(self) -> int:
        return len(self.stretches)

    @property
    def faceless(self) -> int:
        """Number of frames without the face."""
        return int((self.stretches < 0).sum())

    @property
    def own_size(self) -> int:
        """Median side of the crops in pixels of the frames; 0 where the face is missing throughout."""
        matrices = self.matrices[self.stretches >= 0]
        return round(float(np.median([own_size(matrix, self.size) for matrix in matrices]))) if len(matrices) else 0

    def crop(self, index: int, picture: np.ndarray, size: int | None = None) -> np.ndarray:
        """Crop frame `index`, which is `picture` (H, W, 3) uint8, to (size, size, 3) uint8.

        `size`: side in pixels, by default that of the path. Raises VideoError for a frame of another size.
        """
        check_frame_size(picture, self.frame_size)
        if size is None or size == self.size:
            return warp(picture, self.matrices[index], self.size)
        return warp(picture, rescale(self.matrices[index], size / self.size), size)

    def take(self, indexes: Sequence[int] | np.ndarray) -> FacePath:
        """Return the path of the frames at these indices, in their order; repeats are allowed."""
        return replace(
            self,
            stretches=self.stretches[indexes],
            matrices=self.matrices[indexes],
            landmarks=self.landmarks[indexes],
        )


def follow_face(
    pictures: Iterable[np.ndarray],
    fps: float,
    *,
    size: int = 256,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    mode: VideoCropMode = "auto",
    progress: Progress | None = None,
) -> FacePath:
    """Follow one face through a video in one pass; memory is 0.6 KB a frame, no pictures.

    A video may have several shots: after a cut the face is detected anew, and nothing is smoothed across it. While the
    head stays in place, one box crops all frames, the published driver-video crop: the union of the face's boxes,
    extended by 10 % on each side and made square. When it travels, the box follows it smoothly. The aspect ratio is
    always preserved: where the square extends beyond the frame, the border repeats.

    Args:
        pictures: (H, W, 3) each, uint8 RGB or float32 in 0..1, all of one size.
        fps: frames a second, for the time constants of the smoothing.
        size: side of the crops in pixels.
        face: of several faces in a shot the "largest"; "only", which refuses several; or an index into the faces of
            each shot, the one with the most pixels over time first. Faces of similar size that never appear together
            count as one person who left and returned.
        box: (left, top, right, bottom) of the face over the full video in pixels, forehead to chin. It crops all
            frames, whether or not a face is detected: for drawn faces.
        mode: "auto" does not crop square frames whose detected box is the frame within 10 %: they are face crops
            already. "box" always crops by the box. "none" crops the middle square of all frames without a face.
        progress: called as progress(frames done, None).

    Raises:
        FaceError: no face in any frame, or a choice of face that does not exist. Its `boxes` lists the faces.
        VideoError: no frames, or frames of several sizes.
        ArgumentError: an argument out of its range.
        PictureError: a picture of another shape or type.
    """
    check_crop_size(size)
    framing = Framing(face, box, mode)
    tracks, shots, frame_size = _find_tracks(pictures, progress)
    count = len(shots)
    path = FacePath(
        float(fps),
        frame_size,
        size,
        np.full(count, -1, np.int32),
        np.zeros((count, 2, 3)),
        np.full((count, LANDMARK_COUNT, 2), np.nan, np.float32),
    )
    fixed = _fixed_square(framing, frame_size)
    notes: list[str] = []
    if fixed is None:
        tracks, note = _choose_tracks(tracks, shots, framing, frame_size)
        for number, track in enumerate(tracks):
            path.stretches[track.frames] = number
            path.matrices[track.frames] = [
                _matrix(x, y, side, size)
                for x, y, side in _squares(track, path.fps, frame_size, allow_uncropped=mode == "auto").tolist()
            ]
        mean_side = float(np.average([track.side for track in tracks], weights=[len(track) for track in tracks]))
        notes += [note] if note else []
        if path.faceless:
            notes.append(f"The face was not seen in {path.faceless} of {count} frames; they stay as they are.")
        notes += small_face_warning(mean_side)
    else:
        path.matrices[:] = _matrix(*fixed, size)
        path.stretches[:] = shots
        tracks = _best_in_square(tracks, *fixed)
    for track in tracks:
        smooth = _smooth_over_time(
            track.frames, np.array(track.landmarks).reshape(len(track), -1), _LANDMARKS_SIGMA * fps
        )
        path.landmarks[track.frames] = smooth.reshape(len(track), -1, 2)
        if fixed is not None:
            frames = np.flatnonzero(shots == track.shot)
            nearest = np.rint(np.interp(frames, track.frames, np.arange(len(track)))).astype(int)
            path.landmarks[frames] = path.landmarks[np.array(track.frames)[nearest]]
    return replace(path, warnings=tuple(notes))


def _find_tracks(
    pictures: Iterable[np.ndarray], progress: Progress | None
) -> tuple[list[FaceTrack], np.ndarray, tuple[int, int]]:
    """Return the tracks of all faces of a video, the shot of each frame (T,) int32, and the (width, height)."""
    tracks: dict[int, FaceTrack] = {}
    shots: list[int] = []
    size = (0, 0)
    for frame in follow_faces(map(as_picture, pictures)):
        shots.append(frame.shot)
        size = frame.size
        for old in frame.slid:
            tracks[old].cut_before(frame.index - DETECT_EVERY)
        for number, face in frame.faces.items():
            assert face.landmarks is not None
            track = tracks.setdefault(number, FaceTrack(frame.shot))
            track.add(frame.index, face.box, face.landmarks.astype(np.float32))
        if progress is not None:
            progress(len(shots), None)
    return [track for track in tracks.values() if len(track)], np.array(shots, np.int32), size


def _fixed_square(framing: Framing, frame_size: tuple[int, int]) -> tuple[float, float, float] | None:
    """Return centre x, y and side of the square that crops all frames; None where a face is to be followed."""
    width, height = frame_size
    box = framing.box_within(width, height)
    if box is not None:
        (x, y), side = published_square(box)
        return x, y, side
    if framing.crop == "none":
        left, top, side = middle_square(width, height)
        return left + side / 2, top + side / 2, side
    return None


def _matrix(x: float, y: float, side: float, size: int) -> np.ndarray:
    """Return the matrix (2, 3) of a square in coordinates from pixel edges; pixel centres are half a pixel further."""
    return square_matrix((x - 0.5, y - 0.5), side, size)


def _best_in_square(tracks: list[FaceTrack], x: float, y: float, side: float) -> list[FaceTrack]:
    """Return the face of each shot that fits a square best, if there is any; its landmarks locate the mouth."""
    square = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    best: dict[int, tuple[float, FaceTrack]] = {}
    for track in tracks:
        fit = len(track) * float(overlap(square, np.array(track.boxes)).mean())
        if fit > best.get(track.shot, (0.0, track))[0]:
            best[track.shot] = (fit, track)
    return [track for _, track in best.values()]


def _choose_tracks(
    tracks: list[FaceTrack], shots: np.ndarray, framing: Framing, frame_size: tuple[int, int]
) -> tuple[list[FaceTrack], str]:
    """Return the tracks of the chosen face over all shots, and a warning about the choice (empty for none)."""
    cast = []
    for shot in range(int(shots[-1]) + 1):
        present = [track for track in tracks if track.shot == shot]
        brief = BRIEF * int((shots == shot).sum())
        cast.append(_group_by_person([track for track in present if len(track) >= brief] or present))
    # The choice of face refers to the shot with the most faces.
    crowd = max(cast, key=len)
    unions = [np.array([track.box for track in person]) for person in crowd]
    boxes = [(*box[:, :2].min(axis=0).tolist(), *box[:, 2:].max(axis=0).tolist()) for box in unions]
    width, height = frame_size
    index, warning = framing.choose(boxes, f"any of the video's {len(shots)} frames ({width}x{height})")
    return [track for people in cast if index < len(people) for track in people[index]], warning


def _group_by_person(tracks: list[FaceTrack]) -> list[list[FaceTrack]]:
    """Group the tracks of one shot by person, the person with the most pixels over time first."""
    people: list[list[FaceTrack]] = []
    for track in sorted(tracks, key=lambda track: -track.sides):
        for person in people:
            together = any(set(track.frames) & set(other.frames) for other in person)
            if not together and max(track.side / person[0].side, person[0].side / track.side) <= _MAX_SIZE_RATIO:
                person.append(track)
                break
        else:
            people.append([track])
    return sorted(people, key=lambda person: -sum(track.sides for track in person))


def _squares(track: FaceTrack, fps: float, frame_size: tuple[int, int], *, allow_uncropped: bool) -> np.ndarray:
    """Return the square to crop from each frame of a track: (T, 3), centre x, y and side, from pixel edges."""
    import cv2

    width, height = frame_size
    boxes = np.array(track.boxes)
    (x, y), side = published_square(track.box)
    if allow_uncropped and is_cropped_already(track.box, width, height):
        return np.tile((width / 2, height / 2, width), (len(boxes), 1))
    if side <= STILL_HEAD_LIMIT * (1 + 2 * EXTENSION) * track.side:
        return np.tile((x, y, side), (len(boxes), 1))
    centres = _smooth_over_time(track.frames, (boxes[:, :2] + boxes[:, 2:]) / 2, _CENTRE_SIGMA * fps)
    # The side that contains the full face: its maximum over about a second around each frame, smoothed.
    needed = 2 * np.abs(boxes.reshape(-1, 2, 2) - centres[:, None]).max(axis=(1, 2))
    dense = np.zeros((track.frames[-1] - track.frames[0] + 1, 1))
    places = np.array(track.frames) - track.frames[0]
    dense[places, 0] = needed
    reach = math.ceil(2 * _SIDE_SIGMA * fps)
    maxima = cv2.dilate(dense, np.ones((2 * reach + 1, 1), np.uint8))[places]
    sides = (1 + 2 * EXTENSION) * _smooth_over_time(track.frames, maxima, _SIDE_SIGMA * fps)
    return np.concatenate([centres, sides], axis=1)


def _smooth_over_time(frames: Sequence[int], values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth the values (T, D) of some frames over time by a Gaussian of `sigma` frames, renormalised at gaps."""
    import cv2

    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    places = np.array(frames) - frames[0]
    # The added column of ones is the weight of the frames within reach.
    dense = np.zeros((int(places[-1]) + 1, values.shape[1] + 1))
    dense[places] = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    summed = cv2.sepFilter2D(dense, cv2.CV_64F, np.ones(1), kernel, borderType=cv2.BORDER_CONSTANT)[places]
    return summed[:, :-1] / summed[:, -1:]
