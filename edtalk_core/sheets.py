"""Contact sheets: a portrait in all emotions, or varied along each base of the banks (figure 8 of the supplement)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from .checks import check_number, check_whole
from .errors import ArgumentError, MotionError
from .motion.motion import FPS, TRACKS, Motion
from .motion.presets import expression_preset
from .rendering import Progress, Renderer

if TYPE_CHECKING:
    from .model import EDTalk, Portrait

REACH = 4.0
"""Default amount by which `base_sheet` changes a weight in both directions from the portrait's value.

Matches the spread of the weights: over all clips, the demo model's pose weights were trained to a standard deviation
of 4; its strongest lip weight has one of 3 during speech; and the presets of the published model lie within 2 (the
expression weight that varies least) to 4.4 (most) of their mean.
"""

SMALLEST_CELL, LARGEST_CELL = 32, 1024
"""Range of a face's side on a sheet, in pixels."""
LARGEST_SIDE = 16384
"""Maximum side of a sheet in pixels: few programs open larger pictures."""

Sweep = Literal["all", "lip", "pose", "expression"]
"""The bases on a sheet: all, or those of one track."""

Picture = NDArray[np.uint8]

_BACKGROUND, _TEXT_COLOUR = 255, (30, 30, 30)
_Label = tuple[float, float, str, str, int]
"""x, y, text, the text anchor at that point, as in Pillow, and the width in cells that the text may take."""


def emotion_sheet(
    model: EDTalk,
    portrait: Portrait,
    *,
    emotions: Sequence[str] | None = None,
    strengths: Sequence[float] = (0.5, 1.0, 1.5),
    cell: int = 256,
    precision: str = "auto",
    progress: Progress | None = None,
) -> Picture:
    """Render a portrait with the emotions of a model as columns and strengths as rows, after the neutral portrait.

    Args:
        model: must have expression presets.
        portrait: encoded by this model.
        emotions: names in `model.presets`; by default all of them.
        strengths: as in `expression_preset`: 0 is the portrait's own expression, 1 the preset, at most 5.
        cell: pixels a side of each face, from 32 to 1024.
        precision: precision of the rendering, as in `Renderer`.
        progress: called as progress(faces rendered, faces in all); cancels by raising.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ArgumentError: an unknown emotion, a number out of range, nothing to show, or a sheet that is too large.
        MotionError: the model has no expressions (the lip+pose variant) or no presets.
    """
    if not model.sizes.expression:
        raise MotionError("This is a lip+pose model: it has no expressions. Load EDTalk.pt for a sheet of emotions.")
    if not model.presets:
        raise MotionError("This model has no expression presets, so there are no emotions to make a sheet of.")
    _check_cell(cell)
    names = list(model.presets) if emotions is None else list(emotions)
    if not names or not len(strengths):
        raise ArgumentError("A sheet of emotions needs at least one emotion and one strength.")
    expressions = [
        expression_preset(model.presets, name, strength, portrait.own).track("expression")
        for strength in strengths
        for name in names
    ]
    text, gap = _text_size(cell), cell // 32
    left, top, step = 5 * text, 2 * text, cell + gap
    rows, columns = range(len(strengths)), range(1, len(names) + 1)
    labels: list[_Label] = [(left - text / 2, top / 2, "strength", "rm", 1)]
    labels += [(left + cell / 2, top / 2, "at rest", "mm", 1)]
    labels += [(left + column * step + cell / 2, top / 2, names[column - 1], "mm", 1) for column in columns]
    labels += [(left - text / 2, top + row * step + cell / 2, f"{strengths[row]:g}", "rm", 1) for row in rows]
    positions = [[(left, top)]]
    positions += [[(left + column * step, top + row * step)] for row in rows for column in columns]
    faces = Motion(expression=torch.cat([portrait.own.track("expression"), *expressions]))
    size = (left + (1 + len(names)) * step, top + len(strengths) * step)
    return _compose(Renderer(model, portrait, precision=precision), faces, positions, labels, size, cell, progress)


