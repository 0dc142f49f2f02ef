"""Edits of a face: their text, and what they add to a motion."""

from __future__ import annotations

import json

import pytest
import torch

from edtalk_core.errors import MotionError
from edtalk_core.motion.bases import Bases
from edtalk_core.motion.edits import MAX_EDIT_CHARACTERS, Edit, apply_edit, format_edit, parse_edit
from edtalk_core.motion.motion import Motion

NAMES = Bases(lip=("opening",), pose=("x", "y"), expression=("smile", "lids"))
OWN = Motion(lip=torch.zeros(1, 20), pose=torch.ones(1, 6), expression=torch.full((1, 10), 2.0))
PRESETS = {"happy": (4.0,) * 10, "sad": (0.0,) * 10}


def edit(**parts: object) -> str:
    return json.dumps({"format": "edtalk-edit", "format_version": 1, **parts})


def edited(text: str, motion: Motion = OWN) -> Motion:
    return apply_edit(parse_edit(text), motion, OWN, PRESETS, NAMES)


def test_an_empty_text_changes_nothing():
    assert parse_edit(" \n") == Edit()
    assert edited("").equals(OWN)


def test_amounts_are_added_by_name_and_by_number():
    motion = edited(edit(expression={"Smile": 1.5, "9": -0.5}, pose={"y": 2}, lip={"opening": 3}))
    change = {name: track - OWN.track(name) for name, track in motion.tracks.items()}
    assert change["expression"][0].tolist() == [1.5, *[0.0] * 8, -0.5]
    assert change["pose"][0].tolist() == [0.0, 2.0, 0.0, 0.0, 0.0, 0.0]
    assert change["lip"][0, 0] == 3


def test_presets_add_their_difference_from_the_portrait():
    motion = edited(edit(presets={"happy": 0.5, "sad": 0.25}))
    assert motion.track("expression")[0].tolist() == pytest.approx([2 + 0.5 * 2 - 0.25 * 2] * 10)


def test_every_frame_of_a_motion_is_edited():
    motion = Motion(expression=torch.randn(7, 10), fps=30)
    result = edited(edit(expression={"lids": 1}), motion)
    assert (result.frames, result.fps) == (7, 30)
    assert torch.allclose(result.track("expression")[:, 1], motion.track("expression")[:, 1] + 1)
    assert torch.equal(result.track("expression")[:, 2:], motion.track("expression")[:, 2:])


def test_its_text_reads_back_without_zeros():
    text = format_edit(parse_edit(edit(presets={"happy": 0.5}, expression={"smile": 0, "lids": 1.25})))
    assert parse_edit(text) == Edit({"happy": 0.5}, {"expression": {"lids": 1.25}})
    assert "smile" not in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not readable as JSON"),
        ("[" * 50_000, "not readable as JSON"),
        ("[]", "other text"),
        ('{"format": "edtalk-preset"}', "other text"),
        ('{"format": "edtalk-edit", "format_version": 9}', "update EDTalk"),
        (edit(weights={}), "'weights'"),
        (edit(expression=[1]), "numbers by name"),
        (edit(expression={"": 1}), "numbers by name"),
        (edit(expression={"smile": "1"}), "from -20 to 20"),
        (edit(expression={"smile": True}), "from -20 to 20"),
        (edit(expression={"smile": 21}), "from -20 to 20"),
        (edit(presets={"happy": 6}), "from -5 to 5"),
        ('{"format": "edtalk-edit", "format_version": 1, "pose": {"x": NaN}}', "NaN"),
        (" " * 10 + "x" * MAX_EDIT_CHARACTERS, "at most 65,536"),
    ],
)
def test_refuses(text, reason):
    with pytest.raises(MotionError, match=reason):
        parse_edit(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (edit(expression={"smil": 1}), "Did you mean smile"),
        (edit(expression={"10": 1}), "a number from 0 to 9"),
        (edit(presets={"hapy": 1}), "happy"),
    ],
)
def test_does_not_fit_the_model(text, reason):
    with pytest.raises(MotionError, match=reason):
        edited(text)


def test_a_model_without_expressions_says_so():
    own = Motion(lip=torch.zeros(1, 20), pose=torch.zeros(1, 6))
    with pytest.raises(MotionError, match="no expression track"):
        apply_edit(parse_edit(edit(expression={"1": 1})), own, own, {}, Bases())
