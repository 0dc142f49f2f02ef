"""Measures metrics on the takes of a protocol: each frame is rendered once, for all metrics that need it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import torch

from ..progress import Progress
from .metrics import METRICS, SUMMARIES, Frame, Metric, Need, Unmeasurable
from .protocols import Protocol, Take


@dataclass(frozen=True)
class Figures:
    """Results of one protocol."""

    per_clip: Mapping[str, Mapping[str, float]]
    """Figures by clip and metric, without those that cannot be measured on the clip."""
    summaries: Mapping[str, float] = field(default_factory=dict)
    """Comparisons of the means, by name."""
    networks: Sequence[str] = ()
    """Networks whose features metrics use."""

    @property
    def clips(self) -> int:
        """Number of clips measured."""
        return len(self.per_clip)

    @property
    def means(self) -> dict[str, float]:
        """Means over the clips that have the figure, by metric, in the order of the table."""
        return {name: float(np.mean(values)) for name, values in self._columns().items()}

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips that have the figure, by metric."""
        return {name: len(values) for name, values in self._columns().items()}

    def as_dict(self) -> dict[str, Any]:
        """Values that `edtalk evaluate` prints: summaries and means by name, `backbone`, `clips` and `per_clip`."""
        backbone = {"backbone": "; ".join(self.networks)} if self.networks and self.per_clip else {}
        per_clip = {name: dict(figures) for name, figures in self.per_clip.items()}
        return {**self.summaries, **self.means, **backbone, "clips": self.clips, "per_clip": per_clip}

    def _columns(self) -> dict[str, list[float]]:
        columns: dict[str, list[float]] = {}
        for figures in self.per_clip.values():
            for name, value in figures.items():
                columns.setdefault(name, []).append(value)
        return columns


@torch.no_grad()
def measure(protocol: Protocol, metrics: Sequence[Metric] = METRICS, *, progress: Progress | None = None) -> Figures:
    """Measure the metrics of a protocol on its clips, and summarise their means.

    Clips without a frame that a metric observes are skipped. `progress` counts clips. Raises FaceError when landmarks
    are needed and a clip's first frame shows no face.
    """
    metrics = [metric for metric in metrics if metric.protocol == protocol.name]
    per_clip: dict[str, dict[str, float]] = {}
    for done, clip in enumerate(protocol.clips):
        figures: dict[str, float] = {}
        for take in protocol.takes(clip):
            figures |= measure_take(take, [metric for metric in metrics if metric.take == take.name], protocol)
        if figures:
            # In the order of the table, independent of the take.
            per_clip[clip.info.name] = {m.name: figures[m.name] for m in metrics if m.name in figures}
        if progress is not None:
            progress(done + 1, len(protocol.clips))
    means = Figures(per_clip).means
    summaries = {
        summary.name: summary.compute(means)
        for summary in SUMMARIES
        if summary.protocol == protocol.name and means.keys() >= set(summary.metrics)
    }
    networks = dict.fromkeys(metric.network for metric in metrics if metric.network)
    return Figures(per_clip, summaries, tuple(networks))


def measure_take(take: Take, metrics: Sequence[Metric], protocol: Protocol) -> dict[str, float]:
    """Measure one take: figures by metric, without those whose inputs the take lacks."""
    if take.sound is None:
        metrics = [metric for metric in metrics if Need.SOUND not in metric.needs]
    observations, _ = observe_take(take, metrics, protocol)
    return {metric.name: metric.summarise(values) for metric in metrics if (values := observations[metric.name])}


def observe_take(
    take: Take,
    metrics: Sequence[Metric],
    protocol: Protocol,
    watch: Callable[[Frame], None] | None = None,
) -> tuple[dict[str, list[Any]], dict[str, Counter[str]]]:
    """Observe the frames of a take: observations by metric, and how many frames lack one, by metric and reason.

    `watch` is called with each rendered frame.
    """
    observations: dict[str, list[Any]] = {metric.name: [] for metric in metrics}
    missing: dict[str, Counter[str]] = {metric.name: Counter() for metric in metrics}
    for frame in render_frames(take, metrics, protocol):
        if watch is not None:
            watch(frame)
        for metric in metrics:
            if frame.index % metric.every == 0:
                try:
                    observations[metric.name].append(metric.observe(frame))
                except Unmeasurable as error:
                    missing[metric.name][str(error)] += 1
    return observations, missing


def render_frames(take: Take, metrics: Sequence[Metric], protocol: Protocol) -> Iterator[Frame]:
    """Render the frames of a take that any of the metrics observes, with the inputs that these metrics need.

    Frames that no metric observes are not rendered. The face is followed through the frames whose landmarks are needed
    alone, so that image metrics do not affect landmark metrics.
    """
    indexes = [index for index in take.frames if any(index % metric.every == 0 for metric in metrics)]
    for index, rendered in zip(indexes, take.render(indexes), strict=True):
        details: dict[str, Any] = {}
        needs = reduce(or_, (metric.needs for metric in metrics if index % metric.every == 0), Need.FRAMES)
        if Need.LANDMARKS in needs:
            mesh = take.face.mesh(index)
            details["true_landmarks"], details["true_presence"] = take.face.landmarks(index), mesh.presence
            details["rendered_landmarks"], details["rendered_presence"] = protocol.reader.read(rendered, mesh)
        if Need.SOUND in needs and take.sound is not None:
            details["mel"] = take.sound.mel_windows([index])[0]
        if Need.WAVEFORM in needs and take.sound is not None and take.sound.waveform is not None:
            details["waveform"] = take.sound.waveform
        if take.portrait is not None:
            details["portrait"] = take.portrait
        yield Frame(index, take.clip.frame(index, protocol.size), rendered, label=take.clip.info.emotion, **details)
