"""Render Frames, Render Video."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from comfy_api.latest import InputImpl, io, ui

from ..edtalk_core.detail import frame_size
from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.media.audio import Audio, Sound, fit_duration
from ..edtalk_core.media.video import exact_fps
from ..edtalk_core.media.video_writer import VideoWriter
from ..edtalk_core.motion.length import Length, result_length
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.output import provenance, write_video
from ..edtalk_core.rendering import Renderer
from ..edtalk_core.sources.assembly import assemble
from ..edtalk_core.whole import WholeRenderer
from ..edtalk_core.wording import counted
from .execution import Progress, check_memory, on_device, show_partial_file, show_status, workflow_tags
from .files import next_file
from .schema import advanced, search_words, size_input
from .sockets import EncodedPortrait, MotionSocket, PortraitSocket, audio_of, sound_of

LENGTHS = ["auto", "audio", "lip", "pose", "expression", "longest", "shortest", "frames"]
SILENCE_RATE = 44_100


def _inputs() -> list[io.Input]:
    """Inputs of both render nodes, in the same order."""
    return [
        PortraitSocket.Input("portrait", tooltip="From Load Portrait; it brings its model along."),
        MotionSocket.Input(
            "lip", optional=True, tooltip="A motion whose lip track moves the mouth. Unplugged: the portrait's own."
        ),
        MotionSocket.Input(
            "pose", optional=True, tooltip="A motion whose pose track moves the head. Unplugged: the portrait's own."
        ),
        MotionSocket.Input(
            "expression",
            optional=True,
            tooltip="A motion whose expression track moves brows, eyes and cheeks. Unplugged: the portrait's own.",
        ),
        io.Audio.Input("audio", optional=True, tooltip="The sound that goes with it."),
        io.Float.Input(
            "fps",
            default=25.0,
            min=1.0,
            max=120.0,
            step=0.01,
            tooltip="Frames a second; motion of other rates is resampled.",
        ),
        io.Combo.Input(
            "length",
            options=LENGTHS,
            default="auto",
            tooltip="How long it lasts. auto: as the audio, else as the lips, else as the longest. A shorter head "
            "motion goes back and forth, other tracks hold their end, a shorter sound is followed by silence.",
        ),
        advanced(
            io.Int.Input(
                "frames",
                default=100,
                min=1,
                max=1_000_000,
                tooltip='Number of frames, where length is "frames".',
            )
        ),
    ]


class RenderFrames(io.ComfyNode):
    """Render a portrait with a motion into an IMAGE batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkRenderFrames",
            display_name="Talking Head: EDTalk Render Frames",
            **search_words(
                "talking head, talking avatar, avatar, animate portrait, animate face, live portrait, lip sync",
                "说话头像, 数字人, 让照片说话, 渲染图像",
            ),
            category="EDTalk",
            description="Renders the portrait with a motion into images, for upscaling, Paste Back or any other node. "
            "All frames are held in memory; for long clips use Render Video.",
            inputs=[*_inputs(), size_input("as large as the face is in the picture")],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The frames."),
                io.Audio.Output("sound", display_name="audio", tooltip="The sound, exactly as long as the frames."),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames a second, for Create Video."),
            ],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        fps: float,
        length: str,
        frames: int,
        lip: Motion | None = None,
        pose: Motion | None = None,
        expression: Motion | None = None,
        audio: dict[str, Any] | None = None,
        size: str = "model",
    ) -> io.NodeOutput:
        sound = audio_of(audio) if audio is not None else None
        rate = exact_fps(fps)
        motion = gather_motion(
            portrait, {"lip": lip, "pose": pose, "expression": expression}, sound, rate, length, frames
        )
        side = frame_size(size, portrait.portrait.own_size, portrait.model.edtalk.sizes.resolution)
        required = check_memory(motion.frames, side, side)
        show_status(f"{_describe_length(motion)}, {required / 1e6:.0f} MB")
        renderer = Renderer(on_device(portrait.model), portrait.portrait, precision=portrait.model.precision, size=side)
        images = torch.empty(motion.frames, side, side, 3)
        progress = Progress()
        done = 0
        for batch in renderer.stream(motion, progress):
            channels_last = ((batch + 1) / 2).clamp(0, 1).movedim(1, -1)
            images[done : done + len(batch)] = channels_last.cpu()
            done += len(batch)
            progress.show((images[done - 1] * 255).to(torch.uint8).numpy())
        show_status(f"Rendered {_describe_length(motion)}")
        return io.NodeOutput(images, sound_of(fit_sound(sound, motion.frames / rate)), float(rate))


