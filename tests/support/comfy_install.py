"""ComfyUI installations and front ends for the tests: checkouts, Pythons and front-end folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRONT_ENDS = ROOT / "out/front_ends"
"""Cache of downloaded front ends, with a folder for each version."""

REQUIREMENTS = ("aiohttp", "comfyui_frontend_package", "safetensors", "torch", "torchsde")
"""Modules that identify a Python with ComfyUI's requirements."""

OWN = "own"
"""The front end that is installed with ComfyUI."""
NEWEST = "newest"
"""The newest front end on the package index."""

CLASSIC, NODES_2 = "classic", "nodes2"
"""The renderers of the editor: nodes drawn on a canvas, and nodes as page elements."""
RENDERERS = (CLASSIC, NODES_2)


class NotInstalled(Exception):
    """ComfyUI or another requirement of its tests is not installed; the message says what was looked for."""


@dataclass(frozen=True)
class ComfyInstall:
    """A runnable checkout of ComfyUI."""

    checkout: Path
    python: Path

    @property
    def version(self) -> str:
        """Version of ComfyUI, such as "0.3.64"."""
        return _version_of(self.checkout)

    @property
    def front_end(self) -> str:
        """Version of the installed front end."""
        return _front_end_of(self.python)


@dataclass(frozen=True)
class ComfyPlace:
    """Configured location of a ComfyUI. `python` None: the Python that runs it is searched for."""

    checkout: Path
    python: Path | None
    named_by: str

    @property
    def label(self) -> str:
        """Version of ComfyUI, or name of the folder where there is none; for the ids of tests."""
        return _version_of(self.checkout) if (self.checkout / "main.py").is_file() else self.checkout.name

    def find(self) -> ComfyInstall:
        """Find the installation. Raises NotInstalled.

        The Python is the configured one, else a virtual environment in the checkout, else the one beside the checkout
        (portable build), else the one that runs the tests.
        """
        if not (self.checkout / "main.py").is_file():
            raise NotInstalled(f"ComfyUI was not found in {self.checkout} ({self.named_by})")
        candidates = (
            [self.python]
            if self.python is not None
            else [
                *(
                    folder / program
                    for folder in (self.checkout / ".venv", self.checkout / "venv")
                    for program in ("bin/python", "Scripts/python.exe")
                ),
                self.checkout.parent / "python_embeded" / "python.exe",
                Path(sys.executable),
            ]
        )
        for python in candidates:
            # Not resolved: Python finds its virtual environment by the path of the link.
            if python.is_file() and _has(python, *REQUIREMENTS):
                return ComfyInstall(self.checkout.absolute(), python.absolute())
        searched = ", ".join(str(python) for python in candidates)
        raise NotInstalled(
            f"ComfyUI is in {self.checkout}, but no Python with its requirements was found (looked at {searched}); "
            "set COMFYUI_PYTHON to the one that runs it"
        )


@cache
def comfy_places() -> tuple[ComfyPlace, ...]:
    """The ComfyUIs in $COMFYUI_PATH (separated as in $PATH), or ~/ComfyUI.

    $COMFYUI_PYTHON lists their Pythons in the same order; for an empty entry, the Python is searched for.
    """
    paths = _entries("COMFYUI_PATH")
    pythons = os.environ.get("COMFYUI_PYTHON", "").split(os.pathsep)
    pythons += [""] * (len(paths) - len(pythons))
    if not paths:
        python = Path(pythons[0]).expanduser() if pythons[0] else None
        return (ComfyPlace(Path.home() / "ComfyUI", python, "default; set COMFYUI_PATH to another"),)
    return tuple(
        ComfyPlace(Path(path).expanduser(), Path(python).expanduser() if python else None, "COMFYUI_PATH")
        for path, python in zip(paths, pythons, strict=False)
    )


