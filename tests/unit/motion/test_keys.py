"""Curves of numbers as text. What they share with expression timelines is tested there."""

from __future__ import annotations

import pytest
import torch

from edtalk_core.errors import MotionError
from edtalk_core.motion.keys import EASINGS, MAX_KEYS, frames_until, parse_curve
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.operations import blend
from edtalk_core.motion.timeline import expression_timeline


def test_goes_from_key_to_key_and_holds_outside():
    curve = parse_curve("0:01 -0.5\n2s 1.5  # up\n4 .5 hold; 5 +2e0 ease-in")
    values = {0: -0.5, 1: -0.5, 1.25: 0, 1.5: 0.5, 2: 1.5, 3.9: 1.5, 4: 0.5, 4.5: 0.875, 5: 2, 99: 2}
    assert {seconds: curve(seconds) for seconds in values} == pytest.approx(values)
    assert curve.end == 5


def test_a_single_key_is_a_constant():
    curve = parse_curve("3 0.25")
    assert [curve(0), curve(3), curve(4)] == [0.25] * 3


@pytest.mark.parametrize("easing", EASINGS)
def test_eases_as_a_timeline_does(easing):
    curve = parse_curve(f"0.2 0; 1.7 1 {easing}; 2 0.4")
    a, b, anchor = (Motion(expression=torch.full((1, 10), value)) for value in (1.0, 0.0, 0.0))
    blended = blend(a, b, curve, frames=75)
    presets = {"high": (1.0,) * 10}
    text = f"0.2 high:0; 1.7 high:1 {easing}; 2 high:0.4"
    assert blended.equals(expression_timeline(text, presets, anchor, 3.0), tolerance=1e-6)


def test_frames_at_key_times_that_are_no_binary_fractions():
    for frame in range(1, 60):
        curve = parse_curve(f"0 0; {frame / 30:.12f} 1 hold")
        assert (curve((frame - 1) / 30), curve(frame / 30)) == (0, 1)


@pytest.mark.parametrize("fps", [24, 25, 30000 / 1001, 60])
def test_the_last_of_the_frames_until_a_key_has_reached_it(fps):
    for seconds in (0, 0.04, 1 / 3, 1, 1.01, 7.1, 60):
        curve = parse_curve(f"{seconds:.12f} 1" if seconds == 0 else f"0 0; {seconds:.12f} 1 hold")
        frames = frames_until(curve.end, fps)
        assert [curve((frames - 1) / fps), curve((frames - 2) / fps)] == ([1, 1] if seconds == 0 else [1, 0])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param(" \n# only words", "curve has no entries", id="empty"),
        pytest.param("0 0\n1", "Curve line 2, '1': an entry is a time, a number", id="no-number"),
        pytest.param("0 zero", "'zero' is not a number", id="word"),
        pytest.param("0 nan", "'nan' is not a number", id="nan"),
        pytest.param("0 1e999", "'1e999' is not a number", id="infinite"),
        pytest.param("0 happy:1", "is not a number", id="timeline"),
        pytest.param("0 0; 0 1", "is not after", id="twice"),
        pytest.param("0 0; 1 1 easein", "mean ease-in", id="easing"),
        pytest.param("\n".join(f"{i} 0" for i in range(MAX_KEYS + 1)), "10,000", id="too-many"),
    ],
)
def test_refuses(text, word):
    with pytest.raises(MotionError, match=word):
        parse_curve(text)
