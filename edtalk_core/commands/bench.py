"""`edtalk bench`: measure the speed and memory of a model."""

from __future__ import annotations

import argparse

from ..errors import ArgumentError
from .options import Subparsers, add_model_options, add_progress_option, load_model, print_json
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure speed and memory, as JSON",
        description="Measure a model on this machine and print JSON: milliseconds a frame for encoding a portrait, "
        "reading a driver's weights, rendering with a constant and with a changing expression, and for the same "
        "convolutions alone (the floor), with the ratios; of larger frames; floating-point operations; peak memory. "
        "--model edtalk and --model lip_pose select the published sizes with random weights, which need no file.",
    )
    add_model_options(parser)
    parser.add_argument("--batch", type=int, default=4, help="frames computed together (default: 4)")
    parser.add_argument("--repeats", type=int, default=7, help="number of measurements of each time (default: 7)")
    parser.add_argument("--frames", type=int, default=100, help="frames to stream for the peak memory (default: 100)")
    parser.add_argument(
        "--larger", type=int, nargs="+", default=[], metavar="PIXELS", help="sizes above the model's to render as well"
    )
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure, and print the result."""
    from ..bench import PUBLISHED, bench, random_model
    from ..devices import fastest_device

    if args.model and len(args.model) == 1 and args.model[0] in PUBLISHED:
        try:
            model = random_model(args.model[0], fastest_device() if args.device == "auto" else args.device)
        except Exception as error:  # missing drivers make torch raise almost anything
            raise ArgumentError(f"The device {args.device!r} cannot be used: {error}") from error
    else:
        model = load_model(args)
    with progress_bars(args.progress, unit=" rounds") as bars:
        result = bench(
            model,
            precision=args.precision,
            batch=args.batch,
            repeats=args.repeats,
            frames=args.frames,
            larger=args.larger,
            progress=bars.stage("measuring"),
        )
    print_json(result)
