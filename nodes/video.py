"""Weights from Video."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import Input, io

from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.face.crop import crop_portrait
from ..edtalk_core.sources.blendshapes import capture_from_landmarks, motion_from_capture
from ..edtalk_core.sources.video import motion_from_frames, motion_from_picture
from .execution import Progress, describe, on_device, show_status, warn
from .portrait import face_choice, face_inputs, parse_box
from .schema import advanced, core_socket, search_words
from .sockets import (
    EncodedPortrait,
    LoadedModel,
    ModelSocket,
    MotionSocket,
    PortraitSocket,
    frames_of_images,
    frames_of_video,
    image_of,
    picture_of,
)


class WeightsFromVideo(io.ComfyNode):
    """Read the motion of the face in a VIDEO or IMAGE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkWeightsFromVideo",
            display_name="EDTalk Weights from Video",
            **search_words(
                "live portrait, liveportrait, reenact, face reenactment, motion transfer, driving video, "
                "face capture, animate portrait, blink",
                "人脸, 表情迁移, 动作迁移, 面部捕捉, 驱动视频, 眨眼, 让照片动起来",
            ),
            category="EDTalk/motion",
            description="Reads what a face does in a video, a batch of images or a single picture: lip, pose and "
            "expression weights. A video is read as it is needed: an hour takes no more memory than a second. Frames "
            "without a face are cropped like the others and counted.",
            inputs=[
                ModelSocket.Input("model", tooltip="The model that will render; weights of other models do not fit."),
                io.Video.Input("video", optional=True, tooltip="The driver. Any size, any frame rate."),
                io.Image.Input(
                    "images", optional=True, tooltip="Frames of the driver, or one picture, instead of a video."
                ),
                advanced(
                    io.Float.Input(
                        "fps",
                        default=25.0,
                        min=1.0,
                        max=240.0,
                        step=0.01,
                        tooltip="Frames a second of the images.",
                    )
                ),
                io.Combo.Input(
                    "crop",
                    options=["auto", "box", "none"],
                    default="auto",
                    tooltip="auto: finds the face, or keeps the frames as they are if they are face crops. box: always "
                    "cuts the face out. none: the frames are face crops.",
                ),
                *face_inputs("clip"),
                core_socket(
                    "FACE_LANDMARKS",
                    "face_landmarks",
                    "From ComfyUI's own Detect Face Landmarks (MediaPipe), instead of a video: its blend shapes and "
                    "the turns of the head, at fps. For models whose bases have names.",
                ),
                PortraitSocket.Input(
                    "portrait",
                    optional=True,
                    tooltip="With face landmarks: the face that they are added to. Unplugged: a face at rest.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "motion", display_name="motion", tooltip="All tracks at 25 fps; of one picture, one frame."
                ),
                io.Image.Output("crop_image", display_name="crop", tooltip="The first frame as the model sees it."),
                io.String.Output(
                    "warning", display_name="warning", tooltip="What may spoil the result; empty when all is well."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: LoadedModel,
        fps: float,
        crop: str,
        face: int,
        box: str,
        video: Input.Video | None = None,
        images: torch.Tensor | None = None,
        face_landmarks: dict[str, Any] | None = None,
        portrait: EncodedPortrait | None = None,
    ) -> io.NodeOutput:
        if sum(source is not None for source in (video, images, face_landmarks)) != 1:
            raise ArgumentError("Plug in a video, images or face landmarks, one of them.")
        if face_landmarks is not None:
            capture = capture_from_landmarks(face_landmarks, fps, face)
            motion = motion_from_capture(model.edtalk, capture, portrait.own if portrait is not None else None)
            show_status(describe(motion))
            size = model.edtalk.sizes.resolution
            return io.NodeOutput(motion, torch.zeros(1, size, size, 3), "")  # there is no picture to crop
        edtalk = on_device(model)
        face_box = parse_box(box)
        selection = face_choice(face, face_box)
        if images is not None and len(images) == 1:
            size = edtalk.sizes.resolution
            face_crop = crop_portrait(
                picture_of(images),
                size=size,
                face=selection,
                box=face_box,
                mode="box" if face_box else crop,  # type: ignore[arg-type]
            )
            warn(face_crop.warning)
            motion = motion_from_picture(edtalk, face_crop.picture)
            return io.NodeOutput(motion, image_of(face_crop.picture), face_crop.warning or "")
        if images is not None:
            frames = frames_of_images(images, fps)
        else:
            frames = frames_of_video(video)
        progress = Progress()
        motion, video_crop = motion_from_frames(
            edtalk,
            frames.open,
            frames.duration,
            face=selection,
            box=face_box,
            crop="box" if face_box else crop,  # type: ignore[arg-type]
            progress=progress,
        )
        progress.conclude(describe(motion))
        warn(video_crop.warning)
        _, first_frame = next(iter(frames.open()))
        return io.NodeOutput(motion, image_of(video_crop.cut(first_frame)), video_crop.warning or "")
