"""Crop pictures to the face as the training data was cropped: with another crop, rendered faces wobble."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

import numpy as np

from ..builtin_files import builtin_file
from ..media.picture import as_picture
from .alignment import Landmarks, detect_faces
from .detection import Face
from .framing import (
    SMALL,
    FaceChoice,
    Framing,
    PictureCropMode,
    check_crop_size,
    middle_square,
    published_square,
)
from .geometry import Box, check_picture, invert, own_size, rescale, similarity, square_matrix, transform, warp
from .landmarks import LEFT_EAR, LEFT_EYE, NOSE_TIP, RIGHT_EAR, RIGHT_EYE

ALREADY_CROPPED = 8.0
"""Mean distance, in pixels of a 256 px crop, that the corners would move if a picture were cropped again, up to which
it counts as cropped. The published example crops measure 2.5 to 4.6; the nearest other picture of 74 8.7, the next
13."""

_TEMPLATE_POINTS = slice(0, 47)
"""Jaw, brows, nose, and the eyes without their last point, which the published script fits to the template."""

# The six keypoints of the built-in detector in the published crop, in 256 px: medians over 76 portraits cropped by the
# landmarks that the published script uses. With these the corners of a crop by keypoints lie 8 px (median) off the crop
# by landmarks; 12 px with the template's own eyes, nose, mouth and jaw ends, which the detector defines differently.
_KEYPOINTS = np.array([[103.8, 114.9], [164.8, 115.2], [132.5, 151.5], [133.4, 181.6], [73.2, 127.7], [200.5, 128.7]])

_MAX_YAW = 30  # degrees; the training clips face the camera
_MAX_TILT = 20  # degrees
_MIN_SHARPNESS = 0.05  # see _quality_warnings

_BLUR_GROWTH = 0.35
"""Standard deviation of the blur beyond the picture, as a share of the distance from its edge: enough that a face which
is mirrored with its surroundings is not recognised as one."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A square crop of a picture."""

    picture: np.ndarray
    """(size, size, 3) uint8 RGB."""
    matrix: np.ndarray
    """(2, 3) float64: maps a point (x, y) of the source to the crop; pixel centres are whole numbers in both."""
    face: Face | None
    """The face it was cropped by, in pixels of the source; None for the user's box and for mode "none"."""
    warning: str | None
    """Sentences for the user on anything that may spoil the result; None if there is nothing."""

    @property
    def inverse(self) -> np.ndarray:
        """(2, 3) float64: maps a point of the crop to the source picture."""
        return invert(self.matrix)


@lru_cache(maxsize=1)
def face_template() -> np.ndarray:
    """Return the landmarks of the published picture crop, (68, 2) float64 in a 256 px crop. Shared: do not modify."""
    return np.array(json.loads(builtin_file("face_template.json").read_text("utf-8"))["points"], np.float64)


