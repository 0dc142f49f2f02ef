"""Loading of models from one or several files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_weights import TINY, assert_equal, audio_state, flow_state, save, tiny_state

from edtalk_core.checkpoints import load_model, write_bundle
from edtalk_core.errors import ArgumentError, UnsupportedCheckpoint
from edtalk_core.model import EDTalk


def test_one_model_of_several_files(tmp_path: Path) -> None:
    save(tmp_path / "main.pt", {"gen": tiny_state()})
    save(tmp_path / "sound.pt", {"audio2lip": audio_state()})
    for paths in (["main.pt", "sound.pt"], ["sound.pt", tmp_path / "main.pt"]):
        model = load_model(*paths)
        assert_equal(model.audio_to_lip.state_dict(), audio_state())
        assert not model.audio_to_lip.training


@pytest.mark.parametrize(
    ("names", "error", "word"),
    [
        ([], ArgumentError, "needs a file or a name"),
        (["main.pt", "main2.pt"], ArgumentError, "both hold a model"),
        (["main.pt", "sound.pt", "sound2.pt"], ArgumentError, "both hold an audio-to-lip network"),
        (["sound.pt"], UnsupportedCheckpoint, "Add EDTalk.pt"),
        (["main.pt", "nowhere.pt"], UnsupportedCheckpoint, "no file nowhere.pt"),
        (["main.pt", "other lips.pt"], UnsupportedCheckpoint, "makes 7 lip weights"),
        (["flow.safetensors", "main.pt", "flow2.safetensors"], ArgumentError, "both hold a pose flow"),
    ],
    ids=["nothing", "two models", "two audio networks", "audio only", "missing", "audio of another model", "two flows"],
)
def test_files_that_do_not_make_one_model(tmp_path: Path, names: list[str], error: type[Exception], word: str) -> None:
    save(tmp_path / "main.pt", {"gen": tiny_state()})
    save(tmp_path / "main2.pt", {"gen": tiny_state(seed=1)})
    save_file(flow_state(), tmp_path / "flow.safetensors")
    save_file(flow_state(), tmp_path / "flow2.safetensors")
    save(tmp_path / "sound.pt", {"audio2lip": audio_state()})
    save(tmp_path / "sound2.pt", {"audio2lip": audio_state()})
    save(tmp_path / "other lips.pt", {"audio2lip": audio_state(lip=7)})
    with pytest.raises(error, match=word):
        load_model(*names)


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    save(tmp_path / "main.pt", {"gen": tiny_state()})
    once, twice = load_model("main.pt"), load_model("main.pt", tmp_path / "main.pt")
    assert twice.state_dict().keys() == once.state_dict().keys()
    assert all(torch.equal(value, once.state_dict()[name]) for name, value in twice.state_dict().items())


def test_files_are_found_in_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    save(tmp_path / "models" / "mine.pt", {"gen": tiny_state()})
    assert load_model("mine.pt").sizes == TINY


def test_missing_file_names_the_places_and_the_known_models(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint) as caught:
        load_model("mine.pt")
    for part in ("mine.pt", str(tmp_path / "models" / "mine.pt"), "demo, edtalk, edtalk_lip_pose"):
        assert part in str(caught.value)


def test_loaded_model_does_not_depend_on_its_file(tmp_path: Path) -> None:
    for path in (save(tmp_path / "a.pt", tiny_state()), write_bundle(tmp_path / "a.safetensors", tiny_state())):
        model = load_model(path)
        path.write_bytes(bytes(path.stat().st_size))
        assert_equal(model.state_dict(), tiny_state())


def test_model_does_not_share_memory_with_the_state() -> None:
    state = tiny_state()
    model = EDTalk.from_state_dict(state)
    state["fc.0.bias"].add_(1)
    assert_equal(model.state_dict(), tiny_state())


def test_loaded_model_can_be_trained(tmp_path: Path) -> None:
    model = load_model(write_bundle(tmp_path / "a.safetensors", tiny_state()))
    assert all(parameter.requires_grad for parameter in model.parameters())
    image = torch.zeros(1, 3, 16, 16)
    lip, _, _ = model.read_weights(image)
    lip.sum().backward()
    bias = model.lip_fc[2].bias
    with torch.no_grad():
        bias -= bias.grad
    assert torch.equal(model.state_dict()["lip_fc.2.bias"], tiny_state()["lip_fc.2.bias"] - 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_load_in_another_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    path = save(tmp_path / "a.pt", {"gen": tiny_state(), "audio2lip": audio_state()})
    model = load_model(path, dtype=dtype)
    assert model.dtype == dtype
    audio_to_lip = model.audio_to_lip.state_dict()
    model.audio_to_lip = None
    assert {value.dtype for value in model.state_dict().values()} == {dtype}
    exact = torch.promote_types(dtype, torch.float32)
    assert {value.dtype for value in audio_to_lip.values()} == {exact, torch.int64}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"device": "cuda:99"}, "cuda:99"),
        ({"device": "fast"}, "fast"),
        ({"dtype": torch.int32}, "floating point"),
    ],
    ids=["no such GPU", "no device", "integers"],
)
def test_device_or_dtype_that_cannot_be_used(tmp_path: Path, options: dict, word: str) -> None:
    save(tmp_path / "a.pt", tiny_state())
    with pytest.raises(ArgumentError, match=word):
        load_model("a.pt", **options)
