"""The stages of the paper by name."""

from __future__ import annotations

from .autoencoder import Autoencoder
from .expression import Expression, Finetune
from .mouth_pose import MouthPose
from .stage import Stage

STAGES: dict[str, type[Stage]] = {stage.NAME: stage for stage in (Autoencoder, MouthPose, Expression, Finetune)}
