"""The precision of "auto": by what the device can do, never by how fast it is just now."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edtalk_core.precision import (
    PrecisionChoice,
    amd_precision,
    automatic_precision,
    cpu_precision,
    intel_precision,
    nvidia_precision,
    precision_after_overflow,
)

CHANNELS = {"demo": 64, "published": 512, "tiny": 8}
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "expected"),
    [
        pytest.param(False, False, {"tiny": "fp32", "demo": "fp32", "published": "fp32"}, id="avx2"),
        pytest.param(False, True, {"tiny": "fp32", "demo": "fp32", "published": "bf16"}, id="avx512_bf16"),
        pytest.param(True, True, {"tiny": "fp32", "demo": "bf16", "published": "bf16"}, id="amx"),
    ],
)
def test_a_cpu_by_its_instructions(amx: bool, avx512_bf16: bool, expected: dict[str, str]):
    chosen = {
        name: cpu_precision(channels, amx=amx, avx512_bf16=avx512_bf16).precision for name, channels in CHANNELS.items()
    }
    assert chosen == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        pytest.param(nvidia_precision((9, 0), "NVIDIA H100"), "bf16", id="hopper"),
        pytest.param(nvidia_precision((12, 0), "NVIDIA GeForce RTX 5090"), "bf16", id="blackwell"),
        pytest.param(nvidia_precision((8, 6), "NVIDIA GeForce RTX 3060"), "bf16", id="ampere"),
        pytest.param(nvidia_precision((7, 5), "NVIDIA GeForce RTX 2060"), "fp16", id="turing"),
        pytest.param(nvidia_precision((7, 5), "NVIDIA GeForce GTX 1660 Ti"), "fp32", id="turing-without-tensor-cores"),
        pytest.param(nvidia_precision((6, 1), "NVIDIA GeForce GTX 1080"), "fp32", id="pascal"),
        pytest.param(amd_precision("gfx1100"), "bf16", id="rdna3"),
        pytest.param(amd_precision("gfx1030"), "fp16", id="rdna2"),
        pytest.param(amd_precision("gfx90a:sramecc+:xnack-"), "bf16", id="mi200"),
        pytest.param(amd_precision("gfx803"), "fp32", id="polaris"),
        pytest.param(intel_precision(matrix_units=True), "bf16", id="arc"),
        pytest.param(intel_precision(matrix_units=False), "fp32", id="iris"),
    ],
)
def test_a_gpu_by_its_kind(choice: PrecisionChoice, expected: str):
    assert choice.precision == expected
    assert choice.reason


@pytest.mark.skipif(sys.platform != "linux", reason="reads the CPU's flags off Linux")
@pytest.mark.parametrize("channels", list(CHANNELS.values()))
def test_this_cpu_as_its_flags_say(channels: int):
    flags = Path("/proc/cpuinfo").read_text().split()
    expected = cpu_precision(channels, amx="amx_tile" in flags, avx512_bf16="avx512_bf16" in flags)
    assert automatic_precision(CPU, channels) == expected.precision


def test_nothing_is_computed_to_choose():
    calls = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
            calls.append(function)
            return function(*arguments, **(options or {}))

    automatic_precision.cache_clear()
    with Watch():
        automatic_precision(CPU, 64)
    assert not calls


def test_one_line_says_what_and_why(caplog: pytest.LogCaptureFixture):
    automatic_precision.cache_clear()
    with caplog.at_level(logging.INFO, logger="edtalk"):
        chosen = [automatic_precision(CPU, 8) for _ in range(3)]
        precision_after_overflow(CPU, 8)
    reason = cpu_precision(8, amx=False, avx512_bf16=False).reason
    assert chosen == ["fp32"] * 3
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("precision auto is fp32 on cpu: ")
    assert caplog.messages[0].endswith((reason, "8 channels are too few for the CPU's bf16 instructions to pay"))


def test_a_frame_after_an_overflow_is_rendered_in_what_the_device_is_fast_in():
    wide = automatic_precision(CPU, 512)
    assert precision_after_overflow(CPU, 512) == ("bf16" if wide == "bf16" else "fp32")
    assert precision_after_overflow(CPU, 8) == "fp32"
