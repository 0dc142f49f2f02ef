"""Faces drawn for the tests: their landmarks, pictures and sound belong together exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edtalk_core.face import landmarks as lm


def face_landmarks(opening: float, turn: float, nod: float = 0.0) -> np.ndarray:
    """68 landmarks (68,2) in pixels of a 256 px crop: `opening` 0..1 of the mouth, `turn`, `nod` -1..1 of the head."""
    jaw = np.linspace(np.pi, 0, 17)
    eye = np.array([np.pi, 2 * np.pi / 3, np.pi / 3, 0, -np.pi / 3, -2 * np.pi / 3])
    lips, inner = np.linspace(np.pi, -np.pi, 12, endpoint=False), np.linspace(np.pi, -np.pi, 8, endpoint=False)

    def oval(angles: np.ndarray, x: float, y: float, width: float, height: float) -> np.ndarray:
        return np.stack([x + width * np.cos(angles), y - height * np.sin(angles)], axis=1)

    brow = np.linspace(-0.2, 0.2, 5)
    nose_shift = 0.12 * turn
    nose_drop = 0.06 * nod
    points = np.concatenate(
        [
            oval(-jaw, 0, 0, 0.75, 1.0 + 0.15 * opening),
            np.stack([brow - 0.35, -0.55 - 0.05 * np.cos(brow * 7)], axis=1),
            np.stack([brow + 0.35, -0.55 - 0.05 * np.cos(brow * 7)], axis=1),
            np.stack([np.linspace(0, nose_shift, 4), np.linspace(-0.35, 0.1, 4) + nose_drop], axis=1),
            np.stack([np.linspace(-0.15, 0.15, 5) + nose_shift, np.full(5, 0.2) + nose_drop], axis=1),
            oval(eye, -0.33, -0.35, 0.14, 0.06),
            oval(eye, 0.33, -0.35, 0.14, 0.06),
            oval(lips, 0.5 * nose_shift, 0.5, 0.3, 0.08 + 0.17 * opening),
            oval(inner, 0.5 * nose_shift, 0.5, 0.22, 0.01 + 0.16 * opening),
        ]
    )
    roll = 0.1 * turn * nod
    turned = points @ np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return turned * (70 + 3 * nod) + [128 + 14 * turn, 128 + 6 * nod]


def face_picture(landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face with these landmarks as a picture (256,256,3) uint8, in colours of its own."""
    import cv2

    background, skin, lip = rng.integers(40, 220, 3), rng.integers(120, 240, 3), rng.integers(60, 200, 3)
    picture = np.empty((256, 256, 3), np.uint8)
    picture[:] = background
    jaw = landmarks[lm.JAW]
    head = np.concatenate([jaw, jaw[::-1] * [1, -1] + [0, 2 * jaw[0, 1]]])

    def fill(points: np.ndarray, colour: tuple[int, ...]) -> None:
        cv2.fillPoly(picture, [(points * 16).round().astype(np.int32)], colour, cv2.LINE_AA, shift=4)

    fill(head, tuple(map(int, skin)))
    for part, colour in (
        (lm.RIGHT_BROW, (60, 40, 30)),
        (lm.LEFT_BROW, (60, 40, 30)),
        (lm.RIGHT_EYE, (250, 250, 250)),
        (lm.LEFT_EYE, (250, 250, 250)),
        (lm.NOSE_WINGS, tuple(int(value * 0.7) for value in skin)),
        (lm.OUTER_LIPS, tuple(map(int, lip))),
        (lm.INNER_LIPS, (30, 10, 10)),
    ):
        fill(landmarks[part], colour)
    return picture


def write_face_clip(folder: Path, name: str, *, split: str = "train", emotion: str = "", frames: int = 30) -> Path:
    """Write a prepared clip of a drawn face that turns and nods and speaks: its mouth opens as its sound swells."""
    from edtalk_core.data.clips import ClipInfo, encode_frame, write_clip
    from edtalk_core.media.mel import mel_spectrogram

    seed = int.from_bytes(name.encode()[-6:], "big")
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 25
    opening = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(1.5, 3) * time)
    turn = np.sin(2 * np.pi * rng.uniform(0.3, 0.6) * time + rng.uniform(0, 6))
    nod = np.cos(2 * np.pi * rng.uniform(0.4, 0.8) * time)
    landmarks = np.stack([face_landmarks(*values) for values in zip(opening, turn, nod, strict=True)])
    pictures = [face_picture(points, np.random.default_rng(seed)) for points in landmarks]
    samples = np.arange(frames * 640) / 16000
    loudness = np.interp(samples, time, opening)
    sound = (0.5 * loudness * np.sin(2 * np.pi * 220 * samples)).astype(np.float32)
    path = folder / f"{name}.safetensors"
    write_clip(
        path,
        ClipInfo(name, person=name, split=split, emotion=emotion, speech=True),
        [encode_frame(picture) for picture in pictures],
        landmarks.astype(np.float32),
        mel_spectrogram(sound),
    )
    return path
