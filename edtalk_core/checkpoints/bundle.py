"""Bundles: single .safetensors files with a complete model. Conversion, merging and atomic writing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ArgumentError, UnsupportedCheckpoint
from ..model import EDTalk
from ..motion.bases import Bases
from ..motion.motion import FPS
from ..motion.presets import published_presets
from ..networks.sizes import ModelSizes
from ..recognition import recognise
from .catalogue import LICENSE
from .metadata import bases_to_json, bundle_metadata, is_bundle, read_bases, read_fps, read_presets
from .reading import Checkpoint, read_checkpoint
from .writing import check_target, converted_tensor, sources_metadata, write_safetensors


def write_bundle(
    path: str | Path,
    model: EDTalk | Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model, or tensors under the names of a bundle, as a bundle with `metadata`. Returns the path.

    Tensors that inference does not use are left out. A model's fps, presets and names of bases become metadata; for
    tensors they are taken from `metadata`, as are all other keys. format, format_version, variant and sizes are always
    set. `dtype` (float32, bfloat16 or float16) is the type to store numbers in; None leaves them unchanged.

    The file is written atomically. Raises ArgumentError for a suffix other than .safetensors, for another dtype or one
    that cannot represent the values; UnsupportedCheckpoint for tensors that are not an EDTalk model or not finite;
    EDTalkError when the file cannot be written.
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
        fps, presets, bases = model.fps, model.presets, model.bases
    else:
        fps, presets = read_fps(values, str(path)), read_presets(values, sizes, str(path))
        bases = read_bases(values, sizes, str(path))
    values.pop("bases", None)
    values |= bundle_metadata(sizes, fps, presets, bases)

    tensors = {name: converted_tensor(name, value, dtype) for name, value in recognised.tensors.items()}
    write_safetensors(path, tensors, values)
    return path


def convert(
    sources: Sequence[str | Path],
    target: str | Path,
    *,
    dtype: torch.dtype | None = None,
    presets: Mapping[str, Sequence[float]] | None = None,
    bases: Bases | None = None,
) -> Path:
    """Convert weight files, such as EDTalk.pt and Audio2Lip.pt, to one bundle. Returns the path of the bundle.

    Optimiser states, discriminators and weights that inference never uses are left out. The metadata lists the sources
    with their SHA-256. `presets` (emotion -> expression weights) and `bases` (names of the bases) replace those of the
    files. `dtype`: see `write_bundle`. Raises the errors of `write_bundle`, `read_checkpoint` and `merge`, and
    ArgumentError when the target is one of the sources, or exists and was not made by this function.
    """
    target = Path(target)
    check_target(target, sources)
    checkpoints = [read_checkpoint(source) for source in sources]
    tensors, metadata = merge(checkpoints)
    metadata = metadata | sources_metadata(checkpoints)
    if presets is not None:
        metadata["presets"] = json.dumps(presets)
    if bases is not None:
        metadata["bases"] = bases_to_json(bases)
    return write_bundle(target, tensors, metadata=metadata, dtype=dtype)


def merge(checkpoints: Sequence[Checkpoint]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Merge the files of a model: tensors under the names of a bundle, and metadata.

    The metadata is that of the bundle with the model; a model of the published sizes without metadata gets the
    published expression presets and licence.

    Raises UnsupportedCheckpoint when a file is unknown, incomplete or of a newer format, or none contains a model;
    ArgumentError when two files contain the same network.
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
