"""`edtalk download`: download the published weight files."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, add_progress_option, print_json
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk download`."""
    parser = subparsers.add_parser(
        "download",
        help="download the published weight files",
        description="Download the weight files published by the authors of EDTalk. An interrupted download is resumed. "
        "The SHA-256 of each file is recorded on its first download and checked later. The weights are not cleared for "
        "commercial use.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        default=["edtalk"],
        metavar="NAME",
        help="edtalk, edtalk_lip_pose, or a file such as EDTalk.pt or Audio2Lip.pt (default: edtalk)",
    )
    parser.add_argument("--folder", type=Path, help="folder to download to (default: the models folder, $EDTALK_HOME)")
    parser.add_argument(
        "--repository", metavar="OWNER/NAME", help="Hugging Face repository (default: $EDTALK_HUB_REPO)"
    )
    parser.add_argument("--endpoint", metavar="URL", help="host of the repository (default: $HF_ENDPOINT)")
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Download each file, and print its path."""
    from ..checkpoints.catalogue import published_files
    from ..checkpoints.download import download
    from ..checkpoints.reading import file_sha256

    files = dict.fromkeys(file for name in args.names for file in published_files(name))
    paths = []
    with progress_bars(args.progress, unit="B") as progress:
        for file in files:
            path = download(
                file,
                args.folder,
                progress=progress.stage(file),
                repository=args.repository,
                endpoint=args.endpoint,
            )
            paths.append(path)
    if args.json:
        print_json([{"path": str(path), "bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in paths])
    else:
        for path in paths:
            print(path)
