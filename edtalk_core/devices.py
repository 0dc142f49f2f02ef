"""Which device to compute on."""

from __future__ import annotations

import torch


def fastest_device() -> torch.device:
    """The accelerator that torch can use on this machine (NVIDIA or AMD, Intel, Apple), or else the CPU."""
    usable = {
        "cuda": torch.cuda.is_available(),  # AMD's ROCm builds answer to this name too
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    return torch.device(next((name for name, available in usable.items() if available), "cpu"))
