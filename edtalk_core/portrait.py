"""The first step of everything: a picture becomes a portrait."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .face.crop import Crop, crop_portrait
from .face.framing import FaceChoice, PictureCropMode
from .media.picture import picture_to_image
from .model import EDTalk, Portrait


def portrait_from_picture(
    model: EDTalk,
    picture: np.ndarray,
    *,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: PictureCropMode = "auto",
) -> tuple[Portrait, Crop]:
    """Find the face in a picture, crop it as the model was taught, and encode it.

    Args:
        model: any variant.
        picture: (H, W, 3) uint8 RGB, as `read_picture` gives it.
        face: which face, when there are several: "largest", "only" (refuse several), or its number, the largest is 0.
        box: (left, top, right, bottom) of the face in pixels, forehead to chin, instead of looking for it.
        crop: how the face is cropped, the `mode` of `crop_portrait`.

    Returns:
        The portrait, and the crop it was made of: its `.picture`, its `.matrix` to paste back, its `.warning`.

    Raises:
        FaceError: there is no face, or not the one asked for.
        ArgumentError: an argument out of its range.
        PictureError: not such a picture.
    """
    size = model.sizes.resolution
    cropped = crop_portrait(picture, size=size, face=face, box=box, mode=crop)
    with torch.inference_mode():
        return model.encode_portrait(picture_to_image(cropped.picture, size)), cropped
