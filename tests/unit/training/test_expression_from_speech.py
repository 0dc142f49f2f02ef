"""The stages of text and speech to expression, on tiny data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import voices_manifest

from edtalk_core.cli import main
from edtalk_core.emotion.speech import load_speech_emotion
from edtalk_core.emotion.text import load_text_emotion
from edtalk_core.errors import Cancelled, EDTalkError
from edtalk_core.inspection import inspect_file
from edtalk_core.media.audio import read_audio
from edtalk_core.media.mel import encode_audio
from edtalk_core.motion.presets import EMOTIONS
from edtalk_core.networks.speech_emotion import WINDOW_COLUMNS, SpeechEmotionNetwork
from edtalk_core.training.loop import train
from edtalk_core.training.settings import RunSettings
from edtalk_core.training.stages import stage_settings
from edtalk_core.training.voice_variations import add_sounds, no_voice, varied_voice, window_of

SENTENCES = {
    "happy": ("what a lovely day", "lovely, thank you", "a lovely joy"),
    "sad": ("such a sorry loss", "sorry, we cry", "a sorry grief"),
    "neutral": ("the table is here", "it is a table", "the table stands"),
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = ["text\tlabel\tlanguage\tsplit"]
    for label, texts in SENTENCES.items():
        rows += [f"{text} {number}\t{label}\ten\ttrain" for number in range(30) for text in texts]
        rows.append(f"never seen\t{label}\ten\tholdout")
    path = tmp_path / "text.tsv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return voices_manifest(tmp_path)


def settings(stage: str, data: Path, out: Path, **values: object) -> RunSettings:
    return stage_settings(stage, None, {"data": str(data), "out": str(out), "batch": 16, "steps": 20, **values})


def test_text_is_learned(table: Path, tmp_path: Path):
    checkpoint = train(settings("text-to-expression", table, tmp_path / "run", buckets=4096, license="CC0"))
    classifier = load_text_emotion(checkpoint)
    judged = classifier.classify(["lovely thing", "so sorry", "table"]).argmax(1)
    assert [EMOTIONS[index] for index in judged] == ["happy", "sad", "neutral"]
    assert classifier.license == "CC0"
    assert classifier.languages == ("en",)


def test_voices_are_learned(manifest: Path, tmp_path: Path):
    checkpoint = train(settings("audio-to-expression", manifest, tmp_path / "run", steps=150, batch=32))
    classifier = load_speech_emotion(checkpoint)
    for name, emotion in (("angry0", "angry"), ("sad0", "sad")):
        judged = classifier.over_time(encode_audio(read_audio(manifest.parent / f"{name}.wav")))
        assert EMOTIONS[int(judged[:, :-1].mean(0).argmax())] == emotion


@pytest.mark.parametrize("stage", ["text-to-expression", "audio-to-expression"])
def test_killed_and_resumed_equals_never_killed(stage: str, table: Path, manifest: Path, tmp_path: Path):
    data = table if stage == "text-to-expression" else manifest

    def config(name: str) -> RunSettings:
        return settings(stage, data, tmp_path / name, steps=6, **({"buckets": 512} if data == table else {"copies": 2}))

    straight = load_file(train(config("straight")))

    def kill(step: int, total: int | None) -> None:
        if step == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        train(config("killed"), kill)
    resumed = load_file(train(config("killed")))
    assert resumed.keys() == straight.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())


def test_a_checkpoint_is_converted_and_described(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    checkpoint = train(settings("text-to-expression", table, tmp_path / "run", buckets=512, license="CC0"))
    out = tmp_path / "small.safetensors"
    assert main(["convert", str(checkpoint), "-o", str(out), "--dtype", "fp16"]) == 0
    assert out.stat().st_size < 0.5 * checkpoint.stat().st_size
    described = inspect_file(out)
    assert (described["kind"], described["labels"]) == ("classifier", ["happy", "neutral", "sad"])
    assert (described["languages"], described["license"]) == (["en"], "CC0")
    assert described["precisions"] == ["float16"]
    assert torch.allclose(
        load_text_emotion(out).classify(["lovely"]), load_text_emotion(checkpoint).classify(["lovely"]), atol=1e-2
    )
    assert main(["info", str(out)]) == 0
    assert "a text emotion classifier" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [("a\tb\n", "lacks the column text"), ("text\tlabel\tlanguage\tsplit\nx\thappy\ten\ttest\n", "no sentence of the")],
)
def test_tables_that_cannot_be_used(content: str, message: str, tmp_path: Path):
    table = tmp_path / "text.tsv"
    table.write_text(content)
    with pytest.raises(EDTalkError, match=message):
        train(settings("text-to-expression", table, tmp_path / "run"))


def test_manifests_that_cannot_be_used(tmp_path: Path):
    with pytest.raises(EDTalkError, match="cannot be read"):
        train(settings("audio-to-expression", tmp_path / "nowhere.tsv", tmp_path / "run"))
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("path\tkind\tperson\tsplit\tsound\temotion\n")
    with pytest.raises(EDTalkError, match="no labelled speech"):
        train(settings("audio-to-expression", manifest, tmp_path / "run"))


def test_variations_of_a_voice():
    rng = np.random.default_rng(0)
    voice = rng.normal(size=(260, 80)).astype(np.float32).clip(-4, 4)
    assert varied_voice(voice, [], 0.0, rng) is voice
    varied = varied_voice(voice, [voice], 1.0, rng)
    assert varied.shape[1] == 80
    assert varied.dtype == np.float32
    assert np.abs(varied).max() <= 4
    assert not np.array_equal(varied[:200], voice[:200])
    for columns in (1, 50, 500):
        assert no_voice(columns, [voice], rng).shape == (columns, 80)
    assert window_of(voice).shape == window_of(voice[:30], rng).shape == (WINDOW_COLUMNS, 80)


def test_powers_of_sounds_add():
    both = add_sounds(np.zeros((1, 1)), np.zeros((1, 1)))
    assert both[0, 0] == pytest.approx(3.0103 / 12.5, abs=1e-3)  # twice the power: 3 dB
    assert add_sounds(np.full((1, 1), 4.0), np.full((1, 1), -4.0))[0, 0] == pytest.approx(4.0, abs=1e-6)


def test_statistics_do_not_depend_on_the_level():
    mel = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 200, 80)).astype(np.float32))
    network = SpeechEmotionNetwork()
    assert torch.allclose(network.statistics(mel), network.statistics(mel - 0.7), atol=1e-3)
    assert torch.isfinite(network.statistics(torch.full((1, 8, 80), -4.0))).all()
