"""Every part of the table goes wherever a model goes: state, bundle, merge, `info`, growing."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from edtalk_core.checkpoints import load_model, write_bundle
from edtalk_core.errors import ArgumentError, UnsupportedCheckpoint
from edtalk_core.inspection import inspect_file
from edtalk_core.model import EDTalk
from edtalk_core.motion.bases import Bases
from edtalk_core.motion.motion import TRACKS
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.parts import PARTS, PartAttributes
from edtalk_core.recognition import recognise
from edtalk_core.training.initialisation import grow

SIZES = ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 6}, expression_hidden=4)


@pytest.fixture(scope="module")
def full_model():
    """A small model with every part."""
    torch.manual_seed(0)
    model = EDTalk(SIZES).eval()
    for part in PARTS:
        setattr(model, part.name, part.network().eval())
    return model


def states_of_parts(model: EDTalk) -> dict[str, dict[str, torch.Tensor]]:
    return {part.name: getattr(model, part.name).state_dict() for part in PARTS}


def assert_same_parts(model: EDTalk, expected: EDTalk) -> None:
    for (name, state), others in zip(states_of_parts(model).items(), states_of_parts(expected).values(), strict=True):
        assert state.keys() == others.keys(), name
        for tensor in state:
            assert torch.equal(state[tensor], others[tensor]), f"{name}.{tensor}"


def test_each_part_has_an_attribute_and_makes_a_track():
    assert list(PartAttributes.__annotations__) == [part.name for part in PARTS]
    assert {part.network.TRACK for part in PARTS} <= set(TRACKS)
    model = EDTalk(SIZES)
    assert [getattr(model, part.name) for part in PARTS] == [None] * len(PARTS)


def test_all_parts_come_back_from_a_state(full_model):
    assert_same_parts(EDTalk.from_state_dict(full_model.state_dict()), full_model)


def test_all_parts_come_back_from_a_bundle_and_are_listed(full_model, tmp_path):
    path = write_bundle(tmp_path / "a.safetensors", full_model)
    assert_same_parts(load_model(path), full_model)
    assert all(inspect_file(path)[part.name] for part in PARTS)
    assert not any(inspect_file(write_bundle(tmp_path / "b.safetensors", EDTalk(SIZES)))[part.name] for part in PARTS)


def test_a_model_and_a_file_for_each_part_make_the_whole(full_model, tmp_path):
    model = EDTalk(SIZES)
    paths = [write_bundle(tmp_path / "model.safetensors", model)]
    for part in PARTS:
        paths.append(tmp_path / f"{part.name}.safetensors")
        save_file(part.bundled(getattr(full_model, part.name).state_dict()), paths[-1])
        assert recognise(part.bundled(getattr(full_model, part.name).state_dict())).variant == part.name
    assert_same_parts(load_model(*paths), full_model)
    for path, part in zip(paths[1:], PARTS, strict=True):
        again = tmp_path / "again.safetensors"
        again.write_bytes(path.read_bytes())
        with pytest.raises(ArgumentError, match=f"both hold {part.network.LABEL}"):
            load_model(*paths, again)


def test_a_grown_model_keeps_all_parts_and_what_else_it_has(full_model):
    full_model.fps, full_model.presets = 30.0, {"happy": (0.5,) * 10}
    full_model.bases = Bases(pose=("x", "y"))
    grown = grow(full_model, 3)
    assert grown.sizes.resolution == 32
    assert_same_parts(grown, full_model)
    assert (grown.fps, grown.presets, grown.bases) == (30.0, full_model.presets, full_model.bases)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_sizes_of_a_part_are_read_off_its_tensors(part):
    network = part.network()
    read = part.network.from_state_dict(network.state_dict())
    assert not read.training
    assert read.weights == network.weights == getattr(SIZES, part.network.TRACK)
    assert {n: v.shape for n, v in read.state_dict().items()} == {n: v.shape for n, v in network.state_dict().items()}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_without_one_of_its_tensors_is_refused_by_name(part):
    state = part.bundled(part.network().state_dict())
    name = next(reversed(state))
    with pytest.raises(UnsupportedCheckpoint, match=part.network.LABEL) as caught:
        recognise({key: value for key, value in state.items() if key != name})
    assert name in str(caught.value)