def template_matrix(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Compute the matrix (2, 3) of the published picture crop, from a picture to the crop, for landmarks (68, 2).

    It is the inverse of the similarity that fits the template's points 0 to 46 (jaw, brows, nose, eyes without the last
    point) to the landmarks, as in the published script. Fitting in the other direction gives a slightly different scale
    (1 %).
    """
    return invert(similarity(_rescale_points(face_template()[_TEMPLATE_POINTS], size), landmarks[_TEMPLATE_POINTS]))


def crop_portrait(
    picture: np.ndarray,
    *,
    size: int = 256,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    mode: PictureCropMode = "auto",
    landmarks: Landmarks = "auto",
    device: str = "cpu",
) -> Crop:
    """Crop the face of a picture as the published model expects it.

    Beyond the picture the crop repeats the border; the published script has black there, which does not occur in the
    training data.

    Args:
        picture: (H, W, 3) uint8 RGB.
        size: side of the crop in pixels.
        face: "largest"; "only", which refuses a picture with several faces; or an index into the faces sorted by size,
            largest first.
        box: (left, top, right, bottom) of the face in pixels, forehead to chin, instead of face detection.
        mode: "template" is the published picture crop: landmarks (or, where none fit, as in some drawings, eyes, nose,
            mouth and ears) fitted to the template, which also rotates the head upright. "box" is the published
            driver-video crop: the face box (from the user or the detector) extended by 10 % on each side and made
            square. "none" is the middle square of a picture that is a crop already. "auto" is "box" with a `box`,
            "none" if the face already matches the template (within ALREADY_CROPPED), else "template".
        landmarks: see `detect_faces`.
        device: device of face-alignment, if it is used.

    Raises:
        FaceError: no face; several with face="only"; an index beyond the last face. Its `boxes` lists the faces.
        ArgumentError: an argument out of its range, or a box that is malformed or outside the picture.
        PictureError: a picture of another shape or type.
    """
    check_picture(picture)
    check_crop_size(size)
    framing = Framing(face, box, mode, get_args(PictureCropMode))
    height, width = picture.shape[:2]
    if mode == "none":
        matrix = _middle_square_matrix(width, height, size)
        return Crop(warp(picture, matrix, size), matrix, None, None)
    if (face_box := framing.box_within(width, height)) is not None:
        left, top, right, bottom = face_box
        matrix = _box_matrix(face_box, size)
        cropped = warp(picture, matrix, size)
        warnings = _quality_warnings(cropped, matrix, width, height, max(right - left, bottom - top))
        return Crop(cropped, matrix, None, " ".join(warnings) or None)

    faces = detect_faces(picture, landmarks=landmarks, device=device)
    index, warning = framing.choose([candidate.box for candidate in faces], f"the picture ({width}x{height})")
    subject, warnings = faces[index], [warning] if warning else []
    if subject.landmarks is not None:
        matrix = template_matrix(subject.landmarks, size)
    else:
        matrix = invert(similarity(_rescale_points(_KEYPOINTS, size), subject.keypoints))
        warnings.append(
            "No landmarks fit the face (drawn, masked or dark?), so it was cropped by eyes, nose, mouth and ears; if "
            "that looks wrong, give its box."
        )
    if mode == "auto" and abs(width - height) <= 0.02 * width:
        uncropped = _middle_square_matrix(width, height, size)
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
        distance = np.linalg.norm(transform(transform(corners, invert(uncropped)), matrix) - corners, axis=1).mean()
        if distance * 256 / size <= ALREADY_CROPPED:
            matrix = uncropped
    if mode == "box":
        matrix = _box_matrix(subject.box, size)
    cropped = warp(picture, matrix, size)
    warnings += _quality_warnings(cropped, matrix, width, height, subject.side)
    warnings += _pose_warnings(subject, matrix, width, height)
    return Crop(cropped, matrix, subject, " ".join(warnings) or None)


def crop_at_own_size(picture: np.ndarray, matrix: np.ndarray, size: int, largest: int) -> np.ndarray:
    """Cut the square of a crop out of its picture at the picture's own resolution.

    Beyond the picture it shows the picture mirrored, the more blurred the farther from the edge: a background out of
    focus, or hair that goes on, instead of streaks.

    Args:
        picture: (H, W, 3) uint8 RGB.
        matrix: (2, 3), of a `Crop` of the picture.
        size: side of that crop in pixels; the result is not smaller.
        largest: most pixels a side of the result.

    Returns:
        (P, P, 3) uint8 RGB, where P is even unless `size` or `largest` is odd.
    """
    side = max(size, min(largest, 2 * round(own_size(matrix, size) / 2)))
    to_square = rescale(matrix, side / size)
    square = warp(picture, to_square, side, interpolation="cubic", border="mirror")
    height, width = picture.shape[:2]
    line = np.arange(side, dtype=np.float32)
    inverse = invert(to_square).astype(np.float32)
    x, y = (row[0] * line[None, :] + row[1] * line[:, None] + row[2] for row in inverse)
    beyond = np.hypot(np.maximum(-0.5 - x, x + 0.5 - width).clip(0), np.maximum(-0.5 - y, y + 0.5 - height).clip(0))
    return _blur_by_distance(square, beyond * np.float32(side / own_size(matrix, size))) if beyond.any() else square


def _blur_by_distance(square: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Blur a picture (S, S, 3) uint8 by a Gaussian of _BLUR_GROWTH times the `distance` (S, S) in pixels."""
    import cv2

    sigma = _BLUR_GROWTH * distance
    # 0, 1, 2, 3, ... where sigma is 0, 1, 2, 4, ...
    level = np.where(sigma < 1, sigma, 1 + np.log2(np.maximum(sigma, 1)))
    blurred: np.ndarray = square.astype(np.float32)
    result: np.ndarray = blurred.copy()
    for number in range(int(np.ceil(level.max()))):
        radius = 2.0**number
        block = max(1, int(radius / 2))
        reduced = cv2.resize(square, (-(-len(square) // block),) * 2, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(reduced.astype(np.float32), (0, 0), radius / block, borderType=cv2.BORDER_REPLICATE)
        sharper, blurred = blurred, cv2.resize(small, square.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        share = np.clip(level - number, 0, 1)[:, :, None]
        result = np.where(share > 0, sharper + share * (blurred - sharper), result)
    return as_picture(result / 255)


def crop_landmarks(crop: Crop) -> np.ndarray | None:
    """Return the landmarks (68, 2) of the face in a crop, in its pixels; None where none fit.

    They are those that the crop was made by or, where it was made without any, of the largest face detected in it.
    """
    if crop.face is not None and crop.face.landmarks is not None:
        return transform(crop.face.landmarks, crop.matrix)
    return next((face.landmarks for face in detect_faces(crop.picture) if face.landmarks is not None), None)


def _quality_warnings(cropped: np.ndarray, matrix: np.ndarray, width: int, height: int, side: float) -> list[str]:
    """Return warnings about a small or blurred face and a crop beyond the picture.

    `cropped` is the crop by `matrix`, `side` the side of the face box in pixels of the picture.
    """
    import cv2

    size = cropped.shape[0]
    warnings = []
    if side < SMALL:
        warnings.append(
            f"The face is only {side:.0f} px high in the picture; below {SMALL} px the result is soft. "
            "Use a larger picture."
        )
    else:
        # Mean steepness of edges, against contrast, in the middle of the crop at 256 px. On 70 portraits it was 0.067
        # to 0.35; blurred by a Gaussian of 2 px, or enlarged from 64 px, 0.05 and less.
        face_part = cv2.resize(cropped, (256, 256), interpolation=cv2.INTER_AREA)[64:224, 48:208]
        grey = cv2.cvtColor(face_part, cv2.COLOR_RGB2GRAY).astype(np.float64)
        if np.abs(cv2.Laplacian(grey, cv2.CV_64F)).mean() < _MIN_SHARPNESS * grey.std():
            warnings.append("The face looks blurred; a sharper picture gives a sharper result.")
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2)
    source = transform(grid, invert(matrix))
    outside = 1 - float(((source > -1) & (source < (width, height))).all(axis=1).mean())
    if outside > 0.1:
        warnings.append(f"{outside:.0%} of the crop lies beyond the picture's edge and repeats it.")
    return warnings


def _pose_warnings(face: Face, matrix: np.ndarray, width: int, height: int) -> list[str]:
    """Return warnings about a face that is cut off by the picture's edge, turned sideways or tilted."""
    warnings = []
    left, top, right, bottom = face.box
    if max(-left, -top, right - width, bottom - height) > 0.05 * face.side:
        warnings.append("The face is cut by the picture's edge.")
    if face.landmarks is None:
        return warnings
    points = face.landmarks
    eyes = points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)
    along = eyes / np.linalg.norm(eyes)
    # The offset of the nose tip from the middle between the jaw's ends is proportional to the tangent of the angle
    # (factor 1.24, fitted on 840 frames against the rotation of the mesh in space, r = 0.92).
    to_right = (points[NOSE_TIP] - points[RIGHT_EAR]) @ along
    to_left = (points[LEFT_EAR] - points[NOSE_TIP]) @ along
    yaw = math.degrees(math.atan((to_right - to_left) / (1.24 * max(to_right + to_left, 1e-6))))
    if abs(yaw) > _MAX_YAW:
        warnings.append(
            f"The head is turned sideways by about {abs(yaw):.0f} degrees; the model knows faces that look ahead."
        )
    eyes_in_crop = matrix[:, :2] @ eyes
    tilt = math.degrees(math.atan2(eyes_in_crop[1], eyes_in_crop[0]))
    if abs(tilt) > _MAX_TILT:
        warnings.append(f'The head is tilted by {abs(tilt):.0f} degrees in the crop; crop "template" turns it upright.')
    return warnings


def _box_matrix(box: Box, size: int) -> np.ndarray:
    centre, side = published_square(box)
    return square_matrix((centre[0] - 0.5, centre[1] - 0.5), side, size)  # from edges to pixel centres


def _middle_square_matrix(width: int, height: int, size: int) -> np.ndarray:
    left, top, side = middle_square(width, height)
    return square_matrix((left + (side - 1) / 2, top + (side - 1) / 2), side, size)


def _rescale_points(points: np.ndarray, size: int) -> np.ndarray:
    """Convert points of a 256 px crop to a crop of another size: the crop's edges stay edges."""
    return (points + 0.5) * (size / 256) - 0.5
