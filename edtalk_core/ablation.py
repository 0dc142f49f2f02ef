"""Ablations of Tables 4 and 5: models that differ in one thing, trained by one recipe and measured by one protocol.

A recipe of four stages (autoencoder, mouth-pose, expression, audio-to-lip) is the scale. Each row changes settings of
some stages; stages with the same settings and the same start are trained once and shared. What is finished is not done
again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ArgumentError
from .evaluation.paper_metrics import metric_table
from .evaluation.results import RunResults, read_run
from .evaluation.runs import ProtocolSettings, run_protocol
from .evaluation.text_files import write_text
from .motion.motion import TRACKS
from .progress import StageProgress
from .scheduling import run_tasks
from .training.checkpoint import checkpoint_path, latest_checkpoint
from .training.image_losses import ImageLossWeights
from .training.loop import train
from .training.recipes import read_recipe
from .training.settings import RunSettings, TrainingSettings
from .training.stages import stage_settings
from .training.typed_settings import merged

STAGES = ("autoencoder", "mouth-pose", "expression", "audio-to-lip")
FULL = "full"
COLUMNS = (
    "psnr",
    "ssim",
    "m_lmd_face_mesh",
    "f_lmd_face_mesh",
    "frechet_face_mesh",
    "fid",
    "mouth_correlation",
    "sync_conf",
    "acc_emo_face_model",
    "acc_emo_face_api",
)
"""Metrics of the tables; those that were not measured are left out."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str
    title: str
    tables: tuple[str, ...]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings by stage; those of a new model are of the autoencoder."""
    free_banks: bool = False
    """As wide as the latent and free, so that the heads, which are linear, give any direction: no bank."""
    tracks: tuple[str, ...] = TRACKS
    """Tracks that move when it is measured."""
    paper: Mapping[str, float] = field(default_factory=dict)
    """Figures of the paper that mean the same."""


def _paper(psnr: float, ssim: float, fid: float | None, sync: float) -> dict[str, float]:
    figures = {"psnr": psnr, "ssim": ssim, "sync_conf": sync}
    return figures if fid is None else {**figures, "fid": fid}


_NO_IMAGE_LOSS = dict.fromkeys(asdict(ImageLossWeights()), 0.0)


def _bank(track: str, bases: int, *figures: float) -> Row:
    name = f"{'mouth' if track == 'lip' else track}-{bases}"
    title = f"{'mouth' if track == 'lip' else 'expression'} bank of {bases}"
    return Row(
        name, title, ("5",), {"autoencoder": {track: bases}}, paper=_paper(figures[0], figures[1], None, figures[2])
    )


ROWS = (
    Row(
        "no-feature",
        "w/o L_fea",
        ("4",),
        {"mouth-pose": {"losses": {"feature": 0.0}}},
        paper=_paper(21.134, 0.713, 28.053, 5.601),
    ),
    Row(
        "no-self",
        "w/o L_self",
        ("4",),
        {"mouth-pose": {"losses": {"self_reconstruction": _NO_IMAGE_LOSS}}},
        paper=_paper(20.913, 0.707, 29.314, 5.030),
    ),
    Row(
        "no-reconstruction",
        "w/o L_rec (mouth)",
        ("4",),
        {"audio-to-lip": {"losses": {"image": 0.0}}},
        paper=_paper(21.955, 0.744, 18.528, 5.447),
    ),
    Row(
        "no-sync",
        "w/o L_sync (mouth)",
        ("4",),
        {"audio-to-lip": {"losses": {"sync": 0.0}}},
        paper=_paper(21.524, 0.728, 17.844, 4.007),
    ),
    Row(
        "no-orthogonality",
        "w/o Orthogonal",
        ("4",),
        {"autoencoder": {"orthogonal": False}},
        paper=_paper(21.429, 0.711, 17.820, 4.398),
    ),
    Row("no-bank", "w/o Bank", ("4",), free_banks=True, paper=_paper(20.302, 0.660, 26.842, 2.316)),
    Row("no-eem", "w/o EEM", ("4",), {"expression": {"eem": False}}, paper=_paper(20.731, 0.673, 27.135, 7.326)),
    Row("only-lip", "only lip", ("4",), tracks=("lip",), paper=_paper(19.799, 0.639, 31.918, 8.291)),
    Row("lip-pose", "lip+pose", ("4",), tracks=("lip", "pose"), paper=_paper(21.519, 0.695, 19.571, 8.474)),
    Row(FULL, "Full Model (mouth 20, expression 10)", ("4", "5"), paper=_paper(21.628, 0.722, 17.698, 8.115)),
    _bank("lip", 5, 20.39, 0.69, 6.35),
    _bank("lip", 10, 21.45, 0.72, 7.89),
    _bank("lip", 40, 20.79, 0.71, 7.62),
    _bank("expression", 5, 21.54, 0.70, 8.27),
    _bank("expression", 20, 21.37, 0.72, 8.23),
    _bank("expression", 40, 21.41, 0.71, 8.16),
)
"""The rows of Tables 4 and 5, with the paper's figures on MEAD."""


