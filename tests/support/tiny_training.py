"""Training runs that take seconds: settings of a tiny model."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

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


def voices_manifest(folder: Path) -> Path:
    """Write a manifest of recordings: high voices that are angry, low ones that are sad, and noise."""
    rows = ["path\tkind\tperson\tsplit\tfree_to_derive\tsound\temotion"]
    time = np.arange(24_000) / 16_000
    rng = np.random.default_rng(0)
    for number in range(6):
        for emotion, pitch in (("angry", 320), ("sad", 110)):
            swell = 0.6 + 0.4 * np.sin(2 * np.pi * (3 + 0.2 * number) * time)
            voice = 0.3 * np.sign(np.sin(2 * np.pi * (pitch + 5 * number) * time)) * swell
            _write_wav(folder / f"{emotion}{number}.wav", voice + 1e-3 * rng.standard_normal(len(time)))
            rows.append(f"{emotion}{number}.wav\tspeech\tp{number}\ttrain\tyes\tspeech\t{emotion}")
    _write_wav(folder / "noise.wav", 0.1 * rng.standard_normal(len(time)))
    rows.append("noise.mp4\tclip\tq\ttrain\tyes\tother\t")
    path = folder / "manifest.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())
