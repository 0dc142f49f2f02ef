"""Which ComfyUIs and front ends the tests run on, as the environment names them."""

from __future__ import annotations

import os
from pathlib import Path

import comfy_install
import pytest
from comfy_install import ComfyPlace, NotInstalled, Target, comfy_places, find_comfyui, targets


@pytest.fixture
def name_comfyuis(monkeypatch: pytest.MonkeyPatch):
    """Set COMFYUI_PATH and its companions to lists, and forget what was looked up before and in the test."""
    caches = (comfy_places, targets)

    def name(**variables: list[str | Path]) -> None:
        for variable, entries in variables.items():
            monkeypatch.setenv(variable, os.pathsep.join(map(str, entries)))
        for cached in caches:
            cached.cache_clear()

    name(COMFYUI_PATH=[], COMFYUI_PYTHON=[], COMFYUI_FRONT_ENDS=[])
    yield name
    for cached in caches:
        cached.cache_clear()


def checkout(folder: Path, version: str) -> Path:
    """As much of a ComfyUI as is looked at before it is run."""
    folder.mkdir()
    (folder / "main.py").touch()
    (folder / "comfyui_version.py").write_text(f'# made by the build\n__version__ = "{version}"\n')
    return folder


def test_one_comfyui_in_the_home_folder_is_the_default(name_comfyuis):
    (place,) = comfy_places()
    assert (place.checkout, place.python) == (Path.home() / "ComfyUI", None)


def test_several_have_their_pythons_in_the_same_order(name_comfyuis, tmp_path):
    paths = [checkout(tmp_path / name, version) for name, version in (("old", "0.3.64"), ("new", "0.33.0"))]
    name_comfyuis(COMFYUI_PATH=[*paths, tmp_path / "none"], COMFYUI_PYTHON=["", tmp_path / "python"])
    assert [place.label for place in comfy_places()] == ["0.3.64", "0.33.0", "none"]
    assert [place.python for place in comfy_places()] == [None, tmp_path / "python", None]


def test_what_is_missing_is_named(name_comfyuis, tmp_path):
    name_comfyuis(COMFYUI_PATH=[tmp_path / "none"])
    with pytest.raises(NotInstalled, match=r"not found in .*none \(COMFYUI_PATH\)"):
        find_comfyui()
    name_comfyuis(COMFYUI_PATH=[checkout(tmp_path / "old", "0.3.64")], COMFYUI_PYTHON=[tmp_path / "python"])
    with pytest.raises(
        NotInstalled, match=r"no Python with its requirements .*looked at .*python\); set COMFYUI_PYTHON"
    ):
        find_comfyui()


def test_further_front_ends_are_those_of_the_newest_comfyui(name_comfyuis, tmp_path):
    paths = [checkout(tmp_path / version, version) for version in ("0.33.0", "0.4.0", "0.3.64")]
    name_comfyuis(COMFYUI_PATH=paths, COMFYUI_FRONT_ENDS=["1.58.1", "newest"])
    further = [target for target in targets() if target.front_end != comfy_install.OWN]
    assert [target.label for target in targets()[:3]] == ["0.33.0", "0.4.0", "0.3.64"]
    assert [target.label for target in further] == ["0.33.0-1.58.1", "0.33.0-newest"]


def test_an_unpacked_front_end_has_its_version_beside_it(tmp_path):
    static = tmp_path / "comfyui_frontend_package/static"
    static.mkdir(parents=True)
    (tmp_path / "comfyui_frontend_package-1.58.1.dist-info").mkdir()
    target = Target(ComfyPlace(tmp_path, None, "test"), str(static))
    assert target.front_end_version == "1.58.1"
    with pytest.raises(NotInstalled, match=r"no index\.html"):
        target.front_end_root()
    (static / "index.html").touch()
    assert target.front_end_root() == static
