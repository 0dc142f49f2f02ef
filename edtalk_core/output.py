"""The last step of everything: frames become a video file that says what it is."""

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
    """Write pictures to a video as they come; `show` is given each when it is written.

    When a picture cannot be made or the work is cancelled, what is written stays playable in a file whose name says
    "partial" (see `VideoWriter`, whose errors are raised).
    """
    with writer:
        for picture in pictures:
            writer.write(picture)
            if show is not None:
                show(picture)


def provenance(settings: Mapping[str, object], *, dubbed: bool = False) -> dict[str, str]:
    """Tags that say what the video is; no names of files, which may be private.

    `dubbed`: only the mouth of a real video is made, which the IPTC's digital source types tell from a picture that is
    made as a whole.
    """
    what = "the mouth of a video, changed by software" if dubbed else "a still portrait animated by software"
    kind = "compositeWithTrainedAlgorithmicMedia" if dubbed else "trainedAlgorithmicMedia"
    return {
        "comment": f"AI-generated with EDTalk {__version__}: {what}.",
        "made_with": f"EDTalk {__version__}",
        "digital_source_type": f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}",
        "edtalk_settings": json.dumps(settings),
    }


def check_not_an_input(target: Path, inputs: Iterable[object], called: str = "one of the inputs") -> None:
    """Raise ArgumentError if the file to write is one of those that are read, which the message calls `called`.

    `inputs` may hold other things than paths, which are passed over.
    """
    paths = [path for path in inputs if isinstance(path, (str, os.PathLike))]
    if any(target.exists() and os.path.exists(path) and target.samefile(path) for path in paths):
        raise ArgumentError(f"{target} is {called}; choose another name for what is written.")
