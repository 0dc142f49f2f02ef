"""Which source `animate` and `edtalk animate` take for an expression from speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.cli import main
from edtalk_core.errors import ArgumentError, MediaError
from edtalk_core.media.audio import Audio
from edtalk_core.media.mel import encode_audio
from edtalk_core.media.transcript import Transcript
from edtalk_core.motion.motion import Motion
from edtalk_core.pipeline import Drivers, expression_source
from edtalk_core.sources.source import FromSpeech, Own, Written
from edtalk_core.sources.speech import SpeechSettings, expression_from_speech

SOUND = Drivers(sound=Audio(np.zeros((1, 16_000), np.float32), 16_000))


def test_a_transcript_means_speech(tmp_path: Path):
    file = tmp_path / "words.srt"
    file.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    source = expression_source(None, SOUND, file, silence_before=0.5)
    assert isinstance(source, FromSpeech)
    assert source.transcript is not None
    assert source.transcript.cues[0].start == 1.5
    settings = SpeechSettings(strength=0.5)
    voice = expression_source(" speech ", SOUND, None, settings)
    assert isinstance(voice, FromSpeech)
    assert (voice.transcript, voice.settings) == (None, settings)
    assert isinstance(expression_source(None, SOUND), Own)
    assert isinstance(expression_source("happy", SOUND), Written)


def test_speech_needs_a_sound_and_words_need_speech(tmp_path: Path):
    with pytest.raises(ArgumentError, match="needs a sound"):
        expression_source("speech", Drivers())
    with pytest.raises(ArgumentError, match="not for 'happy'"):
        expression_source("happy", SOUND, Transcript("Hello"))
    with pytest.raises(MediaError, match="nowhere"):
        expression_source(None, SOUND, tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--emotions", "happy"], "--emotions is of --expression speech"),
        (["--expression", "happy", "--save-timeline", "felt.txt"], "--save-timeline is of --expression speech"),
        (["--expression", "speech", "--save-words", "words.txt"], "ends in .vtt"),
        (["--expression", "speech", "--emotions", "joy"], "no emotion 'joy'"),
        (["--expression", "speech:loud"], "strength in 'speech:loud'"),
        (["--expression", "speech", "--labels", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_options_that_cannot_be_meant(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["animate", "portrait.jpg", "speech.wav", "-o", "never.mp4", *options]) != 0
    assert message in capsys.readouterr().err
    assert not Path("never.mp4").exists()


def test_a_speech_model_needs_the_sound():
    settings = SpeechSettings(speech_model="nowhere")
    with pytest.raises(ArgumentError, match="give the sound too"):
        expression_from_speech(
            load_model(builtin_file("demo.safetensors")),
            encode_audio(SOUND.sound),
            Motion(lip=torch.zeros(1, 20), pose=torch.zeros(1, 6), expression=torch.zeros(1, 10)),
            settings=settings,
        )
