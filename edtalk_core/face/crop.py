"""Cut pictures and videos as the model was trained to see them: a wrong crop comes out looking like jelly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from ..builtin_files import builtin_file
from ..errors import ArgumentError, FaceError, VideoError
from .alignment import Landmarks, builtin_detector, detect_faces
from .detection import Face
from .geometry import Box, check_picture, invert, similarity, square_matrix, transform, warp
from .tracking import FaceTracker

Mode = Literal["auto", "template", "box", "none"]

EXTENSION = 0.1
"""Part of the face box that is added on each side (published)."""

ALREADY_CROPPED = 8.0
"""Mean way, in pixels of a 256 px crop, that the corners would move if a picture were cropped again, up to which it
counts as cropped. The published example crops measure 2.5 to 4.6; the nearest other picture of 74 8.7, the next 13."""

# The six keypoints of the built-in detector in the published crop, in 256 px: medians over 76 portraits cropped by the
# landmarks that the published script uses. With these the corners of a crop by keypoints lie 8 px (median) off the crop
# by landmarks; 12 px with the template's own eyes, nose, mouth and jaw ends, which mean other spots than the detector
# does.
_KEYPOINTS = np.array([[103.8, 114.9], [164.8, 115.2], [132.5, 151.5], [133.4, 181.6], [73.2, 127.7], [200.5, 128.7]])

SMALL = 100
"""Pixels from forehead to chin: the crop shows a face of 160 px, so that less is enlarged 1.6 times and more."""
_TURNED = 30  # degrees; the training clips look ahead
_TILTED = 20  # degrees
_SHARP = 0.05  # see _quality


@dataclass(frozen=True, eq=False)
class Crop:
    """A square cut out of a picture."""

    picture: np.ndarray
    """(size, size, 3) uint8 RGB."""
    matrix: np.ndarray
    """(2, 3) float64: maps a point (x, y) of the source to the crop; pixel centres are whole numbers in both."""
    face: Face | None
    """What it was cropped by, in pixels of the source; None for a given box and for no crop."""
    warning: str | None
    """What may spoil the result, in sentences for the user; None if nothing was noticed."""

    @property
    def inverse(self) -> np.ndarray:
        """(2, 3) float64: maps a point of the crop to the source picture."""
        return invert(self.matrix)


@lru_cache(maxsize=1)
def face_template() -> np.ndarray:
    """(68, 2) float64: where the published picture crop puts the landmarks, in a 256 px crop. Do not write to it."""
    return np.array(json.loads(builtin_file("face_template.json").read_text("utf-8"))["points"], np.float64)


def template_matrix(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The published picture crop: (2, 3) matrix from a picture to the crop, for its 68 landmarks (68, 2).

    The similarity that brings the template's points 0 to 46 (jaw, brows, nose, eyes without the last point) nearest to
    the landmarks, turned round, as in the published script. Fitting in the other direction gives a slightly different
    scale (1 %).
    """
    return invert(similarity(_scaled(face_template()[:47], size), landmarks[:47]))


