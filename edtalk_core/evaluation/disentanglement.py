"""Disentanglement: whether each bank changes its own part of the face, and nothing else.

Each weight is swept separately over its range in real clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import Clip
from ..model import EDTalk
from ..motion.motion import TRACKS, Motion
from ..progress import Progress
from ..rendering import Renderer
from .faces import FaceReader, head_rotation, regions, relative_mouth_opening, rotation_between
from .protocols import clip_images, find_face

RANGE = (5.0, 95.0)
"""Percentiles of the weights in real clips between which a weight is swept."""
READ_STEP = 10
BATCH = 8


@dataclass(frozen=True)
class TrackChange:
    """Changes from one end of a weight's range to the other, for the weights of one track."""

    change: Mapping[str, float]
    """Mean absolute difference of the pixels (0 to 1) by region of the face, see `regions`; mean over portraits and
    weights."""
    mouth_to_rest: float
    """Change in the mouth box over that in the rest of the face box (ratio of the means)."""
    rotation: float
    """Rotation of the head in degrees, mean over the weights."""
    largest_rotation: float
    """Maximum over the weights."""
    opening: float
    """Change of the mouth's opening relative to its range in the clips, mean over the weights."""
    largest_opening: float
    """Maximum over the weights."""
    per_clip: Mapping[str, Mapping[str, float]]
    """Change of each region, `rotation` and `opening` by the clip that the portrait is from: means over the weights."""


@dataclass(frozen=True)
class Disentanglement:
    """Changes caused by each bank, track by track."""

    portraits: int
    opening_range: float
    """Range of the relative mouth opening in the clips, from the 5th to the 95th percentile."""
    tracks: Mapping[str, TrackChange]

    def as_dict(self) -> dict[str, Any]:
        """Values that `edtalk evaluate` prints, without those of each clip."""
        tracks = {name: asdict(change) for name, change in self.tracks.items()}
        for change in tracks.values():
            del change["per_clip"]
        return {"portraits": self.portraits, "opening_range": self.opening_range, **tracks}


@dataclass(frozen=True)
class _Sweep:
    """Changes of one portrait, for each weight of one track."""

    change: dict[str, float]
    rotation: NDArray[np.float64]
    """(weights,)"""
    opening: NDArray[np.float64]
    """(weights,)"""


@torch.no_grad()
def evaluate_disentanglement(
    model: EDTalk,
    clips: Sequence[Clip],
    *,
    portraits: int = 8,
    precision: str = "fp32",
    progress: Progress | None = None,
) -> Disentanglement:
    """Sweep each weight separately, with the portrait's own values for the others, and measure the changes by track.

    Portraits are the first frames of the first clips of up to `portraits` people. A weight is swept from the 5th to
    the 95th percentile of its values in every tenth frame of the clips. `progress` counts portraits. Raises
    FaceError when a portrait shows no face.
    """
    reader = FaceReader()
    people: dict[str, Clip] = {}
    for clip in clips:
        people.setdefault(clip.info.person, clip)
    portrait_clips = list(people.values())[:portraits]
    ranges = weight_ranges(model, clips)
    openings = np.concatenate([relative_mouth_opening(clip.landmarks.astype(np.float64)) for clip in clips])
    opening_range = float(np.subtract(*np.percentile(openings, RANGE[::-1])))
    sweeps: dict[str, dict[str, _Sweep]] = {name: {} for name in ranges[0]}
    for done, clip in enumerate(portrait_clips):
        for name, sweep in sweep_portrait(model, clip, ranges, opening_range, reader, precision).items():
            sweeps[name][clip.info.name] = sweep
        if progress is not None:
            progress(done + 1, len(portrait_clips))
    tracks = {name: _summarise(by_clip) for name, by_clip in sweeps.items()}
    return Disentanglement(len(portrait_clips), opening_range, tracks)


def sweep_portrait(
    model: EDTalk,
    clip: Clip,
    ranges: tuple[dict[str, Tensor], dict[str, Tensor]],
    opening_range: float,
    reader: FaceReader,
    precision: str,
) -> dict[str, _Sweep]:
    """Render the first frame of a clip with each weight at both ends of its range; return the changes by track."""
    low, high = ranges
    mesh = find_face(reader, clip, model.sizes.resolution)
    parts = regions(reader.landmarks(clip.frame(0, model.sizes.resolution), mesh), model.sizes.resolution)
    portrait = model.encode_portrait(clip_images(clip, [0], model))
    renderer = Renderer(model, portrait, precision=precision)
    sweeps = {}
    for name in low:
        width = len(low[name])
        tracks = dict(model.complete(None, portrait, 2 * width).tracks)
        swept = tracks[name].clone()
        for weight in range(width):
            swept[2 * weight, weight], swept[2 * weight + 1, weight] = low[name][weight], high[name][weight]
        tracks[name] = swept
        pictures = np.stack(list(renderer.pictures(Motion(fps=model.fps, **tracks))))
        landmarks = np.stack([reader.landmarks(picture, mesh) for picture in pictures])
        difference = np.abs(pictures[::2].astype(np.float64) - pictures[1::2]).mean(axis=(0, 3)) / 255
        rotation, opening = head_rotation(landmarks), relative_mouth_opening(landmarks)
        sweeps[name] = _Sweep(
            {part: float(difference[mask].mean()) for part, mask in parts.items() if mask.any()},
            rotation_between(rotation[::2], rotation[1::2]),
            np.abs(opening[::2] - opening[1::2]) / max(opening_range, 1e-9),
        )
    return sweeps


def _summarise(sweeps: Mapping[str, _Sweep]) -> TrackChange:
    first = next(iter(sweeps.values()))
    change = {
        part: float(np.mean([sweep.change[part] for sweep in sweeps.values() if part in sweep.change]))
        for part in first.change
    }
    # Mean over portraits first: the effect of a weight, not of a single face.
    rotation = np.mean([sweep.rotation for sweep in sweeps.values()], axis=0)
    opening = np.mean([sweep.opening for sweep in sweeps.values()], axis=0)
    return TrackChange(
        change,
        mouth_to_rest=change["mouth"] / max(change["rest"], 1e-9),
        rotation=float(rotation.mean()),
        largest_rotation=float(rotation.max()),
        opening=float(opening.mean()),
        largest_opening=float(opening.max()),
        per_clip={
            name: {**sweep.change, "rotation": float(sweep.rotation.mean()), "opening": float(sweep.opening.mean())}
            for name, sweep in sweeps.items()
        },
    )


@torch.no_grad()
def weight_ranges(model: EDTalk, clips: Sequence[Clip]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Low and high end of each weight's range, (D,) by track: percentiles over every tenth frame of the clips."""
    parts_by_track: dict[str, list[Tensor]] = {}
    for clip in clips:
        indexes = range(0, len(clip), READ_STEP)
        for start in range(0, len(indexes), BATCH):
            weights = model.read_weights(clip_images(clip, indexes[start : start + BATCH], model))
            for name, values in zip(TRACKS, weights, strict=True):
                if values is not None:
                    parts_by_track.setdefault(name, []).append(values.float().cpu())
    low, high = {}, {}
    for name, parts in parts_by_track.items():
        ends = np.percentile(torch.cat(parts).numpy(), RANGE, axis=0)
        low[name], high[name] = torch.from_numpy(ends).float()
    return low, high
