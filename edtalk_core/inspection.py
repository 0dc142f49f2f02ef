"""File inspection: the kind and content of weights, motions, presets, pictures, audio and videos."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .checkpoints.reading import safetensors_format
from .emotion.files import KINDS
from .errors import EDTalkError
from .media.streams import is_video
from .motion.bases import Bases
from .motion.files import file_kind, load_motion, motion_metadata, read_json
from .motion.motion import TRACKS
from .motion.presets import load_presets


def inspect_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a file as JSON-serialisable values.

    "file", "bytes" and "kind" are always present; the other keys depend on the kind: "checkpoint", "classifier",
    "motion", "presets", "picture", "sound" or "video". Raises a subclass of EDTalkError for other and for damaged
    files.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind in ("a folder", "an empty file"):
        raise EDTalkError(f"{path} is {kind}; expected weights, a motion, a preset, a picture, a sound or a video.")
    if kind == "a safetensors file":
        form = safetensors_format(path)
        if form == "edtalk-motion":
            description = _motion(path)
        else:
            description = _classifier(path) if form in KINDS else _checkpoint(path)
    elif kind == "JSON":
        content = read_json(path, "a motion or an expression preset")
        is_motion = isinstance(content, dict) and content.get("format") == "edtalk-motion"
        description = _motion(path) if is_motion else _presets(path)
    elif "NumPy" in kind:
        description = _presets(path)
    elif "archive" in kind or "pickle" in kind or path.suffix.lower() in (".pt", ".pth"):
        description = _checkpoint(path)
    elif "picture" in kind:
        description = _picture(path)
    else:
        description = _media(path)
    return {"file": str(path), "bytes": path.stat().st_size, **description}


def _checkpoint(path: Path) -> dict[str, Any]:
    from .checkpoints.metadata import read_bases, read_presets
    from .checkpoints.reading import read_checkpoint
    from .parts import PARTS
    from .recognition import recognise

    checkpoint = read_checkpoint(path)
    recognised = recognise(checkpoint.tensors, str(path))
    metadata = checkpoint.metadata
    bases = read_bases(metadata, recognised.sizes, str(path)) if recognised.sizes else Bases()
    lids = {"base": bases.lids.base, "closed": bases.lids.closed} if bases.lids else None
    return {
        "kind": "checkpoint",
        "variant": recognised.variant,
        "sizes": json.loads(recognised.sizes.to_json()) if recognised.sizes else None,
        **{part.name: part.name in recognised.parts for part in PARTS},
        "emotions": list(read_presets(metadata, recognised.sizes, str(path))) if recognised.sizes else [],
        "bases": {track: list(names) for track in TRACKS if (names := bases.names(track))},
        "lids": lids,
        "parameters": sum(value.numel() for value in recognised.tensors.values()),
        "precisions": sorted({str(value.dtype).removeprefix("torch.") for value in recognised.tensors.values()}),
        "unused_tensors": len(recognised.unused),
        "sha256": checkpoint.sha256,
        "metadata": {key: value for key, value in metadata.items() if key not in ("presets", "sizes", "bases")},
    }


def _classifier(path: Path) -> dict[str, Any]:
    """A classifier of emotions in text or speech."""
    from .checkpoints.reading import read_checkpoint

    checkpoint = read_checkpoint(path)
    metadata = checkpoint.metadata
    return {
        "kind": "classifier",
        "variant": KINDS[metadata["format"]],
        "labels": json.loads(metadata.get("labels", "[]")),
        "languages": list(json.loads(metadata.get("frequent_words", "{}"))),
        "license": metadata.get("license", ""),
        "parameters": sum(value.numel() for value in checkpoint.tensors.values()),
        "precisions": sorted({str(value.dtype).removeprefix("torch.") for value in checkpoint.tensors.values()}),
        "sha256": checkpoint.sha256,
    }


def _motion(path: Path) -> dict[str, Any]:
    motion = load_motion(path)
    return {
        "kind": "motion",
        "tracks": {name: track.shape[1] for name, track in motion.tracks.items()},
        "frames": motion.frames,
        "fps": motion.fps,
        "seconds": motion.duration,
        "metadata": motion_metadata(path),
    }


def _presets(path: Path) -> dict[str, Any]:
    presets = load_presets(path)
    return {
        "kind": "presets",
        "weights": len(next(iter(presets.values())).weights),
        "emotions": list(presets),
    }


def _picture(path: Path) -> dict[str, Any]:
    from .face.alignment import detect_faces
    from .media.picture import read_picture

    picture = read_picture(path)
    height, width = picture.shape[:2]
    faces = [
        {"box": [round(side) for side in face.box], "score": round(face.score, 3)} for face in detect_faces(picture)
    ]
    return {"kind": "picture", "width": width, "height": height, "faces": faces}


def _media(path: Path) -> dict[str, Any]:
    from .media.audio import open_audio
    from .media.video import VideoReader

    description: dict[str, Any] = {"kind": "sound"}
    if is_video(path):
        video = VideoReader(path)
        width, height = video.size
        description = {
            "kind": "video",
            "width": width,
            "height": height,
            "fps": video.fps,
            "frames": video.frame_count,
            "seconds": video.duration,
            "sound": video.has_audio,
        }
        if not video.has_audio:
            return description
    audio = open_audio(path, exact=False)
    sound = {"sample_rate": audio.sample_rate, "channels": audio.channels}
    # A video with sound has the duration of its pictures.
    return {**description, **sound, "seconds": description.get("seconds", audio.duration)}
