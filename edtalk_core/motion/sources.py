"""Where motion comes from: a sound, a video, a picture, a preset. Each gives a `Motion` with the tracks it knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from ..checks import check_whole
from ..errors import ArgumentError, MotionError, VideoError
from ..face.crop import VideoCrop, crop_video
from ..media.audio import Audio, pad_silence, read_audio
from ..media.mel import AudioFeatures, encode_audio
from ..media.picture import picture_to_image
from ..media.video import VideoReader, frame_count_for, resample_frames
from ..networks.pose_flow import frame_spectra
from ..progress import Progress
from .files import file_kind
from .keys import frames_until
from .motion import FPS, Motion, checked_fps
from .operations import smooth
from .pose_sampling import sample_pose
from .presets import Anchor, expression_preset
from .timeline import expression_timeline, parse_timeline

if TYPE_CHECKING:
    import numpy as np

    from ..model import EDTalk


def motion_from_audio(
    model: EDTalk,
    audio: Audio | AudioFeatures | str | os.PathLike[str],
    *,
    silence_before: float = 0.0,
    silence_after: float = 0.0,
    batch: int = 64,
    progress: Progress | None = None,
) -> Motion:
    """Lips that say what is heard: mel windows, audio-to-lip, the published temporal Gaussian (`smooth`).

    Args:
        model: one with an audio-to-lip network.
        audio: a sound or its features, or the path of a sound file or of a video with sound.
        silence_before: seconds of silence put in front, in which the mouth is closed.
        silence_after: seconds of silence put at the end. Neither goes with features: pad the sound they are made of.
        batch: frames computed at once.

    Returns:
        A lip track at 25 fps, of as many frames as the sound has whole ones of 40 ms.

    Raises:
        MotionError: the model has no audio-to-lip network.
        AudioError: the sound cannot be read or is unusable.
        ArgumentError: a batch or silence out of range.
    """
    network = model.audio_to_lip
    if network is None:
        raise MotionError(
            "This model has no audio-to-lip network, so it cannot read lips off a sound. Load Audio2Lip.pt with it: "
            "load_model('EDTalk.pt', 'Audio2Lip.pt')."
        )
    check_whole(batch, "The batch", low=1, unit="frames")
    features = _features(audio, silence_before, silence_after)
    parameter = next(network.parameters())
    lips = []
    with torch.inference_mode():
        for first in range(0, features.frames, batch):
            last = min(first + batch, features.frames)
            lips.append(network(features.windows(first, last).to(parameter)).float().cpu())
            if progress:
                progress(last, features.frames)
        return Motion(lip=smooth(torch.cat(lips)), fps=FPS)


def motion_from_video(
    model: EDTalk,
    path: str | os.PathLike[str],
    *,
    face: Literal["largest", "only"] | int = "largest",
    box: Sequence[float] | None = None,
    crop: Literal["auto", "box", "none"] = "auto",
    batch: int = 16,
    progress: Progress | None = None,
) -> tuple[Motion, VideoCrop]:
    """What a face does in a video: its lip, pose and (if the model has one) expression, frame by frame.

    The video is brought to 25 fps by its time stamps, whatever its rate, and cut by one box for the whole clip, the
    published driver-video crop. A frame in which the face is not seen is cut by the same box and counted, never an
    error. Frames are read as they are needed; memory does not grow with the length.

    Args:
        model: any variant.
        path: a video file.
        face: which one, when there are several (see `crop_video`).
        box: (left, top, right, bottom) of the face over the whole clip in pixels, instead of looking for it.
        crop: "auto" keeps a clip whole that is a face crop already, "box" always crops, "none" never looks for a face.
        batch: frames read at once.
        progress: counts the frames of both passes, the search for the face and the reading.

    Returns:
        The motion at 25 fps, and the crop: its `.box`, the `.frames` searched, how many were `.faceless`, a `.warning`.

    Raises:
        VideoError: the file cannot be read as a video; one that is a preset or other data is told by name.
        FaceError: there is no face, or not the one asked for.
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
    face: Literal["largest", "only"] | int = "largest",
    box: Sequence[float] | None = None,
    crop: Literal["auto", "box", "none"] = "auto",
    batch: int = 16,
    progress: Progress | None = None,
) -> tuple[Motion, VideoCrop]:
    """As `motion_from_video`, of frames that are no file.

    Args:
        model: any variant.
        open_frames: opens the frames anew, (seconds, picture (H,W,3) uint8 RGB) in order; called once or twice.
        duration: seconds that they last, to tell the progress of.
        face: and the others: see `motion_from_video`.
    """
    check_whole(batch, "The batch", low=1, unit="frames")
    passes = 1 if box is not None or crop == "none" else 2
    expected = round(duration * FPS)
    searched = 0

    def report(done: int, frames: int) -> None:
        if progress:
            progress(done, max(done, passes * frames))

    def report_search(done: int, _: int | None) -> None:
        nonlocal searched
        searched = done
        report(done, max(done, expected))

    found, pictures = crop_video(
        lambda: resample_frames(open_frames(), FPS),
        size=model.sizes.resolution,
        face=face,
        box=box,
        mode=crop,
        progress=report_search,
    )
    lips, poses, expressions = [], [], []
    done = 0
    with torch.inference_mode():
        while images := [picture_to_image(picture, found.size) for picture in islice(pictures, batch)]:
            lip, pose, expression = model.read_weights(torch.cat(images))
            lips.append(lip.float().cpu())
            poses.append(pose.float().cpu())
            if expression is not None:
                expressions.append(expression.float().cpu())
            done += len(images)
            report(searched + done, searched or max(done, expected))
        motion = Motion(torch.cat(lips), torch.cat(poses), torch.cat(expressions) if expressions else None, fps=FPS)
    return motion, found


