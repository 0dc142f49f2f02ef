"""Motion from any kind of file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ArgumentError
from ..face.crop import crop_portrait
from ..face.framing import FaceChoice, PictureCropMode
from ..media.picture import read_picture
from ..media.streams import is_video
from ..model import EDTalk
from ..motion.files import file_kind, load_motion
from ..motion.motion import Motion
from ..progress import Progress
from .audio import motion_from_audio
from .blendshapes import is_live_link, motion_from_capture, read_live_link
from .video import motion_from_picture, motion_from_video


def motion_from_file(
    model: EDTalk,
    path: str | os.PathLike[str],
    *,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: PictureCropMode = "auto",
    progress: Progress | None = None,
) -> tuple[Motion, str | None]:
    """Read the motion of any kind of file: a video, a picture (one frame), a sound (lips alone), a motion file, a
    recording of Live Link Face (CSV).

    `face`, `box` and `crop` as in `crop_portrait`. Returns the motion and a warning on its quality, or None. Raises an
    EDTalkError when the file cannot be read or has no face.
    """
    kind = file_kind(Path(path))
    if kind in ("a safetensors file", "JSON"):
        return load_motion(path), None
    if is_live_link(path):
        return motion_from_capture(model, read_live_link(path)), None
    if "picture" in kind:
        cropped = crop_portrait(read_picture(path), size=model.sizes.resolution, face=face, box=box, mode=crop)
        return motion_from_picture(model, cropped.picture), cropped.warning
    if not is_video(path):
        return motion_from_audio(model, path, progress=progress), None
    if crop == "template":
        raise ArgumentError("The crop by template is for pictures; a video is cropped by one box for the whole clip.")
    motion, framing = motion_from_video(model, path, face=face, box=box, crop=crop, progress=progress)
    return motion, framing.warning
