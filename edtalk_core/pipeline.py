"""The whole way in one call: a portrait and a sound, a video or a motion become a video file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from .errors import ArgumentError
from .face.crop import crop_portrait
from .media.audio import Audio, pad_silence, read_audio
from .media.picture import picture_to_image, read_picture
from .media.streams import is_video
from .media.video import VideoReader, VideoWriter, exact_fps, frame_count_for
from .motion.files import load_motion, save_motion
from .motion.motion import Motion
from .motion.operations import combine, concatenate, hold
from .rendering import Renderer
from .sources.audio import motion_from_audio
from .sources.flow import motion_from_flow
from .sources.text import motion_from_expression
from .sources.video import motion_from_video
from .version import __version__

if TYPE_CHECKING:
    from .model import EDTalk

LipSource = Literal["own", "audio", "video"]
PoseSource = Literal["still", "own", "video", "flow"]

StageProgress = Callable[[str, int, int | None], None]
"""Called as progress(stage, done, total): what is being done, how many frames are, and of how many (None: unknown)."""


@dataclass(frozen=True)
class Animation:
    """What `animate` made."""

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
    """What was rendered, all tracks."""
    precision: str
    """What the frames were computed in: "fp32", "bf16" or "fp16"."""
    timings: Mapping[str, float]
    """Seconds spent: "prepare" (reading, cropping, encoding, motion) and "render" (frames and file)."""
    warnings: tuple[str, ...]
    """What went less well than it should: a doubtful crop, frames without a face."""


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
    face: Literal["largest", "only"] | int = "largest",
    box: tuple[float, float, float, float] | None = None,
    crop: Literal["auto", "template", "box", "none"] = "auto",
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
    inputs = [path for path in (portrait, driver, motion, pose_video) if isinstance(path, (str, os.PathLike))]
    check_not_an_input(output, inputs)
    if save_motion_to is not None:
        check_not_an_input(Path(save_motion_to), inputs)
    if driver is None and motion is None:
        raise ArgumentError("There is nothing to animate with: give a sound or a video as driver, or a motion.")

    tell = progress or _tell_nobody

    given = load_motion(motion) if isinstance(motion, (str, os.PathLike)) else motion
    actor = Path(driver) if isinstance(driver, (str, os.PathLike)) and is_video(driver) else None
    sound = None
    if driver is not None and (actor is None or VideoReader(actor).has_audio):
        sound = pad_silence(read_audio(driver), silence_before, silence_after)
    elif silence_before or silence_after:
        raise ArgumentError("Silence is added to a sound, and there is none here; leave the silence out.")
    sources = {
        "lip": _lip_source(lip, model, given, sound, actor),
        "pose": _pose_source(pose, model, given, sound, actor, pose_video),
        "expression": _expression_source(expression, model, given, actor),
    }
    rate = exact_fps(fps or (given.fps if given is not None else model.fps))
    size = model.sizes.resolution
    settings: dict[str, object] = {**sources, "expression": os.path.basename(sources["expression"])}
    if sources["pose"] == "flow":
        settings |= {"seed": seed, "temperature": temperature}
    writer = VideoWriter(output, rate, (size, size), sound, provenance(settings))

    cut = crop_portrait(read_picture(portrait), size=size, face=face, box=box, mode=crop)
    warnings = [cut.warning] if cut.warning else []
    with torch.inference_mode():
        encoded = model.encode_portrait(picture_to_image(cut.picture, size))

    motions = {"own": encoded.own}
    if given is not None:
        motions["motion"] = _delayed(given, silence_before)
    if sound is not None and sources["lip"] == "audio":
        motions["audio"] = motion_from_audio(model, sound, progress=partial(tell, "lips"))
    for source, path, delay in (("video", actor, silence_before), ("pose video", pose_video, 0.0)):
        if path is not None and source in sources.values():
            read, found = motion_from_video(model, path, progress=partial(tell, source))
            motions[source] = _delayed(read, delay)
            if found.warning:
                warnings.append(f"{path}: {found.warning}")

    if sound is not None:
        duration = sound.duration
    elif actor is not None:
        duration = motions["video"].duration if "video" in motions else VideoReader(actor).duration
    else:
        duration = motions["motion"].duration
    frames = max(1, frame_count_for(duration, rate))
    if sources["pose"] == "flow":
        motions["flow"] = motion_from_flow(
            model,
            sound,
            encoded.own,
            duration=duration,
            seed=seed,
            temperature=temperature,
            progress=partial(tell, "head"),
        )
    wanted = sources["expression"]
    if wanted not in motions:
        motions[wanted] = motion_from_expression(model, wanted, encoded.own, float(frames / rate), float(rate))
    combined = combine(
        lip=motions[sources["lip"]],
        pose=motions[sources["pose"]],
        expression=motions[wanted] if model.sizes.expression else None,
        fps=float(rate),
        frames=frames,
    )
    whole = model.complete(combined, encoded)
    if save_motion_to is not None:
        save_motion(whole, save_motion_to, {"made_by": f"edtalk {__version__}", **sources})
    prepared = time.perf_counter()

    renderer = Renderer(model, encoded, precision=precision)
    with writer:
        for picture in renderer.pictures(whole, progress=partial(tell, "render")):
            writer.write(picture)
    finished = time.perf_counter()
    return Animation(
        path=output,
        frames=frames,
        fps=float(rate),
        duration=frames / float(rate),
        size=(size, size),
        sources=sources,
        motion=whole,
        precision=renderer.precision,
        timings={"prepare": prepared - started, "render": finished - prepared},
        warnings=tuple(warnings),
    )


def _lip_source(
    asked: LipSource | None, model: EDTalk, given: Motion | None, sound: Audio | None, actor: Path | None
) -> str:
    if asked is None:
        if given is not None and given.lip is not None:
            return "motion"
        asked = "video" if actor is not None else "audio" if sound is not None else "own"
    if asked == "video" and actor is None:
        raise ArgumentError("Lips from video need a video as driver, and there is none here.")
    if asked == "audio" and sound is None:
        raise ArgumentError("Lips from audio need a sound as driver, or a video that has one; there is none here.")
    if asked not in get_args(LipSource):
        raise ArgumentError(f"Lips come from {', '.join(get_args(LipSource))}, not {asked!r}.")
    return asked


def _pose_source(
    asked: PoseSource | None,
    model: EDTalk,
    given: Motion | None,
    sound: Audio | None,
    actor: Path | None,
    pose_video: str | os.PathLike[str] | None,
) -> str:
    if pose_video is not None:
        if asked not in (None, "video"):
            raise ArgumentError(f"A pose video moves the head, so the pose cannot be {asked!r}; leave one of them out.")
        return "pose video"
    if asked is None:
        if given is not None and given.pose is not None:
            return "motion"
        if actor is not None:
            asked = "video"
        else:
            asked = "flow" if sound is not None and model.pose_flow is not None else "still"
    if asked == "video" and actor is None:
        raise ArgumentError("A pose from video needs a pose video, or a video as driver; there is none here.")
    if asked == "flow" and model.pose_flow is None:
        raise ArgumentError("This model has no pose flow, so it cannot make up a head motion; choose still or video.")
    if asked not in get_args(PoseSource):
        raise ArgumentError(f"A pose is one of {', '.join(get_args(PoseSource))}, not {asked!r}.")
    return "own" if asked == "still" else asked


def _expression_source(asked: str | None, model: EDTalk, given: Motion | None, actor: Path | None) -> str:
    if asked is None:
        if given is not None and given.expression is not None:
            return "motion"
        return "video" if actor is not None else "own"
    asked = asked.strip()
    if asked == "video" and actor is None:
        raise ArgumentError("An expression from video needs a video as driver, and there is none here.")
    if asked == "motion":
        raise ArgumentError("'motion' is no emotion; leave the expression out to use that of the motion.")
    return asked


def _delayed(motion: Motion, seconds: float) -> Motion:
    """The motion after so many seconds of its first frame."""
    wait = round(seconds * motion.fps)
    return concatenate([hold(motion, wait), motion]) if wait else motion


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


def check_not_an_input(target: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Raise ArgumentError if what is to be written is one of the files that are read."""
    for path in inputs:
        if target.exists() and os.path.exists(path) and target.samefile(path):
            raise ArgumentError(f"{target} is one of the inputs; choose another name for what is written.")


def _tell_nobody(stage: str, done: int, total: int | None) -> None:
    pass
