"""The subcommands of `edtalk`, one module each.

Each module has `add_parser(subparsers)`, which adds its arguments and sets its `run(args)` as the default of `run`;
`run` returns nothing and raises the library's errors. Heavy imports are inside `run`, so that `--help` is fast.
"""

from __future__ import annotations

COMMANDS = (
    "animate",
    "dub",
    "weights",
    "sheet",
    "convert",
    "download",
    "info",
    "bench",
    "prepare",
    "train",
    "evaluate",
    "report",
    "study",
    "ablate",
)
"""Module names, in the order of `edtalk --help`."""
