"""Recognition of networks and their sizes from tensors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_weights import AUDIO_TO_LIP, TINY, assert_equal, audio_state, flow_state, save, tiny_state
from torch import Tensor

from edtalk_core.checkpoints import load_model
from edtalk_core.errors import UnsupportedCheckpoint
from edtalk_core.model import EDTalk
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.networks.talking_head import TalkingHead
from edtalk_core.recognition import recognise


def test_published_tensor_lists_are_recognised(manifest: dict[str, dict]) -> None:
    recognised = {
        name: recognise({key: torch.empty(info["shape"], device="meta") for key, info in entry["tensors"].items()})
        for name, entry in manifest.items()
    }
    assert {name: r.variant for name, r in recognised.items()} == {
        "EDTalk.pt": "edtalk",
        "EDTalk_lip_pose.pt": "lip_pose",
        "Audio2Lip.pt": "audio_to_lip",
    }
    assert recognised["EDTalk.pt"].sizes == ModelSizes()
    assert recognised["EDTalk_lip_pose.pt"].sizes == ModelSizes(expression=0)
    assert recognised["Audio2Lip.pt"].sizes is None
    assert all(r.unused == () for r in recognised.values())


@pytest.mark.parametrize(
    "sizes",
    [
        TINY,
        ModelSizes(resolution=16, style=8, lip=3, pose=2, expression=1, channels={4: 2, 8: 3, 16: 4}),
        ModelSizes(resolution=32, style=28, expression=0, channels={4: 5, 8: 4, 16: 3, 32: 2}),
        ModelSizes(resolution=64, style=50, lip=30, pose=9, channels={4: 8, 8: 7, 16: 6, 32: 5, 64: 4}),
        ModelSizes(resolution=512, style=36, channels={4 << level: 2 for level in range(8)}, expression_hidden=3),
        ModelSizes(resolution=16, style=8, lip=8, pose=8, expression=8, channels={4: 2, 8: 3, 16: 4}, orthogonal=False),
    ],
    ids=["16 px", "small banks", "32 px lip+pose", "64 px wide banks", "512 px", "free banks"],
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


def test_bundle_is_recognised_with_its_parts() -> None:
    audio = audio_state()
    recognised = recognise(tiny_state() | {AUDIO_TO_LIP + name: value for name, value in audio.items()})
    assert recognised.variant == "edtalk"
    assert_equal(recognised.parts["audio_to_lip"], audio)
    assert_equal(recognised.model, tiny_state())


def test_unknown_tensors_are_reported_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
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


OTHER_MODELS: dict[str, tuple[list[str], str]] = {
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
@pytest.mark.parametrize("kind", OTHER_MODELS)
def test_checkpoint_of_another_model_is_named(tmp_path: Path, kind: str, form: str) -> None:
    names, word = OTHER_MODELS[kind]
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
        EDTalk.from_state_dict(state)
    with pytest.raises(UnsupportedCheckpoint, match="4 bytes of lip_fc"):
        load_model(save(tmp_path / "a.pt", state))


def test_model_that_claims_absurd_widths_throughout_is_refused_without_making_it() -> None:
    with torch.device("meta"):
        state = TalkingHead(ModelSizes(channels=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 4096))).state_dict()
    with pytest.raises(UnsupportedCheckpoint, match=r"4,8\d\d,\d\d\d,\d\d\d parameters"):
        recognise(state)


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


def test_latent_too_narrow_for_its_bases_is_refused():
    model = EDTalk(ModelSizes(resolution=16, style=30, channels={4: 2, 8: 2, 16: 2}, expression_hidden=2))
    with pytest.raises(UnsupportedCheckpoint, match="36 orthogonal bases"):
        recognise(model.state_dict())
