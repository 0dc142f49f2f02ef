"""How the pictures of the help pages are put together: rows, columns, titles, waveforms, lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH = 640
"""Pixels of a page's picture: the editor shows it 200 to 600 wide, on screens of up to two pixels a point."""
GAP = 6
LABEL = 20
"""Height in pixels of a line of text."""
PAPER, INK, SHADE, CURVE = "#ffffff", "#1e1e1e", "#dfe7f2", "#2b6cb0"

Picture = Image.Image


def fitted(picture: Picture, width: int) -> Picture:
    """The picture at a width."""
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def row(pictures: Sequence[Picture], width: int = WIDTH) -> Picture:
    """Pictures of one shape side by side, `width` in all."""
    each = (width - GAP * (len(pictures) - 1)) // len(pictures)
    cells = [fitted(picture, each) for picture in pictures]
    sheet = Image.new("RGB", (width, max(cell.height for cell in cells)), PAPER)
    for place, cell in enumerate(cells):
        sheet.paste(cell, (place * (each + GAP), 0))
    return sheet


def column(pictures: Sequence[Picture]) -> Picture:
    """Pictures of one width, one above the other."""
    sheet = Image.new(
        "RGB", (pictures[0].width, sum(one.height for one in pictures) + GAP * (len(pictures) - 1)), PAPER
    )
    top = 0
    for one in pictures:
        sheet.paste(one, (0, top))
        top += one.height + GAP
    return sheet


def titled(picture: Picture, text: str) -> Picture:
    """The picture with a line of text above it."""
    sheet = Image.new("RGB", (picture.width, picture.height + LABEL), PAPER)
    sheet.paste(picture, (0, LABEL))
    draw = ImageDraw.Draw(sheet)
    draw.text((picture.width / 2, LABEL / 2), text, INK, ImageFont.load_default(14), "mm")
    return sheet


def spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """So many of them, evenly spread over all."""
    return [pictures[round(place)] for place in np.linspace(0, len(pictures) - 1, count)]


def moving(*clips: Sequence[Picture], width: int = 400) -> list[Picture]:
    """Clips side by side as the frames of one that moves, as long as the shortest."""
    return [row(pictures, width) for pictures in zip(*clips, strict=False)]


def waveform(samples: np.ndarray, height: int = 90, width: int = WIDTH) -> Picture:
    """A sound, drawn: for each column of pixels its lowest and highest sample."""
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    middle, reach = height / 2, 0.45 * height / max(float(np.abs(samples).max()), 1e-6)
    for x, part in enumerate(np.array_split(samples, width)):
        draw.line([(x, middle - reach * part.max()), (x, middle - reach * part.min())], CURVE)
    return sheet


def words(lines: Sequence[str], width: int = WIDTH) -> Picture:
    """Lines of text, cut at the edge."""
    sheet = Image.new("RGB", (width, LABEL * len(lines) + 2 * GAP), SHADE)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((2 * GAP, GAP + number * LABEL), line, INK, ImageFont.load_default(14))
    return sheet