class RenderVideo(io.ComfyNode):
    """Render a portrait with a motion into a video file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkRenderVideo",
            display_name="Talking Head: EDTalk Render Video",
            **search_words(
                "talking head, talking avatar, avatar, animate portrait, animate face, live portrait, lip sync, "
                "speech, wav2lip, portrait video",
                "说话头像, 数字人, 让照片说话, 口型同步, 语音, 人脸, 头像, 肖像, 动画, 渲染视频",
            ),
            category="EDTalk",
            description="Renders the portrait with a motion straight into a video file with sound. Memory does not "
            "grow with the length; what was rendered before a Cancel stays playable in a file whose name says partial.",
            inputs=[
                *_inputs(),
                io.String.Input(
                    "filename_prefix",
                    default="video/EDTalk",
                    tooltip="Folder and name below ComfyUI's output folder, as in Save Video.",
                ),
                advanced(
                    io.Combo.Input(
                        "format",
                        options=["mp4", "mov", "mkv"],
                        default="mp4",
                        tooltip="H.264 and AAC in this container.",
                    )
                ),
                io.Boolean.Input(
                    "whole",
                    optional=True,
                    default=False,
                    tooltip="Renders the whole picture that went into Load Portrait, with the head moving in it, not "
                    "only the square about the face. Best with the size own. A picture of 4K takes a second a frame.",
                ),
                size_input("as large as the face is in the picture"),
            ],
            outputs=[
                io.Video.Output("video", display_name="video", tooltip="The video that was saved."),
                io.String.Output("path", display_name="path", tooltip="Where it lies."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        fps: float,
        length: str,
        frames: int,
        filename_prefix: str,
        format: str,
        lip: Motion | None = None,
        pose: Motion | None = None,
        expression: Motion | None = None,
        audio: dict[str, Any] | None = None,
        whole: bool = False,
        size: str = "model",
    ) -> io.NodeOutput:
        sound = audio_of(audio) if audio is not None else None
        rate = exact_fps(fps)
        motion = gather_motion(
            portrait, {"lip": lip, "pose": pose, "expression": expression}, sound, rate, length, frames
        )
        show_status(_describe_length(motion))
        model, precision = on_device(portrait.model), portrait.model.precision
        renderer: Renderer | WholeRenderer
        if whole:
            renderer = WholeRenderer(
                model, portrait.portrait, portrait.picture, portrait.crop.matrix, precision=precision, size=size
            )
            video_size = renderer.size
        else:
            renderer = Renderer(model, portrait.portrait, precision=precision, size=size)
            video_size = (renderer.size, renderer.size)
        soundtrack = fit_sound(sound, motion.frames / rate) if sound is not None else None

        def pictures(progress: Progress) -> Any:
            return renderer.pictures(motion, progress)

        path, saved_result = save_video(cls, pictures, rate, video_size, soundtrack, filename_prefix, format)
        show_status(f"Saved {_describe_length(motion)} as {saved_result.filename}")
        return io.NodeOutput(InputImpl.VideoFromFile(path), path, ui=ui.PreviewVideo([saved_result]))


def save_video(
    cls: type[io.ComfyNode],
    pictures: Any,
    rate: Fraction,
    size: tuple[int, int],
    sound: Sound | None,
    prefix: str,
    format: str,
) -> tuple[str, ui.SavedResult]:
    """Stream frames into the next free file of a prefix in the output folder, with the workflow as metadata.

    `pictures(progress)` opens the frames. Returns the path and its entry for the node's `ui` output. On failure or
    Cancel the node shows where the partial file is.
    """
    path, saved_result = next_file(prefix, format, size)
    tags = provenance({"node": cls.define_schema().node_id}) | workflow_tags(cls)
    progress = Progress(ends_with_result=True)
    writer = VideoWriter(path, rate, size, sound, tags, on_partial=show_partial_file)
    write_video(writer, pictures(progress), progress.show)
    return str(path), saved_result


def _describe_length(motion: Motion) -> str:
    return f"{counted(motion.frames, 'frame')}, {motion.duration:.1f} s"


def gather_motion(
    portrait: EncodedPortrait,
    sources: dict[str, Motion | None],
    sound: Sound | None,
    rate: Fraction,
    length: str,
    frames: int,
) -> Motion:
    """Assemble the motion of the result: connected tracks from `sources`, the others the portrait's own.

    `length` is one of LENGTHS. Raises ArgumentError when it names an unconnected input, MotionError when a motion lacks
    the track of the input that it is connected to.
    """
    tracks = {name: motion.select(name) for name, motion in sources.items() if motion is not None}
    seconds = {name: motion.duration for name, motion in tracks.items() if motion.frames > 1}
    if sound is not None:
        seconds["audio"] = sound.duration
    if length == "frames":
        result = Length(frames / float(rate), rate, frames)
    elif length in ("auto", "longest", "shortest") or length in seconds:
        result = result_length(seconds, rate, length)
    else:
        raise ArgumentError(
            f'The length is to be that of "{length}", which is not plugged in or is a single frame; plug it in, or '
            f"choose another length ({', '.join(LENGTHS)})."
        )
    return assemble(portrait.model.edtalk, portrait.portrait, tracks, result)


def fit_sound(sound: Sound | None, seconds: Fraction) -> Sound:
    """Trim a sound, or pad it with silence, to a length; silence of that length if there is no sound."""
    if sound is None:
        return Audio(np.zeros((1, round(seconds * SILENCE_RATE)), np.float32), SILENCE_RATE)
    return fit_duration(sound, seconds)
