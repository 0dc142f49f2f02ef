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


def check_not_an_input(target: Path, inputs: Iterable[object]) -> None:
    """Raise ArgumentError if the output file `target` is one of the inputs, or a clip of one that is a store.

    Entries of `inputs` that are not paths are ignored.
    """
    if not os.path.exists(target):
        return
    for path in inputs:
        if not isinstance(path, (str, os.PathLike)) or not os.path.exists(path):
            continue
        is_clip = target.suffix == ".safetensors" and os.path.samefile(target.absolute().parent, path)
        if os.path.samefile(target, path) or is_clip:
            raise ArgumentError(f"{target} is one of the inputs; choose another name for the output file.")
