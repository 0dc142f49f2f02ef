"""Figures of faces over time, on faces that move as they are told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edtalk_core.errors import EDTalkError
from edtalk_core.evaluation.faces import FaceReader
from edtalk_core.evaluation.metrics import Frame, Unmeasurable
from edtalk_core.evaluation.time_series import (
    MAX_SHIFT,
    Moment,
    blink_rate,
    blink_rate_error,
    count_blinks,
    curves,
    moment,
    mouth_amplitude,
    mouth_correlation,
    opening_confidence,
    pose_error,
    pose_range,
    pose_speed,
)
from edtalk_core.face.landmarks import EYES


@pytest.fixture(scope="module")
def landmarks(face: np.ndarray) -> np.ndarray:
    """(68,2) of a real face, relative to the side of its picture."""
    reader = FaceReader()
    return reader.landmarks(face, reader.find(face))


def mouth(landmarks: np.ndarray, opening: float) -> np.ndarray:
    """The face with its inner lips apart by `opening`."""
    moved = landmarks.copy()
    moved[60:68, 1] = landmarks[60:68, 1].mean()
    moved[65:68, 1] += opening
    return moved


def turned(landmarks: np.ndarray, degrees: float) -> np.ndarray:
    """The face rolled in the picture."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (landmarks - 0.5) @ np.array([[c, s], [-s, c]]) + 0.5


def series(true: list[np.ndarray], rendered: list[np.ndarray], levels: np.ndarray | None = None) -> list[Moment]:
    levels = np.full(len(true), np.nan) if levels is None else levels
    return [Moment(i, a, b, float(level)) for i, (a, b, level) in enumerate(zip(true, rendered, levels, strict=True))]


def test_mouth_that_follows_half_as_far(landmarks: np.ndarray):
    openings = 0.03 + 0.02 * np.sin(np.arange(40) / 3)
    true = [mouth(landmarks, o) for o in openings]
    half = [mouth(landmarks, o / 2) for o in openings]
    assert mouth_correlation(series(true, half)) == pytest.approx(1)
    assert mouth_amplitude(series(true, half)) == pytest.approx(0.5, abs=0.01)
    against = [mouth(landmarks, o) for o in 0.06 - openings]
    assert mouth_correlation(series(true, against)) == pytest.approx(-1)


def test_opening_confidence_finds_the_shift_and_not_noise(landmarks: np.ndarray):
    rng = np.random.default_rng(0)
    level = np.convolve(rng.normal(0, 1, 140), np.ones(5) / 5, "same")
    shifted = np.roll(level, 4)
    follows = series([landmarks] * 140, [mouth(landmarks, 0.03 + 0.01 * value) for value in shifted], level)
    unrelated = series([landmarks] * 140, [mouth(landmarks, 0.03 + 0.01 * v) for v in rng.normal(0, 1, 140)], level)
    assert opening_confidence(follows) > 0.8
    assert opening_confidence(unrelated) < 0.4


def test_head_that_turns_half_as_far(landmarks: np.ndarray):
    angles = 10 * np.sin(np.arange(50) / 5)
    moments = series([turned(landmarks, a) for a in angles], [turned(landmarks, a / 2) for a in angles])
    assert pose_range(moments) == pytest.approx(0.5, rel=0.02)
    assert pose_speed(moments) == pytest.approx(0.5, rel=0.02)
    assert pose_error(moments) == pytest.approx(np.abs(angles).mean() / 2, rel=0.03)


def test_blinks_are_counted_and_closed_eyes_are_not():
    eyes = np.ones(100)
    eyes[10:14] = eyes[40:45] = 0.2
    assert count_blinks(eyes) == 2
    eyes[60:90] = 0.2  # asleep
    assert count_blinks(eyes) == 2
    eyes[-3:] = 0.2  # not seen to open again
    assert count_blinks(eyes) == 2


def test_blink_rate_is_a_minute(landmarks: np.ndarray):
    shut = landmarks.copy()
    shut[EYES, 1] = landmarks[EYES, 1].mean()
    rendered = [shut if i in (20, 21, 60, 61) else landmarks for i in range(100)]
    moments = series([landmarks] * 100, rendered)
    assert blink_rate(moments) == pytest.approx(30)
    assert blink_rate_error(moments) == pytest.approx(30)


@pytest.mark.parametrize(
    ("figure", "frames", "reason"),
    [
        (mouth_correlation, 2, "fewer than 5 frames"),
        (mouth_correlation, 20, "true mouth does not move"),
        (pose_range, 20, "true head does not move"),
        (opening_confidence, 2 * MAX_SHIFT, "fewer than 25 frames"),
        (opening_confidence, 60, "no sound"),
        (blink_rate, 49, "fewer than 50 frames"),
    ],
)
def test_bad_series_are_named(figure, frames: int, reason: str, landmarks: np.ndarray):
    with pytest.raises(Unmeasurable, match=reason):
        figure(series([landmarks] * frames, [landmarks] * frames))


def test_silence_is_named(landmarks: np.ndarray):
    with pytest.raises(Unmeasurable, match="silence"):
        opening_confidence(series([landmarks] * 60, [landmarks] * 60, np.full(60, -4.0)))


@pytest.mark.parametrize("which", ["true", "rendered"])
def test_frame_without_a_face_is_named(which: str, face: np.ndarray):
    with pytest.raises(EDTalkError, match=f"no face in the {which} frame"):
        moment(Frame(0, face, face, **{f"{which}_presence": 0.5}))


def test_curves_have_the_sound_only_where_there_is_one(landmarks: np.ndarray):
    assert set(curves(series([landmarks], [landmarks]))) == {
        "frame",
        *(f"{name}_{kind}" for name in ("opening", "yaw", "pitch") for kind in ("true", "rendered")),
    }
    assert curves(series([landmarks], [landmarks], np.array([0.5])))["level"] == [0.5]
