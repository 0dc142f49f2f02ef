"""Mel spectrogram windows, the input of Audio2Lip, computed as in the published preprocessing (that of Wav2Lip)."""

from __future__ import annotations

import functools
import mmap
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import AudioError
from .audio import LONGEST_S, MODEL_SAMPLE_RATE, Sound, check_length, read_audio

FRAME_SAMPLES = 640
"""Samples of 16 kHz sound in one frame of 25 fps video."""

MEL_BANDS = 80
WINDOW_COLUMNS = 16
"""Mel columns in the window of one video frame: 200 ms."""

_FFT = 800
_HOP = 200
COLUMNS_PER_SECOND = MODEL_SAMPLE_RATE // _HOP
"""Mel columns in a second of sound: 80."""
_PRE_EMPHASIS = 0.97
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 7600.0
# Mel columns computed at once, and windows gathered at once: bounds the memory on long sounds.
_CHUNK = 2048
_MAX_HELD_COLUMNS = 10 * 60 * COLUMNS_PER_SECOND
"""Ten minutes: 15 MB."""

MAX_FRAMES = round(LONGEST_S * MODEL_SAMPLE_RATE / FRAME_SAMPLES)
"""Longest sound in frames of 25 fps video: a million. Its mel spectrogram takes a gigabyte of temporary files."""


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """The models' input from a sound: its mel spectrogram, 26 kB a second. Shared by reference: never edit `mel`."""

    mel: np.ndarray
    """(columns,80) float32 in [-4,4], see `mel_spectrogram`. That of a long sound lies in a temporary file."""
    frames: int
    """Whole frames of 25 fps video that the sound lasts, at least 1."""
    duration: float
    """Seconds of the sound itself."""

    def loudness(self) -> np.ndarray:
        """Mean of the mel bands of each column (columns,), in [-4,4]."""
        means = np.empty(len(self.mel), np.float32)
        for start in range(0, len(means), _CHUNK):
            means[start : start + _CHUNK] = self.mel[start : start + _CHUNK].mean(axis=1)
            _let_go(self.mel)
        return means

    def windows(self, first: int = 0, last: int | None = None) -> torch.Tensor:
        """Mel windows (T,80,16) of frames `first` to `last` (exclusive; None: to the end)."""
        return gather_windows(self.mel, first, self.frames if last is None else last)


