"""The stages of the paper by name."""

from __future__ import annotations

from .audio_to_lip import AudioToLipStage
from .autoencoder import Autoencoder
from .expression import Expression, Finetune
from .mouth_pose import MouthPose
from .pose_flow import PoseFlowStage
from .stage import Stage

STAGES: dict[str, type[Stage]] = {
    stage.NAME: stage for stage in (Autoencoder, MouthPose, Expression, AudioToLipStage, PoseFlowStage, Finetune)
}
