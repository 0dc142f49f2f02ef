"""Load Portrait."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from comfy_api.latest import io

from ..edtalk_core.errors import ArgumentError
from ..edtalk_core.model import Portrait
from ..edtalk_core.portrait import portrait_from_picture
from .execution import on_device, warn
from .schema import advanced, core_socket, search_words
from .sockets import EncodedPortrait, LoadedModel, ModelSocket, MotionSocket, PortraitSocket, image_of, picture_of


class LoadPortrait(io.ComfyNode):
    """Find, crop and encode the face in an IMAGE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkLoadPortrait",
            display_name="EDTalk Load Portrait (Face)",
            **search_words(
                "face, head, talking head, talking avatar, avatar, live portrait, liveportrait, animate portrait, "
                "crop face, photo",
                "人脸, 脸, 头像, 数字人, 肖像, 照片, 说话头像, 让照片说话",
            ),
            category="EDTalk",
            description="Finds the face in a picture, crops it as the model wants it, and encodes it. Photos, "
            "paintings, generated pictures. If the crop is wrong the result looks like jelly: have a look at it.",
            inputs=[
                ModelSocket.Input("model", tooltip="From Load Model."),
                io.Image.Input("image", tooltip="The picture. The face should look ahead and be at least 100 px high."),
                io.Combo.Input(
                    "crop",
                    options=["auto", "template", "box", "none"],
                    default="auto",
                    tooltip="auto: right for most pictures. template: eyes, nose and jaw to fixed places, head turned "
                    "upright. box: a square about the face, as in driver videos. none: the picture is a crop already.",
                ),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=99,
                    tooltip="Which face, if there are several: 0 is the largest, 1 the next.",
                ),
                io.String.Input(
                    "box",
                    default="",
                    placeholder="left, top, right, bottom",
                    tooltip="Where no face is found (drawings, masks): left, top, right, bottom of the face in pixels, "
                    "forehead to chin. Empty: look for it. A face mask does the same.",
                ),
                advanced(
                    io.Int.Input(
                        "batch_index",
                        default=0,
                        min=-4096,
                        max=4095,
                        tooltip="Which image of a batch: 0 is the first, -1 the last.",
                    )
                ),
                io.Mask.Input(
                    "face_mask",
                    optional=True,
                    tooltip="Paint over the face, forehead to chin, instead of typing a box.",
                ),
                core_socket(
                    "BOUNDING_BOX",
                    "bounding_box",
                    "A box of ComfyUI's own nodes, forehead to chin, instead of typing one. Of several it is that of "
                    "the number in face.",
                ),
            ],
            outputs=[
                PortraitSocket.Output("portrait", display_name="portrait", tooltip="For Render, presets and poses."),
                io.Image.Output("crop_image", display_name="crop", tooltip="What the model sees, 256x256."),
                MotionSocket.Output(
                    "own", display_name="own motion", tooltip="What the face does in the picture: one frame."
                ),
                io.String.Output(
                    "warning", display_name="warning", tooltip="What may spoil the result; empty when all is well."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: LoadedModel,
        image: torch.Tensor,
        crop: str,
        face: int,
        box: str,
        batch_index: int,
        face_mask: torch.Tensor | None = None,
        bounding_box: Any = None,
    ) -> io.NodeOutput:
        picture = picture_of(image, batch_index)
        face_box = parse_box(box)
        if face_box is None and bounding_box is not None:
            face_box = box_of_bounding_box(bounding_box, batch_index, face)
        if face_box is None and face_mask is not None:
            face_box = box_of_mask(face_mask, batch_index, picture.shape[:2])
        edtalk = on_device(model)
        encoded, face_crop = portrait_from_picture(
            edtalk,
            picture,
            face=face_choice(face, face_box),
            box=face_box,
            crop="box" if face_box else crop,  # type: ignore[arg-type]
        )
        features = tuple(feature.cpu() for feature in encoded.features)
        portrait = Portrait(encoded.latent.cpu(), features, encoded.own, encoded.picture)
        warning = " ".join(filter(None, [_unused_images_warning(len(image), batch_index), face_crop.warning]))
        warn(warning)
        result = EncodedPortrait(model, portrait, face_crop, picture)
        return io.NodeOutput(result, image_of(face_crop.picture), encoded.own, warning)


def face_inputs(video: str) -> list[io.Input]:
    """Inputs that select a face of a video, by size or by a box; `video` names the video in tooltips."""
    return [
        io.Int.Input(
            "face",
            default=0,
            min=0,
            max=99,
            tooltip="Which face, if there are several: 0 is the largest over time, 1 the next.",
        ),
        io.String.Input(
            "box",
            default="",
            placeholder="left, top, right, bottom",
            tooltip=f"The face over the whole {video} in pixels, forehead to chin, instead of looking for it.",
        ),
    ]


def _unused_images_warning(images: int, index: int) -> str | None:
    """Return a warning that only the first image of a batch is used, unless an index was chosen."""
    if images == 1 or index:
        return None
    return f"Only the first of the {images} images is used; batch_index chooses another."


def face_choice(number: int, box: tuple[float, float, float, float] | None) -> Literal["largest"] | int:
    """Translate a node's face number, 0 being the largest, into the library's `face`; a box selects the face in it."""
    return "largest" if number == 0 or box else number


def parse_box(text: str) -> tuple[float, float, float, float] | None:
    """Parse "left, top, right, bottom" in pixels; None if the text is empty. Raises ArgumentError for anything else."""
    numbers = text.replace(",", " ").split()
    if not numbers:
        return None
    try:
        left, top, right, bottom = map(float, numbers)
    except ValueError:
        raise ArgumentError(f"A box is four numbers, left, top, right, bottom; got {text!r}.") from None
    return left, top, right, bottom


def box_of_bounding_box(boxes: Any, index: int, face: int) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) in pixels of a BOUNDING_BOX of ComfyUI.

    That is a box of x, y, width and height, a list of boxes, or a list of such lists, one for each image: then `index`
    is the image's, and the first list counts if there is no such. Raises ArgumentError when there is no box `face`.
    """
    if isinstance(boxes, list) and boxes and isinstance(boxes[0], list):
        boxes = boxes[index] if -len(boxes) <= index < len(boxes) else boxes[0]
    if not isinstance(boxes, list):
        boxes, face = [boxes], 0
    if face >= len(boxes):
        raise ArgumentError(
            f"There are {len(boxes)} bounding boxes, and none has the number {face}; choose another face."
        )
    box = boxes[face]
    left, top = float(box["x"]), float(box["y"])
    return left, top, left + float(box["width"]), top + float(box["height"])


def box_of_mask(mask: torch.Tensor, index: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the bounding box of a MASK (B,H,W), in pixels of a picture of `size` (height, width).

    Uses mask `index`, or the first if there is no such. Raises ArgumentError when the mask is empty.
    """
    face_mask = mask[index] if -len(mask) <= index < len(mask) else mask[0]
    inside = face_mask.cpu().numpy() > 0.5
    if not inside.any():
        raise ArgumentError("The face mask is empty: paint over the face, forehead to chin, or unplug it.")
    (top, bottom), (left, right) = (
        (int(np.flatnonzero(inside.any(axis))[0]), int(np.flatnonzero(inside.any(axis))[-1]) + 1) for axis in (1, 0)
    )
    scale_y, scale_x = size[0] / inside.shape[0], size[1] / inside.shape[1]
    return left * scale_x, top * scale_y, right * scale_x, bottom * scale_y
