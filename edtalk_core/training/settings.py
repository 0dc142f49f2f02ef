"""Settings of a training run: the stage's defaults, then a YAML file, then single values from the command line.

Each stage has a dataclass of its own, beside its code, that adds to `TrainingSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from ..errors import ArgumentError
from ..networks.talking_head import MAX_RESOLUTION
from ..paths import special_kind
from .typed_settings import Bases, Batch, Count, Momentum, NotNegative, Positive, Range, Seed, Share, Width

RENAMED = {
    **{
        f"options.{old}": new
        for old, new in {
            "near": "sampling.near_frames_share",
            "contrast": "sampling.contrast_share",
            "swapped": "sampling.swapped_mouth_share",
            "expressed": "sampling.new_expression_share",
            "emotional": "sampling.emotional_share",
            "across": "sampling.across_clips_share",
            "mouth": "pixel_weights.mouth",
            "eyes": "pixel_weights.eyes",
            "inside": "pixel_weights.between_lips",
            "vgg": "vgg_file",
            "taught": "measured_weights_share",
            "fit": "fit_heads",
            "measured": "measured_weights",
            "sequence": "sequence_frames",
            "widths": "network_width",
            "gain": "lip_gain",
            "even": "equal_amplitudes",
            "aligned": "align_sound",
            "window": "windows.frames",
            "amplitude": "windows.amplitude",
            "noise": "windows.noise",
            "silence": "windows.silence",
            "flow_steps": "new_flow.steps",
            "width": "new_flow.width",
            "span": "new_flow.span",
            "audio": "new_flow.audio",
        }.items()
    },
    **{
        f"losses.{short}_{loss}": f"losses.{short}_reconstruction.{loss}"
        for short in ("cross", "self")
        for loss in ("l1", "perceptual", "flow", "outside", "adversarial")
    },
}
"""New names of settings by those of earlier recipes, for error messages."""


MAX_YAML = 1 << 20
"""Letters in the settings of a stage."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of every stage, whatever it trains. They are saved with every checkpoint, so that a run can be
    repeated."""

    stage: str
    """Name of the stage."""
    data: str
    """What the stage learns from: a folder of prepared clips (`edtalk prepare`), unless the stage says otherwise."""
    out: str
    """Folder for checkpoints, curves and sample sheets."""
    init: str = ""
    """Checkpoint or bundle to start from. Empty: new weights."""
    steps: Count = 10000
    """Number of steps of the run."""
    batch: Batch = 16
    """Samples per step and process."""
    learning_rate: Positive = 7e-4
    """Adam's step size, constant after a warm-up of 100 steps unless `decay` is set."""
    decay: bool = False
    """Cosine decay of the learning rate to a tenth over the run."""
    betas: tuple[Momentum, Momentum] = (0.5, 0.99)
    """Adam's averaging constants."""
    ema: Share = 0.998
    """Decay of the running average of the weights that is exported."""
    seed: Seed = 0
    """Random seed of the new model and of every batch."""
    precision: Literal["no", "fp16", "bf16"] = "bf16"
    """accelerate's mixed precision."""
    train: tuple[str, ...] = ()
    """Prefixes of the tensors to train; empty: the stage's own choice."""
    checkpoint_every: Count = 250
    """Steps between checkpoints."""
    sample_every: Count = 250
    """Steps between sample sheets."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(RunSettings):
    """Settings of the stages that train a small classifier."""

    license: str = ""
    """Terms of the weights, written into their file."""
    decay: bool = True
    betas: tuple[Momentum, Momentum] = (0.9, 0.99)
    precision: Literal["no", "fp16", "bf16"] = "no"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(RunSettings):
    """Settings of the stages that train a talking head or a part of it. A model of half the resolution that `init`
    names is grown."""

    resolution: Annotated[int, Range("a power of two from 16 to 1024", 16, MAX_RESOLUTION)] = 256
    """Side of the images in pixels. The published models have 256."""
    channels: dict[int, Width] = field(default_factory=dict)
    """Feature channels by resolution of a new model; empty: the demo model's."""
    style: Width = 256
    """Latent width of a new model; the published models have 512."""
    lip: Bases = 20
    """Bases of a new model's mouth bank (ablation of Table 5)."""
    pose: Bases = 6
    """Bases of a new model's pose bank."""
    expression: Annotated[int, Range("a whole number from 0 to 1024", 0, 1024)] = 10
    """Bases of a new model's expression bank (ablation of Table 5); 0: the lip+pose variant."""
    expression_hidden: Width = 64
    """Hidden width of EEM's AdaIN of a new model; the published models have 128."""
    orthogonal: bool = True
    """Whether the bases of a new model are orthogonal; false: free directions (ablation of Table 4)."""

    def __post_init__(self) -> None:
        if self.resolution & (self.resolution - 1):
            raise ArgumentError(f"resolution must be a power of two from 16 to 1024, not {self.resolution}.")
        levels = {2**level for level in range(2, self.resolution.bit_length())}
        if self.channels and not self.init and set(self.channels) != levels:
            raise ArgumentError(
                f"channels must have an entry for each of {', '.join(map(str, sorted(levels)))} px, and has them for "
                f"{', '.join(map(str, sorted(self.channels)))}."
            )
        bases = self.lip + self.pose + self.expression
        if self.orthogonal and self.style < bases:
            raise ArgumentError(f"style must have room for {bases} orthogonal bases, and has {self.style}.")


@dataclass(frozen=True, kw_only=True)
class AugmentedSettings(TrainingSettings):
    """Settings of stages that augment their samples."""

    augmentation: NotNegative = 1.0
    """Strength of random changes: of pictures, mirror, zoom, shift and colour; of sound, voice, room and pace."""


def parse_yaml(text: str) -> Any:
    """Parse plain values in YAML. Raises ValueError for anything else: other objects, aliases, bottomless nesting."""
    import yaml

    if len(text) > MAX_YAML:
        raise ValueError(f"settings take at most {MAX_YAML:,} letters, and this has {len(text):,}")
    try:
        # An alias costs nothing to parse, and without limit to print.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValueError("it has aliases (*), which settings do not need")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML ({error})") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping of names to values from a YAML file. Raises ArgumentError when it is not one."""
    try:
        if special := special_kind(path):
            raise ArgumentError(f"The settings {path} are {special}; expected a YAML file.")
        content = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError) as error:  # ValueError: no text, no YAML, or a NUL in the path
        raise ArgumentError(f"The settings {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ArgumentError(f"The settings {path} must be a mapping of names to values.")
    return content
