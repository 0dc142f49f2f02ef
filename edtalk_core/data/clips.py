"""Prepared clips on disk: one safetensors file per clip, designed for fast random access to frames.

A clip file holds `frames` (JPEG bytes of all face crops, end to end), `offsets` (T+1), `landmarks` (T,68,2) in pixels
of the crop, and, if the video has sound, `mel` (columns,80) and `waveform` (samples), 16 kHz, int16, which files from
before there was one lack. Its metadata holds the crop size, person, emotion, split,
source and licence. JPEG lets a training at 64 px decode a quarter-size picture directly from the DCT.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..atomic import atomic_write
from ..errors import EDTalkError
from ..face.landmarks import LANDMARK_COUNT
from ..media.mel import MEL_BANDS
from ..media.picture import LARGEST_SIDE, SMALLEST_SIDE
from ..paths import special_kind

CLIP_FORMAT = "edtalk-clip"
CROP_SIZE = 256
"""Default side of the face crops in pixels, as in the published models; also that of files without this metadata."""
JPEG_QUALITY = 95
_FARTHEST_LANDMARK = 100.0
"""Largest distance of a landmark from the corner of its crop, in sides of the crop."""
_JPEG_HEADER = 4096
"""Bytes at the start of a JPEG in which its size must be stated."""
_HEADER_START = 4096
"""Bytes at the start of a clip file that name its format, even if the file is cut off."""


@dataclass(frozen=True)
class ClipInfo:
    """Metadata of a clip. `person` separates training from test people; empty strings mean unknown."""

    name: str
    person: str
    split: str
    """"train", "test" or "holdout" (never looked at for choices)."""
    emotion: str = ""
    level: str = ""
    license: str = ""
    speech: bool = False
    """Whether the sound is this person's speech, in step with the mouth."""


class Clip:
    """One prepared clip, memory mapped. Raises EDTalkError when the file is not a prepared clip."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        if special := special_kind(path):
            raise EDTalkError(f"{path} is {special}, not a prepared clip; take it out of the store.")
        try:
            with safe_open(path, framework="pt") as file:
                names = set(file.keys())
                metadata = file.metadata() or {}
                if metadata.get("format") != CLIP_FORMAT:
                    raise EDTalkError(f"{path} is not a prepared clip; make one with `edtalk prepare`.")
                tensors = {name: file.get_tensor(name) for name in ("frames", "offsets", "landmarks")}
                mel = file.get_tensor("mel") if "mel" in names else None
                waveform = file.get_tensor("waveform") if "waveform" in names else None
            self.size = _read_size(metadata)
            """Side of the face crops in pixels."""
            self.info = _read_info(metadata)
            _check_tensors(**tensors, mel=mel, waveform=waveform, size=self.size)
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise EDTalkError(f"{path} is damaged ({reason}); delete it and run `edtalk prepare` again.") from error
        self._frames = tensors["frames"].numpy()
        self._offsets = tensors["offsets"].numpy()
        self.landmarks: NDArray[np.float32] = tensors["landmarks"].numpy()
        self.mel: NDArray[np.float32] | None = mel.numpy() if mel is not None else None
        self.waveform: NDArray[np.int16] | None = waveform.numpy() if waveform is not None else None
        self.path = path

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def points(self) -> NDArray[np.float64]:
        """The landmarks in grid_sample coordinates, [-1,1] over the picture."""
        return (2 * self.landmarks.astype(np.float64) + 1) / self.size - 1

    def frame(self, index: int, size: int | None = None) -> NDArray[np.uint8]:
        """Frame `index` as RGB (size,size,3), by default of the clip's own size.

        A half, a quarter or an eighth of it is decoded directly from the JPEG's DCT, which is fast. Raises EDTalkError
        for a size larger than the clip's own, and for a damaged file.
        """
        import cv2

        size = self.size if size is None else size
        self.require_size(size)
        flags = {
            self.size // 8: cv2.IMREAD_REDUCED_COLOR_8,
            self.size // 4: cv2.IMREAD_REDUCED_COLOR_4,
            self.size // 2: cv2.IMREAD_REDUCED_COLOR_2,
            self.size: cv2.IMREAD_COLOR,
        }
        data = self._frames[self._offsets[index] : self._offsets[index + 1]]
        if jpeg_size(data) != (self.size, self.size):  # before decoding, which takes the memory that the header claims
            raise EDTalkError(
                f"Frame {index} of {self.path} is no JPEG of {self.size} x {self.size} pixels: the clip is damaged; "
                "delete it and run `edtalk prepare` again."
            )
        decoded_size = min(px for px in flags if px >= size)
        picture = cv2.imdecode(data, flags[decoded_size])
        if picture is None:
            raise EDTalkError(f"Frame {index} of {self.path} is damaged; delete it and run `edtalk prepare` again.")
        if decoded_size != size:
            picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)

    def require_size(self, size: int) -> None:
        """Raise EDTalkError when the frames are smaller than `size` px."""
        if size > self.size:
            raise EDTalkError(
                f"{self.path} has frames of {self.size} px, and {size} px are needed: prepare the videos again with "
                f"`edtalk prepare --size {size}`."
            )

    def mel_windows(self, indexes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Mel windows (len(indexes),80,16) of these frames, cut as the published preprocessing does."""
        from ..media.mel import gather_windows

        if self.mel is None:
            raise EDTalkError(f"The clip {self.info.name} has no sound.")
        windows = np.concatenate([gather_windows(self.mel, int(i), int(i) + 1).numpy() for i in indexes])
        if not np.isfinite(windows).all():
            raise EDTalkError(
                f"The sound of {self.path} holds values that are not finite; delete it and run `edtalk prepare` again."
            )
        return windows


