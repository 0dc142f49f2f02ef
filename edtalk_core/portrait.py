"""The input step: find the face in a picture, crop it and encode it as a portrait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from .detail import LARGEST
from .face.crop import Crop, crop_at_own_size, crop_portrait
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
    """Find the face in a picture, crop it as the training data was cropped, and encode it.

    Args:
        model: any variant.
        picture: (H, W, 3) uint8 RGB, as `read_picture` gives it.
        face: which face, when there are several: "largest", "only" (refuse several), or its index, the largest is 0.
        box: (left, top, right, bottom) of the face in pixels, forehead to chin, instead of face detection.
        crop: the `mode` of `crop_portrait`.

    Returns:
        The portrait, which keeps its crop at the picture's own resolution for frames larger than the model's; and the
        crop that it was encoded from: its `.picture`, its `.matrix` to paste back, its `.warning`.

    Raises:
        FaceError: there is no face, or the requested one does not exist.
        ArgumentError: an argument out of its range.
        PictureError: a picture of another shape or type.
    """
    size = model.sizes.resolution
    cropped = crop_portrait(picture, size=size, face=face, box=box, mode=crop)
    with torch.inference_mode():
        portrait = model.encode_portrait(picture_to_image(cropped.picture, size))
    return replace(portrait, picture=crop_at_own_size(picture, cropped.matrix, size, LARGEST)), cropped
