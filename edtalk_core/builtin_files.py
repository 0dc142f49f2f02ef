"""Paths of the files that ship with the project: demo weights, face models, presets, example media."""

from __future__ import annotations

from pathlib import Path

from .errors import EDTalkError


def builtin_file(name: str) -> Path:
    """Return the path of a shipped file, such as "demo.safetensors".

    A checkout has them in `weights/` beside this package, an installed wheel in `edtalk_core/builtin/`.
    Raises EDTalkError when the file is missing from the installation.
    """
    package = Path(__file__).parent
    for folder in (package.parent / "weights", package / "builtin"):
        if (folder / name).is_file():
            return folder / name
    raise EDTalkError(
        f"The file {name} that ships with EDTalk is missing from {package.parent / 'weights'}; install EDTalk again."
    )
