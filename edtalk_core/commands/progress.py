"""Progress bars with the time that is left, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


class Bars:
    """A bar for each stage of a job, one after the other."""

    def __init__(self, visible: bool, unit: str) -> None:
        self._visible = visible
        self._unit = unit
        self._stage = ""
        self._bar: tqdm[None] | None = None

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` (None: not known) of this stage are done."""
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
        """The library's progress callback for one stage."""
        return lambda done, total: self(name, done, total)

    def close(self) -> None:
        """End the current bar's line."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress_bars(show: bool | None, unit: str = " frames") -> Iterator[Bars]:
    """Bars on standard error; `show` None means only when that is a terminal."""
    bars = Bars(sys.stderr.isatty() if show is None else show, unit)
    try:
        yield bars
    finally:
        bars.close()
