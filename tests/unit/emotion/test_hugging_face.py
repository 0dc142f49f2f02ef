"""Text models of Hugging Face: a tiny one, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edtalk_core.emotion.hugging_face import load_hugging_face, parse_labels
from edtalk_core.emotion.text import text_classifier
from edtalk_core.errors import ArgumentError, UnsupportedCheckpoint
from edtalk_core.motion.presets import EMOTIONS


def tiny_model(folder: Path, labels: list[str], **config: object) -> Path:
    """A text classification model of a few numbers, as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    settings = transformers.BertConfig(
        vocab_size=7,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        **config,
    )
    transformers.BertForSequenceClassification(settings).save_pretrained(folder)
    return folder


def test_labels_of_one_emotion_are_added(tmp_path: Path):
    classifier = text_classifier(str(tiny_model(tmp_path, ["joy", "love", "sadness", "neutral"])))
    judged = classifier.classify(["good good", "bad", ""] * 9)
    assert judged.shape == (27, 8)
    assert torch.allclose(judged.sum(1), torch.ones(27), atol=1e-5)
    shown = {EMOTIONS[index] for index in (judged > 0).any(0).nonzero()[:, 0]}
    assert shown == {"happy", "sad", "neutral"}
    assert classifier.language("Tere!") == "?"


def test_several_labels_at_once_are_shares(tmp_path: Path):
    folder = tiny_model(tmp_path, ["anger", "fear"], problem_type="multi_label_classification")
    judged = load_hugging_face(str(folder)).classify(["bad"])
    assert judged.sum() == pytest.approx(1, abs=1e-5)


def test_unknown_labels_are_listed_and_can_be_told(tmp_path: Path):
    folder = str(tiny_model(tmp_path, ["LABEL_0", "joy", "LABEL_2"]))
    with pytest.raises(UnsupportedCheckpoint, match="for each of: label_0, label_2"):
        load_hugging_face(folder)
    judged = load_hugging_face(folder, "LABEL_0 = sad\nLABEL_2 = angry  # cross").classify(["good"])
    assert {EMOTIONS[index] for index in (judged > 0)[0].nonzero()[:, 0]} == {"sad", "happy", "angry"}


def test_weights_that_could_run_code_are_refused(tmp_path: Path):
    folder = tiny_model(tmp_path, ["joy", "sadness"])
    model = folder / "model.safetensors"
    torch.save({}, folder / "pytorch_model.bin")
    model.unlink()
    with pytest.raises(UnsupportedCheckpoint, match=r"weights as \.safetensors"):
        load_hugging_face(str(folder))


def test_a_folder_without_a_model(tmp_path: Path):
    pytest.importorskip("transformers")
    with pytest.raises(UnsupportedCheckpoint, match=r"no config\.json"):
        load_hugging_face(str(tmp_path))


def test_table_of_labels():
    assert parse_labels("Joy = happy; a=b = sad\n\n# nothing\n") == {"joy": "happy", "a=b": "sad"}
    for wrong in ("joy", "joy = joyful", "= happy"):
        with pytest.raises(ArgumentError, match="label = emotion"):
            parse_labels(wrong)
