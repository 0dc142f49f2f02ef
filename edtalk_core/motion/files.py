"""Motion files: safetensors for storage, JSON for people and other programs. Nothing is ever unpickled.

A motion file holds the tensors "lip", "pose" and "expression" (any of them), float32 (frames, weights), and text
metadata: format="edtalk-motion", format_version="1", fps, and any further notes, such as "made_by", "source" or
"model". The JSON form has the same keys, one frame a line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..atomic import atomic_write
from ..errors import ArgumentError, EDTalkError, MotionError
from ..paths import special_kind
from .motion import TRACKS, Motion, check_track_size

FORMAT = "edtalk-motion"
FORMAT_VERSION = 1

MAX_JSON_BYTES = 32 << 20
"""About 45 minutes of all three tracks."""
MAX_HEADER_BYTES = 16 << 20
MAX_METADATA_BYTES = 8 << 20
"""Size as JSON. Metadata may include the workflow that made the motion."""

_RESERVED = ("format", "format_version", "fps")
_DTYPES = {"F32", "F64", "F16", "BF16"}


def save_motion(motion: Motion, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
    """Write a motion to `path` (.safetensors, or .json for readable JSON) and return the path.

    `metadata` is free text stored with the numbers ({"made_by": ..., "source": ...}). The file appears complete or
    not at all. Raises ArgumentError for another suffix or bad metadata, MotionError when it cannot be written.
    """
    path = Path(path)
    notes = {}
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str) or not key or key in _RESERVED:
            raise ArgumentError(
                f"Metadata of a motion file is text by name, other than {', '.join(_RESERVED)}; got {key!r}: {value!r}."
            )
        # A file name in "source" may hold bytes that are not valid text.
        notes[key.encode("utf-8", "replace").decode()] = value.encode("utf-8", "replace").decode()
    if len(json.dumps(notes)) > MAX_METADATA_BYTES:
        raise ArgumentError(f"Metadata of a motion file may take {MAX_METADATA_BYTES:,} bytes; this takes more.")
    head = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "fps": repr(motion.fps)}
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import save

        data = save(motion.tracks, metadata={**notes, **head})
    elif path.suffix.lower() == ".json":
        data = _to_json(motion, notes).encode()
        if len(data) > MAX_JSON_BYTES:
            raise ArgumentError(f"A motion of {motion.frames:,} frames is too long for JSON; name it .safetensors.")
    else:
        raise ArgumentError(f"A motion file's name ends in .safetensors or .json; got {path.name!r}.")
    write_file(path, data)
    return path


def load_motion(path: str | os.PathLike[str]) -> Motion:
    """Read a motion file, safetensors or JSON; the content decides, not the suffix.

    Raises MotionError naming the file for anything but a valid motion file: missing, truncated, of another kind, of
    wrong shapes, with values that are not finite, with an implausible frame rate or size.
    """
    return _read(Path(path))[0]


def motion_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a motion file ({"source": ...}). Raises MotionError as `load_motion` does."""
    return _read(Path(path))[1]


def file_kind(path: Path) -> str:
    """Detect the kind of a file by its first bytes, in words: "a NumPy array (.npy)", "an MP4 or MOV video".

    Raises MotionError when the file cannot be read.
    """
    try:
        if path.is_dir():
            return "a folder"
        if special := special_kind(path):
            return special
        with path.open("rb") as file:
            start = file.read(64)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise MotionError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not start:
        return "an empty file"
    for pattern, kind in _KINDS:
        if re.match(pattern, start, re.DOTALL):
            return kind
    return "a file of another kind"


