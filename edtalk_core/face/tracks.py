"""Face tracks: association of faces between frames, and the ends of tracks.

`follow_faces` is the only place that handles cuts, jumps and meshes that slid off their face. Its callers turn the
tracks into a still crop for a clip (`video_crop`), the moving path of a dub (`following`), or the stretches that
training clips are cut from (`edtalk_core.data.pieces`).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import VideoError
from .alignment import builtin_detector
from .detection import Face
from .framing import check_frame_size
from .geometry import Box, check_picture
from .tracking import DETECT_EVERY, FaceTracker

CUT = 0.15
"""Mean difference (0 to 1) of two frames, shrunk to 16 px, above which there is a cut. The liveliest of 149 face clips
stays below 0.11."""
JUMP = 0.25
"""Movement from one frame to the next, in face sizes, above which a new track begins: at a cut that the pictures hardly
show, or where the mesh has jumped to another face."""
SHARED = 0.3
"""Share of the smaller of two boxes that both cover, above which they cannot be two faces side by side."""


class CutDetector:
    """Detector of cuts between shots; feed it the frames in order."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def is_cut(self, picture: np.ndarray) -> bool:
        """Whether the next frame (H, W, 3) uint8 begins a new shot; False for the first frame."""
        import cv2

        small = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
        before, self._before = self._before, small
        return before is not None and float(np.abs(small - before).mean()) > CUT


@dataclass
class FaceTrack:
    """One face over time.

    The statistics of all its frames (their number, the union of the boxes, the mean side) are available at any length;
    `memory` bounds the number of frames that are stored.
    """

    shot: int = 0
    """Number of the shot that it belongs to, from 0."""
    memory: int | None = None
    """Maximum number of frames to store, the latest ones; None stores all."""
    frames: list[int] = field(default_factory=list)
    """Indices of the stored frames, ascending; the face may be missing in some frames between them."""
    boxes: list[Box] = field(default_factory=list)
    """Face box in each stored frame, in pixels: forehead to chin, ear to ear."""
    landmarks: list[np.ndarray] = field(default_factory=list)
    """(68, 2) in each stored frame, in pixels."""
    _earlier: int = 0
    _earlier_sides: float = 0.0
    _earlier_box: Box | None = None

    def __len__(self) -> int:
        return self._earlier + len(self.frames)

    @property
    def start(self) -> int:
        """Index of the first stored frame."""
        return self.frames[0]

    @property
    def box(self) -> Box:
        """Union of the boxes of all frames."""
        boxes = np.array(self.boxes if self._earlier_box is None else [self._earlier_box, *self.boxes])
        left, top = boxes[:, :2].min(axis=0).tolist()
        right, bottom = boxes[:, 2:].max(axis=0).tolist()
        return left, top, right, bottom

    @property
    def side(self) -> float:
        """Mean of the longer sides of all boxes."""
        return self.sides / len(self)

    @property
    def sides(self) -> float:
        """Sum of the longer sides of all boxes: a measure of how much of the video shows this face."""
        boxes = np.array(self.boxes).reshape(-1, 4)
        return self._earlier_sides + float((boxes[:, 2:] - boxes[:, :2]).max(axis=1).sum())

    def add(self, frame: int, box: Box, landmarks: np.ndarray) -> None:
        """Append the face in a later frame: its box and its landmarks (68, 2)."""
        self.frames.append(frame)
        self.boxes.append(box)
        self.landmarks.append(landmarks)
        if self.memory is not None and len(self.frames) > self.memory:
            left, top, right, bottom = oldest = self.boxes[0]
            before = self._earlier_box or oldest
            self._earlier_box = min(before[0], left), min(before[1], top), max(before[2], right), max(before[3], bottom)
            self._earlier_sides += max(right - left, bottom - top)
            self._earlier += 1
            del self.frames[0], self.boxes[0], self.landmarks[0]

    def cut_before(self, frame: int) -> None:
        """Remove this frame and all after it from the stored frames."""
        count = sum(index < frame for index in self.frames)
        del self.frames[count:], self.boxes[count:], self.landmarks[count:]


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """The faces of one frame, by the numbers of their tracks, which count from 0 and are unique within a video."""

    index: int
    """Index of the frame, from 0."""
    shot: int
    """Number of its shot, from 0."""
    size: tuple[int, int]
    """(width, height) of the frame."""
    faces: Mapping[int, Face]
    """Track -> face, all with landmarks."""
    appeared: frozenset[int]
    """Tracks that begin here with a face that is new in this shot."""
    jumped: Mapping[int, int]
    """Ended track -> track that begins here with the same face, which moved by more than JUMP."""
    slid: Mapping[int, int]
    """Ended track -> track that begins here with the same face, detected again: the mesh of the ended track slid off it
    at some time in the last DETECT_EVERY frames."""


