"""`edtalk sheet`: render a contact sheet of a portrait's emotions or of the banks' bases."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ArgumentError
from ..wording import cleaned
from .options import (
    Subparsers,
    add_face_options,
    add_json_option,
    add_model_options,
    add_progress_option,
    check_outputs,
    load_model,
    not_negative,
    output_path,
    positive,
    print_json,
)
from .progress import progress_bars

ONLY_FOR = {"emotion": "emotions", "strength": "emotions", "track": "bases", "reach": "bases", "columns": "bases"}
"""Option -> the only sheet that has it."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk sheet`."""
    parser = subparsers.add_parser(
        "sheet",
        help="show a portrait in all emotions, or the effect of each base, as one picture",
        description="Make a contact sheet of a portrait. emotions: the portrait at rest, then every emotion of the "
        "model at several strengths. bases: the effect of each base of the lip, pose and expression banks, with its "
        "weight lowered, unchanged, and raised.",
        epilog="examples: edtalk sheet emotions me.jpg | edtalk sheet emotions me.jpg --emotion happy --emotion sad "
        "--strength 0.5 --strength 1 | edtalk sheet bases me.jpg --track pose --reach 6 -o pose.png",
    )
    parser.add_argument("sheet", choices=("emotions", "bases"), help="which sheet to make")
    parser.add_argument("portrait", type=Path, help="picture of the face")
    parser.add_argument(
        "-o",
        "--output",
        type=_picture_path,
        help="picture to write, .png or .jpg (default: PORTRAIT_SHEET.png in the current folder)",
    )
    parser.add_argument("--cell", type=int, help="side of each face in pixels (default: emotions 256, bases 128)")
    emotions = parser.add_argument_group("emotions")
    emotions.add_argument(
        "--emotion", action="append", metavar="NAME", help="show this emotion; give it again for more (default: all)"
    )
    emotions.add_argument(
        "--strength",
        action="append",
        type=not_negative,
        help="a row of this strength, 0 as in the picture, 1 the preset; give it again for more (default: 0.5, 1, 1.5)",
    )
    bases = parser.add_argument_group("bases")
    bases.add_argument(
        "--track", choices=("all", "lip", "pose", "expression"), help="whose bases to show (default: all)"
    )
    bases.add_argument("--reach", type=positive, help="change of a weight in both directions (default: 4)")
    bases.add_argument("--columns", type=int, help="number of bases in a row (default: 4)")
    add_face_options(parser)
    add_model_options(parser)
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Render and write the sheet, and print its path."""
    from ..media.picture import read_picture, write_picture
    from ..portrait import portrait_from_picture
    from ..sheets import base_sheet, emotion_sheet

    options = {name: getattr(args, name) for name in ONLY_FOR if getattr(args, name) is not None}
    for name in options:
        if ONLY_FOR[name] != args.sheet:
            raise ArgumentError(f"--{name} is for the sheet of {ONLY_FOR[name]}, not of {args.sheet}; leave it out.")
    output = args.output or Path(f"{args.portrait.stem}_{args.sheet}.png")
    check_outputs(args, output)
    model = load_model(args)
    portrait, cropped = portrait_from_picture(
        model, read_picture(args.portrait), face=args.face, box=args.box, crop=args.crop
    )
    settings = {"precision": args.precision}
    if args.cell is not None:
        settings["cell"] = args.cell
    with progress_bars(args.progress, unit=" faces") as bars:
        settings["progress"] = bars.stage("render")
        if args.sheet == "emotions":
            names = {"emotion": "emotions", "strength": "strengths"}
            sheet = emotion_sheet(
                model, portrait, **{names[name]: value for name, value in options.items()}, **settings
            )
        else:
            sheet = base_sheet(model, portrait, **options, **settings)
    write_picture(output, sheet)
    height, width = sheet.shape[:2]
    if args.json:
        warnings = [cropped.warning] if cropped.warning else []
        print_json({"path": str(output), "width": width, "height": height, "warnings": warnings})
        return
    if cropped.warning:
        print(cleaned(f"edtalk: warning: {cropped.warning}"), file=sys.stderr)
    print(f"{output}: {width}x{height}")


def _picture_path(text: str) -> Path:
    path = output_path(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"expected a name in .png or .jpg, got {path.name}")
    return path
