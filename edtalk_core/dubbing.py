"""New lips for an existing video: each of its frames is its own portrait, and all but the mouth stays as it was."""

from __future__ import annotations

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

from .errors import ArgumentError, MotionError, VideoError
from .face.following import FacePath, follow_face
from .face.framing import FaceChoice, VideoCropMode
from .face.paste import ColourMatch, PasteBack, check_feather
from .media.audio import Audio, fit_duration, pad_silence, read_audio
from .media.picture import as_picture, picture_to_image
from .media.video import VideoReader, exact_fps, resample_frames
from .media.video_writer import PartialNotice, VideoWriter
from .motion.files import load_motion
from .motion.length import lasting
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

_COLOURS_FOLLOW = 0.1
"""Share of each frame that the colours follow: light changes within half a second, and grain does not show."""
_READ_BACK_BYTES = 1 << 28
"""Pictures kept at once while a video is read backwards."""


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
    """Frames in which the face was not seen; their pictures are the video's own."""
    lips: Motion
    """The lips that were put in, as long and at the frame rate of what was made."""
    precision: str
    """Precision of the computation: "fp32", "bf16" or "fp16"."""
    timings: Mapping[str, float]
    """Seconds spent: "prepare" (hearing the lips, following the face) and "render" (frames and file)."""
    warnings: tuple[str, ...]
    """Problems that did not stop it: frames without a face, a sound that was cut."""


def dub(
    model: EDTalk,
    video: str | os.PathLike[str],
    audio: str | os.PathLike[str] | Audio,
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
    precision: str = "auto",
    metadata: Mapping[str, str] | None = None,
    progress: StageProgress | None = None,
    on_partial: PartialNotice | None = None,
) -> Dubbed:
    """Let the face of a video say a sound, in a new video of the same size and frame rate, with that sound.

    Only the mouth, from the nose to below the chin, is rendered and pasted into each frame with a soft edge; head,
    eyes and everything around stay the video's own. Where the sound is silent, the mouth closes. Frames in which the
    face is not seen stay as they are. The video is read twice and never held: memory does not grow with its length (but
    for the sound, and 0.6 KB a frame on where the face is).

    Args:
        model: one with an audio-to-lip network, unless there is a `motion`.
        video: a video file; its own sound is left out. A frame rate that varies becomes steady.
        audio: a sound, or the path of a sound file or of a video with sound.
        output: .mp4, .mov or .mkv; it appears under its name when it is complete.
        motion: a motion, or the file of one, whose lips are put in instead of those that are heard.
        length: "video": as long as the video; the sound is cut, or followed by silence. "audio": as long as the sound;
            the video is cut, or goes back and forth.
        face: which face of several, as in `follow_face`; so are `box` and `crop`.
        box: (left, top, right, bottom) of the face over the whole video, forehead to chin, in pixels.
        crop: how the face is cut out.
        feather: width of the mask's soft edge as a share of the crop's side, 0 to 0.5.
        match_colours: take a tint of the rendered mouth against its surroundings out of it.
        upscale: enlarges rendered frames before they are pasted, for faces larger than the model's resolution.
        precision: of the computation, as in `FrameRenderer`.
        metadata: tags for the file besides those that say what it is.
        progress: told how far the stages "lips", "face" and "dub" are; it cancels by raising.
        on_partial: told of the file of what is done when it fails or is cancelled, as by `VideoWriter`.

    Raises:
        ArgumentError: an argument out of its range, or an output that is an input.
        FaceError: no face in the whole video, or not the one asked for.
        EDTalkError: of the kind that fits, when an input cannot be read or the output not be written.

    When it fails or is cancelled while frames are rendered, those that are there stay playable in a file beside the
    output whose name says "partial" (see `VideoWriter`).
    """
    started = time.perf_counter()
    output = Path(output)
    check_not_an_input(output, (video, audio, motion))
    if length not in get_args(Length):
        raise ArgumentError(f"The length is that of the {' or the '.join(get_args(Length))}, not {length!r}.")
    check_feather(feather)
    tell = progress or (lambda stage, done, total: None)
    reader = VideoReader(video)
    rate = exact_fps(reader.fps)
    settings = {"lip": "motion" if motion is not None else "audio", "length": length}
    tags = {**(metadata or {}), **provenance(settings, dubbed=True)}
    VideoWriter(output, rate, reader.size, None, tags)  # refused now, not after the work
    renderer = FrameRenderer(model, precision=precision)

    sound = read_audio(audio)
    if motion is None:
        least = reader.duration + 1 if length == "video" else 0.0
        lips = _lips_of_sound(model, sound, least, partial(tell, "lips"))
    else:
        lips = load_motion(motion) if isinstance(motion, (str, os.PathLike)) else motion
    lips = _checked_lips(lips, model)

    limit = None if length == "video" else lasting(sound.duration, rate).frames
    expected = limit or round(reader.duration * float(rate))
    path = follow_face(
        islice(resample_frames(reader, rate), limit),
        float(rate),
        size=model.sizes.resolution,
        face=face,
        box=box,
        mode=crop,
        progress=lambda done, _: tell("face", done, max(done, expected)),
    )
    own = len(path)
    frames = limit or own
    seconds = reader.duration if own == limit else own / float(rate)
    warnings = [*path.warnings, *_about_length(length, sound.duration, seconds, float(rate))]
    path = path.take(back_and_forth(own, frames).numpy())
    pictures = islice(_there_and_back(reader, rate, own), frames)
    if length == "video":
        sound = fit_duration(sound, frames / rate)
    lips = fit(lips, float(rate), frames)
    prepared = time.perf_counter()

    dubbed = _dubbed(pictures, path, lips.track("lip"), feather, match_colours, upscale, renderer, partial(tell, "dub"))
    write_video(VideoWriter(output, rate, reader.size, sound, tags, on_partial=on_partial), dubbed)
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
    renderer: FrameRenderer | None = None,
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:
    """Put lips into the frames of a video as they come: the way of `dub` without files.

        path = follow_face(pictures, fps, size=model.sizes.resolution)
        for picture in dub_pictures(model, pictures, path, motion_from_audio(model, "speech.wav")):
            ...

    Args:
        model: what renders.
        pictures: (H, W, 3) each, uint8 RGB or float32 in 0..1 (a ComfyUI image): the frames that the path is about, in
            its order.
        path: where the face is, made by `follow_face` at the model's resolution.
        lips: a motion with a lip track, brought to the path's frame rate; the last frame of a shorter one is held.
        feather, match_colours, upscale: as in `dub`.
        renderer: one to use, with its precision and batch; by default a new one.
        progress: called as progress(frames done, frames in all); what it raises ends the stream.

    Yields:
        A picture for each, of the same type. What lies outside of the mouth's mask, and every frame without the face,
        equals the frame given bit for bit.

    Raises, at once: ArgumentError for a path of another resolution or a feather out of range, MotionError for lips that
    do not fit the model. While streaming: VideoError when there are not as many pictures as the path has frames, or
    they have another size, PictureError for something else than pictures, OutOfMemory.
    """
    if path.size != model.sizes.resolution:
        raise ArgumentError(
            f"The path's crops have {path.size} px and the model {model.sizes.resolution}; follow the face with "
            f"size={model.sizes.resolution}."
        )
    check_feather(feather)
    track = fit(_checked_lips(lips, model), path.fps, max(1, len(path))).track("lip")
    renderer = renderer or FrameRenderer(model)
    return _dubbed(pictures, path, track, feather, match_colours, upscale, renderer, progress)


