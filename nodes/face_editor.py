"""Face Editor."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..edtalk_core.live.scenes import EditScene
from ..edtalk_core.motion.edits import apply_edit, format_edit, parse_edit
from ..edtalk_core.motion.motion import Motion
from .live import SERVICE, controls_of, leave_scene
from .schema import search_words
from .sockets import EncodedPortrait, MotionSocket, PortraitSocket


class FaceEditor(io.ComfyNode):
    """Change a face by sliders and by dragging, with a picture that follows at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkFaceEditor",
            display_name="EDTalk Face Editor (Live)",
            **search_words(
                "expression editor, face sliders, edit expression, live portrait, advanced live portrait, smile, "
                "blink, head pose, puppet",
                "表情编辑, 人脸编辑, 滑块, 实时, 微笑, 眨眼, 头部姿态",
            ),
            category="EDTalk/expression",
            description="Sliders for brows, eyes, mouth and head, and a face to pull at. Run once; from then on the "
            "picture follows the mouse without another run.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait: the face at rest."),
                io.String.Input(
                    "edit",
                    default="",
                    tooltip="The edit as text, which the sliders write: JSON. It can also come over a wire, from "
                    "another Face Editor or a program.",
                ),
                MotionSocket.Input(
                    "motion",
                    optional=True,
                    tooltip="A motion that is edited, in every frame. Unplugged: the portrait's own, one frame.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "edited",
                    display_name="motion",
                    tooltip="The edited face: expression, head and mouth. A single frame stays as long as what is "
                    "rendered.",
                ),
                io.String.Output(
                    "edit_text", display_name="edit", tooltip="The edit as text, for another Face Editor."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, portrait: EncodedPortrait, edit: str, motion: Motion | None = None) -> io.NodeOutput:
        model, sitter = portrait.model.edtalk, portrait.portrait
        parsed = parse_edit(edit)
        complete = model.complete(motion, sitter)
        edited = apply_edit(parsed, complete, sitter.own, model.presets, model.bases)
        text = format_edit(parsed)
        scene = EditScene(
            model, sitter, portrait.model.precision, controls_of(cls, portrait), motion, portrait.model.name
        )
        return io.NodeOutput(edited, text, ui=leave_scene(cls, scene, text))

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> int:
        """Change when scenes were given up, so that a run leaves them again."""
        return SERVICE.evictions
