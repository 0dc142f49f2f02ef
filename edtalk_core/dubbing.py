"""Dubbing: new lip motion for an existing video, in which only the mouth region changes."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from .detail import Size, frame_size
from .errors import ArgumentError, MotionError, VideoError
from .face.following import FacePath, follow_face
from .face.framing import FaceChoice, VideoCropMode
from .face.paste import ColourMatch, PasteBack, check_feather
from .media.audio import PaddedSound, Sound, fit_duration, open_audio
from .media.picture import as_picture, picture_to_image
from .media.video import VideoReader, exact_fps, resample_frames
from .media.video_writer import PartialNotice, VideoWriter
from .motion.files import load_motion
from .motion.length import length_of_duration
from .motion.motion import Motion
from .motion.operations import back_and_forth, fit
from .output import check_not_an_input, provenance, write_video
from .progress import Progress, StageProgress
from .rendering import FrameRenderer
from .sources.audio import motion_from_audio
from .wording import counted

if TYPE_CHECKING:
    from .model import EDTalk

Length = Literal["video", "audio"]

Upscale = Callable[[torch.Tensor], torch.Tensor]
"""Enlarges rendered mouths: (B,3,S,S) float32 in [0,1] on the model's device -> (B,3,kS,kS), any k."""

_COLOUR_UPDATE_RATE = 0.1
"""Weight of each frame in the running colour match: follows changes of light within half a second, but not grain."""
_READ_BACK_BYTES = 1 << 28
"""Size of the frame buffer for reading a video backwards."""


