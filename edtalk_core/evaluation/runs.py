"""Runs of a protocol: each clip is measured on its own, and its result is written when it is finished.

A run is a folder: `run.json` (settings and hashes), and for each clip NAME.json (figures, reasons of missing ones,
curves), NAME.safetensors (features for figures of all clips together) and NAME.jpg (portrait, true and rendered
frames). A run that was stopped goes on with the clips that have no result.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_write
from ..checks import check_number, check_whole
from ..data.clips import Clip, ClipStore
from ..data.layouts import seeded_hash
from ..errors import EDTalkError
from ..model import EDTalk
from ..motion.motion import TRACKS
from ..progress import Progress
from ..scheduling import run_tasks
from ..version import __version__
from .backbones import FILES, Backbones
from .faces import Picture
from .measuring import observe_take
from .metrics import Frame, Metric, Need, Unmeasurable
from .paper_metrics import paper_metrics
from .paper_protocols import PaperRendering
from .time_series import Moment, curves

RUN = "run.json"
_SHOWN = (0.15, 0.5, 0.85)
"""Places of the frames in a clip's picture, in shares of its length."""


@dataclass(frozen=True)
class ProtocolSettings:
    """What the results of a run depend on."""

    protocol: str
    weights: tuple[str, ...]
    """Weight files, or "demo"."""
    data: str
    split: str = "test"
    sample: int = 0
    """Clips drawn at random; 0: all."""
    seed: int = 0
    """Seed of the draw and of sampled poses."""
    seconds: float = 0.0
    """Longest part of a clip; 0: all of it."""
    every: int = 5
    """Interval of the frames that metrics of single pictures observe; 1: all, as in the paper."""
    pose: str = "video"
    tracks: tuple[str, ...] = TRACKS
    precision: str = "fp32"
    device: str = "cpu"
    backbones: str = ""
    """Folder of networks of the paper's metrics; empty: none."""

    def __post_init__(self) -> None:
        check_whole(self.sample, "The sample", low=0, unit="clips")
        check_whole(self.every, "The interval of frames", low=1, unit="frames")
        check_number(self.seconds, "The length of a clip", low=0, unit="seconds")


