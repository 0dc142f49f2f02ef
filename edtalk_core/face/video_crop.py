"""One still crop for all frames of a clip, as the published driver videos are cropped."""

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

TRAVELS = 1.6
"""How many times as large as the face the union of its boxes may be without a warning."""


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
    """Frames that were searched; 0 if the box was given."""
    faceless: int = 0
    """Frames of these in which the face was not seen; they are cut by the same box."""
    warning: str | None = None
    """What may spoil the result, in sentences for the user; None if nothing was noticed."""

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) float64: maps a point (x, y) of a frame to the crop; pixel centres are whole numbers in both."""
        left, top, right, bottom = self.box
        x, y = self.size / (right - left), self.size / (bottom - top)
        return np.array([[x, 0, (0.5 - left) * x - 0.5], [0, y, (0.5 - top) * y - 0.5]])

    @property
    def inverse(self) -> np.ndarray:
        """(2, 3) float64: maps a point of the crop to the frame."""
        return invert(self.matrix)

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The crop (size, size, 3) of a frame (H, W, 3) uint8. Raises VideoError for a frame of another size."""
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
    """The published driver-video crop of a clip, from one pass over its frames; memory does not grow with their number.

    One box for the whole clip: the union of the boxes of one face over time, extended by 10 % on each side, made
    square, clipped to the frame. A face that was lost is the same again if its box overlaps the first or the last one
    by more than 0.25 (intersection over union); the published script ends a clip where a face leaves its first box, we
    follow it, through cuts too, and warn when the union grows large.

    Args:
        frames: (H, W, 3) uint8 RGB each, all of one size.
        size: side of the crop in pixels.
        face: "largest", the face with the most pixels over time; "only", which refuses a clip with several faces; or an
            index into the faces sorted that way, the largest first.
        mode: "auto" keeps square frames whole if the box found is the frame within 10 %: such a clip is a crop already.
        progress: called as progress(frames done, None).

    Raises:
        FaceError: no face in any frame, or a choice of face that does not exist. Its `boxes` lists the faces.
        VideoError: no frames, or frames of several sizes.
        ArgumentError: an argument out of its range.
        PictureError: something else than pictures.
    """
    check_crop_size(size)
    framing = Framing(face, None, mode, ("auto", "box"))
    faces: dict[int, FaceTrack] = {}
    """By the number of the last track of each: a face stays the same one through jumps."""
    width = height = count = 0
    for frame in follow_faces(frames, across_cuts=True):
        for old in frame.slid:
            faces[old].cut_before(frame.index - DETECT_EVERY)
        for old, new in {**frame.jumped, **frame.slid}.items():
            faces[new] = faces.pop(old)
        for number, seen in frame.faces.items():
            assert seen.landmarks is not None
            faces.setdefault(number, FaceTrack(memory=DETECT_EVERY)).add(frame.index, seen.box, seen.landmarks)
        (width, height), count = frame.size, frame.index + 1
        if progress is not None:
            progress(count, None)
    lasting = [track for track in faces.values() if len(track) >= BRIEF * count] or list(faces.values())
    ranked = sorted(lasting, key=lambda track: -track.sides)
    chosen, note = framing.choose(
        [track.box for track in ranked], f"any of the video's {counted(count, 'frame')} ({width}x{height})"
    )
    track = ranked[chosen]
    if mode == "auto" and is_cropped_already(track.box, width, height):
        box = (0, 0, width, height)
    else:
        box = clipped_box(track.box, width, height)
    faceless = count - len(track)
    notes = [note] if note else []
    if faceless:
        notes.append(f"The face was not seen in {faceless} of {count} frames; they are cut by the same box.")
    notes += small_face_warning(track.side)
    left, top, right, bottom = track.box
    travelled = max(right - left, bottom - top) / track.side
    if travelled > TRAVELS:
        notes.append(
            f"The head travels: the crop is {travelled:.1f} times as large as the face needs, while the model knows up "
            "to about 1.3. Cut the video into shots, or stabilise it."
        )
    notes += _squeezed(box)
    return VideoCrop(box, (width, height), size, count, faceless, " ".join(notes) or None)


def crop_video(
    open_frames: Callable[[], Iterable[np.ndarray]],
    *,
    size: int = 256,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    mode: VideoCropMode = "auto",
    progress: Progress | None = None,
) -> tuple[VideoCrop, Iterator[np.ndarray]]:
    """Cut the face out of a video: one box for the clip, and its frames (size, size, 3) uint8 as a stream.

    Runs `find_clip_box` over all frames first, then cuts them while the stream is read, so that a video of any length
    takes the memory of a few frames.

    Args:
        open_frames: opens the video anew and gives its frames (H, W, 3) uint8 RGB; called once or twice.
        size, face, progress: see `find_clip_box`.
        box: (left, top, right, bottom) of the face over the whole clip, forehead to chin, instead of looking for it.
        mode: "auto" and "box" see `find_clip_box`; "none" takes the middle square of frames that are face crops
            already.

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
            crop = VideoCrop(clip_box, (width, height), size, warning=" ".join(_squeezed(clip_box)) or None)
    return crop, (crop.cut(frame) for frame in open_frames())


def _squeezed(box: tuple[int, int, int, int]) -> list[str]:
    width, height = box[2] - box[0], box[3] - box[1]
    if max(width, height) <= 1.1 * min(width, height):
        return []
    return [
        f"The frame's edge cuts the crop to {width}x{height}, which is squeezed to a square, as in the published "
        "script."
    ]