def base_sheet(
    model: EDTalk,
    portrait: Portrait,
    *,
    track: Sweep = "all",
    reach: float = REACH,
    columns: int = 4,
    cell: int = 128,
    precision: str = "auto",
    progress: Progress | None = None,
) -> Picture:
    """Render the effect of each base: one weight changed by -reach and +reach, all others unchanged (figure 8).

    Each base has three faces: weight lowered, unchanged, and raised. Bases are numbered from 0 within their track, as
    in `offset`, and have the names of `model.bases`; each track starts a new row.

    Args:
        model: any variant.
        portrait: encoded by this model.
        track: "all" bases that the model has, or those of "lip", "pose" or "expression".
        reach: change of the weight in both directions, above 0.
        columns: number of bases in a row.
        cell: pixels a side of each face, from 32 to 1024.
        precision: precision of the rendering, as in `Renderer`.
        progress: called as progress(faces rendered, faces in all); cancels by raising.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ArgumentError: an unknown track, a number out of range, or a sheet that is too large.
        MotionError: expression bases of a model that has none (the lip+pose variant).
    """
    if track not in get_args(Sweep):
        raise ArgumentError(f"A sheet shows the bases of {', '.join(get_args(Sweep))}; got {track!r}.")
    if track == "expression" and not model.sizes.expression:
        raise MotionError("This is a lip+pose model: it has no expression bases. Load EDTalk.pt to see them.")
    check_number(reach, "The reach", above=0)
    check_whole(columns, "The number of columns", low=1)
    _check_cell(cell)
    text = _text_size(cell)
    label, gap = round(1.6 * text), cell // 8
    width, height = 3 * cell + gap, label + cell + gap // 2
    tracks = [name for name in TRACKS if getattr(model.sizes, name) and track in ("all", name)]
    faces = {name: [weights] for name, weights in portrait.own.tracks.items()}
    at_rest: list[tuple[int, int]] = []
    positions = [at_rest]
    labels: list[_Label] = []
    rows = 0
    for name in tracks:
        bases = getattr(model.sizes, name)
        for base in range(bases):
            left, top = gap // 2 + base % columns * width, (rows + base // columns) * height + label
            caption = f"{name} {base}"
            if base_name := model.bases.name(name, base):
                caption += f": {base_name}"
            for x, step, text_above, cells in (
                (0, -reach, f"-{reach:g}", 1),
                (1, 0.0, caption, 2),
                (2, reach, f"+{reach:g}", 1),
            ):
                labels.append((left + (x + 0.5) * cell, top - label / 2, text_above, "mm", cells))
                if not step:
                    at_rest.append((left + cell, top))
                    continue
                positions.append([(left + x * cell, top)])
                for other, portrait_weights in portrait.own.tracks.items():
                    weights = portrait_weights.clone()
                    if other == name:
                        weights[0, base] += step
                    faces[other].append(weights)
        rows += -(-bases // columns)
    motion = Motion(fps=FPS, **{name: torch.cat(weights) for name, weights in faces.items()})
    widest = min(columns, max(getattr(model.sizes, name) for name in tracks))
    size = (widest * width, rows * height + gap // 2)
    return _compose(Renderer(model, portrait, precision=precision), motion, positions, labels, size, cell, progress)


def _compose(
    renderer: Renderer,
    faces: Motion,
    positions: Sequence[Sequence[tuple[int, int]]],
    labels: Sequence[_Label],
    size: tuple[int, int],
    cell: int,
    progress: Progress | None,
) -> Picture:
    """Render the frames of `faces`, put each at its positions (left, top) on a sheet (width, height), add labels."""
    import cv2
    from PIL import Image, ImageDraw, ImageFont

    width, height = size
    if max(size) > LARGEST_SIDE:
        raise ArgumentError(
            f"The sheet would have {width} x {height} pixels; the limit is {LARGEST_SIDE} a side. Use smaller cells or "
            "show less."
        )
    sheet = np.full((height, width, 3), _BACKGROUND, np.uint8)
    for picture, corners in zip(renderer.pictures(faces, progress), positions, strict=True):
        scaled = picture
        if len(picture) != cell:
            smaller = len(picture) > cell
            scaled = cv2.resize(picture, (cell, cell), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        for left, top in corners:
            sheet[top : top + cell, left : left + cell] = scaled
    canvas = Image.fromarray(sheet)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_text_size(cell))
    overflow = max(font.getlength(text) / (0.95 * cell * cells) for *_, text, _, cells in labels)
    if overflow > 1:
        font = ImageFont.load_default(_text_size(cell) / overflow)
    for x, y, text, anchor, _ in labels:
        draw.text((x, y), text, _TEXT_COLOUR, font, anchor)
    return np.array(canvas)


def _text_size(cell: int) -> int:
    return max(10, round(cell / 9))


def _check_cell(cell: int) -> None:
    check_whole(cell, "The side of a face on a sheet", low=SMALLEST_CELL, high=LARGEST_CELL, unit="pixels")
