"""Expression Preset, Load and Save Expression Preset, Blend Expressions, Expression Timeline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from comfy_api.latest import io

from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.media.mel import AudioFeatures
from ..edtalk_core.motion.keys import frames_until, parse_curve
from ..edtalk_core.motion.length import MODES
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.motion.operations import Curve, align, blend, scale_about
from ..edtalk_core.motion.presets import EMOTIONS, OWN, Preset, expression_preset, load_presets, save_preset
from ..edtalk_core.sources.text import motion_from_preset, motion_from_timeline
from .execution import show_status, warn
from .files import FROM_PATH, check_listed, find_file, fingerprint, list_files, next_file
from .schema import advanced, core_socket, search_words
from .sockets import EncodedPortrait, FeaturesSocket, LoadedModel, ModelSocket, MotionSocket, PortraitSocket

PRESETS_FOLDER = "presets"
PRESET_EXTENSIONS = {".json", ".npy"}

STRENGTH_TOOLTIP = "0: as in the picture. 1: the preset. Up to 3: exaggerated."
EXAMPLE_TIMELINE = """\
0:00 own
0:01 happy:0.8 ease-in-out
0:03 happy:0.8
0:04 surprised ease-in-out
0:06 own ease-in-out"""


def _expression_output(tooltip: str) -> io.Output:
    return MotionSocket.Output("expression", display_name="expression", tooltip=tooltip)


class ExpressionPreset(io.ComfyNode):
    """Make expression weights of one of the model's emotions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkExpressionPreset",
            display_name="EDTalk Expression Preset",
            **search_words(
                "emotion, facial expression, face, smile, happy, sad, angry", "情绪, 情感, 表情, 微笑, 人脸"
            ),
            category="EDTalk/expression",
            description="One of the model's emotions, as strong as you like, starting from what the face does in the "
            "picture.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait. Strength 0 is its own expression."),
                io.Combo.Input(
                    "emotion",
                    options=[*EMOTIONS, OWN],
                    default="happy",
                    tooltip="own: as in the picture, whatever the strength.",
                ),
                io.Float.Input("strength", default=1.0, min=0.0, max=3.0, step=0.05, tooltip=STRENGTH_TOOLTIP),
            ],
            outputs=[_expression_output("A motion with an expression track, one frame: it stays.")],
        )

    @classmethod
    def execute(cls, portrait: EncodedPortrait, emotion: str, strength: float) -> io.NodeOutput:
        return io.NodeOutput(motion_from_preset(portrait.model.edtalk, emotion, strength, portrait.own))


class LoadPreset(io.ComfyNode):
    """Load expression weights from a preset file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkLoadPreset",
            display_name="EDTalk Load Expression Preset",
            **search_words("emotion preset, facial expression", "情绪预设, 表情预设"),
            category="EDTalk/expression",
            description="An expression preset, your own or from somebody else: .json written by Save Expression "
            "Preset, or a published .npy. It belongs to the model it was made with.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait. Strength 0 is its own expression."),
                io.Combo.Input(
                    "file",
                    options=list_files(PRESETS_FOLDER, PRESET_EXTENSIONS),
                    default=FROM_PATH,
                    tooltip=".json and .npy files in ComfyUI's input folder, in output/presets [output] and in "
                    f"models/edtalk/presets [models]. {FROM_PATH}: the one given below.",
                ),
                io.String.Input(
                    "path",
                    default="",
                    placeholder="presets/smile.json",
                    tooltip=f'Where the file lies, if file is "{FROM_PATH}": a path below ComfyUI\'s output or input '
                    "folder, or a full path into ComfyUI's folders. Elsewhere only if the server's owner allows it.",
                ),
                advanced(
                    io.String.Input(
                        "name",
                        default="",
                        tooltip="Which preset, where a file holds several. Empty: the only one.",
                    )
                ),
                io.Float.Input("strength", default=1.0, min=0.0, max=3.0, step=0.05, tooltip=STRENGTH_TOOLTIP),
            ],
            outputs=[_expression_output("A motion with an expression track, one frame: it stays.")],
        )

    @classmethod
    def execute(cls, portrait: EncodedPortrait, file: str, path: str, name: str, strength: float) -> io.NodeOutput:
        source = find_file(file, path, "preset file")
        presets = load_presets(source)
        preset_name = name.strip() or next(iter(presets))
        if not name.strip() and len(presets) > 1:
            raise ArgumentError(f"{source.name} holds the presets {', '.join(presets)}; name the one to use.")
        expression = expression_preset(
            {key: preset.weights for key, preset in presets.items()}, preset_name, strength, portrait.own
        )
        preset_model = next(iter(presets.values())).model
        if preset_model and preset_model != portrait.model.name:
            warn(
                f"The preset was saved with the model {preset_model} and this is {portrait.model.name}. If they are "
                "not the same model, the face will do something else."
            )
        return io.NodeOutput(expression)

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        """Accept any existing file: the list in a shared workflow is another machine's."""
        return check_listed(file, "preset file")

    @classmethod
    def fingerprint_inputs(cls, file: str, path: str | None = None, **_: object) -> str:
        """Change when the file does, so that it is loaded again."""
        return fingerprint(file, path)


