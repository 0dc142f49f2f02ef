"""`edtalk evaluate`: measure a model on clips it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import (
    Subparsers,
    add_json_option,
    add_progress_option,
    check_outputs,
    load_model,
    output_path,
    print_json,
)
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model on clips it was not trained on",
        description="Measure a model on prepared clips (edtalk prepare) that it was not trained on: self-reenactment "
        "compared with repeating the first frame; lip sync from audio; disentanglement of the banks; likelihood of "
        "unseen head motion under the pose flow. The metrics are documented in edtalk_core.evaluation.",
    )
    parser.add_argument("model", nargs="*", metavar="WEIGHTS", help="weight files (default: demo)")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="prepared clips")
    parser.add_argument("--split", default="holdout", help="split of the clips (default: holdout)")
    parser.add_argument(
        "--only",
        metavar="PART",
        action="append",
        help="reenactment, mouth, disentanglement, pose, or none (sheets only); give it again for more (default: all "
        "that the model has)",
    )
    parser.add_argument(
        "--measured",
        action="store_true",
        help="compare the pose flow with poses measured from landmarks instead of those the model reads (for a model "
        "trained on them)",
    )
    parser.add_argument(
        "--sheet", type=output_path, metavar="PNG", help="write a sheet of sources, drivers, renderings"
    )
    parser.add_argument(
        "--identity",
        type=output_path,
        metavar="PNG",
        help="write a sheet of portraits (see --portraits) in six motions",
    )
    parser.add_argument(
        "--portraits",
        nargs="+",
        type=Path,
        metavar="PICTURE",
        help="pictures for --identity (default: a frame of each person in the clips)",
    )
    parser.add_argument("--device", default="auto", help="torch device (default: auto, the fastest available)")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="fp32",
        help="precision of rendering (default: fp32)",
    )
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate, write the requested sheets, and print the results."""
    from ..data.clips import ClipStore
    from ..evaluation.sheets import identity_sheet, reenactment_sheet, sheet_portraits, typical_motions
    from ..evaluation.suite import evaluate
    from ..media.picture import write_picture

    check_outputs(args, args.sheet, args.identity)
    model = load_model(args)
    with progress_bars(args.progress, unit=" clips") as bars:
        evaluation = evaluate(
            model,
            args.data,
            args.split,
            parts=args.only,
            measured=args.measured,
            precision=args.precision,
            progress=bars,
        )
    clips = ClipStore(args.data, args.split).clips
    if args.sheet:
        write_picture(args.sheet, reenactment_sheet(model, clips, precision=args.precision))
    if args.identity:
        portraits, motions = sheet_portraits(clips, args.portraits), typical_motions(model, clips)
        write_picture(args.identity, identity_sheet(model, portraits, motions, precision=args.precision))
    results = evaluation.as_dict()
    if args.json:
        print_json(results)
        return
    for part, figures in results.items():
        print(f"{part}:")
        _print_figures({name: value for name, value in figures.items() if name != "per_clip"}, "  ")


def _print_figures(figures: dict[str, Any], indent: str) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            _print_figures(value, indent + "  ")
        else:
            print(f"{indent}{name:<24} {f'{value:.4g}' if isinstance(value, float) else value}")
