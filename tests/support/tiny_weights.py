"""State dicts of small, untrained networks, and files with them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from edtalk_core.model import EDTalk
from edtalk_core.networks.audio_to_lip import AudioToLip
from edtalk_core.networks.pose_flow import PoseFlow
from edtalk_core.networks.sizes import ModelSizes

State = dict[str, Tensor]

TINY = ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 6}, expression_hidden=4)
SMALL_AUDIO = tuple(range(2, 15))
AUDIO_TO_LIP = "audio_to_lip."


def tiny_state(sizes: ModelSizes = TINY, seed: int = 0) -> State:
    torch.manual_seed(seed)
    return EDTalk(sizes).state_dict()


def audio_state(lip: int = 20, widths: tuple[int, ...] = SMALL_AUDIO) -> State:
    torch.manual_seed(1)
    return AudioToLip(lip, widths).state_dict()


def flow_state(pose: int = 6) -> State:
    """A small pose flow, named as in a bundle."""
    torch.manual_seed(2)
    return {f"pose_flow.{n}": value for n, value in PoseFlow(pose, steps=2, width=16, span=5).state_dict().items()}


def save(path: Path, content: object, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_equal(actual: State, expected: State) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype, name
        assert torch.equal(actual[name], value), name
