"""Whether each bank moves what it stands for: one weight at a time is swept over the range that real clips have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.clips import Clip
from ..model import EDTalk
from ..motion.motion import TRACKS, Motion
from ..rendering import Renderer
from .faces import FaceReader, head_rotation, mouth_opening, regions, rotation_between
from .reenactment import clip_images

RANGE = (5.0, 95.0)
"""Percentiles of the weights read off real clips between which a weight is swept."""
READ_STEP = 10
BATCH = 8


@torch.no_grad()
def evaluate_disentanglement(
    model: EDTalk,
    clips: Sequence[Clip],
    *,
    portraits: int = 8,
    precision: str = "fp32",
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Sweep each weight alone, the others the portrait's own, and say for each track what changed.

    Portraits are the first frames of the first clips of up to `portraits` people. A weight goes from the 5th to the
    95th percentile of what the model reads off every tenth frame of the clips. For each track, means over portraits
    and weights of the change from one end to the other:

    - `change`: mean absolute difference of the pixels (0 to 1) in each of the `regions` of the portrait's face;
    - `mouth_to_rest`: change in the mouth box over that in the rest of the face box (ratio of the means);
    - `rotation`, `largest_rotation`: of the head, degrees, mean and greatest over the weights;
    - `opening`, `largest_opening`: change of the mouth's opening, in shares of the range (5th to 95th percentile) that
      the opening has in the clips, mean and greatest over the weights.
    """
    reader = FaceReader()
    people: dict[str, Clip] = {}
    for clip in clips:
        people.setdefault(clip.info.person, clip)
    chosen = list(people.values())[:portraits]
    low, high = weight_ranges(model, clips)
    openings = np.concatenate([mouth_opening(clip.landmarks.astype(np.float64)) for clip in clips])
    opening_range = float(np.subtract(*np.percentile(openings, RANGE[::-1])))
    changes: dict[str, list[dict[str, float]]] = {name: [] for name in low}
    rotations: dict[str, list[np.ndarray]] = {name: [] for name in low}
    moved: dict[str, list[np.ndarray]] = {name: [] for name in low}
    for done, clip in enumerate(chosen):
        picture = clip.frame(0, model.sizes.resolution)
        mesh = reader.find(picture)
        parts = regions(reader.landmarks(picture, mesh), model.sizes.resolution)
        portrait = model.encode_portrait(clip_images(clip, [0], model))
        renderer = Renderer(model, portrait, precision=precision)
        for name in low:
            width = len(low[name])
            own = model.complete(None, portrait, 2 * width)
            tracks = dict(own.tracks)
            swept = tracks[name].clone()
            for weight in range(width):
                swept[2 * weight, weight], swept[2 * weight + 1, weight] = low[name][weight], high[name][weight]
            tracks[name] = swept
            pictures = np.stack(list(renderer.pictures(Motion(fps=model.fps, **tracks))))
            landmarks = np.stack([reader.landmarks(one, mesh) for one in pictures])
            difference = np.abs(pictures[::2].astype(np.float64) - pictures[1::2]).mean(axis=(0, 3)) / 255
            changes[name].append({part: float(difference[mask].mean()) for part, mask in parts.items() if mask.any()})
            rotation = head_rotation(landmarks)
            rotations[name].append(rotation_between(rotation[::2], rotation[1::2]))
            opening = mouth_opening(landmarks)
            moved[name].append(np.abs(opening[::2] - opening[1::2]) / max(opening_range, 1e-9))
        if progress is not None:
            progress(done + 1, len(chosen))
    result: dict[str, Any] = {"portraits": len(chosen), "opening_range": opening_range}
    for name in low:
        change = {
            part: float(np.mean([one[part] for one in changes[name] if part in one])) for part in changes[name][0]
        }
        # Mean over portraits first: a weight's effect, not one face's.
        rotation, opening = np.mean(rotations[name], axis=0), np.mean(moved[name], axis=0)
        result[name] = {
            "change": change,
            "mouth_to_rest": change["mouth"] / max(change["rest"], 1e-9),
            "rotation": float(rotation.mean()),
            "largest_rotation": float(rotation.max()),
            "opening": float(opening.mean()),
            "largest_opening": float(opening.max()),
        }
    return result


@torch.no_grad()
def weight_ranges(model: EDTalk, clips: Sequence[Clip]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Ends of the range of each weight, by track: (D,) low and high, percentiles over every tenth frame of clips."""
    read: dict[str, list[Tensor]] = {}
    for clip in clips:
        indexes = range(0, len(clip), READ_STEP)
        for start in range(0, len(indexes), BATCH):
            weights = model.read_weights(clip_images(clip, indexes[start : start + BATCH], model))
            for name, values in zip(TRACKS, weights, strict=True):
                if values is not None:
                    read.setdefault(name, []).append(values.float().cpu())
    low, high = {}, {}
    for name, parts in read.items():
        ends = np.percentile(torch.cat(parts).numpy(), RANGE, axis=0)
        low[name], high[name] = torch.from_numpy(ends).float()
    return low, high