class SavePreset(io.ComfyNode):
    """Save one frame of expression weights as a preset file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkSavePreset",
            display_name="EDTalk Save Expression Preset",
            **search_words("emotion preset, facial expression", "情绪预设, 表情预设"),
            category="EDTalk/expression",
            description="Keeps the expression of one frame, of a blend, a video or a picture, as a preset: a small, "
            "readable .json file to share and to load again.",
            inputs=[
                ModelSocket.Input("model", tooltip="The model that the motion was made with; its name is noted."),
                MotionSocket.Input("motion", tooltip="A motion with an expression track."),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=-1_000_000,
                    max=1_000_000,
                    tooltip="Which frame: 0 is the first, -1 the last.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="presets/smile",
                    tooltip="Folder and name below ComfyUI's output folder. The preset is called as the file, without "
                    "the number.",
                ),
                advanced(
                    io.String.Input(
                        "about",
                        default="",
                        tooltip="A description for people, kept in the file.",
                    )
                ),
            ],
            outputs=[
                _expression_output("That frame, as a motion with an expression track."),
                io.String.Output("path", display_name="path", tooltip="Where the file lies."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model: LoadedModel, motion: Motion, frame: int, filename_prefix: str, about: str) -> io.NodeOutput:
        expression = motion.select("expression").frame(frame)
        path, saved_result = next_file(filename_prefix, "json")
        name = re.sub(r"[\s:;#]+", "_", re.sub(r"_\d+_$", "", path.stem))
        weights = tuple(expression.track("expression")[0].tolist())
        save_preset(Preset(name, weights, about, model.name), path)
        show_status(f"Saved {path}")
        return io.NodeOutput(expression, str(path), ui={"presets": [saved_result]})


class BlendExpressions(io.ComfyNode):
    """Blend two expression motions, by equation 3 of the paper."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkBlendExpressions",
            display_name="EDTalk Blend Expressions",
            **search_words("emotion, mix emotions, facial expression, face morph", "情绪, 情感, 混合表情"),
            category="EDTalk/expression",
            description="Mixes two expressions: amount × first + (1 - amount) × second. The amount stays, or changes "
            "over time by a curve.",
            inputs=[
                MotionSocket.Input("first", tooltip="A motion with an expression track: amount 1."),
                MotionSocket.Input("second", tooltip="A motion with an expression track: amount 0."),
                io.Float.Input(
                    "amount",
                    default=0.5,
                    min=-1.0,
                    max=2.0,
                    step=0.01,
                    tooltip="1: all first. 0: all second. Beyond: away from the other. Not used where a curve or "
                    "amounts are given.",
                ),
                io.String.Input(
                    "curve",
                    default="",
                    multiline=True,
                    placeholder="0:00 0\n0:02 1 ease-in-out\n0:04 0.3",
                    tooltip="The amount over time: a line for each key, with a time (seconds or m:ss), the amount, and "
                    "perhaps how to get there: linear, ease-in, ease-out, ease-in-out, hold. Empty: the amount stays.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=36_000.0,
                    step=0.1,
                    tooltip="How long it lasts. 0: as long as the longer motion; of two single frames, as the curve.",
                ),
                advanced(
                    io.Combo.Input(
                        "shorter",
                        options=list(MODES),
                        default="hold",
                        tooltip="What a motion does when it is over before the other: hold its last frame, repeat, or "
                        "go back and forth.",
                    )
                ),
                io.MultiType.Input(
                    "amounts",
                    types=[io.Custom("FLOATS"), io.Float],
                    optional=True,
                    tooltip="The amount in each frame, from nodes of other packs that make lists of numbers (splines, "
                    "schedules, loudness), instead of amount and curve. The last one stays.",
                ),
            ],
            outputs=[_expression_output("A motion with an expression track, at the rate of the first that moves.")],
        )

    @classmethod
    def execute(
        cls,
        first: Motion,
        second: Motion,
        amount: float,
        curve: str,
        seconds: float,
        shorter: str,
        amounts: float | Sequence[float] | None = None,
    ) -> io.NodeOutput:
        first, second = first.select("expression"), second.select("expression")
        longest = align(first, second)[0]
        amount_curve: Curve = amount
        frames = longest.frames
        if amounts is not None:
            amount_curve = np.asarray(amounts, dtype=np.float64).reshape(-1)
            if not len(amount_curve):
                raise ArgumentError("The list of amounts is empty; there must be at least one number in it.")
            frames = len(amount_curve) if frames == 1 else frames
        elif curve.strip():
            amount_curve = parse_curve(curve)
            frames = frames_until(amount_curve.end, longest.fps) if frames == 1 else frames
        if seconds:
            frames = max(1, round(seconds * longest.fps))
        if isinstance(amount_curve, np.ndarray):
            amount_curve = np.pad(amount_curve[:frames], (0, max(0, frames - len(amount_curve))), mode="edge")
        return io.NodeOutput(blend(first, second, amount_curve, mode=shorter, frames=frames))  # type: ignore[arg-type]


