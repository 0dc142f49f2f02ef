"""Contact sheets: a portrait in all emotions, or moved along each base of the banks (figure 8 of the supplement)."""

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
"""How far `base_sheet` moves a weight to both sides of the portrait's own, unless told otherwise.

By as much the weights spread: 4 is the deviation that pose weights of the demo model were taught over all clips, its
strongest lip weight deviates by 3 while it speaks, and the presets of the published model lie up to 2 (the calmest
expression weight) to 4.4 (the liveliest) from their mean.
"""

SMALLEST_CELL, LARGEST_CELL = 32, 1024
"""Pixels a side that a face on a sheet may have."""
LARGEST_SIDE = 16384
"""Pixels a side that a sheet may have: beyond, few programs show it."""

Sweep = Literal["all", "lip", "pose", "expression"]
"""The bases on a sheet: all, or those of one track."""

Picture = NDArray[np.uint8]

_PAPER, _INK = 255, (30, 30, 30)
_Label = tuple[float, float, str, str]
"""x, y, words, and which point of the words is there (a Pillow anchor)."""


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
    """A portrait in the emotions of a model, a column each, with a row for each strength; first, as it is at rest.

    Args:
        model: one with expression presets.
        portrait: encoded by this model.
        emotions: names in `model.presets`; by default all of them.
        strengths: as in `expression_preset`: 0 is the portrait's own expression, 1 the preset, at most 5.
        cell: pixels a side of each face, from 32 to 1024.
        precision: of the rendering, as in `Renderer`.
        progress: called as progress(faces rendered, faces in all); cancels by raising.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ArgumentError: an unknown emotion, a number out of range, nothing to show, or a sheet that gets too large.
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
    shown = [
        expression_preset(model.presets, name, strength, portrait.own).track("expression")
        for strength in strengths
        for name in names
    ]
    text, gap = _text_size(cell), cell // 32
    left, top, step = 5 * text, 2 * text, cell + gap
    rows, columns = range(len(strengths)), range(1, len(names) + 1)
    labels: list[_Label] = [(left - text / 2, top / 2, "strength", "rm"), (left + cell / 2, top / 2, "at rest", "mm")]
    labels += [(left + column * step + cell / 2, top / 2, names[column - 1], "mm") for column in columns]
    labels += [(left - text / 2, top + row * step + cell / 2, f"{strengths[row]:g}", "rm") for row in rows]
    places = [[(left, top)]]
    places += [[(left + column * step, top + row * step)] for row in rows for column in columns]
    faces = Motion(expression=torch.cat([portrait.own.track("expression"), *shown]))
    size = (left + (1 + len(names)) * step, top + len(strengths) * step)
    return _compose(Renderer(model, portrait, precision=precision), faces, places, labels, size, cell, progress)


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
    """What each base of a bank moves: one weight less and more by `reach`, all else the portrait's own (figure 8).

    Three faces a base: the weight lowered, as it is in the portrait, and raised. Bases are numbered from 0 within
    their track, as `offset` does; each track starts a row.

    Args:
        model: any variant.
        portrait: encoded by this model.
        track: "all" bases that the model has, or those of "lip", "pose" or "expression".
        reach: how far the weight is moved to both sides, above 0.
        columns: bases side by side.
        cell: pixels a side of each face, from 32 to 1024.
        precision: of the rendering, as in `Renderer`.
        progress: called as progress(faces rendered, faces in all); cancels by raising.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ArgumentError: an unknown track, a number out of range, or a sheet that gets too large.
        MotionError: expression bases are asked for and the model has none (the lip+pose variant).
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
    shown = [name for name in TRACKS if getattr(model.sizes, name) and track in ("all", name)]
    faces = {name: [weights] for name, weights in portrait.own.tracks.items()}
    at_rest: list[tuple[int, int]] = []
    places = [at_rest]
    labels: list[_Label] = []
    rows = 0
    for name in shown:
        bases = getattr(model.sizes, name)
        for base in range(bases):
            left, top = gap // 2 + base % columns * width, (rows + base // columns) * height + label
            for x, step, words in ((0, -reach, f"-{reach:g}"), (1, 0.0, f"{name} {base}"), (2, reach, f"+{reach:g}")):
                labels.append((left + (x + 0.5) * cell, top - label / 2, words, "mm"))
                if not step:
                    at_rest.append((left + cell, top))
                    continue
                places.append([(left + x * cell, top)])
                for moved, own in portrait.own.tracks.items():
                    weights = own.clone()
                    if moved == name:
                        weights[0, base] += step
                    faces[moved].append(weights)
        rows += -(-bases // columns)
    motion = Motion(fps=FPS, **{name: torch.cat(weights) for name, weights in faces.items()})
    widest = min(columns, max(getattr(model.sizes, name) for name in shown))
    size = (widest * width, rows * height + gap // 2)
    return _compose(Renderer(model, portrait, precision=precision), motion, places, labels, size, cell, progress)


def _compose(
    renderer: Renderer,
    faces: Motion,
    places: Sequence[Sequence[tuple[int, int]]],
    labels: Sequence[_Label],
    size: tuple[int, int],
    cell: int,
    progress: Progress | None,
) -> Picture:
    """Render the frames of `faces`, put each at its places (left, top) on a sheet (width, height), and label it."""
    import cv2
    from PIL import Image, ImageDraw, ImageFont

    width, height = size
    if max(size) > LARGEST_SIDE:
        raise ArgumentError(
            f"The sheet would have {width} x {height} pixels, and at most {LARGEST_SIDE} a side can be shown; make the "
            "cells smaller or show less."
        )
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    for picture, spots in zip(renderer.pictures(faces, progress), places, strict=True):
        scaled = picture
        if len(picture) != cell:
            smaller = len(picture) > cell
            scaled = cv2.resize(picture, (cell, cell), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        for left, top in spots:
            sheet[top : top + cell, left : left + cell] = scaled
    canvas = Image.fromarray(sheet)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_text_size(cell))
    too_long = max(font.getlength(words) for *_, words, _ in labels) / (0.95 * cell)
    if too_long > 1:
        font = ImageFont.load_default(_text_size(cell) / too_long)
    for x, y, words, anchor in labels:
        draw.text((x, y), words, _INK, font, anchor)
    return np.array(canvas)


def _text_size(cell: int) -> int:
    return max(10, round(cell / 9))


def _check_cell(cell: int) -> None:
    check_whole(cell, "The side of a face on a sheet", low=SMALLEST_CELL, high=LARGEST_CELL, unit="pixels")