def crop_portrait(
    picture: np.ndarray,
    *,
    size: int = 256,
    face: Literal["largest", "only"] | int = "largest",
    box: Sequence[float] | None = None,
    mode: Mode = "auto",
    landmarks: Landmarks = "auto",
    device: str = "cpu",
) -> Crop:
    """Cut the face out of a picture as the published model expects it.

    Where the crop reaches beyond the picture it repeats the border; the published script shows black there, which the
    model never saw in training.

    Args:
        picture: (H, W, 3) uint8 RGB.
        size: side of the crop in pixels.
        face: "largest"; "only", which refuses a picture with several faces; or an index into the faces sorted by size,
            largest first.
        box: (left, top, right, bottom) of the face in pixels, forehead to chin, instead of looking for one.
        mode: "template" is the published picture crop: landmarks (or, where none can be placed, as in some drawings,
            eyes, nose, mouth and ears) fitted to the template, which also turns the head upright. "box" is the
            published driver-video crop, the face box (given or found) extended by 10 % on each side and made square.
            "none" takes the middle square of a picture that is a crop already. "auto" is "box" if a box is given,
            "none" if the face already lies where the template has it (within ALREADY_CROPPED), else "template".
        landmarks: see `detect_faces`.
        device: where face-alignment runs, if it is used.

    Raises:
        FaceError: no face; several with face="only"; an index beyond the last face. Its `boxes` lists the faces.
        ArgumentError: an argument out of its range, or a box that is not one or lies outside the picture.
        PictureError: not such a picture.
    """
    check_picture(picture)
    check_size(size)
    check_choice(face, box, mode, get_args(Mode))
    height, width = picture.shape[:2]
    if mode == "none":
        matrix = _middle_square(width, height, size)
        return Crop(warp(picture, matrix, size), matrix, None, None)
    if box is not None:
        left, top, right, bottom = given = checked_box(box, width, height)
        matrix = _box_matrix(given, size)
        cut = warp(picture, matrix, size)
        notes = _quality(cut, matrix, width, height, None, max(right - left, bottom - top))
        return Crop(cut, matrix, None, " ".join(notes) or None)

    faces = detect_faces(picture, landmarks=landmarks, device=device)
    chosen, note = choose_face([one.box for one in faces], face, f"the picture ({width}x{height})")
    found, notes = faces[chosen], [note] if note else []
    if found.landmarks is not None:
        matrix = template_matrix(found.landmarks, size)
    else:
        matrix = invert(similarity(_scaled(_KEYPOINTS, size), found.keypoints))
        notes.append(
            "No landmarks fit the face (drawn, masked or dark?), so it was cropped by eyes, nose, mouth and ears; if "
            "that looks wrong, give its box."
        )
    if mode == "auto" and abs(width - height) <= 0.02 * width:
        as_it_is = _middle_square(width, height, size)
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
        moved = np.linalg.norm(transform(transform(corners, invert(as_it_is)), matrix) - corners, axis=1).mean()
        if moved * 256 / size <= ALREADY_CROPPED:
            matrix = as_it_is
    if mode == "box":
        matrix = _box_matrix(found.box, size)
    cut = warp(picture, matrix, size)
    notes += _quality(cut, matrix, width, height, found, found.side)
    return Crop(cut, matrix, found, " ".join(notes) or None)


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
    face: Literal["largest", "only"] | int = "largest",
    mode: Literal["auto", "box"] = "auto",
    progress: Callable[[int, int | None], None] | None = None,
) -> VideoCrop:
    """The published driver-video crop of a clip, from one pass over its frames; memory does not grow with their number.

    One box for the whole clip: the union of the boxes of one face over time, extended by 10 % on each side, made
    square, clipped to the frame. A face belongs to the same trajectory while its box overlaps its first or its last one
    by more than 0.25 (intersection over union); the published script ends a clip where a face leaves its first box, we
    follow it, and warn when the union grows large.

    Args:
        frames: (H, W, 3) uint8 RGB each, all of one size.
        size: side of the crop in pixels.
        face: "largest", the face with the most pixels over time; "only", which refuses a clip with several faces; or an
            index into the faces sorted that way, the largest first.
        mode: "auto" keeps square frames whole if the box found is the frame within 10 %: such a clip is a crop already.
        progress: called as progress(frames done, None); what it raises passes through.

    Raises:
        FaceError: no face in any frame, or a choice of face that does not exist. Its `boxes` lists the faces.
        VideoError: no frames, or frames of several sizes.
        ArgumentError: an argument out of its range.
    """
    check_size(size)
    check_choice(face, None, mode, ("auto", "box"))
    tracker = FaceTracker(builtin_detector())
    trajectories: dict[int, _Trajectory] = {}
    frame_size: tuple[int, int] | None = None
    count = 0
    for frame in frames:
        check_picture(frame)
        frame_size = frame_size or (frame.shape[1], frame.shape[0])
        check_frame_size(frame, frame_size)
        for number, seen in tracker.follow(frame).items():
            trajectories.setdefault(number, _Trajectory(seen.box)).add(seen)
        count += 1
        if progress is not None:
            progress(count, None)
    if frame_size is None:
        raise VideoError("The video has no frames.")
    width, height = frame_size
    # What shows for a moment (a passer-by, a false alarm) is no choice beside a face that lasts.
    lasting = [one for one in trajectories.values() if one.frames >= 0.05 * count] or list(trajectories.values())
    ranked = sorted(lasting, key=lambda one: -one.sides)
    chosen, note = choose_face(
        [one.box for one in ranked], face, f"any of the video's {count} frames ({width}x{height})"
    )
    trajectory = ranked[chosen]
    notes = [note] if note else []

    centre, side = published_square(trajectory.box)
    square = np.array([centre[0] - side / 2, centre[1] - side / 2, centre[0] + side / 2, centre[1] + side / 2])
    whole = np.array([0, 0, width, height])
    if mode == "auto" and width == height and np.abs(square - whole).max() <= 0.1 * width:
        clip_box = (0, 0, width, height)
    else:
        clip_box = clipped_box(trajectory.box, width, height)
    mean_side = trajectory.sides / trajectory.frames
    if trajectory.frames < count:
        notes.append(
            f"The face was not seen in {count - trajectory.frames} of {count} frames; they are cut by the same box."
        )
    if mean_side < SMALL:
        notes.append(f"The face is only about {mean_side:.0f} px high; below {SMALL} px its motion reads less well.")
    union_side = max(trajectory.box[2] - trajectory.box[0], trajectory.box[3] - trajectory.box[1])
    if union_side > 1.6 * mean_side:
        notes.append(
            f"The head travels: the crop is {union_side / mean_side:.1f} times as large as the face needs, while the "
            "model knows up to about 1.3. Cut the video into shots, or stabilise it."
        )
    notes += _squeezed(clip_box)
    return VideoCrop(clip_box, frame_size, size, count, count - trajectory.frames, " ".join(notes) or None)


