"""ComfyUI nodes: thin adapters over `edtalk_core`, one module for each step of the graph."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import ComfyExtension, io

from ..edtalk_core.errors import EDTalkError
from ..edtalk_core.requirements import explain_import_error
from .audio import EncodeAudio, LipFromAudio
from .blink import Blink
from .composite import DubVideo, PasteBackNode
from .examples import ExampleInputs, copy_examples
from .expression import BlendExpressions, ExpressionPreset, ExpressionTimeline, LoadPreset, SavePreset
from .expression_from_speech import ExpressionFromSpeech
from .face_editor import FaceEditor
from .language import translate
from .live import add_live_routes
from .model import MODEL_EXTENSIONS, MODELS_FOLDER, LoadModel
from .motion import AdjustMotion, CombineMotions, JoinMotions, LoadMotion, PlotMotion, SaveMotion
from .motion_timeline import MotionTimeline
from .portrait import LoadPortrait
from .pose import HoldPose, SamplePose
from .render import RenderFrames, RenderVideo
from .sheets import BaseExplorer, EmotionContactSheet
from .templates import add_template_routes
from .video import WeightsFromVideo

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"


def with_explained_errors(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """Wrap a node's `execute`: errors come in the editor's language and say how to install a missing requirement."""
    execute = node.execute

    @functools.wraps(execute)
    def execute_and_explain(cls: type[io.ComfyNode], *args: Any, **inputs: Any) -> Any:
        try:
            return execute.__func__(cls, *args, **inputs)
        except EDTalkError as error:
            error.args = (translate(str(error)), *error.args[1:])
            raise
        except ModuleNotFoundError as error:
            explanation = explain_import_error(error, REQUIREMENTS)
            if explanation is None:
                raise
            raise explanation from error

    node.execute = classmethod(execute_and_explain)
    return node


NODES: list[type[io.ComfyNode]] = [
    with_explained_errors(node)
    for node in (
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
        Blink,
        ExpressionFromSpeech,
        FaceEditor,
        MotionTimeline,
    )
]
"""All nodes, in the order of the graph."""


class EDTalkExtension(ComfyExtension):
    """The pack's nodes and its model folder, as ComfyUI asks for them."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Register the model folder, the example media and the routes; return every node of the pack."""
        # Here and not in on_load, which ComfyUI before 0.4 never calls. extra_model_paths.yaml can move or add to it.
        folder_paths.add_model_folder_path(MODELS_FOLDER, os.path.join(folder_paths.models_dir, MODELS_FOLDER))
        folder_paths.folder_names_and_paths[MODELS_FOLDER][1].update(MODEL_EXTENSIONS)
        with contextlib.suppress(OSError):  # the models folder may be read-only
            os.makedirs(os.path.join(folder_paths.models_dir, MODELS_FOLDER), exist_ok=True)
        copy_examples()
        add_template_routes()
        add_live_routes()
        return list(NODES)
