"""Losses of flows and of what should keep still."""

from __future__ import annotations

import pytest
import torch

from edtalk_core.training.image_losses import ImageLosses, ImageLossWeights, PixelWeights, Rendering
from edtalk_core.training.losses import outside_loss, sampled_position, still_loss


def test_still_loss_sees_what_moves_outside_of_the_lower_face():
    still = torch.ones(1, 1, 32, 32)
    still[:, :, 20:] = 0
    plain = torch.zeros(1, 3, 32, 32)
    below, above = plain.clone(), plain.clone()
    below[:, :, 22:30], above[:, :, 2:10] = 1, 1
    no_flow = [torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 32, 32)]
    assert still_loss((plain, below), (no_flow, no_flow), still) == 0
    assert still_loss((plain, above), (no_flow, no_flow), still) > 0.1
    moved = [flow.clone() for flow in no_flow]
    for flow in moved:
        flow[:, 0, : flow.shape[2] // 2] = 0.05  # 6.4 pixels of 256, over 16 of the 20 rows that are still
    assert float(still_loss((plain, plain), (no_flow, moved), still)) == pytest.approx(0.01 * 6.4 * 0.8, rel=0.01)


def test_outside_begins_past_the_middle_of_the_last_pixel():
    here = torch.zeros(1, 3, 16, 16)
    # Each of the 60 pixels of the rim is half a pixel, 8 of 256, outside, those of the corners in both directions.
    assert float(outside_loss(here, 16)) == pytest.approx(8 * 64 / 256, rel=1e-4)
    assert float(outside_loss(here, 256)) == pytest.approx(0.5 * 64 / 256, rel=1e-3)
    inward = here.clone()
    inward[:, :2] = torch.atanh(-sampled_position(here) / 16 * 1.001)
    assert outside_loss(inward, 16) == 0


def test_rim_weighs_as_much_as_is_asked_for():
    """An error of the two outermost pixels counts more than one of the same size inside."""
    target = torch.zeros(1, 3, 32, 32)
    rim, inside = target.clone(), target.clone()
    rim[:, :, :2], inside[:, :, 10:12] = 1, 1
    landmarks = torch.full((1, 68, 2), 5.0)  # far outside, so that no part of the face weighs more
    landmarks += torch.linspace(0, 0.1, 68)[None, :, None]

    def l1(image: torch.Tensor, gain: float) -> float:
        losses = ImageLosses(PixelWeights(mouth=0, eyes=0, rim=gain))
        rendering = Rendering(image, target, [], landmarks, landmarks)
        return float(losses(rendering, ImageLossWeights(perceptual=0))["l1"])

    assert l1(rim, 0) == pytest.approx(l1(inside, 0))
    # Five times at full and at half size; less at a quarter, where the rim is half a pixel and the corners count twice.
    ratio = l1(rim, 4) / l1(inside, 4)
    assert 2.5 < ratio <= 5
    assert l1(rim, 8) / l1(inside, 8) > ratio