def crop_video(
    open_frames: Callable[[], Iterable[np.ndarray]],
    *,
    size: int = 256,
    face: Literal["largest", "only"] | int = "largest",
    box: Sequence[float] | None = None,
    mode: Literal["auto", "box", "none"] = "auto",
    progress: Callable[[int, int | None], None] | None = None,
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
    check_size(size)
    check_choice(face, box, mode, ("auto", "box", "none"))
    if mode != "none" and box is None:
        crop = find_clip_box(open_frames(), size=size, face=face, mode=mode, progress=progress)
    else:
        first = next(iter(open_frames()), None)
        if first is None:
            raise VideoError("The video has no frames.")
        check_picture(first)
        height, width = first.shape[:2]
        if box is None:
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            crop = VideoCrop((left, top, left + side, top + side), (width, height), size)
        else:
            clip_box = clipped_box(checked_box(box, width, height), width, height)
            crop = VideoCrop(clip_box, (width, height), size, warning=" ".join(_squeezed(clip_box)) or None)
    return crop, (crop.cut(frame) for frame in open_frames())


class _Trajectory:
    """One face over time."""

    def __init__(self, box: Box) -> None:
        self.box = box
        """Union of its boxes."""
        self.frames = 0
        self.sides = 0.0
        """Sum of the sides of its boxes."""

    def add(self, face: Face) -> None:
        left, top, right, bottom = zip(self.box, face.box, strict=True)
        self.box = (min(left), min(top), max(right), max(bottom))
        self.frames += 1
        self.sides += face.side


def choose_face(boxes: Sequence[Box], face: str | int, where: str) -> tuple[int, str]:
    """Index of the chosen face among boxes sorted by size, and what to tell the user about the choice."""
    listed = "; ".join(f"{i}: ({', '.join(f'{edge:.0f}' for edge in box)})" for i, box in enumerate(boxes[:10]))
    if len(boxes) > 10:
        listed += "; ..."
    if not boxes:
        raise FaceError(
            f"No face was found in {where}. Give the face's box (left, top, right, bottom in pixels, forehead to chin) "
            'or choose crop "none" if it shows a cropped face already.'
        )
    if face == "only" and len(boxes) > 1:
        raise FaceError(
            f"There are {len(boxes)} faces in {where}, {listed}. Choose one by its number, or give a box.", tuple(boxes)
        )
    if not isinstance(face, str):
        if face >= len(boxes):
            raise FaceError(f"There is no face {face} in {where}; found are {listed}.", tuple(boxes))
        return face, ""
    if len(boxes) == 1:
        return 0, ""
    return 0, f"There are {len(boxes)} faces; the largest is used. By box (left, top, right, bottom): {listed}."


def _quality(cut: np.ndarray, matrix: np.ndarray, width: int, height: int, face: Face | None, side: float) -> list[str]:
    """Sentences on what may spoil the result: `cut` is the crop made by `matrix`, `side` the face's in the picture."""
    import cv2

    size = cut.shape[0]
    notes = []
    if side < SMALL:
        notes.append(
            f"The face is only {side:.0f} px high in the picture; below {SMALL} px the result is soft. "
            "Use a larger picture."
        )
    else:
        # Mean steepness of edges, against contrast, in the middle of the crop at 256 px. On 70 portraits it was 0.067
        # to 0.35; blurred by a Gaussian of 2 px, or enlarged from 64 px, 0.05 and less.
        face_part = cv2.resize(cut, (256, 256), interpolation=cv2.INTER_AREA)[64:224, 48:208]
        grey = cv2.cvtColor(face_part, cv2.COLOR_RGB2GRAY).astype(np.float64)
        if np.abs(cv2.Laplacian(grey, cv2.CV_64F)).mean() < _SHARP * grey.std():
            notes.append("The face looks blurred; a sharper picture gives a sharper result.")
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2)
    source = transform(grid, invert(matrix))
    beyond = 1 - float(((source > -1) & (source < (width, height))).all(axis=1).mean())
    if beyond > 0.1:
        notes.append(f"{beyond:.0%} of the crop lies beyond the picture's edge and repeats it.")
    if face is None:
        return notes
    left, top, right, bottom = face.box
    if max(-left, -top, right - width, bottom - height) > 0.05 * side:
        notes.append("The face is cut by the picture's edge.")
    if face.landmarks is None:
        return notes
    points = face.landmarks
    eyes = points[42:48].mean(axis=0) - points[36:42].mean(axis=0)
    along = eyes / np.linalg.norm(eyes)
    # How far the nose's tip lies out of the middle between the jaw's ends grows with the tangent of the angle (factor
    # 1.24, fitted on 840 frames against the rotation of the mesh in space, r = 0.92).
    to_left, to_right = (points[30] - points[0]) @ along, (points[16] - points[30]) @ along
    yaw = math.degrees(math.atan((to_left - to_right) / (1.24 * max(to_left + to_right, 1e-6))))
    if abs(yaw) > _TURNED:
        notes.append(
            f"The head is turned sideways by about {abs(yaw):.0f} degrees; the model knows faces that look ahead."
        )
    eyes_in_crop = matrix[:, :2] @ eyes
    tilt = math.degrees(math.atan2(eyes_in_crop[1], eyes_in_crop[0]))
    if abs(tilt) > _TILTED:
        notes.append(f'The head is tilted by {abs(tilt):.0f} degrees in the crop; crop "template" turns it upright.')
    return notes


