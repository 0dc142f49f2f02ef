"""The whole way in one call: a portrait and a sound, a video or a motion become a video file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import ArgumentError
from .face.framing import FaceChoice, PictureCropMode
from .media.audio import Audio, pad_silence, read_audio
from .media.picture import read_picture
from .media.streams import is_video
from .media.video import VideoReader, exact_fps
from .media.video_writer import VideoWriter
from .motion.files import load_motion, save_motion
from .motion.length import result_length
from .motion.motion import Motion
from .output import check_not_an_input, provenance, write_video
from .portrait import portrait_from_picture
from .progress import StageProgress
from .rendering import Renderer
from .sources.assembly import assemble
from .sources.source import FromFlow, FromMotion, FromSound, FromVideo, Own, Source, Written, compose, read_recordings
from .version import __version__

if TYPE_CHECKING:
    from .model import EDTalk

LipSource = Literal["own", "audio", "video"]
PoseSource = Literal["still", "own", "video", "flow"]


@dataclass(frozen=True)
class Animation:
    """The result of `animate`."""

    path: Path
    frames: int
    fps: float
    duration: float
    """Seconds: frames / fps."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    sources: Mapping[str, str]
    """Where each track came from: "own", "audio", "video", "flow", "motion", or the expression as asked for."""
    motion: Motion
    """The motion that was rendered, all tracks."""
    precision: str
    """Precision of the computation: "fp32", "bf16" or "fp16"."""
    timings: Mapping[str, float]
    """Seconds spent: "prepare" (reading, cropping, encoding, motion) and "render" (frames and file)."""
    warnings: tuple[str, ...]
    """Problems that did not stop it: a doubtful crop, frames without a face."""


