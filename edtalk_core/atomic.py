"""Atomic file writes: a file appears under its name complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_NAME_BYTES = 255
"""Longest name of a file in all file systems that matter."""


def shortened(name: str, suffix: str) -> str:
    """Return a name of at most MAX_NAME_BYTES that ends in a suffix: the end of the name gives way."""
    room = MAX_NAME_BYTES - len(os.fsencode(suffix))
    return (
        os.fsencode(name)[:room].decode("utf-8", "ignore") + suffix if len(os.fsencode(name)) > room else name + suffix
    )


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of an empty temporary file beside `path`, and rename it to `path` when the block ends.

        with atomic_write(path) as partial:
            partial.write_bytes(data)

    The folder must exist; an existing file of that name is replaced. The new file has the permissions of any file that
    this process creates, even where the writing library is stricter (safetensors is). When the block or the renaming
    raises, the partial file is removed, an existing file stays unchanged, and the exception propagates. A killed
    process leaves `.<name>.<8 hex digits>.partial`. Several programs may write the same file at the same time: the last
    to finish wins.

    Raises:
        OSError: the partial file cannot be created or renamed.
    """
    partial = path.with_name(shortened(f".{path.name}", f".{secrets.token_hex(4)}.partial"))
    try:
        partial.touch(exist_ok=False)
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
