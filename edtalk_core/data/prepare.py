"""Data preparation: convert videos to prepared clips (`clips.py`), 25 fps face crops with landmarks and mel.

A still picture becomes a clip of one frame, cropped as a portrait is.

Crops are those of the published preprocessing: one box per clip, the union of the face's boxes over time, extended by
a tenth on each side. A clip ends at a cut, where the face is lost, or where it leaves its initial position (overlap
with its first box of at most a quarter, as published). Videos that are already face crops are not cropped again, and
only cuts and lost faces end a clip.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_write
from ..checks import check_whole
from ..errors import AudioError, EDTalkError
from ..face.landmarks import LANDMARK_COUNT, face_height
from ..media.picture import LARGEST_SIDE
from ..paths import special_kind
from ..progress import Progress
from ..scheduling import run_tasks
from .clips import CROP_SIZE, Clip, ClipInfo, clip_file, encode_frame, write_clip
from .layouts import Video
from .pieces import find_pieces

logger = logging.getLogger("edtalk")

FPS = 25
MIN_FRAMES = 25
"""Frames; shorter clips are discarded."""
MIN_FACE_HEIGHT = 48
"""Pixels from brows to chin in the video, for a crop of 256 px; a smaller face is too blurred to learn from."""
MIN_CROP_FACE_HEIGHT = 64
"""Pixels from brows to chin in a crop of 256 px; a smaller face moved too far for one box."""
SPEECH_SWING_DB = 20
"""Smallest range of the sound's level, 10th to 95th percentile, of speech: a voice pauses, unlike music and noise.

On 85 labelled clips: all 10 of music and noise lie below it, 73 of 75 of speech above.
"""

REPORT = "report.json"
_FACTS: dict[str, type] = {
    **dict.fromkeys(("name", "person", "split", "emotion", "level", "license"), str),
    **dict.fromkeys(("speech", "sound", "cropped"), bool),
    "frames": int,
}
"""What a report says of each clip, by type."""
_MOST_FRAMES = 10**9
_MAX_REPORT_BYTES = 1 << 28
SOUND_SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".aac")


@dataclass
class Report:
    """The clips of a store, and the videos without usable clips; saved as report.json beside the clips."""

    clips: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Video -> its clips: name, person, split, emotion, level, license, speech, frames, sound."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Video -> the reason why it could not be used."""
    finished_before: int = 0
    """Number of videos that an earlier run finished."""

    def summary(self) -> dict[str, dict[str, int]]:
        """Split -> number of clips, people, seconds, clips with speech, clips with an emotion."""
        table: dict[str, dict[str, int]] = {}
        all_clips = [clip for clips in self.clips.values() for clip in clips]
        for split in sorted({clip["split"] for clip in all_clips}):
            chosen = [clip for clip in all_clips if clip["split"] == split]
            table[split] = {
                "clips": len(chosen),
                "people": len({clip["person"] for clip in chosen}),
                "seconds": round(sum(clip["frames"] for clip in chosen) / FPS),
                "speech": sum(clip["speech"] for clip in chosen),
                "emotion": sum(bool(clip["emotion"]) for clip in chosen),
            }
        return table


