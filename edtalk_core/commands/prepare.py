"""`edtalk prepare`: prepare clips for training and evaluation from videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, add_progress_option, add_scheduling_options, print_json
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk prepare`."""
    parser = subparsers.add_parser(
        "prepare",
        help="make training clips from videos",
        description="Make clips for training and evaluation: 25 fps, cropped to the face like the published "
        "preprocessing, with landmarks and sound. Person, emotion and level come from the file names of MEAD, HDTF, "
        "VoxCeleb2 and LRW, or from a manifest (.csv or .tsv with a column path, and any of name, person, split, "
        "emotion, level, license, sound) for other videos. Finished videos are skipped when the command runs again; "
        "unusable ones are listed with the reason, also in report.json beside the clips.",
    )
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="video, folder with videos anywhere below, or manifest"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder of the clips")
    parser.add_argument("--cropped", action="store_true", help="the videos are square face crops already")
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="prepare still pictures of faces as well, for trainings that show people in expressions they were never "
        "filmed in (sampling.picture_share)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=256,
        metavar="PIXELS",
        help="side of the crops, which is the largest resolution for training (default: 256)",
    )
    parser.add_argument(
        "--where",
        type=_condition,
        action="append",
        default=[],
        metavar="COLUMN=VALUE,...",
        help="take only videos whose manifest column has one of these values; give it again for more conditions",
    )
    parser.add_argument(
        "--test-people",
        type=_names,
        metavar="NAME,...",
        help="people reserved for testing (default: the paper's, M003, M030, W009, W015 of MEAD)",
    )
    parser.add_argument(
        "--test-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the other people drawn for testing, unless the manifest has a split (default: 0.2)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the draws (default: 0)")
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        metavar="N",
        help="prepare N of the videos, drawn at random by --seed: 200 of VoxCeleb2 and 500 of LRW as in the paper "
        "(default: all)",
    )
    add_scheduling_options(parser)
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prepare, and print a table of the store's content."""
    from ..data.layouts import TEST_PEOPLE, find_videos, sample_videos
    from ..data.prepare import REPORT, prepare

    videos = find_videos(
        args.sources,
        where=dict(args.where),
        test_people=TEST_PEOPLE if args.test_people is None else args.test_people,
        test_share=args.test_share,
        seed=args.seed,
        pictures=args.pictures,
    )
    videos = sample_videos(videos, args.sample, args.seed)
    with progress_bars(args.progress, unit=" videos") as progress:
        report = prepare(
            videos,
            args.out,
            cropped=args.cropped,
            size=args.size,
            workers=args.workers,
            scheduler=args.scheduler,
            progress=progress.stage("prepare"),
        )
    summary = report.summary()
    if args.json:
        print_json({"splits": summary, "skipped": report.skipped, "kept": report.finished_before, "out": str(args.out)})
        return
    columns = ("clips", "people", "seconds", "speech", "emotion")
    print(f"{'split':<12}" + "".join(f"{column:>9}" for column in columns))
    for split, row in summary.items():
        print(f"{split:<12}" + "".join(f"{row[column]:>9}" for column in columns))
    for name, reason in report.skipped.items():
        print(f"skipped {name}: {reason}")
    print(f"{args.out / REPORT} lists it all; {report.finished_before} of {len(videos)} videos were finished before.")


def _condition(text: str) -> tuple[str, frozenset[str]]:
    column, equals, values = text.partition("=")
    if not equals or not column:
        raise argparse.ArgumentTypeError(f"expected COLUMN=VALUE or COLUMN=VALUE,VALUE, got {text!r}")
    return column, frozenset(values.split(","))


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(",") if name)
