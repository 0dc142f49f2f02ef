"""Progress bars with the remaining time, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


class Bars:
    """Progress bars for the consecutive stages of a job."""

    def __init__(self, visible: bool, unit: str) -> None:
        self._visible = visible
        self._unit = unit
        self._stage = ""
        self._bar: tqdm[None] | None = None

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Update the bar of a stage to `done` of `total` (None: unknown)."""
        if not self._visible:
            return
        if self._bar is None or stage != self._stage:
            from tqdm import tqdm

            self.close()
            self._stage = stage
            self._bar = tqdm(
                desc=stage,
                initial=done,
                total=total,
                unit=self._unit,
                unit_scale=self._unit == "B",
                file=sys.stderr,
                dynamic_ncols=True,
            )
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def stage(self, name: str) -> Callable[[int, int | None], None]:
        """Progress callback for one stage."""
        return lambda done, total: self(name, done, total)

    def close(self) -> None:
        """End the current bar's line."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress_bars(show: bool | None, unit: str = " frames") -> Iterator[Bars]:
    """Progress bars on standard error; `show` None: only if it is a terminal."""
    bars = Bars(sys.stderr.isatty() if show is None else show, unit)
    try:
        yield bars
    finally:
        bars.close()
