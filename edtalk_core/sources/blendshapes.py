"""Motion from captured faces: ARKit blend shapes and the head's rotation, of Live Link Face or of MediaPipe.

The expression bases of the demo model and of models trained with the 3D face are combinations of the same blend shapes
(`face.face_model.EXPRESSION_BASES`), so that amounts follow from coefficients by least squares.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import FaceError, MotionError
from ..face.expression_warp import UNIT
from ..face.face_model import EXPRESSION_BASES
from ..media.mel import MAX_FRAMES
from ..model import EDTalk
from ..motion.motion import Motion, checked_fps
from ..paths import special_kind

MAX_CSV_BYTES = 512 << 20
JAW_WEIGHT = 12.0
"""Change of the lip base "opening" by a jaw that is open as far as it goes."""
HEAD_WEIGHTS = {"yaw": 0.5, "pitch": 0.6, "roll": 1.3}
"""Change of a pose weight by a degree. A weight of 4 is one standard deviation over talking heads, in which heads turn
by about 8, 7 and 3 degrees."""
WIDE_EYES = 0.5
"""How far wide eyes count as the opposite of closed ones."""
FRAME_RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 120.0)

_HEADER = re.compile(r"^\ufeff?\s*Timecode\s*,\s*BlendshapeCount\s*,", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class FaceCapture:
    """What a face did, frame by frame, whoever it was."""

    coefficients: Mapping[str, np.ndarray]
    """ARKit's name of a blend shape, such as "eyeBlinkLeft" -> (T,), 0 to 1. Left is the person's."""
    head: np.ndarray
    """(T,3): yaw to the picture's right, pitch down and roll clockwise, in degrees."""
    fps: float


