"""`edtalk info`: what a file is."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, print_json


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments of `edtalk info`."""
    parser = subparsers.add_parser(
        "info",
        help="say what a file is: weights, motion, preset, picture, sound or video",
        description="Say what a file is, as far as EDTalk is concerned: the variant and sizes of a weight file, the "
        "tracks of a motion, the emotions of a preset file, the faces in a picture (with the numbers that --face "
        "takes), the length and rate of a sound or video.",
    )
    parser.add_argument("file", type=Path)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print what `inspect_file` finds."""
    from ..inspection import inspect_file

    found = inspect_file(args.file)
    if args.json:
        print_json(found)
        return
    for key, value in found.items():
        if isinstance(value, list) and any(isinstance(part, dict) for part in value):
            print(f"{key}:")
            for number, part in enumerate(value):
                print(f"  {number}: {_in_words(part)}")
        else:
            print(f"{key}: {_in_words(value)}")


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)
