"""Idle heads: where they start, how far and how fast they move, and that loops have no seam."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion.motion import Motion
from edtalk_core.sources.idle import SHARE, TALKING, idle_motion

OWN = Motion(
    lip=torch.ones(1, 20), pose=torch.tensor([[1.3, -2.7, 3.1, 0.0, 5.9, -60.1]]), expression=torch.ones(1, 10)
)


def drift(motion: Motion, anchor: Motion = OWN) -> np.ndarray:
    """How far each weight is from the anchor's (T,pose)."""
    return (motion.pose.double() - anchor.pose[:1].double()).numpy()


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_it_is_a_pose_that_starts_at_the_anchor(seed, loop):
    motion = idle_motion(OWN, 7.2, seed=seed, loop=loop)
    assert list(motion.tracks) == ["pose"]
    assert (motion.frames, motion.fps) == (180, 25)
    assert torch.equal(motion.pose[:1], OWN.pose)
    assert not torch.equal(motion.pose[1:2], OWN.pose)


def test_the_first_frame_of_a_longer_motion_is_the_anchor():
    pose = torch.arange(18.0).reshape(3, 6)
    assert torch.equal(idle_motion(Motion(pose=pose), 1).pose[0], pose[0])


@pytest.mark.parametrize("loop", [False, True])
def test_amount_zero_holds_the_pose_exactly(loop):
    motion = idle_motion(OWN, 4, amount=0, loop=loop)
    assert torch.equal(motion.pose, OWN.pose.expand(100, -1))


def test_amount_scales_the_movement():
    once, thrice = drift(idle_motion(OWN, 20)), drift(idle_motion(OWN, 20, amount=3))
    assert np.allclose(thrice, 3 * once, atol=1e-4)


@pytest.mark.parametrize("fps", [25.0, 60.0, 12.0])
def test_it_moves_a_share_of_what_talking_heads_move_about_the_anchor(fps):
    moved = drift(idle_motion(OWN, 1200, fps=fps))
    assert np.allclose(moved.std(0), SHARE * np.array(TALKING), rtol=0.12)
    assert np.abs(moved.mean(0) / moved.std(0)).max() < 0.1
    assert np.abs(moved / moved.std(0)).max() < 5  # never far away, however long it lasts
    assert np.abs(np.corrcoef(moved.T) - np.eye(6)).max() < 0.25  # each weight moves by itself


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_it_is_slow(fps):
    moved = drift(idle_motion(OWN, 1200, fps=fps))
    power = (np.abs(np.fft.rfft(moved, axis=0)) ** 2).sum(axis=1)
    frequency = np.fft.rfftfreq(len(moved), 1 / fps)
    share = power / power.sum()
    assert share[(frequency > 0.05) & (frequency < 0.6)].sum() > 0.95
    assert share[(frequency > 0.15) & (frequency < 0.35)].sum() > 0.4  # a calm breath is in the middle
    assert share[frequency > 1].sum() < 1e-3


@pytest.mark.parametrize("seconds", [3, 6, 20, 60.04])
def test_a_loop_has_no_seam(seconds):
    moved = drift(idle_motion(OWN, seconds, loop=True))
    around = np.concatenate([moved, moved])
    speed, bend = np.diff(around, axis=0), np.diff(around, n=2, axis=0)
    seam = len(moved)
    for change in (speed, bend):
        assert (np.abs(change[seam - 3 : seam + 1]).max(0) <= 1.3 * np.abs(change[: seam - 2]).max(0)).all()
    assert moved.std(0).min() > 0.1 * SHARE * min(TALKING)


def test_a_motion_that_is_no_loop_has_a_seam():
    jumps = []
    for seed in range(12):
        moved = drift(idle_motion(OWN, 20, seed=seed))
        jumps.append((np.abs(moved[-1] - moved[0]) / np.abs(np.diff(moved, axis=0)).max(0)).max())
    assert np.median(jumps) > 5


@pytest.mark.parametrize("seconds", [0, 0.04, 0.08, 0.5, 1])
def test_a_loop_without_room_hardly_moves(seconds):
    motion = idle_motion(OWN, seconds, loop=True)
    assert motion.frames == max(1, round(25 * seconds))
    assert np.abs(drift(motion)).max() < 0.05


@pytest.mark.parametrize("loop", [False, True])
def test_the_seed_decides(loop):
    first, again = idle_motion(OWN, 5, seed=7, loop=loop), idle_motion(OWN, 5, seed=7, loop=loop)
    assert first.equals(again)
    assert not first.equals(idle_motion(OWN, 5, seed=8, loop=loop), tolerance=0.1)


def test_a_longer_motion_begins_as_a_shorter_one():
    short, long = idle_motion(OWN, 5), idle_motion(OWN, 61)
    assert torch.allclose(long.pose[:125], short.pose, atol=1e-5)


def test_it_leaves_the_common_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    idle_motion(OWN, 5)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("bases", [1, 3, 12])
def test_a_model_with_another_number_of_bases(bases):
    anchor = Motion(pose=torch.full((1, bases), 2.0))
    motion = idle_motion(anchor, 60)
    assert motion.pose.shape == (1500, bases)
    assert 0.2 < drift(motion, anchor).std(0).mean() < 1


MISTAKES = {
    "duration below zero": ({"duration": -1}, ArgumentError, "duration"),
    "endless duration": ({"duration": float("inf")}, ArgumentError, "duration"),
    "absurd duration": ({"duration": 1e9}, ArgumentError, "1,000,000"),
    "amount below zero": ({"amount": -0.1}, ArgumentError, "amount"),
    "amount no number": ({"amount": float("nan")}, ArgumentError, "amount"),
    "seed below zero": ({"seed": -1}, ArgumentError, "seed"),
    "seed a fraction": ({"seed": 0.5}, ArgumentError, "seed"),
    "fps zero": ({"fps": 0.0}, MotionError, "frame rate"),
    "anchor without a pose": ({"anchor": OWN.select("lip")}, MotionError, "no pose track"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told(mistake):
    arguments, kind, words = MISTAKES[mistake]
    with pytest.raises(EDTalkError, match=words) as caught:
        idle_motion(**{"anchor": OWN, "duration": 2.0, **arguments})
    assert type(caught.value) is kind
