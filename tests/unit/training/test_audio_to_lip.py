"""Speech and mouths of samples belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_training import tiny_settings

from edtalk_core.data.clips import Clip
from edtalk_core.training.audio_to_lip import AudioToLipSettings, SpeechSampler
from edtalk_core.training.loop import starting_model
from edtalk_core.training.speech_variations import interpolate_rows, paced_windows


def test_sound_and_mouth_keep_together_at_another_pace(face_store: Path):
    clip = Clip(face_store / "anna.safetensors")
    assert clip.mel is not None
    frames = np.arange(3.0, 10.0)
    assert np.allclose(paced_windows(clip, frames, 1.0), clip.mel_windows(frames.astype(int)))
    # At half the pace the window's middle stays, and what surrounds it comes from half as far.
    slow = paced_windows(clip, frames, 0.5)
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
