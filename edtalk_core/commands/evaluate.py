"""`edtalk evaluate`: measure a model on clips it was not trained on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from .options import (
    Subparsers,
    add_json_option,
    add_progress_option,
    add_scheduling_options,
    check_outputs,
    load_model,
    output_path,
    print_json,
)
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model on clips it was not trained on",
        description="Measure a model on prepared clips (edtalk prepare) that it was not trained on: self-reenactment "
        "compared with repeating the first frame; lip sync from audio; disentanglement of the banks; likelihood of "
        "unseen head motion under the pose flow. The metrics are documented in edtalk_core.evaluation. With "
        "--protocol, measure as the paper does, into a folder for edtalk report.",
    )
    parser.add_argument("model", nargs="*", metavar="WEIGHTS", help="weight files (default: demo)")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="prepared clips")
    parser.add_argument("--split", default="holdout", help="split of the clips (default: holdout)")
    _add_protocol_options(parser)
    parser.add_argument(
        "--only",
        metavar="PART",
        action="append",
        help="reenactment, mouth, disentanglement, pose, or none (sheets only); give it again for more (default: all "
        "that the model has)",
    )
    parser.add_argument(
        "--measured",
        action="store_true",
        help="compare the pose flow with poses measured from landmarks instead of those the model reads (for a model "
        "trained on them)",
    )
    parser.add_argument(
        "--sheet", type=output_path, metavar="PNG", help="write a sheet of sources, drivers, renderings"
    )
    parser.add_argument(
        "--identity",
        type=output_path,
        metavar="PNG",
        help="write a sheet of portraits (see --portraits) in six motions",
    )
    parser.add_argument(
        "--portraits",
        nargs="+",
        type=Path,
        metavar="PICTURE",
        help="pictures for --identity (default: a frame of each person in the clips)",
    )
    parser.add_argument("--device", default="auto", help="torch device (default: auto, the fastest available)")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="fp32",
        help="precision of rendering (default: fp32)",
    )
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def _add_protocol_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("protocols of the paper")
    group.add_argument(
        "--protocol",
        action="append",
        metavar="NAME",
        help="edtalk-a, edtalk-v (also same-person reenactment), mead-a, mead-v, cross-person, ground-truth, or all; "
        "give it again for more",
    )
    group.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder of the results, one below it a protocol; stopped runs go on"
    )
    group.add_argument(
        "--sample", type=int, default=0, metavar="N", help="clips drawn at random by --seed (default: all)"
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the draw and of sampled poses (default: 0)")
    group.add_argument(
        "--seconds", type=float, default=0.0, metavar="S", help="longest part of a clip (default: all of it)"
    )
    group.add_argument(
        "--every",
        type=int,
        default=5,
        metavar="N",
        help="measure pictures on every Nth frame; 1: all, as in the paper (default: 5). Series are of all frames",
    )
    group.add_argument(
        "--pose",
        choices=("video", "portrait", "flow"),
        default="video",
        help="what the head does where sound drives: it follows the video, rests, or is sampled (default: video)",
    )
    group.add_argument(
        "--tracks", default="lip,pose,expression", help="what moves, of lip,pose,expression (default: all)"
    )
    group.add_argument(
        "--backbones",
        type=Path,
        metavar="FOLDER",
        help="networks of LPIPS, FID, Sync_conf and emotions; stand-ins have names of their own",
    )
    group.add_argument("--fetch-backbones", action="store_true", help="download what --backbones lacks")
    add_scheduling_options(group)


def run(args: argparse.Namespace) -> None:
    """Evaluate, write the requested sheets, and print the results."""
    if args.protocol or args.out:
        _run_protocols(args)
        return
    from ..data.clips import ClipStore
    from ..evaluation.sheets import identity_sheet, reenactment_sheet, sheet_portraits, typical_motions
    from ..evaluation.suite import evaluate
    from ..media.picture import write_picture

    check_outputs(args, args.sheet, args.identity)
    model = load_model(args)
    with progress_bars(args.progress, unit=" clips") as bars:
        evaluation = evaluate(
            model,
            args.data,
            args.split,
            parts=args.only,
            measured=args.measured,
            precision=args.precision,
            progress=bars,
        )
    clips = ClipStore(args.data, args.split).clips
    if args.sheet:
        write_picture(args.sheet, reenactment_sheet(model, clips, precision=args.precision))
    if args.identity:
        portraits, motions = sheet_portraits(clips, args.portraits), typical_motions(model, clips)
        write_picture(args.identity, identity_sheet(model, portraits, motions, precision=args.precision))
    results = evaluation.as_dict()
    if args.json:
        print_json(results)
        return
    for part, figures in results.items():
        print(f"{part}:")
        _print_figures({name: value for name, value in figures.items() if name != "per_clip"}, "  ")


def _run_protocols(args: argparse.Namespace) -> None:
    from ..devices import fastest_device
    from ..errors import ArgumentError
    from ..evaluation.paper_protocols import PROTOCOLS
    from ..evaluation.results import read_run
    from ..evaluation.runs import ProtocolSettings, run_protocol

    if not (args.protocol and args.out):
        raise ArgumentError("A protocol needs both --protocol NAME and --out FOLDER.")
    if args.fetch_backbones and not args.backbones:
        raise ArgumentError("--fetch-backbones needs a folder: --backbones FOLDER.")
    names = list(PROTOCOLS) if "all" in args.protocol else args.protocol
    settings = ProtocolSettings(
        protocol="",
        weights=tuple(args.model or ["demo"]),
        data=str(args.data.absolute()),
        split=args.split,
        sample=args.sample,
        seed=args.seed,
        seconds=args.seconds,
        every=args.every,
        pose=args.pose,
        tracks=tuple(args.tracks.split(",")),
        precision=args.precision,
        device=str(fastest_device()) if args.device == "auto" else args.device,
        backbones=str(args.backbones.absolute()) if args.backbones else "",
    )
    results = {}
    with progress_bars(args.progress, unit=" clips") as bars:
        for name in names:
            run_protocol(
                replace(settings, protocol=name),
                args.out.absolute() / name,
                fetch=args.fetch_backbones,
                workers=args.workers,
                scheduler=args.scheduler,
                progress=bars.stage(name),
            )
            results[name] = read_run(args.out / name).as_dict()
    if args.json:
        print_json(results)
        return
    for name, result in results.items():
        print(f"{name}: {result['clips']} of {result['chosen']} clips")
        for metric, figure in result["figures"].items():
            print(f"  {metric:<24} {figure['mean']:.4g} ({figure['clips']} clips)")
        for reason, count in result["reasons"].items():
            print(f"  {count} clips: {reason}")


def _print_figures(figures: dict[str, Any], indent: str) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            _print_figures(value, indent + "  ")
        else:
            print(f"{indent}{name:<24} {f'{value:.4g}' if isinstance(value, float) else value}")
