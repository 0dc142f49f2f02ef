"""Emotion of voices, and of voice and words together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from voices import words as voice

from edtalk_core.builtin_files import builtin_file
from edtalk_core.data.emotional_speech import read_recordings
from edtalk_core.emotion.fusion import fuse, intensities, sentence_spans, words_over_time
from edtalk_core.emotion.keys import timeline_text
from edtalk_core.emotion.speech import load_speech_emotion
from edtalk_core.emotion.text import load_text_emotion
from edtalk_core.media.audio import read_audio
from edtalk_core.media.mel import AudioFeatures, encode_audio
from edtalk_core.media.transcript import Cue
from edtalk_core.motion.presets import EMOTIONS
from edtalk_core.motion.timeline import parse_timeline

HAPPY, NEUTRAL, SAD = (EMOTIONS.index(name) for name in ("happy", "neutral", "sad"))


def probabilities(frames: int, **shares: float) -> torch.Tensor:
    values = torch.zeros(frames, 8)
    for emotion, share in shares.items():
        values[:, EMOTIONS.index(emotion)] = share
    return values


@pytest.fixture(scope="module")
def talk() -> AudioFeatures:
    """Four seconds of a voice, then four of silence, then two of the voice."""
    return encode_audio(voice((0.0, 4.0), (8.0, 10.0), seconds=10.0))


def test_the_voice_is_judged_in_every_frame(talk: AudioFeatures):
    judged = load_speech_emotion().over_time(talk)
    assert judged.shape == (250, 9)
    assert torch.allclose(judged.sum(1), torch.ones(250), atol=1e-5)
    assert judged.diff(dim=0).abs().max() < 0.5


@pytest.mark.parametrize("seconds", [0.04, 0.5, 1.0])
def test_short_sounds(seconds: float):
    features = encode_audio(voice((0.0, seconds), seconds=seconds))
    assert load_speech_emotion().over_time(features).shape == (features.frames, 9)


def test_the_level_of_a_recording_says_nothing():
    speech = read_audio(builtin_file("examples/speech.flac"))
    quiet = read_audio(speech.samples * 0.2, speech.sample_rate)
    loud, soft = (load_speech_emotion().over_time(encode_audio(sound)) for sound in (speech, quiet))
    assert (loud - soft).abs().mean() < 0.03


@pytest.mark.parametrize("name", ["styletalk_Obama_clip1.wav", "sadtalker_chinese_news.wav"])
def test_ordinary_speech_leaves_the_face_at_rest(name: str, shared: Path):
    features = encode_audio(read_audio(shared / "data" / "speech" / name))
    fused = fuse(load_speech_emotion().over_time(features), None, None)
    assert intensities(fused, EMOTIONS, features, 0.8).amax(1).mean() < 0.2


def test_noise_is_no_speech():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 80_000)).astype(np.float32)
    judged = load_speech_emotion().over_time(encode_audio(read_audio(noise, 16_000)))
    assert judged[:, -1].mean() > 0.5


def test_unseen_speakers_are_recognised_above_chance(shared: Path):
    """The published figures are by tools/measure_emotions.py; this is a sample of them."""
    recordings = read_recordings(shared / "data" / "manifest.tsv", ("holdout",))
    right = []
    for recording in recordings:
        if "ravdess" in recording.path:
            features = AudioFeatures(recording.mel, max(1, len(recording.mel) * 25 // 80), len(recording.mel) / 80)
            judged = load_speech_emotion().over_time(features)
            right.append(EMOTIONS[int(judged[:, :-1].mean(0).argmax())] == recording.emotion)
    assert len(right) > 40
    assert np.mean(right) > 0.55  # chance is 0.14


def test_words_join_to_sentences():
    words = [
        Cue(0.0, 0.3, "I"),
        Cue(0.3, 0.6, "won!"),
        Cue(0.7, 1.0, "You"),
        Cue(1.0, 1.4, "lost"),
        Cue(3.0, 3.4, "so"),
    ]
    assert sentence_spans(words) == [Cue(0.0, 0.6, "I won!"), Cue(0.7, 1.4, "You lost"), Cue(3.0, 3.4, "so")]


def test_words_count_while_they_are_said():
    words = [Cue(1.0, 1.2, "I"), Cue(1.2, 1.5, "love"), Cue(1.5, 1.8, "it!")]
    judged, said = words_over_time(words, 100, load_text_emotion())
    assert torch.equal(said.nonzero()[:, 0], torch.arange(25, 55))  # to 0.4 s after the last word
    assert int(judged[30].argmax()) == HAPPY
    voice = torch.cat([probabilities(100, sad=1.0), torch.zeros(100, 1)], 1)
    fused = fuse(voice, judged, said)
    assert fused[0, SAD] == 1
    assert fused[30, SAD] == pytest.approx(0.3 + 0.7 * float(judged[30, SAD]))


def test_what_is_no_speech_counts_as_neutral():
    voice = torch.cat([probabilities(4, happy=0.2, neutral=0.1), torch.full((4, 1), 0.7)], 1)
    assert fuse(voice, None, None)[0, NEUTRAL] == pytest.approx(0.8)


def test_sure_emotions_show_and_neutral_ones_do_not(talk: AudioFeatures):
    assert intensities(probabilities(250, happy=0.9, neutral=0.1), EMOTIONS, talk, 0.8)[50, HAPPY] > 0.9
    assert intensities(probabilities(250, happy=0.3, neutral=0.5, sad=0.2), EMOTIONS, talk, 0.8).amax() == 0
    weak = intensities(probabilities(250, happy=0.5, neutral=0.25, sad=0.25), EMOTIONS, talk, 0.8)
    assert 0.1 < weak[50, HAPPY] < 0.9


def test_emotions_that_are_not_allowed_do_not_show(talk: AudioFeatures):
    shown = intensities(probabilities(250, happy=0.9, neutral=0.1), ("sad", "neutral"), talk, 0.8)
    assert shown.amax() == 0


def test_silence_is_at_rest_and_changes_are_smooth(talk: AudioFeatures):
    shown = intensities(probabilities(250, happy=0.9, neutral=0.1), EMOTIONS, talk, 0.8)[:, HAPPY]
    assert shown[150] < 0.02
    assert shown[60] > 0.9
    assert shown[225] > 0.9
    assert shown.diff().abs().max() < 0.1
    slow = intensities(probabilities(250, happy=0.9, neutral=0.1), EMOTIONS, talk, 3.0)[:, HAPPY]
    assert slow.diff().abs().max() < 0.5 * shown.diff().abs().max()


def test_few_keys_say_what_the_intensities_say():
    time = torch.arange(500) / 25
    values = torch.zeros(500, 8)
    values[:, HAPPY] = torch.exp(-0.5 * ((time - 5) / 1.5) ** 2)
    values[:, SAD] = 0.7 * torch.exp(-0.5 * ((time - 14) / 2) ** 2)
    text = timeline_text(values, 1.0, [Cue(4.0, 4.4, "lovely"), Cue(13.0, 13.5, "alas # not")])
    keys = parse_timeline(text)
    assert len(keys) <= 16
    assert {key.value[0] for key in keys} == {"own", "happy", "sad"}
    assert max(key.value[1] for key in keys if key.value[0] == "happy") == pytest.approx(1.0, abs=0.02)
    assert max(key.value[1] for key in keys if key.value[0] == "sad") == pytest.approx(0.7, abs=0.02)
    assert "# lovely" in text
    assert "alas # not" in text
    strong = parse_timeline(timeline_text(values, 10.0))
    assert max(key.value[1] for key in strong) == 5.0
    assert timeline_text(torch.zeros(1, 8), 1.0) == "0.00s own"


def test_flickers_are_left_out():
    values = torch.zeros(100, 8)
    values[20:80, HAPPY] = 0.8
    values[50:52, HAPPY], values[50:52, SAD] = 0.0, 0.5
    assert "sad" not in timeline_text(values, 1.0)
