"""The banks: orthonormal bases of lip, pose and expression motion in the latent space."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """Free directions (style, bases). They become orthonormal together with the other banks, in `orthonormal`."""

    def __init__(self, style: int, bases: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(style, bases))


def orthonormal(*banks: Bank) -> Tensor:
    """Q (style, all bases) of the reduced QR factorisation of all banks side by side, in float32.

    The signs of the columns are LAPACK's, which the published weights rely on: factor on the CPU and in float32 (a
    GPU library may choose other signs).
    """
    directions = torch.cat([bank.weight for bank in banks], dim=1)
    q, _ = torch.linalg.qr(directions.float().cpu() + 1e-8)
    return q.to(directions.device)
