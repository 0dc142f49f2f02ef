"""The output step: write rendered frames to a video file with provenance tags."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from .errors import ArgumentError
from .media.video_writer import VideoWriter
from .version import __version__


def write_video(
    writer: VideoWriter, pictures: Iterable[np.ndarray], show: Callable[[np.ndarray], None] | None = None
) -> None:
    """Write pictures to a video as they arrive; `show` is called with each picture after it is written.

    When rendering fails or is cancelled, the frames written so far stay playable in a file with "partial" in its name
    (see `VideoWriter`, whose errors are raised).
    """
    with writer:
        for picture in pictures:
            writer.write(picture)
            if show is not None:
                show(picture)


def provenance(settings: Mapping[str, object], *, dubbed: bool = False) -> dict[str, str]:
    """Return the provenance tags of a video. They hold no file names, which may be private.

    `dubbed`: only the mouth of a real video is synthetic, for which the IPTC has a digital source type of its own.
    """
    description = "the mouth of a video, changed by software" if dubbed else "a still portrait animated by software"
    source_type = "compositeWithTrainedAlgorithmicMedia" if dubbed else "trainedAlgorithmicMedia"
    return {
        "comment": f"AI-generated with EDTalk {__version__}: {description}.",
        "made_with": f"EDTalk {__version__}",
        "digital_source_type": f"http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}",
        "edtalk_settings": json.dumps(settings),
    }


def check_not_an_input(target: Path, inputs: Iterable[object], called: str = "one of the inputs") -> None:
    """Raise ArgumentError if the output file `target` is one of the inputs, which the message calls `called`.

    Entries of `inputs` that are not paths are ignored.
    """
    paths = [path for path in inputs if isinstance(path, (str, os.PathLike))]
    if any(target.exists() and os.path.exists(path) and target.samefile(path) for path in paths):
        raise ArgumentError(f"{target} is {called}; choose another name for the output file.")
