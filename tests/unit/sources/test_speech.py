"""Expressions from speech: a motion, its timeline, and what is said about what was not understood."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from voices import words as voice

from edtalk_core.checkpoints import load_model
from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.media.audio import Audio
from edtalk_core.media.mel import AudioFeatures, encode_audio
from edtalk_core.media.transcript import Cue, Transcript, parse_transcript, read_transcript
from edtalk_core.model import EDTalk
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.presets import EMOTIONS
from edtalk_core.sources.speech import SpeechExpression, SpeechSettings, expression_from_speech
from edtalk_core.sources.text import motion_from_timeline

OWN = Motion(expression=torch.zeros(1, 10))
HAPPY = "I am so happy today, thank you, I love it! This is wonderful, what a great day!"
SAD = "I am so sad, I miss her so much. I am sorry, I feel lonely and I cry."


@pytest.fixture(scope="module")
def model(tiny_bundle) -> EDTalk:
    """A tiny model, whose preset of each emotion is one weight."""
    model = load_model(tiny_bundle)
    model.presets = {emotion: [float(base == number) for base in range(10)] for number, emotion in enumerate(EMOTIONS)}
    return model


@pytest.fixture(scope="module")
def speech() -> AudioFeatures:
    return encode_audio(voice((0.2, 3.0), (3.6, 6.0), seconds=7.0))


def express(model: EDTalk, speech: AudioFeatures, text: str | Transcript | None, **settings) -> SpeechExpression:
    return expression_from_speech(model, speech, OWN, transcript=text, settings=SpeechSettings(**settings))


def strength(result: SpeechExpression, emotion: str) -> float:
    """The largest weight of an emotion's preset."""
    return float(result.motion.track("expression")[:, EMOTIONS.index(emotion)].max())


@pytest.mark.parametrize(("text", "emotion", "other"), [(HAPPY, "happy", "sad"), (SAD, "sad", "happy")])
def test_one_voice_and_two_texts(text: str, emotion: str, other: str, model: EDTalk, speech: AudioFeatures):
    result = express(model, speech, text)
    assert strength(result, emotion) > 0.4
    assert strength(result, other) < 0.2
    assert not result.notes
    assert " ".join(word.text for word in result.words) == text


def test_the_motion_is_what_the_timeline_says(model: EDTalk, speech: AudioFeatures):
    result = express(model, speech, HAPPY, strength=1.5)
    assert result.motion.frames == speech.frames
    written = motion_from_timeline(model, result.timeline, OWN, duration=speech.frames / 25)
    assert written.equals(result.motion)
    assert len(result.timeline.splitlines()) <= 12
    assert "happy today" in result.timeline
    assert float(result.motion.track("expression").diff(dim=0).abs().max()) < 0.2


def test_strength_and_range(model: EDTalk, speech: AudioFeatures):
    full = strength(express(model, speech, HAPPY), "happy")
    assert strength(express(model, speech, HAPPY, strength=2.0), "happy") == pytest.approx(2 * full, abs=0.02)
    assert float(express(model, speech, HAPPY, strength=0.0).motion.track("expression").abs().max()) == 0
    assert strength(express(model, speech, HAPPY, emotions=("sad", "angry")), "happy") == 0


def test_emotions_without_a_preset_do_not_show(model: EDTalk, speech: AudioFeatures):
    few = load_model_with(model, {"sad": model.presets["sad"]})
    assert "happy:" not in express(few, speech, HAPPY).timeline


def load_model_with(model: EDTalk, presets: dict) -> EDTalk:
    other = copy.copy(model)
    other.presets = presets
    return other


def test_a_model_without_presets_says_so(model: EDTalk, speech: AudioFeatures):
    with pytest.raises(MotionError, match="no expression presets"):
        express(load_model_with(model, {}), speech, HAPPY)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "has no words"),
        ("😀 😀 ...", "has no words"),
        ("Δεν ξέρω τι θέλεις από μένα, αλλά θα είμαι εκεί. Σε αγαπώ πολύ.", "none of the languages"),
        ("אני אוהב אותך מאוד, תודה רבה לך על הכל, יום נפלא!", "none of the languages"),
        (" ".join([HAPPY] * 20), "so fast: is it of this recording"),
        ("Oh.", "so slowly: is it of this recording"),
    ],
)
def test_what_is_not_understood_is_said(text: str, note: str, model: EDTalk, speech: AudioFeatures):
    result = express(model, speech, text)
    assert len(result.notes) == 1
    assert note in result.notes[0]
    assert result.motion.frames == speech.frames


def test_right_to_left_text_of_a_known_language(model: EDTalk, speech: AudioFeatures):
    result = express(model, speech, "شكرا لك، أنا سعيد جدا اليوم! أحبك كثيرا يا صديقي العزيز، هذا رائع.")
    assert not result.notes
    assert result.words[0].text == "شكرا"


def test_cues_after_the_end_are_counted(model: EDTalk, speech: AudioFeatures):
    cues = (Cue(0.5, 2.5, "I love it, thank you!"), Cue(60.0, 62.0, "I hate it!"))
    result = express(model, speech, Transcript("I love it, thank you!\nI hate it!", cues))
    assert "1 of the transcript's 2 cues begin after the sound has ended" in result.notes[0]
    late = express(model, speech, Transcript("x", (Cue(60.0, 62.0, "I hate it!"),)))
    assert "begins after the sound has ended" in late.notes[0]


def test_silence_and_noise_are_said(model: EDTalk):
    silence = encode_audio(Audio(np.zeros((1, 48_000), np.float32), 16_000))
    result = express(model, silence, HAPPY)
    assert "silent" in result.notes[0]
    assert result.timeline == "0.00s own"
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 80_000)).astype(np.float32)
    assert "no speech" in express(model, encode_audio(Audio(noise, 16_000)), None).notes[0]


def test_ten_minutes_take_seconds(model: EDTalk):
    spans = [(start, start + 2.5) for start in np.arange(0.0, 597.0, 3.0)]
    features = encode_audio(voice(*spans, seconds=600.0))
    started = time.process_time()
    result = express(model, features, " ".join([HAPPY, SAD] * 60))
    assert time.process_time() - started < 60
    assert result.motion.frames == 15_000
    assert len(result.timeline.splitlines()) < 1000


def test_the_timeline_and_the_words_are_saved(model: EDTalk, speech: AudioFeatures, tmp_path: Path):
    result = express(model, speech, HAPPY)
    result.save(tmp_path / "felt.txt", tmp_path / "words.vtt")
    assert (tmp_path / "felt.txt").read_text(encoding="utf-8") == result.timeline + "\n"
    assert [cue.text for cue in read_transcript(tmp_path / "words.vtt").cues] == [word.text for word in result.words]
    with pytest.raises(EDTalkError, match="could not be written"):
        result.save(tmp_path / "nowhere" / "felt.txt")


def test_settings_are_checked():
    with pytest.raises(ArgumentError, match="no emotion 'joy'"):
        SpeechSettings(emotions=("joy",))
    with pytest.raises(ArgumentError, match="strength"):
        SpeechSettings(strength=-1)
    with pytest.raises(ArgumentError, match="change takes"):
        SpeechSettings(change=0)


def test_words_with_times_are_used_as_a_transcript(model: EDTalk, speech: AudioFeatures):
    vtt = "WEBVTT\n\n00:04.000 --> 00:06.000\n" + HAPPY
    result = express(model, speech, parse_transcript(vtt))
    happy = result.motion.track("expression")[:, EMOTIONS.index("happy")]
    assert float(happy[:75].max()) < 0.25
    assert float(happy[110:140].max()) > 0.3
