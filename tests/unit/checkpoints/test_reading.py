"""Reading of weight files: formats, unsafe pickles, damaged files."""

from __future__ import annotations

import argparse
import builtins
import hashlib
import json
import os
import pickle
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from tiny_weights import AUDIO_TO_LIP, State, assert_equal, audio_state, save, tiny_state

from edtalk_core.checkpoints import load_model, read_checkpoint, write_bundle
from edtalk_core.errors import UnsupportedCheckpoint
from edtalk_core.networks.sizes import ModelSizes


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"gen": state, "dis": {"w": torch.ones(2)}, "args": argparse.Namespace(size=16)},
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"gen": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()},
    ],
    ids=["under gen", "top level", "under state_dict", "DataParallel under gen", "DataParallel", "parameters"],
)
def test_torch_file_gives_its_tensors(tmp_path: Path, wrap: Callable[[State], dict], legacy: bool) -> None:
    state = tiny_state()
    checkpoint = read_checkpoint(save(tmp_path / "a.pt", wrap(state), legacy=legacy))
    assert_equal(checkpoint.tensors, state)
    assert not any(value.requires_grad for value in checkpoint.tensors.values())


def test_torch_file_with_model_and_audio_gives_both(tmp_path: Path) -> None:
    state, audio = tiny_state(), audio_state()
    checkpoint = read_checkpoint(save(tmp_path / "a.pt", {"gen": state, "audio2lip": audio}))
    assert_equal(checkpoint.tensors, state | {AUDIO_TO_LIP + name: value for name, value in audio.items()})


def test_torch_file_metadata(tmp_path: Path) -> None:
    arguments = argparse.Namespace(size=16, name="a", lr=0.5, nothing=None)
    arguments.itself = arguments
    checkpoint = read_checkpoint(save(tmp_path / "a.pt", {"gen": tiny_state(), "args": arguments}))
    assert checkpoint.metadata["contents"] == "gen, args"
    assert json.loads(checkpoint.metadata["args"]) == {"size": 16, "name": "a", "lr": 0.5, "nothing": None}


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a"], ids=["usual ending", "named .pt", "no ending"])
def test_safetensors_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    state = tiny_state()
    save_file(state, tmp_path / name, metadata={"made by": "test"})
    checkpoint = read_checkpoint(tmp_path / name)
    assert_equal(checkpoint.tensors, state)
    assert checkpoint.metadata == {"made by": "test"}


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", tiny_state())
    assert read_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_published_file_reads_bit_for_bit(
    published: dict[str, Path], manifest: dict[str, dict], reference: ModuleType
) -> None:
    state = reference.reference_state(manifest["Audio2Lip.pt"]["tensors"])
    expected = {name: torch.from_numpy(value) for name, value in state.items()}
    assert_equal(read_checkpoint(published["Audio2Lip.pt"]).tensors, expected)


def resident_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory of the process is read from /proc, which this system lacks")
    return int(re.search(r"RssAnon:\s+(\d+) kB", status.read_text())[1]) / 1024


def test_reading_maps_the_file_and_loading_copies_it_once(published: dict[str, Path], bundle: Path) -> None:
    for path in (published["EDTalk.pt"], bundle):
        before = resident_mb()
        checkpoint = read_checkpoint(path)
        sum(float(value.sum()) for value in checkpoint.tensors.values())
        assert resident_mb() - before < 30
        del checkpoint
        model = load_model(path)
        weights = sum(value.numel() * value.element_size() for value in model.state_dict().values()) / 2**20
        assert weights > 200
        assert resident_mb() - before < 1.25 * weights
        del model


# ---------------------------------------------------------------- files that run code


