"""Generator G: warps the identity features by a flow that the style latent commands (supplement 1.1; LIA).

With the expression enhancement module (EEM), which lets the expression modulate the features before they are warped.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvLayer, ModulatedConv2d, StyledConv, upsample2
from .sizes import ModelSizes


class AdaIN(nn.Module):
    """Scale and shift of normalised features from the expression direction. The normalisation itself has no weights."""

    def __init__(self, channels: int, style: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(style, hidden), nn.ReLU())
        self.mlp_gamma = nn.Linear(hidden, channels)
        self.mlp_beta = nn.Linear(hidden, channels)

    def forward(self, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Expression direction (B,style) -> scale (1 + gamma) and shift, each (B,channels,1,1)."""
        hidden = self.mlp_shared(expression)
        return 1 + self.mlp_gamma(hidden)[:, :, None, None], self.mlp_beta(hidden)[:, :, None, None]


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
        return F.instance_norm(self.conv2(feature))

    def forward(self, feature: Tensor, normalised: Tensor, expression: Tensor) -> Tensor:
        """Feature (1 or B,C,H,W), its `normalised`, expression direction (B,style) -> (B,C,H,W)."""
        scale, shift = self.norm2(expression)
        return feature + normalised * scale.to(feature.dtype) + shift.to(feature.dtype)


class ToRGB(nn.Module):
    """1x1 convolution of the warped feature to an RGB contribution, added to the enlarged coarser image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvLayer(channels, 3, 1)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, warped: Tensor, coarser: Tensor | None) -> Tensor:
        """(B,C,H,W), image (B,3,H/2,W/2) or None -> image (B,3,H,W)."""
        image = self.conv(warped) + self.bias
        return image if coarser is None else image + upsample2(coarser)


class Warped(NamedTuple):
    """What one level hands on."""

    feature: Tensor
    """Warped and masked identity feature (B,C,H,W)."""
    state: Tensor
    """Input of the next level: the warped feature, completed where the mask is closed (B,C,H,W)."""
    flow: Tensor
    """Raw flow (x, y) and mask (B,3,H,W) before tanh and sigmoid."""


class ToFlow(nn.Module):
    """Flow and mask from the generator's state, and the warp of the identity feature."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(channels, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, state: Tensor, style: Tensor, feature: Tensor, coarser: Tensor | None) -> Warped:
        """State (B,C,H,W), style (B,style), identity feature (1 or B,C,H,W), coarser raw flow (B,3,H/2,W/2) or None.

        The flow is kept in float32: at 256 px half precision would move pixels by a quarter of their width.
        """
        flow = self.conv(state, style).float() + self.bias
        if coarser is not None:
            flow = flow + upsample2(coarser)
        offset, mask = torch.tanh(flow[:, :2]), torch.sigmoid(flow[:, 2:]).to(state.dtype)
        # The trained weights hold the reference's mismatch: a grid over corners, sampled with align_corners=False.
        line = torch.linspace(-1, 1, state.shape[-1], device=state.device)
        identity = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        grid = offset.permute(0, 2, 3, 1) + identity
        feature = feature.expand(len(state), -1, -1, -1)
        warped = F.grid_sample(feature, grid.to(feature.dtype), align_corners=False) * mask
        return Warped(warped, warped + state * (1 - mask), flow)


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
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.to_flows = nn.ModuleList()
        if sizes.expression:
            self.fineadainresblock = nn.ModuleList()
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
        self, style: Tensor, features: list[Tensor], expression: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the raw flow (B,3,H,W) of every level, coarse first (for losses on the flow)."""
        if expression is not None:
            features = [
                eem(feature, eem.normalised(feature), expression)
                for eem, feature in zip(self.fineadainresblock, features, strict=True)
            ]
        state = self.conv1(self.input.input.expand(len(style), -1, -1, -1), style)
        image: Tensor | None = None
        flow: Tensor | None = None
        flows = []
        for level, feature in enumerate(features):
            state = self.convs[2 * level + 1](self.convs[2 * level](state, style), style)
            warped, state, flow = self.to_flows[level](state, style, feature, flow)
            image = self.to_rgbs[level](warped, image)
            flows.append(flow)
        assert image is not None
        return image, flows
