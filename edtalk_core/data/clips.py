"""Prepared clips on disk: one safetensors file a clip, made for reading random frames fast.

A clip file holds `frames` (JPEG bytes of all 256 px face crops, end to end), `offsets` (T+1), `landmarks` (T,68,2) in
pixels of the crop, and, where there is sound, `mel` (columns,80); its metadata says who is seen, the emotion, the
split, the source and its licence. JPEG lets a 64 px training read a quarter-size picture straight from the DCT.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ArgumentError, EDTalkError

CLIP_FORMAT = "edtalk-clip"
CROP_SIZE = 256
"""Side of the stored face crops in pixels."""
JPEG_QUALITY = 95

MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *(67, 66, 65),
    ]
)
"""Index of each of the 68 points on the mirrored face."""


@dataclass(frozen=True)
class ClipInfo:
    """What is known about a clip. `person` separates training from test people; empty strings mean unknown."""

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

        try:
            with safe_open(path, framework="pt") as file:
                names = set(file.keys())
                metadata = file.metadata() or {}
                if metadata.get("format") != CLIP_FORMAT:
                    raise EDTalkError(f"{path} is not a prepared clip; make one with `edtalk prepare`.")
                self._frames = file.get_tensor("frames").numpy()
                self._offsets = file.get_tensor("offsets").numpy()
                self.landmarks: NDArray[np.float32] = file.get_tensor("landmarks").numpy()
                self.mel: NDArray[np.float32] | None = file.get_tensor("mel").numpy() if "mel" in names else None
        except SafetensorError as error:
            raise EDTalkError(f"{path} is damaged ({error}); delete it and run `edtalk prepare` again.") from error
        self.info = ClipInfo(**json.loads(metadata["info"]))
        self.path = path

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def points(self) -> NDArray[np.float64]:
        """The landmarks in grid_sample coordinates, [-1,1] over the picture."""
        return (2 * self.landmarks.astype(np.float64) + 1) / CROP_SIZE - 1

    def frame(self, index: int, size: int = CROP_SIZE) -> NDArray[np.uint8]:
        """Frame `index` as RGB (size,size,3); `size` 128, 64 or 32 come straight from the JPEG's DCT, and are quick."""
        import cv2

        flags = {
            CROP_SIZE // 8: cv2.IMREAD_REDUCED_COLOR_8,
            CROP_SIZE // 4: cv2.IMREAD_REDUCED_COLOR_4,
            CROP_SIZE // 2: cv2.IMREAD_REDUCED_COLOR_2,
            CROP_SIZE: cv2.IMREAD_COLOR,
        }
        if not 1 <= size <= CROP_SIZE:
            raise ArgumentError(f"Frames can be read at up to {CROP_SIZE} px, not {size}.")
        data = self._frames[self._offsets[index] : self._offsets[index + 1]]
        read = min(px for px in flags if px >= size)
        picture = cv2.imdecode(data, flags[read])
        if picture is None:
            raise EDTalkError(f"Frame {index} of {self.path} is damaged; delete it and run `edtalk prepare` again.")
        if read != size:
            picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)

    def mel_windows(self, indexes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Mel windows (len(indexes),80,16) of these frames, cut as the published preprocessing does."""
        from ..media.mel import gather_windows

        if self.mel is None:
            raise EDTalkError(f"The clip {self.info.name} has no sound.")
        return np.concatenate([gather_windows(self.mel, int(i), int(i) + 1).numpy() for i in indexes])


def encode_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (256,256,3) RGB as the JPEG bytes (N,) that a clip file keeps: a tenth of the memory."""
    import cv2

    done, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise EDTalkError(f"A frame of shape {frame.shape} cannot be encoded as JPEG.")
    return data.ravel()


def write_clip(
    path: Path,
    info: ClipInfo,
    encoded: Sequence[NDArray[np.uint8]],
    landmarks: NDArray[np.float32],
    mel: NDArray[np.float32] | None,
) -> None:
    """Write a clip file at once: frames by `encode_frame`, landmarks (T,68,2), mel (columns,80) or None."""
    from safetensors.torch import save_file

    tensors = {
        "frames": torch.from_numpy(np.concatenate(encoded)),
        "offsets": torch.from_numpy(np.cumsum([0, *map(len, encoded)])),
        "landmarks": torch.from_numpy(np.ascontiguousarray(landmarks, np.float32)),
    }
    if mel is not None:
        tensors["mel"] = torch.from_numpy(np.ascontiguousarray(mel, np.float32))
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"format": CLIP_FORMAT, "info": json.dumps(info.__dict__)})
    temporary.replace(path)


