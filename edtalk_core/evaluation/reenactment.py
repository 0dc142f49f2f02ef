"""Self-reenactment: the first frame of a clip, driven by the clip's own weights, against the clip itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import Clip
from ..media.picture import images_to_pictures
from ..model import EDTalk
from ..rendering import Renderer
from .faces import MOUTH, FaceReader, landmark_distance
from .metrics import PerceptualDistance, l1, psnr, ssim

BATCH = 8
HIGHEST_PSNR = 60.0
"""dB; what frames that equal each other count as, so that a mean stays a number."""


@torch.no_grad()
def evaluate_reenactment(
    model: EDTalk,
    clips: Sequence[Clip],
    *,
    step: int = 5,
    precision: str = "fp32",
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Figures of self-reenactment at the model's resolution, over every `step`-th frame but the first.

    A clip's figure is the mean over its frames, the result the mean over clips. Each is given for the rendered frames
    and, as `repeat_...`, for the first frame repeated: `l1` (0 to 1), `psnr` (dB), `ssim`, `perceptual` (see
    PerceptualDistance), `mouth_lmd` and `face_lmd` (distance of landmarks in eye distances).

    Further: `l1_below_repeat` and `perceptual_below_repeat`, 1 - figure / repeated figure; `psnr_above_repeat` in dB;
    `clips`, how many; `per_clip`, the figures of each. Clips of at most `step` frames are left out.
    """
    reader, perceptual = FaceReader(), PerceptualDistance()
    per_clip: dict[str, dict[str, float]] = {}
    for done, clip in enumerate(clips):
        figures: dict[str, list[float]] = {}
        source = clip.frame(0, model.sizes.resolution)
        mesh = reader.find(source)
        for true, rendered in reenact(model, clip, range(step, len(clip), step), precision):
            mesh = reader.follow(true, mesh)
            landmarks = reader.landmarks(true, mesh)
            for prefix, picture in (("", rendered), ("repeat_", source)):
                moved = reader.landmarks(picture, mesh)
                for name, value in (
                    ("l1", l1(picture, true)),
                    ("psnr", min(psnr(picture, true), HIGHEST_PSNR)),
                    ("ssim", ssim(picture, true)),
                    ("perceptual", perceptual(picture, true)),
                    ("mouth_lmd", landmark_distance(moved, landmarks, MOUTH)),
                    ("face_lmd", landmark_distance(moved, landmarks)),
                ):
                    figures.setdefault(prefix + name, []).append(value)
        if figures:
            per_clip[clip.info.name] = {name: float(np.mean(values)) for name, values in figures.items()}
        if progress is not None:
            progress(done + 1, len(clips))
    if not per_clip:
        return {"clips": 0, "per_clip": {}}
    mean = {
        name: float(np.mean([figures[name] for figures in per_clip.values()])) for name in next(iter(per_clip.values()))
    }
    return {
        "l1_below_repeat": 1 - mean["l1"] / max(mean["repeat_l1"], 1e-9),
        "psnr_above_repeat": mean["psnr"] - mean["repeat_psnr"],
        "perceptual_below_repeat": 1 - mean["perceptual"] / max(mean["repeat_perceptual"], 1e-9),
        **mean,
        "backbone": PerceptualDistance.BACKBONE,
        "clips": len(per_clip),
        "per_clip": per_clip,
    }


@torch.no_grad()
def reenact(
    model: EDTalk, clip: Clip, frames: Sequence[int], precision: str = "fp32"
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """True and rendered pictures (S,S,3) of some of a clip's frames; the portrait is the clip's first frame."""
    renderer = Renderer(model, model.encode_portrait(clip_images(clip, [0], model)), precision=precision)
    for start in range(0, len(frames), BATCH):
        chunk = list(frames[start : start + BATCH])
        rendered = images_to_pictures(renderer.render(*model.read_weights(clip_images(clip, chunk, model))))
        for index, picture in zip(chunk, rendered, strict=True):
            yield clip.frame(index, model.sizes.resolution), picture


def clip_images(clip: Clip, frames: Sequence[int], model: EDTalk) -> Tensor:
    """Frames of a clip as the model's images (N,3,S,S) in [-1,1], on its device."""
    pictures = np.stack([clip.frame(index, model.sizes.resolution) for index in frames])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images.to(model.device, model.dtype)


def reenactment_sheet(
    model: EDTalk, clips: Sequence[Clip], *, columns: int = 8, precision: str = "fp32"
) -> NDArray[np.uint8]:
    """A picture (H,W,3): for up to `columns` clips the source, a driving frame, and the source rendered like it.

    The driving frame is the one whose landmarks lie furthest from the source's.
    """
    rows: list[list[NDArray[np.uint8]]] = [[], [], []]
    for clip in clips[:columns]:
        index = int(np.abs(clip.landmarks - clip.landmarks[0]).mean(axis=(1, 2)).argmax())
        true, rendered = next(reenact(model, clip, [index], precision))
        for row, picture in zip(rows, (clip.frame(0, model.sizes.resolution), true, rendered), strict=True):
            row.append(picture)
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
