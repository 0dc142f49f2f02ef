"""Where one face is in every frame of a video, steady enough to cut it out and to paste it back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from ..errors import VideoError
from ..media.picture import as_picture
from .alignment import builtin_detector
from .crop import (
    EXTENSION,
    SMALL,
    check_choice,
    check_frame_size,
    check_size,
    checked_box,
    choose_face,
    published_square,
)
from .geometry import Box, check_picture, overlap, square_matrix, warp
from .tracking import DETECT_EVERY, CutDetector, FaceTracker, covers

FollowMode = Literal["auto", "box", "none"]

STAYS = 1.3
"""How many times as large as the face the union of its boxes may be for one box to cut all frames, as the model was
trained on; beyond, the box follows the head."""
JUMP = 0.25
"""Face sizes that a face moves from one frame to the next from which on nothing is smoothed across them."""
_BRIEF = 0.05
"""Share of a shot below which what shows (a passer-by, a false alarm) is no choice beside a face that lasts."""
_ALIKE = 2.0
"""Ratio of sizes up to which two faces that are never seen together may be one."""

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
    """(T,) int32: the same number for frames between which the face does not jump; -1 where it is not to be seen."""
    matrices: np.ndarray
    """(T, 2, 3) float64: maps a point of each frame to its crop, pixel centres are whole numbers in both; zero where
    the face is not to be seen."""
    landmarks: np.ndarray
    """(T, 68, 2) float32, in pixels of the frame, a little smoothed over time; NaN where they are not known."""
    warnings: tuple[str, ...] = ()
    """What may spoil the result, in sentences for the user."""

    def __len__(self) -> int:
        return len(self.stretches)

    @property
    def faceless(self) -> int:
        """Number of frames in which the face is not to be seen."""
        return int((self.stretches < 0).sum())

    def crop(self, index: int, picture: np.ndarray) -> np.ndarray:
        """The crop (size, size, 3) uint8 of frame `index`, which is `picture` (H, W, 3) uint8.

        Raises VideoError for a frame of another size.
        """
        check_frame_size(picture, self.frame_size)
        return warp(picture, self.matrices[index], self.size)

    def take(self, indexes: Sequence[int] | np.ndarray) -> FacePath:
        """The path of the same frames in another order, left out or repeated."""
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
    face: Literal["largest", "only"] | int = "largest",
    box: Sequence[float] | None = None,
    mode: FollowMode = "auto",
    progress: Callable[[int, int | None], None] | None = None,
) -> FacePath:
    """Follow one face through a video in one pass; what is kept is 0.6 KB a frame, never a picture.

    A video may have several shots: at a cut the face is looked for anew, and nothing is smoothed across it. Where the
    head stays, one box cuts all frames, the published driver-video crop: the union of the face's boxes, extended by
    10 % on each side and made square. Where it travels, the box follows it smoothly. Frames are never squeezed: where
    the square reaches beyond the frame, the border repeats.

    Args:
        pictures: (H, W, 3) each, uint8 RGB or float32 in 0..1, all of one size.
        fps: frames a second, which the smoothing goes by.
        size: side of the crops in pixels.
        face: of several faces in a shot the "largest"; "only", which refuses that; or an index into the faces of each
            shot, the one with the most pixels over time first. Faces that are never seen together and are alike in size
            count as one who left and came back.
        box: (left, top, right, bottom) of the face over the whole video in pixels, forehead to chin. All frames are cut
            by it, whether or not a face is seen in them: for drawn faces.
        mode: "auto" keeps square frames whole if the box found is the frame within 10 %: they are face crops already.
            "box" always cuts by the box. "none" takes the middle square of all frames, whether or not a face is seen.
        progress: called as progress(frames done, None); what it raises passes through.

    Raises:
        FaceError: no face in any frame, or a choice of face that does not exist. Its `boxes` lists the faces.
        VideoError: no frames, or frames of several sizes.
        ArgumentError: an argument out of its range.
        PictureError: something else than pictures.
    """
    check_size(size)
    check_choice(face, box, mode, get_args(FollowMode))
    tracks, shots, frame_size = _find_tracks(pictures, progress)
    width, height = frame_size
    count = len(shots)
    path = FacePath(
        float(fps),
        frame_size,
        size,
        np.full(count, -1, np.int32),
        np.zeros((count, 2, 3)),
        np.full((count, 68, 2), np.nan, np.float32),
    )
    notes = []
    if box is None and mode != "none":
        where = f"any of the video's {count} frames ({width}x{height})"
        tracks, note = _choose_tracks(tracks, shots, face, where)
        for number, track in enumerate(tracks):
            path.stretches[track.frames] = number
            path.matrices[track.frames] = [
                square_matrix((x - 0.5, y - 0.5), side, size)
                for x, y, side in _squares(track, float(fps), frame_size, keep_whole=mode == "auto")
            ]
        mean_side = float(np.average([one.side for one in tracks], weights=[len(one.frames) for one in tracks]))
        if note:
            notes.append(note)
        if path.faceless:
            notes.append(f"The face was not seen in {path.faceless} of {count} frames; they stay as they are.")
        if mean_side < SMALL:
            notes.append(
                f"The face is only about {mean_side:.0f} px high; below {SMALL} px its motion reads less well."
            )
    else:
        if box is not None:
            centre, side = published_square(checked_box(box, width, height))
        else:
            # Whole pixels, so that a crop of the right size comes through unchanged.
            side = min(width, height)
            centre = (width - side) // 2 + side / 2, (height - side) // 2 + side / 2
        x, y = centre
        path.matrices[:] = square_matrix((x - 0.5, y - 0.5), side, size)
        path.stretches[:] = shots
        square = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
        # Of each shot the face that lies best in the square, if any is seen, tells where the mouth is.
        best: dict[int, tuple[float, _Track]] = {}
        for track in tracks:
            fit = len(track.frames) * float(overlap(square, np.array(track.boxes)).mean())
            if fit > best.get(track.shot, (0.0, track))[0]:
                best[track.shot] = (fit, track)
        tracks = [track for _, track in best.values()]
    for track in tracks:
        smooth = _smoothed(track.frames, np.array(track.landmarks).reshape(-1, 136), _LANDMARKS_SIGMA * fps)
        path.landmarks[track.frames] = smooth.reshape(-1, 68, 2)
        if box is not None or mode == "none":
            frames = np.flatnonzero(shots == track.shot)
            nearest = np.rint(np.interp(frames, track.frames, np.arange(len(track.frames)))).astype(int)
            path.landmarks[frames] = path.landmarks[np.array(track.frames)[nearest]]
    return replace(path, warnings=tuple(notes))


@dataclass
class _Track:
    """One face, followed without a jump."""

    shot: int
    frames: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    landmarks: list[np.ndarray] = field(default_factory=list)
    """(68, 2) float32 each."""

    @property
    def side(self) -> float:
        """Mean of the longer sides of its boxes."""
        boxes = np.array(self.boxes)
        return float((boxes[:, 2:] - boxes[:, :2]).max(axis=1).mean())

    def cut_before(self, frame: int) -> None:
        """Forget this frame and all after it."""
        kept = sum(seen < frame for seen in self.frames)
        del self.frames[kept:], self.boxes[kept:], self.landmarks[kept:]


def _find_tracks(
    pictures: Iterable[np.ndarray], progress: Callable[[int, int | None], None] | None
) -> tuple[list[_Track], np.ndarray, tuple[int, int]]:
    """All faces of a video, the number of each frame's shot (T,) int32, and the size of the frames."""
    tracks: list[_Track] = []
    shots: list[int] = []
    frame_size: tuple[int, int] | None = None
    cuts, tracker = CutDetector(), FaceTracker(builtin_detector())
    following: dict[int, _Track] = {}  # by the tracker's numbers
    lost: set[int] = set()  # numbers whose mesh has slid off its face
    for index, given in enumerate(pictures):
        picture = as_picture(given)
        check_picture(picture)
        frame_size = frame_size or (picture.shape[1], picture.shape[0])
        check_frame_size(picture, frame_size)
        is_cut = cuts.is_cut(picture)
        shots.append(shots[-1] + is_cut if shots else 0)
        if is_cut:
            tracker, following, lost = FaceTracker(builtin_detector()), {}, set()
        faces = tracker.follow(picture)
        for new, old in itertools.product(faces.keys() - following.keys(), faces.keys() & following.keys() - lost):
            if covers(faces[new].box, faces[old].box):
                # A face was found where another is said to be, but not quite: that mesh has slid off, some time since
                # the last search.
                following[old].cut_before(index - DETECT_EVERY)
                lost.add(old)
        for number in faces.keys() - lost:
            face, track = faces[number], following.get(number)
            assert face.landmarks is not None
            if track is not None and track.frames[-1:] == [index - 1]:
                moved = np.linalg.norm(face.landmarks.mean(axis=0) - track.landmarks[-1].mean(axis=0))
                if moved > JUMP * face.side:
                    track = None
            if track is None:
                track = following[number] = _Track(shots[-1])
                tracks.append(track)
            track.frames.append(index)
            track.boxes.append(face.box)
            track.landmarks.append(face.landmarks.astype(np.float32))
        if progress is not None:
            progress(index + 1, None)
    if frame_size is None:
        raise VideoError("The video has no frames.")
    return [track for track in tracks if track.frames], np.array(shots, np.int32), frame_size


