"""Speech and mouths of samples belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import tiny_settings

from edtalk_core.data.clips import Clip, ClipStore
from edtalk_core.data.phonetic_speech import Phone, Utterance, write_phonetic_speech
from edtalk_core.errors import ArgumentError
from edtalk_core.motion.operations import smooth
from edtalk_core.training.audio_to_lip import AudioToLipSettings, AudioToLipStage, SpeechSampler, fit_shapes
from edtalk_core.training.loop import starting_model
from edtalk_core.training.speech_variations import interpolate_rows, paced_windows


def test_sound_and_mouth_keep_together_at_another_pace(face_store: Path):
    clip = Clip(face_store / "anna.safetensors")
    assert clip.mel is not None
    frames = np.arange(3.0, 10.0)
    assert np.allclose(paced_windows(clip.mel, frames, 1.0), clip.mel_windows(frames.astype(int)))
    # At half the pace the window's middle stays, and what surrounds it comes from half as far.
    slow = paced_windows(clip.mel, frames, 0.5)
    own = clip.mel_windows(frames.astype(int))
    assert np.allclose(slow[:, :, 8], own[:, :, 8])
    assert np.allclose(slow[:, :, 12], own[:, :, 10])
    assert np.allclose(
        interpolate_rows(np.array([[0.0], [2.0]], np.float32), np.array([-1.0, 0.25, 5.0])), [[0], [0.5], [2]]
    )


def test_labels_are_in_step_with_the_sound(face_store: Path, tmp_path: Path):
    """A clip's mouth that comes 2 frames late is learned with the sound of 2 frames before."""
    settings = tiny_settings("audio-to-lip", face_store, tmp_path, measured_weights=True, align_sound=True)
    assert isinstance(settings, AudioToLipSettings)
    sampler = SpeechSampler(starting_model(settings), settings)
    for offset in (-2, 0, 2):
        sampler.offsets = dict.fromkeys(sampler.offsets, offset)
        batch = sampler.draw(np.random.default_rng(4), 4)
        for windows, lips in zip(batch["windows"].numpy(), batch["lip"].numpy(), strict=True):
            expected = []
            for clip in sampler.store.clips:
                places = np.arange(max(0, -offset), len(clip) - max(0, offset))
                own = clip.mel_windows(places)
                first = np.abs(own - windows[0]).sum((1, 2)).argmin()
                if np.array_equal(own[first : first + len(windows)], windows):
                    frames = places[first] + offset + np.arange(len(windows))
                    expected.append(
                        interpolate_rows(sampler.tracks[clip.info.name]["lip"].numpy(), frames.astype(float))
                    )
            assert any(np.allclose(own, lips, atol=1e-5) for own in expected)


@pytest.fixture
def phonetic_settings(face_store: Path, tmp_path: Path) -> AudioToLipSettings:
    """Settings with half of each batch from a sound that is loud in its vowel and silent elsewhere."""
    mel = np.full((161, 80), -4.0, np.float32)
    mel[64:97] = 1.0
    phones = (Phone("SIL", 0.0, 0.7), Phone("M", 0.7, 0.8), Phone("AA", 0.8, 1.2), Phone("SIL", 1.2, 2.0))
    path = tmp_path / "phonetic.safetensors"
    write_phonetic_speech(path, [Utterance(mel, phones)], "a test")
    settings = tiny_settings(
        *("audio-to-lip", face_store, tmp_path),
        measured_weights=True,
        phonetic_speech=str(path),
        phonetic_share=0.5,
        smooth_predictions=True,
        opening_curve=[[-9, -12], [0, 3], [9, 9]],
    )
    assert isinstance(settings, AudioToLipSettings)
    return settings


def test_phonetic_speech_opens_the_mouth_in_vowels(phonetic_settings: AudioToLipSettings):
    """Loud windows are those of the vowel."""
    sampler = SpeechSampler(starting_model(phonetic_settings), phonetic_settings)
    rng = np.random.default_rng(0)
    batches = [sampler.draw(rng, 4) for _ in range(8)]
    loudness = torch.cat([batch["windows"][2:, :, :, 8].mean(-1) for batch in batches]).flatten()
    opening = torch.cat([batch["lip"][2:, :, 0] for batch in batches]).flatten()
    assert opening[loudness > 0.5].min() > opening[loudness < -3.5].median()
    # Images are those of the clips, which are the others.
    assert all(len(batch["sources"]) == 2 for batch in batches)


def test_shapes_are_fitted_by_the_mouths_of_clips(phonetic_settings: AudioToLipSettings):
    """Wherever the weights come from: here opening and width themselves, and a constant."""
    clips = ClipStore(phonetic_settings.data, speech=True).clips
    sampler = SpeechSampler(starting_model(phonetic_settings), phonetic_settings)
    weights = [(clip, sampler.tracks[clip.info.name]["lip"].numpy()) for clip in clips]
    closed, opened = fit_shapes(weights)(np.array([[0, 0], [1, 0]], np.float32))
    assert opened[0] > closed[0] + 1
    low, high = np.percentile(np.concatenate([lip[:, 0] for _, lip in weights]), (5, 95))
    assert low - 2 < closed[0] < opened[0] < high + 4


def test_smoothed_predictions_are_compared(phonetic_settings: AudioToLipSettings):
    """The loss is that of `smooth`, without the frames at the ends, which have one neighbour only."""
    torch.manual_seed(0)
    stage = AudioToLipStage(AudioToLipStage.starting_model(phonetic_settings), phonetic_settings)
    batch = stage.batch(np.random.default_rng(1))
    stage.eval()
    assert stage.model.audio_to_lip is not None
    with torch.no_grad():
        losses = stage(batch)
        predicted = [smooth(stage.model.audio_to_lip(windows))[1:-1] for windows in batch["windows"]]
    error = (torch.stack(predicted) - batch["lip"][:, 1:-1]) / stage.sampler.spread
    assert losses["weights"].item() == pytest.approx(error.square().mean().item(), rel=1e-4)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_opening_follows_its_curve(phonetic_settings: AudioToLipSettings):
    changed = phonetic_settings.changed_opening(np.array([[-20, 1], [-4.5, 2], [0, 3], [3, 4]], np.float32))
    assert changed.tolist() == [[-12, 1], [-4.5, 2], [3, 3], [5, 4]]
    sampler = SpeechSampler(starting_model(phonetic_settings), phonetic_settings)
    batch = sampler.draw(np.random.default_rng(3), 4)
    assert batch["lip"][..., 0].min() >= -12


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"opening_curve": ((0.0, 1.0), (0.0, 2.0))}, "ascend"),
        ({"phonetic_share": 0.5, "measured_weights": True}, "phonetic_speech"),
        ({"phonetic_share": 0.5, "phonetic_speech": "file"}, "measured_weights"),
        ({"phonetic_share": 1.0, "phonetic_speech": "file", "measured_weights": True}, "none of the 4 samples"),
        ({"smooth_predictions": True, "sequence_frames": 6}, "at least 7"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, Any], message: str):
    with pytest.raises(ArgumentError, match=message):
        AudioToLipSettings(data="store", out="run", **values)
