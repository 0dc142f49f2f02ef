"""Video crop: one fixed crop for all frames of a clip, as the published driver videos are cropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import VideoError
from ..progress import Progress
from ..wording import counted
from .framing import (
    BRIEF,
    FaceChoice,
    Framing,
    VideoCropMode,
    check_crop_size,
    check_frame_size,
    clipped_box,
    is_cropped_already,
    middle_square,
    small_face_warning,
)
from .geometry import check_picture, invert
from .tracking import DETECT_EVERY
from .tracks import FaceTrack, follow_faces

TRAVEL_WARNING = 1.6
"""Size of the union of the boxes, in face sizes, above which a warning is given."""


@dataclass(frozen=True)
class VideoCrop:
    """One crop for all frames of a clip."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom in frame pixels; about square, and never beyond the frame."""
    frame_size: tuple[int, int]
    """Width and height of the frames."""
    size: int
    """Side of the crop in pixels."""
    frames: int = 0
    """Number of frames searched for the face; 0 with the user's box."""
    faceless: int = 0
    """Number of these frames without the face; they are cropped by the same box."""
    warning: str | None = None
    """Sentences for the user on anything that may spoil the result; None if there is nothing."""

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) float64: maps a point (x, y) of a frame to the crop; pixel centres are integers in both."""
        left, top, right, bottom = self.box
        x, y = self.size / (right - left), self.size / (bottom - top)
        return np.array([[x, 0, (0.5 - left) * x - 0.5], [0, y, (0.5 - top) * y - 0.5]])

    @property
    def inverse(self) -> np.ndarray:
        """(2, 3) float64: maps a point of the crop to the frame."""
        return invert(self.matrix)

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """Crop a frame (H, W, 3) uint8 to (size, size, 3). Raises VideoError for a frame of another size."""
        import cv2

        check_picture(frame)
        check_frame_size(frame, self.frame_size)
        left, top, right, bottom = self.box
        part = frame[top:bottom, left:right]
        shrinks = min(right - left, bottom - top) > self.size
        return cv2.resize(part, (self.size, self.size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def find_clip_box(
    frames: Iterable[np.ndarray],
    *,
    size: int = 256,
    face: FaceChoice = "largest",
    mode: Literal["auto", "box"] = "auto",
    progress: Progress | None = None,
) -> VideoCrop:
    """Find the published driver-video crop of a clip in one pass over its frames, in constant memory.

    One box for the full clip: the union of the boxes of one face over time, extended by 10 % on each side, made square,
    clipped to the frame. A lost face is recognised when its box overlaps its first or last box by more than 0.25
    (intersection over union). The published script ends a clip where a face leaves its first box; here it is followed,
    through cuts too, and a large union gives a warning.

    Args:
        frames: (H, W, 3) uint8 RGB each, all of one size.
        size: side of the crop in pixels.
        face: "largest", the face with the most pixels over time; "only", which refuses a clip with several faces; or an
            index into the faces sorted that way, the largest first.
        mode: "auto" does not crop square frames whose detected box is the frame within 10 %: they are crops already.
        progress: called as progress(frames done, None).

    Raises:
        FaceError: no face in any frame, or a choice of face that does not exist. Its `boxes` lists the faces.
        VideoError: no frames, or frames of several sizes.
        ArgumentError: an argument out of its range.
        PictureError: a picture of another shape or type.
    """
    check_crop_size(size)
    framing = Framing(face, None, mode, ("auto", "box"))
    faces: dict[int, FaceTrack] = {}
    """By the number of each face's latest track: a face is the same through jumps."""
    width = height = count = 0
    for frame in follow_faces(frames, across_cuts=True):
        for old in frame.slid:
            faces[old].cut_before(frame.index - DETECT_EVERY)
        for old, new in {**frame.jumped, **frame.slid}.items():
            faces[new] = faces.pop(old)
        for number, detection in frame.faces.items():
            assert detection.landmarks is not None
            track = faces.setdefault(number, FaceTrack(memory=DETECT_EVERY))
            track.add(frame.index, detection.box, detection.landmarks)
        (width, height), count = frame.size, frame.index + 1
        if progress is not None:
            progress(count, None)
    candidates = [track for track in faces.values() if len(track) >= BRIEF * count] or list(faces.values())
    ranked = sorted(candidates, key=lambda track: -track.sides)
    index, warning = framing.choose(
        [track.box for track in ranked], f"any of the video's {counted(count, 'frame')} ({width}x{height})"
    )
    track = ranked[index]
    if mode == "auto" and is_cropped_already(track.box, width, height):
        box = (0, 0, width, height)
    else:
        box = clipped_box(track.box, width, height)
    faceless = count - len(track)
    warnings = [warning] if warning else []
    if faceless:
        warnings.append(f"The face was not seen in {faceless} of {count} frames; they are cut by the same box.")
    warnings += small_face_warning(track.side)
    left, top, right, bottom = track.box
    extent = max(right - left, bottom - top) / track.side
    if extent > TRAVEL_WARNING:
        warnings.append(
            f"The head travels: the crop is {extent:.1f} times as large as the face needs, while the model knows up "
            "to about 1.3. Cut the video into shots, or stabilise it."
        )
    warnings += _squeeze_warning(box)
    return VideoCrop(box, (width, height), size, count, faceless, " ".join(warnings) or None)


