"""Content of a rendered video: frames, sound, tags, and motion of the mouth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Video:
    """A decoded video."""

    frames: np.ndarray
    """(T,H,W,3) uint8."""
    fps: float
    sound_seconds: float
    """0 without sound."""
    loudest: float
    """The largest sample of the sound, 0 to 1."""
    tags: dict[str, str]
    """The container's metadata."""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.frames) / self.fps


def read_video(path: Path) -> Video:
    """Decode a file. Raises the errors of PyAV."""
    import av

    with av.open(str(path)) as container:
        picture, tags = container.streams.video[0], dict(container.metadata)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(picture)]
        fps = float(picture.average_rate or 0)
    samples = loudest = rate = 0
    with av.open(str(path)) as container:
        for sound in container.streams.audio[:1]:
            rate = sound.rate
            for block in container.decode(sound):
                samples += block.samples
                loudest = max(loudest, float(np.abs(block.to_ndarray()).max()))
    return Video(np.stack(frames), fps, samples / rate if rate else 0.0, loudest, tags)


@dataclass(frozen=True)
class MouthMotion:
    """Motion of a mouth."""

    opening: np.ndarray
    """Distance of the lips (T,), over that of the outer corners of the eyes in the first frame."""
    inside: float
    """Standard deviation of pixels over time inside the mouth's box, mean over pixels, in grey levels."""
    around: float
    """The same for the rest of the picture."""


def mouth_motion(frames: np.ndarray) -> MouthMotion:
    """Measure the mouth in frames (T,H,W,3) uint8. Raises FaceError when the first has no face."""
    from edtalk_core.evaluation.faces import MOUTH, FaceReader
    from edtalk_core.face.landmarks import eye_distance, mouth_opening

    reader = FaceReader()
    mesh = reader.find(frames[0])
    landmarks = np.stack([reader.landmarks(frame, mesh) for frame in frames])
    points = landmarks[:, MOUTH].reshape(-1, 2) * frames.shape[2]
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    deviation = frames.astype(np.float32).std(axis=0).mean(axis=-1)
    box = np.zeros(deviation.shape, bool)
    box[top:bottom, left:right] = True
    opening = mouth_opening(landmarks) / eye_distance(landmarks[0])
    return MouthMotion(opening, float(deviation[box].mean()), float(deviation[~box].mean()))
