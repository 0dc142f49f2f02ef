"""Files of emotion classifiers: .safetensors with labels, and what else a classifier knows, as metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.reading import Checkpoint, read_checkpoint
from ..checkpoints.writing import check_target, converted_tensor, sources_metadata, write_safetensors
from ..errors import ArgumentError, UnsupportedCheckpoint
from ..motion.presets import EMOTIONS

TEXT_FORMAT = "edtalk-text-emotion"
SPEECH_FORMAT = "edtalk-speech-emotion"
KINDS = {TEXT_FORMAT: "a text emotion classifier", SPEECH_FORMAT: "a speech emotion classifier"}
FORMAT_VERSION = "1"
_TRAINING = "training."
"""Prefix of the training state in a checkpoint."""


def classifier_metadata(kind: str, labels: Sequence[str], license: str, **values: object) -> dict[str, str]:
    """Return the metadata of a classifier's file.

    Args:
        kind: TEXT_FORMAT or SPEECH_FORMAT.
        labels: classes in the order of the network's outputs.
        license: terms of the weights.
        values: what else the classifier knows, stored as JSON.
    """
    metadata = {"format": kind, "format_version": FORMAT_VERSION, "labels": json.dumps(list(labels))}
    return metadata | {"license": license} | {name: json.dumps(value) for name, value in values.items()}


def read_classifier(path: Path, kind: str) -> tuple[dict[str, Tensor], tuple[str, ...], Checkpoint]:
    """Read a classifier's file: its tensors in float32, its labels, and the file, for further metadata.

    Raises UnsupportedCheckpoint for a file that is missing, damaged or something else.
    """
    checkpoint = read_checkpoint(path)
    form = checkpoint.metadata.get("format")
    if form != kind:
        raise UnsupportedCheckpoint(f"{path} is not {KINDS[kind]}, but {KINDS.get(form or '', 'another weight file')}.")
    version = checkpoint.metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise UnsupportedCheckpoint(
            f"{path} is of format {version}; this version of edtalk reads format {FORMAT_VERSION}. Update edtalk."
        )
    labels = metadata_value(checkpoint, "labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise UnsupportedCheckpoint(f"{path} does not say what it tells apart: its metadata has no list of labels.")
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in checkpoint.tensors.items()
        if not name.startswith(_TRAINING)
    }
    return state, tuple(labels), checkpoint


def metadata_value(checkpoint: Checkpoint, name: str) -> object:
    """Return a value of a classifier's metadata. Raises UnsupportedCheckpoint where it is missing or damaged."""
    try:
        return json.loads(checkpoint.metadata[name])
    except (KeyError, ValueError) as error:
        raise UnsupportedCheckpoint(f"{checkpoint.path} lacks its metadata {name!r}: it is damaged.") from error


def emotion_columns(labels: Sequence[str], path: Path) -> list[int]:
    """Return the index in EMOTIONS of each label. Raises UnsupportedCheckpoint for one that is no emotion."""
    unknown = [label for label in labels if label not in EMOTIONS]
    if unknown:
        raise UnsupportedCheckpoint(f"{path} tells apart {unknown[0]!r}, which is none of {', '.join(EMOTIONS)}.")
    return [EMOTIONS.index(label) for label in labels]


def export_classifier(source: Path, target: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a classifier without its training state, in `dtype` (None: as it is). Returns the target.

    Raises UnsupportedCheckpoint for a file that is no classifier or holds values that are not finite, ArgumentError for
    a dtype that cannot represent them and for a target as in `convert`, EDTalkError when it cannot be written.
    """
    check_target(target, [source])
    checkpoint = read_checkpoint(source)
    if checkpoint.metadata.get("format") not in KINDS:
        raise UnsupportedCheckpoint(f"{source} is no emotion classifier.")
    if target.suffix.lower() != ".safetensors":
        raise ArgumentError(f"A classifier's name must end in .safetensors; {target.name!r} does not.")
    tensors = {
        name: converted_tensor(name, value, dtype)
        for name, value in checkpoint.tensors.items()
        if not name.startswith(_TRAINING)
    }
    metadata = {name: value for name, value in checkpoint.metadata.items() if not name.startswith("training_")}
    write_safetensors(target, tensors, metadata | sources_metadata([checkpoint]))
    return target
