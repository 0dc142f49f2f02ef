"""The stages of the paper by name, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from .audio_to_expression import AudioToExpressionStage
from .audio_to_lip import AudioToLipStage
from .mouth_pose import MouthPose
from .pose_flow import PoseFlowStage
from .reconstruction import Autoencoder, Expression, Finetune
from .settings import RENAMED, RunSettings, read_yaml
from .stage import Stage
from .text_to_expression import TextToExpressionStage
from .typed_settings import merged, read_settings

STAGES: dict[str, type[Stage]] = {
    "autoencoder": Autoencoder,
    "mouth-pose": MouthPose,
    "expression": Expression,
    "audio-to-lip": AudioToLipStage,
    "pose-flow": PoseFlowStage,
    "finetune": Finetune,
    "text-to-expression": TextToExpressionStage,
    "audio-to-expression": AudioToExpressionStage,
}


def stage_class(name: str) -> type[Stage]:
    """Look up a stage by name. Raises ArgumentError when there is none."""
    if not isinstance(name, str) or name not in STAGES:  # a recipe may hold anything
        raise ArgumentError(f'There is no stage "{name}"; choose from {", ".join(STAGES)}.')
    return STAGES[name]


def stage_settings(stage: str, file: str | Path | None, values: Mapping[str, Any]) -> RunSettings:
    """Settings of a stage's run. `values` override the YAML `file`, which overrides the stage's defaults.

    Mappings such as `losses` are merged key by key. Raises ArgumentError for an unknown stage, names that are unknown
    at any depth, values of the wrong type or out of range, and files that cannot be read.
    """
    layers = [values] if file is None else [read_yaml(Path(file)), values]
    return read_settings(stage_class(stage).SETTINGS, merged(layers), RENAMED)
