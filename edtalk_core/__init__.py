"""EDTalk: talking heads whose motion is data.

    import edtalk_core as edtalk

    model = edtalk.load_model("demo")
    result = edtalk.animate(model, "portrait.jpg", "speech.wav", "talk.mp4", expression="happy")

Every public name is imported when it is first used, so that `import edtalk_core` itself costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .errors import (
        ArgumentError,
        AudioError,
        Cancelled,
        DownloadError,
        EDTalkError,
        FaceError,
        MediaError,
        MotionError,
        PictureError,
        UnsupportedCheckpoint,
        VideoError,
    )
    from .model import EDTalk, Portrait
    from .motion.files import load_motion, save_motion
    from .motion.motion import Motion
    from .motion.operations import smooth
    from .networks.audio_to_lip import AudioToLip

_HOMES = {
    "errors": (
        "ArgumentError",
        "AudioError",
        "Cancelled",
        "DownloadError",
        "EDTalkError",
        "FaceError",
        "MediaError",
        "MotionError",
        "PictureError",
        "UnsupportedCheckpoint",
        "VideoError",
    ),
    "model": ("EDTalk", "Portrait"),
    "motion.files": ("load_motion", "save_motion"),
    "motion.motion": ("Motion",),
    "motion.operations": ("smooth",),
    "networks.audio_to_lip": ("AudioToLip",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