def is_live_link(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like a CSV file of Live Link Face."""
    if special_kind(path):  # reading it might take for ever
        return False
    try:
        with Path(path).open("rb") as file:
            return _HEADER.match(file.read(256).decode("utf-8", "replace")) is not None
    except OSError:
        return False


def read_live_link(path: str | os.PathLike[str]) -> FaceCapture:
    """Read a CSV file that the app Live Link Face recorded.

    Frames are put on an even grid by their time codes; lost frames are interpolated. Raises MotionError naming the file
    and the line for anything else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_CSV_BYTES:
            raise MotionError(f"{path} has {path.stat().st_size:,} bytes: too long for a recording of Live Link Face.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            if not _HEADER.match(",".join(names) + ","):
                raise MotionError(f"{path} is no CSV file of Live Link Face: it begins with Timecode,BlendshapeCount.")
            codes: list[tuple[float, float]] = []
            rows: list[list[float]] = []
            for line in reader:
                if not line:
                    continue
                if len(rows) >= MAX_FRAMES:
                    raise MotionError(f"{path} has more than {MAX_FRAMES:,} frames; cut it into parts.")
                codes.append(_time_code(path, reader.line_num, line))
                rows.append(_values(path, reader.line_num, line, len(names)))
    except (OSError, ValueError, csv.Error) as error:
        raise MotionError(f"{path} cannot be read as a CSV file of Live Link Face ({error}).") from error
    if not rows:
        raise MotionError(f"{path} holds no frames; record some in Live Link Face.")
    values = np.array(rows)
    highest = max(frame for _, frame in codes)
    fps = next((rate for rate in FRAME_RATES if highest < rate), FRAME_RATES[-1])
    times = np.array([seconds + frame / fps for seconds, frame in codes])
    times -= times[0]
    if (np.diff(times) <= 0).any():
        raise MotionError(f"{path}: its time codes do not rise; expected one frame after the other.")
    grid = np.arange(round(times[-1] * fps) + 1) / fps
    if len(grid) > MAX_FRAMES:
        raise MotionError(f"{path} has time codes over more than {MAX_FRAMES:,} frames; cut it into parts.")
    columns = {_arkit(name): np.interp(grid, times, column) for name, column in zip(names[2:], values.T, strict=True)}
    zero = np.zeros(len(grid))
    # ARKit's axes: x to the picture's right, y up, z to the camera; angles in radians. A positive roll is to the left.
    angles = [columns.get(name, zero) for name in ("headYaw", "headPitch", "headRoll")]
    return FaceCapture(columns, np.degrees(np.stack(angles, 1)) * [1, 1, -1], fps)


def capture_from_landmarks(landmarks: Mapping[str, Any], fps: float, face: int = 0) -> FaceCapture:
    """Return what a face does in ComfyUI's FACE_LANDMARKS, which MediaPipe makes of a batch of images.

    `face`: its number in each frame. Frames without it are interpolated. Raises FaceError when no frame has it.
    """
    frames: Sequence[Sequence[Mapping[str, Any]]] = landmarks["frames"]
    shown = [index for index, faces in enumerate(frames) if len(faces) > face]
    if not shown:
        raise FaceError(f"There is no face {face} in any of the {len(frames)} frames of the landmarks.")
    faces = [frames[index][face] for index in shown]
    grid = np.arange(len(frames))

    def spread(values: Sequence[float]) -> np.ndarray:
        return np.interp(grid, shown, values)

    names = list(faces[0]["blendshapes"])
    coefficients = {_arkit(name): spread([float(one["blendshapes"].get(name, 0)) for one in faces]) for name in names}
    angles = np.array([_angles(np.asarray(one["transformation_matrix"], np.float64)) for one in faces])
    return FaceCapture(coefficients, np.stack([spread(column) for column in angles.T], 1), checked_fps(fps))


def motion_from_capture(model: EDTalk, capture: FaceCapture, own: Motion | None = None) -> Motion:
    """Return the motion that makes a portrait do as a captured face.

    Args:
        model: one whose bases have the names of EXPRESSION_BASES.
        capture: its head turns about its mean pose.
        own: the portrait's own motion, from which it departs; None: a face at rest.

    Returns:
        Lip, pose and expression at the capture's frame rate.

    Raises:
        MotionError: a model whose bases have no names.
    """
    expression = [name for name in EXPRESSION_BASES if name in model.bases.expression]
    if not expression:
        raise MotionError(
            "The bases of this model have no names, so nobody knows which of them a captured blend shape moves. Use "
            "the demo model or one that was trained with the 3D face, or read a video with Weights from Video."
        )
    frames = len(capture.head)
    widths = {name: getattr(model.sizes, name) for name in ("lip", "pose", "expression")}
    tracks = {name: torch.zeros(frames, width) for name, width in widths.items()}
    if own is not None:
        tracks = {name: own.track(name).expand(frames, -1).clone() for name in tracks}
    amounts = dict(zip(EXPRESSION_BASES, _amounts(capture), strict=True))
    for name in expression:
        base = model.bases.expression.index(name)
        lids = model.bases.lids
        unit = lids.closed if lids is not None and lids.base == base else UNIT
        tracks["expression"][:, base] += torch.from_numpy(unit * amounts[name]).float()
    turns = capture.head - capture.head.mean(axis=0)
    for (name, weight), angles in zip(HEAD_WEIGHTS.items(), turns.T, strict=True):
        if name in model.bases.pose:
            tracks["pose"][:, model.bases.pose.index(name)] += torch.from_numpy(weight * angles).float()
    if "opening" in model.bases.lip:
        closed = capture.coefficients.get("mouthClose", 0.0)
        jaw = np.clip(capture.coefficients.get("jawOpen", np.zeros(frames)) - closed, 0, 1)
        tracks["lip"][:, model.bases.lip.index("opening")] += torch.from_numpy(JAW_WEIGHT * jaw).float()
    return Motion(fps=capture.fps, **tracks)


def _amounts(capture: FaceCapture) -> np.ndarray:
    """Amounts (bases,T) of EXPRESSION_BASES whose blend shapes are nearest to the captured ones."""
    shapes = [
        f"{shape}{side}"
        for shape in dict.fromkeys(re.sub("_[LR]$", "", name) for base in EXPRESSION_BASES.values() for name in base)
        for side in ("_L", "_R")
    ]
    system = np.zeros((len(shapes), len(EXPRESSION_BASES)))
    for column, base in enumerate(EXPRESSION_BASES.values()):
        for name, weight in base.items():
            for row, shape in enumerate(shapes):
                if name in (shape, shape[:-2]):
                    system[row, column] = weight
    captured = np.stack([_coefficient(capture, shape) for shape in shapes])
    return np.asarray(np.linalg.lstsq(system, captured, rcond=None)[0])


def _coefficient(capture: FaceCapture, shape: str) -> np.ndarray:
    """The captured coefficient (T,) of a blend shape of the face model, such as "eyeBlink_L"."""
    name, side = shape[:-2], {"_L": "Left", "_R": "Right"}[shape[-2:]]
    zero = np.zeros(len(capture.head))
    value = capture.coefficients.get(f"{name}{side}", capture.coefficients.get(name, zero))
    if name == "eyeBlink":
        return value - WIDE_EYES * capture.coefficients.get(f"eyeWide{side}", zero)
    return value


def _arkit(name: str) -> str:
    """ARKit's name of a column or blend shape: "EyeBlinkLeft" -> "eyeBlinkLeft"."""
    return name[:1].lower() + name[1:]


def _angles(matrix: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, as in FaceCapture, of a matrix (4,4): x right, y up, z to the camera."""
    rotation = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0).clip(1e-9)
    forward, up = rotation[:, 2], rotation[:, 1]
    yaw = np.degrees(np.arctan2(forward[0], forward[2]))
    pitch = -np.degrees(np.arcsin(np.clip(forward[1], -1, 1)))
    return float(yaw), float(pitch), float(np.degrees(np.arctan2(up[0], up[1])))


def _time_code(path: Path, line: int, row: Sequence[str]) -> tuple[float, float]:
    """Seconds and frame of a time code, such as 20:56:34:16.134."""
    match = re.fullmatch(r"\s*(\d{1,3}):(\d{1,2}):(\d{1,2})[:;](\d{1,3}(?:\.\d+)?)\s*", row[0])
    if match is None:
        raise MotionError(f"{path}, line {line}: {row[0]!r} is no time code; expected one such as 20:56:34:16.134.")
    hours, minutes, seconds, frame = match.groups()
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds), float(frame)


def _values(path: Path, line: int, row: Sequence[str], count: int) -> list[float]:
    """The numbers of a row, without the time code and the count."""
    try:
        values = [float(value) for value in row[2:]]
    except ValueError:
        values = []
    if len(row) != count or len(values) != count - 2 or not np.isfinite(values).all() or np.abs(values).max() > 100:
        raise MotionError(f"{path}, line {line}: expected {count - 2} finite numbers, as its first line has names.")
    return values
