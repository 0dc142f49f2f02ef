"""Generator G: warps the identity features by a flow that the style latent commands (supplement 1.1; LIA).

With the expression enhancement module (EEM), which lets the expression modulate the features before they are warped.

Three identities make it quick without changing what it computes. A mask is one number a pixel and sampling treats all
channels alike, so both commute with 1x1 convolutions: `to_rgb` masks three channels instead of all, and at the finest
level, where nothing but RGB is wanted, three channels are warped instead of all. And a style is one factor a channel,
which can go to a convolution's weight or to its input, whichever is smaller (`StyledConv`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import SLOPE, SQRT2, ConvLayer, ModulatedConv2d, StyledConv, mix_channels, upsample2
from .sizes import ModelSizes

Sources = Callable[[int, slice], Tensor]
"""What a level warps for some frames of the batch: `Generator.warpable`, or `enhance` of it (1 or frames,C,px,px)."""


def _rows(source: Tensor, frames: slice) -> Tensor:
    return source if len(source) == 1 else source[frames]


class AdaIN(nn.Module):
    """Scale and shift of normalised features from the expression direction. The normalisation itself has no weights."""

    def __init__(self, channels: int, style: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(style, hidden), nn.ReLU())
        self.mlp_gamma = nn.Linear(hidden, channels)
        self.mlp_beta = nn.Linear(hidden, channels)

    def forward(self, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Expression direction (B,style) -> scale (1 + gamma) and shift, each (B,channels)."""
        hidden = self.mlp_shared(expression)
        return 1 + self.mlp_gamma(hidden), self.mlp_beta(hidden)


class EEM(nn.Module):
    """Expression enhancement: feature + AdaIN(conv(feature), expression).

    The published files also hold `conv1` and `norm1`, whose result the reference overwrites before use.
    """

    def __init__(self, channels: int, style: int, hidden: int) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = AdaIN(channels, style, hidden)

    def normalised(self, feature: Tensor) -> Tensor:
        """The part that does not depend on the expression: instance norm of the convolved feature, same shape."""
        feature = self.conv2(feature)
        # Written out: of F.instance_norm, torch 2.13 computes wrong gradients on a CPU for one channels-last sample.
        variance, mean = torch.var_mean(feature, dim=(2, 3), correction=0, keepdim=True)
        return (feature - mean) * torch.rsqrt(variance + 1e-5)

    def forward(self, feature: Tensor, normalised: Tensor, expression: Tensor) -> Tensor:
        """Feature (1 or B,C,H,W), its `normalised`, expression direction (B,style) -> (B,C,H,W)."""
        scale, shift = self.norm2(expression)
        scale, shift = (factor.to(feature.dtype)[:, :, None, None] for factor in (scale, shift))
        return torch.addcmul(feature, normalised, scale).add_(shift)


class ToRGB(nn.Module):
    """1x1 convolution of the warped feature to an RGB contribution, added to the enlarged coarser image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvLayer(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    @property
    def weight(self) -> Tensor:
        """The convolution's weight as a matrix (3,C), scaled for the equalised learning rate."""
        convolution = self.conv.convolution
        return convolution.weight[:, :, 0, 0] * convolution.scale

    def project(self, feature: Tensor) -> Tensor:
        """The convolution alone, which may come before or after the warp: (B,C,H,W) -> (B,3,H,W)."""
        return mix_channels(self.weight, feature)

    def forward(self, projected: Tensor, mask: Tensor, coarser: Tensor | None) -> Tensor:
        """Warped and projected feature (B,3,H,W), mask, image (B,3,H/2,W/2) or None -> image (B,3,H,W)."""
        masked = torch.addcmul(self.conv.activation_bias, projected, mask)
        image = F.leaky_relu_(masked, SLOPE) * SQRT2 + self.bias
        return image if coarser is None else image + upsample2(coarser)