class Command:
    """Its pickle runs a function when it is loaded."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


class Impostor(argparse.Namespace):
    """Subclass of the allowed class."""


def code_that_writes(marker: Path, kind: str) -> object:
    return {
        "os.system": Command(os.system, f"touch {marker}"),
        "exec": Command(builtins.exec, f"open({str(marker)!r}, 'w').close()"),
        "open": Command(builtins.open, str(marker), "w"),
        "eval": Command(builtins.eval, f"open({str(marker)!r}, 'w').close()"),
        "another class": Impostor(a=1),
    }[kind]


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle", "pickle named .safetensors"])
@pytest.mark.parametrize("kind", ["os.system", "exec", "open", "eval", "another class"])
def test_pickle_that_asks_for_code_is_refused_and_does_nothing(tmp_path: Path, kind: str, form: str) -> None:
    marker = tmp_path / "it-ran"
    content = {"gen": tiny_state(), "args": argparse.Namespace(size=16, evil=code_that_writes(marker, kind))}
    path = tmp_path / ("a.safetensors" if "safetensors" in form else "a.pt")
    if "pickle" in form:
        path.write_bytes(pickle.dumps(content["args"]))
    else:
        save(path, content, legacy=form == "legacy")
    with pytest.raises(UnsupportedCheckpoint, match=r"not safe to read|could run any code|damaged") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()


def test_the_same_pickle_does_run_when_it_is_trusted(tmp_path: Path) -> None:
    """Proves that the test above can fail."""
    marker = tmp_path / "it-ran"
    content = {"args": argparse.Namespace(evil=code_that_writes(marker, "os.system"))}
    torch.load(save(tmp_path / "a.pt", content), weights_only=False)
    assert marker.exists()


def test_namespace_is_allowed_only_while_reading(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", {"gen": tiny_state(), "args": argparse.Namespace(size=16)})
    read_checkpoint(path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


# ---------------------------------------------------------------- files that are no checkpoints


def _truncate(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _torchscript(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:  # as torch.jit.save lays it out
        for name in ("a/data.pkl", "a/code/__torch__.py", "a/constants.pkl"):
            archive.writestr(name, "x")
    return path


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("EDTalk/readme.txt", "unpack me")
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _safetensors(path: Path, share: float = 1.0) -> Path:
    save_file(tiny_state(), path)
    return _truncate(path, share)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 257003003\n"
HTML = b"\n<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"

BAD_FILES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "missing": ("a.pt", lambda path: path, "does not exist"),
    "a folder": ("a.pt", _folder, "is a folder"),
    "empty": ("a.pt", lambda path: _write(path, b""), "empty"),
    "web page": ("a.pt", lambda path: _write(path, HTML), "web page"),
    "web page named safetensors": ("a.safetensors", lambda path: _write(path, HTML), "web page"),
    "web page after a comment": ("a.pt", lambda path: _write(path, b"<!-- saved -->\n<HTML lang='en'>"), "web page"),
    "git-lfs pointer": ("a.pt", lambda path: _write(path, LFS), "git-lfs pointer"),
    "git-lfs pointer named safetensors": ("a.safetensors", lambda path: _write(path, LFS), "git lfs pull"),
    "text": ("a.pt", lambda path: _write(path, b"Entry not found"), "text that starts with 'Entry not found'"),
    "text beyond ascii": ("a.pt", lambda path: _write(path, "é".encode() * 4000), "text that starts with"),
    "a picture": ("a.pt", lambda path: _write(path, b"\x89PNG\r\n\x1a\n" + bytes(range(255))), "PNG picture"),
    "random bytes": ("a.pt", lambda path: _write(path, bytes([200, *range(256)]) * 9), "not a weight file"),
    "random bytes named safetensors": (
        "a.safetensors",
        lambda path: _write(path, bytes([200, *range(256)]) * 9),
        "does not start with a safetensors header",
    ),
    "safetensors named so but PyTorch": (
        "a.safetensors",
        lambda path: save(path, tiny_state()),
        "rename it to a.pt",
    ),
    "zip cut off": ("a.pt", lambda path: _truncate(save(path, tiny_state()), 0.7), "truncated"),
    "zip cut to its first bytes": ("a.pt", lambda path: _truncate(save(path, tiny_state()), 0.01), "truncated"),
    "legacy cut off": ("a.pt", lambda path: _truncate(save(path, tiny_state(), legacy=True), 0.7), "damaged"),
    "legacy cut in its header": (
        "a.pt",
        lambda path: _truncate(save(path, tiny_state(), legacy=True), 0.01),
        "damaged",
    ),
    "safetensors cut off": ("a.safetensors", lambda path: _safetensors(path, 0.7), "damaged or incomplete"),
    "safetensors cut in its header": ("a.safetensors", lambda path: _safetensors(path, 0.02), "damaged or incomplete"),
    "safetensors of 4 bytes": ("a.safetensors", lambda path: _write(path, b"\0\0\0\1"), "damaged or incomplete"),
    "safetensors with a header that lies": (
        "a.safetensors",
        lambda path: _write(path, struct.pack("<Q", 2**60) + b"{}"),
        "damaged or incomplete",
    ),
    "zip without weights": ("a.pt", _zip, "zip archive without PyTorch weights; it holds EDTalk/readme.txt"),
    "TorchScript": ("a.pt", _torchscript, "TorchScript"),
    "a list": ("a.pt", lambda path: save(path, [torch.ones(2)]), "holds a list"),
    "a single tensor": ("a.pt", lambda path: save(path, torch.ones(2)), "holds a Tensor"),
    "a whole module": ("a.pt", lambda path: save(path, torch.nn.Linear(2, 2)), "not safe to read"),
    "no tensors": ("a.pt", lambda path: save(path, {"gen": {}, "args": argparse.Namespace()}), "no tensors"),
    "numbers instead of tensors": ("a.pt", lambda path: save(path, {"gen": {"w": [1.0, 2.0]}}), "no tensors"),
    "safetensors without tensors": ("a.safetensors", lambda path: (save_file({}, path), path)[1], "no tensors"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_named_with_what_it_is(tmp_path: Path, case: str) -> None:
    name, make, word = BAD_FILES[case]
    path = make(tmp_path / name)
    with pytest.raises(UnsupportedCheckpoint, match=re.escape(word)) as caught:
        load_model(path) if path.exists() else read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_corrupted_bytes_end_in_a_typed_error(tmp_path: Path, form: str, seed: int) -> None:
    sizes = ModelSizes(resolution=16, style=4, lip=2, pose=1, expression=1, channels={4: 1, 8: 1, 16: 1})
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.pt")
    if form == "safetensors":
        write_bundle(path, tiny_state(sizes))
    else:
        save(path, {"gen": tiny_state(sizes), "args": argparse.Namespace(size=16)}, legacy=form == "legacy")
    sound = path.read_bytes()
    rng = random.Random(seed)
    messages = []
    for _ in range(15):
        corrupted = bytearray(sound)
        for _ in range(rng.choice([1, 10, 100])):
            corrupted[rng.randrange(len(corrupted))] = rng.randrange(256)
        path.write_bytes(corrupted[: rng.choice([len(corrupted), rng.randrange(len(corrupted))])])
        try:
            load_model(path)
        except UnsupportedCheckpoint as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert not any("\n" in message for message in messages)
