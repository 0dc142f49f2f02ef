"""Words with times by CTC: the likeliest path, and a tiny speech model of Hugging Face, made on the spot."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from voices import words as voice

from edtalk_core.emotion.ctc import SpeechModel, forced_alignment, load_speech_model
from edtalk_core.errors import UnsupportedCheckpoint
from edtalk_core.media.transcript import Cue


def test_the_path_is_the_likeliest_of_all():
    """Compared with all paths of five frames that spell "a a b", by counting them out."""
    scores = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).log_softmax(1).numpy()
    tokens = [1, 1, 2]

    def spelled(path: tuple[int, ...]) -> list[int]:
        return [token for token, _ in itertools.groupby(path) if token]

    paths = [path for path in itertools.product(range(3), repeat=5) if spelled(path) == tokens]
    best = max(paths, key=lambda path: sum(scores[frame, token] for frame, token in enumerate(path)))
    expected = [
        (min(frames), max(frames))
        for token, group in itertools.groupby(enumerate(best), key=lambda pair: pair[1])
        if token and (frames := [frame for frame, _ in group])
    ]
    assert forced_alignment(scores, tokens, 0) == expected


def test_more_letters_than_frames_do_not_fit():
    assert forced_alignment(np.zeros((3, 3), np.float32), [1, 1, 2], 0) is None
    assert forced_alignment(np.zeros((4, 3), np.float32), [1, 1, 2], 0) == [(0, 0), (2, 2), (3, 3)]


class Spelling:
    """A network that hears letters by the level of the sound: 0.1 an A, 0.2 a B, 0.3 the end of a word."""

    def __call__(self, inputs: torch.Tensor) -> object:
        frames = inputs[0, : inputs.shape[1] // 320 * 320].reshape(-1, 320).abs().amax(1)
        columns = torch.clamp((frames * 10).round().long(), 0, 3)
        return type("Output", (), {"logits": 20 * torch.nn.functional.one_hot(columns, 4)[None].float()})


class Samples:
    """An extractor that changes nothing."""

    def __call__(self, samples: np.ndarray, **options: object) -> object:
        return type("Inputs", (), {"input_values": torch.from_numpy(samples)[None]})


SPELLING = SpeechModel(Samples(), Spelling(), {"A": 1, "B": 2, "|": 3}, 0, "|")


def said(*letters: tuple[float, float, float], seconds: float) -> np.ndarray:
    """A sound of these levels between times in seconds."""
    samples = np.zeros(round(seconds * 16_000), np.float32)
    for start, end, level in letters:
        samples[round(start * 16_000) : round(end * 16_000)] = level
    return samples


def test_words_lie_where_they_are_heard_and_others_between():
    sound = said((1.0, 1.2, 0.1), (1.4, 1.6, 0.2), (21.0, 21.2, 0.2), (21.4, 21.6, 0.1), seconds=24)
    cues = SPELLING.align(sound, ["Ab,", "42", "ba!"])
    assert [cue.text for cue in cues] == ["Ab,", "42", "ba!"]
    assert (cues[0].start, cues[0].end) == pytest.approx((1.0, 1.6), abs=0.05)
    assert (cues[2].start, cues[2].end) == pytest.approx((21.0, 21.6), abs=0.05)
    assert (cues[1].start, cues[1].end) == (cues[0].end, cues[2].start)
    assert SPELLING.align(sound, ["42", "!"]) is None
    assert SPELLING.align(sound[:640], ["aaaa"]) is None


def test_what_is_heard_becomes_words():
    sound = said((1.0, 1.2, 0.1), (1.4, 1.6, 0.2), (1.7, 1.8, 0.3), (2.0, 2.2, 0.2), seconds=3)
    heard = SPELLING.recognise(sound)
    assert [cue.text for cue in heard] == ["AB", "B"]
    assert [cue.start for cue in heard] == pytest.approx([1.0, 2.0], abs=0.05)
    assert SPELLING.recognise(np.zeros(16_000, np.float32)) == []


def tiny_model(folder: Path) -> Path:
    """A wav2vec 2.0 of a few numbers, as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
    torch.manual_seed(0)
    settings = transformers.Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )
    transformers.Wav2Vec2ForCTC(settings).save_pretrained(folder)
    return folder


def test_a_model_of_hugging_face_aligns_and_recognises(tmp_path: Path):
    model = load_speech_model(str(tiny_model(tmp_path)))
    sound = voice((0.5, 2.0), seconds=2.5).samples[0]
    cues = model.align(sound, ["Good", "day"])
    assert [cue.text for cue in cues] == ["Good", "day"]
    assert 0 <= cues[0].start < cues[0].end <= cues[1].start < cues[1].end <= 2.55
    assert all(isinstance(cue, Cue) for cue in model.recognise(sound))


def test_weights_that_could_run_code_are_refused(tmp_path: Path):
    folder = tiny_model(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UnsupportedCheckpoint, match=r"weights as \.safetensors"):
        load_speech_model(str(folder))