def _dubbed(
    pictures: Iterable[np.ndarray],
    path: FacePath,
    lips: torch.Tensor,
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
    # As many frames as are computed together, with or without a face, so that no more are ever waiting.
    while waiting := deque(islice(stream, renderer.batch)):
        indexes = range(done, done + len(waiting))
        if indexes.stop > len(path):
            raise VideoError(
                f"There are more pictures than the {counted(len(path), 'frame')} in which the face was followed."
            )
        seen = [index for index in indexes if path.stretches[index] >= 0]
        rendered: dict[int, np.ndarray] = {}
        if seen:
            crops = [path.crop(index, as_picture(waiting[index - done])) for index in seen]
            images = torch.cat([picture_to_image(crop, path.size) for crop in crops])
            mouths = renderer.render(images, lips[seen]).add(1).div(2).clamp(0, 1)
            if upscale is not None:
                mouths = upscale(mouths)
            rendered = dict(zip(seen, mouths.permute(0, 2, 3, 1).float().cpu().numpy(), strict=True))
        for index in indexes:
            picture = waiting.popleft()
            if index in rendered:
                if match_colours and path.stretches[index] != stretch:
                    colours, stretch = ColourMatch(_COLOURS_FOLLOW), int(path.stretches[index])
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


def _lips_of_sound(model: EDTalk, sound: Audio, seconds: float, progress: Progress) -> Motion:
    """Lips that say a sound; it is followed by silence up to `seconds`, so that the end of a video has closed lips."""
    return motion_from_audio(model, pad_silence(sound, 0, max(0.0, seconds - sound.duration)), progress=progress)


def _checked_lips(lips: Motion, model: EDTalk) -> Motion:
    if lips.lip is None:
        raise MotionError(f"Dubbing needs a motion with lips; this one has only {' and '.join(lips.tracks)}.")
    if lips.lip.shape[1] != model.sizes.lip:
        raise MotionError(
            f"The lips have {lips.lip.shape[1]} weights a frame and this model {model.sizes.lip}: they were made for "
            "another model."
        )
    return lips.select("lip")


def _about_length(length: Length, sound: float, video: float, fps: float) -> list[str]:
    """What happens to a sound and a video of other lengths (seconds), if they differ by a frame and more."""
    if abs(sound - video) < 1 / fps:
        return []
    if length == "video":
        happens = "the rest of the sound is cut off" if sound > video else "silence follows the sound"
    else:
        happens = "the video goes back and forth" if sound > video else "the rest of the video is cut off"
    return [f"The sound lasts {sound:.2f} s and the video {video:.2f} s: {happens}."]


def _there_and_back(reader: VideoReader, fps: Fraction, count: int) -> Iterator[np.ndarray]:
    """The frames of a video at a steady rate, `count` of them, back and forth for ever; as `back_and_forth`."""
    chunk = max(1, _READ_BACK_BYTES // (3 * reader.size[0] * reader.size[1]))
    while True:
        yield from resample_frames(reader, fps)
        for stop in range(count - 1, 1, -chunk):
            start = max(1, stop - chunk)
            begin = start / float(fps)
            later = resample_frames(((shown - begin, picture) for shown, picture in reader.since(begin)), fps)
            yield from reversed(list(islice(later, stop - start)))
