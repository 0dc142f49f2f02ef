"""The one rule of how long a result lasts and what a shorter track does, by itself and where it is used."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from edtalk_core.errors import ArgumentError
from edtalk_core.motion.length import LEADERS, SHORT_TRACKS, leader, length_of_duration, result_length
from edtalk_core.motion.motion import TRACKS, Motion
from edtalk_core.motion.operations import combine, fit

TIMES = {"pose": 9.0, "expression": 1.0}


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        ({"lip": 2.0, "motion": 3.0, "video": 4.0, "audio": 5.0, **TIMES}, "audio"),
        ({"lip": 2.0, "motion": 3.0, "video": 4.0, **TIMES}, "video"),
        ({"lip": 2.0, "motion": 3.0, **TIMES}, "motion"),
        ({"lip": 2.0, **TIMES}, "lip"),
        (TIMES, "pose"),
        ({"expression": 1.0}, "expression"),
        ({}, None),
    ],
)
def test_the_sound_leads_then_the_driver_the_motion_the_lips_the_longest(seconds, name):
    assert leader(seconds) == name


@pytest.mark.parametrize(
    ("length", "name"), [("longest", "pose"), ("shortest", "expression"), ("lip", "lip"), ("expression", "expression")]
)
def test_another_length_can_be_asked_for(length, name):
    assert leader({"lip": 2.0, "audio": 5.0, **TIMES}, length) == name


def test_a_leader_that_is_missing_is_named_with_those_there_are():
    with pytest.raises(ArgumentError, match=r'"audio", and only these last: pose, expression'):
        leader(TIMES, "audio")
    with pytest.raises(ArgumentError, match="nothing"):
        leader({}, "lip")


@pytest.mark.parametrize(
    ("seconds", "fps", "frames", "rate"),
    [
        (1.03, 25, 26, Fraction(25)),
        (1.03, 29.97, 31, Fraction(30000, 1001)),
        (0.001, 25, 1, Fraction(25)),
        (0.0, 25, 1, Fraction(25)),
        (1.0, Fraction(25, 2), 12, Fraction(25, 2)),
    ],
)
def test_seconds_are_rounded_to_frames_and_at_least_one(seconds, fps, frames, rate):
    length = length_of_duration(seconds, fps)
    assert (length.seconds, length.frames, length.rate) == (seconds, frames, rate)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(ArgumentError, match="duration"):
        length_of_duration(seconds, 25)


def test_a_result_lasts_as_its_leader_or_one_frame():
    assert result_length({"audio": 2.0, "pose": 5.0}, 10).frames == 20
    assert result_length({"audio": 2.0, "pose": 5.0}, 10, "longest").frames == 50
    assert result_length({}, 10).frames == 1


def counting(frames: int, fps: float = 25.0) -> Motion:
    """A motion whose every weight is the number of its frame."""
    column = torch.arange(frames, dtype=torch.float32).unsqueeze(1)
    return Motion(lip=column.expand(-1, 20), pose=column.expand(-1, 6), expression=column.expand(-1, 10), fps=fps)


def test_a_short_head_goes_back_and_forth_and_other_tracks_stay():
    assert set(SHORT_TRACKS) == set(TRACKS)
    fitted = fit(counting(3), 25, 7)
    assert fitted.lip[:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2]
    assert fitted.pose[:, 0].tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert fitted.expression[:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2]


def test_a_longer_motion_loses_its_end_and_a_frame_is_held_at_any_rate():
    assert fit(counting(9), 25, 4).pose[:, 0].tolist() == [0, 1, 2, 3]
    held = fit(counting(1, fps=10), 30, 5)
    assert (held.frames, held.fps) == (5, 30)
    assert not held.pose.any()


def test_fitting_brings_other_rates_along():
    fitted = fit(counting(4, fps=12.5), 25, 8)
    assert fitted.lip[:, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]


def test_combining_goes_by_the_same_rule():
    lips, head, face = counting(4), counting(9), counting(2)
    assert combine(lip=lips, pose=head, expression=face).frames == 4
    assert combine(lip=counting(1), pose=head, expression=face).frames == 9
    joined = combine(lip=head, pose=lips, expression=face)
    assert joined.equals(
        Motion(lip=head.lip, pose=fit(lips, 25, 9).pose, expression=fit(face, 25, 9).expression, fps=25.0)
    )
    assert LEADERS.index("audio") == 0