class ExpressionTimeline(io.ComfyNode):
    """Make expression weights over time from a text of keys."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkExpressionTimeline",
            display_name="EDTalk Expression Timeline",
            **search_words(
                "emotion, emotion over time, animate expression, animate face, keyframes",
                "情绪, 情感, 表情动画, 关键帧, 时间线",
            ),
            category="EDTalk/expression",
            description="Emotions over time, as text: a line for each key, with a time, an emotion, a strength and how "
            "to get there.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait. Strength 0 and own are its expression."),
                io.String.Input(
                    "text",
                    default=EXAMPLE_TIMELINE,
                    multiline=True,
                    tooltip="A line for each key: the time (seconds or m:ss), the emotion with its strength "
                    "(happy:0.8; 0 to 5, 1 is the preset), and perhaps how to get there: linear, ease-in, ease-out, "
                    f"ease-in-out, hold. Emotions: {', '.join(EMOTIONS)}, {OWN} (as in the picture). # is a comment.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=36_000.0,
                    step=0.1,
                    tooltip="How long it lasts. 0: as long as the features, else until its last key. The last "
                    "expression stays.",
                ),
                io.Float.Input("fps", default=25.0, min=1.0, max=120.0, step=0.01, tooltip="Frames a second."),
                FeaturesSocket.Input(
                    "features", optional=True, tooltip="From Encode Audio: it lasts as long as the sound."
                ),
                core_socket(
                    "CURVE",
                    "strength_curve",
                    "From ComfyUI's Curve Editor: the strength over the whole length, from 0, as in the picture, to 1, "
                    "as in the text.",
                ),
            ],
            outputs=[_expression_output("A motion with an expression track.")],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        text: str,
        seconds: float,
        fps: float,
        features: AudioFeatures | None = None,
        strength_curve: Any = None,
    ) -> io.NodeOutput:
        duration = seconds or (features.duration if features is not None else None)
        motion = motion_from_timeline(portrait.model.edtalk, text, portrait.own, duration=duration, fps=fps)
        if strength_curve is not None:
            strengths = strength_curve.interp_array(np.linspace(0, 1, motion.frames))
            motion = scale_about(motion, strengths, portrait.own.select("expression"))
        return io.NodeOutput(motion)
