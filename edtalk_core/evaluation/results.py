"""Results of a protocol's run: figures of all clips, with what they are of and what is missing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EDTalkError
from .paper_metrics import metric_table
from .runs import RUN, ClipResult

RESAMPLES = 1000
"""Bootstrap samples of a confidence interval."""


@dataclass(frozen=True)
class FigureOfClips:
    """A figure of all clips together."""

    mean: float
    """Mean over the clips that have it, or the pooled figure."""
    low: float
    """Lower end of the 95 % confidence interval of the mean, by bootstrap over clips; nan for a pooled figure."""
    high: float
    clips: int
    """Clips that it is of."""


@dataclass(frozen=True)
class RunResults:
    """A finished or unfinished run."""

    folder: Path
    run: dict[str, Any]
    """Content of run.json: settings, clips, sha256, networks, version."""
    clips: list[ClipResult]
    """Results of the clips that have one, in the order of the run."""
    figures: dict[str, FigureOfClips] = field(default_factory=dict)
    """By metric, in the order of tables."""

    @property
    def reasons(self) -> Counter[str]:
        """Number of clips without any figure, by reason; `not measured yet` counts those without a result."""
        counts = Counter(clip.missing["all"] for clip in self.clips if "all" in clip.missing)
        if pending := len(self.run["clips"]) - len(self.clips):
            counts["not measured yet"] = pending
        return counts

    @property
    def missing(self) -> dict[str, Counter[str]]:
        """Number of measured clips without a figure, by metric and reason."""
        table: dict[str, Counter[str]] = {}
        for clip in self.clips:
            for metric, reason in clip.missing.items():
                if metric != "all":
                    table.setdefault(metric, Counter())[reason] += 1
        return table

    @property
    def left_out(self) -> dict[str, Counter[str]]:
        """Number of frames that the clips' figures are not of, by metric and reason."""
        table: dict[str, Counter[str]] = {}
        for clip in self.clips:
            for metric, reasons in clip.left_out.items():
                table.setdefault(metric, Counter()).update(reasons)
        return table

    def confusion(self, metric: str) -> dict[str, Counter[str]]:
        """Number of clips by label and emotion that was seen."""
        table: dict[str, Counter[str]] = {}
        for clip in self.clips:
            if metric in clip.classes:
                table.setdefault(clip.emotion, Counter())[clip.classes[metric]] += 1
        return table

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON: settings, figures with confidence intervals, what is missing, and figures of each clip."""
        return {
            **{name: self.run[name] for name in ("settings", "sha256", "networks", "version")},
            "chosen": len(self.run["clips"]),
            "clips": sum("all" not in clip.missing for clip in self.clips),
            "figures": {
                name: {"mean": f.mean, "low": _number(f.low), "high": _number(f.high), "clips": f.clips}
                for name, f in self.figures.items()
            },
            "reasons": dict(self.reasons),
            "missing": {metric: dict(reasons) for metric, reasons in self.missing.items()},
            "frames_left_out": {metric: dict(reasons) for metric, reasons in self.left_out.items()},
            "per_clip": {clip.name: clip.figures for clip in self.clips},
        }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def read_run(folder: Path) -> RunResults:
    """Read the results in a run's folder. Raises EDTalkError when there is no run, or a file is damaged."""
    try:
        run = json.loads((folder / RUN).read_text("utf-8"))
        clips = []
        for name in run["clips"]:
            path = folder / f"{name}.json"
            if path.is_file():
                clips.append(ClipResult(**json.loads(path.read_text("utf-8"))))
        results = RunResults(folder, run, clips)
        results.figures.update(_figures(results))
    except FileNotFoundError as error:
        raise EDTalkError(
            f"{folder} holds no results of a protocol: make some with edtalk evaluate --protocol NAME --out FOLDER."
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EDTalkError(
            f"The results in {folder} cannot be read ({error}); delete them and measure again."
        ) from error
    return results


def _figures(results: RunResults) -> dict[str, FigureOfClips]:
    figures: dict[str, FigureOfClips] = {}
    for metric in metric_table().values():
        if metric.pool is not None:
            features = _features(results, metric.name)
            if features is not None:
                value = metric.pool(*features[:2])
                figures[metric.name] = FigureOfClips(value, float("nan"), float("nan"), features[2])
            continue
        values = np.array([clip.figures[metric.name] for clip in results.clips if metric.name in clip.figures])
        if len(values):
            figures[metric.name] = FigureOfClips(float(values.mean()), *confidence_interval(values), len(values))
    return figures


def confidence_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % confidence interval of the mean of values (N,), by bootstrap with a fixed seed; nan for a single value."""
    if len(values) < 2:
        return float("nan"), float("nan")
    rows = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[rows].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _features(results: RunResults, metric: str) -> tuple[NDArray[np.float32], NDArray[np.float32], int] | None:
    """Features (N,D) of the true and of the rendered frames of all clips, and the number of clips; None: too few."""
    from safetensors import safe_open

    true, rendered = [], []
    for clip in results.clips:
        path = results.folder / f"{clip.name}.safetensors"
        if not path.is_file():
            continue
        with safe_open(path, framework="np") as file:
            if f"{metric}.true" in file.keys():  # noqa: SIM118 -- not a mapping
                true.append(file.get_tensor(f"{metric}.true"))
                rendered.append(file.get_tensor(f"{metric}.rendered"))
    if sum(map(len, true)) < 2:
        return None
    return np.concatenate(true), np.concatenate(rendered), len(true)
