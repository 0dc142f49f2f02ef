"""Audio: read any sound file, sound track or array, at once or in blocks, and convert it to mono for the networks."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch

from ..checks import check_number
from ..errors import ArgumentError, AudioError
from ..wording import counted
from .audio_decoding import BLOCK_SAMPLES, MAX_CHANNELS, SAMPLE_RATES, SoundDecoder
from .streams import existing_file

SoundType = TypeVar("SoundType", bound="Sound")

MODEL_SAMPLE_RATE = 16000
"""Hz; the sample rate of the networks' input."""

SHORTEST_S = 0.04
"""Seconds; one frame of the 25 fps the model runs at."""

LONGEST_S = 40_000.0
"""Seconds: eleven hours, a million frames at 25 fps. What is made of a longer sound would not be used."""

MAX_HELD_BYTES = 32 << 20
"""Samples of a file up to this size are held, rather than decoded for each use: 90 seconds of stereo at 48 kHz."""

MAX_RESERVED_BYTES = 1 << 29
"""Memory that is reserved for what a file declares; a sound that is longer grows."""

_MAX_AMPLITUDE = 1e3


class Sound(ABC):
    """A sound that can be read any number of times, block by block, however long it is."""

    sample_rate: int
    """Hz."""
    channels: int
    length: int
    """Samples of each channel."""

    @abstractmethod
    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples from the start, (C,n) float32 with n as it comes."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.length / self.sample_rate

    def mono_blocks(self, sample_rate: int = MODEL_SAMPLE_RATE) -> Iterator[np.ndarray]:
        """Yield the mean of the channels at another rate, (n,) float32; together as `to_mono` returns it."""
        import soxr

        mono = (block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32) for block in self.blocks())
        if sample_rate == self.sample_rate:
            yield from mono
            return
        missing = -(-self.length * sample_rate // self.sample_rate)
        stream = soxr.ResampleStream(self.sample_rate, sample_rate, 1, dtype="float32", quality="HQ")
        resampled = (stream.resample_chunk(np.ascontiguousarray(block)) for block in mono)
        for block in chain(resampled, map(stream.resample_chunk, [np.zeros(0, np.float32)], [True])):
            if len(block) and missing:
                yield block[:missing]
                missing -= min(missing, len(block))
        if missing:
            yield np.zeros(missing, np.float32)

    def to_mono(self, sample_rate: int = MODEL_SAMPLE_RATE) -> np.ndarray:
        """Return the mean of the channels at another rate, as `librosa.load(path, sr=sample_rate)` does.

        Returns:
            (ceil(N * sample_rate / self.sample_rate),) float32; may share memory with the sound.
        """
        return np.concatenate(list(self.mono_blocks(sample_rate)))

    def read(self) -> Audio:
        """Return the whole sound in memory."""
        return Audio(np.concatenate(list(self.blocks()), axis=1), self.sample_rate)


@dataclass(frozen=True, eq=False)
class Audio(Sound):
    """A sound in memory with all channels and the sample rate of its source.

    Shared by reference: never edit `samples` in place.
    """

    samples: np.ndarray
    """(C, N) float32, about [-1, 1]."""
    sample_rate: int
    """Hz."""
    channels: int = field(init=False)
    length: int = field(init=False)

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise AudioError(
                f"Audio holds float32 samples of shape (channels, samples), got {self.samples.dtype} "
                f"{self.samples.shape}. Use read_audio(array, sample_rate), which converts."
            )
        object.__setattr__(self, "channels", self.samples.shape[0])
        object.__setattr__(self, "length", self.samples.shape[1])

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield views of the samples."""
        for start in range(0, self.length, BLOCK_SAMPLES):
            yield self.samples[:, start : start + BLOCK_SAMPLES]

    def to_mono(self, sample_rate: int = MODEL_SAMPLE_RATE) -> np.ndarray:
        """Return the mean of the channels at another rate; `samples` themselves if they are mono and at that rate."""
        if len(self.samples) == 1 and sample_rate == self.sample_rate:
            return self.samples[0]
        return super().to_mono(sample_rate)

    def read(self) -> Audio:
        """Return the sound itself."""
        return self


@dataclass(frozen=True, eq=False)
class AudioFile(Sound):
    """The sound of a file that is too long to be held; decoded anew whenever it is read. Made by `open_audio`."""

    path: Path
    sample_rate: int
    channels: int
    length: int

    def blocks(self) -> Iterator[np.ndarray]:
        """Decode the file. Raises AudioError if it has changed and cannot be read any more."""
        missing = self.length
        for block in SoundDecoder(self.path, quiet=True):
            if block.shape[1] and missing:
                yield _to_float(block[:, :missing])
                missing -= min(missing, block.shape[1])


@dataclass(frozen=True, eq=False)
class PaddedSound(Sound):
    """A sound with silence before it, and cut off or followed by silence at a length."""

    sound: Sound
    before: int
    """Samples of silence before the sound."""
    length: int
    sample_rate: int = field(init=False)
    channels: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_rate", self.sound.sample_rate)
        object.__setattr__(self, "channels", self.sound.channels)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield silence, the blocks of the sound, silence."""
        missing = self.length
        for block in chain(self._silence(self.before), self.sound.blocks()):
            if not missing:
                return
            yield block[:, :missing]
            missing -= min(missing, block.shape[1])
        yield from self._silence(missing)

    def _silence(self, samples: int) -> Iterator[np.ndarray]:
        for start in range(0, samples, BLOCK_SAMPLES):
            yield np.zeros((self.channels, min(BLOCK_SAMPLES, samples - start)), np.float32)


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

    path = existing_file(os.fspath(source), AudioError, "sound")
    decoder = SoundDecoder(path)
    return _collected(decoder, decoder, path)


def open_audio(source: str | os.PathLike[str] | Sound, *, exact: bool = True) -> Sound:
    """Open a sound to be read in pieces: a short one is read into memory, as by `read_audio`, a long one is not.

    A long file is decoded once to check it, for which see `read_audio`, and to know how long it is. Unless `exact`, its
    length is what the file declares, if it does, and it is not decoded to its end. Sounds pass through.

    Raises AudioError as `read_audio`, and for a file that lasts longer than LONGEST_S, as soon as that is known.
    """
    if isinstance(source, Audio):
        return read_audio(source)
    if isinstance(source, Sound):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise AudioError(f"A sound is a path, an array or an Audio, got {type(source).__name__}.")
    path = existing_file(os.fspath(source), AudioError, "sound")
    decoder, blocks, held = SoundDecoder(path), [], 0
    for block in decoder:
        if not held and exact and decoder.declared > LONGEST_S and decoder.reaches(LONGEST_S):
            check_length(decoder.declared, str(path))
        check_length(decoder.length / decoder.rate, str(path))
        samples = _to_float(block)
        held += samples.nbytes
        if held <= MAX_HELD_BYTES:
            blocks.append(samples)
        elif not exact and decoder.declared:
            return AudioFile(path, decoder.rate, decoder.channels, round(decoder.declared * decoder.rate))
        else:
            blocks.clear()
        if samples.size:
            _check_range(float(samples.min()), float(samples.max()), str(path))
    if held <= MAX_HELD_BYTES:
        return _collected(blocks, decoder, path)
    return AudioFile(path, decoder.rate, decoder.channels, decoder.length)


def check_length(seconds: float, name: str) -> None:
    """Raise AudioError for a sound that lasts longer than LONGEST_S."""
    if seconds > LONGEST_S:
        raise AudioError(
            f"{name} lasts {seconds / 3600:.1f} hours, and at most {LONGEST_S / 3600:.0f} can be used at once: cut it "
            "into parts."
        )


def _collected(blocks: Iterable[np.ndarray], decoder: SoundDecoder, path: Path) -> Audio:
    """Join decoded blocks in a single buffer, which grows in place."""
    # Interleaved, so that it can.
    samples, written = np.empty((0, 0), np.float32), 0
    for block in blocks:
        if not samples.size:
            expected = min(decoder.declared * decoder.rate, MAX_RESERVED_BYTES / 4 / decoder.channels)
            samples = np.empty((int(expected) + decoder.rate, decoder.channels), np.float32)
        end = written + block.shape[1]
        if end > len(samples):
            samples.resize((max(end, len(samples) * 3 // 2), decoder.channels), refcheck=False)
        samples[written:end] = _to_float(block).T
        written = end
    samples.resize((decoder.length, decoder.channels), refcheck=False)
    return _check(samples.T, decoder.rate, str(path))


def pad_silence(audio: SoundType, before_s: float = 0.0, after_s: float = 0.0) -> SoundType:
    """Add silence before and after a sound; the mouth is closed during it.

    Args:
        audio: the sound.
        before_s: seconds of silence before the sound.
        after_s: seconds of silence after it.

    Returns:
        The sound itself if there is nothing to add; else a sound in memory for one in memory, and one that is read in
        pieces for others.

    Raises:
        ArgumentError: a length that is negative, not finite or above an hour.
    """
    for name, seconds in (("before_s", before_s), ("after_s", after_s)):
        check_number(seconds, f"{name}, the silence to add,", low=0, high=3600, unit="seconds")
    before, after = round(before_s * audio.sample_rate), round(after_s * audio.sample_rate)
    if not before and not after:
        return audio
    padded: Sound = PaddedSound(audio, before, before + audio.length + after)
    return cast(SoundType, padded.read() if isinstance(audio, Audio) else padded)


def fit_duration(audio: Sound, seconds: Fraction) -> Sound:
    """Trim the sound, or pad it with silence, to a duration; at least one sample remains."""
    return PaddedSound(audio, 0, max(1, round(seconds * audio.sample_rate)))


def _array_samples(source: np.ndarray | torch.Tensor) -> np.ndarray:
    """Convert a user's array to float32 samples (C, N)."""
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()
    if source.ndim not in (1, 2):
        raise AudioError(f"Samples have the shape (samples,) or (channels, samples), got {source.shape}.")
    if source.ndim == 2 and source.shape[0] > MAX_CHANNELS >= source.shape[1] > 0:
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
        return samples.astype(np.float32) / (1 << (8 * samples.dtype.itemsize - 1))
    raise AudioError(
        f"Samples of the type {samples.dtype} have no known scale. "
        "Convert them to float in [-1, 1], or to int16 or int32 at full scale."
    )


def _check(samples: np.ndarray, sample_rate: int, name: str) -> Audio:
    """Return the samples as an Audio. Raises AudioError for an implausible rate, channel count, length or amplitude."""
    if not isinstance(sample_rate, (int, float, np.integer)) or sample_rate // 1 != sample_rate:  # NaN differs too
        raise AudioError(f"The sample rate is a whole number of Hz, got {sample_rate!r}.")
    low, high = SAMPLE_RATES
    if not low <= sample_rate <= high:
        raise AudioError(f"{name} has a sample rate of {sample_rate} Hz; expected {low} to {high} Hz.")
    channels, length = samples.shape
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name} has {counted(channels, 'channel')}; expected 1 to {MAX_CHANNELS}.")
    if length == 0:
        raise AudioError(f"{name} is empty: there is no sample in it.")
    if length / sample_rate < SHORTEST_S:
        raise AudioError(
            f"{name} lasts {int(1000 * length // sample_rate)} ms; it must last at least {1000 * SHORTEST_S:.0f} ms, "
            "one video frame."
        )
    _check_range(float(samples.min()), float(samples.max()), name)
    return Audio(samples, int(sample_rate))


def _check_range(smallest: float, largest: float, name: str) -> None:
    """Raise AudioError for samples that are not finite (both are NaN if any sample is) or absurdly loud."""
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise AudioError(f"{name} has samples that are not finite (NaN or infinite). Export it again.")
    if max(-smallest, largest) > _MAX_AMPLITUDE:
        raise AudioError(
            f"{name} has samples up to {max(-smallest, largest):.4g}, expected about [-1, 1]. If they are integers "
            "stored as floats, divide them by the full scale (32768 for 16 bits)."
        )
