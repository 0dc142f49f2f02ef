"""Expression presets read off clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.checkpoints.loading import load_model
from edtalk_core.data.clips import ClipStore
from edtalk_core.data.presets import mean_weights, peak_weights, read_presets
from edtalk_core.errors import ArgumentError


def test_preset_is_the_height_of_an_emotion_as_strong_as_people_show_it():
    course = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, -1.0], [3.0, 1.0], [4.0, -2.0], [5.0, 0.0]])
    assert torch.equal(peak_weights(course), torch.tensor([4.5, -1.0]))
    one, other = torch.tensor([3.0, 4.0]), torch.tensor([3.0, -4.0])
    assert torch.equal(mean_weights([one, other], keep_strength=False), torch.tensor([3.0, 0.0]))
    assert torch.allclose(mean_weights([one, other], keep_strength=True), torch.tensor([5.0, 0.0]))
    assert torch.allclose(mean_weights([one, -one + 1e-4], keep_strength=True), torch.zeros(2), atol=1e-3)
    assert mean_weights([torch.zeros(2)], keep_strength=True).tolist() == [0, 0]


def test_presets_are_as_strong_as_asked_for(face_store: Path, tiny_bundle: Path):
    model, store = load_model(tiny_bundle), ClipStore(face_store)
    with pytest.raises(ArgumentError, match="measured"):
        read_presets(model, store, strength=2.0)
    anna = next(clip.info for clip in store.clips if clip.info.name == "anna")
    for clip, emotion in zip(store.clips, ("neutral", "happy", "sad", "happy"), strict=True):
        clip.info = dataclasses.replace(clip.info, person=anna.person, emotion=emotion)
    once, twice = (read_presets(model, store, measured=True, strength=times) for times in (1.0, 2.0))
    assert set(once) == {"neutral", "happy", "sad"}
    assert np.abs(once["neutral"]).max() < 0.01
    for emotion in ("happy", "sad"):
        assert np.abs(once[emotion]).max() > 0.05
        assert np.asarray(twice[emotion]) == pytest.approx(2 * np.asarray(once[emotion]), abs=2e-3)
