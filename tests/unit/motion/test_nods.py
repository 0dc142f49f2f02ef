"""Stress in speech, and nods and lids that move with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from voices import words

from edtalk_core.errors import ArgumentError, MotionError
from edtalk_core.media.audio import Audio
from edtalk_core.media.mel import AudioFeatures, encode_audio
from edtalk_core.media.stress import speech_stresses
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.nods import add_lids, add_nods, speech_nods

BASES = Bases(pose=("roll", "pitch"), expression=("smile", "lids"), lids=Lids(base=1, closed=4.0))
PITCH = 1


@pytest.fixture(scope="module")
def speech() -> AudioFeatures:
    """A voice from 0.5 to 3.5 s and from 4.5 to 6 s, louder for 0.15 s at 1.5 and at 2.5 s."""
    sound = words((0.5, 3.5), (4.5, 6.0), seconds=7.0)
    time = np.arange(sound.samples.shape[1]) / 16_000
    loud = np.any([np.abs(time - middle) < 0.075 for middle in (1.5, 2.5)], axis=0)
    return encode_audio(Audio(sound.samples * np.where(loud, 1.0, 0.06).astype(np.float32), 16_000))


def test_louder_syllables_are_stressed(speech: AudioFeatures):
    stresses = speech_stresses(speech)
    strong = [stress.time for stress in stresses if stress.strength > 0.5]
    assert strong == pytest.approx([1.5, 2.5], abs=0.1)


def test_sounds_without_contrast_have_no_stress():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 48_000)).astype(np.float32)
    assert speech_stresses(encode_audio(Audio(noise, 16_000))) == []
    assert speech_stresses(encode_audio(Audio(np.zeros((1, 48_000), np.float32), 16_000))) == []


def test_the_head_nods_at_stress_and_phrase_ends_and_lids_with_it(speech: AudioFeatures):
    nod, lids = speech_nods(speech)
    assert nod.shape == lids.shape == (175,)
    assert nod[38] > 1
    assert lids[38] < -0.05  # the eyes widen
    assert nod[91] > 0.8  # 0.15 s after the first phrase
    assert lids[91] > 0.15
    assert nod[109] < 0.2
    assert nod.diff().abs().max() < 0.7


def test_nods_are_added_to_the_pitch_alone_and_the_first_frame_stays():
    motion = Motion(pose=torch.ones(20, 2), expression=torch.zeros(20, 2))
    nod = torch.linspace(0.5, 2, 10)
    moved = add_nods(motion, nod, BASES, 2.0)
    assert torch.equal(moved.pose[0], motion.pose[0])
    assert torch.allclose(moved.pose[:10, PITCH], 1 + 2 * (nod - 0.5))
    assert torch.equal(moved.pose[10:], motion.pose[10:])
    assert torch.equal(moved.pose[:, 0], motion.pose[:, 0])
    assert moved.expression is motion.expression or torch.equal(moved.expression, motion.expression)
    assert add_nods(motion, nod, BASES, 0.0).equals(motion)


def test_lids_move_by_shares_of_closed():
    motion = Motion(expression=torch.ones(4, 2))
    moved = add_lids(motion, torch.tensor([0.0, 0.25, -0.1]), BASES, 1.0)
    assert torch.allclose(moved.expression[:, 1], torch.tensor([1.0, 2.0, 0.6, 1.0]))
    assert torch.equal(moved.expression[:, 0], motion.expression[:, 0])


def test_models_without_names_and_amounts_out_of_range():
    motion = Motion(pose=torch.zeros(3, 2), expression=torch.zeros(3, 2))
    with pytest.raises(MotionError, match="does not name the base"):
        add_nods(motion, torch.zeros(3), Bases(), 1.0)
    with pytest.raises(MotionError, match="does not name the base"):
        add_lids(motion, torch.zeros(3), Bases(), 1.0)
    with pytest.raises(ArgumentError, match="amount of nods"):
        add_nods(motion, torch.zeros(3), BASES, 3.5)
