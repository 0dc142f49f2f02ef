"""`edtalk info`: describe a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, print_json


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk info`."""
    parser = subparsers.add_parser(
        "info",
        help="describe a file: weights, motion, preset, picture, sound or video",
        description="Describe a file that EDTalk can read: the variant and sizes of a weight file, the tracks of a "
        "motion, the emotions of a preset file, the faces in a picture (with the numbers for --face), the length and "
        "rate of a sound or video.",
    )
    parser.add_argument("file", type=Path)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the result of `inspect_file`."""
    from ..inspection import inspect_file

    description = inspect_file(args.file)
    if args.json:
        print_json(description)
        return
    for key, value in description.items():
        if isinstance(value, list) and any(isinstance(part, dict) for part in value):
            print(f"{key}:")
            for number, part in enumerate(value):
                print(f"  {number}: {_format_value(part)}")
        elif isinstance(value, dict) and value and all(isinstance(part, list) for part in value.values()):
            print(f"{key}:")
            for name, parts in value.items():
                print(f"  {name}: {', '.join(f'{number} {part}' for number, part in enumerate(parts))}")
        else:
            print(f"{key}: {_format_value(value)}")


def _format_value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_value(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)
