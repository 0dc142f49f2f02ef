"""`edtalk convert`: weight files become one safetensors bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, output_path, print_json

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments of `edtalk convert`."""
    parser = subparsers.add_parser(
        "convert",
        help="make one .safetensors bundle of weight files",
        description="Make one .safetensors bundle of weight files, such as EDTalk.pt and Audio2Lip.pt: safe to share, "
        "quick to load, without optimiser states and weights that are never used. Its metadata names the sources with "
        "their SHA-256.",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="FILE", help="weight file, .pt or .safetensors")
    parser.add_argument("-o", "--output", type=output_path, required=True, help="the bundle, a name in .safetensors")
    parser.add_argument("--dtype", choices=DTYPES, help="precision to store (default: as in the files)")
    parser.add_argument(
        "--presets",
        type=Path,
        metavar="STORE",
        help="read the expression presets off the clips of this folder (edtalk prepare) whose emotion is known",
    )
    parser.add_argument(
        "--measured",
        action="store_true",
        help="with --presets: take what landmarks measure instead of what the model reads (for a model taught so)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        default=1.0,
        help="with --measured: make the presets so many times as strong as people show them on average (default: 1)",
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was written."""
    import torch

    from ..checkpoints.bundle import convert
    from ..inspection import inspect_file

    dtype = getattr(torch, DTYPES[args.dtype]) if args.dtype else None
    presets = None
    if args.presets is not None:
        from ..checkpoints.loading import load_model
        from ..data.clips import ClipStore
        from ..data.presets import read_presets

        presets = read_presets(
            load_model(*args.sources), ClipStore(args.presets), measured=args.measured, strength=args.strength
        )
    path = convert(args.sources, args.output, dtype=dtype, presets=presets)
    if args.json:
        print_json(inspect_file(path))
    else:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