def _read_size(metadata: Mapping[str, str]) -> int:
    """Return the side of a clip's crops. Raises ValueError when it is not one."""
    text = metadata.get("size", str(CROP_SIZE))
    if not re.fullmatch("[1-9][0-9]{1,3}", text) or not SMALLEST_SIDE <= int(text) <= LARGEST_SIDE:
        raise ValueError(f"its size is {text[:40]!r} px")
    return int(text)


def _read_info(metadata: Mapping[str, str]) -> ClipInfo:
    """Return a clip's metadata. Raises ValueError when they are not those of a clip."""
    values = json.loads(metadata.get("info", "null"))
    if not isinstance(values, dict):
        raise ValueError("its entry info is missing or no mapping")
    for field in fields(ClipInfo):
        value = values.get(field.name, field.default)
        if not isinstance(value, bool if field.name == "speech" else str):
            raise ValueError(
                f"{field.name} is {str(value)[:40]!r}" if value is not MISSING else f"{field.name} is missing"
            )
    if unknown := values.keys() - {field.name for field in fields(ClipInfo)}:
        raise ValueError(f"its entry info has {min(unknown)[:40]!r}, which no clip has")
    return ClipInfo(**values)


def _check_tensors(
    frames: torch.Tensor,
    offsets: torch.Tensor,
    landmarks: torch.Tensor,
    mel: torch.Tensor | None,
    waveform: torch.Tensor | None,
    size: int,
) -> None:
    """Raise ValueError unless the tensors of a clip fit together; those of frames are checked when they are decoded."""
    if frames.dtype != torch.uint8 or frames.ndim != 1:
        raise ValueError(f"frames are {frames.dtype} {tuple(frames.shape)}")
    if offsets.dtype != torch.int64 or offsets.ndim != 1 or len(offsets) < 2:
        raise ValueError(f"offsets are {offsets.dtype} {tuple(offsets.shape)}")
    if offsets[0] != 0 or offsets[-1] != len(frames) or not bool((offsets.diff() > 0).all()):
        raise ValueError("offsets do not ascend from the start of the frames to their end")
    if landmarks.dtype != torch.float32 or landmarks.shape != (len(offsets) - 1, LANDMARK_COUNT, 2):
        raise ValueError(f"landmarks of {len(offsets) - 1} frames are {landmarks.dtype} {tuple(landmarks.shape)}")
    if not bool((landmarks.abs() < _FARTHEST_LANDMARK * size).all()):  # false for NaN too
        raise ValueError("landmarks are far outside of the crops, or not finite")
    if mel is not None and (mel.dtype != torch.float32 or mel.ndim != 2 or not len(mel) or mel.shape[1] != MEL_BANDS):
        raise ValueError(f"mel is {mel.dtype} {tuple(mel.shape)}")
    if waveform is not None and (waveform.dtype != torch.int16 or waveform.ndim != 1 or not len(waveform)):
        raise ValueError(f"waveform is {waveform.dtype} {tuple(waveform.shape)}")


