"""Framing: the user's choice of the face in a picture or video and of the square to crop, and its errors.

All functions that detect a face take the same three choices: `face`, `box` and `crop` (or `mode`). `Framing` holds and
validates the three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from ..checks import check_whole
from ..errors import ArgumentError, FaceError, VideoError
from .geometry import Box

FaceChoice: TypeAlias = Literal["largest", "only"] | int
"""Choice among several faces: "largest"; "only", where several are an error; or an index, the largest first."""
PictureCropMode = Literal["auto", "template", "box", "none"]
"""Crop mode of a picture, see `crop_portrait`."""
VideoCropMode = Literal["auto", "box", "none"]
"""Crop mode of a video's frames, see `crop_video` and `follow_face`."""

EXTENSION = 0.1
"""Share of the face box that is added on each side (published)."""
SMALL = 100
"""Pixels from forehead to chin: the crop shows a face of 160 px, so that a smaller face is enlarged by 1.6 or more."""
BRIEF = 0.05
"""Share of a clip or shot below which a face (a passer-by, a false positive) is ignored if there are longer ones."""
MOST_FACES_LISTED = 10


@dataclass(frozen=True)
class Framing:
    """The choice of face and of its crop. Raises ArgumentError for choices that contradict each other."""

    face: FaceChoice = "largest"
    box: Sequence[float] | None = None
    """(left, top, right, bottom) of the face in pixels, forehead to chin, instead of face detection."""
    crop: str = "auto"
    crops: tuple[str, ...] = get_args(VideoCropMode)
    """The valid values of `crop`."""

    def __post_init__(self) -> None:
        if self.crop not in self.crops:
            raise ArgumentError(f"The crop is one of {', '.join(self.crops)}, not {self.crop!r}.")
        if isinstance(self.face, str):
            valid = self.face in ("largest", "only")
        else:
            valid = isinstance(self.face, int) and not isinstance(self.face, bool) and self.face >= 0
        if not valid:
            raise ArgumentError(f'face is "largest", "only" or a number from 0 on, not {self.face!r}.')
        if self.box is not None and self.crop not in ("auto", "box"):
            raise ArgumentError(
                f'A box and crop {self.crop!r} contradict each other; use crop "box" or leave the box out.'
            )
        if self.box is not None and self.face != "largest":
            raise ArgumentError("A box and a choice of face contradict each other; give one of them.")

    def box_within(self, width: int, height: int) -> Box | None:
        """Return the box as four floats, or None without one.

        Raises ArgumentError for a box that is malformed or does not fit a picture of this size.
        """
        return None if self.box is None else _check_box(self.box, width, height)

    def choose(self, boxes: Sequence[Box], where: str) -> tuple[int, str]:
        """Return the index of the chosen face, and a warning about the choice (empty for none).

        Args:
            boxes: boxes of all faces, largest first.
            where: the searched input, for the messages: "the picture (640x480)".

        Raises:
            FaceError: no faces, several with face="only", or no such index. Its `boxes` lists the faces.
        """
        box_list = "; ".join(
            f"{index}: ({', '.join(f'{edge:.0f}' for edge in box)})"
            for index, box in enumerate(boxes[:MOST_FACES_LISTED])
        )
        if len(boxes) > MOST_FACES_LISTED:
            box_list += "; ..."
        if not boxes:
            raise FaceError(
                f"No face was found in {where}. Give the face's box (left, top, right, bottom in pixels, forehead to "
                'chin) or choose crop "none" if it shows a cropped face already.'
            )
        if self.face == "only" and len(boxes) > 1:
            raise FaceError(
                f"There are {len(boxes)} faces in {where}, {box_list}. Choose one by its number, or give a box.",
                tuple(boxes),
            )
        if not isinstance(self.face, str):
            if self.face >= len(boxes):
                raise FaceError(
                    f"There is no face {self.face} in {where}; counted from 0, there are {box_list}.", tuple(boxes)
                )
            return self.face, ""
        if len(boxes) == 1:
            return 0, ""
        return 0, f"There are {len(boxes)} faces; the largest is used. By box (left, top, right, bottom): {box_list}."


def published_square(box: Box) -> tuple[tuple[float, float], float]:
    """Return centre and side of a face box extended by 10 % on each side and made square.

    The published script extends each side of the box by max(0.1 w, (1.2 h - w) / 2), and so for the height: 1.2 times
    the longer side.
    """
    left, top, right, bottom = box
    return ((left + right) / 2, (top + bottom) / 2), (1 + 2 * EXTENSION) * max(right - left, bottom - top)


def clipped_box(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the published driver-video crop of a face box: pixels truncated to integers, clipped to the frame."""
    (x, y), side = published_square(box)
    left, top, right, bottom = int(x - side / 2), int(y - side / 2), int(x + side / 2), int(y + side / 2)
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def middle_square(width: int, height: int) -> tuple[int, int, int]:
    """Return left, top and side of the square in the middle of a picture.

    They are integers, so that a crop of the right size stays unchanged.
    """
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def is_cropped_already(box: Box, width: int, height: int) -> bool:
    """Whether the published square of a face box is the frame within 10 %: such frames are face crops already."""
    if width != height:
        return False
    (x, y), side = published_square(box)
    square = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    return bool(np.abs(square - (0, 0, width, height)).max() <= 0.1 * width)


def small_face_warning(side: float) -> list[str]:
    """Return a list with a warning if a video's face of this mean height in pixels is small, else an empty list."""
    if side >= SMALL:
        return []
    return [f"The face is only about {side:.0f} px high; below {SMALL} px its motion reads less well."]


def check_crop_size(size: int) -> int:
    """Return the side of a crop in pixels. Raises ArgumentError unless it is a whole number from 16 to 4096."""
    return check_whole(size, "size, the side of the crop,", low=16, high=4096, unit="pixels")


def check_frame_size(frame: np.ndarray, expected: tuple[int, int]) -> None:
    """Raise VideoError unless a frame (H, W, 3) has the expected (width, height)."""
    if (frame.shape[1], frame.shape[0]) != expected:
        raise VideoError(
            f"The video's frames change size from {expected[0]}x{expected[1]} to {frame.shape[1]}x{frame.shape[0]}; "
            "convert it to one size first."
        )


def _check_box(box: Sequence[float], width: int, height: int) -> Box:
    """Return the box as four floats. Raises ArgumentError unless it is a box within a picture of this size."""
    try:
        left, top, right, bottom = (float(edge) for edge in box)
    except (TypeError, ValueError):
        raise ArgumentError(f"A box is four numbers, left, top, right, bottom, not {box!r}.") from None
    description = f"({left:g}, {top:g}, {right:g}, {bottom:g})"
    if not all(map(math.isfinite, (left, top, right, bottom))) or right - left < 8 or bottom - top < 8:
        raise ArgumentError(
            f"A box is left, top, right, bottom in pixels, at least 8 px wide and high; got {description}."
        )
    if min(right, width) - max(left, 0) < 8 or min(bottom, height) - max(top, 0) < 8:
        raise ArgumentError(f"The box {description} lies outside the picture of {width}x{height} px.")
    if max(right - left, bottom - top) > 4 * max(width, height):
        raise ArgumentError(f"The box {description} is far larger than the picture of {width}x{height} px.")
    return left, top, right, bottom
