"""Workflows of strangers: nodes read and write in ComfyUI's folders only, and of other places nothing is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import ArgumentError, MotionError
from comfyui_edtalk.edtalk_core.motion.files import save_motion
from comfyui_edtalk.edtalk_core.motion.motion import Motion
from comfyui_edtalk.nodes.files import EXTRA_FOLDERS, FROM_PATH, next_file
from comfyui_edtalk.nodes.motion import LoadMotion

MOTION = Motion(lip=torch.zeros(3, 20))


def load(file: str = FROM_PATH, path: str = "") -> Motion:
    motion: Motion = LoadMotion.execute(file=file, path=path).args[0]
    return motion


def refusal(path: str) -> str:
    with pytest.raises(ArgumentError) as error:
        load(path=path)
    return str(error.value)


@pytest.fixture
def outside(comfyui_base: Path, tmp_path: Path) -> Path:
    """A motion that is no business of a workflow."""
    assert not tmp_path.is_relative_to(comfyui_base)
    path: Path = save_motion(MOTION, tmp_path / "secret.json")
    return path


def link(path: Path, target: Path) -> Path:
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("links are not allowed here")
    return path


def way_up(folder: Path, path: Path) -> str:
    return os.path.relpath(path, folder)


@pytest.mark.parametrize("folder", ["input", "output", "temp", "models/edtalk"])
def test_a_full_path_into_comfyuis_folders_is_read(comfyui_base: Path, folder: str):
    (comfyui_base / folder / "deep").mkdir(parents=True, exist_ok=True)
    path = save_motion(MOTION, comfyui_base / folder / "deep/typed.json")
    assert load(path=str(path)).frames == 3


def test_a_path_outside_is_refused_alike_whether_a_file_is_there(comfyui_base: Path, outside: Path):
    for start in ("", f"{comfyui_base}/input/"):
        texts = []
        for path in (outside, outside.with_name("absent.json"), outside.parent, outside / "below"):
            typed = f"{start}{way_up(comfyui_base / 'input', path)}" if start else str(path)
            texts.append(refusal(typed).replace(repr(typed), "PATH"))
        assert len(set(texts)) == 1
        assert EXTRA_FOLDERS in texts[0]


@pytest.mark.parametrize("suffix", ["", " [output]", " [input]", " [temp]", " [models]"])
def test_a_listed_name_does_not_lead_out(comfyui_base: Path, outside: Path, suffix: str):
    folder = {"": "input", " [models]": "models/edtalk"}.get(suffix, suffix.strip(" []"))
    for path in (outside, outside.with_name("absent.json")):
        for name in (f"{way_up(comfyui_base / folder, path)}{suffix}", f"{path}{suffix}"):
            told = LoadMotion.validate_inputs(name)
            assert isinstance(told, str)
            assert "not on this machine" in told
            with pytest.raises(MotionError, match="not on this machine"):
                load(file=name)
            assert LoadMotion.fingerprint_inputs(name, "") == f"{name} "


@pytest.mark.parametrize("whole_folder", [False, True], ids=["file", "folder"])
def test_a_link_does_not_lead_out(comfyui_base: Path, outside: Path, whole_folder: bool):
    if whole_folder:
        name = f"{link(comfyui_base / 'input/elsewhere', outside.parent).name}/{outside.name}"
    else:
        name = link(comfyui_base / "input/link.json", outside).name
    assert isinstance(LoadMotion.validate_inputs(name), str)
    assert name not in LoadMotion.define_schema().inputs[0].options
    assert EXTRA_FOLDERS in refusal(str(comfyui_base / "input" / name))


def test_a_link_within_is_followed(comfyui_base: Path):
    path = save_motion(MOTION, comfyui_base / "output/target.json")
    name = link(comfyui_base / "input/inner.json", path).name
    assert LoadMotion.validate_inputs(name) is True
    assert load(file=name).frames == 3


def test_the_owner_allows_a_folder(monkeypatch: pytest.MonkeyPatch, comfyui_base: Path, outside: Path):
    beside = outside.parent.with_name(f"{outside.parent.name}-beside")
    beside.mkdir()
    save_motion(MOTION, beside / "secret.json")
    monkeypatch.setenv(EXTRA_FOLDERS, os.pathsep.join(["", str(outside.parent)]))
    assert load(path=str(outside)).frames == 3
    assert load(file=link(comfyui_base / "input/allowed.json", outside).name).frames == 3
    with pytest.raises(MotionError, match=r"absent\.json; check the path"):
        load(path=str(outside.with_name("absent.json")))
    assert EXTRA_FOLDERS in refusal(str(beside / "secret.json"))


def test_nothing_is_saved_through_a_link_that_leads_out(comfyui_base: Path, outside: Path):
    link(comfyui_base / "output/away", outside.parent)
    for prefix in ("away/take", "away/new/take"):
        with pytest.raises(ArgumentError, match="below ComfyUI's output folder"):
            next_file(prefix, "json")
    assert [path.name for path in outside.parent.iterdir()] == [outside.name]


def test_a_name_of_the_date_does_not_lead_through_a_link_either(comfyui_base: Path, outside: Path):
    link(comfyui_base / "output/640", outside.parent)
    with pytest.raises(ArgumentError, match="below ComfyUI's output folder"):
        next_file("%width%/take", "json", (640, 480))
    assert [path.name for path in outside.parent.iterdir()] == [outside.name]
