"""Evaluation of a pose flow: likelihood of held-out head motion, and realism of its samples."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ..data.pose_clips import PoseClip
from ..errors import ArgumentError
from ..networks.pose_flow import PoseFlow
from ..progress import Progress


class Baselines:
    """Baseline densities of head motion, fitted on the training clips: a Gaussian and a random walk.

    The Gaussian models poses independently; the random walk models the first pose by that Gaussian and the movements
    from frame to frame by another. Both have full covariances.
    """

    def __init__(self, clips: Sequence[PoseClip]) -> None:
        self.poses = _fit_gaussian(torch.cat([clip.pose.double() for clip in clips]))
        self.movements = _fit_gaussian(torch.cat([clip.pose.double().diff(dim=0) for clip in clips]))

    def gaussian(self, pose: Tensor) -> float:
        """Log-density of a clip (T,pose) in nats, frames independent."""
        return float(self.poses.log_prob(pose.double()).sum())

    def random_walk(self, pose: Tensor) -> float:
        """Log-density of a clip (T,pose) in nats, movements independent."""
        pose = pose.double()
        return float(self.poses.log_prob(pose[0]) + self.movements.log_prob(pose.diff(dim=0)).sum())


def _fit_gaussian(values: Tensor) -> MultivariateNormal:
    return MultivariateNormal(values.mean(0), torch.cov(values.T))


def speed(pose: Tensor) -> float:
    """Mean distance between the poses (T,D) of neighbouring frames."""
    return float(pose.diff(dim=0).norm(dim=1).mean())


def spread(pose: Tensor) -> float:
    """Range of head motion: root mean square distance of the poses (T,D) from their mean."""
    return float((pose - pose.mean(0)).square().sum(1).mean().sqrt())


def shakiness(pose: Tensor) -> float:
    """Mean change of movement from frame to frame, relative to the mean movement; about 1.7 for pure jitter."""
    moves = pose.diff(dim=0)
    return float(moves.diff(dim=0).norm(dim=1).mean() / moves.norm(dim=1).mean().clamp(min=1e-12))


@dataclass(frozen=True)
class PoseFigures:
    """Figures of a pose flow on held-out clips."""

    flow: float
    """Log-density in nats per frame under the flow with the clips' speech; higher is better, like the next three."""
    flow_without_speech: float
    """The same without the clips' speech."""
    gaussian: float
    """The same under the Gaussian baseline, see `Baselines`."""
    random_walk: float
    """The same under the random walk baseline."""
    inverse_error: float
    """Largest error of inverse(forward(x)), in the units of the pose weights, computed in float64 to exclude
    rounding: float32 adds up to about 1e-4 where a tracking error puts a pose far outside the training data."""
    speed_ratio: float
    """Speed of the samples relative to the clips, medians over clips; near 1 is better, also of the next four."""
    range_ratio: float
    """The same for the range, see `spread`."""
    shakiness_ratio: float
    """The same for the shakiness."""
    mean_speed_ratio: float
    """As `speed_ratio`, for the means over clips, which are sensitive to outliers."""
    mean_range_ratio: float
    """As `range_ratio`, for the means over clips."""
    seed_distance: float
    """Root mean square distance between samples of two seeds, relative to the range of clips; 0: all are identical."""
    start_speed_ratio: float
    """Speed of the samples' first half second relative to the rest; nan if all are shorter than a second."""
    drift_ratio: float
    """Range of a long sample's last third relative to its first; near 1 is better."""
    per_clip: Mapping[str, Mapping[str, float]]
    """By clip: the four log-densities in nats per frame, and `speed`, `range` and `shakiness` of the clip and, with the
    prefix `sampled_`, of its samples (mean over seeds)."""

    @property
    def clips(self) -> int:
        """Number of clips measured."""
        return len(self.per_clip)

    def as_dict(self) -> dict[str, Any]:
        """Values that `edtalk evaluate` prints, without those of each clip."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "per_clip"}


MEASURES = {"speed": speed, "range": spread, "shakiness": shakiness}
"""Statistics by which samples are compared with clips."""


@dataclass(frozen=True)
class _ClipFigures:
    frames: int
    nats: dict[str, float]
    """Log-densities of the clip."""
    inverse_error: float
    true: dict[str, float]
    """MEASURES of the clip."""
    sampled: list[dict[str, float]]
    """MEASURES of each sample."""
    seed_distance: float
    starts: list[tuple[float, float]]
    """Speeds of the first half second and of the rest of each sample that is longer than a second."""

    def as_dict(self) -> dict[str, float]:
        """Log-densities per frame, and MEASURES of the clip and of its samples (mean)."""
        densities = {name: value / self.frames for name, value in self.nats.items()}
        means = {f"sampled_{name}": float(np.mean([values[name] for values in self.sampled])) for name in MEASURES}
        return {**densities, **self.true, **means}


@torch.no_grad()
def evaluate_pose_flow(
    flow: PoseFlow,
    clips: Sequence[PoseClip],
    train: Sequence[PoseClip],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    long_frames: int = 1500,
    progress: Progress | None = None,
) -> PoseFigures:
    """Evaluate a flow on held-out clips of at least 3 frames each.

    Each clip is sampled with every seed, from its own first pose, for its own speech and length. Poses are compared in
    units of the flow's normalisation, so that all weights count equally.

    Args:
        flow: the trained flow; it is evaluated on the CPU in float32.
        clips: held-out clips.
        train: training clips, to which the baselines are fitted.
        seeds: seeds of the samples, at least two.
        long_frames: length of a further sample without speech, to measure drift.
        progress: called with the number of finished clips; cancels by raising.

    Raises:
        ArgumentError: no clips, clips that are too short, or fewer than two seeds.
    """
    if not clips or min(len(clip.pose) for clip in clips) < 3:
        raise ArgumentError("The pose flow is evaluated on clips of at least 3 frames, and at least one is needed.")
    if len(seeds) < 2:
        raise ArgumentError("At least two seeds are needed, so that samples can be compared.")
    flow = copy.deepcopy(flow).to("cpu", torch.float32).eval()
    exact = copy.deepcopy(flow).double()
    baselines = Baselines(train)
    measured: list[_ClipFigures] = []
    for clip in clips:
        measured.append(_evaluate_clip(flow, exact, baselines, clip, seeds))
        if progress is not None:
            progress(len(measured), len(clips))
    frames = sum(figures.frames for figures in measured)
    nats = {name: sum(figures.nats[name] for figures in measured) / frames for name in measured[0].nats}
    true = [list(figures.true.values()) for figures in measured]
    sampled = [list(values.values()) for figures in measured for values in figures.sampled]
    typical = np.median(sampled, axis=0) / np.median(true, axis=0)
    mean = np.mean(sampled, axis=0) / np.mean(true, axis=0)
    starts = [speeds for figures in measured for speeds in figures.starts]
    long = flow.sample(long_frames, seed=seeds[0], first=flow.mean) / flow.deviation
    third = long_frames // 3
    return PoseFigures(
        **nats,
        inverse_error=max(figures.inverse_error for figures in measured),
        speed_ratio=float(typical[0]),
        range_ratio=float(typical[1]),
        shakiness_ratio=float(typical[2]),
        mean_speed_ratio=float(mean[0]),
        mean_range_ratio=float(mean[1]),
        seed_distance=float(
            np.median([figures.seed_distance for figures in measured])
            / np.median([figures.true["range"] for figures in measured])
        ),
        start_speed_ratio=float(np.divide(*np.mean(starts, axis=0))) if starts else float("nan"),
        drift_ratio=spread(long[-third:]) / spread(long[:third]),
        per_clip={
            clip.name: {
                **{name: value / figures.frames for name, value in figures.nats.items()},
                **figures.true,
                **{
                    f"sampled_{name}": float(np.mean([values[name] for values in figures.sampled])) for name in MEASURES
                },
            }
            for clip, figures in zip(clips, measured, strict=True)
        },
    )


def _evaluate_clip(
    flow: PoseFlow, exact: PoseFlow, baselines: Baselines, clip: PoseClip, seeds: Sequence[int]
) -> _ClipFigures:
    """Evaluate one clip; `exact` is the flow in float64."""
    audio = None if clip.spectra is None else flow.hear(clip.spectra[None])
    pose = clip.pose[None]
    nats = {
        "flow": float(flow.log_prob(pose, audio).double().sum()),
        "flow_without_speech": float(flow.log_prob(pose).double().sum()),
        "gaussian": baselines.gaussian(clip.pose),
        "random_walk": baselines.random_walk(clip.pose),
    }
    exact_pose, exact_audio = pose.double(), None if audio is None else audio.double()
    restored = exact.inverse(exact(exact_pose, exact_audio)[0], exact_audio)
    own_audio = None if audio is None else audio[0]
    samples = [flow.sample(len(clip.pose), own_audio, seed=seed, first=clip.pose[0]) / flow.deviation for seed in seeds]
    true = clip.pose / flow.deviation
    return _ClipFigures(
        frames=len(clip.pose),
        nats=nats,
        inverse_error=float((restored - exact_pose).abs().max()),
        true={name: measure(true) for name, measure in MEASURES.items()},
        sampled=[{name: measure(sample) for name, measure in MEASURES.items()} for sample in samples],
        seed_distance=float((samples[0] - samples[1]).square().sum(1).mean().sqrt()),
        starts=[(speed(sample[:13]), speed(sample[12:])) for sample in samples if len(sample) > 25],
    )
