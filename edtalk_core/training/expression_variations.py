"""Sample variations by the 3D face model: any expression for any person, with exact ground-truth flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import Clip
from ..data.face_motion import EMOTIONS, emotion_amounts
from ..face.expression_warp import LIDS, UNIT, PosedFace, warp_flow, warp_picture
from ..face.face_model import EXPRESSION_BASES, face_model, fit_face
from ..face.landmarks import JAW
from .augmentation import Augmentation
from .sampling import Array, Random, Sample, Variation

EMOTION_SHARE, SINGLE_SHARE, BLINK_SHARE = 0.35, 0.25, 0.25
"""Shares of random expressions that are emotions, single bases, and blinks, which are otherwise small and rare; the
rest combine a few bases."""
SOURCE_SHARE, WIDEST_LIDS = 0.4, 0.25
"""Share of exact warps whose portrait is warped as well, and the limit of its lids: closed eyes could not be opened."""
NOISE = 0.08
CHANGES_OF_CLIP, CHANGES_OF_PICTURE = 8, 4
"""Numbers of `expression_changes`."""


def draw_amounts(rng: Random) -> NDArray[np.floating[Any]]:
    """Draw amounts (10,) of EXPRESSION_BASES for a random expression, relative to that of the face."""
    amounts: NDArray[np.floating[Any]] = np.zeros(len(EXPRESSION_BASES))
    kind = rng.random()
    if kind < EMOTION_SHARE:
        emotion = list(EMOTIONS)[int(rng.integers(len(EMOTIONS)))]
        amounts = emotion_amounts(emotion) * rng.uniform(0.3, 1.6) + NOISE * rng.normal(size=len(amounts))
    elif kind < EMOTION_SHARE + SINGLE_SHARE:
        amounts[int(rng.integers(len(amounts)))] = rng.uniform(-0.4, 1.6)
    elif kind < EMOTION_SHARE + SINGLE_SHARE + BLINK_SHARE:
        amounts[int(rng.integers(len(amounts)))] = rng.uniform(-0.3, 1.2) * (rng.random() < 0.4)
        amounts[LIDS] = rng.uniform(0.4, 1.1)
    else:
        bases = rng.choice(len(amounts), int(rng.integers(2, 5)), replace=False)
        amounts[bases] = rng.uniform(-0.3, 1.2, len(bases))
    amounts[LIDS] = np.clip(amounts[LIDS], -2.0, 1.1)
    return amounts


def warped_expression(share: float) -> Variation:
    """Variation that warps the second frame of a share of the samples to another expression and updates its weights."""

    def vary(sample: Sample, rng: Random) -> bool:
        if not rng.random() < share:
            return False
        amounts = draw_amounts(rng)
        face = posed_face(sample.landmarks[1], sample.images.shape[-1])
        rest, target = face.vertices(np.zeros_like(amounts)), face.vertices(amounts)
        sample.images[1] = warp_image(sample.images[1], rest, target)
        sample.landmarks[1] += landmark_displacements(rest, target, sample.images.shape[-1])
        sample.weights["expression"][1] += UNIT * amounts.astype(np.float32)
        return True

    return vary


def exact_warp(share: float) -> Variation:
    """Variation that turns a share of the samples into one frame in two expressions, with their exact flow.

    It turns all samples of still pictures, which have no second frame.
    """

    def vary(sample: Sample, rng: Random) -> bool:
        if not rng.random() < (1 if len(sample.clips[0]) == 1 else share):
            return False
        size = sample.images.shape[-1]
        face = posed_face(sample.landmarks[0], size)
        rest = face.vertices(np.zeros(len(EXPRESSION_BASES)))
        source: NDArray[np.floating[Any]] = np.zeros(len(EXPRESSION_BASES))
        target = draw_amounts(rng)
        if rng.random() < SOURCE_SHARE:
            source = draw_amounts(rng) * rng.uniform(0.2, 0.8)
            source[LIDS] = min(source[LIDS], WIDEST_LIDS)
        image, landmarks = sample.images[0].copy(), sample.landmarks[0].copy()
        for frame, amounts in enumerate((source, target)):
            vertices = face.vertices(amounts)
            sample.images[frame] = warp_image(image, rest, vertices)
            sample.landmarks[frame] = landmarks + landmark_displacements(rest, vertices, size)
        for weights in sample.weights.values():
            weights[1] = weights[0]
        sample.weights["expression"] += UNIT * np.stack([source, target]).astype(np.float32)
        line = (np.arange(size, dtype=np.float32) * 2 + 1) / size - 1
        offsets = warp_flow(face.vertices(source), face.vertices(target), size).offsets
        sample.exact_flow = (np.stack(np.meshgrid(line, line)) + offsets.transpose(2, 0, 1) * 2 / size).astype(
            np.float32
        )
        return True

    return vary


def expression_changes(
    clips: Iterable[Clip], resolution: int, rng: Random, augmentation: float = 1.0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames of clips beside the same frames warped to a random expression.

    Yields images (2,3,resolution,resolution) in [-1,1] and the change in weights (expression,) of EXPRESSION_BASES.
    """
    for clip in clips:
        for _ in range(CHANGES_OF_PICTURE if len(clip) == 1 else CHANGES_OF_CLIP):
            image, landmarks = Augmentation.draw(rng, augmentation).apply(
                clip, int(rng.integers(len(clip))), resolution
            )
            face, amounts = posed_face(landmarks, resolution), draw_amounts(rng)
            warped = warp_image(image, face.vertices(np.zeros_like(amounts)), face.vertices(amounts))
            change = torch.from_numpy(UNIT * amounts.astype(np.float32))
            yield torch.from_numpy(np.stack([image, warped])), change


def posed_face(landmarks: Array, size: int) -> PosedFace:
    """Fit the mesh to the landmarks (68,2) in [-1,1] of a picture (size,size); vertices are in its pixels."""
    return PosedFace.of(fit_face(((landmarks.astype(np.float64) + 1) * size - 1)[None] / 2))


def warp_image(image: Array, source: Array, target: Array) -> Array:
    """Warp an image (3,S,S) so that the vertices `source` (V,3) move to `target`."""
    if source is target or np.array_equal(source, target):
        return image
    picture = np.ascontiguousarray(image.transpose(1, 2, 0))
    warped = warp_picture(picture, source, target)
    return np.ascontiguousarray(warped.clip(-1, 1).transpose(2, 0, 1), np.float32)


def landmark_displacements(source: Array, target: Array, size: int) -> Array:
    """Displacements of landmarks (68,2) in [-1,1] with the mesh; those of the jaw, on the outline, stay."""
    displacements = (target - source)[face_model().landmarks, :2] * 2 / size
    displacements[JAW] = 0
    return np.asarray(displacements, np.float32)
