"""`edtalk train`: one stage of the training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from .options import Subparsers, add_json_option, add_progress_option, print_json
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments of `edtalk train`."""
    parser = subparsers.add_parser(
        "train",
        help="run one stage of the training",
        description="Run one stage of the training on prepared clips (edtalk prepare). It writes checkpoints, loss "
        "curves and sample sheets into its folder and goes on from there when it is started again. A checkpoint loads "
        "like any other weights; `edtalk convert CHECKPOINT -o NAME.safetensors` leaves out what only the training "
        "needs. Several GPUs or machines: accelerate launch -m edtalk_core.cli train ...",
    )
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="see --list")
    parser.add_argument("--list", action="store_true", help="list the stages and what they train, and stop")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, YAML")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting, YAML, over those of --config: --set batch=8 --set losses.perceptual=0",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="prepared clips")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for checkpoints, curves and sample sheets")
    parser.add_argument(
        "--init", metavar="FILE", help="weights to start from; smaller ones are grown to the resolution"
    )
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train, and print the last checkpoint; or list the stages."""
    from ..training.stages import STAGES

    if args.list:
        stages = {name: (stage.__doc__ or "").strip().splitlines()[0] for name, stage in STAGES.items()}
        if args.json:
            print_json(stages)
        else:
            for name, about in stages.items():
                print(f"{name:<14}{about}")
        return
    if args.stage is None:
        raise ArgumentError(f"Which stage? One of {', '.join(STAGES)} (edtalk train --list).")

    from ..training.config import read_config
    from ..training.loop import train

    settings = _settings(args.settings)
    for name in ("data", "out", "init"):
        if getattr(args, name) is not None:
            settings[name] = str(getattr(args, name))
    config = read_config(args.stage, args.config, settings)
    with progress_bars(args.progress, unit=" steps") as progress:
        checkpoint = train(config, progress.stage(args.stage))
    if args.json:
        print_json({"stage": args.stage, "checkpoint": str(checkpoint), "steps": config.steps})
    else:
        print(checkpoint)


def _settings(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE and NAME.KEY=VALUE, values as YAML, to nested settings."""
    try:
        import yaml
    except ImportError as error:
        raise ArgumentError("Training needs further packages: pip install 'edtalk[train]'.") from error
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ArgumentError(f"--set takes NAME=VALUE, not {text!r}.")
        try:
            content = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ArgumentError(f"The value of --set {text!r} is not YAML.") from error
        name, _, key = name.partition(".")
        if key:
            settings.setdefault(name, {})[key] = content
        else:
            settings[name] = content
    return settings
