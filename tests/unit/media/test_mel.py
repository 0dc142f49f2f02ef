from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, AudioError
from edtalk_core.media import mel
from edtalk_core.media.audio import Audio
from edtalk_core.media.mel import gather_windows, mel_filters, mel_spectrogram, mel_windows


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades, so that no two windows look alike."""
    swell = 0.3 * np.sin(np.arange(samples) / 3000) ** 2
    return (np.random.default_rng(seed).normal(size=samples) * swell).astype(np.float32)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2)) / np.sqrt(np.mean(expected**2)))


def published_windows(waveform: np.ndarray) -> np.ndarray:
    """The published steps, written plainly with librosa: the reference of the tests below."""
    librosa = pytest.importorskip("librosa")
    frames = int(len(waveform) / 640)
    wave = waveform[: frames * 640].astype(np.float64)
    wave = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1])
    stft = librosa.stft(wave, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect")
    basis = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, basis @ np.abs(stft))) - 20
    columns = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).T
    windows = []
    for i in range(frames):
        start = int(80.0 * ((i - 2) / 25.0))
        windows.append(columns[[min(max(k, 0), len(columns) - 1) for k in range(start, start + 16)]].T)
    return np.stack(windows)


def test_parity_with_the_published_preprocessing(shared):
    golden = np.load(shared / "parity" / "golden_mel.npz")
    found = mel_spectrogram(golden["waveform"])
    assert found.shape == golden["mel"].shape
    assert relative_error(found, golden["mel"]) < 1e-5
    windows = mel_windows(golden["waveform"])
    assert windows.dtype == torch.float32
    assert windows.shape == golden["windows"].shape
    assert relative_error(windows.numpy(), golden["windows"]) < 1e-5


@pytest.mark.parametrize("samples", [640, 1279, 1280, 6400, 16000, 100_001])
def test_windows_are_those_of_the_published_loop(samples):
    waveform = noise(samples)
    expected = published_windows(waveform)
    found = mel_windows(waveform)
    assert found.shape == expected.shape == (samples // 640, 80, 16)
    assert relative_error(found.numpy(), expected) < 1e-5


def test_filters_are_librosas():
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    np.testing.assert_allclose(mel_filters(), expected, atol=1e-8)


def test_pieces_of_a_long_sound_join_without_a_seam(monkeypatch):
    waveform = noise(40_000)
    whole = mel_windows(waveform)
    monkeypatch.setattr(mel, "_CHUNK", 7)
    np.testing.assert_allclose(mel_windows(waveform), whole, atol=1e-6)


def test_gathered_pieces_are_the_whole():
    waveform = noise(64_000)
    columns = mel_spectrogram(waveform)
    pieces = [gather_windows(columns, first, min(first + 13, 100)) for first in range(0, 100, 13)]
    torch.testing.assert_close(torch.cat(pieces), mel_windows(waveform), rtol=0, atol=0)


def test_silence_is_the_lowest_value():
    assert (mel_windows(np.zeros(16000, np.float32)) == -4).all()


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(torch.from_numpy, id="torch"),
        pytest.param(lambda w: torch.from_numpy(w).double(), id="torch_double"),
        pytest.param(lambda w: w.astype(np.float64), id="float64"),
        pytest.param(lambda w: (w * 32768).round().astype(np.int16), id="int16"),
    ],
)
def test_every_kind_of_waveform_gives_the_same(convert):
    waveform = noise(16000)
    # 16 bits lose the quietest parts, which the logarithm shows.
    tolerance = 0.05 if convert(waveform).dtype == np.int16 else 1e-6
    assert relative_error(mel_windows(convert(waveform)).numpy(), mel_windows(waveform).numpy()) < tolerance


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled(rate):
    waveform = noise(2 * rate)
    found = mel_windows(waveform, rate)
    assert found.shape == (50, 80, 16)
    expected = mel_windows(Audio(waveform[None], rate).to_mono(16000))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_long_sound_needs_little_more_than_its_result():
    waveform = noise(16000 * 300)
    mel_filters()
    tracemalloc.start()
    try:
        columns = mel_spectrogram(waveform)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert columns.shape == (24001, 80)
    # One chunk in double precision is about 40 MB; all at once would be 400 MB and more.
    assert peak < columns.nbytes + 60e6


@pytest.mark.parametrize(
    ("waveform", "rate", "error", "word"),
    [
        pytest.param(np.zeros((2, 16000), np.float32), 16000, AudioError, "mono", id="stereo"),
        pytest.param(np.zeros((), np.float32), 16000, AudioError, "mono", id="a_number"),
        pytest.param(np.zeros(0, np.float32), 16000, AudioError, "empty", id="empty"),
        pytest.param(np.zeros(639, np.float32), 16000, AudioError, "lasts 39 ms; it must", id="639_samples"),
        pytest.param(torch.full((16000,), torch.nan), 16000, AudioError, "finite", id="nan"),
        pytest.param(np.full(16000, 3e4, np.float32), 16000, AudioError, "full scale", id="integers_as_floats"),
        pytest.param(np.zeros(16000, np.float32), 10, AudioError, "sample rate", id="rate_10_hz"),
        pytest.param(np.zeros(16000, np.float32), None, ArgumentError, "sample_rate", id="no_rate"),
    ],
)
def test_bad_waveforms(waveform, rate, error, word):
    with pytest.raises(error, match=word):
        mel_windows(waveform, rate)


@pytest.mark.parametrize("shape", [(639,), (1, 16000), (0,)])
def test_the_spectrogram_needs_a_frame_of_mono_sound(shape):
    with pytest.raises(AudioError, match="mono sound at 16 kHz"):
        mel_spectrogram(np.zeros(shape, np.float32))
