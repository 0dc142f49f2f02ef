"""Where ComfyUI is on this machine, and which Python runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REQUIREMENTS = ("aiohttp", "comfyui_frontend_package", "safetensors", "torch", "torchsde")
"""Modules that together only a Python has that ComfyUI's requirements were installed into."""


class NotThere(Exception):
    """ComfyUI, or something that its tests need, is not on this machine; the message says what was looked for."""


@dataclass(frozen=True)
class ComfyInstall:
    """A checkout of ComfyUI that can be run."""

    checkout: Path
    python: Path

    @property
    def version(self) -> str:
        """Such as "0.3.64"."""
        words: dict[str, str] = {}
        for line in (self.checkout / "comfyui_version.py").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            words[name.strip()] = value.strip(" \"'")
        return words["__version__"]


@cache
def find_comfyui() -> ComfyInstall:
    """ComfyUI in $COMFYUI_PATH or ~/ComfyUI, with the Python that can run it. Raises NotThere.

    The Python is $COMFYUI_PYTHON, or a virtual environment in the checkout, or beside the checkout (the portable
    build), or else the one that runs the tests.
    """
    given = os.environ.get("COMFYUI_PATH")
    checkout = Path(given or "~/ComfyUI").expanduser()
    if not (checkout / "main.py").is_file():
        named = "COMFYUI_PATH" if given else "default; set COMFYUI_PATH to another"
        raise NotThere(f"ComfyUI was not found in {checkout} ({named})")
    chosen = os.environ.get("COMFYUI_PYTHON")
    candidates = (
        [Path(chosen).expanduser()]
        if chosen
        else [
            *(
                folder / program
                for folder in (checkout / ".venv", checkout / "venv")
                for program in ("bin/python", "Scripts/python.exe")
            ),
            checkout.parent / "python_embeded" / "python.exe",
            Path(sys.executable),
        ]
    )
    for python in candidates:
        # Not resolved: a virtual environment is known by the path of the link that was called.
        if python.is_file() and _has(python, *REQUIREMENTS):
            return ComfyInstall(checkout.absolute(), python.absolute())
    looked = ", ".join(str(python) for python in candidates)
    raise NotThere(
        f"ComfyUI is in {checkout}, but no Python with its requirements was found (looked at {looked}); "
        "set COMFYUI_PYTHON to the one that runs it"
    )


@cache
def comfy_pytest() -> ComfyInstall:
    """ComfyUI whose Python has pytest as well, for tests that import it. Raises NotThere."""
    install = find_comfyui()
    if not _has(install.python, "pytest"):
        raise NotThere(f"ComfyUI's Python has no pytest: {install.python} -m pip install 'pytest>=8'")
    return install


def _has(python: Path, *modules: str) -> bool:
    code = f"from importlib.util import find_spec; raise SystemExit(not all(map(find_spec, {modules})))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
