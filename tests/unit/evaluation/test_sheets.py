"""Contact sheets for the eye."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.data.clips import Clip
from edtalk_core.errors import ArgumentError
from edtalk_core.evaluation.pictures import l1
from edtalk_core.evaluation.sheets import identity_sheet, reenactment_sheet, sheet_portraits, typical_motions
from edtalk_core.model import EDTalk
from edtalk_core.motion.motion import Motion

SIZE = 64
COPY = 0.06
"""L1 within which a copying model copies: it shrinks the picture by a pixel, as the published sampling grid does."""


def test_reenactment_sheet_has_three_rows(copying: EDTalk, held_out: list[Clip]):
    sheet = reenactment_sheet(copying, held_out)
    assert sheet.shape == (3 * SIZE, 2 * SIZE, 3)
    assert np.array_equal(sheet[:SIZE, :SIZE], held_out[0].frame(0, SIZE))
    assert l1(sheet[2 * SIZE :], sheet[:SIZE]) < COPY < l1(sheet[SIZE : 2 * SIZE], sheet[:SIZE])


def test_identity_sheet(copying: EDTalk, face: np.ndarray, held_out: list[Clip]):
    motions = typical_motions(copying, held_out)
    assert list(motions)[:4] == ["mouth open", "turned left", "turned right", "nodded"]
    assert len(motions) == 6
    sheet = identity_sheet(copying, {"first": face, "second": face[:, ::-1]}, motions)
    assert sheet.shape[1] == 7 * SIZE
    assert sheet.shape[0] > 2 * SIZE
    first = sheet[22 : 22 + SIZE]
    for column in range(1, 7):
        assert l1(first[:, column * SIZE : (column + 1) * SIZE], first[:, :SIZE]) < COPY


def test_motion_of_many_frames_shows_its_middle(moving: EDTalk, face: np.ndarray):
    pose = torch.zeros(5, 6)
    pose[2] = 5.0
    sheet = identity_sheet(moving, {"p": face}, {"still": Motion(pose=pose[:1]), "moved": Motion(pose=pose)})
    assert l1(sheet[22 : 22 + SIZE, SIZE : 2 * SIZE], sheet[22 : 22 + SIZE, 2 * SIZE :]) > 0.005


def test_identity_sheet_of_nothing(copying: EDTalk, face: np.ndarray):
    with pytest.raises(ArgumentError, match="at least one"):
        identity_sheet(copying, {"p": face}, {})


def test_portraits_of_the_sheet(face: np.ndarray, held_out: list[Clip]):
    by_person = sheet_portraits(held_out)
    assert list(by_person) == ["person c", "person b"]
    assert np.array_equal(by_person["person b"], held_out[0].frame(0))
    files = sheet_portraits(held_out, [builtin_file("examples/portrait.jpg")])
    assert list(files) == ["portrait"]
    assert np.array_equal(files["portrait"], face)
