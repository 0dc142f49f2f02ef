"""Choice of the compute device."""

from __future__ import annotations

import torch


def fastest_device() -> torch.device:
    """Return torch's current accelerator (NVIDIA, AMD, Intel or Apple), or the CPU if there is none."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
