"""Losses of a rendered image and its flows against the target frame."""

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
"""Side at which the landmarks' flow is computed; 68 points contain no finer detail."""


RIM = 2
"""Width of the rim that `PixelWeights.rim` weighs, in pixels."""


@dataclass(frozen=True, kw_only=True)
class ImageLossWeights:
    """Weights of the losses of a rendered image; a loss of weight 0 is not computed."""

    l1: NotNegative = 1.0
    """Absolute difference over three sizes, see `PixelWeights`."""
    perceptual: NotNegative = 1.0
    """Difference of features: of VGG-19 (`vgg_file`), or of oriented gradients without it."""
    flow: NotNegative = 0.0
    """Distance of the generator's flow from the flow of the landmarks, in pixels of 256 (our small-data recipe)."""
    exact_flow: NotNegative = 0.0
    """Distance of the generator's flow from that of exact warps, at its three finest sizes, in pixels of 256
    (`sampling.exact_warp_share`; our small-data recipe)."""
    outside: NotNegative = 0.0
    """Distance by which the flow samples beyond the picture, in pixels of 256."""
    adversarial: NotNegative = 0.0
    """Non-saturating loss against a discriminator, as LIA."""
    discriminator: NotNegative = 1.0
    """The discriminator's own loss, used if the weight of "adversarial" is not 0."""


@dataclass(frozen=True, kw_only=True)
class PixelWeights:
    """Additional weights in L1 of pixels in parts of the face: 4 means five times the weight."""

    mouth: NotNegative = 4.0
    """Additional weight of pixels in and around the mouth."""
    eyes: NotNegative = 2.0
    """Additional weight of pixels in and around the eyes."""
    between_lips: NotNegative = 0.0
    """Additional weight of pixels between the lips, where often nothing in the source can be moved to."""
    rim: NotNegative = 0.0
    """Additional weight of the two outermost rows of pixels, which convolutions padded with zeros darken."""


@dataclass(frozen=True)
class Rendering:
    """Rendered images and their targets."""

    image: Tensor
    """(B,3,S,S) in float32, not clamped."""
    target: Tensor
    """(B,3,S,S) in [-1,1]."""
    flows: list[Tensor]
    """Raw flow (B,3,n,n) of each level."""
    source_landmarks: Tensor
    """Landmarks of the portrait (B,68,2) in [-1,1]."""
    landmarks: Tensor
    """Landmarks of the target (B,68,2) in [-1,1]."""
    exact_flow: Tensor | None = None
    """(B,2,S,S): position in the portrait of each pixel of the target, in [-1,1]; NaN for samples without it."""


class ImageLosses(nn.Module):
    """Computes the losses of IMAGE_LOSSES, with the networks that they need.

    Args:
        pixel_weights: for L1.
        vgg_file: torchvision's VGG-19 weights for the perceptual loss; empty: oriented gradients.
        adversary: sizes of the model if a discriminator is needed, else None.
    """

    def __init__(self, pixel_weights: PixelWeights, vgg_file: str = "", adversary: ModelSizes | None = None) -> None:
        super().__init__()
        self.pixel_weights = pixel_weights
        self.perceptual = perceptual_loss(vgg_file)
        self.discriminator: Encoder | None = None
        if adversary is not None:
            # LIA's discriminator is its encoder's trunk with a scalar output.
            self.discriminator = Encoder(ModelSizes(**{**adversary.__dict__, "style": 1}))

    def forward(self, rendering: Rendering, weights: ImageLossWeights) -> dict[str, Tensor]:
        """The active losses, unweighted, by name."""
        return {name: IMAGE_LOSSES[name](self, rendering) for name in active_losses(weights)}


def active_losses(weights: ImageLossWeights) -> list[str]:
    """Names of the image losses with a weight other than 0."""
    return [
        name for name in IMAGE_LOSSES if getattr(weights, name) and (name != "discriminator" or weights.adversarial)
    ]


def _l1(losses: ImageLosses, rendering: Rendering) -> Tensor:
    landmarks, size, gains = rendering.landmarks, rendering.image.shape[-1], losses.pixel_weights
    weight = landmark_weight(landmarks, size, MOUTH, 0.02, gains.mouth)
    weight = weight + landmark_weight(landmarks, size, EYES, 0.02, gains.eyes) - 1
    if gains.between_lips:
        weight = weight + landmark_weight(landmarks, size, INNER_LIPS, 0.005, gains.between_lips) - 1
    if gains.rim:
        inside = torch.zeros((size - 2 * RIM,) * 2, device=weight.device)
        weight = weight + F.pad(inside, (RIM,) * 4, value=gains.rim)
    return pyramid_l1(rendering.image, rendering.target, weight=weight)


def _perceptual(losses: ImageLosses, rendering: Rendering) -> Tensor:
    return losses.perceptual(rendering.image, rendering.target)


def _flow(losses: ImageLosses, rendering: Rendering) -> Tensor:
    size = rendering.image.shape[-1]
    points = min(size, FLOW_SIZE)
    grid, confidence = landmark_flow(rendering.source_landmarks, rendering.landmarks, points)
    levels = [flow for flow in rendering.flows if min(16, size) <= flow.shape[-1] <= points]
    # Mouth, eyes and brows have separate means, or the rest of the face would dominate.
    parts = [landmark_weight(rendering.landmarks, points, part, 0.02, 1.0) - 1 for part in (MOUTH, EYES, BROWS)]
    total = sum(
        (flow_loss(flow, grid, part) for flow in levels for part in (confidence, *parts)),
        rendering.image.new_zeros(()),
    )
    return total / len(levels)


def _exact_flow(losses: ImageLosses, rendering: Rendering) -> Tensor:
    if rendering.exact_flow is None:
        raise ArgumentError(
            "The loss exact_flow has a weight, but no sample has an exact flow: set sampling.exact_warp_share (in a "
            "stage that trains expressions), or losses.exact_flow to 0."
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
"""Losses of a rendered image by the name of their weight."""
