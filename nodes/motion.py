"""Adjust Motion, Join Motions, Combine Motions, Save Motion, Load Motion, Plot Motion."""

from __future__ import annotations

from typing import Literal

from comfy_api.latest import io, ui

from ..edtalk_core import __version__
from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.motion.files import load_motion, save_motion
from ..edtalk_core.motion.length import MODES
from ..edtalk_core.motion.motion import TRACKS, Motion
from ..edtalk_core.motion.operations import (
    combine,
    concatenate,
    offset,
    parse_offsets,
    resample,
    scale_about,
    smooth_motion,
    trim,
)
from ..edtalk_core.motion.operations import loop as loop_motion
from ..edtalk_core.motion.plot import plot_motion
from ..edtalk_core.sources.blendshapes import is_live_link, motion_from_capture, read_live_link
from .execution import describe, show_status, warn, workflow_tags
from .files import FROM_PATH, check_listed, find_file, fingerprint, list_files, next_file
from .schema import advanced, search_words
from .sockets import EncodedPortrait, MotionSocket, PortraitSocket, image_of

MOTIONS_FOLDER = "motion"
MOTION_EXTENSIONS = {".safetensors", ".json", ".csv"}

ALL = "all"
MEAN, FIRST, PORTRAIT = "mean", "first frame", "portrait"
NONE = "none"


def _track_input(tooltip: str) -> io.Input:
    return io.Combo.Input("track", options=[ALL, *TRACKS], default=ALL, tooltip=tooltip)


def _tracks_of(motion: Motion, track: str) -> tuple[str, ...]:
    """Return the track names that a value of `_track_input` stands for."""
    return tuple(motion.tracks) if track == ALL else (track,)


class AdjustMotion(io.ComfyNode):
    """Trim, scale, offset, smooth, loop or resample a motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkAdjustMotion",
            display_name="EDTalk Adjust Motion",
            **search_words("blink, eyes, amplify motion, smooth motion, trim motion", "眨眼, 眼睛, 平滑动作, 调整动作"),
            category="EDTalk/motion",
            description="Edits a motion, in this order: cuts out a part, scales it about an anchor, offsets single "
            "bases, smooths, loops, changes the frame rate. As it is, it changes nothing.",
            inputs=[
                MotionSocket.Input("motion", tooltip="What to edit."),
                _track_input("What gain, offsets and smoothing change. Cutting, looping and fps are for all tracks."),
                io.Float.Input(
                    "gain",
                    default=1.0,
                    min=-3.0,
                    max=5.0,
                    step=0.05,
                    tooltip="How much of the movement: 0: none, it stays at the anchor. 1: as it is. 2: twice as far. "
                    "-1: the other way.",
                ),
                io.Combo.Input(
                    "anchor",
                    options=[MEAN, FIRST, PORTRAIT],
                    default=MEAN,
                    tooltip="What gain scales about: the mean over time, the first frame, or what the portrait does in "
                    "its picture.",
                ),
                io.String.Input(
                    "offsets",
                    default="",
                    placeholder="1: 2.0, 3: -1",
                    tooltip="Added to single bases of the track, in all frames: base: amount, separated by commas. lip "
                    "has the bases 0 to 19, pose 0 to 5, expression 0 to 9. How large "
                    "weights are, Plot Motion shows.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Calms jitter: the width of the Gaussian over time, its standard deviation in seconds. 0: "
                    "none. 0.04 is a frame of 25 fps.",
                ),
                io.Float.Input(
                    "start", default=0.0, min=0.0, max=36_000.0, step=0.01, tooltip="Keep from this second on."
                ),
                io.Float.Input(
                    "end",
                    default=0.0,
                    min=0.0,
                    max=36_000.0,
                    step=0.01,
                    tooltip="Keep up to this second. 0: to the end.",
                ),
                io.Combo.Input(
                    "loop",
                    options=[NONE, *MODES],
                    default=NONE,
                    tooltip="How the motion is extended to the seconds below. hold: the last frame stays. repeat: "
                    "again and again. ping-pong: back and forth.",
                ),
                io.Float.Input(
                    "seconds",
                    default=10.0,
                    min=0.04,
                    max=36_000.0,
                    step=0.1,
                    tooltip="How long it lasts, where it loops; a longer motion is cut.",
                ),
                io.Float.Input(
                    "crossfade",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Seconds in which the end flows into the start, where loop is repeat; at most half the "
                    "motion.",
                ),
                io.Float.Input(
                    "fps", default=0.0, min=0.0, max=120.0, step=0.01, tooltip="Frames a second. 0: as they are."
                ),
                PortraitSocket.Input("portrait", optional=True, tooltip="Needed where the anchor is portrait."),
            ],
            outputs=[MotionSocket.Output("adjusted", display_name="motion", tooltip="The edited motion.")],
        )

    @classmethod
    def execute(
        cls,
        motion: Motion,
        track: str,
        gain: float,
        anchor: str,
        offsets: str,
        smoothing: float,
        start: float,
        end: float,
        loop: str,
        seconds: float,
        crossfade: float,
        fps: float,
        portrait: EncodedPortrait | None = None,
    ) -> io.NodeOutput:
        tracks = _tracks_of(motion, track)
        if start or end:
            motion = trim(motion, start, end or None)
        if gain != 1:
            anchor_motion: Motion | Literal["mean", "first"] = "mean" if anchor == MEAN else "first"
            if anchor == PORTRAIT:
                if portrait is None:
                    raise ArgumentError("The anchor is the portrait, and none is plugged in; do so, or choose another.")
                anchor_motion = portrait.own
            motion = scale_about(motion, dict.fromkeys(tracks, gain), anchor_motion)
        if amounts := parse_offsets(offsets):
            if len(tracks) > 1:
                raise ArgumentError(f"Offsets are for one track: choose {', '.join(tracks[:-1])} or {tracks[-1]}.")
            motion = offset(motion, tracks[0], amounts)
        motion = smooth_motion(motion, smoothing, tracks)
        if loop != NONE:
            motion = loop_motion(motion, seconds, loop, crossfade if loop == "repeat" else 0.0)  # type: ignore[arg-type]
        return io.NodeOutput(resample(motion, fps) if fps else motion)


class JoinMotions(io.ComfyNode):
    """Concatenate motions, with cross-fades."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkJoinMotions",
            display_name="EDTalk Join Motions",
            **search_words("concatenate motions", "连接动作, 拼接动作"),
            category="EDTalk/motion",
            description="Plays motions one after the other, each flowing into the next. To make single frames last, "
            "loop them in Adjust Motion.",
            inputs=[
                MotionSocket.Input("first", tooltip="Its frame rate is that of the result."),
                MotionSocket.Input("second", optional=True, tooltip="Comes second."),
                MotionSocket.Input("third", optional=True, tooltip="Comes third."),
                MotionSocket.Input("fourth", optional=True, tooltip="Comes fourth."),
                _track_input("What to join. all: the motions must have the same tracks."),
                io.Float.Input(
                    "crossfade",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Seconds in which one flows into the next. In them both run, so each makes the whole "
                    "shorter; keep 0 where sound is joined in the same way.",
                ),
            ],
            outputs=[MotionSocket.Output("motion", display_name="motion", tooltip="All, one after the other.")],
        )

    @classmethod
    def execute(
        cls,
        first: Motion,
        track: str,
        crossfade: float,
        second: Motion | None = None,
        third: Motion | None = None,
        fourth: Motion | None = None,
    ) -> io.NodeOutput:
        motions = [motion for motion in (first, second, third, fourth) if motion is not None]
        selections = [motion.select(*_tracks_of(motion, track)) for motion in motions]
        return io.NodeOutput(concatenate(selections, crossfade))


