"""What travels between the nodes, and how ComfyUI's own pictures, sounds and videos become the library's and back.

Objects on a socket are shared with every node that is plugged in: they are frozen, and nobody edits what they hold.
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
from ..edtalk_core.media.audio import Audio, read_audio
from ..edtalk_core.media.mel import AudioFeatures
from ..edtalk_core.media.video import VideoReader
from ..edtalk_core.media.video_writer import VideoWriter
from ..edtalk_core.model import EDTalk, Portrait
from ..edtalk_core.motion.motion import Motion


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in ComfyUI's care."""

    patcher: ModelPatcher
    """Its `.model` holds the EDTalk as `.edtalk`."""
    name: str
    """As chosen in the loader."""
    precision: str
    """What frames are to be computed in: "auto", "fp32", "bf16" or "fp16"."""

    @property
    def edtalk(self) -> EDTalk:
        """The model, wherever ComfyUI keeps it at the moment; see `execution.on_device` to compute with it."""
        return self.patcher.model.edtalk


@dataclass(frozen=True, eq=False)
class EncodedPortrait:
    """A portrait, the model that encoded it, and where in the picture it was cut out."""

    model: LoadedModel
    portrait: Portrait
    """Its tensors are on the CPU."""
    crop: Crop

    @property
    def own(self) -> Motion:
        """What the face does in the picture."""
        return self.portrait.own


@io.comfytype(io_type="EDTALK_MODEL")
class ModelSocket(io.ComfyTypeIO):
    """A model."""

    Type = LoadedModel


@io.comfytype(io_type="EDTALK_PORTRAIT")
class PortraitSocket(io.ComfyTypeIO):
    """A portrait, encoded."""

    Type = EncodedPortrait


@io.comfytype(io_type="EDTALK_AUDIO_FEATURES")
class FeaturesSocket(io.ComfyTypeIO):
    """A sound as the models hear it."""

    Type = AudioFeatures


@io.comfytype(io_type="EDTALK_MOTION")
class MotionSocket(io.ComfyTypeIO):
    """Weights of lip, pose and expression over time; any of the three."""

    Type = Motion


def picture_of(image: torch.Tensor, index: int = 0) -> np.ndarray:
    """One of ComfyUI's IMAGE (B,H,W,3 or 4), 0 to 1, as a picture (H,W,3) uint8. ArgumentError beyond the last."""
    if not -len(image) <= index < len(image):
        raise ArgumentError(f"There is no image {index} in a batch of {len(image)}; they are counted from 0.")
    return (image[index, ..., :3].float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).contiguous().numpy()


def image_of(pictures: np.ndarray) -> torch.Tensor:
    """Pictures (B,H,W,3) or (H,W,3), uint8 -> ComfyUI's IMAGE (B,H,W,3) float32, 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).reshape(-1, *pictures.shape[-3:]).float() / 255


def pictures_of(image: torch.Tensor) -> Iterator[np.ndarray]:
    """The pictures of an IMAGE one by one. PictureError when there are none."""
    if not len(image):
        raise PictureError("The image batch is empty; there must be at least one image.")
    return (picture_of(image, index) for index in range(len(image)))


def audio_of(audio: dict[str, Any] | None) -> Audio:
    """ComfyUI's AUDIO -> Audio. Of a batch the first sound. AudioError when there is none, or it is unusable.

    Core's Get Video Components gives None for a video without sound.
    """
    if audio is None or not len(audio["waveform"]):
        raise AudioError("There is no sound: the video or list that audio comes from has none. Plug in another.")
    return read_audio(audio["waveform"][0], int(audio["sample_rate"]))


def sound_of(audio: Audio) -> dict[str, Any]:
    """Audio -> ComfyUI's AUDIO."""
    return {"waveform": torch.from_numpy(audio.samples.copy())[None], "sample_rate": audio.sample_rate}


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames that can be gone through more than once, one at a time."""

    open: Callable[[], Iterable[tuple[float, np.ndarray]]]
    """Opens them anew: (seconds, picture (H,W,3) uint8) in order."""
    duration: float
    """Seconds."""
    fps: Fraction
    """Frames a second; the mean where they are not evenly spaced."""
    size: tuple[int, int]
    """(width, height)."""
    path: str | None = None
    """The file, if they lie in one."""


def frames_of_video(video: Input.Video) -> Frames:
    """ComfyUI's VIDEO, read as it is needed and not held whole. VideoError when it cannot be read."""
    path = _path_of(video)
    if path is None:
        components = video.get_components()
        return frames_of_images(components.images, components.frame_rate)
    reader = VideoReader(path)
    return Frames(lambda: reader, reader.duration, Fraction(reader.fps).limit_denominator(90_000), reader.size, path)


@contextmanager
def file_of_video(video: Input.Video) -> Iterator[str]:
    """ComfyUI's VIDEO as a file for as long as the block lasts: its own, or a temporary one."""
    path = _path_of(video)
    if path is not None:
        yield path
        return
    frames = frames_of_video(video)
    # Not saved by ComfyUI, whose compression would be seen in what is made of it.
    os.makedirs(folder_paths.get_temp_directory(), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder_paths.get_temp_directory()) as folder:
        path = os.path.join(folder, "video.mkv")
        with VideoWriter(path, frames.fps, frames.size) as writer:
            for _, picture in frames.open():
                writer.write(picture)
        yield path


def _path_of(video: Input.Video) -> str | None:
    """The file that a VIDEO is, whole; None if it is none."""
    # Others than files would be encoded into memory to give a stream, and ComfyUI 0.3 fails at it.
    if isinstance(video, InputImpl.VideoFromFile):
        source = video.get_stream_source()
        # A newer ComfyUI cuts files in time and at the edges, and its streams know nothing of that.
        trim: tuple[float, ...] = getattr(video, "get_active_trim_window", tuple)()
        whole = isinstance(source, str) and os.path.isfile(source) and not any(trim)
        if whole and sorted(video.get_dimensions()) == sorted(VideoReader(source).size):
            return str(source)
    return None


def frames_of_images(images: torch.Tensor, fps: float | Fraction) -> Frames:
    """ComfyUI's IMAGE (B,H,W,3), shown at `fps`."""
    rate = Fraction(fps).limit_denominator(90_000)
    if not rate > 0:
        raise ArgumentError(f"The frame rate of the images must be above 0, not {fps}.")
    height, width = images.shape[1:3]

    def opened() -> Iterator[tuple[float, np.ndarray]]:
        return ((float(number / rate), picture) for number, picture in enumerate(pictures_of(images)))

    return Frames(opened, float(len(images) / rate), rate, (width, height))
