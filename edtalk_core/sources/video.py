"""Motion of a face in a video file, in a stream of frames, or in a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..checks import check_whole
from ..errors import VideoError
from ..face.framing import FaceChoice, VideoCropMode
from ..face.video_crop import VideoCrop, crop_video
from ..media.picture import picture_to_image
from ..media.video import VideoReader, resample_frames
from ..model import EDTalk
from ..motion.files import file_kind
from ..motion.motion import FPS, Motion
from ..progress import Progress

if TYPE_CHECKING:
    import numpy as np

_DATA_KINDS = {
    "a NumPy array (.npy)",
    "JSON",
    "a safetensors file",
    "a Python pickle",
    "a zip archive (such as a .pt checkpoint or an .npz)",
}


def motion_from_video(
    model: EDTalk,
    path: str | os.PathLike[str],
    *,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: VideoCropMode = "auto",
    batch: int = 16,
    progress: Progress | None = None,
) -> tuple[Motion, VideoCrop]:
    """Read the motion of a face in a video: its lip, pose and (if the model has one) expression, frame by frame.

    The video is resampled to 25 fps by its time stamps, and cropped by one box for the full clip, the published
    driver-video crop. A frame without the face is cropped by the same box and counted, never an error. Frames are
    streamed; memory does not grow with the length.

    Args:
        model: any variant.
        path: a video file.
        face: which face, when there are several (see `crop_video`).
        box: (left, top, right, bottom) of the face over the full clip in pixels, instead of face detection.
        crop: "auto" does not crop a clip that is a face crop already, "box" always crops, "none" detects no face.
        batch: frames read at once; a picture that is shown for several frames is read once.
        progress: counts the frames of the clip; with face detection, each of its two passes counts half a frame.

    Returns:
        The motion at 25 fps, and the crop: its `.box`, the `.frames` searched, how many were `.faceless`, a `.warning`.

    Raises:
        VideoError: the file cannot be read as a video; the message names presets and other data files as such.
        FaceError: there is no face, or the requested one does not exist.
        ArgumentError: an argument out of its range.
    """
    path = Path(path)
    if path.is_file() and (kind := file_kind(path)) in _DATA_KINDS:
        raise VideoError(
            f"{path} is {kind}, not a video. Presets and motion files go where a preset or a motion is asked for; "
            "here give the video of a face."
        )
    reader = VideoReader(path)
    return motion_from_frames(
        model, lambda: reader, reader.duration, face=face, box=box, crop=crop, batch=batch, progress=progress
    )


def motion_from_frames(
    model: EDTalk,
    open_frames: Callable[[], Iterable[tuple[float, np.ndarray]]],
    duration: float,
    *,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: VideoCropMode = "auto",
    batch: int = 16,
    progress: Progress | None = None,
) -> tuple[Motion, VideoCrop]:
    """Read the motion of a face in a stream of frames; see `motion_from_video`.

    Args:
        model: any variant.
        open_frames: opens the frames from the start, (seconds, picture (H,W,3) uint8 RGB) in order; called once or
            twice.
        duration: their duration in seconds, for the progress.
        face, box, crop, batch, progress: see `motion_from_video`.
    """
    check_whole(batch, "The batch", low=1, unit="frames")
    passes = 1 if box is not None or crop == "none" else 2
    expected = round(duration * FPS)
    searched = 0

    def report(done: int, frames: int) -> None:
        # In frames of the clip: with two passes, each counts half.
        if progress:
            progress(done // passes, max(done // passes, frames))

    def report_search(done: int, _: int | None) -> None:
        nonlocal searched
        searched = done
        report(done, max(done, expected))

    framing, pictures = crop_video(
        lambda: resample_frames(open_frames(), FPS),
        size=model.sizes.resolution,
        face=face,
        box=box,
        mode=crop,
        progress=report_search,
    )
    lips, poses, expressions = [], [], []
    lengths: list[int] = []
    done = 0
    distinct = _without_repeats(pictures)
    with torch.inference_mode():
        while shown := list(islice(distinct, batch)):
            images = [picture_to_image(picture, framing.size) for picture, _ in shown]
            lip, pose, expression = model.read_weights(torch.cat(images))
            lips.append(lip.float().cpu())
            poses.append(pose.float().cpu())
            if expression is not None:
                expressions.append(expression.float().cpu())
            lengths += [length for _, length in shown]
            done += sum(length for _, length in shown)
            report(searched + done, searched or max(done, expected))
        report(passes * done, done)  # `expected` may have been more
        read = Motion(torch.cat(lips), torch.cat(poses), torch.cat(expressions) if expressions else None, fps=FPS)
        motion = read.map(lambda track: track.repeat_interleave(torch.tensor(lengths), dim=0))
    return motion, framing


def _without_repeats(pictures: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each picture once, with the number of frames for which it is repeated as the same object."""
    before: np.ndarray | None = None
    length = 0
    for picture in pictures:
        if before is not None and picture is not before:
            yield before, length
            length = 0
        before, length = picture, length + 1
    if before is not None:
        yield before, length


def motion_from_picture(model: EDTalk, picture: np.ndarray) -> Motion:
    """Read the motion of a face in a picture: lip, pose and (if the model has one) expression, one frame.

    `picture` is a square crop (S,S,3) uint8 RGB of any size, as from `crop_portrait`. Use the motion directly (to
    copy a pose), or held to a length. Raises PictureError for a picture of another shape or type.
    """
    with torch.inference_mode():
        lip, pose, expression = model.read_weights(picture_to_image(picture, model.sizes.resolution))
        return Motion(lip, pose, expression, fps=FPS)
