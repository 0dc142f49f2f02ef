"""The Motion type: what it holds, what it refuses."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion.motion import Motion


def full_motion(frames: int = 5, fps: float = 25.0) -> Motion:
    generator = torch.Generator().manual_seed(frames)
    return Motion(
        lip=torch.randn(frames, 20, generator=generator),
        pose=torch.randn(frames, 6, generator=generator),
        expression=torch.randn(frames, 10, generator=generator),
        fps=fps,
    )


def test_length_and_tracks():
    motion = full_motion(50, fps=20)
    assert motion.frames == 50
    assert motion.duration == 2.5
    assert list(motion.tracks) == ["lip", "pose", "expression"]
    assert list(Motion(pose=torch.zeros(1, 6)).tracks) == ["pose"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_keeps_float32_of_any_precision(dtype):
    values = torch.randn(4, 20, dtype=dtype)
    motion = Motion(lip=values)
    assert motion.lip.dtype == torch.float32
    assert torch.equal(motion.lip, values.float())


def test_widths_of_other_models_are_allowed():
    assert Motion(lip=torch.zeros(2, 7), pose=torch.zeros(2, 3)).lip.shape == (2, 7)


def test_is_its_own_copy_contiguous_and_without_gradient():
    values = torch.randn(20, 5, requires_grad=True)
    motion = Motion(lip=values.T)
    before = motion.lip.clone()
    with torch.no_grad():
        values.zero_()
    assert torch.equal(motion.lip, before)
    assert motion.lip.is_contiguous()
    assert not motion.lip.requires_grad


def test_motion_read_in_inference_mode_can_take_part_in_training():
    with torch.inference_mode():
        motion = Motion(pose=torch.randn(3, 6))
    scale = torch.ones(6, requires_grad=True)
    (motion.pose * scale).sum().backward()
    assert torch.allclose(scale.grad, motion.pose.sum(0))


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        full_motion().fps = 30


def test_survives_pickling_between_workers():
    motion = full_motion()
    assert pickle.loads(pickle.dumps(motion)).equals(motion)


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), np.float32(12.5), 60])
def test_frame_rate_of_any_number_type(fps):
    motion = Motion(pose=torch.zeros(2, 6), fps=fps)
    assert type(motion.fps) is float
    assert motion.fps == float(fps)


def test_select_without_and_with_tracks():
    motion = full_motion(4, fps=30)
    assert list(motion.select("expression", "lip").tracks) == ["lip", "expression"]
    assert list(motion.without("pose").tracks) == ["lip", "expression"]
    assert motion.select("lip").fps == 30
    still = torch.zeros(4, 6)
    changed = motion.with_tracks(pose=still, expression=None)
    assert torch.equal(changed.pose, still)
    assert changed.expression is None
    assert torch.equal(changed.lip, motion.lip)
    assert motion.expression is not None


@pytest.mark.parametrize("index", [0, 2, -1])
def test_frame_alone(index):
    motion = full_motion(4)
    alone = motion.frame(index)
    assert alone.frames == 1
    assert torch.equal(alone.lip[0], motion.lip[index])


def test_equals():
    motion = full_motion(4)
    nearly = motion.map(lambda track: track + 1e-4)
    assert motion.equals(full_motion(4))
    assert not motion.equals(nearly)
    assert motion.equals(nearly, tolerance=1e-3)
    assert not motion.equals(motion.without("pose"))
    assert not motion.without("pose").equals(motion)
    assert not motion.equals(Motion(fps=30, **motion.tracks))
    assert not motion.equals(motion.map(lambda track: track[:2]))


def test_repr_says_what_is_there_in_one_line():
    assert repr(full_motion(50)) == "Motion(lip 20, pose 6, expression 10; 50 frames at 25 fps, 2.00 s)"
    assert repr(Motion(pose=torch.zeros(1, 6))) == "Motion(pose 6; 1 frame at 25 fps, 0.04 s)"


def with_value(value: float) -> torch.Tensor:
    track = torch.zeros(4, 20)
    track[2, 3] = value
    return track


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param({}, "at least one", id="no-track"),
        pytest.param({"lip": torch.zeros(20)}, "shape", id="one-dimension"),
        pytest.param({"lip": torch.zeros(1, 5, 20)}, "shape", id="three-dimensions"),
        pytest.param({"pose": torch.zeros(0, 6)}, "at least 1", id="no-frames"),
        pytest.param({"pose": torch.zeros(4, 0)}, "at least 1", id="no-weights"),
        pytest.param({"lip": torch.zeros(4, 20, dtype=torch.int64)}, "floating", id="integers"),
        pytest.param({"lip": torch.zeros(4, 20, dtype=torch.complex64)}, "floating", id="complex"),
        pytest.param({"lip": np.zeros((4, 20), np.float32)}, "ndarray", id="array"),
        pytest.param({"lip": with_value(float("nan"))}, "frame 2", id="nan"),
        pytest.param({"lip": with_value(float("-inf"))}, "frame 2", id="infinite"),
        pytest.param({"lip": with_value(1.0).double() * 1e300}, "not finite", id="beyond-float32"),
        pytest.param({"lip": torch.zeros(4, 20), "pose": torch.zeros(5, 6)}, "lip 4, pose 5", id="lengths-differ"),
        pytest.param({"lip": torch.zeros(4, 20), "fps": 0}, "frame rate", id="fps-zero"),
        pytest.param({"lip": torch.zeros(4, 20), "fps": -25}, "frame rate", id="fps-negative"),
        pytest.param({"lip": torch.zeros(4, 20), "fps": float("nan")}, "frame rate", id="fps-nan"),
        pytest.param({"lip": torch.zeros(4, 20), "fps": 1e9}, "frame rate", id="fps-absurd"),
        pytest.param({"lip": torch.zeros(4, 20), "fps": "25"}, "frame rate", id="fps-text"),
        pytest.param({"lip": torch.zeros(4, 20), "fps": True}, "frame rate", id="fps-bool"),
    ],
)
def test_refuses(arguments, word):
    with pytest.raises(MotionError, match=word):
        Motion(**arguments)


@pytest.mark.parametrize(
    ("use", "error", "word"),
    [
        pytest.param(lambda m: m.select(), ArgumentError, "at least one", id="select-nothing"),
        pytest.param(lambda m: m.select("lips"), ArgumentError, "lip, pose, expression", id="select-unknown"),
        pytest.param(lambda m: m.without("pose").select("pose"), MotionError, "no pose track", id="select-missing"),
        pytest.param(lambda m: m.without("lip", "pose", "expression"), MotionError, "at least one", id="without-all"),
        pytest.param(lambda m: m.without("head"), ArgumentError, "head", id="without-unknown"),
        pytest.param(lambda m: m.with_tracks(head=torch.zeros(5, 6)), ArgumentError, "head", id="with-unknown"),
        pytest.param(lambda m: m.with_tracks(pose=torch.zeros(2, 6)), MotionError, "pose 2", id="with-other-length"),
        pytest.param(lambda m: m.frame(5), ArgumentError, "no frame 5", id="frame-beyond-the-end"),
    ],
)
def test_refuses_use(use, error, word):
    with pytest.raises(error, match=word) as caught:
        use(full_motion())
    assert isinstance(caught.value, EDTalkError)
