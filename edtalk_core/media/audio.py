"""Audio: read any sound file, sound track or array as float samples, and convert it to mono for the networks."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..checks import check_number
from ..errors import ArgumentError, AudioError
from ..wording import counted
from .streams import contents, decoded_frames, existing_file, moving_streams, open_media

if TYPE_CHECKING:
    import av
    import av.container

logger = logging.getLogger("edtalk")

MODEL_SAMPLE_RATE = 16000
"""Hz; the sample rate of the networks' input."""

SHORTEST_S = 0.04
"""Seconds; one frame of the 25 fps the model runs at."""

_SAMPLE_RATES = (1_000, 768_000)
_MAX_CHANNELS = 64
_MAX_AMPLITUDE = 1e3
# Shorter jumps of the time stamps are rounding and jitter; jumps beyond ten minutes are damaged stamps.
_SMALLEST_GAP_S = 0.1
_LARGEST_GAP_S = 600.0
# Samples that a decoder returns at once (AAC with doubled rate has 2048).
_LARGEST_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound with all channels and the sample rate of its source.

    Shared by reference: never edit `samples` in place.
    """

    samples: np.ndarray
    """(C, N) float32, about [-1, 1]."""
    sample_rate: int
    """Hz."""

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise AudioError(
                f"Audio holds float32 samples of shape (channels, samples), got {self.samples.dtype} "
                f"{self.samples.shape}. Use read_audio(array, sample_rate), which converts."
            )

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples.shape[1] / self.sample_rate

    def to_mono(self, sample_rate: int = MODEL_SAMPLE_RATE) -> np.ndarray:
        """Return the mean of the channels at another rate, as `librosa.load(path, sr=sample_rate)` does.

        Returns:
            (ceil(N * sample_rate / self.sample_rate),) float32; shares memory with `samples` if it is mono and at that
            rate.
        """
        import soxr

        mono = self.samples[0] if len(self.samples) == 1 else self.samples.mean(axis=0, dtype=np.float32)
        if sample_rate == self.sample_rate:
            return mono
        length = -(-len(mono) * sample_rate // self.sample_rate)
        resampled = soxr.resample(mono, self.sample_rate, sample_rate, quality="HQ")
        return np.pad(resampled[:length], (0, max(0, length - len(resampled))))


def read_audio(
    source: str | os.PathLike[str] | np.ndarray | torch.Tensor | Audio, sample_rate: int | None = None
) -> Audio:
    """Read a sound, at its own rate and with all its channels.

    In a file with video, time 0 of the sound is the first picture: a sound track that starts later is padded with
    silence, one that starts earlier is trimmed, and gaps in its time stamps are filled with silence, so that picture
    and sound stay in sync. Encoder delay (mp3, aac, opus) is removed.

    Args:
        source: path of a sound file, or of a video with a sound track; or samples, (N,) or (C, N), float in about
            [-1, 1], or int8, uint8, int16, int32 at full scale; or an Audio, which is checked and returned.
        sample_rate: Hz, for samples only; a file states its own.

    Raises:
        AudioError: no file, not a sound, no sound track, damaged beyond reading; empty, shorter than one frame (40 ms),
            not finite, or with an absurd rate, channel count or amplitude.
        ArgumentError: samples without a rate, or a rate for a file.
    """
    if isinstance(source, (np.ndarray, torch.Tensor)):
        if sample_rate is None:
            raise ArgumentError("Samples need their sample_rate (in Hz): read_audio(samples, sample_rate).")
        return _check(_array_samples(source), sample_rate, "The sound")
    if sample_rate is not None:
        raise ArgumentError("sample_rate is for arrays only; a file or Audio states its own. Leave it out.")
    if isinstance(source, Audio):
        return _check(source.samples, source.sample_rate, "The sound")
    if not isinstance(source, (str, os.PathLike)):
        raise AudioError(f"A sound is a path, an array or an Audio, got {type(source).__name__}.")

    import av

    path = existing_file(os.fspath(source), AudioError, "sound")
    with open_media(path, AudioError, "sound") as container:
        stream = container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            raise AudioError(f"{path} has no sound track that can be read (it holds: {contents(container)}).")
        try:
            samples, rate = _decode(container, stream, path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise AudioError(f"{path} cannot be decoded ({error}). Convert it to WAV or FLAC and try again.") from error
    return _check(samples, rate, str(path))


def pad_silence(audio: Audio, before_s: float = 0.0, after_s: float = 0.0) -> Audio:
    """Add silence before and after a sound; the mouth is closed during it.

    Args:
        audio: the sound.
        before_s: seconds of silence before the sound.
        after_s: seconds of silence after it.

    Raises:
        ArgumentError: a length that is negative, not finite or above an hour.
    """
    for name, seconds in (("before_s", before_s), ("after_s", after_s)):
        check_number(seconds, f"{name}, the silence to add,", low=0, high=3600, unit="seconds")
    before, after = round(before_s * audio.sample_rate), round(after_s * audio.sample_rate)
    channels, length = audio.samples.shape
    samples = np.zeros((channels, before + length + after), np.float32)
    samples[:, before : before + length] = audio.samples
    return Audio(samples, audio.sample_rate)


def fit_duration(audio: Audio, seconds: Fraction) -> Audio:
    """Trim the sound, or pad it with silence, to a duration; at least one sample remains."""
    samples = max(1, round(seconds * audio.sample_rate))
    missing = samples - audio.samples.shape[1]
    if missing <= 0:
        return Audio(audio.samples[:, :samples], audio.sample_rate)
    return Audio(np.pad(audio.samples, ((0, 0), (0, missing))), audio.sample_rate)


def _array_samples(source: np.ndarray | torch.Tensor) -> np.ndarray:
    """Convert a user's array to float32 samples (C, N)."""
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()
    if source.ndim not in (1, 2):
        raise AudioError(f"Samples have the shape (samples,) or (channels, samples), got {source.shape}.")
    if source.ndim == 2 and source.shape[0] > _MAX_CHANNELS >= source.shape[1] > 0:
        raise AudioError(
            f"Samples have the shape (channels, samples); {source.shape} looks like (samples, channels): transpose it."
        )
    return np.atleast_2d(_to_float(source))


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Convert samples of any type to float32, integers from full scale to [-1, 1]."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # overflow is reported by the check for finite samples
            return samples.astype(np.float32)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype in (np.int8, np.int16, np.int32):
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    raise AudioError(
        f"Samples of the type {samples.dtype} have no known scale. "
        "Convert them to float in [-1, 1], or to int16 or int32 at full scale."
    )


