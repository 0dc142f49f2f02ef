"""Initialisation: a new model as an identity copy, and growing a trained model to twice its resolution.

A generator that starts by copying the portrait's pixels only has to learn where to move them. It is sharp from the
first step, also after growing; with a random initialisation the images are blurred for thousands of steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.clips import Clip
from ..data.landmark_motion import LandmarkMotion
from ..errors import EDTalkError
from ..face.face_model import EXPRESSION_BASES, face_model
from ..face.landmarks import STABLE
from ..media.picture import pictures_to_images
from ..model import EDTalk
from ..motion.motion import TRACKS
from ..networks.encoder import Encoder
from ..networks.generator import EEM, ToRGB
from ..networks.sizes import ModelSizes
from ..parts import PARTS

RIDGE = 0.01
"""Ridge relative to the mean variance of the latent's components."""
BETWEEN_CLIPS = 0.5
CHANGE_WEIGHT = 0.5
"""Weight of a known change between two frames, relative to that of a frame's deviation from its clip's mean."""

OPEN_MASK = 4.0
"""Mask logit at which 98 % of the warped feature passes."""


@torch.no_grad()
def identity_copy(model: EDTalk) -> None:
    """Make the finest feature hold RGB and the finest `to_rgb` decode it; no motion, coarser levels output zero."""
    _carry_rgb(model.enc["net_app"])
    for to_rgb, to_flow in zip(model.dec.to_rgbs, model.dec.to_flows, strict=True):
        _silence(to_rgb)
        to_flow.conv.weight.zero_()
        to_flow.bias.zero_()
    _read_rgb(model.dec.to_rgbs[-1])
    model.dec.to_flows[-1].bias[:, 2] = OPEN_MASK
    if model.sizes.expression:
        for eem in model.dec.fineadainresblock:
            _silence_eem(eem)
        # Until the expression is trained its weights are zero, rather than noise.
        model.exp_fc[-1].weight.zero_()


@torch.no_grad()
def fit_heads(
    model: EDTalk,
    clips: Sequence[Clip],
    motion: LandmarkMotion,
    changes: Iterable[tuple[Tensor, Tensor]] = (),
    frames: int = 24,
) -> None:
    """Fit the heads to the measurements of `motion` by ridge regression, and tie them to the banks.

    Uses `frames` evenly spaced frames of each clip. Variation within clips has the higher weight: clips also differ in
    identity. `changes` are pairs of images (2,3,S,S) that differ in expression alone, by known weights (expression,).
    """
    sizes = model.sizes
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    for clip in clips:
        indexes = np.unique(np.linspace(0, len(clip) - 1, frames).astype(int))
        pictures = np.stack([clip.frame(int(index), sizes.resolution) for index in indexes])
        latent = model.enc["net_app"].latent(pictures_to_images(pictures).to(model.device)).double().cpu()
        measured = motion.measure(clip.points[indexes], clip.info.name)
        target = torch.from_numpy(
            np.concatenate([measured[name][:, : getattr(sizes, name)] for name in TRACKS], axis=1)
        ).double()
        if target.shape[1] != sizes.lip + sizes.pose + sizes.expression:
            raise EDTalkError(
                f"The clips show {target.shape[1]} independent movements, too few to fit the heads of "
                f"{sizes.lip + sizes.pose + sizes.expression} bases: prepare more clips, or set fit_heads=false."
            )
        for values, rows in ((latent, inputs), (target, targets)):
            mean = values.mean(0, keepdim=True)
            rows += [values - mean, mean * (BETWEEN_CLIPS * len(indexes) ** 0.5)]
    for images, change in changes:
        before, after = model.enc["net_app"].latent(images.to(model.device)).double().cpu()
        inputs.append(CHANGE_WEIGHT * (after - before)[None])
        targets.append(CHANGE_WEIGHT * F.pad(change.double(), (sizes.lip + sizes.pose, 0))[None])
    x, y = torch.cat(inputs), torch.cat(targets)
    gram = x.T @ x
    weights = torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram)), x.T @ y).float()
    identity = torch.eye(sizes.style)
    for layer in (*model.fc, *(layer for head in _heads(model) for layer in list(head)[:-1])):
        layer.weight.copy_(identity / layer.scale)
        layer.bias.zero_()
    widths = [getattr(sizes, name) for name in TRACKS]
    for head, columns in zip(_heads(model), weights.split(widths, 1), strict=False):
        head[-1].weight.copy_(columns.T / head[-1].scale)
        head[-1].bias.zero_()
    tie_heads(model)


