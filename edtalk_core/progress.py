"""Progress callbacks of long-running work, which also cancel it by raising."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called as progress(done, total), both in the unit that the function documents (frames, clips, bytes); total is None
when unknown. An exception from it, such as `Cancelled`, stops the work and propagates to the caller."""

StageProgress = Callable[[str, int, int | None], None]
"""Called as progress(stage, done, total): the name of the stage, then the arguments of `Progress`."""
