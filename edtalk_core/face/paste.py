"""Put rendered frames of a crop back into the picture they were cut from, so that nobody sees where."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from ..checks import check_number, check_size, check_whole
from ..errors import ArgumentError, PictureError
from .crop import face_template
from .geometry import invert, transform, warp
from .landmarks import BROWS, CHEEKS_AND_CHIN, CHIN, JAW, LANDMARK_COUNT, NOSE_BASE, NOSE_RIDGE

Area = Literal["face", "mouth", "crop"]

AREAS: tuple[Area, ...] = get_args(Area)

_CANVAS = 256
"""Side of the crop on which masks are drawn; they are soft, so that enlarging them costs nothing."""
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
    """Takes what frames have of a tint against their surroundings out of them.

    The tint is what the mask's soft edge shows: there the frame and the picture should be the same. It is estimated for
    each channel as an offset that may change linearly across the crop (a lamp at one side), robustly, since hair or a
    collar may have moved. A gain is not estimated: skin around a mouth has too little contrast to tell one.

    Give the same object to every `PasteBack.composite` of a clip. The colours then stay steady: with `follow` 0 what
    was found at the first frame counts for all, which is right for a still picture; with more, that share of what each
    further frame shows is taken over. Begin a new object at a cut. Raises ArgumentError for a share outside of 0 to 1.
    """

    def __init__(self, follow: float = 0.0) -> None:
        self.follow = check_number(follow, "The share of each frame that colours follow", low=0, high=1)
        self.tint: np.ndarray | None = None
        """(3, 3): what is added to a frame, of 0 to 1, a row for each of 1, x and y in -1..1 across the crop; None
        before the first frame."""

    def update(self, difference: np.ndarray, weight: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Learn from the picture less the frame (N, 3) at points (N, 2) in -1..1; gives the tint as it now is."""
        if self.tint is not None and not self.follow:
            return self.tint
        total = float(weight.sum())
        if total < 1e-6:
            found = np.zeros((3, 3))
        else:
            basis = np.concatenate([np.ones((len(points), 1)), points], axis=1)
            # A slope needs evidence, or a ring that is cut by the picture's edge would invent one.
            ridge = np.diag([1e-6, 0.1, 0.1]) * total
            found = np.empty((3, 3))
            for channel in range(3):
                values = difference[:, channel]
                centre = np.median(values[weight > 0.5 * weight.max()])
                robust = weight / (1 + ((values - centre) / 0.04) ** 2)
                weighted = basis * robust[:, None]
                found[:, channel] = np.linalg.solve(basis.T @ weighted + ridge, weighted.T @ values)
        self.tint = found if self.tint is None else self.tint + self.follow * (found - self.tint)
        return self.tint


