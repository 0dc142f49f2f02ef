"""Weight files: reading without running them, recognising, bundles, loading."""

from __future__ import annotations

import argparse
import builtins
import hashlib
import importlib.util
import json
import logging
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
from torch import Tensor

from edtalk_core.checkpoints import convert, load_model, read_checkpoint, write_bundle
from edtalk_core.checkpoints.bundle import merge
from edtalk_core.checkpoints.catalogue import LICENSE
from edtalk_core.errors import ArgumentError, EDTalkError, UnsupportedCheckpoint
from edtalk_core.model import EDTalk
from edtalk_core.motion.presets import published_presets
from edtalk_core.networks.audio_to_lip import AudioToLip
from edtalk_core.networks.pose_flow import PoseFlow
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.recognition import recognise

State = dict[str, Tensor]

TINY = ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 6}, expression_hidden=4)
SMALL_AUDIO = tuple(range(2, 15))
AUDIO_TO_LIP = "audio_to_lip."


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDTALK_HOME", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def reference(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_state", shared / "parity" / "reference_state.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def manifest(shared: Path) -> dict[str, dict]:
    return json.loads((shared / "parity" / "manifest.json").read_text())


@pytest.fixture(scope="session")
def published(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, dict], reference: ModuleType
) -> dict[str, Path]:
    """Stand-ins of EDTalk.pt and Audio2Lip.pt: their tensors, and what else such files hold."""
    paths = {}
    for name in ("EDTalk.pt", "Audio2Lip.pt"):
        entry = manifest[name]
        state = {key: torch.from_numpy(value) for key, value in reference.reference_state(entry["tensors"]).items()}
        content = {
            entry["top_level_key"]: state,
            "dis": {"convs.0.weight": torch.ones(3)},
            "g_optim": {"state": {0: {"step": 3, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.002}]},
            "args": argparse.Namespace(size=256, exp_name="published", lr=0.002, resume=None),
        }
        paths[name] = tmp_path_factory.mktemp("published") / name
        torch.save(content, paths[name])
    return paths


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, published: dict[str, Path]) -> Path:
    return convert(list(published.values()), tmp_path_factory.mktemp("bundle") / "edtalk.safetensors")


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


def assert_equal(found: State, expected: State) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


