from __future__ import annotations

import logging
import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, AudioError
from edtalk_core.media.audio import Audio, pad_silence, read_audio
from edtalk_core.wording import cleaned


def speech_like(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """(C, N) float32: a sweep with a different loudness pattern in each channel, so that shifts and swaps show."""
    time = np.arange(round(seconds * rate)) / rate
    sweep = np.sin(2 * np.pi * (200 * time + 300 * time**2))
    pattern = [0.25 + 0.2 * np.sin(2 * np.pi * (1.3 + 0.7 * c) * time + c) for c in range(channels)]
    return (np.stack(pattern) * sweep).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int, codec: str, start: int = 0) -> None:
    """Encode with PyAV; `start` is the first time stamp, in samples."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"strict": "experimental"})
        stream.codec_context.layout = layout
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        for ready in resampler.resample(frame):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples.T * 32767).round().astype("<i2").tobytes())


def write_video_with_sound(path: Path, samples: np.ndarray, rate: int, first_picture_s: float, sound_at: list) -> None:
    """A Matroska file whose pictures start at a time and whose pieces of PCM carry the given time stamps (seconds)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=rate)
        audio.codec_context.layout = "mono"
        for k in range(25):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = round(1000 * first_picture_s) + 40 * k, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for piece, time in zip(
            np.array_split((samples[0] * 32767).astype(np.int16), len(sound_at)), sound_at, strict=True
        ):
            frame = av.AudioFrame.from_ndarray(piece[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, round(time * rate), Fraction(1, rate)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def lag(found: np.ndarray, expected: np.ndarray) -> int:
    """By how many samples `found` comes late, by the peak of the cross-correlation."""
    size = 1 << (len(found) + len(expected)).bit_length()
    peak = np.argmax(np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)), size))
    return int(peak if peak < size // 2 else peak - size)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels", "tolerance"),
    [
        ("u8.wav", "pcm_u8", 22050, 1, 1e-2),
        ("s16.wav", "pcm_s16le", 16000, 2, 1e-4),
        ("s24.wav", "pcm_s24le", 96000, 2, 1e-6),
        ("s32.wav", "pcm_s32le", 44100, 1, 1e-6),
        ("f32.wav", "pcm_f32le", 48000, 2, 0),
        ("f64.wav", "pcm_f64le", 8000, 1, 0),
        ("surround.wav", "pcm_s16le", 48000, 6, 1e-4),
        ("sound.aiff", "pcm_s16be", 44100, 2, 1e-4),
        ("sound.flac", "flac", 44100, 2, 1e-4),
        ("sound.mp3", "libmp3lame", 44100, 2, 3e-2),
        ("sound.ogg", "vorbis", 44100, 2, 3e-2),
        ("sound.opus", "libopus", 48000, 2, 3e-2),
        ("sound.m4a", "aac", 44100, 2, 3e-2),
        ("sound.mka", "aac", 44100, 2, 3e-2),
        ("sound.adts.aac", "aac", 44100, 2, None),
        ("sound.webm", "libopus", 48000, 1, 3e-2),
    ],
)
def test_every_format_keeps_rate_channels_length_and_start(tmp_path, name, codec, rate, channels, tolerance):
    samples = speech_like(1.5, rate, channels)
    write_sound(tmp_path / name, samples, rate, codec)
    audio = read_audio(tmp_path / name)
    assert audio.sample_rate == rate
    assert audio.samples.dtype == np.float32
    assert len(audio.samples) == channels
    if tolerance is None:  # ADTS cannot say what the encoder put in front
        return
    length = samples.shape[1]
    # Lossy codecs pad the last block where the container cannot say its length.
    assert length <= audio.samples.shape[1] <= length + (0 if tolerance < 1e-2 else 2048)
    for channel in range(channels):
        # Matroska's clock ticks in milliseconds.
        assert abs(lag(audio.samples[channel], samples[channel])) <= (rate // 1000 if name.endswith(".mka") else 0)
    if not name.endswith(".mka"):
        error = audio.samples[:, :length] - samples
        assert np.sqrt(np.mean(error**2)) <= tolerance


@pytest.mark.parametrize("name", ["ü 日本 ' 1.wav", "a:b.wav", "100%d.wav", "http:x.wav", "UPPER.WAV", "no_suffix"])
def test_any_file_name(tmp_path, name):
    write_wav(tmp_path / "plain.wav", speech_like(0.2, 16000), 16000)
    (tmp_path / "plain.wav").rename(tmp_path / name)
    assert read_audio(str(tmp_path / name)).samples.shape == (1, 3200)


def test_real_recordings(shared):
    for path, channels, rate in [
        ("speech/edtalk_RD_Radio51_000.wav", 1, 16000),
        ("speech/edtalk_teaser.mp3", 1, 24000),
        ("speech/sadtalker_bus_chinese.wav", 2, 48000),
        ("videos/edtalk_uncrop_Obama.mp4", 2, 48000),
    ]:
        audio = read_audio(shared / "data" / path)
        assert (len(audio.samples), audio.sample_rate) == (channels, rate)
        assert audio.samples.std() > 0.01


def test_metadata_in_an_old_encoding_is_no_obstacle(tmp_path):
    write_sound(tmp_path / "tagged.mp3", speech_like(0.5, 44100), 44100, "libmp3lame")
    data = (tmp_path / "tagged.mp3").read_bytes()
    text = b"TIT2\x00\x00\x00\x05\x00\x00\x03\xff\xfe\xe9\xe8"  # "UTF-8" that is none
    tag = b"ID3\x04\x00\x00\x00\x00\x00" + bytes([len(text)]) + text
    (tmp_path / "tagged.mp3").write_bytes(tag + data)
    assert read_audio(tmp_path / "tagged.mp3").duration == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("first_picture", "sound_at", "silence", "cut"),
    [
        pytest.param(0.0, [0.0], 0.0, 0.0, id="together"),
        pytest.param(0.0, [0.25], 0.25, 0.0, id="sound_later"),
        pytest.param(0.24, [0.0], 0.0, 0.24, id="sound_earlier"),
        pytest.param(5.0, [5.02], 0.02, 0.0, id="clock_not_at_zero"),
    ],
)
def test_sound_track_keeps_its_place_against_the_pictures(tmp_path, first_picture, sound_at, silence, cut):
    samples = speech_like(1.0, 16000)
    write_video_with_sound(tmp_path / "clip.mkv", samples, 16000, first_picture, sound_at)
    found = read_audio(tmp_path / "clip.mkv").samples[0]
    silent, gone = round(silence * 16000), round(cut * 16000)
    assert not found[:silent].any()
    np.testing.assert_allclose(found[silent:], samples[0][gone:], atol=1e-4)


