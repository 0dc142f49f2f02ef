"""Paths from users: what lies there, and home folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_SPECIAL = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def special_kind(path: str | os.PathLike[str]) -> str:
    """Return what a path is if it is neither a file nor a folder ("a pipe", "a device", "a socket"), else nothing.

    To read such a path may take for ever: pipes wait for somebody who writes, devices need not end. Links are followed.
    A path that does not exist, or that may not be looked at, is left to whoever opens it.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((kind for is_kind, kind in _SPECIAL if is_kind(mode)), "")


def expanded_home(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading ~ or ~user replaced by the home folder; unchanged if there is no such folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
