"""`edtalk weights`: read the motion of a video, picture or sound into a motion file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..wording import cleaned
from .options import (
    Subparsers,
    add_face_options,
    add_json_option,
    add_model_options,
    add_progress_option,
    check_outputs,
    load_model,
    output_path,
    print_json,
)
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk weights`."""
    parser = subparsers.add_parser(
        "weights",
        help="read the motion of a video, picture or sound into a file",
        description="Read the motion of the face in a video or picture (lip, pose and expression weights), or the lip "
        "motion for a sound (lip weights), into a motion file. `edtalk animate PORTRAIT --motion FILE` renders it. A "
        "motion file as source is converted to the format of the output, and a CSV file of Live Link Face is read "
        "for a face at rest.",
    )
    parser.add_argument("source", type=Path, help="video, picture, sound, motion file or CSV of Live Link Face")
    parser.add_argument(
        "-o",
        "--output",
        type=output_path,
        help="motion file to write, .safetensors or .json (default: SOURCE.safetensors in the current folder)",
    )
    add_face_options(parser)
    add_model_options(parser)
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read and write the motion, and print a summary."""
    from ..inspection import inspect_file
    from ..motion.files import save_motion
    from ..sources.file import motion_from_file
    from ..version import __version__

    output = args.output or Path(f"{args.source.stem}.safetensors")
    check_outputs(args, output)
    model = load_model(args)
    with progress_bars(args.progress) as bars:
        motion, warning = motion_from_file(
            model, args.source, face=args.face, box=args.box, crop=args.crop, progress=bars.stage("reading")
        )
    save_motion(motion, output, {"made_by": f"edtalk {__version__}", "source": args.source.name})
    if args.json:
        print_json({**inspect_file(output), "warnings": [warning] if warning else []})
        return
    if warning:
        print(cleaned(f"edtalk: warning: {warning}"), file=sys.stderr)
    print(f"{output}: {motion!r}")
