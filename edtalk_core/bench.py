"""Benchmark of a model: milliseconds per frame, compared with its convolutions alone (the floor), and memory.

The floor is the time of the bare convolutions: the styled 3x3 convolutions (plain and transposed), `to_flow` and
`to_rgb`, with F.conv2d and F.conv_transpose2d, channels-last, at the shapes, strides and precision of rendering. It
excludes modulation, activations and FIR filters (although these are depthwise convolutions), and the finest `to_rgb`,
which runs once per portrait. It is the faster of two methods: all frames of the batch in each convolution, or one frame
after the other.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from .checks import check_whole
from .errors import ArgumentError
from .media.mel import MAX_FRAMES
from .model import EDTalk, Portrait
from .motion.motion import Motion
from .networks.sizes import ModelSizes
from .precision import PRECISIONS
from .progress import Progress
from .rendering import Renderer

PUBLISHED = {"edtalk": ModelSizes(), "lip_pose": ModelSizes(expression=0)}
"""Sizes of the published models, by variant."""

MIB = 2**20

_LARGEST = {"batch": 1024, "number of repeats": 100_000, "number of frames": MAX_FRAMES}
"""Largest options of `bench`."""


def random_model(variant: str, device: torch.device | str = "cpu") -> EDTalk:
    """A model of the published sizes ("edtalk" or "lip_pose") with random weights, which is just as fast."""
    if variant not in PUBLISHED:
        raise ArgumentError(f"The published models are {' and '.join(PUBLISHED)}, not {variant!r}.")
    return EDTalk(PUBLISHED[variant]).eval().to(device)


def bench(
    model: EDTalk,
    *,
    precision: str = "auto",
    batch: int = 4,
    repeats: int = 7,
    frames: int = 100,
    larger: Sequence[int] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a model on its device; returns JSON-serialisable values.

    Args:
        model: model to measure; encoder and heads are measured in the precision of its weights.
        precision: precision of rendering and of the floor, as in `Renderer`.
        batch: frames computed together.
        repeats: number of measurements of each time. They are taken in turns, so that other load on the machine affects
            all of them alike.
        frames: number of frames to stream for the peak memory.
        larger: sizes of frames above the model's to measure as well; the last is that of the peak memory.
        progress: called after each round of repeats; it cancels by raising.

    Returns:
        `model`, `machine`, `precision`, `batch`, `repeats`: the conditions. `milliseconds_per_frame`: `encode` (a
        portrait), `read` (motion weights of a driver), `render` and `render_changing` (constant expression, or a new
        one every frame), `render_1024` and the like (constant expression), `floor`, each with `median` and `best`.
        `ratio`: `render_to_floor`, `changing_to_constant`, `render_1024_to_render` and the like, each with the `median`
        of the rounds' ratios and the ratio of the `best` times. `gflop_per_frame`: operations of `render` and
        `render_changing`. `memory_mib`: before and peak while streaming `frames` frames.

    Raises ArgumentError for numbers that are too small or an unknown precision.
    """
    for name, number in {"batch": batch, "number of repeats": repeats, "number of frames": frames}.items():
        check_whole(number, f"The {name}", low=1, high=_LARGEST[name])
    size, sizes = model.sizes.resolution, model.sizes
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(batch, 3, size, size, generator=generator) * 2 - 1).to(model.device)
    with torch.inference_mode():
        portrait = model.encode_portrait(images[:1])
    renderer = Renderer(model, portrait, precision=precision, batch=batch)
    renderers = {
        f"render_{size}": Renderer(model, portrait, precision=renderer.precision, batch=batch, size=size)
        for size in larger
    }
    memory = _memory([renderer, *renderers.values()][-1], portrait, frames)

    constant = _motion(portrait, batch, changing=False)
    changing = _motion(portrait, batch, changing=True)
    floor = Floor(sizes, model.device, PRECISIONS[renderer.precision], batch)
    tasks: dict[str, Callable[[], object]] = {
        "encode": torch.inference_mode()(lambda: model.encode_portrait(images[:1])),
        "read": torch.inference_mode()(lambda: model.read_weights(images)),
        "render": partial(_consume, renderer, constant),
        "render_changing": partial(_consume, renderer, changing),
        **{name: partial(_consume, enlarging, constant) for name, enlarging in renderers.items()},
        "floor_batch": floor.all_frames_at_once,
        "floor_single": floor.frame_by_frame,
    }
    work = {name: _gflop(tasks[name]) / batch for name in ("render", "render_changing")}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for done in range(repeats):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            torch.get_device_module(model.device).synchronize()
            seconds[name].append((time.perf_counter() - started) / (1 if name == "encode" else batch))
        if progress is not None:
            progress(done + 1, repeats)
    floors = seconds.pop("floor_batch"), seconds.pop("floor_single")
    seconds["floor"] = min(floors, key=statistics.median)

    def ratio(numerator: str, denominator: str) -> dict[str, float]:
        rounds = [a / b for a, b in zip(seconds[numerator], seconds[denominator], strict=True)]
        return {
            "median": round(statistics.median(rounds), 3),
            "best": round(min(seconds[numerator]) / min(seconds[denominator]), 3),
        }

    return {
        "model": {
            "variant": sizes.variant,
            "resolution": size,
            "channels": {str(px): count for px, count in sorted(sizes.channels.items())},
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        "machine": machine(model.device),
        "precision": renderer.precision,
        "batch": batch,
        "repeats": repeats,
        "milliseconds_per_frame": {
            name: {"median": round(statistics.median(times) * 1e3, 3), "best": round(min(times) * 1e3, 3)}
            for name, times in seconds.items()
        },
        "ratio": {
            "render_to_floor": ratio("render", "floor"),
            "changing_to_constant": ratio("render_changing", "render"),
            **{f"{name}_to_render": ratio(name, "render") for name in renderers},
        },
        "gflop_per_frame": {name: round(value, 3) for name, value in work.items()},
        "memory_mib": memory,
    }


def _consume(renderer: Renderer, motion: Motion) -> None:
    for _ in renderer.stream(motion):
        pass


class Convolution(NamedTuple):
    """One convolution of the generator."""

    inputs: int
    outputs: int
    px: int
    """Height and width of its input."""
    kernel: int
    upsample: bool
    """Transposed with stride 2."""


def convolutions(sizes: ModelSizes) -> list[Convolution]:
    """List the convolutions of rendering a frame, without FIR filters."""
    layers = [Convolution(sizes.channels[4], sizes.channels[4], 4, 3, False)]
    for px in sizes.levels:
        channels = sizes.channels[px]
        layers.append(Convolution(sizes.channels[px // 2], channels, px // 2, 3, True))
        layers.append(Convolution(channels, channels, px, 3, False))
        layers += [Convolution(channels, 3, px, 1, False)] * (1 if px == sizes.resolution else 2)
    return layers


class Floor:
    """The bare convolutions of rendering `batch` frames."""

    def __init__(self, sizes: ModelSizes, device: torch.device, dtype: torch.dtype, batch: int) -> None:
        self._batch = batch
        self._convolutions = convolutions(sizes)
        largest = max(layer.inputs * layer.px**2 for layer in self._convolutions)
        self._data = torch.rand(batch * largest, device=device, dtype=dtype)
        self._weights = [
            torch.randn(
                *((layer.inputs, layer.outputs) if layer.upsample else (layer.outputs, layer.inputs)),
                layer.kernel, layer.kernel, device=device, dtype=dtype,
            ).contiguous(memory_format=torch.channels_last)
            for layer in self._convolutions
        ]  # fmt: skip

    @torch.no_grad()
    def all_frames_at_once(self) -> None:
        """Run each convolution once for the entire batch."""
        self._run(self._batch)

    @torch.no_grad()
    def frame_by_frame(self) -> None:
        """Run all convolutions of a frame, then those of the next frame."""
        for _ in range(self._batch):
            self._run(1)

    def _run(self, frames: int) -> None:
        for (inputs, _, px, kernel, upsample), weight in zip(self._convolutions, self._weights, strict=True):
            # Laid out channels-last.
            x = self._data[: frames * px**2 * inputs].view(frames, px, px, inputs).permute(0, 3, 1, 2)
            if upsample:
                F.conv_transpose2d(x, weight, stride=2)
            else:
                F.conv2d(x, weight, padding=kernel // 2)


def machine(device: torch.device) -> dict[str, Any]:
    """Description of the machine: processor, accelerator if any, software, and `load`, the number of running processes.

    A load above the number of cores makes the times unreliable, those of many short operations most of all.
    """
    description: dict[str, Any] = {
        "device": str(device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if hasattr(os, "getloadavg"):
        description["load"] = round(os.getloadavg()[0], 2)
    if hasattr(torch.get_device_module(device), "get_device_name"):
        description["accelerator"] = torch.get_device_module(device).get_device_name(device)
    return description


def _motion(portrait: Portrait, frames: int, *, changing: bool) -> Motion:
    """A random motion with moving lips and head, and a constant or changing expression."""
    generator = torch.Generator().manual_seed(frames)
    motion = portrait.own.map(lambda track: track + torch.randn(frames, track.shape[1], generator=generator) * 0.1)
    if not changing and motion.expression is not None:
        motion = motion.with_tracks(expression=motion.expression[:1].expand(frames, -1))
    return motion


def _gflop(task: Callable[[], object]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        task()
    return counter.get_total_flops() / 1e9


def _memory(renderer: Renderer, portrait: Portrait, frames: int) -> dict[str, str | float | None]:
    """Memory in MiB before streaming `frames` frames, and the peak during it."""
    backend = torch.get_device_module(renderer.device)
    on_accelerator = hasattr(backend, "max_memory_allocated")
    if on_accelerator:
        backend.reset_peak_memory_stats(renderer.device)
        before: int | None = backend.memory_allocated(renderer.device)
    else:
        before = _resident_after_reset()
    _consume(renderer, _motion(portrait, frames, changing=True))
    peak = backend.max_memory_allocated(renderer.device) if on_accelerator else _peak_resident()
    return {
        "of": "accelerator" if on_accelerator else "process",
        "frames": frames,
        "before": None if before is None else round(before / MIB, 1),
        "peak": None if peak is None else round(peak / MIB, 1),
    }


def _resident_after_reset() -> int | None:
    """Resident memory of the process in bytes; resets the peak where the system supports it (Linux)."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return _peak_resident()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak_resident()
    return _status_bytes(status, "VmRSS")


def _peak_resident() -> int | None:
    """Peak resident memory of the process in bytes; None where the system does not report it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return _status_bytes(status, "VmHWM")
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(status: Path, key: str) -> int | None:
    for line in status.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    """Name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