def jpeg_size(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Return (width, height) in pixels from the header of a JPEG, without decoding it; None if there is no header."""
    header = data[:_JPEG_HEADER].tobytes()
    place = 2
    # Segments: a marker of two bytes, a length that counts itself, content. SOF0 to SOF2 hold the size.
    while header.startswith(b"\xff\xd8") and place + 9 <= len(header) and header[place] == 0xFF:
        marker, length = header[place + 1], int.from_bytes(header[place + 2 : place + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):
            return int.from_bytes(header[place + 7 : place + 9], "big"), int.from_bytes(
                header[place + 5 : place + 7], "big"
            )
        place += 2 + length
    return None


def encode_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encode an RGB frame (S,S,3) as the JPEG bytes (N,) that a clip file stores, a tenth of the memory."""
    import cv2

    success, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not success:
        raise EDTalkError(f"A frame of shape {frame.shape} cannot be encoded as JPEG.")
    return data.ravel()


def write_clip(
    path: Path,
    info: ClipInfo,
    encoded: Sequence[NDArray[np.uint8]],
    landmarks: NDArray[np.float32],
    mel: NDArray[np.float32] | None,
    size: int = CROP_SIZE,
    waveform: NDArray[np.floating] | None = None,
) -> None:
    """Write a clip file: frames of `size` px by `encode_frame`, landmarks (T,68,2), mel (columns,80) or None.

    `waveform`: sound (N,) in [-1,1] at 16 kHz, from the first frame on.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {
        "frames": torch.from_numpy(np.concatenate(encoded)),
        "offsets": torch.from_numpy(np.cumsum([0, *map(len, encoded)])),
        "landmarks": torch.from_numpy(np.ascontiguousarray(landmarks, np.float32)),
    }
    if mel is not None:
        tensors["mel"] = torch.from_numpy(np.ascontiguousarray(mel, np.float32))
    if waveform is not None and len(waveform):
        tensors["waveform"] = torch.from_numpy((np.clip(waveform, -1, 1) * 32767).round().astype(np.int16))
    metadata = {"format": CLIP_FORMAT, "size": str(size), "info": json.dumps(info.__dict__)}
    try:
        with atomic_write(path) as partial:
            save_file(tensors, partial, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise EDTalkError(f"{path} cannot be written: {error}. Check that the disk has room.") from error


def clip_file(folder: Path, name: str) -> Path:
    """Return the path of a clip in a store, to write or delete it.

    Raises EDTalkError if the name leads out of the folder, or a file of that name is there that is not a clip: a store
    may lie in a folder with other files, and its report may come from elsewhere.
    """
    path = folder / f"{name}.safetensors"
    if "\0" in name or path.is_symlink() or Path(os.path.realpath(path)).parent != Path(os.path.realpath(folder)):
        raise EDTalkError(f"{name!r} is not the name of a clip in {folder}; rename the video, or delete {path.name}.")
    if path.exists():
        try:
            Clip(path)
        except EDTalkError as error:
            with path.open("rb") as file:
                damaged_clip = CLIP_FORMAT.encode() in file.read(_HEADER_START)
            if not damaged_clip:
                raise EDTalkError(f"{path} would be overwritten and is not a clip: {error}") from error
    return path


class ClipStore:
    """All prepared clips of a split in a folder, or all pictures, the clips of one frame.

    Raises EDTalkError when there are none.
    """

    def __init__(
        self,
        folder: Path | str,
        split: str = "train",
        *,
        speech: bool = False,
        emotion: bool = False,
        pictures: bool = False,
    ) -> None:
        self.folder = Path(folder)
        clips = [Clip(path) for path in sorted(self.folder.glob("*.safetensors"))]
        self.clips = [
            clip
            for clip in clips
            if clip.info.split == split
            and (len(clip) == 1) == pictures
            and (not speech or (clip.info.speech and clip.mel is not None))
            and (not emotion or clip.info.emotion)
        ]
        if not self.clips:
            kind = "pictures" if pictures else "clips"
            raise EDTalkError(
                f"No prepared {kind} with split={split}{' and speech' if speech else ''} in {self.folder} "
                f"({len(clips)} clips and pictures in all); prepare some with "
                f"`edtalk prepare{' --pictures' if pictures else ''}`."
            )
        self._update_probabilities()

    def _update_probabilities(self) -> None:
        # A longer clip adds information, but less than proportionally: neighbouring frames are similar.
        weights = np.sqrt([len(clip) for clip in self.clips])
        self._probabilities = weights / weights.sum()

    def filter(self, predicate: Callable[[Clip], bool], requirement: str) -> None:
        """Drop clips for which `predicate` is false. Raises EDTalkError with the `requirement` when none remains."""
        clips = [clip for clip in self.clips if predicate(clip)]
        if not clips:
            raise EDTalkError(f"None of the {len(self.clips)} clips in {self.folder} has {requirement}.")
        self.clips = clips
        self._update_probabilities()

    def sample_clip(self, rng: np.random.Generator) -> Clip:
        """Draw a random clip with a probability proportional to the square root of its length."""
        return self.clips[int(rng.choice(len(self.clips), p=self._probabilities))]


def people_with_neutral_clips(clips: Iterable[Clip]) -> set[str]:
    """People who have a clip labelled neutral, the reference that their emotions are measured against."""
    return {clip.info.person for clip in clips if clip.info.emotion == "neutral"}
