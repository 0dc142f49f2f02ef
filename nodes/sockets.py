"""Socket types of the pack, and conversions between ComfyUI's images, sounds and videos and the library's.

Objects on a socket are shared by all nodes that are connected to it: they are frozen, and their contents must not be
changed in place.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import Input, InputImpl, io

from ..edtalk_core.errors import ArgumentError, AudioError, PictureError
from ..edtalk_core.face.crop import Crop
from ..edtalk_core.media.audio import Audio, Sound, read_audio
from ..edtalk_core.media.mel import AudioFeatures
from ..edtalk_core.media.video import VideoReader
from ..edtalk_core.media.video_writer import VideoWriter
from ..edtalk_core.model import EDTalk, Portrait
from ..edtalk_core.motion.motion import Motion


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model under ComfyUI's memory management."""

    patcher: ModelPatcher
    """Its `.model` holds the EDTalk as `.edtalk`."""
    name: str
    """Its entry in the list of Load Model."""
    precision: str
    """Number format of rendering: "auto", "fp32", "bf16" or "fp16"."""

    @property
    def edtalk(self) -> EDTalk:
        """The model, on whichever device ComfyUI keeps it; use `execution.on_device` to compute with it."""
        return self.patcher.model.edtalk


@dataclass(frozen=True, eq=False)
class EncodedPortrait:
    """A portrait, the model that encoded it, and its crop of the picture."""

    model: LoadedModel
    portrait: Portrait
    """Its tensors are on the CPU."""
    crop: Crop
    picture: np.ndarray
    """The picture that it was cut from, (H,W,3) uint8."""

    @property
    def own(self) -> Motion:
        """Motion of the face in the picture: one frame."""
        return self.portrait.own


@io.comfytype(io_type="EDTALK_MODEL")
class ModelSocket(io.ComfyTypeIO):
    """A model."""

    Type = LoadedModel


@io.comfytype(io_type="EDTALK_PORTRAIT")
class PortraitSocket(io.ComfyTypeIO):
    """An encoded portrait."""

    Type = EncodedPortrait


@io.comfytype(io_type="EDTALK_AUDIO_FEATURES")
class FeaturesSocket(io.ComfyTypeIO):
    """Audio features, the models' input of a sound."""

    Type = AudioFeatures


@io.comfytype(io_type="EDTALK_MOTION")
class MotionSocket(io.ComfyTypeIO):
    """A motion: weights over time of one or more of the tracks lip, pose and expression."""

    Type = Motion


def picture_of(image: torch.Tensor, index: int = 0) -> np.ndarray:
    """Convert one image of an IMAGE (B,H,W,3 or 4) to a picture (H,W,3) uint8. Raises ArgumentError beyond the last."""
    if not -len(image) <= index < len(image):
        raise ArgumentError(f"There is no image {index} in a batch of {len(image)}; they are counted from 0.")
    return (image[index, ..., :3].float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).contiguous().numpy()


def image_of(pictures: np.ndarray) -> torch.Tensor:
    """Convert pictures (B,H,W,3) or (H,W,3), uint8, to ComfyUI's IMAGE (B,H,W,3) float32, 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).reshape(-1, *pictures.shape[-3:]).float() / 255


def pictures_of(image: torch.Tensor) -> Iterator[np.ndarray]:
    """Yield the pictures of an IMAGE. Raises PictureError when the batch is empty."""
    if not len(image):
        raise PictureError("The image batch is empty; there must be at least one image.")
    return (picture_of(image, index) for index in range(len(image)))


def audio_of(audio: dict[str, Any] | None) -> Audio:
    """Convert the first sound of ComfyUI's AUDIO. Raises AudioError when there is none or it is unusable.

    ComfyUI's Get Video Components gives None for a video without sound.
    """
    if audio is None or not len(audio["waveform"]):
        raise AudioError("There is no sound: the video or list that audio comes from has none. Plug in another.")
    waveform, rate = audio["waveform"][0], int(audio["sample_rate"])
    if waveform.dtype == torch.float32 and waveform.ndim == 2:
        return read_audio(Audio(waveform.detach().cpu().numpy(), rate))  # shared: an hour of stereo takes 1.4 GB
    return read_audio(waveform, rate)


def sound_of(sound: Sound) -> dict[str, Any]:
    """Convert a sound to ComfyUI's AUDIO. One in memory is shared, not copied."""
    return {"waveform": torch.from_numpy(sound.read().samples)[None], "sample_rate": sound.sample_rate}


@dataclass(frozen=True, eq=False)
class Frames:
    """A stream of frames that can be read more than once."""

    open: Callable[[], Iterable[tuple[float, np.ndarray]]]
    """Opens the frames from the start: (seconds, picture (H,W,3) uint8) in order."""
    duration: float
    """Length in seconds."""
    fps: Fraction
    """Frames per second; the mean if they are not evenly spaced."""
    size: tuple[int, int]
    """(width, height)."""
    path: str | None = None
    """The video file, if there is one."""


def frames_of_video(video: Input.Video) -> Frames:
    """Open the frames of ComfyUI's VIDEO as a stream, not held in memory. Raises VideoError when it cannot be read."""
    path = _path_of(video)
    if path is None:
        components = video.get_components()
        return frames_of_images(components.images, components.frame_rate)
    reader = VideoReader(path)
    return Frames(lambda: reader, reader.duration, Fraction(reader.fps).limit_denominator(90_000), reader.size, path)


@contextmanager
def file_of_video(video: Input.Video) -> Iterator[str]:
    """Context manager that gives ComfyUI's VIDEO as a file: its own, or a temporary one that is deleted at the end."""
    path = _path_of(video)
    if path is not None:
        yield path
        return
    frames = frames_of_video(video)
    # Not saved with ComfyUI's save_to, whose compression would show in the result.
    os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder_paths.get_temp_directory()) as folder:
        path = os.path.join(folder, "video.mkv")
        with VideoWriter(path, frames.fps, frames.size) as writer:
            for _, picture in frames.open():
                writer.write(picture)
        yield path


def _path_of(video: Input.Video) -> str | None:
    """Return the file of a VIDEO that is a complete file, untrimmed and uncropped; else None."""
    # The stream source of any other VIDEO would be encoded into memory, which fails in ComfyUI 0.3.
    if isinstance(video, InputImpl.VideoFromFile):
        source = video.get_stream_source()
        # Newer ComfyUIs trim and crop a VIDEO, which its stream source does not reflect.
        trim: tuple[float, ...] = getattr(video, "get_active_trim_window", tuple)()
        is_untrimmed_file = isinstance(source, str) and os.path.isfile(source) and not any(trim)
        # Our reader first: of a damaged file it says what is wrong, and ComfyUI's does not.
        if is_untrimmed_file and sorted(VideoReader(source).size) == sorted(video.get_dimensions()):
            return str(source)
    return None


def frames_of_images(images: torch.Tensor, fps: float | Fraction) -> Frames:
    """Open ComfyUI's IMAGE (B,H,W,3) as a stream of frames at `fps`. Raises ArgumentError if `fps` is not above 0."""
    rate = Fraction(fps).limit_denominator(90_000)
    if not rate > 0:
        raise ArgumentError(f"The frame rate of the images must be above 0, not {fps}.")
    height, width = images.shape[1:3]

    def open_frames() -> Iterator[tuple[float, np.ndarray]]:
        return ((float(number / rate), picture) for number, picture in enumerate(pictures_of(images)))

    return Frames(open_frames, float(len(images) / rate), rate, (width, height))
