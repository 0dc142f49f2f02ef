"""Generator G: warps the identity features by a flow computed from the style latent (supplement 1.1; LIA).

Includes the expression enhancement module (EEM), which modulates the features by the expression before warping.

Three identities speed it up without changing the result. Masking (one factor per pixel) and sampling (the same for all
channels) commute with 1x1 convolutions, so `to_rgb` masks three channels instead of all, and the finest level, which
only outputs RGB, warps three channels instead of all. A style is one factor per channel, so it can be applied to the
weight of a convolution or to its input, whichever is smaller (`StyledConv`).
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
"""Warp source of a level for a slice of the batch: `Generator.warpable`, or its `enhance` (1 or frames,C,px,px)."""


def _rows(source: Tensor, frames: slice) -> Tensor:
    return source if len(source) == 1 else source[frames]


class AdaIN(nn.Module):
    """Scale and shift of normalised features from the expression direction."""

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

    The published files also contain `conv1` and `norm1`, whose result the reference overwrites before use.
    """

    def __init__(self, channels: int, style: int, hidden: int) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = AdaIN(channels, style, hidden)

    def normalised(self, feature: Tensor) -> Tensor:
        """Expression-independent part: instance norm of the convolved feature, same shape."""
        feature = self.conv2(feature)
        # Not F.instance_norm: torch 2.13 computes wrong gradients for it on a CPU, for one channels-last sample.
        variance, mean = torch.var_mean(feature, dim=(2, 3), correction=0, keepdim=True)
        return (feature - mean) * torch.rsqrt(variance + 1e-5)

    def forward(self, feature: Tensor, normalised: Tensor, expression: Tensor) -> Tensor:
        """Feature (1 or B,C,H,W), its `normalised`, expression direction (B,style) -> (B,C,H,W)."""
        scale, shift = self.norm2(expression)
        scale, shift = (factor.to(feature.dtype)[:, :, None, None] for factor in (scale, shift))
        return torch.addcmul(feature, normalised, scale).add_(shift)


class ToRGB(nn.Module):
    """1x1 convolution of the warped feature to RGB, added to the upsampled image of the coarser level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvLayer(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    @property
    def weight(self) -> Tensor:
        """Weight of the convolution as a matrix (3,C), with the scale of the equalised learning rate."""
        convolution = self.conv.convolution
        return convolution.weight[:, :, 0, 0] * convolution.scale

    def project(self, feature: Tensor) -> Tensor:
        """Apply the convolution alone, before or after the warp: (B,C,H,W) -> (B,3,H,W)."""
        return mix_channels(self.weight, feature)

    def forward(self, projected: Tensor, mask: Tensor, coarser: Tensor | None) -> Tensor:
        """Warped and projected feature (B,3,H,W), mask, image (B,3,H/2,W/2) or None -> image (B,3,H,W)."""
        masked = torch.addcmul(self.conv.activation_bias, projected, mask)
        image = F.leaky_relu_(masked, SLOPE) * SQRT2 + self.bias
        return image if coarser is None else image + upsample2(coarser)


class ToFlow(nn.Module):
    """1x1 convolution of the generator's state to flow and mask; modulated, not demodulated."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(channels, 3, 1, style)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def weight(self, style: Tensor) -> Tensor:
        """Style (B,style) -> modulated weight (B,3,C)."""
        return self.conv.weight[0, :, :, 0, 0] * self.conv.scales(style)[:, None]

    def forward(self, state: Tensor, weight: Tensor, coarser: Tensor | None) -> Tensor:
        """State (B,C,H,W), `weight` of its style, coarser raw flow (B,3,H/2,W/2) or None -> raw flow (B,3,H,W).

        Channels: x, y and mask, before tanh and sigmoid. At least float32: at 256 px, half precision has errors of a
        quarter of a pixel.
        """
        flow = mix_channels(weight.to(state.dtype), state)
        flow = flow.to(torch.promote_types(flow.dtype, torch.float32)) + self.bias
        return flow if coarser is None else flow + upsample2(coarser)


@cache
def _identity_grid(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    # The weights were trained with the reference's mismatch: a corner-aligned grid sampled with align_corners=False.
    with torch.inference_mode(False):
        line = torch.linspace(-1, 1, size, device=device, dtype=dtype)
        return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)


def warp(source: Tensor, flow: Tensor) -> Tensor:
    """Sample a source (1 or B,C,H,W) where the raw flow (B,3,H,W) points, in the precision of the flow: (B,C,H,W)."""
    grid = torch.tanh(flow).permute(0, 2, 3, 1)[..., :2] + _identity_grid(flow.shape[-1], flow.device, flow.dtype)
    source = source.to(flow.dtype).expand(len(flow), -1, -1, -1)
    return F.grid_sample(source, grid, align_corners=False)