def encode_audio(audio: Sound) -> AudioFeatures:
    """Compute the features of a sound of any rate, channels and length, in pieces.

    Raises AudioError if it is shorter than a frame (40 ms), or longer than MAX_FRAMES frames of video.
    """
    samples = -(-audio.length * MODEL_SAMPLE_RATE // audio.sample_rate)
    frames = samples // FRAME_SAMPLES
    check_length(audio.duration, "The sound")
    return AudioFeatures(_mel_spectrogram(audio.mono_blocks(), samples), frames, audio.duration)


def mel_spectrogram(waveform: np.ndarray) -> np.ndarray:
    """Compute the normalised log mel spectrogram of the published preprocessing.

    Whole video frames only (the rest of the sound is dropped first); pre-emphasis 0.97; STFT of 800 samples (Hann), hop
    200, reflected ends; magnitudes in 80 Slaney mel bands from 55 to 7600 Hz; 20 log10(max(1e-5, x)) - 20 dB, of which
    -100..0 dB is mapped to -4..4 and clipped.

    Args:
        waveform: (N,) float at 16 kHz in [-1, 1], N >= 640.

    Returns:
        (floor(N / 640) * 3.2 + 1, rounded down, 80) float32 in [-4, 4].

    Raises:
        AudioError: not one-dimensional, or shorter than a video frame.
    """
    if waveform.ndim != 1:
        raise AudioError(f"The mel spectrogram needs mono sound at 16 kHz, got the shape {waveform.shape}.")
    return _mel_spectrogram([waveform], len(waveform))


def _mel_spectrogram(blocks: Iterable[np.ndarray], samples: int) -> np.ndarray:
    """Compute `mel_spectrogram` of a sound in blocks (n,), `samples` in all, of which few are held."""
    if samples < FRAME_SAMPLES:
        raise AudioError(
            f"The mel spectrogram needs mono sound at 16 kHz of at least {FRAME_SAMPLES} samples, got {samples}."
        )
    length = samples // FRAME_SAMPLES * FRAME_SAMPLES
    columns = length // _HOP + 1
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)
    mel = _scratch(columns)
    source = iter(blocks)
    held, first = np.zeros(0, np.float32), 0  # the samples from `first` on
    for start in range(0, columns, _CHUNK):
        stop = min(start + _CHUNK, columns)
        index = np.abs(np.arange(start * _HOP, (stop - 1) * _HOP + _FFT) - _FFT // 2)
        index = np.where(index < length, index, 2 * (length - 1) - index)
        needed = int(index.max()) + 1
        parts = [held[max(0, int(index.min()) - 1 - first) :]]
        end = first + len(held)
        first = end - len(parts[0])
        while end < needed:
            block = next(source)
            parts.append(block)
            end += len(block)
        held = np.concatenate(parts) if len(parts) > 1 else parts[0]
        before = np.where(index > 0, held[np.maximum(index - 1 - first, 0)], 0.0)
        emphasised = held[index - first].astype(np.float64) - _PRE_EMPHASIS * before
        segments = np.lib.stride_tricks.sliding_window_view(emphasised, _FFT)[::_HOP]
        magnitudes = np.abs(np.fft.rfft(segments * hann)) @ mel_filters().T
        decibels = 20 * np.log10(np.maximum(1e-5, magnitudes)) - 20
        mel[start:stop] = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
        _let_go(mel)
    return mel


def _scratch(columns: int) -> np.ndarray:
    """Return an array (columns,80) float32: in memory, or in a temporary file without a name if it is long."""
    if columns <= _MAX_HELD_COLUMNS:
        return np.empty((columns, MEL_BANDS), np.float32)
    try:
        with tempfile.TemporaryFile() as file:  # the map lives on without the file's name
            return np.memmap(file, np.float32, "w+", shape=(columns, MEL_BANDS))
    except OSError as error:
        raise AudioError(
            f"There is no room for {columns * MEL_BANDS * 4:,} bytes of temporary files in {tempfile.gettempdir()}: "
            f"{error.strerror or error}. Set TMPDIR to a folder that has room."
        ) from error


def _let_go(mel: np.ndarray) -> None:
    """Give the memory of what was read or written of a temporary file back to the system; its content stays."""
    buffer = mel.base if isinstance(mel, np.memmap) else None
    if isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        buffer.madvise(mmap.MADV_DONTNEED)


def mel_windows(waveform: np.ndarray | torch.Tensor, sample_rate: int = MODEL_SAMPLE_RATE) -> torch.Tensor:
    """Compute the mel windows of a sound, one for each frame of 25 fps video.

    Args:
        waveform: (N,) mono samples, float in [-1, 1] or integers at full scale.
        sample_rate: Hz; anything but 16000 is resampled.

    Returns:
        (T, 80, 16) float32, T = floor(16 kHz samples / 640). 5 kB for each frame; where that is too much, call
        `mel_spectrogram` once and `gather_windows` piece by piece.

    Raises:
        AudioError: not one-dimensional, or samples that `read_audio` refuses (empty, too short, not finite, too loud).
    """
    if waveform.ndim != 1:
        raise AudioError(
            f"Mel windows are made of mono sound, shape (samples,); got {tuple(waveform.shape)}. "
            "Use read_audio(...).to_mono()."
        )
    return encode_audio(read_audio(waveform, sample_rate)).windows()


def gather_windows(mel: np.ndarray, first: int, last: int) -> torch.Tensor:
    """Gather the mel windows of video frames `first` to `last` (exclusive).

    The window of frame i is the 16 columns from trunc(80 (i - 2) / 25) on; columns outside the sound repeat its ends.

    Args:
        mel: (columns, 80), from `mel_spectrogram`.
        first: index of the first video frame, 25 fps.
        last: index after the last one.

    Returns:
        (last - first, 80, 16) float32.
    """
    windows = np.empty((last - first, MEL_BANDS, WINDOW_COLUMNS), np.float32)
    for start in range(first, last, _CHUNK):
        stop = min(start + _CHUNK, last)
        begin = np.trunc(80.0 * ((np.arange(start, stop) - 2) / 25.0)).astype(np.int64)
        columns = np.clip(begin[:, None] + np.arange(WINDOW_COLUMNS), 0, len(mel) - 1)
        windows[start - first : stop - first] = mel[columns].transpose(0, 2, 1)
        _let_go(mel)
    return torch.from_numpy(windows)


@functools.cache
def mel_filters() -> np.ndarray:
    """Return the mel filter bank (80, 401) float32: Slaney scale and area normalisation, as in librosa.filters.mel.

    The scale is linear below 1 kHz (200/3 Hz a mel) and logarithmic above (a factor 6.4 in 27 mel); each triangle spans
    its neighbours' centres and has unit area.
    """
    step_hz, knee_hz, log_step = 200.0 / 3, 1000.0, np.log(6.4) / 27
    knee = knee_hz / step_hz

    def to_mel(hz: float) -> float:
        return hz / step_hz if hz < knee_hz else knee + np.log(hz / knee_hz) / log_step

    mels = np.linspace(to_mel(_LOWEST_HZ), to_mel(_HIGHEST_HZ), MEL_BANDS + 2)
    edges = np.where(mels < knee, mels * step_hz, knee_hz * np.exp(log_step * (mels - knee)))
    bins = np.fft.rfftfreq(_FFT, 1 / MODEL_SAMPLE_RATE)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (upper - lower)
    return filters.astype(np.float32)
