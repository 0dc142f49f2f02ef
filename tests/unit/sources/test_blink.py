"""Blinks of portraits, by the base that a model names and by what its encoder reads; pauses in speech."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from voices import words

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints import load_model
from edtalk_core.errors import ArgumentError, FaceError, MotionError
from edtalk_core.face.crop import Crop
from edtalk_core.media.mel import encode_audio
from edtalk_core.media.picture import picture_to_image, read_picture
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.motion import Motion
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.portrait import portrait_from_picture
from edtalk_core.sources.blink import _close_eyes, _eyes, _render, blink_motion, read_closed_eyes

LIDS, CLOSED = 8, 3.0


@pytest.fixture(scope="module")
def named(tiny_bundle) -> EDTalk:
    """A tiny model that names the base of the lids."""
    model = load_model(tiny_bundle)
    model.bases = Bases(lids=Lids(LIDS, CLOSED))
    return model


@pytest.fixture(scope="module")
def portrait(named: EDTalk) -> Portrait:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        return named.encode_portrait(image)


@pytest.fixture(scope="module")
def demo() -> EDTalk:
    model = load_model("demo")
    model.bases = Bases()
    return model


@pytest.fixture(scope="module")
def face(demo: EDTalk) -> tuple[Portrait, Crop]:
    return portrait_from_picture(demo, read_picture(builtin_file("examples/generated.jpg")))


def test_the_named_base_of_the_lids_closes_the_eyes_and_nothing_else_moves(named: EDTalk, portrait: Portrait):
    blinking, blinks = blink_motion(named, portrait, None, duration=20.0, seed=1)
    assert 2 <= len(blinks) <= 12
    assert list(blinking.tracks) == ["expression"]
    assert (blinking.frames, blinking.fps) == (500, 25.0)
    added = blinking.track("expression") - portrait.own.track("expression")
    for blink in blinks:
        assert added[round(blink.middle * 25), LIDS] == pytest.approx(CLOSED, abs=1e-5)
    assert added[:, LIDS].min() >= -1e-6
    assert added[:, LIDS].max() <= CLOSED + 1e-5
    assert added[:, [base for base in range(10) if base != LIDS]].abs().max() == 0
    assert (added[:, LIDS] < 1e-6).float().mean() > 0.8


def test_lids_that_an_expression_closes_are_not_closed_further(named: EDTalk, portrait: Portrait):
    own = portrait.own.track("expression")
    expression = own.repeat(500, 1)
    expression[:, LIDS] += CLOSED * torch.linspace(-1, 1.5, 500)
    expression[:, 0] += torch.linspace(0, 3, 500)
    blinking, blinks = blink_motion(named, portrait, None, Motion(expression=expression), rate=40, seed=2)
    closure = (blinking.track("expression")[:, LIDS] - own[0, LIDS]) / CLOSED
    before = (expression[:, LIDS] - own[0, LIDS]) / CLOSED
    for blink in blinks:
        frame = round(blink.middle * 25)
        assert closure[frame] == pytest.approx(max(1.0, float(before[frame])), abs=1e-5)
    assert (closure >= before - 1e-6).all()
    assert torch.equal(blinking.track("expression")[:, 0], expression[:, 0])


def test_strength_leaves_the_eyes_partly_open(named: EDTalk, portrait: Portrait):
    (blinking, blinks), (half, _) = (
        blink_motion(named, portrait, None, duration=20.0, strength=strength) for strength in (1.0, 0.5)
    )
    own = portrait.own.track("expression")
    assert blinks
    assert torch.allclose(2 * (half.track("expression") - own), blinking.track("expression") - own, atol=1e-5)


def test_lids_that_close_by_a_negative_weight(portrait: Portrait, tiny_bundle):
    model = load_model(tiny_bundle)
    model.bases = Bases(lids=Lids(2, -1.5))
    blinking, blinks = blink_motion(model, portrait, None, duration=20.0)
    added = (blinking.track("expression") - portrait.own.track("expression"))[:, 2]
    assert added[round(blinks[0].middle * 25)] == pytest.approx(-1.5, abs=1e-5)
    assert added.max() <= 1e-6


@pytest.mark.parametrize("fps", [8.0, 25.0, 30.0])
def test_other_tracks_length_and_rate_stay(named: EDTalk, portrait: Portrait, fps: float):
    motion = Motion(lip=torch.randn(160, 20), pose=torch.randn(160, 6), fps=fps)
    blinking, blinks = blink_motion(named, portrait, None, motion, rate=30)
    assert (blinking.frames, blinking.fps) == (160, fps)
    assert torch.equal(blinking.track("lip"), motion.track("lip"))
    assert torch.equal(blinking.track("pose"), motion.track("pose"))
    assert blinks
    assert all(blink.end <= 160 / fps for blink in blinks)


def test_a_single_frame_lasts_as_long_as_the_speech_or_as_told(named: EDTalk, portrait: Portrait):
    smile = Motion(expression=torch.ones(1, 10))
    speech = encode_audio(words((0.0, 3.0), seconds=4.0))
    assert blink_motion(named, portrait, None, smile, audio=speech)[0].frames == 100
    assert blink_motion(named, portrait, None, smile, audio=speech, duration=2.0)[0].frames == 50
    assert blink_motion(named, portrait, None, smile, duration=3.0)[0].frames == 75
    with pytest.raises(ArgumentError, match="need a duration"):
        blink_motion(named, portrait, None, smile)


def test_speech_moves_blinks_to_its_pauses(named: EDTalk, portrait: Portrait):
    speech = words((0, 3.0), (4.0, 7.0), (8.0, 11.0), seconds=12.0)
    starts = [
        blink.start for seed in range(60) for blink in blink_motion(named, portrait, None, audio=speech, seed=seed)[1]
    ]
    ends = np.mean([any(end - 0.1 <= start < end + 0.5 for end in (3.0, 7.0, 11.0)) for start in starts])
    assert ends > 0.35  # of a share of the time of 0.15


def test_no_rate_leaves_the_motion_as_it_is(named: EDTalk, portrait: Portrait):
    motion = Motion(expression=torch.randn(100, 10))
    blinking, blinks = blink_motion(named, portrait, None, motion, rate=0)
    assert blinks == ()
    assert blinking.equals(motion)


def test_a_model_without_expressions_cannot_blink():
    torch.manual_seed(0)
    model = EDTalk(ModelSizes(resolution=16, style=32, expression=0, channels={4: 4, 8: 4, 16: 6})).eval()
    with torch.no_grad():
        portrait = model.encode_portrait(torch.zeros(1, 3, 16, 16))
    with pytest.raises(MotionError, match=r"lip\+pose model"):
        blink_motion(model, portrait, None, duration=2.0)


def test_a_motion_of_another_model(named: EDTalk, portrait: Portrait):
    with pytest.raises(MotionError, match="8 weights"):
        blink_motion(named, portrait, None, Motion(expression=torch.zeros(100, 8)))


# Models that name no base


def test_closed_eyes_are_read_off_the_warped_portrait(demo: EDTalk, face: tuple[Portrait, Crop]):
    """With the change that is read the rendered eyes come nearer to closed ones; with its opposite they do not."""
    portrait, crop = face
    change = read_closed_eyes(demo, portrait, crop)
    assert change.shape == (10,)
    assert not change.is_inference()
    assert 0 < change.norm() < 10
    assert crop.face is not None
    assert crop.face.landmarks is not None
    landmarks = np.asarray(crop.face.landmarks) @ crop.matrix[:, :2].T + crop.matrix[:, 2]
    closed = picture_to_image(_close_eyes(crop.picture, landmarks), 256)
    eyes = torch.from_numpy(_eyes(landmarks, 256))
    with torch.no_grad():
        rest, blink, wide = (
            float((_render(demo, portrait, factor * change) - closed)[..., eyes].abs().mean()) for factor in (0, 1, -1)
        )
    assert blink < 0.7 * rest
    assert wide > 0.9 * rest


def test_without_names_a_blink_adds_what_was_read(demo: EDTalk, face: tuple[Portrait, Crop]):
    portrait, crop = face
    change = read_closed_eyes(demo, portrait, crop)
    blinking, blinks = blink_motion(demo, portrait, crop, duration=10.0, rate=30)
    added = blinking.track("expression") - portrait.own.track("expression")
    assert torch.allclose(added[round(blinks[0].middle * 25)], change, atol=1e-5)
    assert added[0].abs().max() == 0


def test_landmarks_are_looked_for_in_a_crop_that_was_made_without_them(demo: EDTalk, face: tuple[Portrait, Crop]):
    portrait, crop = face
    change = read_closed_eyes(demo, portrait, crop)
    without = read_closed_eyes(demo, portrait, replace(crop, face=None))
    assert torch.nn.functional.cosine_similarity(change, without, dim=0) > 0.8


def test_a_portrait_without_a_face_says_so(demo: EDTalk, face: tuple[Portrait, Crop]):
    portrait, crop = face
    empty = replace(crop, picture=np.full_like(crop.picture, 128), face=None)
    for unknown in (empty, None):
        with pytest.raises(FaceError, match="no landmarks of a face"):
            blink_motion(demo, portrait, unknown, duration=10.0)
