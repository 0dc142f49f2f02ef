"""Losses between a rendered image and the frame it should be, and of the flows that made it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from ..face.landmarks import BROWS, EYES, INNER_LIPS, LEFT_EYE, MOUTH, RIGHT_EYE
from ..networks.encoder import Encoder
from ..networks.sizes import ModelSizes
from .losses import (
    exact_flow_loss,
    flow_loss,
    landmark_flow,
    landmark_weight,
    outside_loss,
    perceptual_loss,
    pyramid_l1,
)
from .stage import frozen
from .typed_settings import NotNegative

FLOW_SIZE = 64
"""Side at which the landmarks' flow is computed; finer, it has nothing more to say."""


@dataclass(frozen=True, kw_only=True)
class ImageLossWeights:
    """Weights of the losses of a rendered image; one of 0 is not computed."""

    l1: NotNegative = 1.0
    """Absolute difference over three sizes, see `PixelWeights`."""
    perceptual: NotNegative = 1.0
    """Differences of what VGG-19 (`vgg_file`), or else oriented gradients, see."""
    flow: NotNegative = 0.0
    """Distance of the generator's flow from the one that landmarks tell, in pixels of 256 (our small-data recipe)."""
    exact_flow: NotNegative = 0.0
    """Distance of the generator's flow from that of exact warps, at its three finest sizes, in pixels of 256
    (`sampling.exact_warp_share`; our small-data recipe)."""
    outside: NotNegative = 0.0
    """Distance by which the flow samples beyond the picture, in pixels of 256."""
    adversarial: NotNegative = 0.0
    """Non-saturating loss against a discriminator, as LIA."""
    discriminator: NotNegative = 1.0
    """The discriminator's own loss; it is there where "adversarial" counts."""


@dataclass(frozen=True, kw_only=True)
class PixelWeights:
    """How much more pixels of a part of the face count in L1: 4 for five times as much."""

    mouth: NotNegative = 4.0
    """How much more pixels in and around the mouth count in L1."""
    eyes: NotNegative = 2.0
    """How much more pixels in and around the eyes count in L1."""
    between_lips: NotNegative = 0.0
    """How much more pixels between the lips count in L1: often nothing in the source can be moved there."""


@dataclass(frozen=True)
class Rendering:
    """Rendered images and what they should be."""

    image: Tensor
    """(B,3,S,S) in float32, not clamped."""
    target: Tensor
    """(B,3,S,S) in [-1,1]."""
    flows: list[Tensor]
    """Raw flow (B,3,n,n) of each level."""
    source_landmarks: Tensor
    """Of the portrait (B,68,2) in [-1,1]."""
    landmarks: Tensor
    """Of the target."""
    exact_flow: Tensor | None = None
    """(B,2,S,S): where each pixel of the target lies in the portrait, in [-1,1]; NaN where it is unknown."""


class ImageLosses(nn.Module):
    """The losses of IMAGE_LOSSES, and the networks that they need.

    Args:
        pixel_weights: for L1.
        vgg_file: torchvision's VGG-19 weights for the perceptual loss; empty: oriented gradients.
        adversary: the sizes of the model that a discriminator is needed for, if one is.
    """

    def __init__(self, pixel_weights: PixelWeights, vgg_file: str = "", adversary: ModelSizes | None = None) -> None:
        super().__init__()
        self.pixel_weights = pixel_weights
        self.perceptual = perceptual_loss(vgg_file)
        self.discriminator: Encoder | None = None
        if adversary is not None:
            # LIA's discriminator is its encoder's trunk with one number at the end.
            self.discriminator = Encoder(ModelSizes(**{**adversary.__dict__, "style": 1}))

    def forward(self, rendering: Rendering, weights: ImageLossWeights) -> dict[str, Tensor]:
        """The losses that count, unweighted, by name."""
        return {name: IMAGE_LOSSES[name](self, rendering) for name in counting(weights)}