@dataclass(frozen=True)
class Target:
    """A ComfyUI and its front end: OWN, NEWEST, a version, or a folder with an index.html."""

    place: ComfyPlace
    front_end: str = OWN

    @property
    def label(self) -> str:
        """Label for the ids of tests: "0.33.0-1.49.6"."""
        return f"{self.place.label}-{self.front_end_version}" if self.front_end_version else self.place.label

    @property
    def front_end_version(self) -> str:
        """Version of the front end as far as it is known locally; "" where ComfyUI is not installed."""
        if self.front_end != OWN:
            return _version_of_folder(Path(self.front_end)) if _is_folder(self.front_end) else self.front_end
        try:
            return self.place.find().front_end
        except NotInstalled:
            return ""

    def front_end_root(self) -> Path | None:
        """Folder of the front end, downloaded if necessary; None for ComfyUI's own. Raises NotInstalled."""
        if self.front_end == OWN:
            return None
        if not _is_folder(self.front_end):
            return download_front_end(self.front_end)
        root = Path(self.front_end).expanduser().absolute()
        if not (root / "index.html").is_file():
            raise NotInstalled(f"{root} is not a front end: there is no index.html in it (COMFYUI_FRONT_ENDS)")
        return root


@cache
def targets() -> tuple[Target, ...]:
    """Each ComfyUI with its own front end, then the newest ComfyUI with each of $COMFYUI_FRONT_ENDS."""
    front_ends = _entries("COMFYUI_FRONT_ENDS")
    return tuple(map(Target, comfy_places())) + tuple(Target(newest_place(), front_end) for front_end in front_ends)


def newest_place() -> ComfyPlace:
    """The configured ComfyUI of the highest installed version."""
    return max(comfy_places(), key=lambda place: _numbers(place.label))


def find_comfyui() -> ComfyInstall:
    """Find the first ComfyUI. Raises NotInstalled."""
    return comfy_places()[0].find()


def comfy_pytest(place: ComfyPlace) -> ComfyInstall:
    """Find a ComfyUI whose Python has pytest, for tests that import it. Raises NotInstalled."""
    install = place.find()
    if not _has(install.python, "pytest"):
        raise NotInstalled(f"ComfyUI's Python has no pytest: {install.python} -m pip install 'pytest>=8'")
    return install


@cache
def download_front_end(version: str) -> Path:
    """Folder of a front end, NEWEST or a version, downloaded unless it is cached. Raises NotInstalled."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    if version == NEWEST:
        report = _pip(*pip, "--dry-run", "--ignore-installed", "--report", "-", "comfyui-frontend-package")
        version = json.loads(report)["install"][0]["metadata"]["version"]
    folder = FRONT_ENDS / version
    root = folder / "comfyui_frontend_package/static"
    if not (root / "index.html").is_file():
        _pip(*pip, "--upgrade", "--target", str(folder), f"comfyui-frontend-package=={version}")
    return root


def _pip(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = result.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise NotInstalled(f"a front end of ComfyUI could not be downloaded (COMFYUI_FRONT_ENDS): {reason[0]}")
    return result.stdout


def _entries(variable: str) -> list[str]:
    return [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def _is_folder(front_end: str) -> bool:
    return os.sep in front_end or Path(front_end).expanduser().is_dir()


def _numbers(version: str) -> tuple[int, ...]:
    """Version as a tuple for comparison; anything else, such as a folder name, is older than all versions."""
    numbers = version.split(".")
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ()


def _version_of(checkout: Path) -> str:
    variables: dict[str, str] = {}
    for line in (checkout / "comfyui_version.py").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        variables[name.strip()] = value.strip(" \"'")
    return variables["__version__"]


def _version_of_folder(static: Path) -> str:
    """Version of a front end from the metadata beside its package, else the name of the folder."""
    metadata = sorted(static.expanduser().absolute().parent.parent.glob("comfyui_frontend_package-*.dist-info"))
    return metadata[0].name.removesuffix(".dist-info").rpartition("-")[2] if metadata else static.name


@cache
def _front_end_of(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('comfyui_frontend_package'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@cache
def _has(python: Path, *modules: str) -> bool:
    code = f"from importlib.util import find_spec; raise SystemExit(not all(map(find_spec, {modules})))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