def animate(
    model: EDTalk,
    portrait: str | os.PathLike[str] | Any,
    driver: str | os.PathLike[str] | Audio | None,
    output: str | os.PathLike[str],
    *,
    motion: str | os.PathLike[str] | Motion | None = None,
    lip: LipSource | None = None,
    pose: PoseSource | None = None,
    pose_video: str | os.PathLike[str] | None = None,
    expression: str | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    fps: float | None = None,
    silence_before: float = 0.0,
    silence_after: float = 0.0,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: PictureCropMode = "auto",
    precision: str = "auto",
    save_motion_to: str | os.PathLike[str] | None = None,
    progress: StageProgress | None = None,
) -> Animation:
    """Make a portrait talk: render a driver's motion with it into a video with the driver's sound.

    The video has round(duration * fps) frames, where the duration is that of the sound; without sound, that of the
    driver video, else that of the motion. A head that is shorter goes back and forth, other tracks hold their end.

    Args:
        model: lips from sound need its audio-to-lip network, pose "flow" its pose flow.
        portrait: whatever `read_picture` takes; the face is found and cropped.
        driver: a sound, or a video whose face and sound are used; None with a `motion`.
        output: .mp4, .mov or .mkv; it appears under its name when it is complete.
        motion: a motion, or the file of one, whose tracks are used where nothing else is asked for.
        lip: "own" (as in the portrait), "audio" or "video" (the driver's). By default the motion's, else the driver's.
        pose: "still" or "own" (held as in the portrait), "video" (`pose_video`, else the driver), "flow" (sampled from
            the pose flow to suit the sound, if there is one). By default the motion's, else a video's, else "flow" if
            there is a sound, else "still".
        pose_video: a video whose face moves the head.
        expression: "own", "video", an emotion with a strength ("happy:0.8"), the file of a preset, or a timeline as
            text or file (see `motion.timeline`). By default the motion's, else the driver video's, else "own".
        seed: of the pose flow.
        temperature: of the pose flow, 0 or more.
        fps: frames a second; by default the motion's if there is one, else the model's.
        silence_before: seconds of silence put in front of the sound.
        silence_after: seconds of silence put at its end.
        face: which face of the portrait, `box` and `crop`: as in `crop_portrait`.
        box: (left, top, right, bottom) of the face, forehead to chin, in the portrait's pixels.
        crop: how the portrait is cropped.
        precision: of the computation, as in `Renderer`.
        save_motion_to: where to write the motion that is rendered, .safetensors or .json.
        progress: told how far each stage is; it cancels by raising.

    Raises:
        ArgumentError: arguments that contradict each other or ask for what the driver or model does not have.
        EDTalkError: of the kind that fits, when an input cannot be read or the output not be written.

    When it fails or is cancelled while frames are rendered, those that are there stay playable in a file beside the
    output whose name says "partial"; a warning on the logger "edtalk" names it (see `VideoWriter`).
    """
    started = time.perf_counter()
    output = Path(output)
    inputs = (portrait, driver, motion, pose_video)
    for target in (output, *([Path(save_motion_to)] if save_motion_to is not None else [])):
        check_not_an_input(target, inputs)
    if driver is None and motion is None:
        raise ArgumentError("There is nothing to animate with: give a sound or a video as driver, or a motion.")
    tell = progress or _tell_nobody

    drivers = read_drivers(driver, motion, pose_video, silence_before, silence_after)
    sources: dict[str, Source] = {
        "lip": lip_source(lip, drivers),
        "pose": pose_source(pose, drivers, model, seed, temperature),
        "expression": expression_source(expression, drivers),
    }
    names = {track: source.name for track, source in sources.items()}
    rate = exact_fps(fps or (drivers.motion.motion.fps if drivers.motion is not None else model.fps))
    size = (model.sizes.resolution, model.sizes.resolution)
    writer = VideoWriter(output, rate, size, drivers.sound, provenance(_settings(sources)))  # refused before the work

    encoded, cropped = portrait_from_picture(model, read_picture(portrait), face=face, box=box, crop=crop)
    recordings, warnings = read_recordings(model, sources.values(), tell)
    length = result_length(drivers.seconds(recordings), rate)
    motions = recordings | compose(model, sources.values(), encoded.own, length, tell)
    tracks = {track: motions[source] for track, source in sources.items() if source in motions}
    made = assemble(model, encoded, tracks, length)
    if save_motion_to is not None:
        save_motion(made, save_motion_to, {"made_by": f"edtalk {__version__}", **names})
    prepared = time.perf_counter()

    renderer = Renderer(model, encoded, precision=precision)
    write_video(writer, renderer.pictures(made, progress=partial(tell, "render")))
    finished = time.perf_counter()
    return Animation(
        path=output,
        frames=length.frames,
        fps=float(rate),
        duration=length.frames / float(rate),
        size=size,
        sources=names,
        motion=made,
        precision=renderer.precision,
        timings={"prepare": prepared - started, "render": finished - prepared},
        warnings=tuple([cropped.warning] if cropped.warning else []) + tuple(warnings),
    )


@dataclass(frozen=True)
class Drivers:
    """The driver, motion and pose video of an animation, opened but not yet read; None for each that is missing."""

    sound: Audio | None = None
    """The driver's sound, with silence before and after it."""
    video: FromVideo | None = None
    video_seconds: float = 0.0
    motion: FromMotion | None = None
    pose_video: FromVideo | None = None

    def seconds(self, recordings: Mapping[Source, Motion]) -> dict[str, float]:
        """How long each lasts, by the names of `motion.length`; a video that was read, as long as what was read."""
        seconds = {}
        if self.sound is not None:
            seconds["audio"] = self.sound.duration
        if self.video is not None:
            read = recordings.get(self.video)
            seconds["video"] = read.duration if read is not None else self.video_seconds
        if self.motion is not None:
            seconds["motion"] = self.motion.motion.duration
        return seconds


