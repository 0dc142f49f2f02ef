"""Checkpoints of a run: one safetensors file with the weights, the averaged weights and the optimiser's state.

The averaged weights lie under the model's own tensor names, so a training checkpoint loads like any other model.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..atomic import atomic_write
from ..errors import EDTalkError
from .settings import RunSettings
from .stage import Stage

CHECKPOINT_COUNT = 2
"""Number of checkpoints that stay in a run's folder."""


def checkpoint_path(out: Path, step: int) -> Path:
    """Path of the checkpoint of a step in a run's folder."""
    return out / f"checkpoint-{step:06d}.safetensors"


def latest_checkpoint(out: Path) -> Path | None:
    """Newest checkpoint of a run's folder; None if there is none."""
    checkpoints = sorted(out.glob("checkpoint-*.safetensors"))
    return checkpoints[-1] if checkpoints else None


def save_training(
    out: Path,
    step: int,
    stage: Stage,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    settings: RunSettings,
) -> Path:
    """Write `checkpoint-STEP.safetensors` atomically and delete the oldest."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: value.detach() for name, value in stage.model.state_dict().items()}
    tensors |= average
    for name, value in parameters.items():
        tensors[f"training.weight.{name}"] = value.detach()
        state = optimizer.state.get(value, {})
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if key in state:
                tensors[f"training.{key}.{name}"] = torch.as_tensor(state[key])
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    metadata = stage.metadata() | {
        "training_step": str(step),
        "training_config": json.dumps(asdict(settings)),
    }
    path = checkpoint_path(out, step)
    try:
        with atomic_write(path) as partial:
            save_file(tensors, partial, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise EDTalkError(f"The checkpoint {path} cannot be written: {error}. Check that the disk has room.") from error
    for old in sorted(out.glob("checkpoint-*.safetensors"))[:-CHECKPOINT_COUNT]:
        old.unlink()
    return path


def load_training(
    path: Path,
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> int:
    """Restore a checkpoint's state and return its step. Raises EDTalkError when it belongs to another run."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            expected = {f"training.weight.{name}" for name in parameters}
            stored = {name for name in names if name.startswith("training.weight.")}
            if expected != stored:
                raise EDTalkError(
                    f"{path} is a checkpoint of other trained tensors ({len(stored)} instead of {len(expected)}): "
                    "train into another folder, or delete this one to start over."
                )
            own = model.state_dict()
            with torch.no_grad():
                for name, value in own.items():
                    if name in names and name not in parameters:
                        value.copy_(file.get_tensor(name))
                for name, value in average.items():
                    value.copy_(file.get_tensor(name))
                for name, value in parameters.items():
                    value.copy_(file.get_tensor(f"training.weight.{name}"))
                    optimizer.state[value] = {
                        key: file.get_tensor(f"training.{key}.{name}").to(value.device if key != "step" else "cpu")
                        for key in ("step", "exp_avg", "exp_avg_sq")
                        if f"training.{key}.{name}" in names
                    }
            return int((file.metadata() or {})["training_step"])
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise EDTalkError(f"The checkpoint {path} cannot be resumed ({error}); delete it to start over.") from error