def crop_video(
    open_frames: Callable[[], Iterable[np.ndarray]],
    *,
    size: int = 256,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    mode: VideoCropMode = "auto",
    progress: Progress | None = None,
) -> tuple[VideoCrop, Iterator[np.ndarray]]:
    """Crop the face of a video: return one crop for the clip, and its frames (size, size, 3) uint8 as a stream.

    Runs `find_clip_box` over all frames first, then crops them while the stream is read, so that a video of any length
    takes the memory of a few frames.

    Args:
        open_frames: opens the video from its start and returns its frames (H, W, 3) uint8 RGB; called once or twice.
        size, face, progress: see `find_clip_box`.
        box: (left, top, right, bottom) of the face over the full clip, forehead to chin, instead of face detection.
        mode: "auto" and "box" see `find_clip_box`; "none" is the middle square of frames that are face crops already.

    Raises what `find_clip_box` raises, at once; the stream raises VideoError for a frame of another size.
    """
    check_crop_size(size)
    framing = Framing(face, box, mode)
    if mode != "none" and box is None:
        crop = find_clip_box(open_frames(), size=size, face=face, mode=mode, progress=progress)
    else:
        first = next(iter(open_frames()), None)
        if first is None:
            raise VideoError("The video has no frames.")
        check_picture(first)
        height, width = first.shape[:2]
        face_box = framing.box_within(width, height)
        if face_box is None:
            left, top, side = middle_square(width, height)
            crop = VideoCrop((left, top, left + side, top + side), (width, height), size)
        else:
            clip_box = clipped_box(face_box, width, height)
            crop = VideoCrop(clip_box, (width, height), size, warning=" ".join(_squeeze_warning(clip_box)) or None)
    return crop, _cut_frames(crop, open_frames())


def _cut_frames(crop: VideoCrop, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Crop frames; one that is repeated as the same object gives the same object."""
    before: np.ndarray | None = None
    for frame in frames:
        if frame is not before:
            before, picture = frame, crop.cut(frame)
        yield picture


def _squeeze_warning(box: tuple[int, int, int, int]) -> list[str]:
    """Return a list with a warning if the crop is so far from square that it is squeezed, else an empty list."""
    width, height = box[2] - box[0], box[3] - box[1]
    if max(width, height) <= 1.1 * min(width, height):
        return []
    return [
        f"The frame's edge cuts the crop to {width}x{height}, which is squeezed to a square, as in the published "
        "script."
    ]