def prepare(
    videos: Sequence[Video],
    out: Path | str,
    *,
    cropped: bool = False,
    size: int = CROP_SIZE,
    workers: int = 1,
    scheduler: str = "",
    progress: Progress | None = None,
) -> Report:
    """Convert videos to clips in the folder `out`, except those that an earlier run finished with the same metadata.

    `cropped`: the videos are already square face crops and are only scaled. `size`: side of the crops in pixels.
    `workers`: number of processes; `scheduler`: address of a Dask scheduler instead, see `run_tasks`.
    `progress` counts videos; an exception that it raises ends the run, and the next run resumes from there.

    The sound is a sound file of the same name beside the video (for MEAD, the one in its `audio` folder), otherwise the
    video's own. Unless the metadata say so, it counts as speech if its level varies by SPEECH_SWING_DB.

    Returns the report on all clips of the store, which is also saved there as report.json: unusable videos are listed
    with the reason and tried again next time. Raises EDTalkError when the folder cannot be used.
    """
    size = check_whole(size, "The size of the crops", low=32, high=LARGEST_SIDE, unit="pixels")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EDTalkError(f"The folder {folder} for prepared clips cannot be created: {error}") from error
    report = _read_report(folder / REPORT)
    pending = []
    for video in videos:
        report.skipped.pop(video.name, None)
        if _finished(video, report.clips.get(video.name, []), folder, cropped, size):
            report.finished_before += 1
        else:
            pending.append(video)
    done, total, written = report.finished_before, len(videos), time.monotonic()
    if progress is not None:
        progress(done, total)
    try:
        for video, result in _prepare_videos(pending, folder, cropped, size, workers, scheduler):
            outdated = {clip["name"] for clip in report.clips.pop(video.name, [])}
            if isinstance(result, str):
                report.skipped[video.name] = result
                logger.info("%s is skipped: %s", video.path, result)
            else:
                report.clips[video.name] = result
                outdated -= {clip["name"] for clip in result}
            for name in outdated:
                _delete_clip(folder, name)
            done += 1
            if time.monotonic() - written > 10:
                _write_report(folder / REPORT, report)
                written = time.monotonic()
            if progress is not None:
                progress(done, total)
    finally:
        _write_report(folder / REPORT, report)
    return report


def _prepare_videos(
    videos: Sequence[Video], folder: Path, cropped: bool, size: int, workers: int, scheduler: str
) -> Iterator[tuple[Video, list[dict[str, Any]] | str]]:
    """Prepare videos; yield each as it is finished, with its clips or the reason why there are none."""
    # On a cluster, the folder of one machine is looked for on others.
    tasks = [(video, folder.absolute() if scheduler else folder, cropped, size) for video in videos]
    for index, result in run_tasks(_try_video, tasks, workers=workers, scheduler=scheduler):
        yield videos[index], result


def _try_video(task: tuple[Video, Path, bool, int]) -> list[dict[str, Any]] | str:
    video, folder, cropped, size = task
    try:
        prepare_one = prepare_picture if video.is_picture else prepare_video
        return prepare_one(video, folder, cropped=cropped, size=size)
    except EDTalkError as error:
        return str(error)