@dataclass(frozen=True)
class Ablation:
    """What to train and measure."""

    recipe: Path
    """Recipe of STAGES, which sets the scale."""
    data: Path
    out: Path
    rows: tuple[str, ...]
    """Names of ROWS."""
    seeds: int = 1
    """Trainings of each row, with seeds 0, 1, ..."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Settings over those of the recipe, of every stage."""
    protocol: str = "mead-a"
    split: str = "test"
    sample: int = 0
    seconds: float = 0.0
    backbones: str = ""


def chosen_rows(names: Sequence[str] = (), tables: Sequence[str] = ("4", "5")) -> list[Row]:
    """The rows with these names, or all of these tables. Raises ArgumentError for an unknown name."""
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise ArgumentError(f"There is no row {unknown[0]!r}; choose from {', '.join(known)}.")
    if names:
        return [known[name] for name in names]
    return [row for row in ROWS if set(row.tables) & set(tables)]


def row_stages(ablation: Ablation, row: Row, seed: int) -> list[RunSettings]:
    """Settings of a row's stages, each starting from the one before, in folders named by what they depend on.

    Raises ArgumentError for a recipe that has not exactly the STAGES, in this order, or settings that a stage lacks.
    """
    recipe = read_recipe(ablation.recipe, ablation.data, ablation.out)
    names = [settings.stage for settings in recipe.stages.values()]
    if tuple(names) != STAGES:
        raise ArgumentError(
            f"An ablation needs a recipe of the stages {', '.join(STAGES)}; {ablation.recipe} has {', '.join(names)}."
        )
    stages: list[RunSettings] = []
    key, init = "", ""
    for file, base in recipe.stages.items():
        changes: dict[str, Any] = dict(row.changes.get(base.stage, {}))
        if row.free_banks and base.stage == STAGES[0]:
            assert isinstance(base, TrainingSettings)
            style = ablation.values.get("style", base.style)
            changes |= {"orthogonal": False, "lip": style, "pose": style, "expression": style}
        run = {"data": str(ablation.data), "seed": seed}
        values = merged([dict(ablation.values), changes, run])
        # The folder is named by settings and start alone, wherever it is.
        plain = stage_settings(base.stage, ablation.recipe / f"{file}.yaml", {**values, "out": ""})
        text = json.dumps([key, {**asdict(plain), "data": "", "init": ""}], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        out = ablation.out / "stages" / f"{base.stage}-{key}"
        stages.append(replace(plain, out=str(out), init=init))
        init = str(checkpoint_path(out, plain.steps))
    return stages


def run_ablation(
    ablation: Ablation, *, workers: int = 1, scheduler: str = "", progress: StageProgress | None = None
) -> Path:
    """Train and measure the rows, and write `tables.md` and `tables.json` into the folder; the path of the first.

    Stages and clips that are finished are not done again. `workers`, `scheduler`: see `run_tasks`. `progress` counts
    the trainings of each stage, then the clips of each row.

    Raises ArgumentError as `row_stages`, and the errors of `train` and `run_protocol`.
    """
    rows = chosen_rows(ablation.rows)
    plans = {(row.name, seed): row_stages(ablation, row, seed) for row in rows for seed in range(ablation.seeds)}
    for number, stage in enumerate(STAGES):
        tasks = list({plan[number].out: plan[number] for plan in plans.values()}.values())
        for done, _ in enumerate(run_tasks(train_stage, tasks, workers=workers, scheduler=scheduler), 1):
            if progress is not None:
                progress(stage, done, len(tasks))
    results: dict[str, list[RunResults]] = {}
    for (name, seed), plan in plans.items():
        row = next(row for row in rows if row.name == name)
        folder = ablation.out / "results" / f"{name}-{seed}"
        settings = ProtocolSettings(
            ablation.protocol,
            (str(checkpoint_path(Path(plan[-1].out), plan[-1].steps)),),
            str(ablation.data),
            ablation.split,
            sample=ablation.sample,
            seconds=ablation.seconds,
            tracks=row.tracks,
            backbones=ablation.backbones,
        )

        def report(done: int, total: int | None, name: str = name) -> None:
            if progress is not None:
                progress(name, done, total)

        run_protocol(settings, folder, workers=workers, scheduler=scheduler, progress=report)
        results.setdefault(name, []).append(read_run(folder))
    return write_tables(ablation, rows, results)


def train_stage(settings: RunSettings) -> str:
    """Train a stage unless it is finished; return the checkpoint's path."""
    checkpoint = checkpoint_path(Path(settings.out), settings.steps)
    if latest_checkpoint(Path(settings.out)) != checkpoint:
        train(settings)
    return str(checkpoint)


def write_tables(ablation: Ablation, rows: Sequence[Row], results: Mapping[str, Sequence[RunResults]]) -> Path:
    """Write the tables as Markdown and JSON; the path of the first."""
    means = {
        row.name: {
            metric: [run.figures[metric].mean for run in results[row.name] if metric in run.figures]
            for metric in COLUMNS
        }
        for row in rows
    }
    columns = [metric for metric in COLUMNS if any(figures[metric] for figures in means.values())]
    titles = [metric_table()[metric].title for metric in columns]
    lines = [
        f"Protocol {ablation.protocol}, split {ablation.split}, {ablation.seeds} training"
        f"{'s' if ablation.seeds != 1 else ''} of each row. Mean over the trainings; ± is half the range between them. "
        "In brackets: the paper.",
    ]
    for table in ("4", "5"):
        chosen = [row for row in rows if table in row.tables]
        if not chosen:
            continue
        lines += ["", f"## Table {table}", "", f"| | {' | '.join(titles)} |", f"|---|{'---|' * len(columns)}"]
        for row in chosen:
            cells = [_cell(means[row.name][metric], row.paper.get(metric)) for metric in columns]
            lines.append(f"| {row.title} | {' | '.join(cells)} |")
    lines += ["", "## Noise", "", noise_sentence(means, columns), ""]
    content = {
        "ablation": {**asdict(ablation), **{name: str(getattr(ablation, name)) for name in ("recipe", "data", "out")}},
        "figures": means,
        "clips": {name: [run.as_dict()["clips"] for run in runs] for name, runs in results.items()},
        "reasons": {name: [dict(run.reasons) for run in runs] for name, runs in results.items()},
        "paper": {row.name: dict(row.paper) for row in rows},
    }
    write_text(ablation.out / "tables.json", json.dumps(content, indent=1, ensure_ascii=False))
    path = ablation.out / "tables.md"
    write_text(path, "\n".join(lines))
    return path


def _cell(values: Sequence[float], paper: float | None) -> str:
    if not values:
        return "none"
    spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
    beside = f" ({paper:g})" if paper is not None else ""
    return f"{np.mean(values):.4g}{spread}{beside}"


def noise_sentence(means: Mapping[str, Mapping[str, Sequence[float]]], columns: Sequence[str]) -> str:
    """How far trainings of the same row differ, beside how far rows differ, in words."""
    parts = []
    for metric in columns:
        within = [max(f[metric]) - min(f[metric]) for f in means.values() if len(f[metric]) > 1]
        between = [float(np.mean(f[metric])) for f in means.values() if f[metric]]
        if within and len(between) > 1:
            title = metric_table()[metric].title
            parts.append(f"{title} {np.mean(within):.2g} of {max(between) - min(between):.2g}")
    if not parts:
        return "One training a row: the noise between seeds is not known."
    return (
        "Mean difference of two trainings that differ in the seed alone, of the range between the rows: "
        f"{'; '.join(parts)}. Rows that differ by no more are not distinguished."
    )
