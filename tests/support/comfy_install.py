"""Which ComfyUIs and front ends the tests run on: where they are on this machine, and which Python runs them."""

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
"""Where front ends that are downloaded for the tests are kept, a folder for each version."""

REQUIREMENTS = ("aiohttp", "comfyui_frontend_package", "safetensors", "torch", "torchsde")
"""Modules that together only a Python has that ComfyUI's requirements were installed into."""

OWN = "own"
"""The front end that is installed with ComfyUI."""
NEWEST = "newest"
"""The newest front end that the package index has."""

CLASSIC, NODES_2 = "classic", "nodes2"
"""The renderers of the editor: nodes drawn on a canvas, and nodes that are part of the page."""
RENDERERS = (CLASSIC, NODES_2)


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
        return _version_of(self.checkout)

    @property
    def front_end(self) -> str:
        """The version of the front end that is installed with it."""
        return _front_end_of(self.python)


@dataclass(frozen=True)
class ComfyPlace:
    """A place where a ComfyUI should be. `python` is the one that runs it, None: it is looked for."""

    checkout: Path
    python: Path | None
    named_by: str

    @property
    def label(self) -> str:
        """The version of what is there, else the name of the folder; for the ids of tests."""
        return _version_of(self.checkout) if (self.checkout / "main.py").is_file() else self.checkout.name

    def find(self) -> ComfyInstall:
        """What is there. Raises NotThere.

        The Python is the one that was named, or a virtual environment in the checkout, or beside the checkout (the
        portable build), or else the one that runs the tests.
        """
        if not (self.checkout / "main.py").is_file():
            raise NotThere(f"ComfyUI was not found in {self.checkout} ({self.named_by})")
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
            # Not resolved: a virtual environment is known by the path of the link that was called.
            if python.is_file() and _has(python, *REQUIREMENTS):
                return ComfyInstall(self.checkout.absolute(), python.absolute())
        looked = ", ".join(str(python) for python in candidates)
        raise NotThere(
            f"ComfyUI is in {self.checkout}, but no Python with its requirements was found (looked at {looked}); "
            "set COMFYUI_PYTHON to the one that runs it"
        )


@cache
def comfy_places() -> tuple[ComfyPlace, ...]:
    """The ComfyUIs that $COMFYUI_PATH names, or ~/ComfyUI; several are separated as in $PATH.

    $COMFYUI_PYTHON names their Pythons in the same order; where it names none, one is looked for.
    """
    named = _entries("COMFYUI_PATH")
    pythons = os.environ.get("COMFYUI_PYTHON", "").split(os.pathsep)
    pythons += [""] * (len(named) - len(pythons))
    if not named:
        python = Path(pythons[0]).expanduser() if pythons[0] else None
        return (ComfyPlace(Path.home() / "ComfyUI", python, "default; set COMFYUI_PATH to another"),)
    return tuple(
        ComfyPlace(Path(path).expanduser(), Path(python).expanduser() if python else None, "COMFYUI_PATH")
        for path, python in zip(named, pythons, strict=False)
    )


@dataclass(frozen=True)
class Target:
    """A ComfyUI and the front end that it serves: OWN, NEWEST, a version, or a folder with an index.html."""

    place: ComfyPlace
    front_end: str = OWN

    @property
    def label(self) -> str:
        """For the ids of tests: "0.33.0-1.49.6"."""
        return f"{self.place.label}-{self.front_end_version}" if self.front_end_version else self.place.label

    @property
    def front_end_version(self) -> str:
        """Of the front end, as far as it is known without looking into the package index; "" where ComfyUI is not."""
        if self.front_end != OWN:
            return _version_of_folder(Path(self.front_end)) if _is_folder(self.front_end) else self.front_end
        try:
            return self.place.find().front_end
        except NotThere:
            return ""

    def front_end_root(self) -> Path | None:
        """The folder to serve, downloaded if need be; None for ComfyUI's own. Raises NotThere."""
        if self.front_end == OWN:
            return None
        if not _is_folder(self.front_end):
            return download_front_end(self.front_end)
        root = Path(self.front_end).expanduser().absolute()
        if not (root / "index.html").is_file():
            raise NotThere(f"{root} is not a front end: there is no index.html in it (COMFYUI_FRONT_ENDS)")
        return root


@cache
def targets() -> tuple[Target, ...]:
    """Each ComfyUI with its own front end, then the newest of them with each of $COMFYUI_FRONT_ENDS."""
    further = _entries("COMFYUI_FRONT_ENDS")
    return tuple(map(Target, comfy_places())) + tuple(Target(newest_place(), front_end) for front_end in further)


def newest_place() -> ComfyPlace:
    """Of the ComfyUIs that are named, the one of the highest version that is there."""
    return max(comfy_places(), key=lambda place: _numbers(place.label))


def find_comfyui() -> ComfyInstall:
    """The first ComfyUI. Raises NotThere."""
    return comfy_places()[0].find()


def comfy_pytest(place: ComfyPlace) -> ComfyInstall:
    """ComfyUI whose Python has pytest as well, for tests that import it. Raises NotThere."""
    install = place.find()
    if not _has(install.python, "pytest"):
        raise NotThere(f"ComfyUI's Python has no pytest: {install.python} -m pip install 'pytest>=8'")
    return install


@cache
def download_front_end(version: str) -> Path:
    """The folder of a front end, NEWEST or of a version, from the package index unless it is kept. Raises NotThere."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    if version == NEWEST:
        asked = _pip(*pip, "--dry-run", "--ignore-installed", "--report", "-", "comfyui-frontend-package")
        version = json.loads(asked)["install"][0]["metadata"]["version"]
    folder = FRONT_ENDS / version
    root = folder / "comfyui_frontend_package/static"
    if not (root / "index.html").is_file():
        _pip(*pip, "--upgrade", "--target", str(folder), f"comfyui-frontend-package=={version}")
    return root


def _pip(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        why = ended.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise NotThere(f"a front end of ComfyUI could not be fetched (COMFYUI_FRONT_ENDS): {why[0]}")
    return ended.stdout


def _entries(variable: str) -> list[str]:
    return [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def _is_folder(front_end: str) -> bool:
    return os.sep in front_end or Path(front_end).expanduser().is_dir()


def _numbers(version: str) -> tuple[int, ...]:
    """A version for comparing; what is none, such as the name of a folder, is older than all."""
    numbers = version.split(".")
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ()


def _version_of(checkout: Path) -> str:
    words: dict[str, str] = {}
    for line in (checkout / "comfyui_version.py").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        words[name.strip()] = value.strip(" \"'")
    return words["__version__"]


def _version_of_folder(static: Path) -> str:
    """A front end as unpacked from its package has its version beside it."""
    beside = sorted(static.expanduser().absolute().parent.parent.glob("comfyui_frontend_package-*.dist-info"))
    return beside[0].name.removesuffix(".dist-info").rpartition("-")[2] if beside else static.name


@cache
def _front_end_of(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('comfyui_frontend_package'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@cache
def _has(python: Path, *modules: str) -> bool:
    code = f"from importlib.util import find_spec; raise SystemExit(not all(map(find_spec, {modules})))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