def follow_faces(pictures: Iterable[np.ndarray], *, across_cuts: bool = False) -> Iterator[FrameFaces]:
    """Track all faces of a video, frame by frame, in constant memory.

    Args:
        pictures: (H, W, 3) uint8 RGB each, all of one size. Of one that is repeated as the same object for longer than
            the detector's interval, the faces stay what they are, at no cost.
        across_cuts: follow a face through a cut as far as its mesh does, for one box over all shots. By default every
            track ends at a cut, and faces are detected anew.

    Yields:
        A `FrameFaces` for each picture; the picture itself is not retained.

    Raises:
        VideoError: no pictures, or pictures of several sizes.
        PictureError: a picture of another shape or type.
    """
    cuts, tracker = CutDetector(), FaceTracker(builtin_detector())
    current: dict[int, _Current] = {}
    before: weakref.ref[np.ndarray] | None = None  # not the picture itself, which is not retained
    repeats = 0
    by_track: dict[int, Face] = {}
    numbers = itertools.count()
    size: tuple[int, int] | None = None
    shot = 0
    for index, picture in enumerate(pictures):
        repeats = repeats + 1 if before is not None and picture is before() else 0
        before = weakref.ref(picture)
        if repeats > DETECT_EVERY and size is not None:
            # A video of one picture a minute, say: nothing moves, and the detector has looked.
            current = {number: replace(face, frame=index) for number, face in current.items()}
            yield FrameFaces(index, shot, size, by_track, frozenset(), {}, {})
            continue
        check_picture(picture)
        size = size or (picture.shape[1], picture.shape[0])
        check_frame_size(picture, size)
        if cuts.is_cut(picture):
            shot += 1
            if not across_cuts:
                tracker, current = FaceTracker(builtin_detector()), {}
        faces = tracker.follow(picture)
        slid_off = _slid_off(faces, known=current.keys(), detected=tracker.detected)
        ended = {current.pop(old).track: new for old, new in slid_off.items()}
        for old in slid_off:
            tracker.forget(old)
            del faces[old]
        appeared, jumped, by_track = set(), {}, {}
        for number, face in faces.items():
            last = current.get(number)
            if last is None or last.has_jumped(index, face):
                track = next(numbers)
                if last is not None:
                    jumped[last.track] = track
                elif number not in slid_off.values():
                    appeared.add(track)
            else:
                track = last.track
            current[number] = _Current(track, index, _middle(face))
            by_track[track] = face
        slid = {track: current[new].track for track, new in ended.items()}
        yield FrameFaces(index, shot, size, by_track, frozenset(appeared), jumped, slid)
    if size is None:
        raise VideoError("The video has no frames.")


@dataclass(frozen=True)
class _Current:
    """The track of a face that the tracker follows, with the frame and the position of its last appearance."""

    track: int
    frame: int
    middle: np.ndarray

    def has_jumped(self, frame: int, face: Face) -> bool:
        """Whether a face in a later frame is further away than faces move from one frame to the next."""
        distance = float(np.linalg.norm(_middle(face) - self.middle))
        return distance / (frame - self.frame) > JUMP * face.side


def _middle(face: Face) -> np.ndarray:
    assert face.landmarks is not None
    return face.landmarks.mean(axis=0)


def _slid_off(faces: Mapping[int, Face], known: Iterable[int], detected: set[int]) -> dict[int, int]:
    """Map faces whose mesh slid off them to the faces that the same people were detected as, by the tracker's numbers.

    A mesh slid off if a new face overlaps it and the detector found no face at the mesh itself, as it would if these
    were two faces of which one is half hidden.
    """
    older = [number for number in known if number in faces and number not in detected]
    newer = [number for number in faces if number not in set(known)]
    return {
        old: new for new, old in itertools.product(newer, older) if _cover_each_other(faces[new].box, faces[old].box)
    }


def _cover_each_other(first: Box, second: Box) -> bool:
    """Whether two boxes overlap by more than SHARED of the smaller one: too much for two faces side by side."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width > 0 and height > 0 and width * height > SHARED * min(areas)
