"""EDTalk: talking heads with editable motion.

    import edtalk_core as edtalk

    model = edtalk.load_model("demo")
    result = edtalk.animate(model, "portrait.jpg", "speech.wav", "talk.mp4", expression="happy")

Public names are imported lazily, on first use, so that `import edtalk_core` itself is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .checkpoints.loading import load_model
    from .dubbing import Dubbed, dub, dub_pictures
    from .errors import (
        ArgumentError,
        AudioError,
        Cancelled,
        DownloadError,
        EDTalkError,
        FaceError,
        MediaError,
        MotionError,
        OutOfMemory,
        PictureError,
        UnsupportedCheckpoint,
        VideoError,
    )
    from .face.crop import Crop, crop_portrait
    from .face.following import FacePath, follow_face
    from .face.paste import ColourMatch, PasteBack
    from .face.video_crop import crop_video
    from .media.audio import Audio, pad_silence, read_audio
    from .media.mel import AudioFeatures, encode_audio, mel_windows
    from .media.picture import images_to_pictures, picture_to_image, read_picture, write_picture
    from .media.transcript import Transcript, read_transcript
    from .media.video import VideoReader, resample_frames
    from .media.video_writer import VideoWriter
    from .model import EDTalk, Portrait
    from .motion.blinks import Blink
    from .motion.files import load_motion, save_motion
    from .motion.motion import Motion
    from .motion.operations import smooth
    from .motion.plot import plot_motion
    from .networks.audio_to_lip import AudioToLip
    from .networks.pose_flow import PoseFlow
    from .networks.sizes import ModelSizes
    from .pipeline import Animation, animate
    from .portrait import portrait_from_picture
    from .rendering import FrameRenderer, Renderer
    from .sheets import base_sheet, emotion_sheet
    from .sources.audio import motion_from_audio
    from .sources.blink import blink_motion
    from .sources.flow import motion_from_flow
    from .sources.idle import idle_motion
    from .sources.speech import SpeechExpression, SpeechSettings, expression_from_speech
    from .sources.text import motion_from_preset, motion_from_timeline
    from .sources.video import motion_from_frames, motion_from_picture, motion_from_video
    from .whole import WholeRenderer

_NAMES_BY_MODULE = {
    "checkpoints.loading": ("load_model",),
    "dubbing": (
        "Dubbed",
        "dub",
        "dub_pictures",
    ),
    "errors": (
        "ArgumentError",
        "AudioError",
        "Cancelled",
        "DownloadError",
        "EDTalkError",
        "FaceError",
        "MediaError",
        "MotionError",
        "OutOfMemory",
        "PictureError",
        "UnsupportedCheckpoint",
        "VideoError",
    ),
    "face.crop": (
        "Crop",
        "crop_portrait",
    ),
    "face.following": (
        "FacePath",
        "follow_face",
    ),
    "face.paste": (
        "ColourMatch",
        "PasteBack",
    ),
    "face.video_crop": ("crop_video",),
    "media.audio": (
        "Audio",
        "pad_silence",
        "read_audio",
    ),
    "media.mel": (
        "AudioFeatures",
        "encode_audio",
        "mel_windows",
    ),
    "media.picture": (
        "images_to_pictures",
        "picture_to_image",
        "read_picture",
        "write_picture",
    ),
    "media.video": (
        "VideoReader",
        "resample_frames",
    ),
    "media.video_writer": ("VideoWriter",),
    "model": (
        "EDTalk",
        "Portrait",
    ),
    "media.transcript": (
        "Transcript",
        "read_transcript",
    ),
    "motion.blinks": ("Blink",),
    "motion.files": (
        "load_motion",
        "save_motion",
    ),
    "motion.motion": ("Motion",),
    "motion.operations": ("smooth",),
    "motion.plot": ("plot_motion",),
    "networks.audio_to_lip": ("AudioToLip",),
    "networks.pose_flow": ("PoseFlow",),
    "networks.sizes": ("ModelSizes",),
    "pipeline": (
        "Animation",
        "animate",
    ),
    "portrait": ("portrait_from_picture",),
    "rendering": (
        "FrameRenderer",
        "Renderer",
    ),
    "sources.audio": ("motion_from_audio",),
    "sources.blink": ("blink_motion",),
    "sources.flow": ("motion_from_flow",),
    "sources.idle": ("idle_motion",),
    "sources.speech": (
        "SpeechExpression",
        "SpeechSettings",
        "expression_from_speech",
    ),
    "sources.text": (
        "motion_from_preset",
        "motion_from_timeline",
    ),
    "sources.video": (
        "motion_from_frames",
        "motion_from_picture",
        "motion_from_video",
    ),
    "whole": ("WholeRenderer",),
    "sheets": (
        "base_sheet",
        "emotion_sheet",
    ),
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = ["__version__", *_MODULE_BY_NAME]


def __getattr__(name: str) -> object:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_BY_NAME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
