"""Conversion of classifiers' files: precision, and files that are not to be replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edtalk_core.emotion.files import TEXT_FORMAT, classifier_metadata, export_classifier
from edtalk_core.errors import ArgumentError, UnsupportedCheckpoint


def write_classifier(path: Path, largest: float = 1.0) -> Path:
    tensors = {"weight": torch.tensor([0.5, largest]), "training.step.weight": torch.zeros(1)}
    save_file(tensors, path, metadata=classifier_metadata(TEXT_FORMAT, ["happy", "sad"], "MIT"))
    return path


def test_a_classifier_is_written_without_its_training_state(tmp_path: Path):
    target = export_classifier(write_classifier(tmp_path / "trained.safetensors"), tmp_path / "out.safetensors")
    assert list(load_file(target)) == ["weight"]
    export_classifier(tmp_path / "trained.safetensors", target, torch.float16)  # its own output, once more
    assert load_file(target)["weight"].dtype == torch.float16


@pytest.mark.parametrize(
    ("largest", "error", "sentence"),
    [(1e6, ArgumentError, "cannot represent the values of weight"), (float("inf"), UnsupportedCheckpoint, "infinite")],
)
def test_values_that_cannot_be_stored_are_refused(tmp_path: Path, largest: float, error: type, sentence: str):
    source = write_classifier(tmp_path / "trained.safetensors", largest)
    with pytest.raises(error, match=sentence):
        export_classifier(source, tmp_path / "out.safetensors", torch.float16)
    assert not (tmp_path / "out.safetensors").exists()


def test_another_classifier_is_not_replaced(tmp_path: Path):
    source, other = write_classifier(tmp_path / "a.safetensors"), write_classifier(tmp_path / "b.safetensors")
    before = other.read_bytes()
    for target in (source, other):
        with pytest.raises(ArgumentError):
            export_classifier(source, target)
    assert other.read_bytes() == before