@torch.no_grad()
def turn_expression_bank(model: EDTalk, motion: LandmarkMotion) -> None:
    """Turn the expression bank within its span so that its bases begin as near as possible to EXPRESSION_BASES.

    The bank's present meaning is that of `motion`: principal components of landmarks. The rotation is the orthogonal
    Procrustes solution for how the named bases move the landmarks. Lip and pose banks are unchanged, and what a named
    base moves that the bank could not express has to be learned.
    """
    mesh = face_model()
    flip = np.array([1, -1])
    rest = mesh.neutral[mesh.landmarks][STABLE, :2] * flip
    z, template = rest @ [1, 1j], motion.template @ [1, 1j]
    z, template = z - z.mean(), template - template.mean()
    scale = float((z.conj() @ template).real / (z.conj() @ z).real)
    named = np.stack(
        [
            motion.expression_change(scale * displacement[mesh.landmarks][:, :2] * flip)
            for displacement in mesh.fitted[: len(EXPRESSION_BASES)]
        ],
        axis=1,
    )
    u, _, vt = np.linalg.svd(named / np.linalg.norm(named, axis=0))
    expression = model.bank()[:, model.sizes.lip + model.sizes.pose :]
    model.direction_exp.weight.copy_(expression.double() @ torch.from_numpy(u @ vt))


def _heads(model: EDTalk) -> list[nn.Sequential]:
    return [model.lip_fc, model.pose_fc, *([model.exp_fc] if model.sizes.expression else [])]


@torch.no_grad()
def tie_heads(model: EDTalk) -> None:
    """Make the identity latent's components along the banks exactly minus the heads' weights, which stay unchanged.

    Along the banks, the style latent is then the motion from portrait to driver, and a portrait driven by its own
    weights is reproduced exactly. All heads are linear: their map, without its constant, is moved into the encoder's
    last layer, and the heads become the bank itself.
    """
    q = model.bank()
    identity = torch.eye(model.sizes.style, device=q.device)

    def read(latent: Tensor) -> Tensor:
        return torch.cat([weights for weights in model.heads(latent) if weights is not None], 1)

    constant = read(torch.zeros_like(identity[:1]))
    reading = (read(identity) - constant).T
    last = model.enc["net_app"].convs[-1]
    moved = identity - q @ (q.T + reading)
    last.weight.copy_(torch.einsum("oi,ihwc->ohwc", moved, last.weight))
    heads = _heads(model)
    for layer in (*model.fc, *(layer for head in heads for layer in list(head)[:-1])):
        layer.weight.copy_(identity / layer.scale)
        layer.bias.zero_()
    for head, columns in zip(heads, q.split([head[-1].weight.shape[0] for head in heads], 1), strict=True):
        head[-1].weight.copy_(-columns.T / head[-1].scale)
        head[-1].bias.zero_()
    if model.audio_to_lip is not None:
        model.audio_to_lip.mapping.bias.sub_(constant[0, : model.sizes.lip])


def _carry_rgb(encoder: Encoder) -> None:
    """Channels 0-2 of the finest feature become sqrt(2) * (rgb + 1): shifted to be positive, so the ReLU is linear."""
    conv, activation = encoder.convs[0]
    conv.weight[:3] = 0
    for channel in range(3):
        conv.weight[channel, channel] = 1 / conv.scale
    activation.bias[:, :3] = 1


def _read_rgb(to_rgb: ToRGB) -> None:
    """Inverse of `_carry_rgb`."""
    conv, activation = to_rgb.conv
    conv.weight.zero_()
    for channel in range(3):
        conv.weight[channel, channel] = 0.5 / conv.scale
    activation.bias.zero_()
    to_rgb.bias.fill_(-1)