@dataclass
class ClipResult:
    """What was measured on a clip."""

    name: str
    person: str
    emotion: str
    frames: int
    figures: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Metrics without a figure, and why. "all": of a clip that could not be rendered."""
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    """Frames that a figure is not of, by metric and reason."""
    classes: dict[str, str] = field(default_factory=dict)
    """Emotion that was seen, by metric."""
    curves: dict[str, list[float]] = field(default_factory=dict)


def sample_clips(clips: Sequence[Clip], count: int, seed: int) -> list[Clip]:
    """Draw clips at random, in the order of the store; all for a count of 0 or more than there are.

    A clip's place in the draw depends on seed and name alone.
    """
    if not count or count >= len(clips):
        return list(clips)
    chosen = set(sorted((clip.info.name for clip in clips), key=lambda name: seeded_hash(name, seed))[:count])
    return [clip for clip in clips if clip.info.name in chosen]


def run_protocol(
    settings: ProtocolSettings,
    out: Path,
    *,
    fetch: bool = False,
    workers: int = 1,
    scheduler: str = "",
    progress: Progress | None = None,
) -> None:
    """Measure the clips of a split that have no result in the folder `out` yet.

    `fetch`: download networks that are missing in the folder of backbones. `workers`, `scheduler`: see `run_tasks`.
    `progress` counts clips; an exception from it stops the run, which goes on from there the next time.

    Raises EDTalkError: no clips of the split, a folder with results of other settings or weights, or one that cannot be
    written; ArgumentError: a protocol that the model cannot follow.
    """
    if fetch and settings.backbones:
        backbones = Backbones(Path(settings.backbones), True, os.environ.get("EDTALK_BACKBONES_URL", ""))
        for file in FILES:
            backbones.path(file)
    store = ClipStore(settings.data, settings.split)
    PaperRendering(settings.protocol, _model(settings.weights, settings.device), store.clips, pose=settings.pose)
    chosen = sample_clips(store.clips, settings.sample, settings.seed)
    _begin(settings, out, [clip.info.name for clip in chosen])
    pending = [(settings, str(out), clip.info.name) for clip in chosen if not (out / f"{clip.info.name}.json").exists()]
    done = len(chosen) - len(pending)
    if progress is not None:
        progress(done, len(chosen))
    for _ in run_tasks(measure_clip, pending, workers=workers, scheduler=scheduler):
        done += 1
        if progress is not None:
            progress(done, len(chosen))


def _begin(settings: ProtocolSettings, out: Path, names: list[str]) -> None:
    """Write the settings of a new run. Raises EDTalkError if the folder has results of others."""
    from ..checkpoints.loading import local_files
    from ..checkpoints.reading import file_sha256

    hashes = {Path(file).name: file_sha256(Path(file)) for name in settings.weights for file in local_files(name)}
    folder = Path(settings.backbones) if settings.backbones else None
    networks = [file.name for file in FILES if folder is not None and (folder / file.name).is_file()]
    content = {
        "settings": asdict(settings),
        "clips": names,
        "sha256": hashes,
        "networks": networks,
        "version": __version__,
    }
    content = json.loads(json.dumps(content))
    path = out / RUN
    try:
        before = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        try:
            out.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as partial:
                partial.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
        except OSError as error:
            raise EDTalkError(f"{out} cannot be written: {error.strerror or error}.") from error
        return
    except (OSError, ValueError) as error:
        raise EDTalkError(f"{path} cannot be read ({error}); delete its folder to start over.") from error
    # Where it runs does not change what is measured.
    for run in (before, content):
        run["settings"] = {**run["settings"], "device": "", "backbones": ""}
    changed = sorted(name for name in content if before.get(name) != content[name] and name != "version")
    if changed:
        raise EDTalkError(
            f"{out} holds the results of other {' and '.join(changed)}: write into another folder, or delete this one."
        )


@cache
def _model(weights: tuple[str, ...], device: str) -> EDTalk:
    from ..checkpoints.loading import load_model

    return load_model(*weights, device=device)


@cache
def _metrics(folder: str, every: int) -> tuple[Metric, ...]:
    return tuple(paper_metrics(Backbones(Path(folder) if folder else None), every))


def measure_clip(task: tuple[ProtocolSettings, str, str]) -> None:
    """Measure a clip, given by settings, folder of the run and name, and write its result."""
    settings, out, name = task
    clips = ClipStore(settings.data, settings.split).clips
    clip = next(clip for clip in clips if clip.info.name == name)
    model = _model(settings.weights, settings.device)
    rendering = PaperRendering(
        settings.protocol,
        model,
        clips,
        pose=settings.pose,
        tracks=settings.tracks,
        seconds=settings.seconds,
        precision=settings.precision,
        seed=settings.seed,
    )
    metrics = _metrics(settings.backbones, settings.every)
    result, features, picture = measure(rendering, clip, metrics)
    _write(Path(out), result, features, picture)


def measure(
    rendering: PaperRendering, clip: Clip, metrics: Sequence[Metric]
) -> tuple[ClipResult, dict[str, np.ndarray], Picture | None]:
    """Measure a clip: its result, features (N,D) of pooled metrics by NAME.true and NAME.rendered, and its picture."""
    result = ClipResult(clip.info.name, clip.info.person, clip.info.emotion, 0)
    features: dict[str, np.ndarray] = {}
    if rendering.protocol.portrait in ("other",):
        metrics = [metric for metric in metrics if not metric.same_person]
    try:
        (take,) = rendering.takes(clip)
    except Unmeasurable as error:
        result.missing["all"] = str(error)
        return result, features, None
    if take.sound is None:
        silent = [metric for metric in metrics if metric.needs & (Need.SOUND | Need.WAVEFORM)]
        result.missing |= {metric.name: "no sound" for metric in silent}
        metrics = [metric for metric in metrics if metric not in silent]
    shown: dict[int, Frame] = {}
    wanted = {take.frames[int(share * (len(take.frames) - 1))] for share in _SHOWN}

    def watch(frame: Frame) -> None:
        result.frames += 1
        if frame.index in wanted:
            shown[frame.index] = frame

    observations, missing = observe_take(take, metrics, rendering, watch)
    for metric in metrics:
        values, reasons = observations[metric.name], missing[metric.name]
        if reasons:
            result.left_out[metric.name] = dict(reasons)
        try:
            _summarise(metric, values, reasons, result, features)
        except Unmeasurable as error:
            result.missing[metric.name] = str(error)
    moments = next((values for name, values in observations.items() if values and isinstance(values[0], Moment)), [])
    if moments:
        result.curves = curves(moments)
    return result, features, _picture(take.portrait, [shown[index] for index in sorted(shown)])


def _summarise(
    metric: Metric, values: list[Any], reasons: Counter[str], result: ClipResult, features: dict[str, np.ndarray]
) -> None:
    if not values:
        raise Unmeasurable(next(iter(reasons), "no frame is observed"))
    if metric.pool is not None:
        for kind, rows in zip(("true", "rendered"), zip(*values, strict=True), strict=True):
            features[f"{metric.name}.{kind}"] = np.stack(rows)
        return
    figure = metric.summarise(values)
    if not np.isfinite(figure):
        raise Unmeasurable("not a finite number")
    result.figures[metric.name] = round(figure, 6)
    if metric.classify is not None:
        result.classes[metric.name] = metric.classify(values)


def _picture(portrait: Picture | None, frames: Sequence[Frame]) -> Picture | None:
    """Portrait, then pairs of a true and a rendered frame one above the other."""
    if portrait is None or not frames:
        return None
    columns = [np.concatenate([portrait, np.full_like(portrait, 127)])]
    return np.concatenate([*columns, *(np.concatenate([f.true, f.rendered]) for f in frames)], axis=1)


def _write(out: Path, result: ClipResult, features: dict[str, np.ndarray], picture: Picture | None) -> None:
    from safetensors.numpy import save_file

    from ..media.picture import write_picture

    if picture is not None:
        write_picture(out / f"{result.name}.jpg", picture)
    if features:
        with atomic_write(out / f"{result.name}.safetensors") as partial:
            save_file(features, partial)
    # Last, for it says that the clip is finished.
    with atomic_write(out / f"{result.name}.json") as partial:
        partial.write_text(json.dumps(asdict(result), ensure_ascii=False, allow_nan=False), "utf-8")