def _choose_tracks(
    tracks: list[_Track], shots: np.ndarray, face: Literal["largest", "only"] | int, where: str
) -> tuple[list[_Track], str]:
    """The tracks of the chosen face, over all shots, and what to tell the user about the choice."""
    cast = []
    for shot in range(int(shots[-1]) + 1):
        present = [track for track in tracks if track.shot == shot]
        brief = _BRIEF * int((shots == shot).sum())
        cast.append(_people([track for track in present if len(track.frames) >= brief] or present))
    # The shot with the most faces is the one that a choice is about.
    crowd = max(cast, key=len)
    unions = [np.concatenate([one.boxes for one in person]) for person in crowd]
    boxes = [(*box[:, :2].min(axis=0).tolist(), *box[:, 2:].max(axis=0).tolist()) for box in unions]
    chosen, note = choose_face(boxes, face, where)
    return [track for people in cast if chosen < len(people) for track in people[chosen]], note


def _people(tracks: list[_Track]) -> list[list[_Track]]:
    """Tracks of one shot by person, the one with the most pixels over time first."""

    def pixels(person: list[_Track]) -> float:
        return sum(track.side * len(track.frames) for track in person)

    people: list[list[_Track]] = []
    for track in sorted(tracks, key=lambda one: -pixels([one])):
        for person in people:
            together = any(set(track.frames) & set(other.frames) for other in person)
            if not together and max(track.side / person[0].side, person[0].side / track.side) <= _ALIKE:
                person.append(track)
                break
        else:
            people.append([track])
    return sorted(people, key=lambda person: -pixels(person))


