"""Writing files so that they appear under their name complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A context that gives the path of an empty file beside `path`; it takes the name `path` when the block ends.

        with atomic_write(path) as partial:
            partial.write_bytes(data)

    The folder must be there; a file that has the name already is replaced. The new file may be read by whoever may read
    files that this process makes, even where the writing library is stricter (safetensors is). When the block or the
    renaming raises, the partial file is removed, a file that had the name stays as it was, and the exception goes on.
    A killed process leaves `.<name>.<8 hex digits>.partial`, and programs may write the same file at the same time:
    the last to finish wins.

    Raises:
        OSError: the partial file cannot be made or renamed.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.touch(exist_ok=False)
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
