"""Pictures: read any file or array as uint8 RGB, write RGB to a file, convert RGB to the model's images and back."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch

from ..atomic import atomic_write
from ..errors import PictureError
from .streams import existing_file

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger("edtalk")

SMALLEST_SIDE = 16
LARGEST_SIDE = 8192
"""Pixels; pictures outside these limits are refused."""

BACKGROUND = (128, 128, 128)
"""The colour that shows through where a picture is transparent: mid grey, neither lit nor dark."""

# Raster formats only; EPS and WMF run programs. HEIF is available once pillow-heif is registered.
_FORMATS = {"AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def read_picture(source: str | os.PathLike[str] | bytes | Image | np.ndarray | torch.Tensor) -> np.ndarray:
    """Read a picture as a viewer displays it.

    The orientation tag is applied, a colour profile is converted to sRGB, transparency shows BACKGROUND, an animation
    yields its first frame, 16 bits become 8, grey and CMYK become RGB.

    Args:
        source: a path; the bytes of a picture file; a PIL image; or pixels, RGB, (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4) with alpha, as uint8, uint16 at full scale, or float in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB, both sides from 16 to 8192 pixels.

    Raises:
        PictureError: no such file, not a picture, damaged or truncated, too small or too large, fully transparent, or
            pixels of another shape, type or range.
    """
    from PIL import Image

    if isinstance(source, (np.ndarray, torch.Tensor)):
        return _as_displayed(Image.fromarray(_pixels(source, "The picture")), "The picture")
    if isinstance(source, Image.Image):
        return _as_displayed(source, "The picture")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read_file(io.BytesIO(source), "The picture")
    if isinstance(source, (str, os.PathLike)):
        path = existing_file(os.fspath(source), PictureError, "picture")
        with path.open("rb") as file:
            return _read_file(file, str(path))
    raise PictureError(f"A picture is a path, bytes, a PIL image or an array, got {type(source).__name__}.")


def write_picture(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write a picture as PNG or JPEG; the file appears under its name only when it is complete.

    Args:
        path: ends in .png, .jpg or .jpeg; an existing file of that name is replaced.
        picture: (H, W, 3) uint8 RGB.

    Raises:
        PictureError: another suffix, a picture of another shape or type, or the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise PictureError(f"Pictures are written as .png, .jpg or .jpeg, not {path.name!r}. Choose one of them.")
    _check_picture(picture)
    encoded = io.BytesIO()
    # Full colour resolution: halved chroma smears lips and eyes at 256 px.
    Image.fromarray(picture).save(encoded, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(encoded.getbuffer())
    except OSError as error:
        raise PictureError(
            f"Cannot write {path}: {error.strerror or error}. Check that its folder exists, may be written to and has "
            "room."
        ) from error


def as_picture(pixels: np.ndarray) -> np.ndarray:
    """Convert float pixels in 0..1 to a picture (H, W, 3) uint8, rounded and clipped; uint8 passes through."""
    if isinstance(pixels, np.ndarray) and pixels.dtype.kind == "f":
        return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return pixels


def pictures_to_images(pictures: np.ndarray) -> torch.Tensor:
    """Convert pictures to the model's input: 0..255 to [-1, 1].

    Args:
        pictures: (..., H, W, 3) uint8 RGB.

    Returns:
        (..., 3, H, W) float32.

    Raises:
        PictureError: another shape or type.
    """
    if pictures.dtype != np.uint8 or pictures.ndim < 3 or pictures.shape[-1] != 3:
        raise PictureError(
            f"Pictures are uint8 arrays of the shape (..., H, W, 3), RGB; got {pictures.dtype} {pictures.shape}."
        )
    levels = torch.from_numpy(np.moveaxis(pictures, -1, -3).astype(np.float32, order="C"))
    return levels.div_(127.5).sub_(1)


def picture_to_image(picture: np.ndarray, size: int) -> torch.Tensor:
    """Convert a square picture to the model's input, resized as in the published scripts (bicubic, antialiased).

    Args:
        picture: (S, S, 3) uint8 RGB.
        size: the model's resolution in pixels.

    Returns:
        (1, 3, size, size) float32 in [-1, 1].

    Raises:
        PictureError: a picture of another shape or type, or not square.
    """
    from PIL import Image

    _check_picture(picture)
    height, width = picture.shape[:2]
    if height != width:
        raise PictureError(f"The model takes square pictures, got {width} x {height}. Crop it first (crop_portrait).")
    if height != size:
        picture = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))
    return pictures_to_images(picture)[None]


def images_to_pictures(images: torch.Tensor) -> np.ndarray:
    """Convert the model's images to pictures: [-1, 1] to 0..255, rounded and clipped.

    Args:
        images: (T, 3, H, W) float, any device and precision.

    Returns:
        (T, H, W, 3) uint8 RGB.

    Raises:
        PictureError: another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise PictureError(f"Images have the shape (T, 3, H, W), got {tuple(images.shape)}.")
    levels = images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _check_picture(picture: np.ndarray) -> None:
    """Raise PictureError unless `picture` is (H, W, 3) uint8 with at least one pixel."""
    shape, dtype = getattr(picture, "shape", None), getattr(picture, "dtype", type(picture).__name__)
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3 or dtype != np.uint8:
        raise PictureError(f"A picture is a uint8 array of shape (H, W, 3), RGB; got {dtype} {shape}.")
    if 0 in picture.shape:
        raise PictureError(f"The picture has no pixels: its shape is {shape}.")


