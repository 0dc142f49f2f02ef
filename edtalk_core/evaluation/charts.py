"""Charts as inline SVG, for pages without scripts. Colours are CSS variables of the page, so that both themes fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 20


def line_chart(title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], unit: str = "") -> str:
    """Chart of lines over x, which share one axis; a legend names them. Lines are classed line0, line1 ..."""
    values = np.concatenate([np.asarray(line, np.float64) for line in lines.values()])
    low, high = float(values.min()), float(values.max())
    span, start, length = max(high - low, 1e-9), float(x[0]), max(float(x[-1]) - float(x[0]), 1e-9)

    def place(at: float, value: float) -> str:
        across = _LEFT + (at - start) / length * (WIDTH - _LEFT - _RIGHT)
        return f"{across:.1f},{_TOP + (high - value) / span * (HEIGHT - _TOP - _BOTTOM):.1f}"

    body = [
        f'<polyline class="line{number}" points="{" ".join(map(place, x, line))}"><title>{escape(name)}</title>'
        "</polyline>"
        for number, (name, line) in enumerate(lines.items())
    ]
    names = "".join(
        f'<tspan class="name{number}">{escape(name)}</tspan><tspan>  </tspan>' for number, name in enumerate(lines)
    )
    label = escape(f"{title} ({unit}): " if unit else f"{title}: ")
    axis = (
        f'<text class="axis" x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">{high:.3g}</text>'
        f'<text class="axis" x="{_LEFT - 4}" y="{HEIGHT - _BOTTOM}" text-anchor="end">{low:.3g}</text>'
        f'<text class="axis" x="{_LEFT}" y="{HEIGHT - 5}">{label}{names}</text>'
        f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{x[-1]:.3g} s</text>'
        f'<line class="frame" x1="{_LEFT}" x2="{_LEFT}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
    )
    return _svg(title, WIDTH, HEIGHT, axis + "".join(body))


def dot_chart(title: str, values: Mapping[str, float], mean: float) -> str:
    """One dot a clip along a line, with a mark at the mean; a dot's tooltip names its clip."""
    height, width = 34, 360
    low, high = min(values.values()), max(values.values())
    span = max(high - low, 1e-9)

    def across(value: float) -> float:
        return 8 + (value - low) / span * (width - 16)

    dots = "".join(
        f'<circle class="dot" cx="{across(value):.1f}" cy="{10 + 4 * (number % 3)}" r="3">'
        f"<title>{escape(name)}: {value:.4g}</title></circle>"
        for number, (name, value) in enumerate(values.items())
    )
    mark = f'<line class="mean" x1="{across(mean):.1f}" x2="{across(mean):.1f}" y1="2" y2="24"/>'
    ends = (
        f'<text class="axis" x="4" y="32">{low:.3g}</text>'
        f'<text class="axis" x="{width - 4}" y="32" text-anchor="end">{high:.3g}</text>'
    )
    return _svg(title, width, height, dots + mark + ends)


def confusion_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Table of labels (rows) and emotions that were seen (columns), shaded by the share of the row."""
    seen = sorted({name for row in counts.values() for name in row} | set(counts))
    head = "".join(f"<th>{escape(name)}</th>" for name in seen)
    rows = []
    for label in sorted(counts):
        total = sum(counts[label].values())
        numbers = [counts[label].get(name, 0) for name in seen]
        cells = "".join(f'<td class="cell" style="--share:{n / total:.2f}">{n}</td>' for n in numbers)
        rows.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    return f'<table class="confusion"><tr><th>label \\ seen</th>{head}</tr>{"".join(rows)}</table>'


def _svg(title: str, width: int, height: int, body: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}">{body}</svg>'
    )
