"""Emotion Contact Sheet, Base Explorer."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.motion.motion import TRACKS
from ..edtalk_core.motion.presets import EMOTIONS
from ..edtalk_core.sheets import LARGEST_CELL, REACH, SMALLEST_CELL, Picture, base_sheet, emotion_sheet
from .execution import Progress, on_device
from .schema import advanced, search_words
from .sockets import EncodedPortrait, PortraitSocket, image_of

CELL_STEP = 8


def _cell_input(default: int) -> io.Input:
    return advanced(
        io.Int.Input(
            "cell",
            default=default,
            min=SMALLEST_CELL,
            max=LARGEST_CELL,
            step=CELL_STEP,
            tooltip="Pixels a side of each face.",
        )
    )


class EmotionContactSheet(io.ComfyNode):
    """Render a portrait in all emotions on one sheet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkEmotionContactSheet",
            display_name="EDTalk Emotion Contact Sheet",
            **search_words("emotion, facial expressions, face, contact sheet", "情绪, 情感, 表情一览"),
            category="EDTalk/sheets",
            description="A portrait in all emotions, on one picture: at rest first, then a column for each emotion and "
            "a row for each strength.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait; it brings its model along."),
                io.String.Input(
                    "emotions",
                    default="",
                    placeholder="happy, sad",
                    tooltip="Which emotions, separated by commas. Empty: all that the model has. The demo model and "
                    f"the published one have {', '.join(EMOTIONS)}.",
                ),
                io.String.Input(
                    "strengths",
                    default="0.5, 1, 1.5",
                    tooltip="A row for each, separated by commas, 0 to 5. 0: as in the picture. 1: the preset. More: "
                    "exaggerated.",
                ),
                _cell_input(256),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The sheet.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, portrait: EncodedPortrait, emotions: str, strengths: str, cell: int) -> io.NodeOutput:
        progress = Progress("faces")
        sheet = emotion_sheet(
            on_device(portrait.model),
            portrait.portrait,
            emotions=emotions.replace(",", " ").split() or None,
            strengths=parse_strengths(strengths),
            cell=cell,
            precision=portrait.model.precision,
            progress=progress,
        )
        progress.conclude(f"{sheet.shape[1]}x{sheet.shape[0]} pixels")
        return _sheet_output(cls, sheet)


class BaseExplorer(io.ComfyNode):
    """Render the effect of each base on one sheet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkBaseExplorer",
            display_name="EDTalk Base Explorer",
            **search_words("blink, eyes, weights, face", "眨眼, 眼睛, 权重"),
            category="EDTalk/sheets",
            description="What each of the 36 weights moves, on one picture: for each the face with the weight lowered, "
            "as it is, and raised. Adjust Motion offsets weights by the same numbers.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait; it brings its model along."),
                io.Combo.Input(
                    "track",
                    options=["all", *TRACKS],
                    default="all",
                    tooltip="Whose bases: 20 of lip, 6 of pose, 10 of expression, or all.",
                ),
                io.Float.Input(
                    "reach",
                    default=REACH,
                    min=0.1,
                    max=20.0,
                    step=0.1,
                    tooltip="How far a weight is moved to both sides. 4 is as far as weights go in speech and in "
                    "emotions; more shows what lies beyond.",
                ),
                advanced(
                    io.Int.Input(
                        "columns",
                        default=4,
                        min=1,
                        max=20,
                        tooltip="Bases side by side.",
                    )
                ),
                _cell_input(128),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The sheet.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, portrait: EncodedPortrait, track: str, reach: float, columns: int, cell: int) -> io.NodeOutput:
        progress = Progress("faces")
        sheet = base_sheet(
            on_device(portrait.model),
            portrait.portrait,
            track=track,  # type: ignore[arg-type]
            reach=reach,
            columns=columns,
            cell=cell,
            precision=portrait.model.precision,
            progress=progress,
        )
        progress.conclude(f"{sheet.shape[1]}x{sheet.shape[0]} pixels")
        return _sheet_output(cls, sheet)


def parse_strengths(text: str) -> list[float]:
    """Parse comma-separated strengths, such as "0.5, 1". Raises ArgumentError for anything else."""
    try:
        return [float(number) for number in text.replace(",", " ").split()]
    except ValueError:
        raise ArgumentError(f"Strengths are numbers separated by commas, such as 0.5, 1; got {text!r}.") from None


def _sheet_output(cls: type[io.ComfyNode], sheet: Picture) -> io.NodeOutput:
    """Return a sheet as an IMAGE, shown on the node as well."""
    image = image_of(sheet)
    return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))
