"""Plots of motion: the curve of every base over time, in a panel for each track."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..checks import check_size
from ..errors import MotionError
from .motion import Motion
from .operations import align

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

BUSIEST = 6
"""Number of highlighted bases in a panel; the others are thin and pale. More lines are hard to tell apart."""

SMALLEST_SIDE, LARGEST_SIDE = 256, 8192
"""Limits of the picture's sides in pixels."""

_HUES = (
    (31, 119, 180),
    (230, 110, 0),
    (44, 160, 44),
    (214, 39, 40),
    (140, 90, 190),
    (0, 185, 175),
    (227, 90, 185),
    (150, 85, 50),
    (155, 150, 10),
    (120, 120, 120),
)
_INK, _FRAME, _GRID, _ZERO = (40, 40, 40), (150, 150, 150), (230, 230, 230), (110, 110, 110)
_DASH = 5
"""Length of the dashes of `before`, and of the gaps between them, in line widths."""

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class _Panel:
    """One track and its place in the picture."""

    name: str
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of its frame in pixels, inclusive."""
    curves: _Values
    """(T,D)."""
    before: _Values | None
    limits: tuple[float, float]
    """The weights at the bottom and at the top."""
    order: list[int]
    """Bases, the busiest first."""
    strong: list[int]
    """The bases that stand out, the busiest first."""


def plot_motion(
    motion: Motion,
    *,
    before: Motion | None = None,
    tracks: Sequence[str] | None = None,
    size: tuple[int, int] = (1024, 768),
) -> NDArray[np.uint8]:
    """Plot the curves of a motion, optionally with those of another motion for comparison.

    A panel for each track: weights over seconds, with the zero line. Each base has its own colour, the same in every
    plot. The BUSIEST bases that move the most (by standard deviation; with `before`, those that differ the most) are
    highlighted and come first in the legend, which numbers the bases of a track from 0, as `offset` does. No peak of a
    long motion is lost: every column of pixels spans the minimum and the maximum of its frames.

    Args:
        motion: the motion to plot.
        before: another motion, such as the source of `motion`, plotted as thin dashed curves of the highlighted bases.
            It may have another length and frame rate; a track that it lacks is not compared.
        tracks: names of the tracks to draw; by default all that `motion` has.
        size: (width, height) of the picture in pixels, each from 256 to 8192.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ArgumentError: a size out of range, no track or one of an unknown name.
        MotionError: the motion lacks a requested track, or the two are of different models.
    """
    from PIL import Image, ImageDraw, ImageFont

    width, height = check_size(size, "The size of a plot", SMALLEST_SIDE, LARGEST_SIDE)
    names = tuple(motion.tracks) if tracks is None else tuple(dict.fromkeys(tracks))
    selection = motion.select(*names)
    duration = max(motion.duration, before.duration if before is not None else 0.0)
    text = max(11, round(min(0.75 * width, height) / 48))
    stroke = max(1, round(min(width, height) / 700))

    # Weights on the left of the panels, the legend on their right, the title above, seconds below.
    columns = 2 if max(track.shape[1] for track in selection.tracks.values()) > 10 else 1
    left, right = 4 * text, width - min(columns * round(3.4 * text), width // 4) - text
    header, footer = round(1.8 * text), round(2.2 * text)
    share = (height - header - footer) // len(names)
    panels = []
    for number, name in enumerate(names):
        top = header + number * share
        box = (left, top + round(1.3 * text), right, top + share - text // 2)
        panels.append(_panel(name, box, selection, before))

    picture = np.full((height, width, 3), 255, np.uint8)
    seconds = _ticks(0.0, duration, (right - left) // (6 * text))
    for panel in panels:
        _draw_curves(picture, panel, motion, before, duration, seconds, text, stroke)

    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    font = draw.font = ImageFont.load_default(text)
    middle = header // 2
    draw.text((left, middle), _in_words(motion), _INK, anchor="lm")
    if before is not None:
        note = f"dashed, before: {_in_words(before)}"
        if font.getlength(_in_words(motion) + note) + 2 * text > width - left:
            note = "dashed: before"
        draw.text((width - text // 2, middle), note, _INK, anchor="rm")
    for panel in panels:
        _draw_labels(draw, panel, text, stroke)
    bottom = panels[-1].box[3]
    for time in seconds:
        draw.text((left + time / duration * (right - left), bottom + text // 3), f"{time:.10g} s", _INK, anchor="ma")
    return np.array(canvas)


def _panel(name: str, box: tuple[int, int, int, int], motion: Motion, before: Motion | None) -> _Panel:
    curves = motion.track(name).double().numpy()
    old = before.tracks.get(name) if before is not None else None
    span = np.ptp(curves, axis=0)
    busy = np.where(span > 0, curves.std(axis=0), 0.0)
    if old is not None:
        if old.shape[1] != curves.shape[1]:
            raise MotionError(
                f"The {name} tracks are of different models: one has {curves.shape[1]} weights, the other "
                f"{old.shape[1]}."
            )
        assert before is not None
        new, old_in_time = (aligned.track(name).double().numpy() for aligned in align(motion, before))
        change = np.abs(new - old_in_time).mean(axis=0)
        busy = change if change.any() else busy
    if not busy.any():
        busy = np.abs(curves[0])  # nothing moves: rank by distance from zero
    order = [int(base) for base in np.argsort(-busy, kind="stable")]
    everything = curves if old is None else np.concatenate([curves, old.double().numpy()])
    low, high = min(0.0, float(everything.min())), max(0.0, float(everything.max()))
    margin = 0.05 * (high - low) or 1.0
    return _Panel(
        name=name,
        box=box,
        curves=curves,
        before=None if old is None else old.double().numpy(),
        limits=(low - margin, high + margin),
        order=order,
        strong=[base for base in order[:BUSIEST] if busy[base] > 0],
    )


def _draw_curves(
    picture: NDArray[np.uint8],
    panel: _Panel,
    motion: Motion,
    before: Motion | None,
    duration: float,
    seconds: Sequence[float],
    text: int,
    stroke: int,
) -> None:
    """Draw the grid, zero line, curves and frame of a panel into the picture."""
    import cv2

    left, top, right, bottom = panel.box
    across, down = right - left, bottom - top
    low, high = panel.limits
    area = picture[top : bottom + 1, left : right + 1].copy()

    def height_of(weight: float) -> int:
        return round((high - weight) / (high - low) * down)

    for time in seconds:
        x = round(time / duration * across)
        cv2.line(area, (x, 0), (x, down), _GRID, 1)
    for weight in _ticks(low, high, down // (2 * text)):
        cv2.line(area, (0, height_of(weight)), (across, height_of(weight)), _GRID, 1)
    cv2.line(area, (0, height_of(0.0)), (across, height_of(0.0)), _ZERO, 1)
    # Highlighted bases last, the busiest of them on top.
    for base in reversed(panel.order):
        strong = base in panel.strong
        path = _path(panel.curves[:, base], motion.fps, duration, panel.limits, (across, down))
        colour = _colour(base) if strong else _mix_colours(_colour(base), (255, 255, 255), 0.6)
        cv2.polylines(
            area, [_to_fixed_point(path)], False, colour, 2 * stroke if strong else stroke, cv2.LINE_AA, shift=4
        )
    if panel.before is not None and before is not None:
        for base in panel.strong:
            path = _path(panel.before[:, base], before.fps, duration, panel.limits, (across, down))
            dashes = [_to_fixed_point(dash) for dash in _dashes(path, _DASH * stroke)]
            cv2.polylines(
                area, dashes, False, _mix_colours(_colour(base), (0, 0, 0), 0.35), stroke, cv2.LINE_AA, shift=4
            )
    cv2.rectangle(area, (0, 0), (across, down), _FRAME, 1)
    picture[top : bottom + 1, left : right + 1] = area


def _draw_labels(draw: ImageDraw, panel: _Panel, text: int, stroke: int) -> None:
    """Draw the name, the scale and the legend of a panel."""
    left, top, right, bottom = panel.box
    low, high = panel.limits
    bases = panel.curves.shape[1]
    draw.text((left, top - text // 4), f"{panel.name}, {bases} bases", _INK, anchor="ls")
    for weight in _ticks(low, high, (bottom - top) // (2 * text)):
        y = top + (high - weight) / (high - low) * (bottom - top)
        draw.text((left - text // 3, y), f"{weight:.6g}", _INK, anchor="rm")
    step = round(1.25 * text)
    rows = max(1, (bottom - top) // step)
    columns = max(1, (draw.im.size[0] - right - text) // round(3.3 * text))
    entries = bases if bases <= rows * columns else rows * columns - 1
    for place, base in enumerate(panel.order[:entries]):
        x = right + text // 2 + place // rows * round(3.4 * text)
        y = top + place % rows * step + step // 2
        strong = base in panel.strong
        colour = _colour(base) if strong else _mix_colours(_colour(base), (255, 255, 255), 0.6)
        draw.line([(x, y), (x + round(1.3 * text), y)], colour, 2 * stroke + 1 if strong else stroke)
        draw.text((x + round(1.6 * text), y), str(base), _INK if strong else _FRAME, anchor="lm")
    if entries < bases:
        x, y = right + text // 2 + entries // rows * round(3.4 * text), top + entries % rows * step + step // 2
        draw.text((x, y), f"+{bases - entries}", _FRAME, anchor="lm")


def _path(curve: _Values, fps: float, duration: float, limits: tuple[float, float], size: tuple[int, int]) -> _Values:
    """Convert a curve (T,) to points (N,2) in pixels of a panel of this size, at most two a column."""
    across, down = size
    low, high = limits
    # The last frame is shown until the end.
    x = np.arange(len(curve) + 1) / fps / duration * across
    y = (high - np.append(curve, curve[-1])) / (high - low) * down
    if len(x) > 2 * across:
        columns, first = np.unique(x.astype(int), return_index=True)
        extremes = np.stack([np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)], axis=1)
        extremes[1::2] = extremes[1::2, ::-1]  # up one column and down the next, without diagonals
        x, y = np.repeat(columns + 0.5, 2), extremes.reshape(-1)
    return np.stack([x, y], axis=1)


def _dashes(path: _Values, length: int) -> list[_Values]:
    """Return the dashes of a path: every second piece of it, `length` pixels long."""
    arc = np.concatenate([[0.0], np.hypot(*np.diff(path, axis=0).T).cumsum()])
    pieces = []
    for start in np.arange(0.0, arc[-1], 2 * length):
        ends = np.array([start, min(start + length, arc[-1])])
        inside = path[np.searchsorted(arc, ends[0], "right") : np.searchsorted(arc, ends[1], "left")]
        ends = np.stack([np.interp(ends, arc, path[:, 0]), np.interp(ends, arc, path[:, 1])], axis=1)
        pieces.append(np.concatenate([ends[:1], inside, ends[1:]]))
    return pieces


def _to_fixed_point(path: _Values) -> NDArray[np.int32]:
    """Convert points to fixed point, in sixteenths of a pixel, for OpenCV's shift=4."""
    return np.round(path * 16).astype(np.int32)


def _ticks(low: float, high: float, limit: int) -> list[float]:
    """Return tick values from low to high, 1, 2 or 5 times a power of ten apart, at most about `limit` of them."""
    rough = (high - low) / max(1, limit)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step * (1 + 1e-9)) + 1)]


def _colour(base: int) -> tuple[int, int, int]:
    """Return the colour of a base: ten hues, then the same hues darker."""
    return _mix_colours(_HUES[base % len(_HUES)], (0, 0, 0), 0.4 * (base // len(_HUES) % 2))


def _mix_colours(colour: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round((1 - share) * mine + share * theirs) for mine, theirs in zip(colour, other, strict=True))
    return red, green, blue


def _in_words(motion: Motion) -> str:
    return f"{motion.frames:,} frame{'s' * (motion.frames > 1)} · {motion.fps:g} fps · {motion.duration:.2f} s"
