"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..atomic import MAX_NAME_BYTES
from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..model import EDTalk

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Return type of `add_subparsers`."""

CROPS = ("auto", "template", "box", "none")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the model: --model, --device, --precision."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="FILE",
        action="append",
        help="weight file, .safetensors or .pt; give it again for more files, such as EDTalk.pt and Audio2Lip.pt "
        "(default: demo, the weights that ship with EDTalk)",
    )
    group.add_argument(
        "--device", default="auto", help="torch device such as cpu or cuda:0 (default: auto, the fastest available)"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="precision of the computation (default: auto, by the device)",
    )


def add_face_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the face and its crop: --face, --box, --crop."""
    group = parser.add_argument_group("face")
    group.add_argument(
        "--face",
        type=_face,
        default="largest",
        metavar="WHICH",
        help="which face, when there are several: largest, only (refuse several), or its number in what edtalk info "
        "lists, from 0 (default: largest)",
    )
    group.add_argument(
        "--box",
        type=_box,
        metavar="L,T,R,B",
        help="box of the face, forehead to chin, in pixels of the picture, instead of detecting one",
    )
    group.add_argument(
        "--crop",
        choices=CROPS,
        default="auto",
        help="template (fit the landmarks; the published way for pictures), box (extend the face's box), none (the "
        "picture is a crop already), or auto (default)",
    )


def add_size_option(parser: argparse._ActionsContainer, own: str) -> None:
    """Add the option of the side of rendered frames: --size; `own` says whose own resolution "own" is."""
    parser.add_argument(
        "--size",
        metavar="PIXELS",
        help=f"side of the rendered face: model (the model's, 256), own ({own}, at most 1024; own:2048 allows more), "
        "or a number of pixels. Larger ones get the fine detail of the picture; on a CPU, 512 takes up to 1.4 times "
        "as long as 256, and 1024 up to 2.5 times (default: model)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON output: --json."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_progress_option(parser: argparse.ArgumentParser) -> None:
    """Add the options for progress bars on standard error: --progress, --no-progress."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show progress bars on standard error (default: when it is a terminal)",
    )


def add_settings_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --set, whose values are in `settings`; `text` is its help. See `train.parse_settings`."""
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help=text)


def add_scheduling_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say where independent tasks run: --workers, --scheduler."""
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes of this machine (default: 1)")
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://host:8786, whose workers do it instead; they need EDTalk and the same "
        "folders (pip install 'edtalk[distributed]')",
    )


def print_json(content: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def load_model(args: argparse.Namespace) -> EDTalk:
    """Load the model of --model to the device of --device, with a progress bar for downloads."""
    from ..checkpoints.loading import load_model
    from ..devices import fastest_device
    from .progress import progress_bars

    device = fastest_device() if args.device == "auto" else args.device
    with progress_bars(args.progress, unit="B") as bars:
        return load_model(*(args.model or ["demo"]), device=device, progress=bars.stage("download"))


def check_outputs(args: argparse.Namespace, *outputs: Path | None) -> None:
    """Raise ArgumentError if a file to write is one that the command reads, or two outputs are the same file.

    Whatever argument names it: a file, a file with a strength (smile.json:0.8), a store that the file is a clip of, or
    the model. Outputs that are None are left out.
    """
    from ..checkpoints.loading import local_files
    from ..output import check_not_an_input

    targets = [output for output in outputs if output is not None]
    values = [
        value
        for name, value in vars(args).items()
        if name != "model" and not any(value is target for target in targets)
    ]
    texts = [str(one) for value in values for one in (value if isinstance(value, list) else [value])]
    inputs = [Path(path) for text in texts for path in (text, text.rpartition(":")[0]) if path and "\0" not in path]
    if hasattr(args, "model"):
        inputs += [file for name in args.model or ["demo"] for file in local_files(name)]
    for position, target in enumerate(targets):
        check_not_an_input(target, inputs)
        if any(target.absolute() == other.absolute() for other in targets[:position]):
            raise ArgumentError(f"{target} is to be written twice; choose another name for one of the outputs.")


def output_path(text: str) -> Path:
    """Type of an argument for a file to write, whose folder must exist."""
    path = Path(text)
    if len(os.fsencode(path.name)) > MAX_NAME_BYTES:
        raise argparse.ArgumentTypeError(f"a name has at most {MAX_NAME_BYTES} bytes, and {path.name[:40]}... has more")
    try:
        if "\0" in text:
            raise ValueError("it holds a NUL")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{path} is a folder, not a file name")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise argparse.ArgumentTypeError(f"{text[:80]!r} cannot be used: {error}") from error
    return path


def positive(text: str) -> float:
    """Type of an argument for a number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def not_negative(text: str) -> float:
    """Type of an argument for a number of at least 0."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected left,top,right,bottom in pixels, got {text!r}") from None
    return left, top, right, bottom


def _face(text: str) -> int | str:
    if text in ("largest", "only"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected largest, only or the number of a face, got {text!r}")
    return int(text)
