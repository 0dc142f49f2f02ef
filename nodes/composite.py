"""Paste Back, Dub Video."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import numpy as np
import torch
from comfy_api.latest import Input, InputImpl, io, ui

from ..edtalk_core.dubbing import Upscale, dub
from ..edtalk_core.errors import PictureError
from ..edtalk_core.face.crop import Crop
from ..edtalk_core.face.geometry import warp
from ..edtalk_core.face.paste import AREAS, ColourMatch, PasteBack
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.wording import counted
from .execution import (
    Progress,
    StagedProgress,
    check_memory,
    on_device,
    show_partial_file,
    show_status,
    warn,
    workflow_tags,
)
from .files import next_file
from .portrait import face_choice, face_inputs, parse_box
from .schema import advanced, search_words, size_input
from .sockets import (
    EncodedPortrait,
    LoadedModel,
    ModelSocket,
    MotionSocket,
    PortraitSocket,
    audio_of,
    file_of_video,
    picture_of,
)

SAME_PICTURE = 30.0
"""Mean absolute difference of two crops, in levels of 255, above which they show different pictures. Measured on 8
portraits: 38 and more for the same picture at twice its size, 45 and more for another face, 5 to 33 between frames of a
clip."""
DUB_STAGES = {"lips": ("Hearing the lips", 0.05), "face": ("Following the face", 0.3), "dub": ("Rendering", 0.65)}
"""Stages of `dub`: their labels on the node, and their usual shares of the time."""


class PasteBackNode(io.ComfyNode):
    """Composite rendered frames into the pictures they were cropped from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkPasteBack",
            display_name="EDTalk Paste Back",
            **search_words("face, composite face, paste face, blend face, uncrop", "人脸, 贴回, 合成"),
            category="EDTalk/composite",
            description="Puts rendered frames back into the picture that the portrait was cut from, with a soft edge "
            "and matching colours. Frames may be enlarged before, by an upscale model for instance. For two people in "
            "one picture, paste one after the other.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="The portrait that was rendered."),
                io.Image.Input(
                    "image",
                    tooltip="The picture that went into Load Portrait, or a batch with a picture for each frame. If "
                    "there are fewer, the last repeats.",
                ),
                io.Image.Input(
                    "frames",
                    tooltip="From Render Frames, square; any size, such as 1024x1024 after an upscale model.",
                ),
                io.Combo.Input(
                    "area",
                    options=list(AREAS),
                    default="crop",
                    tooltip="crop: the whole square, for a head that moves. face: forehead to chin, for a head that is "
                    "held. mouth: nose to chin, for lips only.",
                ),
                advanced(
                    io.Float.Input(
                        "feather",
                        default=0.1,
                        min=0.0,
                        max=0.5,
                        step=0.01,
                        tooltip="Width of the soft edge, as a share of the crop's side.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "match_colours",
                        default=True,
                        tooltip="Removes a colour cast of the frames against the picture.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The picture, once for each frame."),
                io.Mask.Output(
                    "mask", display_name="mask", tooltip="Where the frames show: 1 inside, 0 outside, soft between."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        image: torch.Tensor,
        frames: torch.Tensor,
        area: str,
        feather: float,
        match_colours: bool,
    ) -> io.NodeOutput:
        height, width = image.shape[1:3]
        if frames.shape[1] != frames.shape[2]:
            raise PictureError(
                f"The frames are {frames.shape[2]}x{frames.shape[1]}; Paste Back takes square ones, as Render Frames "
                "makes them."
            )
        check_memory(len(frames), width, height)
        paste = PasteBack(
            portrait.crop.matrix,
            (width, height),
            len(portrait.crop.picture),
            area=area,  # type: ignore[arg-type]
            feather=feather,
            landmarks=portrait.crop.face.landmarks if portrait.crop.face is not None else None,
        )
        colours = ColourMatch() if match_colours else None
        composites = torch.empty(len(frames), height, width, 3)
        progress = Progress()
        for number, frame in enumerate(frames):
            picture = _pixels(image[min(number, len(image) - 1)])
            composite = paste.composite(picture, _pixels(frame), colours=colours)
            composites[number] = torch.from_numpy(composite)
            progress.show((composite * 255).astype(np.uint8))
            progress(number + 1, len(frames))
        progress.conclude(f"Pasted {counted(len(frames), 'frame')}")
        if not any(_contains_crop(picture_of(image, index), portrait.crop) for index in range(len(image))):
            warn(
                "This does not look like the picture that the portrait was cut from: plug in the image that Load "
                "Portrait was given, at the same size."
            )
        return io.NodeOutput(composites, torch.from_numpy(paste.mask)[None])


class DubVideo(io.ComfyNode):
    """Dub a VIDEO: lips rendered to an AUDIO, written to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkDubVideo",
            display_name="EDTalk Dub Video",
            **search_words(
                "lip sync, lipsync, wav2lip, dubbing, translate video, speech, face",
                "口型同步, 对口型, 唇形同步, 配音, 译制, 视频配音",
            ),
            category="EDTalk/composite",
            description="Lets the face of a video say another sound, at the video's own size and frame rate. Only the "
            "mouth is rendered; everything else stays the video's own, and so do frames without the face. It is "
            "streamed into a file: memory does not grow with the length.",
            inputs=[
                ModelSocket.Input("model", tooltip="A model with an audio-to-lip network, such as demo or EDTalk."),
                io.Video.Input("video", tooltip="The video; its own sound is left out."),
                io.Audio.Input("audio", tooltip="What is to be said. Where it is silent the mouth closes."),
                io.Combo.Input(
                    "length",
                    options=["video", "audio"],
                    default="video",
                    tooltip="video: as long as the video, the sound is cut or followed by silence. audio: as long as "
                    "the sound, the video is cut or goes back and forth.",
                ),
                *face_inputs("video"),
                advanced(
                    io.Float.Input(
                        "feather",
                        default=0.1,
                        min=0.0,
                        max=0.5,
                        step=0.01,
                        tooltip="Width of the soft edge about the mouth, as a share of the crop's side.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "match_colours",
                        default=True,
                        tooltip="Removes a colour cast of the mouth against the video.",
                    )
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/EDTalk_dub",
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
                MotionSocket.Input(
                    "lip",
                    optional=True,
                    tooltip="A motion whose lip track is used instead of the lips predicted from the audio.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    optional=True,
                    tooltip="Enlarges the rendered mouth before it is pasted, for faces larger than 256 px.",
                ),
                advanced(size_input("as large as the face is in the video")),
            ],
            outputs=[
                io.Video.Output("dubbed", display_name="video", tooltip="The video that was saved."),
                io.String.Output("path", display_name="path", tooltip="Where it lies."),
                io.String.Output(
                    "warning", display_name="warning", tooltip="What may spoil the result; empty when all is well."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model: LoadedModel,
        video: Input.Video,
        audio: dict[str, Any] | None,
        length: str,
        face: int,
        box: str,
        feather: float,
        match_colours: bool,
        filename_prefix: str,
        format: str,
        lip: Motion | None = None,
        upscale_model: Any = None,
        size: str = "model",
    ) -> io.NodeOutput:
        face_box = parse_box(box)
        with file_of_video(video) as source:
            path, saved_result = next_file(filename_prefix, format, video.get_dimensions())
            result = dub(
                on_device(model),
                source,
                audio_of(audio),
                path,
                motion=lip,
                length=length,  # type: ignore[arg-type]
                face=face_choice(face, face_box),
                box=face_box,
                feather=feather,
                match_colours=match_colours,
                upscale=_upscale(upscale_model) if upscale_model is not None else None,
                size=size,
                precision=model.precision,
                metadata=workflow_tags(cls),
                progress=StagedProgress(DUB_STAGES),
                on_partial=show_partial_file,
            )
        show_status(f"Saved {counted(result.frames, 'frame')}, {result.duration:.1f} s as {saved_result.filename}")
        warning = " ".join(result.warnings)
        warn(warning)
        video_output = InputImpl.VideoFromFile(str(path))
        return io.NodeOutput(video_output, str(path), warning, ui=ui.PreviewVideo([saved_result]))


def _contains_crop(picture: np.ndarray, crop: Crop) -> bool:
    """Whether a picture (H,W,3) uint8 shows the pixels of a crop at the crop's place."""
    region = warp(picture, crop.matrix, len(crop.picture))
    return bool(np.abs(region.astype(np.float32) - crop.picture).mean() < SAME_PICTURE)


def _pixels(image: torch.Tensor) -> np.ndarray:
    """Return an image of a batch (H,W,3 or 4) as (H,W,3) float32, 0 to 1, not quantised."""
    return np.ascontiguousarray(image[..., :3].float().cpu().clamp(0, 1).numpy())


def _upscale(model: Any) -> Upscale:
    """Wrap ComfyUI's UPSCALE_MODEL as a function of images (B,3,S,S), 0 to 1."""

    def upscale(images: torch.Tensor) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        model.to(images.device)
        output: torch.Tensor = model(images)
        return output.clamp(0, 1)

    return upscale