class ToFlow(nn.Module):
    """Flow and mask from the generator's state: a 1x1 convolution, modulated but not demodulated."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(channels, 3, 1, style)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def weight(self, style: Tensor) -> Tensor:
        """Style (B,style) -> modulated weight (B,3,C)."""
        return self.conv.weight[0, :, :, 0, 0] * self.conv.scales(style)[:, None]

    def forward(self, state: Tensor, weight: Tensor, coarser: Tensor | None) -> Tensor:
        """State (B,C,H,W), `weight` of its style, coarser raw flow (B,3,H/2,W/2) or None -> raw flow (B,3,H,W).

        Channels: x, y and mask, before tanh and sigmoid. At least float32: at 256 px half precision would move pixels
        by a quarter of their width.
        """
        flow = mix_channels(weight.to(state.dtype), state)
        flow = flow.to(torch.promote_types(flow.dtype, torch.float32)) + self.bias
        return flow if coarser is None else flow + upsample2(coarser)


@cache
def _identity_grid(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    # The trained weights hold the reference's mismatch: a grid over corners, sampled with align_corners=False.
    with torch.inference_mode(False):
        line = torch.linspace(-1, 1, size, device=device, dtype=dtype)
        return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)


def warp(source: Tensor, flow: Tensor) -> Tensor:
    """Sample a source (1 or B,C,H,W) where the raw flow (B,3,H,W) points, in the precision of the flow: (B,C,H,W)."""
    grid = torch.tanh(flow).permute(0, 2, 3, 1)[..., :2] + _identity_grid(flow.shape[-1], flow.device, flow.dtype)
    source = source.to(flow.dtype).expand(len(flow), -1, -1, -1)
    return F.grid_sample(source, grid, align_corners=False)


class _Modulation(NamedTuple):
    """What the styles of a batch do to the layers."""

    convs: list[tuple[Tensor, Tensor]]
    """`StyledConv.factors`."""
    to_flows: list[Tensor]
    """`ToFlow.weight`."""


class LearnedInput(nn.Module):
    """The learned 4x4 tensor that the generator starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class Generator(nn.Module):
    """LIA's flow-based synthesis network with EEM (none in the lip+pose variant)."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        channels, style = sizes.channels, sizes.style
        self.input = LearnedInput(channels[4])
        self.conv1 = StyledConv(channels[4], channels[4], style)
        # Typed by what they hold.
        self.convs: list[StyledConv] = nn.ModuleList()  # type: ignore[assignment]
        self.to_rgbs: list[ToRGB] = nn.ModuleList()  # type: ignore[assignment]
        self.to_flows: list[ToFlow] = nn.ModuleList()  # type: ignore[assignment]
        if sizes.expression:
            self.fineadainresblock: list[EEM] = nn.ModuleList()  # type: ignore[assignment]
        for px in sizes.levels:
            self.convs.append(StyledConv(channels[px // 2], channels[px], style, upsample=True))
            self.convs.append(StyledConv(channels[px], channels[px], style))
            self.to_rgbs.append(ToRGB(channels[px]))
            self.to_flows.append(ToFlow(channels[px], style))
            if sizes.expression:
                self.fineadainresblock.append(EEM(channels[px], style, sizes.expression_hidden))

    def forward(self, style: Tensor, features: list[Tensor], expression: Tensor | None = None) -> Tensor:
        """Style latent (B,style), identity features, expression direction (B,style) or None -> image (B,3,S,S).

        The image is not clamped. Without an expression direction EEM is left out.
        """
        return self.render(style, features, expression)[0]

    def render(
        self, style: Tensor, features: Sequence[Tensor], expression: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the raw flow (B,3,H,W) of every level, coarse first (for losses on the flow)."""
        warpable = self.warpable(features)
        if expression is not None:
            warpable = [
                self.enhance(level, feature, normalised, expression)
                for level, (feature, normalised) in enumerate(zip(warpable, self.normalised(features), strict=True))
            ]
        return self.synthesise(style, lambda level, frames: _rows(warpable[level], frames))

    def warpable(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The identity features as the levels warp them, without EEM: the finest is projected to RGB (1 or B,3,S,S)."""
        *coarse, finest = features
        return [*coarse, self.to_rgbs[-1].project(finest)]

    def normalised(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What EEM makes of the identity features whatever the expression is: once a portrait."""
        return [eem.normalised(feature) for eem, feature in zip(self.fineadainresblock, features, strict=True)]

    def enhance(self, level: int, warpable: Tensor, normalised: Tensor, expression: Tensor) -> Tensor:
        """EEM: what a level warps given the expression direction (B,style).

        `warpable` and `normalised`: this level's of the methods of these names. Same channels as `warpable`.
        """
        eem = self.fineadainresblock[level]
        if level < len(self.to_rgbs) - 1:
            return eem(warpable, normalised, expression)
        # The same sum after the projection, which is linear.
        scale, shift = eem.norm2(expression)
        weight = self.to_rgbs[-1].weight
        return warpable + mix_channels(weight * scale[:, None], normalised) + (shift @ weight.T)[:, :, None, None]

    def synthesise(self, style: Tensor, sources: Sources) -> tuple[Tensor, list[Tensor]]:
        """Style latent (B,style) and what the levels warp -> image (B,3,S,S), not clamped, and the raw flows."""
        modulation = _Modulation(
            [conv.factors(style) for conv in self.convs], [to_flow.weight(style) for to_flow in self.to_flows]
        )
        start = self.input.input.to(self.conv1.conv.weight.dtype).expand(len(style), -1, -1, -1)
        state = self.conv1(start.contiguous(memory_format=torch.channels_last), *self.conv1.factors(style))
        return self._levels(0, state, None, None, modulation, sources, slice(0, len(style)))

    def _levels(
        self,
        first: int,
        state: Tensor,
        flow: Tensor | None,
        image: Tensor | None,
        modulation: _Modulation,
        sources: Sources,
        frames: slice,
    ) -> tuple[Tensor, list[Tensor]]:
        """From level `first` to the finest, for some frames; `state`, `flow` and `image` are of the level before."""
        flows: list[Tensor] = []
        last = len(self.to_rgbs) - 1
        for level in range(first, last + 1):
            if flow is not None and image is not None and self._one_by_one(level, state):
                parts = []
                for i in range(len(state)):
                    frame = slice(frames.start + i, frames.start + i + 1)
                    one = slice(i, i + 1)
                    parts.append(self._levels(level, state[one], flow[one], image[one], modulation, sources, frame))
                images, finer = zip(*parts, strict=True)
                return torch.cat(images), flows + [torch.cat(same) for same in zip(*finer, strict=True)]
            for conv in (2 * level, 2 * level + 1):
                scales, gains = modulation.convs[conv]
                state = self.convs[conv](state, scales[frames], gains[frames])
            flow = self.to_flows[level](state, modulation.to_flows[level][frames], flow)
            flows.append(flow)
            to_rgb = self.to_rgbs[level]
            warped = warp(sources(level, frames), flow)
            mask = torch.sigmoid(flow[:, 2:])
            image = to_rgb(warped if level == last else to_rgb.project(warped), mask, image)
            if level < last:
                # Input of the next level: the masked feature, completed by the state where the mask is closed.
                warped = warped.to(state.dtype, memory_format=torch.channels_last)
                state = torch.lerp(state, warped, mask.to(state.dtype))
        assert image is not None
        return image, flows

    def _one_by_one(self, level: int, state: Tensor) -> bool:
        """Whether frames are better computed one after the other from this level on.

        On a CPU they are where one frame is larger than the weights: the style then goes to the weights, and what is
        computed stays in the cache.
        """
        weight = self.convs[2 * level].conv.weight
        return (
            len(state) > 1
            and state.device.type == "cpu"
            and not torch.is_grad_enabled()
            and state[0].numel() >= weight.numel()
        )

    def frozen(self, dtype: torch.dtype) -> Generator:
        """A copy for rendering alone: what depends on the weights only is computed, and the large weights cast, once.

        The styled convolutions compute in `dtype`, everything else in float32. Weights that stay as they are, are
        shared with this generator, which must not be trained meanwhile.
        """
        # Parameters are shared by the copy, then replaced one by one.
        generator = copy.deepcopy(self, {id(parameter): parameter for parameter in self.parameters()})
        for module in generator.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(parameter.detach().float(), requires_grad=False))
        for module in generator.modules():
            if isinstance(module, StyledConv):
                module.freeze(dtype)
        return generator.eval()
