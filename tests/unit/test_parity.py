"""The networks compute what the published ones compute.

Two witnesses. `golden_seed0.npz` holds results of the reference implementation at the published size with stand-in
weights. The functions of the first half of this file are the formulas of StyleGAN2, LIA and EDTalk written the plain,
slow way (a modulated weight for every sample, zero insertion before every filter), in float64, and are compared at
small sizes with any number of seeds and inputs.
"""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edtalk_core.model import EDTalk
from edtalk_core.networks.audio_to_lip import AudioToLip
from edtalk_core.networks.layers import blur
from edtalk_core.networks.sizes import ModelSizes

SMALL = ModelSizes(
    resolution=32, style=24, lip=5, pose=3, expression=4, channels={4: 12, 8: 10, 16: 8, 32: 6}, expression_hidden=7
)


def rms_error(found: Tensor, expected: Tensor) -> float:
    """RMS error over RMS value."""
    found, expected = found.detach().double(), expected.detach().double()
    assert found.shape == expected.shape
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


# --- the formulas, the plain way -------------------------------------------------------------------------------------


def upfirdn(x: Tensor, gain: float, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """Zero insertion, padding, [1,3,3,1] filter, decimation: the definition in StyleGAN2."""
    batch, channels, height, width = x.shape
    wide = x.new_zeros(batch, channels, height * up, width * up)
    wide[:, :, ::up, ::up] = x
    wide = F.pad(wide, (*pad, *pad))
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    taps = taps / taps.sum()
    out = torch.zeros_like(wide[:, :, 3:, 3:])
    for i in range(4):
        for j in range(4):
            window = wide[:, :, i : i + out.shape[2], j : j + out.shape[3]]
            out = out + gain * taps[3 - i] * taps[3 - j] * window
    return out[:, :, ::down, ::down]


def activated(x: Tensor, bias: Tensor) -> Tensor:
    x = x + bias.reshape(1, -1, 1, 1)
    return torch.where(x >= 0, x, 0.2 * x) * math.sqrt(2)


def equal_conv(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=stride, padding=padding)


def equal_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x @ (weight / math.sqrt(weight.shape[1])).T + bias


def modulated_conv(
    x: Tensor, style: Tensor, state: dict[str, Tensor], name: str, *, demodulate: bool, up: bool
) -> Tensor:
    scales = equal_linear(style, state[f"{name}.modulation.weight"], state[f"{name}.modulation.bias"])
    results = []
    for sample, scale in zip(x, scales, strict=True):
        weight = state[f"{name}.weight"][0]
        weight = weight / math.sqrt(weight[0].numel()) * scale[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = F.conv_transpose2d(sample[None], weight.transpose(0, 1), stride=2)
            results.append(upfirdn(wide, 4.0, 1, 1, (1, 1)))
        else:
            results.append(F.conv2d(sample[None], weight, padding=weight.shape[-1] // 2))
    return torch.cat(results)


def bilinear(feature: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Feature (C,H,W) at pixel coordinates x, y (H,W); zero outside."""
    height, width = feature.shape[1:]
    left, top = x.floor(), y.floor()
    total = torch.zeros_like(feature)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
        total = total + feature[:, row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()] * share
    return total


def reference_encode(state: dict[str, Tensor], sizes: ModelSizes, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    name = "enc.net_app.convs"
    x = activated(equal_conv(image, state[f"{name}.0.0.weight"]), state[f"{name}.0.1.bias"])
    features = [x]
    blocks = len(sizes.levels)
    for i in range(1, blocks + 1):
        block = f"{name}.{i}"
        y = activated(equal_conv(x, state[f"{block}.conv1.0.weight"], padding=1), state[f"{block}.conv1.1.bias"])
        y = equal_conv(upfirdn(y, 1.0, 1, 1, (2, 2)), state[f"{block}.conv2.1.weight"], stride=2)
        y = activated(y, state[f"{block}.conv2.2.bias"])
        skip = equal_conv(upfirdn(x, 1.0, 1, 1, (1, 1)), state[f"{block}.skip.1.weight"], stride=2)
        x = (y + skip) / math.sqrt(2)
        features.append(x)
    latent = equal_conv(x, state[f"{name}.{blocks + 1}.weight"]).flatten(1)
    return latent, features[-2::-1]


def reference_heads(state: dict[str, Tensor], latent: Tensor) -> list[Tensor]:
    def layers(x: Tensor, name: str, depth: int) -> Tensor:
        for i in range(depth):
            x = equal_linear(x, state[f"{name}.{i}.weight"], state[f"{name}.{i}.bias"])
        return x

    shared = layers(latent, "fc", 4)
    return [layers(shared, f"{head}_fc", 3) for head in ("lip", "pose", "exp") if f"{head}_fc.0.weight" in state]


def reference_generate(
    state: dict[str, Tensor], sizes: ModelSizes, style: Tensor, features: list[Tensor], expression: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """Image (B,3,S,S) and raw flows for style (B,style), features (1,C,H,W), expression direction (B,style)."""
    batch = len(style)
    h = state["dec.input.input"].repeat(batch, 1, 1, 1)
    h = modulated_conv(h, style, state, "dec.conv1.conv", demodulate=True, up=False)
    h = activated(h, state["dec.conv1.activate.bias"])
    image = flow = None
    flows = []
    for level, (px, feature) in enumerate(zip(sizes.levels, features, strict=True)):
        for i, up in ((2 * level, True), (2 * level + 1, False)):
            h = modulated_conv(h, style, state, f"dec.convs.{i}.conv", demodulate=True, up=up)
            h = activated(h, state[f"dec.convs.{i}.activate.bias"])
        feature = feature.repeat(batch, 1, 1, 1)
        if expression is not None:
            name = f"dec.fineadainresblock.{level}"
            y = F.conv2d(feature, state[f"{name}.conv2.weight"], state[f"{name}.conv2.bias"], padding=1)
            variance = y.var((2, 3), unbiased=False, keepdim=True)
            y = (y - y.mean((2, 3), keepdim=True)) / (variance + 1e-5).sqrt()
            shared = torch.relu(
                F.linear(
                    expression, state[f"{name}.norm2.mlp_shared.0.weight"], state[f"{name}.norm2.mlp_shared.0.bias"]
                )
            )
            gamma, beta = (
                F.linear(shared, state[f"{name}.norm2.mlp_{part}.weight"], state[f"{name}.norm2.mlp_{part}.bias"])
                for part in ("gamma", "beta")
            )
            feature = feature + y * (1 + gamma[:, :, None, None]) + beta[:, :, None, None]
        new = modulated_conv(h, style, state, f"dec.to_flows.{level}.conv", demodulate=False, up=False)
        new = new + state[f"dec.to_flows.{level}.bias"]
        flow = new if flow is None else new + upfirdn(flow, 4.0, 2, 1, (2, 1))
        flows.append(flow)
        line = torch.linspace(-1, 1, px, dtype=h.dtype)
        grid_x = line[None, None, :] + torch.tanh(flow[:, 0])
        grid_y = line[None, :, None] + torch.tanh(flow[:, 1])
        mask = torch.sigmoid(flow[:, 2:])
        pixel_x, pixel_y = (((g + 1) * px - 1) / 2 for g in (grid_x, grid_y))
        warped = torch.stack([bilinear(f, x, y) for f, x, y in zip(feature, pixel_x, pixel_y, strict=True)]) * mask
        new = activated(
            equal_conv(warped, state[f"dec.to_rgbs.{level}.conv.0.weight"]), state[f"dec.to_rgbs.{level}.conv.1.bias"]
        )
        new = new + state[f"dec.to_rgbs.{level}.bias"]
        image = new if image is None else new + upfirdn(image, 4.0, 2, 1, (2, 1))
        h = warped + h * (1 - mask)
    assert image is not None
    return image, flows


def small_model(seed: int, sizes: ModelSizes = SMALL) -> EDTalk:
    """A model of random weights in which biases, masks and flows all matter."""
    torch.manual_seed(seed)
    model = EDTalk(sizes)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.copy_(0.3 * torch.randn_like(value) + name.endswith("modulation.bias"))
    return model.eval()


def with_expression(sizes: ModelSizes, expression: int) -> ModelSizes:
    return ModelSizes(**{**sizes.__dict__, "expression": expression})


WIDE = ModelSizes(
    resolution=64, style=48, lip=20, pose=6, expression=10, channels={4: 16, 8: 16, 16: 24, 32: 16, 64: 8}
)


@pytest.mark.parametrize(
    ("dtype", "latents", "images"),
    [pytest.param(torch.float32, 1e-5, 1e-3, id="fp32"), pytest.param(torch.float64, 1e-6, 1e-6, id="fp64")],
)
@pytest.mark.parametrize("sizes", [SMALL, WIDE, with_expression(SMALL, 0)], ids=["small", "wide", "lip-pose"])
@pytest.mark.parametrize("seed", [0, 1])
@torch.inference_mode()
def test_networks_equal_the_plain_formulas(
    sizes: ModelSizes, seed: int, dtype: torch.dtype, latents: float, images: float
):
    model = small_model(seed, sizes).to(dtype)
    state = {name: value.double() for name, value in model.state_dict().items()}
    faces = torch.rand(3, 3, sizes.resolution, sizes.resolution, dtype=dtype) * 2 - 1

    portrait = model.encode_portrait(faces[:1])
    latent, features = reference_encode(state, sizes, faces[:1].double())
    assert rms_error(portrait.latent, latent) < latents
    assert [f.shape[-1] for f in portrait.features] == list(sizes.levels)
    for found, expected in zip(portrait.features, features, strict=True):
        assert rms_error(found, expected) < latents

    read = model.read_weights(faces)
    expected_weights = reference_heads(state, reference_encode(state, sizes, faces.double())[0])
    for found, expected in zip([weights for weights in read if weights is not None], expected_weights, strict=True):
        assert rms_error(found, expected) < latents

    bank = torch.linalg.qr(torch.cat([state[n] for n in state if n.startswith("direction_")], 1) + 1e-8)[0]
    assert rms_error(model.bank(), bank) < 1e-5
    expected_direction = torch.cat(expected_weights, 1) @ bank.T
    expected_part = expected_weights[2] @ bank[:, sizes.lip + sizes.pose :].T if sizes.expression else None
    direction, part = model.directions(*read, bank=bank)
    assert rms_error(direction, expected_direction) < latents
    assert (part is None) == (expected_part is None)
    if part is not None and expected_part is not None:
        assert rms_error(part, expected_part) < latents

    image, flows = model.dec.render(portrait.latent + direction, list(portrait.features), part)
    expected_image, expected_flows = reference_generate(
        state, sizes, latent + expected_direction, features, expected_part
    )
    assert rms_error(image, expected_image) < images
    for found, expected in zip(flows, expected_flows, strict=True):
        assert rms_error(found, expected) < images


@pytest.mark.parametrize("batch", [1, 3])
def test_gradients_equal_those_of_the_plain_formulas(batch: int):
    """Training runs the same modules: every weight's gradient, through image and flows, in float64."""
    model = small_model(3).double()
    parameters = dict(model.named_parameters())
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64) * 2 - 1
    weights = [torch.randn(batch, width, dtype=torch.float64) for width in (5, 3, 4)]

    def loss(image: Tensor, flows: list[Tensor]) -> Tensor:
        ramp = torch.linspace(-1, 1, image.numel(), dtype=image.dtype).reshape(image.shape)
        return (image * ramp).sum() + sum((flow**2).mean() for flow in flows)

    def bank() -> Tensor:
        return torch.linalg.qr(torch.cat([model.direction_lipnonlip.weight, model.direction_exp.weight], 1) + 1e-8)[0]

    latent, features = model.enc["net_app"](images)
    direction, expression = model.directions(*weights, bank=bank())
    found = torch.autograd.grad(
        loss(*model.dec.render(latent + direction, features, expression)), parameters.values(), allow_unused=True
    )

    latent, features = reference_encode(parameters, SMALL, images)
    q = bank()
    expression = weights[2] @ q[:, 8:].T
    direction = torch.cat(weights, 1) @ q.T
    expected = torch.autograd.grad(
        loss(*reference_generate(parameters, SMALL, latent + direction, features, expression)),
        parameters.values(),
        allow_unused=True,
    )
    for name, ours, theirs in zip(parameters, found, expected, strict=True):
        assert (ours is None) == (theirs is None), name
        if ours is not None and theirs is not None:
            assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9), name


@pytest.mark.parametrize("size", [(5, 8), (6, 7)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pad", [1, 2])
def test_blur_and_its_gradients(pad: int, stride: int, size: tuple[int, int]):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = upfirdn(x, 4.0, 1, stride, (pad, pad))
    assert torch.allclose(blur(x, pad, 4.0, stride), expected)
    assert torch.allclose(blur(x.requires_grad_(), pad, 4.0, stride), expected)
    assert torch.autograd.gradcheck(lambda x: blur(x, pad, 4.0, stride), x)
    assert torch.autograd.gradgradcheck(lambda x: blur(x, pad, 4.0, stride).square(), x)


# --- the published size ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stand_in(shared: Path) -> ModuleType:
    """The module that makes the stand-in weights and pictures of the parity data."""
    spec = importlib.util.spec_from_file_location("reference_state", shared / "parity" / "reference_state.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published_state(shared: Path, stand_in: ModuleType, name: str) -> dict[str, Tensor]:
    manifest = json.loads((shared / "parity" / "manifest.json").read_text())
    return {key: torch.from_numpy(value) for key, value in stand_in.reference_state(manifest[name]["tensors"]).items()}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "parity" / "golden_seed0.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def pictures(stand_in: ModuleType) -> list[Tensor]:
    return [torch.from_numpy(stand_in.reference_image(i))[None] for i in range(4)]


def thinned(image: Tensor) -> Tensor:
    return image[..., ::2, ::2]


@torch.inference_mode()
def test_published_model_equals_the_reference(
    shared: Path, stand_in: ModuleType, golden: dict[str, Tensor], pictures: list[Tensor]
):
    model = EDTalk.from_state_dict(published_state(shared, stand_in, "EDTalk.pt"))
    portrait = model.encode_portrait(pictures[0])
    assert rms_error(portrait.latent, golden["identity_latent"]) <= 1e-5
    for feature in portrait.features:
        expected = golden[f"feature_{feature.shape[-1]}_stats"]
        assert rms_error(torch.stack([feature.double().mean(), feature.double().std()]), expected[:2]) <= 1e-5
        ends = torch.stack([feature[0, 0, 0, 0], feature[0, -1, -1, -1]])
        assert rms_error(ends, expected[2:]) <= 1e-4  # single values

    lip = model.read_weights(pictures[1])[0]
    pose = model.read_weights(pictures[2])[1]
    expression = model.read_weights(pictures[3])[2]
    assert expression is not None
    assert rms_error(lip, golden["lip_weights"]) <= 1e-5
    assert rms_error(pose, golden["pose_weights"]) <= 1e-5
    assert rms_error(expression, golden["expression_weights"]) <= 1e-5

    direction, expression_direction = model.directions(golden["given_lip"], pose, golden["given_expression"])
    assert expression_direction is not None
    assert rms_error(direction, golden["direction"]) <= 1e-5
    assert rms_error(expression_direction, golden["expression_direction"]) <= 1e-5

    given_lip, given_expression = golden["given_lip"], golden["given_expression"]
    inputs = {
        "image_audio_preset": (given_lip, pose, given_expression),
        "image_audio_video_expression": (given_lip, pose, expression),
        "image_video": (lip, pose, expression),
        "image_video_preset": (lip, pose, given_expression),
    }
    directions, expression_directions = model.directions(
        *(torch.cat(track) for track in zip(*inputs.values(), strict=True))
    )
    images = model.dec(portrait.latent + directions, list(portrait.features), expression_directions)
    for name, image in zip(inputs, images, strict=True):
        assert rms_error(thinned(image[None]), golden[name]) <= 1e-3, name


@torch.inference_mode()
def test_published_lip_pose_model_equals_the_reference(
    shared: Path, stand_in: ModuleType, golden: dict[str, Tensor], pictures: list[Tensor]
):
    model = EDTalk.from_state_dict(published_state(shared, stand_in, "EDTalk_lip_pose.pt"))
    portrait = model.encode_portrait(pictures[0])
    lip, pose, expression = model.read_weights(torch.cat(pictures[1:3]))
    assert expression is None
    directions, _ = model.directions(torch.cat([golden["given_lip"], lip[:1]]), pose[1:].expand(2, -1), None)
    images = model.dec(portrait.latent + directions, list(portrait.features))
    assert rms_error(thinned(images[:1]), golden["lip_pose_image_audio"]) <= 1e-3
    assert rms_error(thinned(images[1:]), golden["lip_pose_image_video"]) <= 1e-3


@torch.inference_mode()
def test_published_audio_to_lip_equals_the_reference(shared: Path, stand_in: ModuleType, golden: dict[str, Tensor]):
    model = AudioToLip.from_state_dict(published_state(shared, stand_in, "Audio2Lip.pt"))
    found = model(golden["mel_windows"][:, 0])
    assert rms_error(found, golden["audio_lip_weights"]) <= 1e-5
