"""Clips are rendered as the protocols say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edtalk_core.data.clips import Clip
from edtalk_core.errors import ArgumentError
from edtalk_core.evaluation.protocols import Reenactment, Speech, reenact
from edtalk_core.media.picture import images_to_pictures, picture_to_image
from edtalk_core.model import EDTalk
from edtalk_core.networks.audio_to_lip import AudioToLip

SIZE = 64


def test_reenactment_renders_the_weights_of_each_frame(moving: EDTalk, held_out: list[Clip]):
    clip, frames = held_out[0], list(range(3, 30, 2))
    rendered = list(reenact(moving, clip, frames))
    assert len(rendered) == len(frames)
    portrait = moving.encode_portrait(picture_to_image(clip.frame(0, SIZE), SIZE))
    with torch.no_grad():
        lip, pose, expression = moving.read_weights(picture_to_image(clip.frame(frames[9], SIZE), SIZE))
        direction, part = moving.directions(lip, pose, expression)
        expected = images_to_pictures(moving.dec(portrait.latent + direction, portrait.features, part))[0]
    assert np.abs(rendered[9].astype(int) - expected).max() <= 1


def test_takes_of_reenactment(moving: EDTalk, held_out: list[Clip]):
    clip = held_out[0]
    takes = {take.name: take for take in Reenactment(moving, held_out).takes(clip)}
    assert list(takes) == ["rendered", "repeat"]
    assert takes["rendered"].frames == range(1, 30)
    for picture in takes["repeat"].render([4, 9]):
        assert np.array_equal(picture, clip.frame(0, SIZE))
    with torch.no_grad():
        (picture,) = takes["rendered"].render([9])
    assert not np.array_equal(picture, clip.frame(0, SIZE))


def test_sound_drives_the_mouth_alone(moving: EDTalk, held_out: list[Clip]):
    moving.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    try:
        protocol = Speech(moving, held_out)
        clip, other = held_out
        with torch.no_grad():
            takes = {take.name: take for take in protocol.takes(clip)}
            pictures = {name: list(take.render([0, 12])) for name, take in takes.items()}
    finally:
        moving.audio_to_lip = None
    assert {name: take.sound for name, take in takes.items()} == {"own": clip, "other": other}
    assert not np.array_equal(pictures["own"][0], pictures["other"][0])
    assert takes["own"].face.landmarks(3) == pytest.approx((clip.points[3] + 1) / 2)


def test_other_sound_is_of_the_next_clip_of_another_person(copying: EDTalk, held_out: list[Clip]):
    copying.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    try:
        protocol = Speech(copying, held_out)
        alone = Speech(copying, held_out[:1])
    finally:
        copying.audio_to_lip = None
    assert [protocol.other_speaker(clip) for clip in held_out] == held_out[::-1]
    assert alone.other_speaker(held_out[0]) is None


def test_clips_without_speech_are_not_driven_by_sound(
    copying: EDTalk, held_out: list[Clip], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(held_out[1], "mel", None)
    copying.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    try:
        protocol = Speech(copying, held_out)
        monkeypatch.setattr(held_out[0], "landmarks", np.repeat(held_out[0].landmarks[:1], 30, axis=0))
        with torch.no_grad():
            takes = list(protocol.takes(held_out[0]))
    finally:
        copying.audio_to_lip = None
    assert protocol.clips == [held_out[0]]
    assert takes == []  # its mouth does not move now


def test_mouth_needs_the_network(copying: EDTalk, held_out: list[Clip]):
    with pytest.raises(ArgumentError, match="audio-to-lip"):
        Speech(copying, held_out)