def _check(samples: np.ndarray, sample_rate: int, name: str) -> Audio:
    """Return the samples as an Audio. Raises AudioError for an implausible rate, channel count, length or amplitude."""
    if not isinstance(sample_rate, (int, float, np.integer)) or sample_rate // 1 != sample_rate:  # NaN differs too
        raise AudioError(f"The sample rate is a whole number of Hz, got {sample_rate!r}.")
    low, high = _SAMPLE_RATES
    if not low <= sample_rate <= high:
        raise AudioError(f"{name} has a sample rate of {sample_rate} Hz; expected {low} to {high} Hz.")
    channels, length = samples.shape
    if not 1 <= channels <= _MAX_CHANNELS:
        raise AudioError(f"{name} has {counted(channels, 'channel')}; expected 1 to {_MAX_CHANNELS}.")
    if length == 0:
        raise AudioError(f"{name} is empty: there is no sample in it.")
    if length / sample_rate < SHORTEST_S:
        raise AudioError(
            f"{name} lasts {int(1000 * length // sample_rate)} ms; it must last at least {1000 * SHORTEST_S:.0f} ms, "
            "one video frame."
        )
    smallest, largest = float(samples.min()), float(samples.max())  # NaN if any sample is
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise AudioError(f"{name} has samples that are not finite (NaN or infinite). Export it again.")
    if max(-smallest, largest) > _MAX_AMPLITUDE:
        raise AudioError(
            f"{name} has samples up to {max(-smallest, largest):.4g}, expected about [-1, 1]. If they are integers "
            "stored as floats, divide them by the full scale (32768 for 16 bits)."
        )
    return Audio(samples, int(sample_rate))


