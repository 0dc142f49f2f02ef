"""`edtalk dub`: dub a video with new lip motion."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .options import (
    Subparsers,
    add_face_options,
    add_json_option,
    add_model_options,
    add_progress_option,
    add_size_option,
    check_outputs,
    load_model,
    output_path,
)
from .progress import progress_bars
from .video_summary import print_video


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk dub`."""
    parser = subparsers.add_parser(
        "dub",
        help="make the face of a video say a recording",
        description="Make the face of a video say a recording. Only the mouth changes; size, frame rate and the rest "
        "of the picture stay the same. Frames without the face are copied unchanged; where the recording is silent, "
        "the mouth closes.",
        epilog="examples: edtalk dub interview.mp4 german.wav -o interview_german.mp4 | "
        "edtalk dub loop.mp4 speech.wav --length audio | edtalk dub people.mp4 speech.wav --face 1",
    )
    parser.add_argument("video", type=Path, help="video with a face")
    parser.add_argument("audio", type=Path, help="sound file, or video whose sound is used")
    parser.add_argument(
        "-o",
        "--output",
        type=output_path,
        help="video to write, .mp4, .mov or .mkv (default: VIDEO_AUDIO.mp4 in the current folder). It replaces an "
        "older one only when it is complete",
    )
    parser.add_argument(
        "--length",
        choices=("video", "audio"),
        default="video",
        help="video: as long as the video, the sound is cut or followed by silence; audio: as long as the sound, the "
        "video is cut or played back and forth (default: video)",
    )
    parser.add_argument(
        "--motion", type=Path, metavar="FILE", help="use the lips of this motion file instead of those from the sound"
    )
    parser.add_argument(
        "--feather",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="width of the soft edge around the mouth, as a share of the face's crop, 0 to 0.5 (default: 0.1)",
    )
    parser.add_argument(
        "--match-colours",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="match the colours of the mouth to its surroundings (default: yes)",
    )
    add_size_option(parser, "as the face is in the video")
    add_face_options(parser)
    add_model_options(parser)
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Dub, and print the path of the video, the number of dubbed frames and the time taken."""
    from ..dubbing import dub

    started = time.perf_counter()
    output = args.output or Path(f"{args.video.stem}_{args.audio.stem}.mp4")
    check_outputs(args, output)
    model = load_model(args)
    loaded = time.perf_counter() - started
    with progress_bars(args.progress) as bars:
        result = dub(
            model,
            args.video,
            args.audio,
            output,
            motion=args.motion,
            length=args.length,
            face=args.face,
            box=args.box,
            crop=args.crop,
            feather=args.feather,
            match_colours=args.match_colours,
            size=args.size or "model",
            precision=args.precision,
            progress=bars,
        )
    print_video(
        result,
        loaded,
        as_json=args.json,
        facts={"faceless": result.faceless},
        about=f"dubbed: {result.frames - result.faceless} frames, {result.faceless} without the face",
        rendering="dubbing",
    )
