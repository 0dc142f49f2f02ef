"""The subcommands of `edtalk`, one module each.

A module has `add_parser(subparsers)`, which describes its arguments and sets its `run(args)` as the default of `run`;
`run` returns nothing and raises the library's errors. Heavy imports stay inside `run`, so that `--help` is quick.
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
)
"""Module names, in the order that `edtalk --help` lists them."""
