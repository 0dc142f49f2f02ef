"""Expression from Speech, as ComfyUI runs it."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import numpy as np
import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import ArgumentError
from comfyui_edtalk.edtalk_core.media.audio import Audio
from comfyui_edtalk.edtalk_core.media.mel import AudioFeatures, encode_audio
from comfyui_edtalk.edtalk_core.media.transcript import parse_transcript
from comfyui_edtalk.nodes.expression import ExpressionTimeline
from comfyui_edtalk.nodes.expression_from_speech import ExpressionFromSpeech
from comfyui_edtalk.nodes.files import find_text_model
from comfyui_edtalk.nodes.model import DEMO, MODELS_FOLDER, LoadModel
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.sockets import EncodedPortrait
from node_calls import execute

HAPPY = "I am so happy today, thank you, I love it!"


@pytest.fixture(scope="module")
def portrait() -> EncodedPortrait:
    """A picture of noise, encoded by the demo model."""
    with torch.inference_mode():
        image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
        return LoadPortrait.execute(LoadModel.execute(DEMO, "fp32").args[0], image, "none", 0, "", 0).args[0]


@pytest.fixture(scope="module")
def features() -> AudioFeatures:
    """Three seconds of a buzz that swells as syllables do."""
    time = np.arange(48_000) / 16_000
    buzz = 0.4 * np.sign(np.sin(2 * np.pi * 140 * time)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    return encode_audio(Audio(buzz.astype(np.float32)[None], 16_000))


def test_the_timeline_gives_the_same_expression(portrait: EncodedPortrait, features: AudioFeatures):
    expression, timeline, words = execute(
        ExpressionFromSpeech, portrait=portrait, features=features, transcript=HAPPY
    ).args
    assert expression.frames == 75
    assert "happy:" in timeline
    assert execute(ExpressionTimeline, portrait=portrait, text=timeline, features=features).args[0].equals(expression)
    assert " ".join(cue.text for cue in parse_transcript(words).cues) == HAPPY


def test_emotions_and_strength(portrait: EncodedPortrait, features: AudioFeatures):
    inputs = {"portrait": portrait, "features": features, "transcript": HAPPY}
    assert "happy:" not in execute(ExpressionFromSpeech, emotions="sad, angry\nfear", **inputs).args[1]
    still = execute(ExpressionFromSpeech, strength=0.0, **inputs).args[0].track("expression")
    assert torch.equal(still, portrait.own.track("expression").expand_as(still))
    with pytest.raises(ArgumentError, match="no emotion 'joy'"):
        execute(ExpressionFromSpeech, emotions="joy", **inputs)


def test_without_a_transcript_there_are_no_words(portrait: EncodedPortrait, features: AudioFeatures):
    expression, _, words = execute(ExpressionFromSpeech, portrait=portrait, features=features).args
    assert expression.frames == 75
    assert words.strip() == "WEBVTT"


def test_text_models_lie_below_comfyuis_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folder_paths, "get_folder_paths", lambda name: [str(tmp_path)])
    (tmp_path / "emotions").mkdir()
    assert find_text_model("") == find_text_model(" built-in ") == "built-in"
    assert find_text_model("emotions") == str(tmp_path / "emotions")
    assert find_text_model("owner/model-7.b") == "owner/model-7.b"
    for name in ("/etc", "../..", "nowhere", "a/b/c", "https://example.com/model"):
        with pytest.raises(ArgumentError, match=f"models/{MODELS_FOLDER}"):
            find_text_model(name)
