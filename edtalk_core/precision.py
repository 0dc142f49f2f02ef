"""Choice of the number format of rendering by what a device can do: the same every time, whatever else runs on it."""

from __future__ import annotations

import logging
from functools import cache
from typing import NamedTuple

import torch

logger = logging.getLogger("edtalk")

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of the generator's convolutions, by name. Flow and sampling always compute in float32."""


class PrecisionChoice(NamedTuple):
    """A precision of PRECISIONS, and why it was chosen, as the end of a sentence."""

    precision: str
    reason: str


@cache
def automatic_precision(device: torch.device, channels: int) -> str:
    """Return the precision that "auto" stands for on a device, for a model with `channels` feature channels at 64 px.

    A lower precision than fp32 is chosen where the hardware multiplies in it so fast that a frame takes two thirds of
    the time at most, and bf16 before fp16, since bf16 cannot overflow. Nothing is timed. The choice and its reason are
    logged once per process, device and number of channels.
    """
    choice = _choice(device, channels)
    logger.info("precision auto is %s on %s: %s", choice.precision, device, choice.reason)
    return choice.precision


def precision_after_overflow(device: torch.device, channels: int) -> str:
    """Return the precision for what overflows in fp16: bf16 where "auto" would choose it, else fp32."""
    return "bf16" if _choice(device, channels).precision == "bf16" else "fp32"


def _choice(device: torch.device, channels: int) -> PrecisionChoice:
    if device.type == "cpu":
        # Queries without a public name: torch before 2.13 has no other.
        amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
        avx512_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
        return cpu_precision(channels, amx=amx, avx512_bf16=avx512_bf16)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        if torch.version.hip:
            return amd_precision(properties.gcnArchName)
        return nvidia_precision((properties.major, properties.minor), properties.name)
    if device.type == "xpu":
        capability = torch.xpu.get_device_capability(device)
        return intel_precision(matrix_units=bool(capability.get("has_subgroup_matrix_multiply_accumulate")))
    if device.type == "mps":
        return PrecisionChoice("fp32", "Apple's GPUs calculate no faster in fp16 or bf16")
    return PrecisionChoice("fp32", "nothing is known about other precisions there")


def cpu_precision(channels: int, *, amx: bool, avx512_bf16: bool) -> PrecisionChoice:
    """Choose for a CPU by its instructions.

    Without instructions for bf16 its convolutions are emulated, a hundred times slower than in fp32. AVX512_BF16
    doubles the speed of multiplication alone, which is enough where wide convolutions are nearly all of the work. On
    ARM, depthwise convolutions in bf16 are emulated whatever the CPU can do.
    """
    if amx and channels >= 64:
        return PrecisionChoice("bf16", "the CPU has matrix instructions for it (AMX)")
    if avx512_bf16 and channels >= 256:
        return PrecisionChoice("bf16", "the CPU has instructions for it (AVX512_BF16) and the model is wide")
    if amx or avx512_bf16:
        return PrecisionChoice("fp32", f"{channels} channels are too few for the CPU's bf16 instructions to pay")
    return PrecisionChoice("fp32", "the CPU has no instructions for bf16 that help")


def nvidia_precision(capability: tuple[int, int], name: str) -> PrecisionChoice:
    """Choose for an NVIDIA GPU by its compute capability; the GTX 16 series has Turing's, but no tensor cores."""
    number = f"compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return PrecisionChoice("bf16", f"{name} has tensor cores for it ({number})")
    if capability >= (7, 0) and "GTX 16" not in name:
        return PrecisionChoice("fp16", f"{name} has tensor cores for it and none for bf16 ({number})")
    return PrecisionChoice("fp32", f"{name} has no tensor cores ({number})")


def amd_precision(architecture: str) -> PrecisionChoice:
    """Choose for an AMD GPU by its architecture, such as gfx1100 or gfx90a:sramecc+:xnack-."""
    name = architecture.partition(":")[0]
    if name.startswith(("gfx90a", "gfx94", "gfx95", "gfx11", "gfx12")):
        return PrecisionChoice("bf16", f"{name} has matrix instructions for it")
    if name.startswith(("gfx906", "gfx908", "gfx103")):
        return PrecisionChoice("fp16", f"{name} calculates twice as fast in it and not in bf16")
    return PrecisionChoice("fp32", f"{name} is not known to be faster in fp16 or bf16")


def intel_precision(*, matrix_units: bool) -> PrecisionChoice:
    """Choose for an Intel GPU by whether it has matrix units (XMX)."""
    if matrix_units:
        return PrecisionChoice("bf16", "the GPU has matrix units for it (XMX)")
    return PrecisionChoice("fp32", "the GPU has no matrix units (XMX)")
