"""Loss curves: losses.csv, their plot losses.png, and TensorBoard if it is installed."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..atomic import atomic_write
from ..media.picture import write_picture

EVERY = 25
"""Steps that one row of the table averages."""

_PANEL = (420, 220)
_LEFT, _TOP, _RIGHT, _BOTTOM = 58, 30, 12, 24
_COLUMNS = 3


class LossCurves:
    """The loss curves of a run's folder. A run resumed at `step` appends to the same files."""

    def __init__(self, out: Path, step: int) -> None:
        self.path = out / "losses.csv"
        self._sums: dict[str, float] = {}
        self._seconds = 0.0
        self._count = 0
        if step == 0:
            self.path.unlink(missing_ok=True)
        elif self.path.exists():
            # A run that was killed hard may have written rows after its last checkpoint.
            steps, columns = read_curves(self.path)
            table = np.stack([steps, *columns.values()], axis=1)[steps <= step]
            with atomic_write(self.path) as partial, partial.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["step", *columns])
                writer.writerows([int(row[0]), *(f"{value:.6g}" for value in row[1:])] for row in table)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._writer: SummaryWriter | None = SummaryWriter(str(out / "tensorboard"), purge_step=step)
        except ImportError:
            self._writer = None

    def add(self, step: int, losses: dict[str, Tensor], seconds: float) -> None:
        """Add the scalar losses and the duration of a step."""
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(loss.detach())
        self._seconds += seconds
        self._count += 1
        if step % EVERY:
            return
        row = {"seconds_per_step": self._seconds / self._count}
        row |= {name: value / self._count for name, value in self._sums.items()}
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *row])
            writer.writerow([step, *(f"{value:.6g}" for value in row.values())])
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, step)
        write_picture(self.path.with_suffix(".png"), draw_curves(*read_curves(self.path)))
        self._sums, self._seconds, self._count = {}, 0.0, 0

    def close(self) -> None:
        """Finish the TensorBoard file."""
        if self._writer is not None:
            self._writer.close()


def read_curves(path: Path) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Read steps (N,) and columns (N,) by name from a losses.csv; a truncated last line is ignored."""
    text = path.read_text()
    # Text after the last newline is a line that was not completely written.
    header, *lines = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    rows = [[float(value) for value in line] for line in lines]
    table = np.array(rows, np.float64).reshape(len(rows), len(header))
    return table[:, 0].astype(np.int64), {name: table[:, i] for i, name in enumerate(header) if i}


def draw_curves(steps: NDArray[np.int64], columns: dict[str, NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Plot loss curves (N,) as a picture (H,W,3): a panel each, logarithmic where all values are positive.

    Thin: each row; thick: a running mean over a tenth of the run.
    """
    import cv2

    width, height = _PANEL
    columns = {name: values for name, values in columns.items() if name != "seconds_per_step"}
    rows = math.ceil(len(columns) / _COLUMNS)
    sheet = np.full((rows * height, min(_COLUMNS, len(columns)) * width, 3), 255, np.uint8)
    grey, black, pale, blue = (110, 110, 110), (20, 20, 20), (170, 190, 230), (30, 70, 180)

    def write(panel: NDArray[np.uint8], text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
        cv2.putText(panel, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)

    for number, (name, values) in enumerate(columns.items()):
        top, left = number // _COLUMNS * height, number % _COLUMNS * width
        panel = np.ascontiguousarray(sheet[top : top + height, left : left + width])
        good = np.isfinite(values)
        x, y = steps[good], values[good]
        if len(y):
            logarithmic = bool((y > 0).all())
            plotted = np.log10(y) if logarithmic else y
            low, high = float(plotted.min()), float(plotted.max())
            margin = 0.05 * (high - low) or 0.5
            low, high = low - margin, high + margin
            write(panel, f"{name}: {y[-1]:.4g}{' (log)' if logarithmic else ''}", _LEFT, 20, black)
            for share in (0.0, 0.5, 1.0):
                at = round(height - _BOTTOM - share * (height - _TOP - _BOTTOM))
                value = low + share * (high - low)
                cv2.line(panel, (_LEFT, at), (width - _RIGHT, at), (225, 225, 225), 1)
                write(panel, f"{10**value if logarithmic else value:.3g}", 4, at + 4, grey)
            write(panel, str(int(x[0])), _LEFT, height - 8, grey)
            end = str(int(x[-1]))
            write(panel, end, width - _RIGHT - 8 * len(end), height - 8, grey)
            span = max(1, int(x[-1] - x[0]))
            across = _LEFT + (x - x[0]) / span * (width - _LEFT - _RIGHT)
            window = max(1, len(y) // 10)
            kernel = np.ones(window) / window
            padded = np.pad(plotted, (window // 2, window - 1 - window // 2), mode="edge")
            for curve, colour, thickness in ((plotted, pale, 1), (np.convolve(padded, kernel, "valid"), blue, 2)):
                down = height - _BOTTOM - (curve - low) / (high - low) * (height - _TOP - _BOTTOM)
                points = np.stack([across, down], 1).round().astype(np.int32)[:, None]
                cv2.polylines(panel, [points], isClosed=False, color=colour, thickness=thickness, lineType=cv2.LINE_AA)
        sheet[top : top + height, left : left + width] = panel
    return sheet
