"""Weights from Video."""

from __future__ import annotations

import torch
from comfy_api.latest import Input, io

from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.face.crop import crop_portrait
from ..edtalk_core.sources.video import motion_from_frames, motion_from_picture
from .execution import Progress, describe, on_device, warn
from .portrait import face_choice, face_inputs, parse_box
from .schema import advanced, search_words
from .sockets import (
    LoadedModel,
    ModelSocket,
    MotionSocket,
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
    ) -> io.NodeOutput:
        if (video is None) == (images is None):
            raise ArgumentError("Plug in a video or images, one of them.")
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
