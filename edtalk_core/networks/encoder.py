"""Encoder E: identity latent and features of an image, for the generator to warp (supplement 1.1)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .layers import ConvLayer, EqualConv2d, ResBlock
from .sizes import ModelSizes


class Encoder(nn.Module):
    """LIA's appearance encoder: 1x1 convolution, residual blocks down to 4 px, a valid 4x4 convolution."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        levels = (*reversed(sizes.levels), 4)
        self.convs = nn.ModuleList([ConvLayer(3, sizes.channels[levels[0]], 1)])
        for large, small in pairwise(levels):
            self.convs.append(ResBlock(sizes.channels[large], sizes.channels[small]))
        self.convs.append(EqualConv2d(sizes.channels[4], sizes.style, 4))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B,3,S,S) in [-1,1] -> latent (B,style) and the features at 8, 16, ..., S px, coarse first.

        The features are laid out channels-last.
        """
        features = []
        x = image.contiguous(memory_format=torch.channels_last)
        for block in self.convs[:-2]:
            x = block(x)
            features.append(x)
        latent = self.convs[-1](self.convs[-2](x)).flatten(1)
        return latent, features[::-1]

    def latent(self, image: Tensor) -> Tensor:
        """Latent without features, which saves memory for driver frames: (B,3,S,S) -> (B,style)."""
        x = image.contiguous(memory_format=torch.channels_last)
        for block in self.convs:
            x = block(x)
        return x.flatten(1)
