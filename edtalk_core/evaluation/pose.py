"""How well a pose flow knows heads it has not seen, and whether what it samples moves as real heads do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ..data.pose_clips import PoseClip
from ..errors import ArgumentError
from ..networks.pose_flow import PoseFlow


class Baselines:
    """What a density of head motion must beat, fitted on the training clips: a Gaussian and a random walk.

    The Gaussian takes every pose by itself; the random walk takes the first pose from that Gaussian and every movement
    from frame to frame from another. Both have full covariances.
    """

    def __init__(self, clips: Sequence[PoseClip]) -> None:
        self.poses = _gaussian(torch.cat([clip.pose.double() for clip in clips]))
        self.movements = _gaussian(torch.cat([clip.pose.double().diff(dim=0) for clip in clips]))

    def gaussian(self, pose: Tensor) -> float:
        """Log-density of a clip (T,pose) in nats, frames independent."""
        return float(self.poses.log_prob(pose.double()).sum())

    def random_walk(self, pose: Tensor) -> float:
        """Log-density of a clip (T,pose) in nats, movements independent."""
        pose = pose.double()
        return float(self.poses.log_prob(pose[0]) + self.movements.log_prob(pose.diff(dim=0)).sum())


def _gaussian(values: Tensor) -> MultivariateNormal:
    return MultivariateNormal(values.mean(0), torch.cov(values.T))


def speed(pose: Tensor) -> float:
    """Mean distance between the poses (T,D) of neighbouring frames."""
    return float(pose.diff(dim=0).norm(dim=1).mean())


def spread(pose: Tensor) -> float:
    """How far the head ranges: root mean square distance of the poses (T,D) from their mean."""
    return float((pose - pose.mean(0)).square().sum(1).mean().sqrt())


def shakiness(pose: Tensor) -> float:
    """Mean change of movement from frame to frame, relative to the mean movement: about 1.7 for mere trembling."""
    moves = pose.diff(dim=0)
    return float(moves.diff(dim=0).norm(dim=1).mean() / moves.norm(dim=1).mean().clamp(min=1e-12))


@torch.no_grad()
def evaluate_pose_flow(
    flow: PoseFlow,
    clips: Sequence[PoseClip],
    train: Sequence[PoseClip],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    long_frames: int = 1500,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, float]:
    """Figures of a flow on clips it was not trained on (of at least 3 frames each).

    Each clip is sampled for every seed, from its own first pose, for its own speech and length. Poses are compared in
    units of the flow's normalisation, so that every weight counts alike.

    Args:
        flow: the trained flow; it is evaluated on the CPU in float32.
        clips: held-out clips.
        train: the clips it was trained on, on which the baselines are fitted.
        seeds: of the samples, at least two.
        long_frames: length of one further sample without speech, which shows whether the head stays where it belongs.
        progress: called with the number of clips that are done; cancels by raising.

    Returns:
        - flow, flow_without_speech, gaussian, random_walk: log-density in nats per frame, the higher the better;
        - inverse_error: largest error of inverse(forward(x)), in the units of the pose weights, computed in float64, so
          that it is the transform's own: rounding in float32 adds up to some 1e-4 where a tracker slipped and a pose
          lies far outside of what was learned;
        - speed_ratio, range_ratio, shakiness_ratio: of the samples to the clips, medians over clips;
        - mean_speed_ratio, mean_range_ratio: the same of the means, which single wild clips decide;
        - seed_distance: root mean square distance between samples of two seeds, relative to the range of clips;
        - start_speed_ratio: speed of the samples' first half second to that of the rest;
        - drift_ratio: range of the long sample's last third to that of its first.

    Raises:
        ArgumentError: no clips, clips that are too short, or fewer than two seeds.
    """
    if not clips or min(len(clip.pose) for clip in clips) < 3:
        raise ArgumentError("The pose flow is evaluated on clips of at least 3 frames; give some.")
    if len(seeds) < 2:
        raise ArgumentError("Give at least two seeds, so that samples can be compared.")
    flow = copy.deepcopy(flow).to("cpu", torch.float32).eval()
    exact = copy.deepcopy(flow).double()
    baselines = Baselines(train)
    nats = {"flow": 0.0, "flow_without_speech": 0.0, "gaussian": 0.0, "random_walk": 0.0}
    frames, inverse_error = 0, 0.0
    real: list[tuple[float, ...]] = []
    sampled: list[tuple[float, ...]] = []
    distances, starts = [], []
    measures = (speed, spread, shakiness)
    for done, clip in enumerate(clips):
        audio = None if clip.spectra is None else flow.hear(clip.spectra[None])
        pose = clip.pose[None]
        nats["flow"] += float(flow.log_prob(pose, audio).double().sum())
        nats["flow_without_speech"] += float(flow.log_prob(pose).double().sum())
        nats["gaussian"] += baselines.gaussian(clip.pose)
        nats["random_walk"] += baselines.random_walk(clip.pose)
        frames += len(clip.pose)
        x, heard_exactly = pose.double(), None if audio is None else audio.double()
        restored = exact.inverse(exact(x, heard_exactly)[0], heard_exactly)
        inverse_error = max(inverse_error, float((restored - x).abs().max()))
        heard = None if audio is None else audio[0]
        tracks = [flow.sample(len(clip.pose), heard, seed=seed, first=clip.pose[0]) / flow.deviation for seed in seeds]
        real.append(tuple(measure(clip.pose / flow.deviation) for measure in measures))
        sampled += [tuple(measure(track) for measure in measures) for track in tracks]
        distances.append(float((tracks[0] - tracks[1]).square().sum(1).mean().sqrt()))
        starts += [(speed(track[:13]), speed(track[12:])) for track in tracks if len(track) > 25]
        if progress is not None:
            progress(done + 1, len(clips))
    typical = np.median(sampled, axis=0) / np.median(real, axis=0)
    mean = np.mean(sampled, axis=0) / np.mean(real, axis=0)
    long = flow.sample(long_frames, seed=seeds[0], first=flow.mean) / flow.deviation
    third = long_frames // 3
    return {
        **{name: value / frames for name, value in nats.items()},
        "inverse_error": inverse_error,
        "speed_ratio": float(typical[0]),
        "range_ratio": float(typical[1]),
        "shakiness_ratio": float(typical[2]),
        "mean_speed_ratio": float(mean[0]),
        "mean_range_ratio": float(mean[1]),
        "seed_distance": float(np.median(distances) / np.median([measured[1] for measured in real])),
        "start_speed_ratio": float(np.divide(*np.mean(starts, axis=0))) if starts else float("nan"),
        "drift_ratio": spread(long[-third:]) / spread(long[:third]),
    }
