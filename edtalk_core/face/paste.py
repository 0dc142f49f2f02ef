"""Paste rendered frames of a crop back into the source picture without a visible seam."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from ..checks import check_number, check_size, check_whole
from ..errors import ArgumentError, PictureError
from .crop import face_template
from .geometry import invert, rescale, transform, warp
from .landmarks import BROWS, CHEEKS_AND_CHIN, CHIN, JAW, LANDMARK_COUNT, NOSE_BASE, NOSE_RIDGE

Area = Literal["face", "mouth", "crop"]

AREAS: tuple[Area, ...] = get_args(Area)

_CANVAS = 256
"""Side of the crop on which masks are drawn; they are soft, so that enlarging them loses nothing."""
_DETAIL_RADIUS = 2.5
"""Pixels of a 256 px crop over which a rendered frame is compared with the crop it was made from."""
_DETAIL_CHANGE = 0.03
"""Difference (of 0 to 1) from the crop at which 1/e of the picture's own detail is left. Reconstruction alone differs
by about 0.01, a mouth that moves by 0.1 and more."""
_RING = 128
"""Side of the crop at which colours are compared."""


def check_feather(feather: float) -> float:
    """Return the width of a mask's soft edge as a share of the crop's side; ArgumentError unless it is 0 to 0.5."""
    return check_number(feather, "The feather, a share of the crop's side,", low=0, high=0.5)


class ColourMatch:
    """Colour matching: removes the tint of rendered frames against their surroundings.

    The tint is measured at the mask's soft edge, where the frame and the picture should be the same. It is estimated
    for each channel as an offset that may change linearly across the crop (a lamp at one side), robustly, since hair or
    a collar may have moved. A gain is not estimated: skin around a mouth has too little contrast.

    Pass the same object to every `PasteBack.composite` of a clip, so that the colours stay steady: `follow` is the
    weight of each further frame in a running average. With 0 the tint of the first frame holds for all, which is right
    for a still picture. Use a new object after a cut. Raises ArgumentError for a weight outside 0 to 1.
    """

    def __init__(self, follow: float = 0.0) -> None:
        self.follow = check_number(follow, "The share of each frame that colours follow", low=0, high=1)
        self.tint: np.ndarray | None = None
        """(3, 3): the offset added to a frame in 0..1, a row for each of 1, x and y in -1..1 across the crop; None
        before the first frame."""

    def update(self, difference: np.ndarray, weight: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Update and return the tint, from the picture minus the frame (N, 3) at points (N, 2) in -1..1."""
        if self.tint is not None and not self.follow:
            return self.tint
        total = float(weight.sum())
        if total < 1e-6:
            estimate = np.zeros((3, 3))
        else:
            basis = np.concatenate([np.ones((len(points), 1)), points], axis=1)
            # Regularise the slope: a ring that the picture's edge truncates does not determine one.
            ridge = np.diag([1e-6, 0.1, 0.1]) * total
            estimate = np.empty((3, 3))
            for channel in range(3):
                values = difference[:, channel]
                centre = np.median(values[weight > 0.5 * weight.max()])
                robust = weight / (1 + ((values - centre) / 0.04) ** 2)
                weighted = basis * robust[:, None]
                estimate[:, channel] = np.linalg.solve(basis.T @ weighted + ridge, weighted.T @ values)
        self.tint = estimate if self.tint is None else self.tint + self.follow * (estimate - self.tint)
        return self.tint