_DATA_KINDS = {
    "a NumPy array (.npy)",
    "JSON",
    "a safetensors file",
    "a Python pickle",
    "a zip archive (such as a .pt checkpoint or an .npz)",
}


def motion_from_picture(model: EDTalk, picture: np.ndarray) -> Motion:
    """What a face does in a picture: lip, pose and (if the model has one) expression, one frame.

    `picture` is a square crop (S,S,3) uint8 RGB of any size, as `crop_portrait` makes it. Use the motion as it is (to
    take over a pose), or held to a length. Raises PictureError when it is not such a picture.
    """
    with torch.inference_mode():
        lip, pose, expression = model.read_weights(picture_to_image(picture, model.sizes.resolution))
        return Motion(lip, pose, expression, fps=FPS)


def motion_from_preset(model: EDTalk, emotion: str, strength: float, anchor: Anchor) -> Motion:
    """The expression of one of the model's presets, one frame: `expression_preset(model.presets, ...)`.

    Raises MotionError when the model has no expressions at all (the lip+pose variant), else as `expression_preset`.
    """
    _check_has_expressions(model)
    return expression_preset(model.presets, emotion, strength, anchor)


def motion_from_timeline(
    model: EDTalk, text: str, anchor: Anchor, *, duration: float | None = None, fps: float = FPS
) -> Motion:
    """An expression that changes over time, with the model's presets: `expression_timeline(text, model.presets, ...)`.

    `duration` in seconds; by default until the last key is reached. Raises MotionError when the model has no
    expressions at all (the lip+pose variant), else as `expression_timeline`.
    """
    _check_has_expressions(model)
    if duration is None:
        duration = frames_until(parse_timeline(text)[-1].time, checked_fps(fps)) / fps
    return expression_timeline(text, model.presets, anchor, duration, fps)


def motion_from_flow(
    model: EDTalk,
    audio: Audio | AudioFeatures | str | os.PathLike[str] | None,
    anchor: Motion,
    *,
    duration: float | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    amount: float = 1.0,
    progress: Progress | None = None,
) -> Motion:
    """A head that moves as heads do while this is said: drawn from the pose flow (see `sample_pose`).

    Args:
        model: one with a pose flow.
        audio: a sound or its features, or the path of a sound file or of a video with sound; None for a head that only
            listens.
        anchor: the motion in whose first pose the head starts and about which it stays (`Portrait.own`).
        duration: seconds; by default those of the sound. Without sound it must be given.
        seed: the same seed gives the same motion.
        temperature: 1 moves as the training clips do, less is calmer, 0 is the typical movement without chance.
        amount: how far it moves about the anchor: 0 is still, 2 twice as far and as fast.
        progress: counts the frames.

    Returns:
        A pose track at 25 fps.

    Raises:
        MotionError: the model has no pose flow, or the anchor no pose of its width.
        AudioError: the sound cannot be read or is unusable.
        ArgumentError: a number out of range, or neither sound nor duration.
    """
    if model.pose_flow is None:
        raise MotionError("This model has no pose flow, so it cannot make up how the head moves. Load one that has.")
    spectra = None
    if audio is not None:
        features = _features(audio)
        duration = features.duration if duration is None else duration
        spectra = frame_spectra(features.windows())
    elif duration is None:
        raise ArgumentError("A head motion needs a sound or a duration; neither was given.")
    frames = max(1, frame_count_for(duration, FPS))
    first = anchor.track("pose")[0]
    return sample_pose(model.pose_flow, spectra, frames, first, seed, temperature, amount, progress=progress)


def _features(
    audio: Audio | AudioFeatures | str | os.PathLike[str], silence_before: float = 0.0, silence_after: float = 0.0
) -> AudioFeatures:
    if not isinstance(audio, AudioFeatures):
        return encode_audio(pad_silence(read_audio(audio), silence_before, silence_after))
    if silence_before or silence_after:
        raise ArgumentError("Silence is added to a sound, not to its features: pad the sound before encoding it.")
    return audio


def _check_has_expressions(model: EDTalk) -> None:
    if not model.sizes.expression:
        raise MotionError("This is a lip+pose model: it has no expressions. Load EDTalk.pt for emotions.")
