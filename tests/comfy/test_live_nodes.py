"""Face Editor and Motion Timeline, as ComfyUI runs them, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import MotionError
from comfyui_edtalk.edtalk_core.motion.motion import Motion
from comfyui_edtalk.nodes.face_editor import FaceEditor
from comfyui_edtalk.nodes.model import DEMO, LoadModel
from comfyui_edtalk.nodes.motion_timeline import MotionTimeline
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.sockets import EncodedPortrait
from node_calls import execute


@pytest.fixture(scope="module")
def portrait() -> EncodedPortrait:
    """A picture of noise, encoded by the demo model: it has no face, so no handles."""
    with torch.inference_mode():
        image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
        return LoadPortrait.execute(LoadModel.execute(DEMO, "fp32").args[0], image, "none", 0, "", 0).args[0]


def edit(**parts: Any) -> str:
    return json.dumps({"format": "edtalk-edit", "format_version": 1, **parts})


def performance(**parts: Any) -> str:
    return json.dumps({"format": "edtalk-performance", "format_version": 1, **parts})


def test_an_edit_is_added_to_the_portraits_own(portrait: EncodedPortrait):
    motion, text = execute(FaceEditor, portrait=portrait, edit=edit(expression={"smile": 2}, pose={"yaw": 0})).args
    change = motion.track("expression") - portrait.own.track("expression")
    assert change[0, 1] == pytest.approx(2)
    assert torch.equal(motion.track("pose"), portrait.own.track("pose"))
    assert json.loads(text)["expression"] == {"smile": 2}
    assert "pose" not in text


def test_an_edit_is_added_to_every_frame_of_a_motion(portrait: EncodedPortrait):
    moving = Motion(expression=torch.randn(5, 10))
    motion = execute(FaceEditor, portrait=portrait, motion=moving, edit=edit(expression={"smile": 2})).args[0]
    assert motion.frames == 5
    assert torch.allclose(motion.track("expression")[:, 1], moving.track("expression")[:, 1] + 2)


def test_a_wrong_edit_names_what_there_is(portrait: EncodedPortrait):
    with pytest.raises(MotionError, match="Did you mean smile"):
        execute(FaceEditor, portrait=portrait, edit=edit(expression={"smil": 2}))


def test_a_performance_lasts_as_long_as_its_sound(portrait: EncodedPortrait):
    sound = {"waveform": torch.zeros(1, 1, 48_000), "sample_rate": 16_000}
    motion, text, emotions = execute(
        MotionTimeline, portrait=portrait, performance=performance(emotions="1 happy", blinks=[1.0]), audio=sound
    ).args
    assert motion.frames == 75
    assert emotions == "1 happy"
    assert json.loads(text)["blinks"] == [1.0]
    assert execute(MotionTimeline, portrait=portrait, seconds=2.0, audio=sound).args[0].frames == 50


def test_wired_emotions_take_the_place_of_the_timelines(portrait: EncodedPortrait):
    motion, _, emotions = execute(
        MotionTimeline, portrait=portrait, performance=performance(emotions="0 sad"), emotions="0 happy", seconds=1.0
    ).args
    assert emotions == "0 happy"
    preset = torch.tensor(portrait.model.edtalk.presets["happy"])
    assert torch.allclose(motion.track("expression")[0], preset, atol=1e-5)
