"""How long work tells how far it is, and how it is stopped: a callback that cancels by raising."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called as progress(done, total): how much is done, and of how much (None: unknown), in the unit that the function
names: frames, clips, bytes. What it raises (`Cancelled`, for instance) stops the work and reaches the caller."""

StageProgress = Callable[[str, int, int | None], None]
"""Called as progress(stage, done, total): the name of the stage, then as `Progress`."""