_KINDS = (
    (rb"\x93NUMPY", "a NumPy array (.npy)"),
    (rb"PK\x03\x04", "a zip archive (such as a .pt checkpoint or an .npz)"),
    (rb"\x80[\x02-\x05]", "a Python pickle"),
    (rb".{5}\0{3}\{", "a safetensors file"),  # the header's length as 64 bits, then the header
    (rb"\x89PNG", "a PNG picture"),
    (rb"\xff\xd8\xff", "a JPEG picture"),
    (rb"GIF8", "a GIF"),
    (rb"RIFF....WEBP", "a WebP picture"),
    (rb"RIFF....WAVE", "a WAV sound"),
    (rb"RIFF....AVI ", "an AVI video"),
    (rb"....ftyp(M4A|M4B)", "an M4A sound"),
    (rb"....ftyp(avif|heic|heix|mif1)", "a HEIF or AVIF picture"),
    (rb"....(ftyp|moov|mdat|wide|free)", "an MP4 or MOV video"),
    (rb"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (rb"ID3|\xff[\xfb\xf3\xf2]", "an MP3 sound"),
    (rb"OggS", "an Ogg sound or video"),
    (rb"fLaC", "a FLAC sound"),
    (rb"(\xef\xbb\xbf)?\s*[\{\[]", "JSON"),
)
"""First bytes -> kind; the first match counts."""


def parse_json(text: str) -> Any:
    """Parse JSON; ValueError for anything else, NaN and Infinity, a name that occurs twice, and too deep nesting."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"it holds {name}, and values must be finite")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            raise ValueError("a name occurs twice")
        return content

    try:
        return json.loads(text, parse_constant=refuse_constant, object_pairs_hook=refuse_duplicates)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path, expected: str, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the content of a JSON file; MotionError naming `expected` ("a preset: ...") for any other file.

    NaN and Infinity, which are not JSON, and duplicate names are refused.
    """
    kind = file_kind(path)
    if kind != "JSON":
        raise MotionError(f"{path} is {kind}; expected {expected}.")
    try:
        if path.stat().st_size > max_bytes:
            raise MotionError(f"{path} has {path.stat().st_size:,} bytes, more than {expected} ever has.")
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise MotionError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # also wrong JSON and wrong UTF-8
        raise MotionError(f"{path} is not readable as JSON ({error}); expected {expected}.") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all. Raises MotionError when that fails."""
    if not path.parent.is_dir():
        raise MotionError(f"{path} cannot be written: there is no folder {path.parent}.")
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise MotionError(f"{path} cannot be written: {error.strerror or error}.") from error


_EXPECTED = "a motion file (.safetensors or .json, written by save_motion)"


def _read(path: Path) -> tuple[Motion, dict[str, str]]:
    kind = file_kind(path)
    if kind == "a safetensors file":
        tracks, head = _read_safetensors(path)
    elif kind == "JSON":
        tracks, head = _read_json(path)
    else:
        hint = " A preset goes where an expression preset is asked for." if "NumPy" in kind else ""
        raise MotionError(f"{path} is {kind}; expected {_EXPECTED}.{hint}")
    version = head.get("format_version", "")
    if not re.fullmatch("[1-9][0-9]{0,5}", version):
        raise MotionError(f"{path} says it has format version {version!r}; expected a number such as {FORMAT_VERSION}.")
    if int(version) > FORMAT_VERSION:
        raise MotionError(
            f"{path} has motion format {version}, this EDTalk reads up to {FORMAT_VERSION}; update EDTalk to read it."
        )
    try:
        fps = float(head["fps"])
    except (KeyError, ValueError):
        raise MotionError(f"{path} does not state its frame rate (fps) as a number; got {head.get('fps')!r}.") from None
    try:
        motion = Motion(fps=fps, **tracks)
    except EDTalkError as error:
        raise MotionError(f"{path} is damaged: {error}") from error
    return motion, {key: value for key, value in head.items() if key not in _RESERVED}


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
    if header_size > MAX_HEADER_BYTES:
        raise MotionError(
            f"{path} is a safetensors file with a header of {header_size:,} bytes, too large for a motion; expected "
            f"{_EXPECTED}."
        )
    try:
        with safe_open(path, framework="pt") as content:
            head = content.metadata() or {}
            names = list(content.keys())
            if head.get("format") != FORMAT:
                is_model = head.get("format") == "edtalk-bundle"
                tensors = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                description = (
                    "an EDTalk model" if is_model else f"a safetensors file of something else (it holds {tensors})"
                )
                raise MotionError(f"{path} is {description}; expected {_EXPECTED}.")
            if foreign := [name for name in names if name not in TRACKS]:
                raise MotionError(f"{path} holds {foreign[0]!r}, which no motion has; expected {', '.join(TRACKS)}.")
            for name in names:
                claimed = content.get_slice(name)
                if claimed.get_dtype() not in _DTYPES:
                    raise MotionError(f"{path} holds {name} as {claimed.get_dtype()}; expected floating-point numbers.")
                if len(shape := claimed.get_shape()) == 2:  # `Motion` refuses other shapes
                    try:
                        check_track_size(name, *shape)
                    except MotionError as error:
                        raise MotionError(f"{path} cannot be used: {error}") from error
            return {name: content.get_tensor(name) for name in names}, head
    except (SafetensorError, OSError) as error:
        raise MotionError(f"{path} is damaged or cut off ({error}); expected {_EXPECTED}.") from error


def _read_json(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    content = read_json(path, _EXPECTED)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        preset = isinstance(content, dict) and ("weights" in content or "presets" in content)
        description = "an expression preset" if preset else "JSON of something else"
        raise MotionError(f"{path} is {description}; expected {_EXPECTED}.")
    tracks = {}
    for name in TRACKS:
        if content.get(name) is None:
            continue
        rows = content[name]
        if not _is_table(rows):
            raise MotionError(f"{path}: {name} must be a list of frames, each a list of as many numbers; it is not.")
        tracks[name] = torch.tensor(rows, dtype=torch.float64)
    if foreign := [key for key in content if key not in (*_RESERVED, *TRACKS, "metadata")]:
        raise MotionError(f"{path} holds {foreign[0]!r}, which no motion has; expected {', '.join(TRACKS)}.")
    notes = content.get("metadata", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise MotionError(f"{path}: metadata must be text by name; it is not.")
    return tracks, {**notes, **{key: str(content[key]) for key in _RESERVED if key in content}}


def _is_table(rows: Any) -> bool:
    return (
        isinstance(rows, list)
        and bool(rows)
        and all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)
        and all(type(value) in (int, float) and abs(value) < 1e308 for row in rows for value in row)
    )


def _to_json(motion: Motion, notes: Mapping[str, str]) -> str:
    """Return the motion as JSON, one frame a line; nine digits represent every float32 exactly."""
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "fps": motion.fps, "metadata": notes}
    parts = [f' "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in head.items()]
    for name, track in motion.tracks.items():
        rows = ",\n".join("  [" + ", ".join(f"{value:.9g}" for value in row) + "]" for row in track.tolist())
        parts.append(f' "{name}": [\n{rows}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"
