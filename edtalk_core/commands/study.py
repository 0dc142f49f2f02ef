"""`edtalk study`: a user study in a page, and the table of its answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, output_path, print_json

RESULTS = "results"
QUESTIONS = {"lip": "lip-sync", "real": "realness", "emotion": "Acc_emo"}


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk study`."""
    parser = subparsers.add_parser(
        "study",
        help="make a user study of talking heads, and the table of its answers",
        description="METHOD=FOLDER ...: write one self-contained page that shows videos of the same names blind and in "
        "random order, asks for lip-sync, realness (1 to 5) and emotion, and keeps the answers in the browser until "
        "they are exported. A key beside it says which video is whose: do not send it along. results FILE ...: print "
        "the table of exported answers with 95 % confidence intervals.",
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="METHOD=FOLDER ..., or: results ANSWERS ...")
    parser.add_argument("-o", "--output", type=output_path, metavar="HTML", help="page to write, ending in .html")
    parser.add_argument("--clips", type=int, default=10, metavar="N", help="clips of each method; 0: all (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of clips (default: 0)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="CSV",
        help="emotions of the clips, for the share that is seen: columns clip (name without ending) and emotion",
    )
    parser.add_argument("--title", default="Talking heads", help="heading of the page (default: Talking heads)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="key of the study, for results")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the page of a study, or print its results."""
    from ..errors import ArgumentError

    if args.sources[0] == RESULTS:
        _print_results(args)
        return
    from ..evaluation.study import write_study

    if args.output is None or args.output.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError("A study needs a page to write: -o NAME.html.")
    methods: dict[str, Path] = {}
    for source in args.sources:
        name, equals, folder = source.partition("=")
        if not (name and equals and folder) or name in methods:
            raise ArgumentError(f"Expected METHOD=FOLDER, each method once, got {source!r}.")
        methods[name] = Path(folder)
    key = write_study(
        methods,
        args.output,
        clips=args.clips,
        seed=args.seed,
        labels=_labels(args.labels) if args.labels else None,
        title=args.title,
    )
    if args.json:
        print_json({"page": str(args.output), "key": str(key)})
    else:
        print(f"{args.output}\n{key}: keep it to yourself")


def _labels(path: Path) -> dict[str, str]:
    import csv

    from ..errors import ArgumentError

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["clip"]: row["emotion"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise ArgumentError(f"{path} has no columns clip and emotion ({error}).") from error


def _print_results(args: argparse.Namespace) -> None:
    from ..errors import ArgumentError
    from ..evaluation.study import read_answers, read_key, study_table

    files = [Path(source) for source in args.sources[1:]]
    if args.key is None or not files:
        raise ArgumentError("Results need the key and the answers: edtalk study results ANSWERS ... --key FILE.")
    study, items = read_key(args.key)
    participants = read_answers(files, study, items)
    table = study_table(items, participants)
    if args.json:
        scores = {method: {q: vars(score) for q, score in row.items()} for method, row in table.items()}
        print_json({"participants": len(participants), "methods": _without_nan(scores)})
        return
    print(f"{len(participants)} participants" if len(participants) != 1 else "1 participant")
    print(f"{'method':<20}" + "".join(f"{title:>26}" for title in QUESTIONS.values()))
    for method, row in table.items():
        cells = []
        for question in QUESTIONS:
            score = row.get(question)
            factor, unit = (100, " %") if question == "emotion" else (1, "")
            interval = (
                f" ({factor * score.low:.2f} to {factor * score.high:.2f})" if score and score.low == score.low else ""
            )
            cells.append(f"{factor * score.mean:.2f}{unit}{interval}" if score else "none")
        print(f"{method:<20}" + "".join(f"{cell:>26}" for cell in cells))


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and value != value else value
