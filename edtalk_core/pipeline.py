"""The complete pipeline in one call: a portrait with audio, a video or a motion becomes a video file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .checks import check_number
from .detail import Size
from .errors import ArgumentError
from .face.framing import FaceChoice, PictureCropMode
from .media.audio import Audio, Sound, open_audio, pad_silence
from .media.picture import read_picture
from .media.streams import is_video
from .media.transcript import Transcript, read_transcript
from .media.video import VideoReader, exact_fps
from .media.video_writer import VideoWriter
from .motion.blinks import BLINK_RATE, MAX_RATE, Blink
from .motion.files import load_motion, save_motion
from .motion.length import Length, result_length
from .motion.motion import Motion
from .output import check_not_an_input, provenance, write_video
from .portrait import portrait_from_picture
from .progress import StageProgress
from .rendering import Renderer
from .sources.assembly import assemble
from .sources.blink import blink_motion
from .sources.source import (
    FromFlow,
    FromMotion,
    FromSound,
    FromSpeech,
    FromVideo,
    Own,
    Source,
    Written,
    compose,
    read_recordings,
)
from .sources.speech import SPEECH, SpeechExpression, SpeechSettings
from .version import __version__
from .whole import WholeRenderer

if TYPE_CHECKING:
    from .face.crop import Crop
    from .model import EDTalk, Portrait

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
    """Source of each track: "own", "audio", "video", "flow", "motion", "speech", or the expression as specified."""
    motion: Motion
    """The rendered motion, with all tracks, and with the blinks."""
    speech: SpeechExpression | None
    """The expression from speech with its timeline; None for another expression."""
    blinks: tuple[Blink, ...]
    """The blinks that were added, none where the eyes blink by themselves."""
    precision: str
    """Precision of the computation: "fp32", "bf16" or "fp16"."""
    timings: Mapping[str, float]
    """Seconds spent: "prepare" (reading, cropping, encoding, motion) and "render" (frames and file)."""
    warnings: tuple[str, ...]
    """Non-fatal problems, such as a doubtful crop or frames without a face."""


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
    transcript: str | os.PathLike[str] | Transcript | None = None,
    speech: SpeechSettings | None = None,
    blink: float | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    pose_emotion: str = "",
    nods: float = 0.0,
    fps: float | None = None,
    silence_before: float = 0.0,
    silence_after: float = 0.0,
    face: FaceChoice = "largest",
    box: Sequence[float] | None = None,
    crop: PictureCropMode = "auto",
    size: Size = "model",
    whole: bool = False,
    precision: str = "auto",
    save_motion_to: str | os.PathLike[str] | None = None,
    progress: StageProgress | None = None,
) -> Animation:
    """Animate a portrait: render the motion of a driver into a video with the driver's audio.

    The video has round(duration * fps) frames, where the duration is that of the audio; without audio, that of the
    driver video, else that of the motion. A shorter head motion is played back and forth; other tracks hold their last
    frame.

    Args:
        model: lips from audio require an audio-to-lip network, pose "flow" a pose flow.
        portrait: any input of `read_picture`; the face is detected and cropped.
        driver: audio, or a video whose face and audio are used; may be None with a `motion`.
        output: .mp4, .mov or .mkv; written atomically.
        motion: a motion or motion file whose tracks are used by default.
        lip: "own" (as in the portrait), "audio" or "video" (the driver's). By default the motion's, else the driver's.
        pose: "still" or "own" (held as in the portrait), "video" (`pose_video`, else the driver), "flow" (sampled from
            the pose flow, to match the audio if there is any). By default the motion's, else a video's, else "flow" if
            there is audio, else "still".
        pose_video: a video whose head motion is used.
        expression: "own", "video", an emotion with a strength ("happy:0.8"), a preset file, a timeline as text or
            file (see `motion.timeline`), or "speech": what the words and the voice of the audio ask for (see
            `expression_from_speech`). By default "speech" with a transcript, else the motion's, else the driver
            video's, else "own".
        transcript: what is said, for an expression from speech: a Transcript, or a file of text, .srt or .vtt.
        speech: settings of an expression from speech.
        blink: blinks a minute to add to the expression, 0 for none (see `blink_motion`). By default 17 where the
            expression is neither a video's nor a motion's, and the model names the base of the lids; else 0.
        seed: random seed of the pose flow and of blinks.
        temperature: temperature of the pose flow, 0 or more.
        pose_emotion: how the head of the pose flow feels, see `motion_from_flow`.
        nods: how much the head of the pose flow nods, and lids move, at stressed syllables and the ends of phrases: 0
            not at all, 1 as people do, at most 3.
        fps: frames per second; by default the motion's, else the model's.
        silence_before: seconds of silence to add before the audio.
        silence_after: seconds of silence to add after it.
        face: which face of the portrait, when there are several; see `crop_portrait`, also for `box` and `crop`.
        box: (left, top, right, bottom) of the face, forehead to chin, in the portrait's pixels.
        crop: cropping mode of the portrait.
        size: side of the video in pixels: "model", the model's resolution; "own", that of the portrait's crop in its
            picture, at most 1024 ("own:2048": at most 2048); or a number. Larger frames get the portrait's own fine
            detail; see `Renderer`.
        whole: render the whole picture of the portrait, at its own size, with the head moving in it; `size` is then
            that of the rendered crop, "own" is best. See `WholeRenderer`.
        precision: precision of the computation, as in `Renderer`.
        save_motion_to: file to save the rendered motion in, .safetensors or .json.
        progress: callback for the progress of each stage; cancels by raising.

    Raises:
        ArgumentError: contradictory arguments, or a source that the driver or model does not have.
        EDTalkError: an input cannot be read or the output cannot be written (raised as a subclass).

    After a failure or cancellation while rendering, the finished frames remain as a playable file beside the output
    with "partial" in its name; a warning on the logger "edtalk" names it (see `VideoWriter`).
    """
    started = time.perf_counter()
    output = Path(output)
    for target in (output, *([Path(save_motion_to)] if save_motion_to is not None else [])):
        check_not_an_input(target, (portrait, driver, motion, pose_video, transcript))
    report = progress or (lambda stage, done, total: None)

    drivers = read_drivers(driver, motion, pose_video, silence_before, silence_after)
    sources: dict[str, Source] = {
        "lip": lip_source(lip, drivers),
        "pose": pose_source(pose, drivers, model, seed, temperature, pose_emotion.strip(), nods),
        "expression": expression_source(expression, drivers, transcript, speech, silence_before),
    }
    rate_of_blinks = blink_rate(blink, sources["expression"], drivers, model)
    names = {track: source.name for track, source in sources.items()}
    rate = exact_fps(fps or (drivers.motion.motion.fps if drivers.motion is not None else model.fps))
    result_length(drivers.seconds({}), rate)  # too long: fails now rather than after the work
    picture = read_picture(portrait)
    encoded, cropped = portrait_from_picture(model, picture, face=face, box=box, crop=crop)
    renderer: Renderer | WholeRenderer
    if whole:
        renderer = WholeRenderer(model, encoded, picture, cropped.matrix, precision=precision, size=size)
        video_size = renderer.size
    else:
        renderer = Renderer(model, encoded, precision=precision, size=size)
        video_size = (renderer.size, renderer.size)
    # Created before the recordings are read, so that an unusable output fails before the work.
    writer = VideoWriter(output, rate, video_size, drivers.sound, provenance(_settings(sources, rate_of_blinks)))

    recordings, warnings = read_recordings(model, sources.values(), report)
    length = result_length(drivers.seconds(recordings), rate)
    tracks, expressed = _read_tracks(model, sources, recordings, encoded.own, length, report)
    rendered_motion, blinks = _with_blinks(
        model, encoded, cropped, assemble(model, encoded, tracks, length), drivers.sound, rate_of_blinks, seed, nods
    )
    if save_motion_to is not None:
        save_motion(rendered_motion, save_motion_to, {"made_by": f"edtalk {__version__}", **names})
    prepared = time.perf_counter()

    write_video(writer, renderer.pictures(rendered_motion, progress=partial(report, "render")))
    return Animation(
        path=output,
        frames=length.frames,
        fps=float(rate),
        duration=length.frames / float(rate),
        size=video_size,
        sources=names,
        motion=rendered_motion,
        speech=expressed,
        blinks=blinks,
        precision=renderer.precision,
        timings={"prepare": prepared - started, "render": time.perf_counter() - prepared},
        warnings=tuple(filter(None, [cropped.warning, *warnings, *(expressed.notes if expressed else ())])),
    )


def _read_tracks(
    model: EDTalk,
    sources: Mapping[str, Source],
    recordings: Mapping[Source, Motion],
    own: Motion,
    length: Length,
    report: StageProgress,
) -> tuple[dict[str, Motion], SpeechExpression | None]:
    """The motion of each track that has a source, and the expression from speech if that is the source of one."""
    motions = {**recordings, **compose(model, sources.values(), own, length, report)}
    spoken, expressed = sources["expression"], None
    if isinstance(spoken, FromSpeech):
        expressed = spoken.express(model, own)
        motions[spoken] = expressed.motion
    return {track: motions[source] for track, source in sources.items() if source in motions}, expressed


def _with_blinks(
    model: EDTalk,
    portrait: Portrait,
    crop: Crop,
    motion: Motion,
    sound: Sound | None,
    rate: float,
    seed: int,
    nods: float,
) -> tuple[Motion, tuple[Blink, ...]]:
    """The motion with blinks, and with lids that go along with nods where the model names them; and the blinks."""
    if not rate:
        return motion, ()
    stress = nods if model.bases.lids is not None else 0.0
    return blink_motion(model, portrait, crop, motion, audio=sound, rate=rate, seed=seed, stress=stress)


@dataclass(frozen=True)
class Drivers:
    """The driver, motion and pose video of an animation, opened but not yet read; None where missing."""

    sound: Sound | None = None
    """The driver's audio, with silence before and after it."""
    video: FromVideo | None = None
    video_seconds: float = 0.0
    motion: FromMotion | None = None
    pose_video: FromVideo | None = None

    def seconds(self, recordings: Mapping[Source, Motion]) -> dict[str, float]:
        """Durations by the names of `motion.length`; for a video that was read, the duration of its recording."""
        seconds = {}
        if self.sound is not None:
            seconds["audio"] = self.sound.duration
        if self.video is not None:
            recording = recordings.get(self.video)
            seconds["video"] = recording.duration if recording is not None else self.video_seconds
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
    """Open the drivers of an animation; arguments as in `animate`.

    Raises ArgumentError when there is neither a driver nor a motion, EDTalkError for unreadable files.
    """
    if driver is None and motion is None:
        raise ArgumentError("There is nothing to animate with: pass a sound or a video as driver, or a motion.")
    video, video_seconds, has_sound = None, 0.0, driver is not None
    if isinstance(driver, (str, os.PathLike)) and is_video(driver):
        reader = VideoReader(driver)
        video, video_seconds, has_sound = FromVideo(Path(driver), silence_before), reader.duration, reader.has_audio
    sound = None
    if driver is not None and has_sound:
        sound = pad_silence(open_audio(driver), silence_before, silence_after)
    elif silence_before or silence_after:
        raise ArgumentError("Silence is added to a sound, and there is none; leave the silence out.")
    loaded = load_motion(motion) if isinstance(motion, (str, os.PathLike)) else motion
    return Drivers(
        sound=sound,
        video=video,
        video_seconds=video_seconds,
        motion=FromMotion(loaded, silence_before) if loaded is not None else None,
        pose_video=FromVideo(Path(pose_video), name="pose video") if pose_video is not None else None,
    )


def lip_source(name: LipSource | None, drivers: Drivers) -> Source:
    """Resolve the lip source `animate(lip=name)`. Raises ArgumentError for a missing one."""
    sound = FromSound(drivers.sound) if drivers.sound is not None else None
    if name is None:
        if drivers.motion is not None and drivers.motion.motion.lip is not None:
            return drivers.motion
        return drivers.video or sound or Own()
    if name == "own":
        return Own()
    if name == "video":
        if drivers.video is None:
            raise ArgumentError("Lips from video need a video as driver, and there is none.")
        return drivers.video
    if name == "audio":
        if sound is None:
            raise ArgumentError("Lips from audio need a sound as driver, or a video with sound; there is none.")
        return sound
    raise ArgumentError(f"lip must be one of {', '.join(get_args(LipSource))}, not {name!r}.")


def pose_source(
    name: PoseSource | None,
    drivers: Drivers,
    model: EDTalk,
    seed: int = 0,
    temperature: float = 1.0,
    emotion: str = "",
    nods: float = 0.0,
) -> Source:
    """Resolve the head motion source `animate(pose=name)`; the other arguments are those of the pose flow.

    Raises ArgumentError for a missing one, and for an emotion or nods of another one than the flow.
    """
    source = _pose_source(name, drivers, model, FromFlow(drivers.sound, seed, temperature, emotion, nods))
    if (emotion or nods) and not isinstance(source, FromFlow):
        raise ArgumentError(
            "An emotion of the head's motion, and nods, are of the pose flow, and the head's motion here is "
            f"{source.name!r}: choose the flow, or leave them out."
        )
    return source


def _pose_source(name: PoseSource | None, drivers: Drivers, model: EDTalk, sampled: FromFlow) -> Source:
    flow = sampled if model.pose_flow is not None else None
    if drivers.pose_video is not None:
        if name not in (None, "video"):
            raise ArgumentError(f"A pose video drives the head, so pose cannot be {name!r}; leave one of them out.")
        return drivers.pose_video
    if name is None:
        if drivers.motion is not None and drivers.motion.motion.pose is not None:
            return drivers.motion
        if drivers.video is not None:
            return drivers.video
        return flow if flow is not None and drivers.sound is not None else Own()
    if name in ("still", "own"):
        return Own()
    if name == "video":
        if drivers.video is None:
            raise ArgumentError("A pose from video needs a pose video, or a video as driver; there is none.")
        return drivers.video
    if name == "flow":
        if flow is None:
            raise ArgumentError(
                "This model has no pose flow, so it cannot generate head motion; choose still or video."
            )
        return flow
    raise ArgumentError(f"pose must be one of {', '.join(get_args(PoseSource))}, not {name!r}.")


def expression_source(
    name: str | None,
    drivers: Drivers,
    transcript: str | os.PathLike[str] | Transcript | None = None,
    speech: SpeechSettings | None = None,
    silence_before: float = 0.0,
) -> Source:
    """Resolve the expression source `animate(expression=name)`: "own", "video", "speech", else a preset or timeline.

    Raises ArgumentError for a missing video or sound, or a transcript of another source; MediaError for a transcript
    that cannot be read. Presets and timelines are validated by the source.
    """
    if name is None and transcript is not None:
        name = SPEECH
    if name is not None and name.strip() == SPEECH:
        if drivers.sound is None:
            raise ArgumentError(
                "An expression from speech needs a sound as driver, or a video with sound; there is none."
            )
        if transcript is not None and not isinstance(transcript, Transcript):
            transcript = read_transcript(transcript)
        words = transcript.delayed(silence_before) if transcript is not None else None
        return FromSpeech(drivers.sound, words, speech or SpeechSettings())
    if transcript is not None:
        raise ArgumentError(f"A transcript is for the expression speech, not for {name!r}: leave one of them out.")
    if name is None:
        if drivers.motion is not None and drivers.motion.motion.expression is not None:
            return drivers.motion
        return drivers.video or Own()
    name = name.strip()
    if name == "own":
        return Own()
    if name == "video":
        if drivers.video is None:
            raise ArgumentError("An expression from video needs a video as driver, and there is none.")
        return drivers.video
    if name == "motion":
        raise ArgumentError("'motion' is not an emotion; leave the expression out to use that of the motion.")
    return Written(name)


def blink_rate(rate: float | None, expression: Source, drivers: Drivers, model: EDTalk) -> float:
    """Resolve the blinks a minute of `animate(blink=rate)`. Raises ArgumentError for a rate out of range."""
    if rate is not None:
        return check_number(rate, "The blink rate", low=0, high=MAX_RATE, unit="blinks a minute")
    recorded = drivers.motion is not None or isinstance(expression, FromVideo)
    return 0.0 if recorded or model.bases.lids is None else BLINK_RATE


def _settings(sources: Mapping[str, Source], rate_of_blinks: float) -> dict[str, object]:
    """The sources for a video's tags, without folder names, which may be private."""
    settings: dict[str, object] = {track: source.name for track, source in sources.items()}
    settings["expression"] = os.path.basename(sources["expression"].name)
    if rate_of_blinks:
        settings["blink"] = rate_of_blinks
    pose = sources["pose"]
    return settings | ({"seed": pose.seed, "temperature": pose.temperature} if isinstance(pose, FromFlow) else {})
