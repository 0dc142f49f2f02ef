"""Settings of a training run: the stage's defaults, then a YAML file, then single values from the command line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ArgumentError


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a run; saved with every checkpoint, so that a run can be repeated."""

    stage: str
    """Name of the stage, see `stages.STAGES`."""
    data: str
    """Folder of prepared clips (`edtalk prepare`)."""
    out: str
    """Folder for checkpoints, curves and sample sheets."""
    init: str = ""
    """Checkpoint or bundle to start from; a model of half the resolution is grown. Empty: a new model."""
    resolution: int = 256
    """Side of the images in pixels. The published models have 256."""
    channels: dict[int, int] = field(default_factory=dict)
    """Feature channels by pixels of a new model; empty: the demo model's."""
    style: int = 256
    """Latent width of a new model; the published models have 512."""
    lip: int = 20
    """Bases of the mouth bank (ablation of Table 5)."""
    pose: int = 6
    """Bases of the pose bank."""
    expression: int = 10
    """Bases of the expression bank (ablation of Table 5)."""
    expression_hidden: int = 64
    """Hidden width of EEM's AdaIN; the published models have 128."""
    steps: int = 10000
    """Steps at which the run is finished."""
    batch: int = 16
    """Samples a step and process."""
    learning_rate: float = 7e-4
    """Adam's step size, constant after a warm-up of 100 steps and, with `decay`, falling to a tenth."""
    decay: bool = False
    """Cosine decay of the learning rate to a tenth over the run."""
    betas: tuple[float, float] = (0.5, 0.99)
    """Adam's averaging constants."""
    ema: float = 0.998
    """Decay of the running average of the weights that is exported."""
    seed: int = 0
    """Decides the new model and every batch."""
    precision: str = "bf16"
    """"no", "fp16" or "bf16": accelerate's mixed precision."""
    augmentation: float = 1.0
    """Strength of mirror, zoom, shift and colour changes; 0 is none."""
    losses: dict[str, float] = field(default_factory=dict)
    """Weight of each loss of the stage; 0 switches one off (ablations of Table 4)."""
    train: list[str] = field(default_factory=list)
    """Prefixes of the tensors to train; empty: the stage's own choice."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of one stage only; see the stage."""
    checkpoint_every: int = 250
    """Steps between checkpoints."""
    sample_every: int = 250
    """Steps between sample sheets."""

    def __post_init__(self) -> None:
        for name in ("resolution", "style", "lip", "pose", "steps", "batch", "checkpoint_every", "sample_every"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} must be at least 1, not {getattr(self, name)}.")
        bases = self.lip + self.pose + self.expression
        if self.style < bases:
            raise ArgumentError(f"style must have room for {bases} orthogonal bases, and has {self.style}.")
        if not self.learning_rate > 0:
            raise ArgumentError(f"learning_rate must be positive, not {self.learning_rate}.")
        if self.precision not in ("no", "fp16", "bf16"):
            raise ArgumentError(f'precision must be "no", "fp16" or "bf16", not "{self.precision}".')


def read_config(stage: str, file: str | Path | None, settings: dict[str, Any]) -> TrainingConfig:
    """The configuration of a run. `settings` wins over the YAML `file`, which wins over the stage's defaults.

    Mappings such as `losses` are merged key by key. Raises ArgumentError for unknown names and unusable files.
    """
    from .stages import STAGES

    if stage not in STAGES:
        raise ArgumentError(f'There is no stage "{stage}"; choose from {", ".join(STAGES)}.')
    values: dict[str, Any] = {"stage": stage, **STAGES[stage].DEFAULTS}
    layers = [settings]
    if file is not None:
        import yaml

        try:
            loaded = yaml.safe_load(Path(file).read_text()) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ArgumentError(f"The configuration {file} cannot be read: {error}") from error
        if not isinstance(loaded, dict):
            raise ArgumentError(f"The configuration {file} must be a mapping of names to values.")
        layers.insert(0, loaded)
    known = {item.name for item in dataclasses.fields(TrainingConfig)}
    for layer in layers:
        for name, value in layer.items():
            if name not in known:
                raise ArgumentError(f'There is no setting "{name}"; known are {", ".join(sorted(known))}.')
            values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    missing = [name for name in ("data", "out") if name not in values]
    if missing:
        raise ArgumentError(f"The setting {missing[0]} is missing: give a folder.")
    values["channels"] = {int(px): int(width) for px, width in values.get("channels", {}).items()}
    for item in dataclasses.fields(TrainingConfig):
        if item.type in ("int", "float") and item.name in values:
            values[item.name] = _number(item.name, values[item.name], whole=item.type == "int")
    try:
        return TrainingConfig(**values)
    except TypeError as error:
        raise ArgumentError(f"A setting has the wrong type: {error}") from error


def _number(name: str, value: object, whole: bool) -> float | int:
    """A setting as a number; YAML takes 1e-4 for a text."""
    try:
        number = float(value)  # type: ignore[arg-type]
        if whole and number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"{name} must be a {'whole ' if whole else ''}number, not {value!r}.") from None
    return int(number) if whole else number
