"""Files of speech with known phones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edtalk_core.data.phonetic_speech import PHONES, Phone, Utterance, read_phonetic_speech, write_phonetic_speech
from edtalk_core.errors import EDTalkError

METADATA = {"format": "edtalk-phonetic-speech", "phones": json.dumps(PHONES)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two utterances."""
    path = tmp_path / "speech.safetensors"
    mels = [np.linspace(-4, 4, 80 * columns, dtype=np.float32).reshape(columns, 80) for columns in (81, 161)]
    phones = [(Phone("SIL", 0.0, 0.5), Phone("M", 0.5, 1.0)), (Phone("AA", 0.0, 2.0),)]
    write_phonetic_speech(path, [Utterance(*parts) for parts in zip(mels, phones, strict=True)], "a test")
    return path


def test_utterances_come_back(file: Path):
    first, second = read_phonetic_speech(file)
    assert first.phones == (Phone("SIL", 0.0, 0.5), Phone("M", 0.5, 1.0))
    assert second.phones == (Phone("AA", 0.0, 2.0),)
    assert (len(first), len(second)) == (25, 50)
    assert np.abs(second.mel - np.linspace(-4, 4, 80 * 161).reshape(161, 80)).max() < 2e-3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mel", torch.full((242, 80), float("nan")), "finite"),
        ("mel", torch.zeros(242, 79), "shape"),
        ("mel_offsets", torch.tensor([0, 200, 242, 242]), "utterances"),
        ("mel_offsets", torch.tensor([0, 250, 242]), "ascend"),
        ("phones", torch.tensor([0, 1, 99], dtype=torch.uint8), "read"),
        ("ends", torch.tensor([0.5, 0.2, 2.0]), "times"),
    ],
)
def test_damaged_files_are_refused(file: Path, name: str, value: torch.Tensor, message: str):
    save_file({**load_file(file), name: value}, file, metadata=METADATA)
    with pytest.raises(EDTalkError, match=message):
        read_phonetic_speech(file)


def test_other_files_are_refused(file: Path, tmp_path: Path):
    save_file(load_file(file), file)
    with pytest.raises(EDTalkError, match="no phonetic speech"):
        read_phonetic_speech(file)
    with pytest.raises(EDTalkError, match="make_phonetic_speech"):
        read_phonetic_speech(tmp_path / "missing.safetensors")
