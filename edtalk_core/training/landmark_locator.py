"""Auxiliary landmark prediction, so that the encoder represents landmark positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..face.landmarks import LANDMARK_COUNT, MOUTH
from ..networks.layers import EqualConv2d, EqualLinear
from ..networks.sizes import ModelSizes

MOUTH_GAIN = 3.0


class LandmarkLocator(nn.Module):
    """Predicts the 68 landmarks from the encoder's output, so that the encoder learns to represent them.

    It predicts them twice: as centres of heat maps over the 16 px feature, which a convolution learns quickly and
    independently of the person, and linearly from the latent, from which the weights are read.
    """

    LEVEL = 1
    """Index of the 16 px feature, coarsest first."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        self.maps = EqualConv2d(sizes.channels[16], LANDMARK_COUNT, 1)
        self.linear = EqualLinear(sizes.style, 2 * LANDMARK_COUNT)

    def forward(self, latent: Tensor, features: list[Tensor], landmarks: Tensor) -> Tensor:
        """Latent (B,style), features and landmarks (B,68,2) in [-1,1] -> mean distance, in pixels of 256."""
        maps = self.maps(features[self.LEVEL]).float()
        line = (torch.arange(maps.shape[-1], device=maps.device) * 2 + 1) / maps.shape[-1] - 1
        probability = maps.flatten(2).softmax(-1).view_as(maps)
        centres = torch.stack([probability.sum(2) @ line, probability.sum(3) @ line], -1)
        linear = self.linear(latent).float().view_as(landmarks)
        weight = landmarks.new_ones(LANDMARK_COUNT, 1)
        weight[MOUTH] = MOUTH_GAIN
        return sum(
            (
                (F.smooth_l1_loss(128 * positions, 128 * landmarks, reduction="none") * weight).mean()
                for positions in (centres, linear)
            ),
            landmarks.new_zeros(()),
        )
