"""Blink, as ComfyUI runs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import FaceError
from comfyui_edtalk.edtalk_core.media.audio import Audio
from comfyui_edtalk.edtalk_core.media.mel import encode_audio
from comfyui_edtalk.edtalk_core.motion.bases import Bases, Lids
from comfyui_edtalk.edtalk_core.motion.motion import Motion
from comfyui_edtalk.nodes.blink import Blink
from comfyui_edtalk.nodes.model import DEMO, LoadModel
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.sockets import EncodedPortrait
from node_calls import execute


@pytest.fixture(scope="module")
def portrait() -> EncodedPortrait:
    """A picture of noise, encoded by the demo model."""
    with torch.inference_mode():
        image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
        return LoadPortrait.execute(LoadModel.execute(DEMO, "fp32").args[0], image, "none", 0, "", 0).args[0]


@pytest.fixture
def named(portrait: EncodedPortrait, monkeypatch: pytest.MonkeyPatch) -> EncodedPortrait:
    """The same, by a model that names the base of the lids."""
    monkeypatch.setattr(portrait.model.edtalk, "bases", Bases(lids=Lids(8, 3.0)))
    return portrait


def blinking(**inputs: Any) -> Motion:
    return execute(Blink, **inputs).args[0]


def test_the_portraits_own_expression_blinks(named: EncodedPortrait):
    motion = blinking(portrait=named, seconds=10.0, seed=1)
    added = motion.track("expression") - named.own.track("expression")
    assert motion.frames == 250
    assert added[:, 8].max() == pytest.approx(3.0, abs=1e-5)
    assert added[:, :8].abs().max() == 0
    assert motion.equals(blinking(portrait=named, seconds=10.0, seed=1))
    assert not motion.equals(blinking(portrait=named, seconds=10.0, seed=2), 0.1)


def test_a_motion_keeps_its_tracks_and_length(named: EncodedPortrait):
    motion = Motion(lip=torch.randn(200, 20), expression=torch.randn(200, 10), fps=20)
    result = blinking(portrait=named, motion=motion, rate=30.0)
    assert (result.frames, result.fps) == (200, 20)
    assert torch.equal(result.track("lip"), motion.track("lip"))
    assert not torch.equal(result.track("expression"), motion.track("expression"))
    assert torch.equal(blinking(portrait=named, motion=motion, rate=0.0).track("expression"), motion.expression)


def test_a_single_frame_lasts_as_long_as_the_features(named: EncodedPortrait):
    features = encode_audio(Audio(np.random.default_rng(0).normal(0, 0.1, (1, 3 * 16_000)).astype(np.float32), 16_000))
    smile = Motion(expression=torch.ones(1, 10))
    assert blinking(portrait=named, motion=smile, features=features).frames == 75
    assert blinking(portrait=named, motion=smile, seconds=2.0).frames == 50


def test_a_portrait_without_a_face_says_what_to_do(portrait: EncodedPortrait, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(portrait.model.edtalk, "bases", Bases())
    with pytest.raises(FaceError, match="no landmarks of a face fit it"):
        blinking(portrait=portrait)
