"""The banks: orthonormal bases of lip, pose and expression motion in the latent space."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """Unconstrained directions (style, bases), which `orthonormal` orthonormalises together with the other banks."""

    def __init__(self, style: int, bases: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(style, bases))


class FreeBank(nn.Module):
    """Directions (style, bases) that are used as they are, for the ablations without orthogonal bases.

    The name of its tensor is how a file of such a model is recognised.
    """

    def __init__(self, style: int, bases: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(style, bases) / style**0.5)


def orthonormal(*banks: Bank) -> Tensor:
    """Q (style, all bases) of the reduced QR factorisation of all banks side by side, in float32.

    Computed on the CPU in float32: the published weights depend on the signs that LAPACK chooses for the columns, which
    may differ in a GPU library.
    """
    directions = torch.cat([bank.weight for bank in banks], dim=1)
    q, _ = torch.linalg.qr(directions.float().cpu() + 1e-8)
    return q.to(directions.device)