def test_a_hole_in_the_time_stamps_is_filled_with_silence(tmp_path):
    samples = speech_like(1.0, 16000)
    write_video_with_sound(tmp_path / "clip.mkv", samples, 16000, 0.0, [0.0, 0.8])
    found = read_audio(tmp_path / "clip.mkv").samples[0]
    assert len(found) == 16000 + 4800
    np.testing.assert_allclose(found[:8000], samples[0][:8000], atol=1e-4)
    assert not found[8000:12800].any()
    np.testing.assert_allclose(found[12800:], samples[0][8000:], atol=1e-4)


@pytest.mark.parametrize("second", [90000.0, 0.1], ids=["a_day_ahead", "back"])
def test_damaged_time_stamps_are_ignored(tmp_path, caplog, second):
    samples = speech_like(1.0, 16000)
    write_video_with_sound(tmp_path / "clip.mkv", samples, 16000, 0.0, [0.0, second])
    np.testing.assert_allclose(read_audio(tmp_path / "clip.mkv").samples, samples, atol=1e-4)
    assert "jump" in caplog.text


@pytest.mark.parametrize(
    ("array", "peak"),
    [
        pytest.param(np.full((2, 1000), 0.5, np.float64), 0.5, id="float64"),
        pytest.param(np.full(1000, 0.5, np.float16), 0.5, id="float16_mono"),
        pytest.param(np.full(1000, 16384, np.int16), 0.5, id="int16"),
        pytest.param(np.full(1000, 1 << 30, np.int32), 0.5, id="int32"),
        pytest.param(np.full(1000, 64, np.int8), 0.5, id="int8"),
        pytest.param(np.full(1000, 192, np.uint8), 0.5, id="uint8"),
        pytest.param(torch.full((2, 1000), 0.5, dtype=torch.bfloat16), 0.5, id="torch_bfloat16"),
        pytest.param(torch.full((1000,), 0.5, requires_grad=True), 0.5, id="torch_with_gradient"),
        pytest.param(torch.full((1000,), -32768, dtype=torch.int16), -1.0, id="torch_int16"),
        pytest.param(np.full((1000, 2), 0.5, np.float32).T, 0.5, id="not_contiguous"),
    ],
)
def test_arrays_of_every_kind(array, peak):
    audio = read_audio(array, 16000)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (1 if array.ndim == 1 else 2, 1000)
    np.testing.assert_array_equal(audio.samples, np.float32(peak))