class PasteBack:
    """Where and how softly the frames of a crop go back into its source.

    Everything is float32 within the touched region, whatever comes in, and what comes out is of the picture's own type:
    uint8 is rounded once, at the end; float32 is never quantised. Outside of the mask the result equals the picture bit
    for bit.

    Args:
        matrix: (2, 3), maps a point of the source to the crop: `Crop.matrix` or `VideoCrop.matrix`.
        source_size: (width, height) of the pictures.
        crop_size: side in pixels of the crop that `matrix` leads to. Frames may have another: one of 1024 px of a 256
            px crop is taken for the same square, four times as fine.
        area: "crop" is the whole square, for a head that moves; "face" from forehead to chin; "mouth" from the nose to
            below the chin, between the cheeks.
        feather: width of the mask's soft edge as a share of the crop's side, 0 to 0.5. The edge of the crop is soft too
            where it lies within the picture, and hard where the picture ends.
        landmarks: (68, 2) of the face in source pixels, such as `crop.face.landmarks`; by default where a crop has them
            (`face_template`).

    Raises:
        ArgumentError: a matrix, size, area, feather or landmarks that is none, or a crop that lies beside the picture.
    """

    source_size: tuple[int, int]
    region: tuple[int, int, int, int]
    """Left, top, right, bottom: the part of the picture that is computed; nothing outside of it changes."""

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
        self._matrix = _checked_matrix(matrix)
        self.source_size = width, height = check_size(source_size, "The size of a picture", 1)
        self._crop_size = check_whole(crop_size, "crop_size, the side of the crop,", low=16, unit="pixels")
        if area not in AREAS:
            raise ArgumentError(f"The area to paste is one of {', '.join(AREAS)}, not {area!r}.")
        check_feather(feather)
        if landmarks is not None:
            landmarks = _checked_landmarks(landmarks)

        to_canvas = _rescaled(self._matrix, _CANVAS / self._crop_size)
        soft = max(1.0, feather * _CANVAS)
        canvas = _edges(to_canvas, width, height, soft)
        if area != "crop":
            # The template is of a 256 px crop, as the canvas is one.
            points = face_template() if landmarks is None else transform(landmarks, to_canvas)
            canvas *= _drawn(_outline(points, area), soft)

        rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
        if not len(rows):
            raise ArgumentError(f"There is nothing to paste: the {area} lies outside of its crop.")
        # With what sampling between pixels reaches around what is not zero: one of the canvas, two of the picture.
        x, y = np.array([columns[0] - 1, columns[-1] + 1]), np.array([rows[0] - 1, rows[-1] + 1])
        corners = transform(np.array([[a, b] for a in x for b in y], np.float64), invert(to_canvas))
        left, top = np.clip(np.floor(corners.min(axis=0)) - 2, 0, (width, height)).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 3, 0, (width, height)).astype(int).tolist()
        if left >= right or top >= bottom:
            raise ArgumentError(f"The {area} to paste lies beside the picture of {width}x{height} px.")
        self.region = left, top, right, bottom
        self._canvas = canvas
        self._mask = self._resampled(canvas, _shifted(to_canvas, (left, top)), "linear")
        """(h, w) of the region."""

    @property
    def mask(self) -> np.ndarray:
        """(H, W) float32 of the whole picture: 1 where the frame shows, 0 where the picture stays."""
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
        """The picture with the frame in its place, a new array of the picture's type.

        Args:
            picture: (H, W, 3) RGB, uint8 or float32 in 0..1 (a ComfyUI image), of the source's size.
            frame: (S, S, 3) RGB, uint8 or float32 in 0..1, of any size.
            colours: matches the frame's colours to the picture's; None leaves them.
            detail: give the frame what the picture has of detail that a frame of this size cannot show, wherever the
                frame shows what the picture does. Where it differs, as around a mouth that speaks, it stays itself.

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
        to_frame = _shifted(_rescaled(self._matrix, size / self._crop_size), (left, top))
        to_canvas = _rescaled(to_frame, _CANVAS / size)
        frame, old = _as_float(frame), part.astype(np.float32)
        share, added = self._mask, None
        if colours is not None or detail:
            # At the size of the frame, so that a picture of 4K costs little more than a small one.
            change = warp(old, to_frame, size) / scale - frame
            if colours is not None:
                tint = self._learn_tint(change, colours)
                frame, change = frame + tint, change - tint
            if detail:
                broad, kept = _broad_change(change)
                share = self._resampled(self._canvas * (1 - kept), to_canvas, "linear")
                added = self._resampled((self._canvas * kept)[:, :, None] * (-scale * broad), to_canvas, "linear")
        new = self._resampled(frame * scale, to_frame, "cubic")
        np.clip(new, 0, scale, out=new)  # cubic curves overshoot
        new -= old
        new *= cv2.merge([share, share, share])
        if added is not None:
            new += added
        result = picture.copy()
        # Rounds and clips when it becomes uint8.
        result[top:bottom, left:right] = cv2.add(old, new, dtype=cv2.CV_8U if scale > 1 else cv2.CV_32F)
        return result

    def _learn_tint(self, difference: np.ndarray, colours: ColourMatch) -> np.ndarray:
        """The tint that the picture has against a frame, of their difference (S, S, 3): the same shape."""
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

    def _resampled(self, values: np.ndarray, to_values: np.ndarray, how: Literal["linear", "cubic"]) -> np.ndarray:
        """Values of the crop's square (S, S, ...) float32 at the pixels of the region; matrix from the region."""
        import cv2

        left, top, right, bottom = self.region
        # Sampling reads few pixels however far apart the samples lie: what is reduced is averaged first.
        block = min(_block(to_values), len(values))
        if block >= 2:
            pad = -len(values) % block
            if pad:
                values = cv2.copyMakeBorder(values, 0, pad, 0, pad, cv2.BORDER_REPLICATE)
            small = len(values) // block
            values = cv2.resize(values, (small, small), interpolation=cv2.INTER_AREA)
            to_values = _rescaled(to_values, 1 / block)
        return cv2.warpAffine(
            values,
            to_values,
            (right - left, bottom - top),
            flags=(cv2.INTER_CUBIC if how == "cubic" else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _broad_change(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of the difference (S, S, 3) of a frame from its crop is broader than the detail that frames lose.

    Gives that, (256, 256, 3), and how much of the picture's own detail belongs on top of it, (256, 256) of 0 to 1:
    little where the difference is large.
    """
    import cv2

    coarse = cv2.resize(change, (_CANVAS, _CANVAS), interpolation=cv2.INTER_AREA)
    broad = cv2.GaussianBlur(coarse, (0, 0), _DETAIL_RADIUS)
    square = cv2.GaussianBlur(np.square(broad).mean(axis=2), (0, 0), _DETAIL_RADIUS)
    return broad, np.exp(square * np.float32(-1 / _DETAIL_CHANGE**2))


def _rescaled(matrix: np.ndarray, scale: float) -> np.ndarray:
    """The matrix to the same square at `scale` times the pixels: edges stay edges, so centres shift by half a pixel."""
    result = matrix * scale
    result[:, 2] += 0.5 * (scale - 1)
    return result


def _block(matrix: np.ndarray) -> int:
    """How many whole pixels of the target one of the source covers along a side; at least 1."""
    return max(1, math.floor(math.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6))


def _shifted(matrix: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """The matrix from pixels counted from `origin`."""
    return np.concatenate([matrix[:, :2], (matrix[:, :2] @ np.asarray(origin) + matrix[:, 2])[:, None]], axis=1)


def _edges(to_canvas: np.ndarray, width: int, height: int, soft: float) -> np.ndarray:
    """(_CANVAS, _CANVAS) float32, 0 at the canvas's outermost pixels and rising inwards.

    At a side of the crop that lies nowhere within the picture there is nothing to blend with: it stays 1.
    """
    # What becomes one pixel of a picture that is coarser than the canvas is 0 as a whole.
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
    """Polygon (N, 2) of an area, of 68 landmarks in the same pixels."""
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


def _drawn(outline: np.ndarray, soft: float) -> np.ndarray:
    """A polygon in canvas pixels as a mask whose edge is `soft` pixels wide, half of them outside.

    By the distance from the outline and not by painting, whose whole pixels would make the mask of a face that moves
    slowly twitch. Where the edge is soft, few places tell it.
    """
    import cv2

    step = 4 if soft >= 16 else 2 if soft >= 8 else 1
    places = np.arange((step - 1) / 2, _CANVAS, step, dtype=np.float32)
    x, y = places[None, :, None], places[:, None, None]
    ends = np.roll(outline, -1, axis=0).astype(np.float32)
    (ax, ay), (dx, dy) = outline.T.astype(np.float32), (ends - outline.astype(np.float32)).T
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / np.maximum(dx * dx + dy * dy, 1e-6), 0, 1)
    distance = np.sqrt(((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2).min(axis=2))
    # Inside of it a ray to the right crosses the outline an odd number of times.
    crosses = ((ay > y) != (ay + dy > y)) & (x < ax + (y - ay) * dx / np.where(dy == 0, 1, dy))
    signed = np.where(crosses.sum(axis=2) % 2 == 1, distance, -distance)
    mask = _smoothstep(signed / np.float32(soft) + 0.5)
    return cv2.resize(mask, (_CANVAS, _CANVAS), interpolation=cv2.INTER_LINEAR)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _as_float(pixels: np.ndarray) -> np.ndarray:
    """As float32 in 0..1; it may be the caller's own memory."""
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


def _checked_matrix(matrix: np.ndarray) -> np.ndarray:
    values = np.asarray(matrix, np.float64)
    if values.shape != (2, 3) or not np.isfinite(values).all() or abs(np.linalg.det(values[:, :2])) < 1e-9:
        raise ArgumentError(f"A crop's matrix is (2, 3), finite and invertible (Crop.matrix), not {matrix!r}.")
    return values


def _checked_landmarks(landmarks: np.ndarray) -> np.ndarray:
    values = np.asarray(landmarks, np.float64)
    if values.shape != (LANDMARK_COUNT, 2) or not np.isfinite(values).all():
        raise ArgumentError(f"Landmarks are (68, 2) finite numbers in pixels of the picture, not {values.shape}.")
    return values
