"""Which device to compute on."""

from __future__ import annotations

import torch


def fastest_device() -> torch.device:
    """The accelerator that torch can use on this machine (NVIDIA or AMD, Intel, Apple), or else the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
