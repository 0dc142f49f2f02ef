"""Whether the packages of a requirements.txt are installed, found out without importing any of them."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from .errors import MissingRequirement

_IMPORT_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "opencv-contrib-python": "cv2",
    "opencv-contrib-python-headless": "cv2",
    "opencv-python": "cv2",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
}
"""What is imported of a distribution, where it is not called as the distribution is. All of OpenCV's give the same."""
_NOT_CHECKED = {"comfyui-frontend-package"}
"""ComfyUI checks it itself, and its desktop edition brings the front end in another way."""


def required_modules(path: Path) -> dict[str, str]:
    """The names that the requirements in a file are imported by, and the distributions they come from, in its order."""
    modules = {}
    for line in path.read_text("utf-8").splitlines():
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line.strip())
        if name and name[0].lower() not in _NOT_CHECKED:
            distribution = name[0].lower().replace("_", "-")
            modules[_IMPORT_NAMES.get(distribution, distribution.replace("-", "_"))] = name[0]
    return modules


def missing_requirements(path: Path) -> list[str]:
    """The distributions of a requirements.txt that this Python does not have."""
    return [distribution for module, distribution in required_modules(path).items() if not _is_installed(module)]


def installation_advice(missing: list[str], path: Path) -> str:
    """A sentence that names missing distributions, and the command that installs what the file asks for."""
    verb = "is" if len(missing) == 1 else "are"
    command = " ".join(_quoted(part) for part in (sys.executable, "-m", "pip", "install", "-r", str(path)))
    return f"EDTalk needs {', '.join(missing)}, which {verb} not installed. Run: {command}"


def explain_import_error(error: ModuleNotFoundError, path: Path) -> MissingRequirement | None:
    """The error to raise instead, where what could not be imported is a requirement of the file; None otherwise."""
    distribution = required_modules(path).get((error.name or "").partition(".")[0])
    if distribution is None:
        return None
    return MissingRequirement(installation_advice(missing_requirements(path) or [distribution], path))


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # imported already, by a loader that says nothing of itself
        return True


def _quoted(part: str) -> str:
    return f'"{part}"' if " " in part else part