class PasteBack:
    """The mask and geometry by which the frames of a crop are pasted back into its source.

    The computation is float32 for any input, and the result has the type of the picture: uint8 is rounded once, at the
    end; float32 is never quantised. Outside the mask the result equals the picture bit for bit.

    Args:
        matrix: (2, 3), maps a point of the source to the crop: `Crop.matrix` or `VideoCrop.matrix`.
        source_size: (width, height) of the pictures.
        crop_size: side in pixels of the crop that `matrix` leads to. Frames may have another size: a frame of 1024 px
            of a 256 px crop is the same square at four times the resolution.
        area: "crop" is the full square, for a head that moves; "face" from forehead to chin; "mouth" from the nose to
            below the chin, between the cheeks.
        feather: width of the mask's soft edge as a share of the crop's side, 0 to 0.5. The edge of the crop is soft too
            where it lies within the picture, and hard where the picture ends.
        landmarks: (68, 2) of the face in source pixels, such as `crop.face.landmarks`; by default those of the template
            (`face_template`).

    Raises:
        ArgumentError: an invalid matrix, size, area, feather or landmarks, or a crop that lies outside the picture.
    """

    source_size: tuple[int, int]
    region: tuple[int, int, int, int]
    """Left, top, right, bottom: the part of the picture that is computed; nothing outside it changes."""

    def __init__(
        self,
        matrix: np.ndarray,
        source_size: tuple[int, int],
        crop_size: int,
        *,
        area: Area = "crop",
        feather: float = 0.1,
        landmarks: np.ndarray | None = None,
    ) -> None:
        self._matrix = _check_matrix(matrix)
        self.source_size = width, height = check_size(source_size, "The size of a picture", 1)
        self._crop_size = check_whole(crop_size, "crop_size, the side of the crop,", low=16, unit="pixels")
        if area not in AREAS:
            raise ArgumentError(f"The area to paste is one of {', '.join(AREAS)}, not {area!r}.")
        check_feather(feather)
        if landmarks is not None:
            landmarks = _check_landmarks(landmarks)

        to_canvas = rescale(self._matrix, _CANVAS / self._crop_size)
        soft = max(1.0, feather * _CANVAS)
        canvas = _border_mask(to_canvas, width, height, soft)
        if area != "crop":
            # The template is of a 256 px crop, as the canvas is one.
            points = face_template() if landmarks is None else transform(landmarks, to_canvas)
            canvas *= _polygon_mask(_outline(points, area), soft)

        rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
        if not len(rows):
            raise ArgumentError(f"There is nothing to paste: the {area} lies outside of its crop.")
        # Margins for the reach of interpolation around the mask: one pixel of the canvas, two of the picture.
        x, y = np.array([columns[0] - 1, columns[-1] + 1]), np.array([rows[0] - 1, rows[-1] + 1])
        corners = transform(np.array([[a, b] for a in x for b in y], np.float64), invert(to_canvas))
        left, top = np.clip(np.floor(corners.min(axis=0)) - 2, 0, (width, height)).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 3, 0, (width, height)).astype(int).tolist()
        if left >= right or top >= bottom:
            raise ArgumentError(f"The {area} to paste lies beside the picture of {width}x{height} px.")
        self.region = left, top, right, bottom
        self._canvas = canvas
        self._mask = self._resample(canvas, _shift_origin(to_canvas, (left, top)), "linear")
        """(h, w) of the region."""

    @property
    def mask(self) -> np.ndarray:
        """(H, W) float32 mask of the full picture: 1 where the frame shows, 0 where the picture stays."""
        left, top, right, bottom = self.region
        mask = np.zeros(self.source_size[::-1], np.float32)
        mask[top:bottom, left:right] = self._mask
        return mask

    def composite(
        self,
        picture: np.ndarray,
        frame: np.ndarray,
        *,
        colours: ColourMatch | None = None,
        detail: bool = True,
    ) -> np.ndarray:
        """Return the picture with the frame pasted in, a new array of the picture's type.

        Args:
            picture: (H, W, 3) RGB, uint8 or float32 in 0..1 (a ComfyUI image), of the source's size.
            frame: (S, S, 3) RGB, uint8 or float32 in 0..1, of any size.
            colours: matches the frame's colours to the picture's; None leaves them.
            detail: transfer fine detail of the picture, beyond the resolution of the frame, wherever the frame matches
                the picture. Where they differ, as around a speaking mouth, the frame stays unchanged.

        Raises:
            PictureError: another shape or type.
        """
        import cv2

        width, height = self.source_size
        _check_pixels(picture, "The picture", (height, width, 3))
        _check_pixels(frame, "A frame", (frame.shape[0], frame.shape[0], 3) if getattr(frame, "ndim", 0) == 3 else ())
        left, top, right, bottom = self.region
        part = picture[top:bottom, left:right]
        scale = np.float32(255 if picture.dtype == np.uint8 else 1)
        size = len(frame)
        to_frame = _shift_origin(rescale(self._matrix, size / self._crop_size), (left, top))
        to_canvas = rescale(to_frame, _CANVAS / size)
        frame, old = _as_float(frame), part.astype(np.float32)
        share, added = self._mask, None
        if colours is not None or detail:
            # At the size of the frame, so that a picture of 4K costs little more than a small one.
            change = warp(old, to_frame, size) / scale - frame
            if colours is not None:
                tint = self._learn_tint(change, colours)
                frame, change = frame + tint, change - tint
            if detail:
                broad, similarity = _broad_change(change)
                share = self._resample(self._canvas * (1 - similarity), to_canvas, "linear")
                added = self._resample((self._canvas * similarity)[:, :, None] * (-scale * broad), to_canvas, "linear")
        new = self._resample(frame * scale, to_frame, "cubic")
        np.clip(new, 0, scale, out=new)  # cubic interpolation overshoots
        new -= old
        new *= cv2.merge([share, share, share])
        if added is not None:
            new += added
        result = picture.copy()
        # Rounds and clips when it becomes uint8.
        result[top:bottom, left:right] = cv2.add(old, new, dtype=cv2.CV_8U if scale > 1 else cv2.CV_32F)
        return result

    def _learn_tint(self, difference: np.ndarray, colours: ColourMatch) -> np.ndarray:
        """Update the tint by the difference (S, S, 3) of the picture from a frame; return it in the same shape."""
        import cv2

        size = len(difference)
        coarse = cv2.resize(difference, (_RING, _RING), interpolation=cv2.INTER_AREA)
        mask = cv2.resize(self._canvas, (_RING, _RING), interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
        place = (2 * np.arange(_RING) + 1) / _RING - 1
        points = np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2)
        tint = colours.update(coarse.reshape(-1, 3).astype(np.float64), 4 * mask * (1 - mask), points)
        place = (2 * np.arange(size) + 1) / size - 1
        plane = tint[0] + place[None, :, None] * tint[1] + place[:, None, None] * tint[2]
        return plane.astype(np.float32)

    def _resample(
        self, values: np.ndarray, to_values: np.ndarray, interpolation: Literal["linear", "cubic"]
    ) -> np.ndarray:
        """Sample the crop's square (S, S, ...) float32 at the pixels of the region, by the matrix from the region."""
        import cv2

        left, top, right, bottom = self.region
        # Interpolation reads few pixels at any distance between samples: average before reducing.
        block = min(_block(to_values), len(values))
        if block >= 2:
            pad = -len(values) % block
            if pad:
                values = cv2.copyMakeBorder(values, 0, pad, 0, pad, cv2.BORDER_REPLICATE)
            small = len(values) // block
            values = cv2.resize(values, (small, small), interpolation=cv2.INTER_AREA)
            to_values = rescale(to_values, 1 / block)
        return cv2.warpAffine(
            values,
            to_values,
            (right - left, bottom - top),
            flags=(cv2.INTER_CUBIC if interpolation == "cubic" else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _broad_change(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the low-frequency part (256, 256, 3) of the difference (S, S, 3) of a frame from its crop.

    Also return the share of the picture's own detail to transfer, (256, 256) of 0 to 1: small where the difference is
    large.
    """
    import cv2

    coarse = cv2.resize(change, (_CANVAS, _CANVAS), interpolation=cv2.INTER_AREA)
    broad = cv2.GaussianBlur(coarse, (0, 0), _DETAIL_RADIUS)
    square = cv2.GaussianBlur(np.square(broad).mean(axis=2), (0, 0), _DETAIL_RADIUS)
    return broad, np.exp(square * np.float32(-1 / _DETAIL_CHANGE**2))


def _block(matrix: np.ndarray) -> int:
    """Return the integer number of target pixels that a source pixel covers along a side; at least 1."""
    return max(1, math.floor(math.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6))


def _shift_origin(matrix: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """Return the matrix for source pixels counted from `origin`."""
    return np.concatenate([matrix[:, :2], (matrix[:, :2] @ np.asarray(origin) + matrix[:, 2])[:, None]], axis=1)


def fade_towards_border(
    matrix: np.ndarray, source_size: tuple[int, int], crop_size: int, size: int, width: float
) -> np.ndarray:
    """Return (size, size) float32 over a crop: 0 at its border, rising to 1 over `width`, a share of its side.

    Sides of the crop that lie entirely outside the picture of `source_size` (width, height) do not count as border.
    """
    import cv2

    to_canvas = rescale(_check_matrix(matrix), _CANVAS / crop_size)
    fade = _border_mask(to_canvas, *source_size, width * _CANVAS)
    return cv2.resize(fade, (size, size), interpolation=cv2.INTER_AREA if size < _CANVAS else cv2.INTER_LINEAR)


def _border_mask(to_canvas: np.ndarray, width: int, height: int, soft: float) -> np.ndarray:
    """Return a mask (_CANVAS, _CANVAS) float32, 0 at the canvas's outermost pixels and rising inwards.

    A side of the crop that lies entirely outside the picture has nothing to blend with: the mask stays 1 there.
    """
    # In a picture coarser than the canvas, the block of canvas pixels under its outermost pixel is 0.
    distance = np.arange(_CANVAS, dtype=np.float32) - (_block(to_canvas) - 1)
    rise = _smoothstep(distance / np.float32(max(1.0, soft)))
    ends = np.linspace(-0.5, _CANVAS - 0.5, 33)
    low, high = np.full(33, -0.5), np.full(33, _CANVAS - 0.5)
    inverse = invert(to_canvas)
    ramps = []
    # Of the four sides: left, right (along x), top, bottom (along y).
    for side in ((low, ends), (high, ends), (ends, low), (ends, high)):
        x, y = transform(np.stack(side, axis=1), inverse).T
        # Half a pixel of the picture: its outermost centre may lie on the side itself.
        inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
        ramps.append(rise if inside.any() else np.ones(_CANVAS, np.float32))
    left, right, top, bottom = ramps
    return np.outer(top * bottom[::-1], left * right[::-1])


def _outline(points: np.ndarray, area: Area) -> np.ndarray:
    """Return the polygon (N, 2) of an area from 68 landmarks, in the same pixels."""
    import cv2

    brows = points[BROWS]
    if area == "face":
        up = brows.mean(axis=0) - points[CHIN]
        # The forehead is about as high as two fifths of brows to chin.
        outline = np.concatenate([points[JAW], brows + 0.4 * up])
        hull = cv2.convexHull(outline.astype(np.float32))[:, 0].astype(np.float64)
        return hull + 0.06 * (hull - hull.mean(axis=0))
    # Within the cheeks, whose outline hardly moves, but well below the chin, which drops when the mouth opens.
    nose = points[NOSE_BASE]
    below = points[CHEEKS_AND_CHIN] - nose
    reach = 0.9 + 0.35 * np.sin(np.linspace(0, math.pi, len(below)))
    return np.concatenate([nose + reach[:, None] * below, points[[NOSE_RIDGE]]])


def _polygon_mask(outline: np.ndarray, soft: float) -> np.ndarray:
    """Draw a polygon in canvas pixels as a mask whose edge is `soft` pixels wide, half of them outside.

    It is computed from the distance to the outline instead of rasterised: integer pixels would make the mask of a slow
    face flicker. The softer the edge, the coarser the grid that represents it.
    """
    import cv2

    step = 4 if soft >= 16 else 2 if soft >= 8 else 1
    places = np.arange((step - 1) / 2, _CANVAS, step, dtype=np.float32)
    x, y = places[None, :, None], places[:, None, None]
    ends = np.roll(outline, -1, axis=0).astype(np.float32)
    (ax, ay), (dx, dy) = outline.T.astype(np.float32), (ends - outline.astype(np.float32)).T
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / np.maximum(dx * dx + dy * dy, 1e-6), 0, 1)
    distance = np.sqrt(((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2).min(axis=2))
    # From inside, a ray to the right crosses the outline an odd number of times.
    crosses = ((ay > y) != (ay + dy > y)) & (x < ax + (y - ay) * dx / np.where(dy == 0, 1, dy))
    signed = np.where(crosses.sum(axis=2) % 2 == 1, distance, -distance)
    mask = _smoothstep(signed / np.float32(soft) + 0.5)
    return cv2.resize(mask, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _as_float(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as float32 in 0..1; may share memory with the argument."""
    if pixels.dtype == np.uint8:
        return pixels * np.float32(1 / 255)
    return np.ascontiguousarray(pixels, np.float32)


def _check_pixels(pixels: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    kind = getattr(pixels, "dtype", type(pixels).__name__)
    if (
        not isinstance(pixels, np.ndarray)
        or kind not in (np.uint8, np.float32)
        or pixels.shape != shape
        or not len(pixels)
    ):
        expected = "x".join(map(str, shape)) if shape else "SxSx3"
        raise PictureError(
            f"{name} is {kind} {getattr(pixels, 'shape', '')}; expected uint8, or float32 in 0..1, of {expected}, RGB."
        )


def _check_matrix(matrix: np.ndarray) -> np.ndarray:
    values = np.asarray(matrix, np.float64)
    if values.shape != (2, 3) or not np.isfinite(values).all() or abs(np.linalg.det(values[:, :2])) < 1e-9:
        raise ArgumentError(f"A crop's matrix is (2, 3), finite and invertible (Crop.matrix), not {matrix!r}.")
    return values


def _check_landmarks(landmarks: np.ndarray) -> np.ndarray:
    values = np.asarray(landmarks, np.float64)
    if values.shape != (LANDMARK_COUNT, 2) or not np.isfinite(values).all():
        raise ArgumentError(f"Landmarks are (68, 2) finite numbers in pixels of the picture, not {values.shape}.")
    return values
