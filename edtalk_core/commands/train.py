"""`edtalk train`: run one stage of the training, or all stages of a recipe."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, MissingRequirement
from .options import Subparsers, add_json_option, add_progress_option, add_settings_option, print_json
from .progress import progress_bars


class _Help(argparse.Action):
    """Help action that adds the settings of the stage for `edtalk train STAGE --help`."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any) -> None:
        parser.print_help()
        if namespace.stage is not None:
            try:
                print(settings_help(namespace.stage))
            except ArgumentError as error:
                parser.error(str(error))
        parser.exit()


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk train`."""
    parser = subparsers.add_parser(
        "train",
        add_help=False,
        help="run one stage of the training, or a recipe",
        description="Run one stage of the training on prepared clips (edtalk prepare), or all stages of a recipe. It "
        "writes checkpoints, loss curves and sample sheets into its folder, and resumes from there when it is started "
        "again. A checkpoint loads like any other weights; `edtalk convert CHECKPOINT -o NAME.safetensors` leaves out "
        "the training state. Several GPUs or machines: accelerate launch -m edtalk_core.cli train ... "
        "`edtalk train STAGE --help` lists the settings of a stage.",
    )
    parser.add_argument(
        "-h", "--help", action=_Help, dest=argparse.SUPPRESS, help="show this help, and the settings of STAGE"
    )
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="see --list")
    parser.add_argument("--list", action="store_true", help="list the stages and exit")
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FOLDER",
        help="run all stages of a recipe (recipes/demo made the demo weights), each in a folder of its own in --out",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, YAML")
    add_settings_option(
        parser,
        "one setting, YAML, over those of --config, or of every stage of --recipe: --set batch=8 "
        "--set losses.perceptual=0",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="prepared clips")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for checkpoints, curves and sample sheets")
    parser.add_argument(
        "--init", metavar="FILE", help="weights to start from; smaller ones are grown to the resolution"
    )
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train, and print the last checkpoint, or the bundle of a recipe; or list the stages."""
    from ..training.stages import STAGES

    if args.list:
        stages = {name: (stage.__doc__ or "").strip().splitlines()[0] for name, stage in STAGES.items()}
        if args.json:
            print_json(stages)
        else:
            width = max(map(len, stages)) + 2
            for name, about in stages.items():
                print(f"{name:<{width}}{about}")
        return
    require_training_packages()
    settings = parse_settings(args.settings)
    for name in ("data", "out", "init"):
        if getattr(args, name) is not None:
            settings[name] = str(getattr(args, name))
    if args.recipe is not None:
        _run_recipe(args, settings)
        return
    if args.stage is None:
        raise ArgumentError(
            f"A stage is required: one of {', '.join(STAGES)} (edtalk train --list), or --recipe FOLDER."
        )

    from ..training.loop import train
    from ..training.stages import stage_settings

    config = stage_settings(args.stage, args.config, settings)
    with progress_bars(args.progress, unit=" steps") as progress:
        checkpoint = train(config, progress.stage(args.stage))
    if args.json:
        print_json({"stage": args.stage, "checkpoint": str(checkpoint), "steps": config.steps})
    else:
        print(checkpoint)


def require_training_packages() -> None:
    """Raise MissingRequirement without the packages that training needs."""
    if not all(map(find_spec, ("accelerate", "yaml"))):
        raise MissingRequirement("Training needs additional packages: pip install 'edtalk[train]'.")


def _run_recipe(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    from ..training.recipes import read_recipe, run_recipe

    for name, value in (("STAGE", args.stage), ("--config", args.config)):
        if value is not None:
            raise ArgumentError(f"--recipe defines its own stages: leave out {name}.")
    for name in ("data", "out"):
        if name not in settings:
            raise ArgumentError(f"--recipe needs a folder: --{name} FOLDER.")
    recipe = read_recipe(args.recipe, Path(settings.pop("data")), Path(settings.pop("out")), settings)
    with progress_bars(args.progress, unit=" steps") as progress:
        result = run_recipe(recipe, progress)
    if args.json:
        print_json({"recipe": str(args.recipe), "stages": list(recipe.stages), "result": str(result)})
    else:
        print(result)


def settings_help(stage: str) -> str:
    """The settings of a stage with types, defaults and documentation. Raises ArgumentError for an unknown stage."""
    from ..training.stages import stage_class
    from ..training.typed_settings import described

    width = min(120, shutil.get_terminal_size().columns)
    lines = [f"\nsettings of {stage} (--set NAME=VALUE, or a YAML file with --config):"]
    for setting in described(stage_class(stage).SETTINGS):
        if setting.name == "stage":
            continue
        default = "" if setting.default is dataclasses.MISSING else f" (default: {_yaml(setting.default)})"
        lines.append(f"  {setting.name}: {setting.type}{default}")
        lines.append(textwrap.fill(setting.doc, width, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def _yaml(value: object) -> str:
    """A default value as YAML on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value) if value != "" else "empty"


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """Parse NAME=VALUE texts, with dotted names and YAML values, to nested settings."""
    from ..training.settings import parse_yaml

    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ArgumentError(f"--set takes NAME=VALUE, not {text!r}.")
        try:
            content = parse_yaml(value)
        except ValueError as error:
            raise ArgumentError(f"The value of --set {text!r} cannot be read: {error}.") from error
        *path, key = name.split(".")
        group = settings
        for part in path:
            if not isinstance(group.setdefault(part, {}), dict):
                raise ArgumentError(f"--set {text!r} and another --set set {part} both to a value and to a group.")
            group = group[part]
        group[key] = content
    return settings