def test_the_users_array_is_not_shared():
    array = np.zeros((1, 1000), np.float32)
    audio = read_audio(array, 16000)
    array[:] = 1
    assert not audio.samples.any()


def test_an_audio_is_checked_and_handed_back():
    audio = Audio(speech_like(0.5, 22050), 22050)
    assert read_audio(audio).samples is audio.samples
    with pytest.raises(AudioError, match="finite"):
        read_audio(Audio(np.full((1, 1000), np.nan, np.float32), 16000))


@pytest.mark.parametrize(("channels", "rate"), [(1, 16000), (2, 44100), (1, 24000), (6, 48000), (1, 8000), (2, 11025)])
def test_to_mono_is_what_librosa_loads(tmp_path, channels, rate):
    librosa = pytest.importorskip("librosa")
    samples = speech_like(1.0137, rate, channels)
    write_wav(tmp_path / "sound.wav", samples, rate)
    expected, _ = librosa.load(tmp_path / "sound.wav", sr=16000)
    found = read_audio(tmp_path / "sound.wav").to_mono(16000)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_to_mono_keeps_tones_below_and_drops_those_above_the_new_band():
    time = np.arange(44100) / 44100
    low, high = np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 12000 * time)
    mono = Audio(np.stack([low, low]).astype(np.float32), 44100).to_mono(16000)
    assert mono.shape == (16000,)
    np.testing.assert_allclose(mono[500:-500], np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)[500:-500], atol=1e-3)
    assert np.abs(Audio(high[None].astype(np.float32), 44100).to_mono(16000)[500:-500]).max() < 1e-4


def test_pad_silence_puts_exact_silence_around():
    audio = Audio(speech_like(0.5, 8000, 2), 8000)
    padded = pad_silence(audio, before_s=0.25, after_s=0.1)
    assert padded.samples.shape == (2, 2000 + 4000 + 800)
    assert not padded.samples[:, :2000].any()
    assert not padded.samples[:, 6000:].any()
    np.testing.assert_array_equal(padded.samples[:, 2000:6000], audio.samples)
    assert padded.duration == pytest.approx(0.85)
    assert pad_silence(audio).duration == audio.duration


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), 1e9])
def test_pad_silence_refuses_absurd_lengths(seconds):
    audio = Audio(speech_like(0.1, 8000), 8000)
    with pytest.raises(ArgumentError, match="before_s"):
        pad_silence(audio, before_s=seconds)
    with pytest.raises(ArgumentError, match="after_s"):
        pad_silence(audio, after_s=seconds)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_long_sound_is_held_once(tmp_path, suffix):
    samples = np.zeros((2, 48000 * 60), np.float32)
    samples[:, ::100] = 0.5
    write_sound(tmp_path / f"long{suffix}", samples, 48000, "pcm_s16le" if suffix == ".wav" else "flac")
    del samples
    tracemalloc.start()
    try:
        audio = read_audio(tmp_path / f"long{suffix}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert audio.samples.shape == (2, 48000 * 60)
    assert peak < 1.2 * audio.samples.nbytes


@pytest.mark.parametrize("name", ["cut.mp3", "cut.flac", "cut.wav", "cut.ogg"])
def test_a_file_cut_off_gives_what_can_be_read(tmp_path, caplog, name):
    codec = {"mp3": "libmp3lame", "flac": "flac", "wav": "pcm_s16le", "ogg": "vorbis"}[name[4:]]
    samples = speech_like(4.0, 44100, channels=2)
    write_sound(tmp_path / name, samples, 44100, codec)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING, "edtalk"):
        audio = read_audio(tmp_path / name)
    assert 0.9 < audio.duration < 3.5
    length = round(0.9 * audio.samples.shape[1])
    assert np.abs(audio.samples[0, :length] - samples[0, :length]).mean() < 0.02
    if name == "cut.flac":  # the others declare no length
        assert "could be read" in caplog.text


