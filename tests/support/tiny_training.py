"""Training runs that take seconds: settings of a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edtalk_core.training.settings import TrainingSettings
from edtalk_core.training.stages import stage_settings
from edtalk_core.training.typed_settings import merged

TINY: dict[str, Any] = {
    "resolution": 16,
    "channels": {4: 16, 8: 16, 16: 16},
    "style": 40,
    "expression_hidden": 8,
    "batch": 4,
    "learning_rate": 5e-3,
    "precision": "no",
    "checkpoint_every": 1000,
    "sample_every": 1000,
}
STAGE_SETTINGS: dict[str, dict[str, Any]] = {
    "audio-to-lip": {"network_width": 0.05, "sequence_frames": 8},
    "pose-flow": {"windows": {"frames": 20}, "new_flow": {"steps": 2, "width": 16, "span": 10, "audio": 8}},
}


def tiny_settings(stage: str, data: Path, out: Path, **values: Any) -> TrainingSettings:
    """Settings of a stage for a tiny model, without augmentation, updated with `values`."""
    no_augmentation = {} if stage == "pose-flow" else {"augmentation": 0.0}
    stage_values = STAGE_SETTINGS.get(stage, {})
    return stage_settings(
        stage, None, merged([{"data": str(data), "out": str(out)}, TINY, no_augmentation, stage_values, values])
    )
