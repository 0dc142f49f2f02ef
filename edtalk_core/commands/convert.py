"""`edtalk convert`: convert weight files to a safetensors bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, check_outputs, output_path, print_json

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk convert`."""
    parser = subparsers.add_parser(
        "convert",
        help="convert weight files to one .safetensors bundle",
        description="Convert weight files, such as EDTalk.pt and Audio2Lip.pt, to one .safetensors bundle: safe to "
        "share, fast to load, without optimiser states and unused weights. Its metadata lists the sources with their "
        "SHA-256. A checkpoint of a classifier of emotions is converted alone.",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="FILE", help="weight file, .pt or .safetensors")
    parser.add_argument("-o", "--output", type=output_path, required=True, help="bundle to write, .safetensors")
    parser.add_argument("--dtype", choices=DTYPES, help="precision to store (default: that of the files)")
    parser.add_argument(
        "--presets",
        type=Path,
        metavar="STORE",
        help="compute the expression presets from the clips of this folder (edtalk prepare) whose emotion is known",
    )
    parser.add_argument(
        "--measured",
        action="store_true",
        help="with --presets: use the values measured from landmarks instead of those the model reads (for a model "
        "trained on them)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        default=1.0,
        help="with --measured: factor on the average strength of the presets in the clips (default: 1)",
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Convert, and print the path and size of the bundle."""
    import torch

    from ..checkpoints.bundle import convert
    from ..checkpoints.reading import safetensors_format
    from ..emotion.files import KINDS, export_classifier
    from ..inspection import inspect_file

    check_outputs(args, args.output)
    dtype = getattr(torch, DTYPES[args.dtype]) if args.dtype else None
    presets = None
    if args.presets is not None:
        from ..checkpoints.loading import load_model
        from ..data.clips import ClipStore
        from ..data.presets import read_presets

        presets = read_presets(
            load_model(*args.sources), ClipStore(args.presets), measured=args.measured, strength=args.strength
        )
    if len(args.sources) == 1 and safetensors_format(args.sources[0]) in KINDS:
        path = export_classifier(args.sources[0], args.output, dtype)
    else:
        path = convert(args.sources, args.output, dtype=dtype, presets=presets)
    if args.json:
        print_json(inspect_file(path))
    else:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
