"""Writing of text files."""

from __future__ import annotations

from pathlib import Path

from ..atomic import atomic_write
from ..errors import EDTalkError


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all. Raises EDTalkError when it cannot be written."""
    try:
        with atomic_write(path) as partial:
            partial.write_text(text, "utf-8")
    except OSError as error:
        raise EDTalkError(f"{path} cannot be written: {error.strerror or error}.") from error