def _squares(track: _Track, fps: float, frame_size: tuple[int, int], *, keep_whole: bool) -> np.ndarray:
    """What to cut from each frame of a track: (T, 3), the centre x, y and the side of a square, pixel edges counted."""
    import cv2

    width, height = frame_size
    boxes = np.array(track.boxes)
    union = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    (x, y), side = published_square(union)
    square = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    if keep_whole and width == height and np.abs(square - (0, 0, width, height)).max() <= 0.1 * width:
        return np.tile((width / 2, height / 2, width), (len(boxes), 1))
    if side <= STAYS * (1 + 2 * EXTENSION) * track.side:
        return np.tile((x, y, side), (len(boxes), 1))
    centres = _smoothed(track.frames, (boxes[:, :2] + boxes[:, 2:]) / 2, _CENTRE_SIGMA * fps)
    # The face lies whole in the square: what that takes, at most over a second around, changes without haste.
    needed = 2 * np.abs(boxes.reshape(-1, 2, 2) - centres[:, None]).max(axis=(1, 2))
    dense = np.zeros((track.frames[-1] - track.frames[0] + 1, 1))
    places = np.array(track.frames) - track.frames[0]
    dense[places, 0] = needed
    reach = math.ceil(2 * _SIDE_SIGMA * fps)
    most = cv2.dilate(dense, np.ones((2 * reach + 1, 1), np.uint8))[places]
    sides = (1 + 2 * EXTENSION) * _smoothed(track.frames, most, _SIDE_SIGMA * fps)
    return np.concatenate([centres, sides], axis=1)


def _smoothed(frames: Sequence[int], values: np.ndarray, sigma: float) -> np.ndarray:
    """Values (T, D) of some frames, smoothed over time by a Gaussian of `sigma` frames, over the frames there are."""
    import cv2

    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    places = np.array(frames) - frames[0]
    # With a column of ones beside them, which counts what there is.
    dense = np.zeros((int(places[-1]) + 1, values.shape[1] + 1))
    dense[places] = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    summed = cv2.sepFilter2D(dense, cv2.CV_64F, np.ones(1), kernel, borderType=cv2.BORDER_CONSTANT)[places]
    return summed[:, :-1] / summed[:, -1:]