def _squeezed(box: tuple[int, int, int, int]) -> list[str]:
    width, height = box[2] - box[0], box[3] - box[1]
    if max(width, height) <= 1.1 * min(width, height):
        return []
    return [
        f"The frame's edge cuts the crop to {width}x{height}, which is squeezed to a square, as in the published "
        "script."
    ]


def published_square(box: Box) -> tuple[tuple[float, float], float]:
    """Centre and side of a face box extended by 10 % on each side and made square.

    The published script extends each side of the box by max(0.1 w, (1.2 h - w) / 2), and so for the height: 1.2 times
    the longer side.
    """
    left, top, right, bottom = box
    return ((left + right) / 2, (top + bottom) / 2), (1 + 2 * EXTENSION) * max(right - left, bottom - top)


def _box_matrix(box: Box, size: int) -> np.ndarray:
    centre, side = published_square(box)
    return square_matrix((centre[0] - 0.5, centre[1] - 0.5), side, size)  # from edges to pixel centres


def clipped_box(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The published driver-video crop of a face box: whole pixels, cut off towards zero, clipped to the frame."""
    (x, y), side = published_square(box)
    left, top, right, bottom = int(x - side / 2), int(y - side / 2), int(x + side / 2), int(y + side / 2)
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def _middle_square(width: int, height: int, size: int) -> np.ndarray:
    # Whole pixels, so that a crop of the right size comes through unchanged.
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return square_matrix((left + (side - 1) / 2, top + (side - 1) / 2), side, size)


def _scaled(points: np.ndarray, size: int) -> np.ndarray:
    """Points of a 256 px crop in one of another size: the picture's edges stay edges."""
    return (points + 0.5) * (size / 256) - 0.5


def check_size(size: int) -> None:
    """Raise ArgumentError unless a crop can have this side."""
    if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 4096:
        raise ArgumentError(f"size is a whole number of pixels from 16 to 4096, not {size!r}.")


def check_choice(face: str | int, box: Sequence[float] | None, mode: str, modes: tuple[str, ...]) -> None:
    """Raise ArgumentError for a mode that is none of `modes`, no choice of face, or two that contradict each other."""
    if mode not in modes:
        raise ArgumentError(f"The crop is one of {', '.join(modes)}, not {mode!r}.")
    if isinstance(face, str):
        valid = face in ("largest", "only")
    else:
        valid = isinstance(face, int) and not isinstance(face, bool) and face >= 0
    if not valid:
        raise ArgumentError(f'face is "largest", "only" or a number from 0 on, not {face!r}.')
    if box is not None and mode not in ("auto", "box"):
        raise ArgumentError(f'A box and crop {mode!r} contradict each other; use crop "box" or leave the box out.')
    if box is not None and face != "largest":
        raise ArgumentError("A box and a choice of face contradict each other; give one of them.")


def checked_box(box: Sequence[float], width: int, height: int) -> Box:
    """The box as four floats; ArgumentError unless it is one, and of a picture of this size."""
    try:
        left, top, right, bottom = (float(edge) for edge in box)
    except (TypeError, ValueError):
        raise ArgumentError(f"A box is four numbers, left, top, right, bottom, not {box!r}.") from None
    shown = f"({left:g}, {top:g}, {right:g}, {bottom:g})"
    if not all(map(math.isfinite, (left, top, right, bottom))) or right - left < 8 or bottom - top < 8:
        raise ArgumentError(f"A box is left, top, right, bottom in pixels, at least 8 px wide and high; got {shown}.")
    if min(right, width) - max(left, 0) < 8 or min(bottom, height) - max(top, 0) < 8:
        raise ArgumentError(f"The box {shown} lies outside the picture of {width}x{height} px.")
    if max(right - left, bottom - top) > 4 * max(width, height):
        raise ArgumentError(f"The box {shown} is far larger than the picture of {width}x{height} px.")
    return left, top, right, bottom


def check_frame_size(frame: np.ndarray, expected: tuple[int, int]) -> None:
    """Raise VideoError unless a frame (H, W, 3) has the expected (width, height)."""
    if (frame.shape[1], frame.shape[0]) != expected:
        raise VideoError(
            f"The video's frames change size from {expected[0]}x{expected[1]} to {frame.shape[1]}x{frame.shape[0]}; "
            "convert it to one size first."
        )