@dataclass(frozen=True)
class Dubbed:
    """The result of `dub`."""

    path: Path
    frames: int
    fps: float
    duration: float
    """Seconds: frames / fps."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    faceless: int
    """Number of frames without a detected face; they are copied unchanged."""
    lips: Motion
    """The rendered lip motion, with the length and frame rate of the output."""
    precision: str
    """Precision of the computation: "fp32", "bf16" or "fp16"."""
    timings: Mapping[str, float]
    """Seconds spent: "prepare" (lip motion from audio, face tracking) and "render" (frames and file)."""
    warnings: tuple[str, ...]
    """Non-fatal problems, such as frames without a face or audio that was cut."""


def dub(
    model: EDTalk,
    video: str | os.PathLike[str],
    audio: str | os.PathLike[str] | Sound,
    output: str | os.PathLike[str],
    *,
    motion: str | os.PathLike[str] | Motion | None = None,
    length: Length = "video",
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: VideoCropMode = "auto",
    feather: float = 0.1,
    match_colours: bool = True,
    upscale: Upscale | None = None,
    size: Size = "model",
    precision: str = "auto",
    metadata: Mapping[str, str] | None = None,
    progress: StageProgress | None = None,
    on_partial: PartialNotice | None = None,
) -> Dubbed:
    """Dub a video: make its face speak the given audio, in a new video of the same size and frame rate.

    Only the mouth region, from the nose to below the chin, is rendered and pasted into each frame with a soft edge;
    head, eyes and background are unchanged. Where the audio is silent, the mouth closes. Frames without a detected face
    are copied unchanged. The video is read twice and streamed, so memory does not grow with its length (except for the
    audio, and 0.6 KB per frame for the face's position).

    Args:
        model: must have an audio-to-lip network, unless a `motion` is given.
        video: a video file; its own audio is dropped. A variable frame rate becomes constant.
        audio: audio, or the path of an audio file or of a video with audio.
        output: .mp4, .mov or .mkv; written atomically.
        motion: a motion or motion file whose lip track replaces the one computed from the audio.
        length: "video": as long as the video; the audio is cut or padded with silence. "audio": as long as the audio;
            the video is cut or played back and forth.
        face: which face, when there are several; see `follow_face`, also for `box` and `crop`.
        box: (left, top, right, bottom) of the face over the entire video, forehead to chin, in pixels.
        crop: cropping mode of the face.
        feather: width of the mask's soft edge as a share of the crop's side, 0 to 0.5.
        match_colours: correct the colours of the rendered mouth to match its surroundings.
        upscale: enlarges rendered frames before pasting, for faces larger than the model's resolution.
        size: side of the rendered crop in pixels: "model", the model's resolution; "own", that of the crop in the
            video, at most 1024 ("own:2048": at most 2048); or a number. Larger ones keep each frame's own fine detail.
        precision: precision of the computation, as in `FrameRenderer`.
        metadata: tags for the file in addition to the provenance tags.
        progress: callback for the progress of the stages "lips", "face" and "dub"; cancels by raising.
        on_partial: called with the file of the finished frames after a failure or cancellation; see `VideoWriter`.

    Raises:
        ArgumentError: an argument is out of range, or the output is one of the inputs.
        FaceError: no face in the entire video, or not the requested one.
        EDTalkError: an input cannot be read or the output cannot be written (raised as a subclass).

    After a failure or cancellation while rendering, the finished frames remain as a playable file beside the output
    with "partial" in its name (see `VideoWriter`).
    """
    started = time.perf_counter()
    output = Path(output)
    check_not_an_input(output, (video, audio, motion))
    if length not in get_args(Length):
        raise ArgumentError(f"length must be {' or '.join(map(repr, get_args(Length)))}, not {length!r}.")
    check_feather(feather)
    frame_size(size, 0, model.sizes.resolution)
    report = progress or (lambda stage, done, total: None)
    reader = VideoReader(video)
    rate = exact_fps(reader.fps)
    settings = {"lip": "motion" if motion is not None else "audio", "length": length}
    tags = {**(metadata or {}), **provenance(settings, dubbed=True)}
    VideoWriter(output, rate, reader.size, None, tags)  # fails now rather than after the work
    renderer = FrameRenderer(model, precision=precision)

    sound = open_audio(audio)
    if motion is None:
        # The duration that a video declares is an estimate.
        least, most = (reader.duration + 1, 1.5 * reader.duration + 60) if length == "video" else (0.0, math.inf)
        lips = _lips_from_audio(model, sound, least, most, partial(report, "lips"))
    else:
        lips = load_motion(motion) if isinstance(motion, (str, os.PathLike)) else motion
    lips = _checked_lips(lips, model)

    frame_limit = None if length == "video" else length_of_duration(sound.duration, rate).frames
    expected = frame_limit or round(reader.duration * float(rate))
    path = follow_face(
        islice(resample_frames(reader, rate), frame_limit),
        float(rate),
        size=model.sizes.resolution,
        face=face,
        box=box,
        mode=crop,
        progress=lambda done, _: report("face", done, max(done, expected)),
    )
    source_frames = len(path)
    frames = frame_limit or source_frames
    seconds = reader.duration if source_frames == frame_limit else source_frames / float(rate)
    warnings = [*path.warnings, *_length_warnings(length, sound.duration, seconds, float(rate))]
    path = path.take(back_and_forth(source_frames, frames).numpy())
    pictures = islice(_frames_back_and_forth(reader, rate, source_frames), frames)
    if length == "video":
        sound = fit_duration(sound, frames / rate)
    lips = fit(lips, float(rate), frames)
    prepared = time.perf_counter()

    side = frame_size(size, path.own_size, path.size)
    dubbed_frames = _dub_frames(
        pictures, path, lips.track("lip"), side, feather, match_colours, upscale, renderer, partial(report, "dub")
    )
    write_video(VideoWriter(output, rate, reader.size, sound, tags, on_partial=on_partial), dubbed_frames)
    return Dubbed(
        path=output,
        frames=frames,
        fps=float(rate),
        duration=frames / float(rate),
        size=reader.size,
        faceless=path.faceless,
        lips=lips,
        precision=renderer.precision,
        timings={"prepare": prepared - started, "render": time.perf_counter() - prepared},
        warnings=tuple(warnings),
    )


def dub_pictures(
    model: EDTalk,
    pictures: Iterable[np.ndarray],
    path: FacePath,
    lips: Motion,
    *,
    feather: float = 0.1,
    match_colours: bool = True,
    upscale: Upscale | None = None,
    size: Size = "model",
    renderer: FrameRenderer | None = None,
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:
    """Render new lips into a stream of video frames: `dub` without files.

        path = follow_face(pictures, fps, size=model.sizes.resolution)
        for picture in dub_pictures(model, pictures, path, motion_from_audio(model, "speech.wav")):
            ...

    Args:
        model: the model to render with.
        pictures: frames (H, W, 3), uint8 RGB or float32 in 0..1 (a ComfyUI image), in the order of the path.
        path: positions of the face, from `follow_face` with the model's resolution.
        lips: a motion with a lip track; resampled to the path's frame rate, and its last frame held when it is shorter.
        feather, match_colours, upscale, size: as in `dub`.
        renderer: renderer to use, with its precision and batch; by default a new one.
        progress: called as progress(frames done, frames in all); an exception it raises ends the stream.

    Yields:
        A picture for each frame, of the same type. Pixels outside the mouth's mask, and frames without a face, equal
        the input bit for bit.

    Raises, immediately: ArgumentError for a path of another resolution, or a size or feather out of range; MotionError
    for lips that do not fit the model. While streaming: VideoError when the pictures differ from the path in number or
    size, PictureError for items that are not pictures, OutOfMemory.
    """
    if path.size != model.sizes.resolution:
        raise ArgumentError(
            f"The path's crops have {path.size} px and the model {model.sizes.resolution}; follow the face with "
            f"size={model.sizes.resolution}."
        )
    check_feather(feather)
    track = fit(_checked_lips(lips, model), path.fps, max(1, len(path))).track("lip")
    renderer = renderer or FrameRenderer(model)
    side = frame_size(size, path.own_size, path.size)
    return _dub_frames(pictures, path, track, side, feather, match_colours, upscale, renderer, progress)


def _dub_frames(
    pictures: Iterable[np.ndarray],
    path: FacePath,
    lips: torch.Tensor,
    side: int,
    feather: float,
    match_colours: bool,
    upscale: Upscale | None,
    renderer: FrameRenderer,
    progress: Progress | None,
) -> Iterator[np.ndarray]:
    colours: ColourMatch | None = None
    stretch = -1
    stream = iter(pictures)
    done = 0
    # Batches count frames with and without a face, so that at most `renderer.batch` frames are in memory.
    while batch := deque(islice(stream, renderer.batch)):
        indexes = range(done, done + len(batch))
        if indexes.stop > len(path):
            raise VideoError(
                f"There are more pictures than the {counted(len(path), 'frame')} in which the face was followed."
            )
        face_indexes = [index for index in indexes if path.stretches[index] >= 0]
        rendered: dict[int, np.ndarray] = {}
        if face_indexes:
            crops = [path.crop(index, as_picture(batch[index - done]), side) for index in face_indexes]
            images = torch.cat([picture_to_image(crop, side) for crop in crops])
            mouths = renderer.render(images, lips[face_indexes]).add(1).div(2).clamp(0, 1)
            if upscale is not None:
                mouths = upscale(mouths)
            rendered = dict(zip(face_indexes, mouths.permute(0, 2, 3, 1).float().cpu().numpy(), strict=True))
        for index in indexes:
            picture = batch.popleft()
            if index in rendered:
                if match_colours and path.stretches[index] != stretch:
                    colours, stretch = ColourMatch(_COLOUR_UPDATE_RATE), int(path.stretches[index])
                landmarks = path.landmarks[index]
                paste = PasteBack(
                    path.matrices[index],
                    path.frame_size,
                    path.size,
                    area="mouth",
                    feather=feather,
                    landmarks=None if np.isnan(landmarks).any() else landmarks,
                )
                picture = paste.composite(picture, rendered[index], colours=colours)
            yield picture
            done += 1
            if progress is not None:
                progress(done, len(path))
    if done < len(path):
        raise VideoError(
            f"The pictures end after {done} of the {counted(len(path), 'frame')} in which the face was followed."
        )


def _lips_from_audio(
    model: EDTalk, sound: Sound, min_duration: float, max_duration: float, progress: Progress
) -> Motion:
    """Lip motion for audio padded with silence to `min_duration` seconds, so that the mouth is closed at the end.

    What comes after `max_duration` seconds is never heard.
    """
    seconds = min(max(sound.duration, min_duration), max_duration)
    return motion_from_audio(model, PaddedSound(sound, 0, round(seconds * sound.sample_rate)), progress=progress)


def _checked_lips(lips: Motion, model: EDTalk) -> Motion:
    if lips.lip is None:
        raise MotionError(f"Dubbing needs a motion with a lip track; this motion has only {' and '.join(lips.tracks)}.")
    if lips.lip.shape[1] != model.sizes.lip:
        raise MotionError(
            f"The lip track has {lips.lip.shape[1]} weights a frame and this model needs {model.sizes.lip}: it was "
            "made for another model."
        )
    return lips.select("lip")


def _length_warnings(length: Length, sound: float, video: float, fps: float) -> list[str]:
    """Warning about audio and video durations (seconds) that differ by a frame or more; empty otherwise."""
    if abs(sound - video) < 1 / fps:
        return []
    if length == "video":
        effect = "the rest of the sound is cut off" if sound > video else "silence follows the sound"
    else:
        effect = "the video goes back and forth" if sound > video else "the rest of the video is cut off"
    return [f"The sound lasts {sound:.2f} s and the video {video:.2f} s: {effect}."]


def _frames_back_and_forth(reader: VideoReader, fps: Fraction, count: int) -> Iterator[np.ndarray]:
    """The first `count` frames of a video at a constant rate, in the endless order of `back_and_forth`."""
    chunk = max(1, _READ_BACK_BYTES // (3 * reader.size[0] * reader.size[1]))
    while True:
        yield from resample_frames(reader, fps)
        for stop in range(count - 1, 1, -chunk):
            start = max(1, stop - chunk)
            start_time = start / float(fps)
            chunk_frames = resample_frames(
                ((timestamp - start_time, picture) for timestamp, picture in reader.since(start_time)), fps
            )
            yield from reversed(list(islice(chunk_frames, stop - start)))