class ClipStore:
    """All prepared clips of a folder. Raises EDTalkError when there are none of the wanted split."""

    def __init__(
        self, folder: Path | str, split: str = "train", *, speech: bool = False, emotion: bool = False
    ) -> None:
        self.folder = Path(folder)
        clips = [Clip(path) for path in sorted(self.folder.glob("*.safetensors"))]
        self.clips = [
            clip
            for clip in clips
            if clip.info.split == split
            and (not speech or (clip.info.speech and clip.mel is not None))
            and (not emotion or clip.info.emotion)
        ]
        if not self.clips:
            raise EDTalkError(
                f"No prepared clips with split={split}{' and speech' if speech else ''} in {self.folder} "
                f"({len(clips)} clips in all); prepare some with `edtalk prepare`."
            )
        self._weigh()

    def _weigh(self) -> None:
        # A long clip has more to show, but not in proportion: neighbouring frames are alike.
        weights = np.sqrt([len(clip) for clip in self.clips])
        self._probabilities = weights / weights.sum()

    def keep(self, suits: Callable[[Clip], bool], wanted: str) -> None:
        """Drop the clips that do not suit. Raises EDTalkError, naming what was `wanted`, when none is left."""
        clips = [clip for clip in self.clips if suits(clip)]
        if not clips:
            raise EDTalkError(f"None of the {len(self.clips)} clips in {self.folder} has {wanted}.")
        self.clips = clips
        self._weigh()

    def sample_clip(self, rng: np.random.Generator) -> Clip:
        """A random clip, likelier the longer it is (by the square root)."""
        return self.clips[int(rng.choice(len(self.clips), p=self._probabilities))]


def seen_neutral(clips: Iterable[Clip]) -> set[str]:
    """Who shows no emotion in one of the clips, so that it is known what emotions differ from."""
    return {clip.info.person for clip in clips if clip.info.emotion == "neutral"}


@dataclass(frozen=True)
class Augmentation:
    """One random view for all frames of a sample: mirror, zoom, stretch, turn, shift, colour, as portraits vary."""

    mirror: bool
    zoom: float
    stretch: float
    """Width over height, against the picture's own: faces differ by it."""
    turn: float
    """Radians, clockwise in the picture."""
    shift: tuple[float, float]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> Augmentation:
        """`strength` 0 gives the picture as it is."""
        return cls(
            mirror=bool(strength > 0 and rng.random() < 0.5),
            zoom=float(np.exp(strength * rng.uniform(-0.12, 0.15))),
            stretch=float(np.exp(strength * rng.normal(0, 0.06))),
            turn=strength * float(rng.normal(0, 0.08)),
            shift=(strength * rng.uniform(-0.06, 0.06), strength * rng.uniform(-0.06, 0.06)),
            gain=(1 + strength * rng.uniform(-0.15, 0.15, 3)).astype(np.float32),
            offset=(strength * rng.uniform(-0.1, 0.1, 3)).astype(np.float32),
        )

    def matrix(self, size: int) -> NDArray[np.float64]:
        """Affine map (2,3) from pixels of the 256 px crop to pixels of the `size` px view."""
        scale = self.zoom * size / CROP_SIZE
        centre, target = (CROP_SIZE - 1) / 2, (size - 1) / 2
        cos, sin = scale * np.cos(self.turn), scale * np.sin(self.turn)
        turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-self.stretch if self.mirror else self.stretch, 1.0])
        return np.column_stack([turn, target + np.multiply(self.shift, size) - turn @ [centre, centre]])

    def apply(self, clip: Clip, index: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Image (3,size,size) in [-1,1] and landmarks (68,2) in normalised coordinates of grid_sample, [-1,1]."""
        import cv2

        read = min(CROP_SIZE, 2 * size)
        frame = clip.frame(index, read)
        matrix = self.matrix(size)
        # From pixels of the stored crop to pixels of the smaller picture that was read.
        ratio = CROP_SIZE / read
        reading = matrix.copy()
        reading[:, 2] += matrix[:, :2] @ np.full(2, (ratio - 1) / 2)
        reading[:, :2] *= ratio
        view = cv2.warpAffine(frame, reading, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        image = view.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
        image = np.clip(image * self.gain[:, None, None] + self.offset[:, None, None], -1, 1)
        points = clip.landmarks[index] @ matrix[:, :2].T + matrix[:, 2]
        if self.mirror:
            points = points[MIRRORED]
        return image, ((2 * points + 1) / size - 1).astype(np.float32)
