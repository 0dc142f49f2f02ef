"""Fixtures of the training tests: one thread, and a checkpoint that stages start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_settings

from edtalk_core.training.loop import train


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and lose much where other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(face_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a model that has had a few steps of the first stage, without its adversary."""
    out = tmp_path_factory.mktemp("autoencoder")
    losses = {"l1": 1.0, "perceptual": 1.0, "flow": 0.02, "adversarial": 0.0}
    return train(tiny_settings("autoencoder", face_store, out, steps=50, losses=losses, checkpoint_every=20))