class _Modulation(NamedTuple):
    """Modulation of the layers by the styles of a batch."""

    convs: list[tuple[Tensor, Tensor]]
    """`StyledConv.factors` of each convolution."""
    to_flows: list[Tensor]
    """`ToFlow.weight` of each level."""


class LearnedInput(nn.Module):
    """Learned constant input of the generator, 4x4 px."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class Generator(nn.Module):
    """LIA's flow-based synthesis network with EEM (without it in the lip+pose variant)."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        channels, style = sizes.channels, sizes.style
        self.input = LearnedInput(channels[4])
        self.conv1 = StyledConv(channels[4], channels[4], style)
        # Annotated with their element types.
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

        The image is not clamped. Without an expression direction, EEM is skipped.
        """
        return self.render(style, features, expression)[0]

    def render(
        self, style: Tensor, features: Sequence[Tensor], expression: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Image as in `forward`, and the raw flow (B,3,H,W) of every level, coarse first (for losses on the flow)."""
        warpable = self.warpable(features)
        if expression is not None:
            warpable = [
                self.enhance(level, feature, normalised, expression)
                for level, (feature, normalised) in enumerate(zip(warpable, self.normalised(features), strict=True))
            ]
        return self.synthesise(style, lambda level, frames: _rows(warpable[level], frames))

    def warpable(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Warp sources without EEM: the identity features, of which the finest is projected to RGB (1 or B,3,S,S)."""
        *coarse, finest = features
        return [*coarse, self.to_rgbs[-1].project(finest)]

    def normalised(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Expression-independent part of EEM for the identity features, computed once per portrait."""
        return [eem.normalised(feature) for eem, feature in zip(self.fineadainresblock, features, strict=True)]

    def enhance(self, level: int, warpable: Tensor, normalised: Tensor, expression: Tensor) -> Tensor:
        """Apply EEM: the warp source of a level for an expression direction (B,style).

        `warpable` and `normalised` are the results of these methods for the level. Returns the channels of `warpable`.
        """
        eem = self.fineadainresblock[level]
        if level < len(self.to_rgbs) - 1:
            return eem(warpable, normalised, expression)
        # The same sum after the projection, which is linear.
        scale, shift = eem.norm2(expression)
        weight = self.to_rgbs[-1].weight
        return warpable + mix_channels(weight * scale[:, None], normalised) + (shift @ weight.T)[:, :, None, None]

    def synthesise(self, style: Tensor, sources: Sources) -> tuple[Tensor, list[Tensor]]:
        """Style latent (B,style) and warp sources of the levels -> image (B,3,S,S), not clamped, and the raw flows."""
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
        """Run levels `first` to the finest for a slice of frames; `state`, `flow`, `image`: of the level before."""
        flows: list[Tensor] = []
        last = len(self.to_rgbs) - 1
        for level in range(first, last + 1):
            if flow is not None and image is not None and self._runs_frame_by_frame(level, state):
                parts = []
                for i in range(len(state)):
                    frame = slice(frames.start + i, frames.start + i + 1)
                    row = slice(i, i + 1)
                    parts.append(self._levels(level, state[row], flow[row], image[row], modulation, sources, frame))
                images, finer_flows = zip(*parts, strict=True)
                return torch.cat(images), flows + [torch.cat(frames) for frames in zip(*finer_flows, strict=True)]
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
                # Input of the next level: the warped feature where the mask is 1, the state where it is 0.
                warped = warped.to(state.dtype, memory_format=torch.channels_last)
                state = torch.lerp(state, warped, mask.to(state.dtype))
        assert image is not None
        return image, flows

    def _runs_frame_by_frame(self, level: int, state: Tensor) -> bool:
        """Whether computing frames one by one is faster from this level on.

        It is on a CPU where a frame is larger than the weights: the style is then applied to the weights, and the
        activations stay in the cache.
        """
        weight = self.convs[2 * level].conv.weight
        return (
            len(state) > 1
            and state.device.type == "cpu"
            and not torch.is_grad_enabled()
            and state[0].numel() >= weight.numel()
        )

    def frozen(self, dtype: torch.dtype) -> Generator:
        """Copy for inference, with precomputed squared weights and large weights already cast to `dtype`.

        The styled convolutions compute in `dtype`, everything else in float32. Unchanged weights are shared with this
        generator, which must not be trained meanwhile.
        """
        # Share the parameters with the copy instead of copying them; those that change are replaced below.
        generator = copy.deepcopy(self, {id(parameter): parameter for parameter in self.parameters()})
        for module in generator.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(parameter.detach().float(), requires_grad=False))
        for module in generator.modules():
            if isinstance(module, StyledConv):
                module.freeze(dtype)
        return generator.eval()