def read_drivers(
    driver: str | os.PathLike[str] | Audio | None,
    motion: str | os.PathLike[str] | Motion | None,
    pose_video: str | os.PathLike[str] | None,
    silence_before: float,
    silence_after: float,
) -> Drivers:
    """Open the drivers of an animation, given as to `animate`. Raises EDTalkError of the kind that fits."""
    video, video_seconds, has_sound = None, 0.0, driver is not None
    if isinstance(driver, (str, os.PathLike)) and is_video(driver):
        reader = VideoReader(driver)
        video, video_seconds, has_sound = FromVideo(Path(driver), silence_before), reader.duration, reader.has_audio
    sound = None
    if driver is not None and has_sound:
        sound = pad_silence(read_audio(driver), silence_before, silence_after)
    elif silence_before or silence_after:
        raise ArgumentError("Silence is added to a sound, and there is none here; leave the silence out.")
    loaded = load_motion(motion) if isinstance(motion, (str, os.PathLike)) else motion
    return Drivers(
        sound=sound,
        video=video,
        video_seconds=video_seconds,
        motion=FromMotion(loaded, silence_before) if loaded is not None else None,
        pose_video=FromVideo(Path(pose_video), name="pose video") if pose_video is not None else None,
    )


def lip_source(asked: LipSource | None, drivers: Drivers) -> Source:
    """The source of the lips that `animate(lip=asked)` means. Raises ArgumentError for one that is missing."""
    sound = FromSound(drivers.sound) if drivers.sound is not None else None
    if asked is None:
        if drivers.motion is not None and drivers.motion.motion.lip is not None:
            return drivers.motion
        return drivers.video or sound or Own()
    if asked == "own":
        return Own()
    if asked == "video":
        if drivers.video is None:
            raise ArgumentError("Lips from video need a video as driver, and there is none here.")
        return drivers.video
    if asked == "audio":
        if sound is None:
            raise ArgumentError("Lips from audio need a sound as driver, or a video that has one; there is none here.")
        return sound
    raise ArgumentError(f"Lips come from {', '.join(get_args(LipSource))}, not {asked!r}.")


def pose_source(
    asked: PoseSource | None, drivers: Drivers, model: EDTalk, seed: int = 0, temperature: float = 1.0
) -> Source:
    """The source of the head motion that `animate(pose=asked)` means. Raises ArgumentError for one that is missing."""
    flow = FromFlow(drivers.sound, seed, temperature) if model.pose_flow is not None else None
    if drivers.pose_video is not None:
        if asked not in (None, "video"):
            raise ArgumentError(f"A pose video moves the head, so the pose cannot be {asked!r}; leave one of them out.")
        return drivers.pose_video
    if asked is None:
        if drivers.motion is not None and drivers.motion.motion.pose is not None:
            return drivers.motion
        if drivers.video is not None:
            return drivers.video
        return flow if flow is not None and drivers.sound is not None else Own()
    if asked in ("still", "own"):
        return Own()
    if asked == "video":
        if drivers.video is None:
            raise ArgumentError("A pose from video needs a pose video, or a video as driver; there is none here.")
        return drivers.video
    if asked == "flow":
        if flow is None:
            raise ArgumentError(
                "This model has no pose flow, so it cannot make up a head motion; choose still or video."
            )
        return flow
    raise ArgumentError(f"A pose is one of {', '.join(get_args(PoseSource))}, not {asked!r}.")


def expression_source(asked: str | None, drivers: Drivers) -> Source:
    """The source of the expression that `animate(expression=asked)` means: everything but "own" and "video" is words.

    Raises ArgumentError for a video that is missing. Whether the words mean something is for the source to say.
    """
    if asked is None:
        if drivers.motion is not None and drivers.motion.motion.expression is not None:
            return drivers.motion
        return drivers.video or Own()
    asked = asked.strip()
    if asked == "own":
        return Own()
    if asked == "video":
        if drivers.video is None:
            raise ArgumentError("An expression from video needs a video as driver, and there is none here.")
        return drivers.video
    if asked == "motion":
        raise ArgumentError("'motion' is no emotion; leave the expression out to use that of the motion.")
    return Written(asked)


def _settings(sources: Mapping[str, Source]) -> dict[str, object]:
    """The sources as a video's tags name them: without folders, which may be private."""
    settings: dict[str, object] = {track: source.name for track, source in sources.items()}
    settings["expression"] = os.path.basename(sources["expression"].name)
    pose = sources["pose"]
    return settings | ({"seed": pose.seed, "temperature": pose.temperature} if isinstance(pose, FromFlow) else {})


def _tell_nobody(stage: str, done: int, total: int | None) -> None:
    pass
