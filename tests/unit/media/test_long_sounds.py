"""Sounds in pieces: what is read, mixed, resampled and encoded block by block equals the whole, in little memory."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import hostile_files as files
import numpy as np
import pytest
import soxr

from edtalk_core.errors import ArgumentError, AudioError
from edtalk_core.media import audio as audio_module
from edtalk_core.media import mel as mel_module
from edtalk_core.media.audio import Audio, AudioFile, PaddedSound, Sound, fit_duration, open_audio, read_audio
from edtalk_core.media.mel import encode_audio, mel_spectrogram
from edtalk_core.motion.length import length_of_duration

SPEECH = Path(__file__).resolve().parents[3] / "weights" / "examples" / "speech.flac"


def noise(seconds: float, rate: int, channels: int = 2) -> Audio:
    samples = np.random.default_rng(0).normal(0, 0.2, (channels, round(seconds * rate))).astype(np.float32)
    return Audio(samples, rate)


def all_of(sound: Sound) -> np.ndarray:
    return np.concatenate(list(sound.blocks()), axis=1)


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is too long to be held."""
    monkeypatch.setattr(audio_module, "MAX_HELD_BYTES", 0)


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize("kind", ["speech", "stereo", "gap"])
def test_a_file_in_pieces_is_the_file_as_a_whole(kind: str, tmp_path: Path):
    path = {
        "speech": lambda: SPEECH,
        "stereo": lambda: files.noise_wav(tmp_path / "noise.wav", 3, 48_000, 2),
        "gap": lambda: files.gapped_sound(tmp_path / "gap.mkv", 2.5),
    }[kind]()
    opened, whole = open_audio(path), read_audio(path)
    assert isinstance(opened, AudioFile)
    assert (opened.sample_rate, opened.channels, opened.length) == (whole.sample_rate, whole.channels, whole.length)
    assert np.array_equal(all_of(opened), whole.samples)
    assert np.array_equal(encode_audio(opened).mel, encode_audio(whole).mel)


def test_short_files_are_held():
    assert isinstance(open_audio(SPEECH), Audio)


@pytest.mark.parametrize("rate", [8_000, 12_345, 22_050, 44_100, 48_000, 192_000])
def test_resampling_in_blocks_is_resampling_at_once(rate: int):
    sound = noise(2.34, rate)
    length = -(-sound.length * 16_000 // rate)
    at_once = soxr.resample(sound.samples.mean(axis=0, dtype=np.float32), rate, 16_000, quality="HQ")[:length]
    in_blocks = np.concatenate(list(sound.mono_blocks()))
    assert len(in_blocks) == length
    assert np.array_equal(in_blocks[: len(at_once)], at_once)
    assert not in_blocks[len(at_once) :].any()


@pytest.mark.parametrize("chunk", [7, 100, 2048])
def test_mel_columns_do_not_depend_on_the_pieces(chunk: int, monkeypatch: pytest.MonkeyPatch):
    sound = noise(4.56, 16_000, 1)
    expected = mel_spectrogram(sound.samples[0])
    monkeypatch.setattr(mel_module, "_CHUNK", chunk)
    monkeypatch.setattr(audio_module, "BLOCK_SAMPLES", 1234)
    assert np.allclose(encode_audio(sound).mel, expected, atol=1e-6)


def test_features_of_a_long_sound_lie_in_a_file(monkeypatch: pytest.MonkeyPatch):
    sound = noise(3, 16_000, 1)
    held = encode_audio(sound)
    monkeypatch.setattr(mel_module, "_MAX_HELD_COLUMNS", 10)
    on_disk = encode_audio(sound)
    assert isinstance(on_disk.mel, np.memmap)
    assert np.array_equal(on_disk.windows(), held.windows())
    assert np.array_equal(on_disk.loudness(), held.loudness())


def test_silence_and_cuts_in_pieces():
    sound = noise(1, 8_000)
    padded = PaddedSound(sound, 100_000, 250_000)
    expected = np.zeros((2, 250_000), np.float32)
    expected[:, 100_000:108_000] = sound.samples
    assert np.array_equal(all_of(padded), expected)
    assert np.array_equal(all_of(fit_duration(sound, Fraction(1, 2))), sound.samples[:, :4000])
    assert fit_duration(sound, Fraction(3)).read().samples.shape == (2, 24_000)


def test_an_hour_is_encoded_in_constant_memory(tmp_path: Path):
    path = files.sparse_wav(tmp_path / "hour.wav", 1.0, rate=16_000)
    tracemalloc.start()
    try:
        features = encode_audio(open_audio(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert features.frames == 90_000
    assert peak < 120e6  # the samples alone are 230 MB


def test_too_long_sounds_are_refused_before_they_are_encoded(tmp_path: Path):
    day = AudioFile(tmp_path / "never_opened.wav", 16_000, 1, 24 * 3600 * 16_000)
    with pytest.raises(AudioError, match=r"24\.0 hours, and at most 11"):
        encode_audio(day)
    with pytest.raises(ArgumentError, match=r"24\.0 hours at 25 frames a second are 2,160,000 frames"):
        length_of_duration(24 * 3600, 25)


def test_a_long_file_is_refused_by_its_header(tmp_path: Path):
    path = files.sparse_wav(tmp_path / "days.wav", 67)
    with pytest.raises(AudioError, match=r"days\.wav lasts 67\.0 hours, and at most 11"):
        open_audio(path)
    assert open_audio(path, exact=False).duration == 67 * 3600


def test_a_header_that_claims_days_is_not_believed(tmp_path: Path):
    path = files.sparse_wav(tmp_path / "claim.wav", 67)
    with path.open("r+b") as file:
        file.truncate(44 + 16_000)
    assert open_audio(path).duration == 1.0
    assert open_audio(path, exact=False).duration == 1.0


def test_a_long_file_that_does_not_say_so_is_refused_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audio_module, "LONGEST_S", 5.0)
    with pytest.raises(AudioError, match="at most"):
        open_audio(files.gapped_sound(tmp_path / "gap.mkv", 6, rate=8_000))


def test_gaps_are_said_and_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture, nothing_held: None):
    sound = open_audio(files.gapped_sound(tmp_path / "gaps.mkv", 590, gaps=20, rate=8_000))
    assert 3000 < sound.duration < 3700
    assert "silence fills gaps of" in caplog.text
    assert "jump by" in caplog.text
    caplog.clear()
    assert sum(block.shape[1] for block in sound.blocks()) == sound.length
    assert not caplog.text