def counting(weights: ImageLossWeights) -> list[str]:
    """Names of the image losses that count."""
    return [
        name for name in IMAGE_LOSSES if getattr(weights, name) and (name != "discriminator" or weights.adversarial)
    ]


def _l1(losses: ImageLosses, rendering: Rendering) -> Tensor:
    landmarks, size, gains = rendering.landmarks, rendering.image.shape[-1], losses.pixel_weights
    weight = landmark_weight(landmarks, size, MOUTH, 0.02, gains.mouth)
    weight = weight + landmark_weight(landmarks, size, EYES, 0.02, gains.eyes) - 1
    if gains.between_lips:
        weight = weight + landmark_weight(landmarks, size, INNER_LIPS, 0.005, gains.between_lips) - 1
    return pyramid_l1(rendering.image, rendering.target, weight=weight)


def _perceptual(losses: ImageLosses, rendering: Rendering) -> Tensor:
    return losses.perceptual(rendering.image, rendering.target)


def _flow(losses: ImageLosses, rendering: Rendering) -> Tensor:
    size = rendering.image.shape[-1]
    points = min(size, FLOW_SIZE)
    grid, confidence = landmark_flow(rendering.source_landmarks, rendering.landmarks, points)
    levels = [flow for flow in rendering.flows if min(16, size) <= flow.shape[-1] <= points]
    # Mouth, eyes and brows have means of their own, or the rest of the face would drown them.
    parts = [landmark_weight(rendering.landmarks, points, part, 0.02, 1.0) - 1 for part in (MOUTH, EYES, BROWS)]
    total = sum(
        (flow_loss(flow, grid, part) for flow in levels for part in (confidence, *parts)),
        rendering.image.new_zeros(()),
    )
    return total / len(levels)


def _exact_flow(losses: ImageLosses, rendering: Rendering) -> Tensor:
    if rendering.exact_flow is None:
        raise ArgumentError(
            "The loss exact_flow counts, and no sample has an exact flow: set sampling.exact_warp_share (a stage that "
            "trains expressions has it), or losses.exact_flow to 0."
        )
    total, size = rendering.image.new_zeros(()), rendering.image.shape[-1]
    known = ~torch.isnan(rendering.exact_flow).flatten(1).any(1)
    if not bool(known.any()):
        return total
    grid, landmarks = rendering.exact_flow[known], rendering.landmarks[known]
    parts = [landmark_weight(landmarks, size, part, 0.02, 1.0) - 1 for part in (RIGHT_EYE, LEFT_EYE, BROWS, MOUTH)]
    levels = [flow[known] for flow in rendering.flows if flow.shape[-1] >= size // 4]
    return sum((exact_flow_loss(flow, grid, parts) for flow in levels), total) / len(levels)


def _outside(losses: ImageLosses, rendering: Rendering) -> Tensor:
    size, flows = rendering.image.shape[-1], rendering.flows
    return sum((outside_loss(flow, size) for flow in flows), rendering.image.new_zeros(())) / len(flows)


def _adversarial(losses: ImageLosses, rendering: Rendering) -> Tensor:
    assert losses.discriminator is not None
    return F.softplus(-frozen(losses.discriminator, rendering.image)[0]).mean()


def _discriminator(losses: ImageLosses, rendering: Rendering) -> Tensor:
    assert losses.discriminator is not None
    judge = losses.discriminator.latent
    return (F.softplus(judge(rendering.image.detach())) + F.softplus(-judge(rendering.target))).mean()


IMAGE_LOSSES: dict[str, Callable[[ImageLosses, Rendering], Tensor]] = {
    "l1": _l1,
    "perceptual": _perceptual,
    "flow": _flow,
    "exact_flow": _exact_flow,
    "outside": _outside,
    "adversarial": _adversarial,
    "discriminator": _discriminator,
}
"""The losses of a rendered image by the name of their weight."""
