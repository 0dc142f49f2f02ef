"""The ComfyUI nodes: thin adapters over `edtalk_core`, a module for each step of the graph."""

from __future__ import annotations

import os

import folder_paths
from comfy_api.latest import ComfyExtension, io

from .audio import EncodeAudio, LipFromAudio
from .composite import DubVideo, PasteBackNode
from .examples import ExampleInputs
from .expression import BlendExpressions, ExpressionPreset, ExpressionTimeline, LoadPreset, SavePreset
from .model import MODEL_EXTENSIONS, MODELS_FOLDER, LoadModel
from .motion import AdjustMotion, CombineMotions, JoinMotions, LoadMotion, PlotMotion, SaveMotion
from .portrait import LoadPortrait
from .pose import HoldPose, SamplePose
from .render import RenderFrames, RenderVideo
from .sheets import BaseExplorer, EmotionContactSheet
from .video import WeightsFromVideo


class EDTalkExtension(ComfyExtension):
    """The pack's nodes, in the order of the graph, and its folder of models."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Every node of the pack."""
        # Here and not in on_load, which ComfyUI before 0.4 never calls. extra_model_paths.yaml can move or add to it.
        folder_paths.add_model_folder_path(MODELS_FOLDER, os.path.join(folder_paths.models_dir, MODELS_FOLDER))
        folder_paths.folder_names_and_paths[MODELS_FOLDER][1].update(MODEL_EXTENSIONS)
        return [
            ExampleInputs,
            LoadModel,
            LoadPortrait,
            EncodeAudio,
            LipFromAudio,
            WeightsFromVideo,
            ExpressionPreset,
            LoadPreset,
            SavePreset,
            BlendExpressions,
            ExpressionTimeline,
            SamplePose,
            HoldPose,
            AdjustMotion,
            JoinMotions,
            CombineMotions,
            SaveMotion,
            LoadMotion,
            PlotMotion,
            RenderFrames,
            RenderVideo,
            PasteBackNode,
            DubVideo,
            EmotionContactSheet,
            BaseExplorer,
        ]