def prepare_video(video: Video, folder: Path, *, cropped: bool = False, size: int = CROP_SIZE) -> list[dict[str, Any]]:
    """Write the clips of one video and return their metadata (see Report.clips).

    The first has the name of the video, further ones are NAME~2, NAME~3 ... Raises EDTalkError with the reason when the
    video has no usable clip.
    """
    from ..face.framing import clipped_box
    from ..face.geometry import transform
    from ..face.video_crop import VideoCrop
    from ..media.mel import FRAME_SAMPLES, mel_spectrogram
    from ..media.video import VideoReader, resample_frames

    if video.view not in ("", "front"):
        raise EDTalkError(f"Its camera view is {video.view}; only MEAD's front view is used, as in the paper.")
    reader = VideoReader(video.path)
    width, height = reader.size
    if cropped and width != height:
        raise EDTalkError(f"It is {width} x {height}, not a square face crop: prepare it without --cropped.")
    pieces = find_pieces(resample_frames(reader, FPS), anywhere=cropped)
    if not pieces:
        raise EDTalkError("No face was found in it.")
    seconds = max(piece.start + len(piece.landmarks) for piece in pieces) / FPS
    waveform = _read_waveform(video, reader.has_audio, seconds)
    frames, position = resample_frames(reader, FPS), 0
    clips: list[dict[str, Any]] = []
    reasons = []
    for piece in pieces:
        start, length = piece.start, len(piece.landmarks)
        sound = waveform[start * FRAME_SAMPLES : (start + length) * FRAME_SAMPLES]
        mel = mel_spectrogram(sound) if len(sound) >= FRAME_SAMPLES else None
        speech = mel is not None and (sounds_like_speech(mel) if video.speech is None else video.speech)
        if speech:
            # Lips that move after the end of the sound would teach a model to speak in silence.
            length = min(length, len(sound) // FRAME_SAMPLES)
        box = (0, 0, width, height) if cropped else clipped_box(piece.box, width, height)
        crop = VideoCrop(box, (width, height), size)
        landmarks = np.stack(piece.landmarks[:length])
        in_crop = transform(landmarks.reshape(-1, 2), crop.matrix).reshape(-1, LANDMARK_COUNT, 2)
        if reason := _rejection_reason(landmarks, in_crop, size, MIN_FRAMES):
            reasons.append(reason)
            continue
        clip_frames = itertools.islice(frames, start - position, start - position + length)
        encoded = [encode_frame(crop.cut(frame)) for frame in clip_frames]
        position = start + length
        name = f"{video.name}~{len(clips) + 1}" if clips else video.name
        info = ClipInfo(name, video.person, video.split, video.emotion, video.level, video.license, speech)
        heard = sound[: length * FRAME_SAMPLES] if mel is not None else None
        write_clip(clip_file(folder, name), info, encoded, in_crop.astype(np.float32), mel, size, heard)
        clips.append({**asdict(info), "frames": length, "sound": mel is not None, "cropped": cropped, "size": size})
    if not clips:
        raise EDTalkError(" ".join(dict.fromkeys(reasons)))
    return clips


def prepare_picture(
    picture: Video, folder: Path, *, cropped: bool = False, size: int = CROP_SIZE
) -> list[dict[str, Any]]:
    """Write a still picture as a clip of one frame, and return its metadata (see Report.clips).

    The crop is that of portraits (`crop_portrait`), around the largest face. Raises EDTalkError with the reason when
    the picture cannot be used.
    """
    from ..face.alignment import detect_faces
    from ..face.crop import crop_portrait
    from ..face.geometry import transform
    from ..media.picture import read_picture

    mode: Literal["none", "auto"] = "none" if cropped else "auto"
    crop = crop_portrait(read_picture(picture.path), size=size, mode=mode, landmarks="builtin")
    faces = detect_faces(crop.picture, landmarks="builtin")
    if not faces or faces[0].landmarks is None:
        raise EDTalkError("No face with landmarks was found in it.")
    in_crop = np.asarray(faces[0].landmarks, np.float64)[None]
    if reason := _rejection_reason(transform(in_crop[0], crop.inverse)[None], in_crop, size, 1):
        raise EDTalkError(reason)
    info = ClipInfo(picture.name, picture.person, picture.split, picture.emotion, picture.level, picture.license)
    encoded = [encode_frame(crop.picture)]
    write_clip(clip_file(folder, picture.name), info, encoded, in_crop.astype(np.float32), None, size)
    return [{**asdict(info), "frames": 1, "sound": False, "cropped": cropped, "size": size}]


def _rejection_reason(landmarks: NDArray[np.float64], in_crop: NDArray[np.float64], size: int, min_frames: int) -> str:
    """Reason to reject a clip, or an empty string. Landmarks (T,68,2) in the video and in its crop of `size` px."""
    if len(landmarks) < min_frames:
        return f"The face is visible for {len(landmarks)} consecutive frames, and {min_frames} are needed."
    height, smallest = face_height(landmarks).mean(), MIN_FACE_HEIGHT * size / CROP_SIZE
    if height < smallest:
        return f"The face is {height:.0f} pixels high, and {smallest:.0f} are needed."
    height, smallest = face_height(in_crop).mean(), MIN_CROP_FACE_HEIGHT * size / CROP_SIZE
    if height < smallest:
        return f"The face fills {height:.0f} of the crop's {size} pixels, and {smallest:.0f} are needed."
    return ""


def _read_waveform(video: Video, has_audio: bool, seconds: float) -> NDArray[np.float32]:
    """Read mono sound (N,) at 16 kHz from time 0 of the picture on, for `seconds` or more; empty when there is none."""
    from ..media.audio import PaddedSound, open_audio

    names = [video.path.with_suffix(suffix) for suffix in SOUND_SUFFIXES]
    if video.path.parts[-5:-4] and video.path.parts[-5] == "video":
        # MEAD: person/video/front/angry/level_1/001.mp4 and person/audio/angry/level_1/001.m4a.
        names.append(video.path.parents[4] / "audio" / Path(*video.path.parts[-3:]).with_suffix(".m4a"))
    sound_file = next((name for name in names if name.is_file()), None)
    if sound_file is None and not has_audio:
        return np.zeros(0, np.float32)
    try:
        sound = open_audio(sound_file or video.path)
        # A second more, so that the resampler's end is not heard.
        length = min(sound.length, round((seconds + 1) * sound.sample_rate))
        return PaddedSound(sound, 0, length).to_mono()
    except AudioError as error:
        logger.warning("%s: its sound is ignored: %s", video.path, error)
        return np.zeros(0, np.float32)


def sounds_like_speech(mel: NDArray[np.float32]) -> bool:
    """Whether the level of a sound varies like that of a voice: mel (columns,80) in [-4,4], see SPEECH_SWING_DB."""
    decibels = (mel.astype(np.float64) + 4) / 8 * 100 - 100
    level = 20 * np.log10(np.mean(10 ** (decibels / 20), axis=1))
    return bool(np.percentile(level, 95) - np.percentile(level, 10) >= SPEECH_SWING_DB)


def _finished(video: Video, clips: list[dict[str, Any]], folder: Path, cropped: bool, size: int) -> bool:
    """Whether these clips of an earlier run's report exist and have the metadata of the video."""
    expected = {name: getattr(video, name) for name in ("person", "split", "emotion", "level", "license")}
    expected["cropped"] = cropped
    if video.speech is not None:
        expected["speech"] = video.speech
    for clip in clips:
        same = all(clip[name] == value or (name == "speech" and not clip["sound"]) for name, value in expected.items())
        if not same:
            return False
        try:
            if Clip(clip_file(folder, clip["name"])).size != size:
                return False
        except (EDTalkError, OSError):
            return False
    return bool(clips)


def _delete_clip(folder: Path, name: str) -> None:
    try:
        clip_file(folder, name).unlink(missing_ok=True)
    except EDTalkError as error:
        logger.warning("an outdated clip stays where it is: %s", error)


def _read_report(path: Path) -> Report:
    try:
        if special_kind(path) or path.stat().st_size > _MAX_REPORT_BYTES:
            raise ValueError("it is not a report, but a pipe, a device or gigabytes")
        content = json.loads(path.read_text("utf-8"))
        for clips in content["clips"].values():
            for clip in clips:
                for name, kind in _FACTS.items():
                    if type(clip[name]) is not kind or (kind is int and not 0 < clip[name] < _MOST_FRAMES):
                        raise ValueError(f"{name} of a clip is {str(clip[name])[:40]!r}")
        skipped = content["skipped"]
        if not all(isinstance(reason, str) for reason in skipped.values()):
            raise ValueError("reasons of skipped videos are not text")
        return Report(content["clips"], skipped)
    except FileNotFoundError:
        return Report()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("%s cannot be read (%s): all clips are prepared again", path, error)
        return Report()


def _write_report(path: Path, report: Report) -> None:
    content = {"clips": report.clips, "skipped": report.skipped, "splits": report.summary()}
    try:
        with atomic_write(path) as partial:
            # Names of files may hold bytes that are no text.
            partial.write_bytes(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "replace"))
    except OSError as error:
        raise EDTalkError(f"{path} cannot be written: {error.strerror or error}. The next run starts over.") from error
