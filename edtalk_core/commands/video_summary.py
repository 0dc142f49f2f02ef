"""Report of `edtalk animate` and `edtalk dub` on the resulting video."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..wording import cleaned, counted
from .options import print_json

if TYPE_CHECKING:
    from ..dubbing import Dubbed
    from ..pipeline import Animation


def print_video(
    video: Animation | Dubbed, loaded: float, *, as_json: bool, facts: Mapping[str, Any], about: str, rendering: str
) -> None:
    """Print a report on a video, as text or JSON.

    Args:
        video: the result of the command.
        loaded: seconds spent loading the model.
        as_json: print JSON instead of text.
        facts: further entries of the JSON.
        about: further line of the text.
        rendering: verb for rendering, in the line about the time taken.
    """
    timings = {"load": loaded, **video.timings}
    width, height = video.size
    if as_json:
        print_json(
            {
                "path": str(video.path),
                "frames": video.frames,
                "fps": video.fps,
                "seconds": video.duration,
                "width": width,
                "height": height,
                **facts,
                "precision": video.precision,
                "timings": {stage: round(seconds, 3) for stage, seconds in timings.items()},
                "warnings": list(video.warnings),
            }
        )
        return
    for warning in video.warnings:
        print(cleaned(f"edtalk: warning: {warning}"), file=sys.stderr)
    frames = counted(video.frames, "frame")
    print(f"{video.path}: {frames}, {video.fps:g} a second, {video.duration:.2f} s, {width}x{height}")
    print(about)
    speed = f"{video.frames / timings['render']:.1f} frames a second in {video.precision}"
    print(
        f"took {sum(timings.values()):.1f} s: loading {loaded:.1f} s, preparing {timings['prepare']:.1f} s, "
        f"{rendering} {timings['render']:.1f} s ({speed})"
    )