# ---------------------------------------------------------------- reading


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
    """A pickle of this runs a function when it is opened."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


class Impostor(argparse.Namespace):
    """Looks like the class that is let through."""


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
    """So that the test above can fail."""
    marker = tmp_path / "it-ran"
    content = {"args": argparse.Namespace(evil=code_that_writes(marker, "os.system"))}
    torch.load(save(tmp_path / "a.pt", content), weights_only=False)
    assert marker.exists()


def test_namespace_is_let_through_only_while_reading(tmp_path: Path) -> None:
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
def test_spoilt_bytes_end_in_a_typed_error(tmp_path: Path, form: str, seed: int) -> None:
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
        spoilt = bytearray(sound)
        for _ in range(rng.choice([1, 10, 100])):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt[: rng.choice([len(spoilt), rng.randrange(len(spoilt))])])
        try:
            load_model(path)
        except UnsupportedCheckpoint as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert not any("\n" in message for message in messages)


# ---------------------------------------------------------------- recognising


def test_published_tensor_lists_are_recognised(manifest: dict[str, dict]) -> None:
    found = {
        name: recognise({key: torch.empty(info["shape"], device="meta") for key, info in entry["tensors"].items()})
        for name, entry in manifest.items()
    }
    assert {name: r.variant for name, r in found.items()} == {
        "EDTalk.pt": "edtalk",
        "EDTalk_lip_pose.pt": "lip_pose",
        "Audio2Lip.pt": "audio_to_lip",
    }
    assert found["EDTalk.pt"].sizes == ModelSizes()
    assert found["EDTalk_lip_pose.pt"].sizes == ModelSizes(expression=0)
    assert found["Audio2Lip.pt"].sizes is None
    assert all(r.unused == () for r in found.values())


@pytest.mark.parametrize(
    "sizes",
    [
        TINY,
        ModelSizes(resolution=16, style=8, lip=3, pose=2, expression=1, channels={4: 2, 8: 3, 16: 4}),
        ModelSizes(resolution=32, style=28, expression=0, channels={4: 5, 8: 4, 16: 3, 32: 2}),
        ModelSizes(resolution=64, style=50, lip=30, pose=9, channels={4: 8, 8: 7, 16: 6, 32: 5, 64: 4}),
        ModelSizes(resolution=512, style=36, channels={4 << level: 2 for level in range(8)}, expression_hidden=3),
    ],
    ids=["16 px", "small banks", "32 px lip+pose", "64 px wide banks", "512 px"],
)
def test_sizes_are_read_off_the_tensors(sizes: ModelSizes) -> None:
    state = tiny_state(sizes)
    recognised = recognise(state)
    assert recognised.sizes == sizes
    assert recognised.variant == sizes.variant
    model = EDTalk.from_state_dict(state)
    assert model.sizes == sizes
    assert not model.training
    assert_equal(model.state_dict(), state)


def test_whole_bundle_is_recognised_with_its_parts() -> None:
    audio = audio_state()
    recognised = recognise(tiny_state() | {AUDIO_TO_LIP + name: value for name, value in audio.items()})
    assert recognised.variant == "edtalk"
    assert_equal(recognised.parts["audio_to_lip"], audio)
    assert_equal(recognised.model, tiny_state())


def test_tensors_nobody_knows_are_reported_but_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    state = tiny_state() | {"extra.weight": torch.ones(1), "dec.to_rgb1.bias": torch.zeros(1, 3, 1, 1)}
    assert recognise(state).unused == ("extra.weight",)
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        EDTalk.from_state_dict(state)
    assert "extra.weight" in caplog.text


@pytest.mark.parametrize(
    "prefix",
    [
        "enc.net_app.convs.0.0.weight",
        "enc.net_app.convs.2.",
        "enc.net_app.convs.3.",
        "dec.",
        "dec.input",
        "dec.to_flows.1.bias",
        "dec.fineadainresblock.1",
        "fc.",
        "lip_fc.2",
        "pose_fc.",
        "exp_fc",
        "direction_lipnonlip",
        "direction_exp",
    ],
)
def test_missing_tensors_are_named_and_counted(prefix: str) -> None:
    state = tiny_state()
    missing = [name for name in state if name.startswith(prefix)]
    with pytest.raises(
        UnsupportedCheckpoint, match=f"{len(missing)} of its {len(state)} tensors are missing"
    ) as caught:
        EDTalk.from_state_dict({name: value for name, value in state.items() if name not in missing})
    assert missing[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("enc.net_app.convs.1.conv1.0.weight", (7, 6, 3, 3)),
        ("enc.net_app.convs.3.weight", (9, 4, 4, 4)),
        ("dec.convs.1.conv.weight", (1, 4, 4, 5, 5)),
        ("direction_lipnonlip.weight", (8, 25)),
        ("direction_exp.weight", (8, 11)),
        ("lip_fc.2.bias", (21,)),
        ("fc.0.weight", ()),
        ("dec.to_flows.0.bias", (1, 2, 1, 1)),
        ("dec.input.input", (1, 4, 8, 8)),
    ],
)
def test_shapes_that_contradict_each_other_are_named(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="contradict each other: ") as caught:
        EDTalk.from_state_dict(tiny_state() | {name: torch.zeros(shape)})
    assert "ask for" in str(caught.value)


FOREIGN: dict[str, tuple[list[str], str]] = {
    "Stable Diffusion 1": (["model.diffusion_model.input_blocks.0.0.weight", "alphas_cumprod"], "Stable Diffusion"),
    "its VAE first": (["first_stage_model.decoder.conv_in.weight"], "Stable Diffusion"),
    "SDXL": (["conditioner.embedders.0.transformer.x", "model.diffusion_model.out.2.bias"], "Stable Diffusion"),
    "LoRA, kohya": (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], "LoRA"),
    "LoRA, peft": (["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"], "LoRA"),
    "Flux": (["double_blocks.0.img_attn.norm.key_norm.scale"], "diffusion transformer"),
    "a diffusers UNet": (["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"], "diffusers"),
    "a VAE": (["encoder.down.0.block.0.conv1.weight", "decoder.mid.attn_1.k.bias"], "VAE"),
    "ControlNet": (["control_model.input_blocks.0.0.weight"], "ControlNet"),
    "LivePortrait": (["dense_motion_network.mask.weight", "dense_motion_network.mask.bias"], "LivePortrait"),
    "Wav2Lip": (["face_encoder_blocks.0.0.conv_block.0.weight", "audio_encoder.0.conv_block.0.weight"], "Wav2Lip"),
    "LIA": (["enc.net_app.convs.0.0.weight", "enc.fc.0.weight", "dec.direction.weight"], "LIA"),
    "GFPGAN": (["stylegan_decoder.style_mlp.1.weight", "conv_body_first.weight"], "GFPGAN"),
    "CLIP": (["text_model.embeddings.position_embedding.weight"], "CLIP"),
    "HuBERT": (["encoder.layers.0.attention.k_proj.weight"], "speech or text encoder"),
    "a classifier": (
        ["layer1.0.conv1.weight", "fc.weight", "fc.bias"],
        "not an EDTalk checkpoint: it contains 3 tensors",
    ),
}


@pytest.mark.parametrize("form", ["safetensors", "pt under state_dict"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_checkpoint_is_called_by_its_name(tmp_path: Path, kind: str, form: str) -> None:
    names, word = FOREIGN[kind]
    state = {name: torch.ones(2, 2) for name in names}
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.ckpt")
    if form == "safetensors":
        save_file(state, path)
    else:
        save(path, {"state_dict": state, "global_step": 1})
    with pytest.raises(UnsupportedCheckpoint, match=word) as caught:
        load_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert any(name in message for name in names)
    assert "enc.net_app.convs.0.0.weight" in message


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda value: value.to(torch.int8), "int8"),
        (lambda value: value.to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (lambda value: value.to(torch.complex64), "complex64"),
        (lambda value: value.to_sparse(), "sparse_coo"),
    ],
    ids=["int8", "float8", "complex", "sparse"],
)
def test_quantised_and_odd_numbers_are_refused(change: Callable[[Tensor], Tensor], word: str) -> None:
    state = tiny_state()
    state["fc.1.weight"] = change(state["fc.1.weight"])
    with pytest.raises(UnsupportedCheckpoint, match=rf"fc\.1\.weight is of type {word}"):
        EDTalk.from_state_dict(state)


def test_file_that_claims_absurd_widths_is_refused_without_making_them(tmp_path: Path) -> None:
    state = tiny_state() | {"lip_fc.2.weight": torch.zeros(1).expand(10**15, 8), "mapping.weight": torch.ones(1)}
    with pytest.raises(UnsupportedCheckpoint, match="contradict each other"):
        load_model(save(tmp_path / "a.pt", state))


def test_tensor_without_numbers_counts_as_missing(tmp_path: Path) -> None:
    state = tiny_state() | {"fc.0.bias": torch.empty(8, device="meta")}
    with pytest.raises(UnsupportedCheckpoint, match=r"are missing, fc\.0\.bias"):
        load_model(save(tmp_path / "a.pt", state))


@pytest.mark.parametrize(
    ("levels", "word"), [(10, "4096 px"), (10**8, "at most 1024 px")], ids=["4096 px", "an absurd index"]
)
def test_absurd_resolution_is_refused_at_once(levels: int, word: str) -> None:
    with pytest.raises(UnsupportedCheckpoint, match=word):
        recognise(tiny_state() | {f"enc.net_app.convs.{levels}.conv1.0.weight": torch.ones(1)})


def test_audio_network_is_checked() -> None:
    audio = audio_state()
    assert recognise(audio).variant == "audio_to_lip"
    with pytest.raises(UnsupportedCheckpoint, match=r"audio-to-lip network, but an incomplete one: 1 of its 93"):
        recognise({name: value for name, value in audio.items() if name != "mapping.bias"})
    with pytest.raises(UnsupportedCheckpoint, match="contradict each other"):
        recognise(audio | {"audio_encoder.3.conv_block.0.weight": torch.ones(5, 9, 3, 3)})
    with pytest.raises(UnsupportedCheckpoint, match="makes 7 lip weights and the model takes 20"):
        recognise(tiny_state() | {AUDIO_TO_LIP + name: value for name, value in audio_state(lip=7).items()})


def test_pose_flow_is_checked() -> None:
    flow = flow_state()
    assert recognise(flow).variant == "pose_flow"
    assert recognise(tiny_state() | flow).variant == "edtalk"
    with pytest.raises(UnsupportedCheckpoint, match="pose flow that cannot be used") as caught:
        recognise({name: value for name, value in flow.items() if "actnorm" not in name})
    assert "\n" not in str(caught.value)
    with pytest.raises(UnsupportedCheckpoint, match="makes 4 pose weights and the model takes 6"):
        recognise(tiny_state() | flow_state(pose=4))


# ---------------------------------------------------------------- bundles


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
    path = write_bundle(tmp_path / "new" / "a.safetensors", model, metadata={"about": "a test", "license": "CC0-1.0"})

    loaded = load_model(path)
    assert_equal(loaded.state_dict(), model.state_dict())
    assert loaded.presets == model.presets
    assert loaded.fps == 30
    assert torch.equal(loaded.pose_flow.sample(9, seed=3), model.pose_flow.sample(9, seed=3))
    metadata = read_checkpoint(path).metadata
    assert metadata["about"] == "a test"
    assert metadata["license"] == "CC0-1.0"
    assert metadata["variant"] == "edtalk"

    again = convert([path], tmp_path / "b.safetensors")
    assert_equal(read_checkpoint(again).tensors, read_checkpoint(path).tensors)
    kept = read_checkpoint(again).metadata
    assert {key: kept[key] for key in metadata} == metadata
    assert json.loads(kept["sources"])[0]["name"] == "a.safetensors"


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
    spoilt = tiny_state(seed=1)
    spoilt["fc.0.bias"][3] = torch.nan
    with pytest.raises(UnsupportedCheckpoint, match=r"fc\.0\.bias holds NaN"):
        write_bundle(path, spoilt)
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


# ---------------------------------------------------------------- loading


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


def test_merge_keeps_what_the_bundle_says(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a.safetensors", tiny_state(), metadata={"fps": "30", "about": "x"})
    sound = save(tmp_path / "sound.pt", {"audio2lip": audio_state()})
    tensors, metadata = merge([read_checkpoint(sound), read_checkpoint(bundle)])
    assert float(metadata["fps"]) == 30
    assert metadata["about"] == "x"
    assert len(tensors) == len(tiny_state()) + len(audio_state())


def test_latent_too_narrow_for_its_bases_is_refused():
    model = EDTalk(ModelSizes(resolution=16, style=30, channels={4: 2, 8: 2, 16: 2}, expression_hidden=2))
    with pytest.raises(UnsupportedCheckpoint, match="36 orthogonal bases"):
        recognise(model.state_dict())
