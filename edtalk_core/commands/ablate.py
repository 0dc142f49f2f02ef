"""`edtalk ablate`: the ablations of Tables 4 and 5."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import (
    Subparsers,
    add_json_option,
    add_progress_option,
    add_scheduling_options,
    add_settings_option,
    print_json,
)
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk ablate`."""
    parser = subparsers.add_parser(
        "ablate",
        help="train and measure the rows of the paper's ablation tables",
        description="Train the rows of Table 4 (without each loss, orthogonality, bank, EEM; only lip; lip and pose) "
        "and Table 5 (sizes of the banks) by one recipe, measure them by one protocol, and write the tables. Rows "
        "share the stages that they have in common; whatever is finished is not done again.",
    )
    parser.add_argument("--recipe", type=Path, required=True, metavar="FOLDER", help="recipes/ablation-64px or another")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="prepared clips")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of trainings and tables")
    parser.add_argument(
        "--table",
        action="append",
        choices=("4", "5"),
        help="rows of this table; give it again for both (default: both)",
    )
    parser.add_argument("--row", action="append", default=[], metavar="NAME", help="only this row; --list names them")
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings of each row (default: 1)")
    add_settings_option(parser, "one setting, YAML, of every stage: --set steps=200")
    parser.add_argument("--protocol", default="mead-a", metavar="NAME", help="see edtalk evaluate (default: mead-a)")
    parser.add_argument("--split", default="test", help="split of the clips that are measured (default: test)")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="clips that are measured (default: all)")
    parser.add_argument(
        "--seconds", type=float, default=0.0, metavar="S", help="longest part of a clip (default: all of it)"
    )
    parser.add_argument("--backbones", type=Path, metavar="FOLDER", help="networks of metrics, see edtalk evaluate")
    add_scheduling_options(parser)
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the ablation, and print the tables; or list the rows."""
    from ..ablation import Ablation, chosen_rows, run_ablation
    from .train import parse_settings, require_training_packages

    rows = chosen_rows(args.row, args.table or ("4", "5"))
    if args.list:
        for row in rows:
            print(f"{row.name:<20}{row.title} (Table {', '.join(row.tables)})")
        return
    require_training_packages()
    ablation = Ablation(
        recipe=args.recipe,
        data=args.data.absolute(),
        out=args.out.absolute(),
        rows=tuple(row.name for row in rows),
        seeds=args.seeds,
        values=parse_settings(args.settings),
        protocol=args.protocol,
        split=args.split,
        sample=args.sample,
        seconds=args.seconds,
        backbones=str(args.backbones.absolute()) if args.backbones else "",
    )
    with progress_bars(args.progress, unit="") as bars:
        tables = run_ablation(ablation, workers=args.workers, scheduler=args.scheduler, progress=bars)
    if args.json:
        print_json({"tables": str(tables), "rows": list(ablation.rows)})
    else:
        print(tables.read_text("utf-8"))
