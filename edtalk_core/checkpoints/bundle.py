"""One .safetensors file with everything a model needs: the bundle. Written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import atomic_write
from ..errors import ArgumentError, EDTalkError, UnsupportedCheckpoint
from ..model import EDTalk
from ..motion.motion import FPS
from ..motion.presets import published_presets
from ..networks.sizes import ModelSizes
from ..recognition import recognise
from .catalogue import LICENSE
from .metadata import bundle_metadata, is_bundle, read_fps, read_presets
from .reading import Checkpoint, read_checkpoint


def write_bundle(
    path: str | Path,
    model: EDTalk | Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a bundle: a model, or tensors under the names of a bundle, with `metadata`. Returns the path.

    Tensors that inference does not use are left out. A model's fps and presets become metadata; for tensors they are
    taken from `metadata`, as are all other keys. format, format_version, variant and sizes are set here. `dtype`
    (float32, bfloat16 or float16) is what the numbers are stored as; None keeps each as it is.

    The file appears under its name only when it is complete. Raises ArgumentError for an ending other than
    .safetensors, for a dtype that is not one of the three or does not hold the values, UnsupportedCheckpoint for
    tensors that are no EDTalk model or not finite, EDTalkError when the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise ArgumentError(f"A bundle's name must end in .safetensors; {path.name!r} does not.")
    if dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
        raise ArgumentError(f"A bundle stores float32, bfloat16 or float16, not {dtype}.")
    values = dict(metadata or {})
    recognised = recognise(model.state_dict() if isinstance(model, EDTalk) else model)
    sizes = recognised.sizes
    if sizes is None:
        raise UnsupportedCheckpoint(f"A bundle needs an EDTalk model; this is only {recognised.variant}.")
    if isinstance(model, EDTalk):
        values |= bundle_metadata(sizes, model.fps, model.presets)
    else:
        values |= bundle_metadata(sizes, read_fps(values, str(path)), read_presets(values, sizes, str(path)))

    tensors = {name: _stored(name, value, dtype) for name, value in recognised.tensors.items()}
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            save_file(tensors, partial, metadata=values)
    except (OSError, SafetensorError) as error:
        raise EDTalkError(f"{path} could not be written: {error}") from error
    return path


def _stored(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    value = value.detach().contiguous()
    if not value.is_floating_point():
        return value
    if not bool(torch.isfinite(value).all()):
        raise UnsupportedCheckpoint(f"The tensor {name} holds NaN or infinite values: these weights are spoilt.")
    if dtype is None or value.dtype == dtype:
        return value
    stored = value.to(dtype)
    if not bool(torch.isfinite(stored).all()):
        raise ArgumentError(f"{dtype} cannot hold the values of {name} (up to {value.abs().max():g}); use bfloat16.")
    return stored


def convert(
    sources: Sequence[str | Path],
    target: str | Path,
    *,
    dtype: torch.dtype | None = None,
    presets: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Make one bundle of weight files, such as EDTalk.pt and Audio2Lip.pt. Returns the path of the bundle.

    Optimiser states, discriminators and weights that inference never uses are left out. The metadata names each source
    with its SHA-256. `presets` (emotion -> expression weights) take the place of those in the files. `dtype` as in
    `write_bundle`, which also tells the errors; others are those of `read_checkpoint`
    and `merge`, and ArgumentError when the target is one of the sources.
    """
    target = Path(target)
    if any(target.exists() and Path(source).exists() and target.samefile(source) for source in sources):
        raise ArgumentError(f"{target} is one of the files to convert; choose another name for the result.")
    checkpoints = [read_checkpoint(source) for source in sources]
    tensors, metadata = merge(checkpoints)
    listed = [{"name": checkpoint.path.name, "sha256": checkpoint.sha256} for checkpoint in checkpoints]
    metadata = metadata | {"sources": json.dumps(listed)}
    if presets is not None:
        metadata["presets"] = json.dumps(presets)
    return write_bundle(target, tensors, metadata=metadata, dtype=dtype)


def merge(checkpoints: Sequence[Checkpoint]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """One model out of one or several files: tensors under the names of a bundle, and metadata.

    The metadata is that of the bundle which holds the model; a model of the published sizes that comes without gets the
    published expression presets and licence.

    Raises UnsupportedCheckpoint when a file is unknown, incomplete or of a newer format, or none holds a model;
    ArgumentError when two files hold the same part.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] | None = None
    holders: dict[str, Path] = {}
    for checkpoint in checkpoints:
        recognised = recognise(checkpoint.tensors, str(checkpoint.path))
        for label in recognised.labels:
            if label in holders:
                raise ArgumentError(f"{holders[label]} and {checkpoint.path} both hold {label}; give only one of them.")
            holders[label] = checkpoint.path
        tensors |= recognised.tensors
        if recognised.sizes:
            metadata = _model_metadata(checkpoint, recognised.sizes)
    if metadata is None:
        names = ", ".join(f"{path} ({label})" for label, path in holders.items())
        raise UnsupportedCheckpoint(f"No EDTalk model among the files: {names or 'none given'}. Add EDTalk.pt.")
    return tensors, metadata


def _model_metadata(checkpoint: Checkpoint, sizes: ModelSizes) -> dict[str, str]:
    if is_bundle(checkpoint.metadata, str(checkpoint.path)):
        return checkpoint.metadata
    metadata = {"fps": repr(FPS)}
    if sizes in (ModelSizes(), ModelSizes(expression=0)):
        metadata["license"] = LICENSE
    if sizes == ModelSizes():
        metadata["presets"] = json.dumps(published_presets())
    return metadata
