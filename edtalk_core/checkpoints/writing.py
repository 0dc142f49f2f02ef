"""Write weights as .safetensors files, and convert files to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import atomic_write
from ..errors import ArgumentError, EDTalkError, UnsupportedCheckpoint
from .reading import Checkpoint


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata atomically, in a new folder if need be. Raises EDTalkError when that fails."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            save_file(dict(tensors), partial, metadata=dict(metadata))
    except (OSError, SafetensorError) as error:
        raise EDTalkError(f"{path} could not be written: {error}") from error


def converted_tensor(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor as it is stored: contiguous, and floating-point numbers in `dtype` (None: unchanged).

    Raises UnsupportedCheckpoint for values that are not finite, ArgumentError for a dtype that cannot represent them;
    `name` names the tensor in messages.
    """
    value = value.detach().contiguous()
    if not value.is_floating_point():
        return value
    if not bool(torch.isfinite(value).all()):
        raise UnsupportedCheckpoint(f"The tensor {name} holds NaN or infinite values: these weights are corrupted.")
    if dtype is None or value.dtype == dtype:
        return value
    converted = value.to(dtype)
    if not bool(torch.isfinite(converted).all()):
        raise ArgumentError(
            f"{dtype} cannot represent the values of {name} (up to {value.abs().max():g}); use bfloat16."
        )
    return converted


def sources_metadata(checkpoints: Sequence[Checkpoint]) -> dict[str, str]:
    """Metadata of a converted file: the names of its sources and their SHA-256. `check_target` knows it by that."""
    return {"sources": json.dumps([{"name": one.path.name, "sha256": one.sha256} for one in checkpoints])}


def check_target(target: Path, sources: Sequence[str | Path]) -> None:
    """Raise ArgumentError if the target of a conversion is one of the sources, or exists and was not converted."""
    from safetensors import SafetensorError, safe_open

    if not target.exists():
        return
    if any(Path(source).exists() and target.samefile(source) for source in sources):
        raise ArgumentError(f"{target} is one of the files to convert; choose another name for the result.")
    try:
        with safe_open(target, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        metadata = {}
    if not metadata.get("format", "").startswith("edtalk-") or "sources" not in metadata:
        raise ArgumentError(
            f"{target} exists and was not made by edtalk convert: choose another name, or delete it first."
        )