def test_a_damaged_middle_is_left_out(tmp_path, caplog):
    write_sound(tmp_path / "sound.mp3", speech_like(4.0, 44100), 44100, "libmp3lame")
    data = bytearray((tmp_path / "sound.mp3").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    (tmp_path / "sound.mp3").write_bytes(data)
    assert 3.0 < read_audio(tmp_path / "sound.mp3").duration <= 4.1


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (file, word the message must have)."""
    good = folder / "good.wav"
    write_wav(good, speech_like(1.0, 16000), 16000)
    header = good.read_bytes()[:44]
    (folder / "folder.wav").mkdir()
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("these are words, not a sound\n" * 40)
    (folder / "text.txt").write_text("these are words, not a sound\n" * 40)
    (folder / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(20000))
    (folder / "header_only.wav").write_bytes(header)
    (folder / "half_header.wav").write_bytes(header[:20])
    write_wav(folder / "short.wav", speech_like(0.03, 16000), 16000)
    write_sound(folder / "slow.wav", speech_like(4.0, 500), 500, "pcm_s16le")
    nan, loud = speech_like(1.0, 16000), speech_like(1.0, 16000) * 32768
    nan[0, 500] = np.nan
    write_sound(folder / "nan.wav", nan, 16000, "pcm_f32le")
    write_sound(folder / "loud.wav", loud, 16000, "pcm_f32le")
    write_sound(folder / "cut.m4a", speech_like(1.0, 44100), 44100, "aac")
    (folder / "cut.m4a").write_bytes((folder / "cut.m4a").read_bytes()[:2000])
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\ngood.wav\n#EXT-X-ENDLIST\n")
    with av.open(str(folder / "silent.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    from PIL import Image

    Image.new("RGB", (32, 32)).save(folder / "picture.png")
    return {
        "missing": (folder / "missing.wav", "no file"),
        "folder": (folder / "folder.wav", "folder"),
        "empty_file": (folder / "empty.wav", "empty"),
        "text_named_wav": (folder / "text.wav", "not a sound"),
        "text": (folder / "text.txt", "not a sound"),
        "noise": (folder / "noise.mp3", "noise.mp3"),
        "header_only": (folder / "header_only.wav", "empty"),
        "half_a_header": (folder / "half_header.wav", "half_header.wav"),
        "shorter_than_a_frame": (folder / "short.wav", "it must last at least 40 ms"),
        "rate_500_hz": (folder / "slow.wav", "500 Hz"),
        "nan_in_it": (folder / "nan.wav", "finite"),
        "integers_as_floats": (folder / "loud.wav", "full scale"),
        "cut_m4a": (folder / "cut.m4a", "cut off"),
        "playlist": (folder / "list.m3u8", "list"),
        "video_without_sound": (folder / "silent.mp4", "no sound track"),
        "picture": (folder / "picture.png", "still picture"),
        "nul_in_the_name": (Path("a\0b.wav"), "no file|Cannot open"),
        "name_too_long": (folder / ("x" * 300 + ".wav"), "Cannot open"),
    }


BAD_FILES = [
    "missing", "folder", "empty_file", "text_named_wav", "text", "noise", "header_only", "half_a_header",
    "shorter_than_a_frame", "rate_500_hz", "nan_in_it", "integers_as_floats", "cut_m4a", "playlist",
    "video_without_sound", "picture", "nul_in_the_name", "name_too_long",
]  # fmt: skip


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    return bad_files(tmp_path_factory.mktemp("bad_sounds"))


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(bad, case):
    path, word = bad[case]
    with pytest.raises(AudioError, match=word) as caught:
        read_audio(path)
    assert cleaned(path.name) in str(caught.value)


def test_every_bad_file_is_tried(bad):
    assert sorted(bad) == sorted(BAD_FILES)


@pytest.mark.parametrize(
    ("array", "rate", "word"),
    [
        pytest.param(np.zeros(0, np.float32), 16000, "empty", id="empty"),
        pytest.param(np.zeros((2, 0), np.float32), 16000, "empty", id="empty_stereo"),
        pytest.param(np.zeros((0, 100), np.float32), 16000, "channels", id="no_channels"),
        pytest.param(np.zeros(639, np.float32), 16000, "lasts 39 ms; it must last at least 40 ms", id="639_samples"),
        pytest.param(np.full(1000, np.nan, np.float32), 16000, "finite", id="nan"),
        pytest.param(np.r_[np.zeros(999), np.inf], 16000, "finite", id="infinite"),
        pytest.param(np.full(1000, 1e300), 16000, "finite", id="overflows_float32"),
        pytest.param(np.full(1000, 20000.0), 16000, "full scale", id="integers_as_floats"),
        pytest.param(np.zeros(1000, np.int64), 16000, "int64", id="int64"),
        pytest.param(np.zeros(1000, bool), 16000, "bool", id="bool"),
        pytest.param(np.zeros(1000, complex), 16000, "complex", id="complex"),
        pytest.param(np.array(["a"] * 1000), 16000, "type", id="text"),
        pytest.param(np.array(0.5, np.float32), 16000, "shape", id="a_number"),
        pytest.param(np.zeros((1, 2, 1000), np.float32), 16000, "shape", id="batch"),
        pytest.param(np.zeros((1000, 2), np.float32), 16000, "transpose", id="samples_first"),
        pytest.param(np.zeros((65, 1000), np.float32), 16000, "65 channels", id="65_channels"),
        pytest.param(np.zeros(1000, np.float32), 999, "sample rate", id="rate_too_low"),
        pytest.param(np.zeros(100000, np.float32), 800000, "sample rate", id="rate_too_high"),
        pytest.param(np.zeros(1000, np.float32), 0, "sample rate", id="rate_zero"),
        pytest.param(np.zeros(1000, np.float32), -16000, "sample rate", id="rate_negative"),
        pytest.param(np.zeros(1000, np.float32), 16000.5, "whole number", id="rate_fractional"),
        pytest.param(np.zeros(1000, np.float32), float("nan"), "whole number", id="rate_nan"),
        pytest.param(np.zeros(1000, np.float32), "16000", "whole number", id="rate_text"),
        pytest.param(torch.zeros(1000, dtype=torch.int64), 16000, "int64", id="torch_int64"),
    ],
)
def test_bad_arrays(array, rate, word):
    with pytest.raises(AudioError, match=word):
        read_audio(array, rate)


@pytest.mark.parametrize("source", [None, 5, ["a.wav"], b"RIFF"], ids=["none", "number", "list", "bytes"])
def test_other_types_are_refused(source):
    with pytest.raises(AudioError, match="path"):
        read_audio(source)


def test_a_rate_belongs_to_arrays_alone(tmp_path):
    write_wav(tmp_path / "sound.wav", speech_like(0.5, 16000), 16000)
    with pytest.raises(ArgumentError, match="sample_rate"):
        read_audio(np.zeros(1000, np.float32))
    with pytest.raises(ArgumentError, match="sample_rate"):
        read_audio(tmp_path / "sound.wav", 16000)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(1000, np.float32), np.zeros((1, 1000)), np.zeros((1, 1000), np.int16)],
    ids=["1d", "f64", "i16"],
)
def test_audio_holds_float32_channels(samples):
    with pytest.raises(AudioError, match="read_audio"):
        Audio(samples, 16000)
