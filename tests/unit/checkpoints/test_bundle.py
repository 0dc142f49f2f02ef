"""Bundles: conversion, merging, metadata, writing."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_weights import AUDIO_TO_LIP, TINY, assert_equal, audio_state, flow_state, save, tiny_state

from edtalk_core.checkpoints import convert, load_model, read_checkpoint, write_bundle
from edtalk_core.checkpoints.bundle import merge
from edtalk_core.checkpoints.catalogue import LICENSE
from edtalk_core.errors import ArgumentError, EDTalkError, UnsupportedCheckpoint
from edtalk_core.model import EDTalk
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.presets import published_presets
from edtalk_core.networks.audio_to_lip import AudioToLip
from edtalk_core.networks.pose_flow import PoseFlow
from edtalk_core.networks.sizes import ModelSizes


def test_published_files_become_a_bundle(published: dict[str, Path], bundle: Path) -> None:
    checkpoint = read_checkpoint(bundle)
    model, audio = (read_checkpoint(source) for source in published.values())
    for name, value in checkpoint.tensors.items():
        source = audio if name.startswith(AUDIO_TO_LIP) else model
        assert torch.equal(value, source.tensors[name.removeprefix(AUDIO_TO_LIP)]), name
    dropped = set(model.tensors) - set(checkpoint.tensors)
    assert len(dropped) + len(checkpoint.tensors) == len(model.tensors) + len(audio.tensors)
    kinds = {re.sub(r"\d+", "#", name).rpartition(".")[0] for name in dropped}
    assert "dec.fineadainresblock.#.conv#" in kinds  # EEM's dead half
    assert "dec.to_rgb#" in kinds
    assert bundle.stat().st_size < sum(source.stat().st_size for source in published.values()) - 30e6

    metadata = checkpoint.metadata
    assert metadata["format"] == "edtalk-bundle"
    assert metadata["format_version"] == "1"
    assert metadata["variant"] == "edtalk"
    assert ModelSizes.from_json(metadata["sizes"]) == ModelSizes()
    assert float(metadata["fps"]) == 25
    assert metadata["license"] == LICENSE
    assert json.loads(metadata["sources"]) == [
        {"name": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for name, path in published.items()
    ]
    presets = json.loads(metadata["presets"])
    assert {name: tuple(weights) for name, weights in presets.items()} == published_presets()


def test_bundle_and_published_files_make_the_same_model(published: dict[str, Path], bundle: Path) -> None:
    direct, bundled = load_model(*published.values()), load_model(bundle)
    assert_equal(bundled.state_dict(), direct.state_dict())
    for model in (direct, bundled):
        assert model.sizes == ModelSizes()
        assert model.dtype == torch.float32
        assert model.presets == published_presets()
        assert len(model.presets) == 8
        assert model.fps == 25
        assert model.audio_to_lip is not None
        assert model.pose_flow is None


def test_model_of_other_sizes_gets_no_published_presets(tmp_path: Path) -> None:
    assert load_model(save(tmp_path / "a.pt", {"gen": tiny_state()})).presets == {}


def test_model_saved_with_everything_comes_back(tmp_path: Path) -> None:
    model = EDTalk.from_state_dict(tiny_state())
    model.audio_to_lip = AudioToLip.from_state_dict(audio_state())
    model.pose_flow = PoseFlow(steps=2, width=16, span=5).eval()
    model.presets = {"happy": tuple(float(i) / 3 for i in range(10)), "sad": (0.0,) * 10}
    model.fps = 30.0
    model.bases = Bases(lip=("opening",), expression=("smile", "lids"), lids=Lids(1, 3.0))
    path = write_bundle(tmp_path / "new" / "a.safetensors", model, metadata={"about": "a test", "license": "CC0-1.0"})

    loaded = load_model(path)
    assert_equal(loaded.state_dict(), model.state_dict())
    assert loaded.presets == model.presets
    assert loaded.fps == 30
    assert loaded.bases == model.bases
    assert torch.equal(loaded.pose_flow.sample(9, seed=3), model.pose_flow.sample(9, seed=3))
    metadata = read_checkpoint(path).metadata
    assert metadata["about"] == "a test"
    assert metadata["license"] == "CC0-1.0"
    assert metadata["variant"] == "edtalk"

    again = convert([path], tmp_path / "b.safetensors")
    assert_equal(read_checkpoint(again).tensors, read_checkpoint(path).tensors)
    new_metadata = read_checkpoint(again).metadata
    assert new_metadata["bases"] == metadata["bases"]
    renamed = convert([path], tmp_path / "c.safetensors", bases=Bases(pose=("x",)))
    assert load_model(renamed).bases == Bases(pose=("x",))
    unnamed = convert([path], tmp_path / "c.safetensors", bases=Bases())
    assert "bases" not in read_checkpoint(unnamed).metadata
    assert {key: new_metadata[key] for key in metadata} == metadata
    assert json.loads(new_metadata["sources"])[0]["name"] == "a.safetensors"


def test_bundle_of_a_lip_pose_model(tmp_path: Path) -> None:
    sizes = ModelSizes(resolution=16, style=32, expression=0, channels=TINY.channels)
    path = write_bundle(tmp_path / "a.safetensors", tiny_state(sizes))
    assert read_checkpoint(path).metadata["variant"] == "lip_pose"
    assert load_model(path).sizes == sizes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_bundle_in_another_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    state = tiny_state() | flow_state() | {AUDIO_TO_LIP + name: value for name, value in audio_state().items()}
    path = write_bundle(tmp_path / "a.safetensors", state, dtype=dtype)
    stored = read_checkpoint(path).tensors
    assert {value.dtype for value in stored.values()} == {dtype, torch.int64}
    for name, value in state.items():
        assert torch.equal(stored[name], value.to(stored[name].dtype)), name
    model = load_model(path)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}
    as_stored = EDTalk.from_state_dict(stored)
    assert as_stored.dtype == dtype
    assert as_stored.pose_flow.sample(3).isfinite().all()


def test_file_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "a.safetensors", tiny_state())
    (tmp_path / "plain").write_text("x")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_existing_bundle_survives_a_failed_write(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "a.safetensors", tiny_state())
    before = path.read_bytes()
    corrupted = tiny_state(seed=1)
    corrupted["fc.0.bias"][3] = torch.nan
    with pytest.raises(UnsupportedCheckpoint, match=r"fc\.0\.bias holds NaN"):
        write_bundle(path, corrupted)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_disk_that_refuses_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="a limit on the size of files needs a Unix system")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(EDTalkError, match=r"a\.safetensors could not be written"):
            write_bundle(tmp_path / "a.safetensors", tiny_state())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"path": "a.pt"}, ArgumentError, "must end in .safetensors"),
        ({"dtype": torch.int8}, ArgumentError, "float32, bfloat16 or float16"),
        ({"dtype": torch.float16, "large": True}, ArgumentError, "use bfloat16"),
        ({"metadata": {"presets": "{"}}, UnsupportedCheckpoint, "presets"),
        ({"metadata": {"presets": '{"happy": [1, 2]}'}}, UnsupportedCheckpoint, "10 finite numbers"),
        ({"path": "file/a.safetensors"}, EDTalkError, "could not be written"),
        ({"only_audio": True}, UnsupportedCheckpoint, "only audio_to_lip"),
    ],
    ids=["ending", "dtype", "overflow", "presets no JSON", "presets too short", "file in the way", "no model"],
)
def test_bundles_that_cannot_be_written(tmp_path: Path, arguments: dict, error: type[Exception], word: str) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / arguments.pop("path", "a.safetensors")
    state = audio_state() if arguments.pop("only_audio", False) else tiny_state()
    if arguments.pop("large", False):
        state["fc.0.weight"][0, 0] = 1e6
    with pytest.raises(error, match=word):
        write_bundle(path, state, **arguments)
    assert not path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_converting_onto_a_source_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "a.safetensors", tiny_state())
    with pytest.raises(ArgumentError, match="one of the files to convert"):
        convert([path], tmp_path / "." / "a.safetensors")


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ({"format_version": "2"}, "Update edtalk"),
        ({"presets": "no json"}, "presets in the metadata"),
        ({"presets": "[1]"}, "presets in the metadata"),
        ({"presets": '{"happy": ["a"]}'}, "presets in the metadata"),
        ({"presets": '{"happy": [1, 2]}'}, "10 finite numbers"),
        ({"presets": json.dumps({"happy": [float("nan")] * 10})}, "finite"),
        ({"fps": "many"}, "frame rate 'many'"),
        ({"fps": "0"}, "frame rate '0'"),
        ({"fps": "inf"}, "frame rate 'inf'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bundle_with_bad_metadata(tmp_path: Path, metadata: dict[str, str], word: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tiny_state(), path, metadata={"format": "edtalk-bundle", "format_version": "1"} | metadata)
    with pytest.raises(UnsupportedCheckpoint, match=word):
        load_model(path)


def test_merge_keeps_the_metadata_of_the_bundle(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a.safetensors", tiny_state(), metadata={"fps": "30", "about": "x"})
    sound = save(tmp_path / "sound.pt", {"audio2lip": audio_state()})
    tensors, metadata = merge([read_checkpoint(sound), read_checkpoint(bundle)])
    assert float(metadata["fps"]) == 30
    assert metadata["about"] == "x"
    assert len(tensors) == len(tiny_state()) + len(audio_state())
