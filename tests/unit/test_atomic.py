"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import torch

from edtalk_core.atomic import atomic_write


def test_file_appears_when_the_block_ends(tmp_path: Path):
    target = tmp_path / "a.json"
    with atomic_write(target) as partial:
        partial.write_text("new")
        assert partial.parent == target.parent
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "new"


def test_a_file_that_is_there_is_replaced(tmp_path: Path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with atomic_write(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_everything_as_it_was(error: type[BaseException], tmp_path: Path):
    target = tmp_path / "a.json"
    target.write_text("old")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise error

    with pytest.raises(error), atomic_write(target) as partial:
        fail(partial)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "old"


def test_nothing_is_left_where_the_file_cannot_get_its_name(tmp_path: Path):
    target = tmp_path / "a"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises((IsADirectoryError, PermissionError)), atomic_write(target) as partial:
        partial.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_missing_folder_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "nowhere" / "a.json"):
        pytest.fail("the block must not run")


def test_two_writers_of_one_name_do_not_meet(tmp_path: Path):
    target = tmp_path / "a.json"
    with atomic_write(target) as first, atomic_write(target) as second:
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_others_may_read_what_safetensors_would_keep_to_its_owner(tmp_path: Path):
    from safetensors.torch import save_file

    target, umask = tmp_path / "a.safetensors", os.umask(0o022)
    try:
        with atomic_write(target) as partial:
            save_file({"x": torch.zeros(1)}, partial)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
