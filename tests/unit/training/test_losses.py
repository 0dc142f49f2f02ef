"""Losses of flows and of what should keep still."""

from __future__ import annotations

import pytest
import torch

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