def _silence_eem(eem: EEM) -> None:
    """EEM adds AdaIN(conv(feature)): initialise it to add nothing."""
    eem.norm2.mlp_gamma.weight.mul_(0.1)
    eem.norm2.mlp_gamma.bias.fill_(-1)
    eem.norm2.mlp_beta.weight.mul_(0.1)
    eem.norm2.mlp_beta.bias.zero_()


@torch.no_grad()
def remove_eem(model: EDTalk) -> None:
    """Make EEM add nothing, whatever the expression."""
    for eem in model.dec.fineadainresblock:
        for layer, constant in ((eem.norm2.mlp_gamma, -1.0), (eem.norm2.mlp_beta, 0.0)):
            layer.weight.zero_()
            layer.bias.fill_(constant)


def _silence(to_rgb: ToRGB) -> None:
    conv, activation = to_rgb.conv
    conv.weight.zero_()
    activation.bias.zero_()
    to_rgb.bias.zero_()


@torch.no_grad()
def grow(model: EDTalk, channels: int) -> EDTalk:
    """Grow a model to twice the resolution, with `channels` features at the new size.

    The new encoder block halves the picture and passes it unchanged to the old first layer; the new finest level
    repeats the flow and copies RGB, and the coarser levels keep only what they had learned to add to the copy.
    """
    old = model.sizes
    size = old.resolution * 2
    sizes = ModelSizes(**{**old.__dict__, "resolution": size, "channels": {**old.channels, size: channels}})
    grown = EDTalk(sizes).to(model.device)
    for part in PARTS:
        setattr(grown, part.name, getattr(model, part.name))
    grown.presets, grown.bases, grown.fps = model.presets, model.bases, model.fps
    # All but the encoder, whose blocks move on by one, and what is new in the generator.
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("enc.net_app.convs.")}
    grown.load_state_dict(state, strict=False)
    encoder, before = grown.enc["net_app"], model.enc["net_app"]
    _carry_rgb(encoder)
    # A second, negated copy of RGB is not needed: shifted colours pass every leaky ReLU unchanged but for sqrt(2).
    block, first = encoder.convs[1], before.convs[0]
    conv, activation = block.conv1
    conv.weight.mul_(0.1)
    conv.weight[:3] = 0
    for channel in range(3):
        conv.weight[channel, channel, 1, 1] = 1 / (math.sqrt(2) * conv.scale)
    activation.bias.zero_()
    # Now channels 0-2 are sqrt(2) (rgb + 1). Fold the shift into the bias of what was the first layer.
    _, conv, activation = block.conv2
    weight, scale = first[0].weight[:, :, 0, 0] * first[0].scale, math.sqrt(2)
    conv.weight.zero_()
    conv.weight[:, :3, 1, 1] = weight * scale / (math.sqrt(2) * conv.scale)
    activation.bias.copy_((first[1].bias - weight.sum(1)[None, :, None, None]) * scale)
    block.skip[1].weight.zero_()
    for index, layer in enumerate(before.convs[1:]):
        encoder.convs[index + 2].load_state_dict(layer.state_dict())

    to_rgb = grown.dec.to_rgbs[-2]
    copy = ToRGB(old.channels[old.resolution]).to(model.device)
    _read_rgb(copy)
    # A shift keeps the argument of the leaky ReLU positive, where the difference of two layers is exact.
    shift = 2.0
    to_rgb.conv[0].weight.sub_(copy.conv[0].weight)
    to_rgb.conv[1].bias.add_(shift - copy.conv[1].bias)
    to_rgb.bias.add_(-copy.bias - shift * math.sqrt(2))
    _read_rgb(grown.dec.to_rgbs[-1])
    to_flow = grown.dec.to_flows[-1]
    to_flow.conv.weight.zero_()
    to_flow.bias.zero_()
    if sizes.expression:
        _silence_eem(grown.dec.fineadainresblock[-1])
    return grown


def small_channels(resolution: int) -> dict[int, int]:
    """Feature channels of the demo model: a quarter of the published widths, cheap where pixels are many."""
    widths = {4: 128, 8: 128, 16: 128, 32: 128, 64: 64, 128: 32, 256: 16, 512: 8, 1024: 4}
    return {px: width for px, width in widths.items() if px <= resolution}