def _read_file(file: BinaryIO, name: str) -> np.ndarray:
    """Read an open picture file as (H, W, 3) uint8 RGB."""
    from PIL import Image

    Image.init()
    try:
        image = Image.open(file, formats=sorted(_FORMATS & Image.OPEN.keys()))
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} is too large: {error} Expected at most {LARGEST_SIDE} pixels a side.") from error
    except Exception as error:  # damaged headers make Pillow raise almost anything
        file.seek(0)
        head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS:
            hint = "It is a HEIC photo: save it as JPEG or PNG."
        else:
            hint = "Give a JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF."
        raise PictureError(f"{name} is not a picture that can be read, or its start is damaged. {hint}") from error
    with image:
        return _as_displayed(image, name)


def _as_displayed(image: Image, name: str) -> np.ndarray:
    """Convert a PIL image to (H, W, 3) uint8 RGB as a viewer displays it."""
    from PIL import Image, ImageOps

    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        raise PictureError(f"{name} is too small: {width} x {height} pixels, expected at least {SMALLEST_SIDE} a side.")
    if max(width, height) > LARGEST_SIDE:
        raise PictureError(
            f"{name} is too large: {width} x {height} pixels, expected at most {LARGEST_SIDE} a side. Scale it down."
        )
    try:
        image.load()
    except Exception as error:  # a damaged body, too, makes Pillow raise almost anything
        raise PictureError(f"{name} is damaged or cut off ({error}). Copy or download it again.") from error
    try:
        image = ImageOps.exif_transpose(image) or image
    except Exception as error:  # the pixels are fine: a damaged tag is no reason to refuse them
        logger.warning("%s has an unreadable orientation tag (%s): taken as it is stored", name, error)

    if image.mode == "F" or image.mode.startswith("I"):
        grey = np.asarray(image)
        if image.mode != "F":
            low, high = int(grey.min()), int(grey.max())
            if low < 0 or high > 65535:
                raise PictureError(
                    f"{name} has grey values from {low} to {high}, expected 8 or 16 bits. Save it as PNG."
                )
            # 32-bit integers hold either scale; 16 bits that stay below 256 would be a black picture.
            grey = grey.astype(np.uint8 if image.mode == "I" and high <= 255 else np.uint16)
        image = Image.fromarray(_pixels(grey, name))
    elif image.mode == "P" and "transparency" not in image.info:
        image = image.convert("RGB")
    profile = image.info.get("icc_profile")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    try:
        image = image.convert("RGBA") if has_alpha else image
        image = _to_srgb(image, profile, name) if profile else image
        if has_alpha:
            image = image.convert("RGBA")
            if image.getchannel("A").getextrema() == (0, 0):
                raise PictureError(f"{name} is wholly transparent: there is nothing to see in it.")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*BACKGROUND, 255)), image)
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise PictureError(
            f"{name} has the colour mode {image.mode}, which has no way to RGB. Save it as RGB."
        ) from error


def _to_srgb(image: Image, profile: bytes, name: str) -> Image:
    """Convert a picture with a colour profile to sRGB; a damaged or mismatched profile is ignored."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image  # the usual case: a conversion would cost time and rounding
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        logger.warning("%s has a colour profile that does not fit it (%s): left out", name, error)
        return image


def _pixels(source: np.ndarray | torch.Tensor, name: str) -> np.ndarray:
    """Convert a user's pixels to uint8 (H, W), (H, W, 3) or (H, W, 4)."""
    pixels = source.detach().cpu() if isinstance(source, torch.Tensor) else source
    if isinstance(pixels, torch.Tensor):
        pixels = (pixels.float() if pixels.is_floating_point() else pixels).numpy()
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise PictureError(
            f"{name} has the shape {tuple(source.shape)}; expected (H, W), (H, W, 3) or (H, W, 4), RGB. "
            "Move the channels last and take one picture of a batch."
        )
    if pixels.size == 0:
        raise PictureError(f"{name} has no pixels: its shape is {tuple(source.shape)}.")
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())  # NaN if any value is
        # Resampling overshoots a little; [-1, 1] or 0..255 is another scale.
        if not (low >= -0.05 and high <= 1.05):
            raise PictureError(
                f"{name} has float pixels from {low:.4g} to {high:.4g}; expected [0, 1]. Scale them, or give uint8."
            )
        return (pixels * 255).round().clip(0, 255).astype(np.uint8)
    raise PictureError(f"{name} has pixels of the type {pixels.dtype}; expected uint8, uint16 or float in [0, 1].")
