"""`edtalk download`: fetch the published weight files."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Subparsers, add_json_option, add_progress_option, print_json
from .progress import progress_bars


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments of `edtalk download`."""
    parser = subparsers.add_parser(
        "download",
        help="fetch the published weight files",
        description="Fetch the weight files that the authors of EDTalk published. An interrupted download goes on "
        "where it stopped. The SHA-256 of each file is recorded when it first arrives and checked later. The weights "
        "are not cleared for commercial use.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        default=["edtalk"],
        metavar="NAME",
        help="edtalk, edtalk_lip_pose, or a file such as EDTalk.pt or Audio2Lip.pt (default: edtalk)",
    )
    parser.add_argument("--folder", type=Path, help="where to put them (default: the models folder, $EDTALK_HOME)")
    parser.add_argument(
        "--repository", metavar="OWNER/NAME", help="Hugging Face repository to fetch from (default: $EDTALK_HUB_REPO)"
    )
    parser.add_argument("--endpoint", metavar="URL", help="host to fetch from (default: $HF_ENDPOINT)")
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Download each file, and say where it lies."""
    from ..checkpoints.catalogue import published_files
    from ..checkpoints.download import download
    from ..checkpoints.reading import file_sha256

    files = dict.fromkeys(file for name in args.names for file in published_files(name))
    found = []
    with progress_bars(args.progress, unit="B") as progress:
        for file in files:
            path = download(
                file,
                args.folder,
                progress=progress.stage(file),
                repository=args.repository,
                endpoint=args.endpoint,
            )
            found.append(path)
    if args.json:
        print_json([{"path": str(path), "bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in found])
    else:
        for path in found:
            print(path)
