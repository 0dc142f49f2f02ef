"""Performances of a portrait: what they add to other motion, and how long they last."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from edtalk_core.checkpoints import load_model
from edtalk_core.errors import MotionError
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.length import length_of_duration
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.performances import Performance, parse_performance
from edtalk_core.motion.timeline import expression_timeline
from edtalk_core.sources.performance import Performer, performance_length


@pytest.fixture(scope="module")
def model(tiny_bundle) -> EDTalk:
    model = load_model(tiny_bundle)
    model.bases = Bases(pose=("x", "y", "size", "roll", "yaw", "pitch"), lids=Lids(8, 3.0))
    model.presets = {"happy": (1.0,) * 10}
    return model


@pytest.fixture(scope="module")
def portrait(model: EDTalk) -> Portrait:
    with torch.no_grad():
        return model.encode_portrait(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def perform(model: EDTalk, portrait: Portrait, seconds: float = 2.0, sources: dict[str, Motion] | None = None, **parts):
    performance = parse_performance(json.dumps({"format": "edtalk-performance", "format_version": 1, **parts}))
    return Performer(model, portrait, None, sources or {}, length_of_duration(seconds, 25)).perform(performance)


def test_without_keys_it_is_the_portraits_own(model, portrait):
    motion = perform(model, portrait)
    assert motion.frames == 50
    assert list(motion.tracks) == ["lip", "pose", "expression"]
    for name, track in motion.tracks.items():
        assert torch.equal(track, portrait.own.track(name).expand(50, -1))


def test_emotions_are_those_of_the_timeline(model, portrait):
    text = "0 own\n1 happy:0.5 ease-in-out"
    expected = expression_timeline(text, model.presets, portrait.own, 2.0).track("expression")
    assert torch.allclose(perform(model, portrait, emotions=text).track("expression"), expected, atol=1e-5)


def test_emotions_are_added_to_an_expression(model, portrait):
    moving = Motion(expression=torch.randn(50, 10))
    motion = perform(model, portrait, sources={"expression": moving}, emotions="0 happy")
    change = torch.ones(10) - portrait.own.track("expression")
    assert torch.allclose(motion.track("expression"), moving.track("expression") + change, atol=1e-5)


def test_the_head_moves_between_its_keys(model, portrait):
    change = perform(model, portrait, head=[{"time": 0.4}, {"time": 0.8, "pitch": 3, "4": 1}, {"time": 1.2}]).track(
        "pose"
    ) - portrait.own.track("pose")
    assert change[:11].abs().max() < 1e-6
    assert change[15, 5] == pytest.approx(1.5, abs=1e-5)
    assert change[20].tolist() == pytest.approx([0, 0, 0, 0, 1, 3], abs=1e-5)
    assert change[30:].abs().max() == pytest.approx(0, abs=1e-6)


def test_eyes_are_closed_at_the_time_of_a_blink(model, portrait):
    lids = (perform(model, portrait, blinks=[1.0]).track("expression") - portrait.own.track("expression"))[:, 8]
    assert lids[25] == pytest.approx(3.0, abs=1e-5)
    assert lids[:22].abs().max() == lids[29:].abs().max() == 0


def test_the_mouth_is_scaled_about_the_portraits(model, portrait):
    spoken = Motion(lip=torch.randn(50, 20))
    motion = perform(model, portrait, sources={"lip": spoken}, mouth=[{"time": 0, "gain": 0}, {"time": 1, "gain": 2}])
    own = portrait.own.track("lip")
    assert torch.allclose(motion.track("lip")[0], own[0], atol=1e-6)
    assert torch.allclose(motion.track("lip")[30], own[0] + 2 * (spoken.track("lip")[30] - own[0]), atol=1e-5)


def test_an_unknown_base_names_the_time(model, portrait):
    with pytest.raises(MotionError, match=r"at 0\.5 s.*yaw"):
        perform(model, portrait, head=[{"time": 0.5, "jaw": 1}])


def test_an_unknown_emotion_names_its_line(model, portrait):
    with pytest.raises(MotionError, match=r"line 1.*happy"):
        perform(model, portrait, emotions="0 hapy")


def test_its_length():
    performance = replace(Performance(), blinks=(1.0, 3.0))
    assert performance_length(performance, {}, 25).frames == 76
    assert performance_length(Performance(), {}, 25).frames == 1
    assert performance_length(performance, {"audio": 2.0, "pose": 9.0}, 25).frames == 50
    assert performance_length(performance, {"audio": 2.0}, 25, duration=4.0).frames == 100