def _decode(container: av.container.InputContainer, stream: av.AudioStream, path: Path) -> tuple[np.ndarray, int]:
    """Decode a sound track to (C, N) float32 and its sample rate, in a single buffer however long it is."""
    videos = moving_streams(container)
    starts = [float(s.start_time * s.time_base) for s in videos[:1] if s.start_time is not None and s.time_base]
    origin = starts[0] if starts else None
    declared = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0

    # Interleaved, so that the buffer can grow in place.
    samples = np.empty((0, 0), np.float32)
    rate = written = skip = 0
    first = True
    for frame in decoded_frames(container, stream, path):
        block = frame.to_ndarray()
        channels = len(frame.layout.channels)
        if not frame.format.is_planar:
            block = block.reshape(-1, channels).T
        if first:
            rate = frame.sample_rate
            if not _SAMPLE_RATES[0] <= rate <= _SAMPLE_RATES[1]:
                raise AudioError(f"{path} has a sample rate of {rate} Hz; expected {_SAMPLE_RATES[0]} or more.")
            samples = np.empty((int(min(declared, 3600.0) * rate) + rate, channels), np.float32)
        elif (frame.sample_rate, channels) != (rate, samples.shape[1]):
            raise AudioError(
                f"{path} changes from {rate} Hz and {samples.shape[1]} channels to {frame.sample_rate} Hz and "
                f"{channels} channels midway. Convert it to WAV or FLAC and try again."
            )

        gap = 0
        if frame.pts is not None and stream.time_base:
            time = float(frame.pts * stream.time_base)
            if origin is None:
                origin = max(time, 0.0)  # negative time stamps are encoder delay
            gap = round((time - origin) * rate) - written + skip
        if origin is not None and (first or abs(gap) > _SMALLEST_GAP_S * rate):
            if 0 <= gap <= _LARGEST_GAP_S * rate:
                samples = _grow(samples, written + gap)
                samples[written : written + gap] = 0
                written += gap
            elif first and gap >= -_LARGEST_GAP_S * rate:
                skip = -gap
            else:
                logger.warning("%s: the time stamps of its sound jump by %.1f s: ignored", path, gap / rate)
                origin += gap / rate
        first = False

        skipped = min(skip, block.shape[1])
        skip -= skipped
        block = block[:, skipped:]
        samples = _grow(samples, written + block.shape[1])
        samples[written : written + block.shape[1]] = _to_float(block).T
        written += block.shape[1]
    if written == 0:
        raise AudioError(f"{path} has a sound track, but no sample of it can be read: it is empty or damaged.")
    if "mp4" in container.format.name and declared and origin is not None:
        # MP4 states where the sound ends within the last block; decoders return the full block.
        start = float((stream.start_time or 0) * (stream.time_base or 0))
        excess = written - round((start + declared - origin) * rate)
        written -= excess if 0 < excess <= _LARGEST_BLOCK else 0
    if written / rate < declared - 1.0:
        logger.warning("%s: only %.1f s of the %.1f s it declares could be read", path, written / rate, declared)
    samples.resize((written, samples.shape[1]), refcheck=False)
    return samples.T, rate


def _grow(samples: np.ndarray, length: int) -> np.ndarray:
    """Return the interleaved buffer with room for at least `length` samples, grown in place where possible."""
    if length > len(samples):
        samples.resize((max(length, len(samples) * 3 // 2), samples.shape[1]), refcheck=False)
    return samples