class CombineMotions(io.ComfyNode):
    """Combine tracks of several motions into one motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkCombineMotions",
            display_name="EDTalk Combine Motions",
            **search_words("mix motions, merge motions, lip pose expression", "合并动作, 组合动作"),
            category="EDTalk/motion",
            description="Takes each track from another motion, to save them or to edit them together. (Render takes "
            "them apart too.) It lasts as long as the lips, else as the longest; a shorter head motion goes back and "
            "forth, the others stay at their end.",
            inputs=[
                MotionSocket.Input("lip", optional=True, tooltip="A motion whose lip track is used."),
                MotionSocket.Input("pose", optional=True, tooltip="A motion whose pose track is used."),
                MotionSocket.Input("expression", optional=True, tooltip="A motion whose expression track is used."),
            ],
            outputs=[MotionSocket.Output("motion", display_name="motion", tooltip="One motion of these tracks.")],
        )

    @classmethod
    def execute(
        cls, lip: Motion | None = None, pose: Motion | None = None, expression: Motion | None = None
    ) -> io.NodeOutput:
        if lip is None and pose is None and expression is None:
            raise ArgumentError("There is nothing to combine: plug in a motion for lip, pose or expression.")
        return io.NodeOutput(combine(lip=lip, pose=pose, expression=expression))


class SaveMotion(io.ComfyNode):
    """Save a motion to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkSaveMotion",
            display_name="EDTalk Save Motion",
            **search_words("export motion", "保存动作, 导出动作"),
            category="EDTalk/motion",
            description="Keeps a motion in a file, to use it again with any portrait of the same model. The workflow "
            "is kept with it: drop a .safetensors file on the canvas to get it back.",
            inputs=[
                MotionSocket.Input("motion", tooltip="What to save."),
                io.String.Input(
                    "filename_prefix",
                    default="motion/EDTalk",
                    tooltip="Folder and name below ComfyUI's output folder. Load Motion lists output/motion.",
                ),
                io.Combo.Input(
                    "format",
                    options=["safetensors", "json"],
                    default="safetensors",
                    tooltip="safetensors: small and exact. json: a line of numbers for each frame, to read, edit, or "
                    "take to other programs; up to about 45 minutes.",
                ),
            ],
            outputs=[
                MotionSocket.Output("saved", display_name="motion", tooltip="The motion itself, for what comes next."),
                io.String.Output("path", display_name="path", tooltip="Where the file lies."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, motion: Motion, filename_prefix: str, format: str) -> io.NodeOutput:
        path, saved_result = next_file(filename_prefix, format)
        origin = {"made_by": f"EDTalk {__version__}"}
        try:
            save_motion(motion, path, origin | workflow_tags(cls))
        except ArgumentError as error:
            # The motion may have taken hours. If the motion itself is too large, this raises the same error.
            save_motion(motion, path, origin)
            warn(f"The workflow is not kept in the file: {error}")
        show_status(f"Saved {path}")
        return io.NodeOutput(motion, str(path), ui={"motions": [saved_result]})


class LoadMotion(io.ComfyNode):
    """Load a motion from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkLoadMotion",
            display_name="EDTalk Load Motion",
            **search_words("import motion, live link face, arkit, face capture", "加载动作, 导入动作, 面部捕捉"),
            category="EDTalk/motion",
            description="Reads a motion from a file that Save Motion wrote, which fits portraits of the model that it "
            "was made with, or from a CSV file of Live Link Face.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list_files(MOTIONS_FOLDER, MOTION_EXTENSIONS),
                    default=FROM_PATH,
                    tooltip=".safetensors, .json and .csv files in ComfyUI's input folder, in output/motion [output] "
                    f"and in models/edtalk/motion [models]. {FROM_PATH}: the one given below.",
                ),
                io.String.Input(
                    "path",
                    default="",
                    placeholder="motion/nod.safetensors",
                    tooltip=f'Where the file lies, if file is "{FROM_PATH}": a path below ComfyUI\'s output or input '
                    "folder, or a full path into ComfyUI's folders. Elsewhere only if the server's owner allows it.",
                ),
                PortraitSocket.Input(
                    "portrait",
                    optional=True,
                    tooltip="Needed for a .csv of Live Link Face: the face that is to do as the captured one.",
                ),
            ],
            outputs=[
                MotionSocket.Output("motion", display_name="motion", tooltip="The tracks that the file has."),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Its frames a second."),
                io.Float.Output("seconds", display_name="seconds", tooltip="How long it lasts."),
            ],
        )

    @classmethod
    def execute(cls, file: str, path: str, portrait: EncodedPortrait | None = None) -> io.NodeOutput:
        source = find_file(file, path, "motion file")
        if is_live_link(source):
            if portrait is None:
                raise ArgumentError(
                    f"{source.name} is a recording of Live Link Face: plug in the portrait that is to do as it does."
                )
            motion = motion_from_capture(portrait.model.edtalk, read_live_link(source), portrait.own)
        else:
            motion = load_motion(source)
        show_status(describe(motion))
        return io.NodeOutput(motion, motion.fps, motion.duration)

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        """Accept any existing file: the list in a shared workflow is another machine's."""
        return check_listed(file, "motion file")

    @classmethod
    def fingerprint_inputs(cls, file: str, path: str | None = None, **_: object) -> str:
        """Change when the file does, so that it is loaded again."""
        return fingerprint(file, path)


class PlotMotion(io.ComfyNode):
    """Plot the curves of a motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkPlotMotion",
            display_name="EDTalk Plot Motion",
            **search_words("motion curves, graph", "动作曲线, 绘图"),
            category="EDTalk/motion",
            description="Draws the weights over time, a panel for each track and a colour for each base. The six bases "
            "that move the most stand out.",
            inputs=[
                MotionSocket.Input("motion", tooltip="What to draw."),
                _track_input("What to draw of it."),
                advanced(
                    io.Int.Input(
                        "width",
                        default=1024,
                        min=256,
                        max=8192,
                        step=8,
                        tooltip="Of the picture, in pixels.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "height",
                        default=768,
                        min=256,
                        max=8192,
                        step=8,
                        tooltip="Of the picture, in pixels.",
                    )
                ),
                MotionSocket.Input(
                    "before",
                    optional=True,
                    tooltip="A motion to compare with, drawn dashed; say, before an adjustment.",
                ),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The picture.")],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, motion: Motion, track: str, width: int, height: int, before: Motion | None = None
    ) -> io.NodeOutput:
        image = image_of(plot_motion(motion, before=before, tracks=_tracks_of(motion, track), size=(width, height)))
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))
