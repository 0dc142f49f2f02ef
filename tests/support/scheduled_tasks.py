"""Tasks for tests of scheduling, which other processes import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from edtalk_core.errors import EDTalkError


def square(number: int) -> int:
    if number < 0:
        raise EDTalkError(f"{number} is negative")
    return number * number


def killed_once(task: tuple[str, int]) -> int:
    """Kills its own process the first time that it is called with a folder."""
    folder, number = task
    if number == 2:
        marker = Path(folder) / "killed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def slow_pid(task: tuple[str, int]) -> int:
    """Writes who works on a task, takes a moment, and appends that it is finished."""
    folder, number = task
    (Path(folder) / f"{number}.started").write_text(str(os.getpid()))
    time.sleep(0.5)
    with (Path(folder) / f"{number}.done").open("a") as file:
        file.write("x")
    return number
