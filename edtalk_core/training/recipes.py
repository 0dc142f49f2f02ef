"""Recipes: folders of YAML files, one per stage, from clips to a bundle.

The files are run in the order of their names. Each has its `stage` and the settings that differ from the stage's
defaults; data, output folder and initial weights are set by the run: a stage starts from the last checkpoint of the
previous one. A last file with `stage: bundle` has the settings of the bundle.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..data.clips import ClipStore
from ..data.face_motion import FaceMotion, emotion_presets
from ..data.presets import read_presets
from ..errors import ArgumentError, EDTalkError
from ..precision import PRECISIONS
from ..progress import StageProgress
from .checkpoint import checkpoint_path, latest_checkpoint
from .loop import train
from .settings import RunSettings, read_yaml
from .stages import stage_settings
from .typed_settings import Positive, read_settings

logger = logging.getLogger("edtalk")

RUN_SETTINGS = ("data", "out", "init")
"""Settings that the run sets, not a recipe's files."""


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """Settings for exporting the last stage's checkpoint as a bundle."""

    stage: Literal["bundle"] = "bundle"
    """bundle."""
    file: str
    """Name of the bundle in the run's folder."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision in which the weights are stored."""
    presets: Literal["none", "read", "measured", "face-model"] = "none"
    """Expression presets: none, read off the clips by the model, measured by their landmarks, or composed of the 3D
    face's expressions, for a model trained with them (`expression_measure: face-model`), whose names its bases get."""
    strength: Positive = 1.0
    """Factor on the presets' weights, measured or composed."""


@dataclass(frozen=True)
class Recipe:
    """Stages of a run in order, and the settings of its bundle."""

    stages: dict[str, RunSettings]
    """Settings by the name of their file, without its ending; each has a folder of that name."""
    bundle: BundleSettings | None
    out: Path


def read_recipe(folder: Path, data: Path, out: Path, values: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe for a run on the clips in `data` that writes into `out`.

    Args:
        folder: the recipe's files.
        data: prepared clips.
        out: parent of a folder for each stage, and of the bundle.
        values: settings that override those of every stage; `init` are the initial weights of the first stage.

    Raises:
        ArgumentError: a folder without files, a file that cannot be read, settings that a stage does not have.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ArgumentError(f"There is no recipe in {folder}: expected a folder of .yaml files, one a stage.")
    values = dict(values or {})
    init = values.pop("init", "")
    stages: dict[str, RunSettings] = {}
    bundle = None
    for file in files:
        content = read_yaml(file)
        for name in RUN_SETTINGS:
            if name in content:
                raise ArgumentError(f"{file} sets {name}, which a recipe leaves to the run: take it out.")
        if bundle is not None:
            raise ArgumentError(f"{file} comes after the bundle; nothing may.")
        try:
            if content.get("stage") == "bundle":
                bundle = read_settings(BundleSettings, content)
            else:
                run = {"data": str(data), "out": str(out / file.stem), "init": init}
                settings = stage_settings(content.get("stage", ""), file, {**values, **run})
                init = str(checkpoint_path(Path(settings.out), settings.steps))
                stages[file.stem] = settings
        except ArgumentError as error:
            raise ArgumentError(f"{file}: {error}") from error
    if not stages:
        raise ArgumentError(f"The recipe in {folder} has no stage to train: add a file with the name of one.")
    if bundle is not None and Path(bundle.file).name != bundle.file:
        raise ArgumentError(f"The bundle of a recipe is a name in the folder of the run, not {bundle.file!r}.")
    return Recipe(stages, bundle, out)


def run_recipe(recipe: Recipe, progress: StageProgress | None = None) -> Path:
    """Run the stages of a recipe that are not finished, and return the bundle or, without one, the last checkpoint.

    An interrupted run is resumed. Under `accelerate launch` all processes run it together.
    `progress(file, step, steps)` is called for each stage; an exception from it ends the run after a checkpoint.

    Raises:
        EDTalkError: a stage has begun with other settings; else as `train`, `read_presets` and `convert`.
    """
    from accelerate import PartialState

    state = PartialState()
    for settings in recipe.stages.values():
        _check_unchanged(settings)
    state.wait_for_everyone()
    checkpoint = Path()
    for name, settings in recipe.stages.items():
        checkpoint = checkpoint_path(Path(settings.out), settings.steps)
        if latest_checkpoint(Path(settings.out)) == checkpoint:
            logger.info("%s is finished", name)
            continue

        def report(step: int, steps: int | None, name: str = name) -> None:
            if progress is not None:
                progress(name, step, steps)

        train(settings, report)
    if recipe.bundle is None:
        return checkpoint
    path = recipe.out / recipe.bundle.file
    if state.is_main_process:
        write_recipe_bundle(recipe.bundle, checkpoint, Path(next(iter(recipe.stages.values())).data), path)
    state.wait_for_everyone()
    return path


def write_recipe_bundle(settings: BundleSettings, checkpoint: Path, data: Path, path: Path) -> None:
    """Write the bundle of a checkpoint; presets are of the clips in `data`."""
    from ..checkpoints.bundle import convert
    from ..checkpoints.loading import load_model

    presets = bases = None
    if settings.presets == "face-model":
        presets, bases = emotion_presets(settings.strength), FaceMotion.BASES
    elif settings.presets != "none":
        measured = settings.presets == "measured"
        presets = read_presets(load_model(checkpoint), ClipStore(data), measured=measured, strength=settings.strength)
    convert([checkpoint], path, dtype=PRECISIONS[settings.dtype], presets=presets, bases=bases)


def _check_unchanged(settings: RunSettings) -> None:
    """Raise EDTalkError if a stage was started with settings that differ in more than its folders."""
    file = Path(settings.out) / "config.json"
    if not file.exists():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EDTalkError(f"{file} cannot be read ({error}); delete its folder to train the stage again.") from error
    now = json.loads(json.dumps(asdict(settings)))
    changed = sorted(name for name in {*before, *now} - {*RUN_SETTINGS} if before.get(name) != now.get(name))
    if changed:
        raise EDTalkError(
            f"{settings.out} was trained with another {changed[0]} ({before.get(changed[0])}, now "
            f"{now.get(changed[0])}): delete this folder and those of the stages after it, or train into another one."
        )
