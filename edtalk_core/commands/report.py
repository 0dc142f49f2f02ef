"""`edtalk report`: a page on what a model measures by the paper's protocols."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, output_path, print_json


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk report`."""
    parser = subparsers.add_parser(
        "report",
        help="write a page on an evaluation by the paper's protocols",
        description="Write one self-contained page on the results of edtalk evaluate --protocol: tables beside the "
        "paper's figures where they mean the same, clip by clip, matrices of confusion, curves of mouth and head, the "
        "worst clips, settings and hashes. A .json and a .csv file of the same name are written beside it.",
    )
    parser.add_argument("results", type=Path, metavar="FOLDER", help="the --out of edtalk evaluate --protocol")
    parser.add_argument(
        "-o", "--output", type=output_path, required=True, metavar="HTML", help="page to write, ending in .html"
    )
    parser.add_argument("--compare", type=Path, metavar="FOLDER", help="further results, shown beside the others")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the report, and print the paths of its files."""
    from ..errors import ArgumentError
    from ..evaluation.report import write_report

    if args.output.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"The page is HTML: a name that ends in .html, not {args.output.name}.")
    paths = write_report(args.results, args.output, args.compare)
    if args.json:
        print_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        print(path)
