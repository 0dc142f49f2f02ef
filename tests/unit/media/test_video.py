from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from edtalk_core.errors import ArgumentError, Cancelled, VideoError
from edtalk_core.media import video as video_module
from edtalk_core.media.audio import Audio, read_audio
from edtalk_core.media.video import VideoReader, _display_matrix, exact_fps, frame_count_for, resample_frames
from edtalk_core.media.video_writer import VideoWriter

NTSC = Fraction(30000, 1001)


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture that carries a number of 8 bits in its upper half, and is red left and blue right in its lower half."""
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        picture[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = 255 * (number >> bit & 1)
    picture[height // 2 :, : width // 2, 0] = 200
    picture[height // 2 :, width // 2 :, 2] = 200
    return picture


def number_of(picture: np.ndarray) -> int:
    height, width = picture.shape[:2]
    middles = picture[height // 4, [(2 * bit + 1) * width // 16 for bit in range(8)], 1]
    return sum(1 << bit for bit in range(8) if middles[bit] > 127)


def encode(
    path: Path,
    pictures: Sequence[np.ndarray],
    rate: Fraction | int = 25,
    *,
    codec: str = "libx264",
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    matrix: int | None = None,
    full_range: bool = False,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video with PyAV alone, so that the reader is tested against another writer than ours."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "10"} if codec == "libx264" else {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        if time_base is not None:
            context.time_base = time_base
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if matrix is not None:
            context.colorspace = matrix
        if full_range:
            context.color_range = 2
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format=pix_fmt,
                dst_colorspace=matrix or 5,
                src_color_range=2,
                dst_color_range=2 if full_range else 1,
            )
            frame.pts = k if stamps is None else stamps[k]
            frame.time_base = time_base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound(seconds: float, rate: int = 44100, channels: int = 2) -> Audio:
    """Clicks at uneven times over a quiet tone, different in each channel: shifts, cuts and swaps show."""
    samples = np.zeros((channels, round(seconds * rate)), np.float32)
    time = np.arange(samples.shape[1]) / rate
    for channel in range(channels):
        samples[channel] = 0.1 * np.sin(2 * np.pi * (220 + 110 * channel) * time)
        for click in np.random.default_rng(channel).uniform(0, seconds, 12):
            samples[channel] += 0.5 * np.exp(-(((time - click) * 800) ** 2)).astype(np.float32)
    return Audio(samples, rate)


def lag(found: np.ndarray, expected: np.ndarray) -> int:
    size = 1 << (len(found) + len(expected)).bit_length()
    peak = np.argmax(np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)), size))
    return int(peak if peak < size // 2 else peak - size)


def boxes(path: Path) -> list[tuple[str, int]]:
    """Names and offsets of the outer boxes of an MP4 file."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        found.append((name.decode(), at))
        at += size
    return found


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Turn an MP4 as phones do: in the track header, without touching the frames."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def write_all(writer: VideoWriter, pictures: Iterable[np.ndarray], reason: BaseException | None = None) -> None:
    with writer:
        for picture in pictures:
            writer.write(picture)
        if reason is not None:
            raise reason


# --- Frame rates


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (25, Fraction(25)),
        (25.0, Fraction(25)),
        (29.97, NTSC),
        (30000 / 1001, NTSC),
        (NTSC, NTSC),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (33.333333, Fraction(100, 3)),
        (np.float32(30), Fraction(30)),
    ],
)
def test_a_frame_rate_is_the_fraction_that_is_meant(fps, expected):
    assert exact_fps(fps) == expected


@pytest.mark.parametrize("fps", [0, -25, 0.5, 241, float("nan"), float("inf"), "25", None])
def test_bad_frame_rates(fps):
    with pytest.raises(ArgumentError, match="frame rate"):
        exact_fps(fps)


@pytest.mark.parametrize(
    ("duration", "fps", "frames"),
    [(1, 25, 25), (3.217, 25, 80), (0.019, 25, 0), (0.021, 25, 1), (600, 29.97, 17982), (10, NTSC, 300), (0, 30, 0)],
)
def test_frame_count_is_the_rounded_duration(duration, fps, frames):
    assert frame_count_for(duration, fps) == frames


@pytest.mark.parametrize("duration", [-1, float("nan"), float("inf")])
def test_bad_durations(duration):
    with pytest.raises(ArgumentError, match="duration"):
        frame_count_for(duration, 25)


# --- Reading


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", "libx264", 25),
        ("a.mp4", "libx264", NTSC),
        ("a.mov", "libx264", 60),
        ("a.mkv", "libx264", 30),
        ("a.mkv", "libx264", Fraction(24000, 1001)),
        ("a.webm", "libvpx-vp9", 30),
        ("a.avi", "mpeg4", 25),
        ("a.ts", "libx264", 50),
        ("ü 日本:%d'.mp4", "libx264", 12),
    ],
)
def test_frames_come_in_order_with_their_times(tmp_path, name, codec, rate):
    count = 40
    reader = VideoReader(encode(tmp_path / name, [numbered(k) for k in range(count)], rate, codec=codec))
    assert reader.size == (64, 48)
    assert reader.fps == pytest.approx(float(rate), rel=1e-4)
    assert reader.frame_count == pytest.approx(count, abs=1)
    assert reader.duration == pytest.approx(count / rate, abs=0.05)
    assert not reader.has_audio
    for _ in range(2):  # as often as needed
        times, pictures = zip(*reader, strict=True)
        assert [number_of(p) for p in pictures] == list(range(count))
        assert all(p.shape == (48, 64, 3) and p.dtype == np.uint8 for p in pictures)
        np.testing.assert_allclose(times, np.arange(count) / float(rate), atol=2e-5)
        assert reader.end_time == pytest.approx(count / rate, abs=2e-3)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        pytest.param((1, 0, 0, 1), lambda p: p, id="upright"),
        pytest.param((0, 1, -1, 0), lambda p: np.rot90(p, -1), id="quarter_turn_right"),
        pytest.param((-1, 0, 0, -1), lambda p: np.rot90(p, 2), id="half_turn"),
        pytest.param((0, -1, 1, 0), lambda p: np.rot90(p, 1), id="quarter_turn_left"),
        pytest.param((-1, 0, 0, 1), lambda p: p[:, ::-1], id="mirrored"),
        pytest.param((1, 0, 0, -1), lambda p: p[::-1], id="upside_down_mirror"),
        pytest.param((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2), id="transposed"),
        pytest.param((0, 0, 0, 0), lambda p: p, id="nothing_said"),
        pytest.param((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2), id="transposed_other_way"),
    ],
)
def test_phone_videos_are_turned_upright(tmp_path, matrix, turn):
    path = encode(tmp_path / "a.mp4", [numbered(k) for k in range(5)])
    set_display_matrix(path, *matrix)
    reader = VideoReader(path)
    for k, (_, picture) in enumerate(reader):
        expected = turn(numbered(k))
        assert reader.size == expected.shape[1::-1]
        assert picture.flags["C_CONTIGUOUS"]
        assert np.abs(picture.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_the_angle_alone_turns_the_same_way(tmp_path, matrix):
    path = encode(tmp_path / "a.mp4", [numbered(0)])
    set_display_matrix(path, *matrix)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        stand_in = SimpleNamespace(side_data={}, rotation=frame.rotation)
    np.testing.assert_array_equal(_display_matrix(stand_in), _display_matrix(frame))


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (85, 48)), (Fraction(1, 2), (64, 96)), (Fraction(1), (64, 48))]
)
def test_oblong_pixels_become_square(tmp_path, aspect, size):
    path = encode(tmp_path / "a.mp4", [numbered(k) for k in range(3)], aspect=aspect)
    reader = VideoReader(path)
    assert reader.size == size
    for k, (_, picture) in enumerate(reader):
        assert picture.shape == (size[1], size[0], 3)
        assert number_of(picture) == k


def test_oblong_pixels_of_a_turned_video(tmp_path):
    path = encode(tmp_path / "a.mp4", [numbered(1)], aspect=Fraction(2))
    set_display_matrix(path, 0, 1, -1, 0)
    reader = VideoReader(path)
    assert reader.size == (48, 128)
    assert next(iter(reader))[1].shape == (128, 48, 3)


def test_odd_sizes(tmp_path):
    path = encode(tmp_path / "a.mkv", [numbered(k, 65, 49) for k in range(3)], codec="ffv1", pix_fmt="yuv444p")
    assert VideoReader(path).size == (65, 49)
    assert [number_of(p) for _, p in VideoReader(path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("written", "tag", "full_range", "size"),
    [
        pytest.param(1, 1, False, (64, 64), id="bt709"),
        pytest.param(5, 5, False, (64, 64), id="bt601"),
        pytest.param(1, 1, True, (64, 64), id="bt709_full_range"),
        pytest.param(5, 5, True, (64, 64), id="bt601_full_range"),
        pytest.param(5, 2, False, (64, 64), id="unsaid_and_small_is_bt601"),
        pytest.param(1, 2, False, (1280, 720), id="unsaid_and_large_is_bt709"),
    ],
)
def test_colours_are_those_of_the_file(tmp_path, written, tag, full_range, size):
    width, height = size
    colours = np.random.default_rng(3).integers(0, 256, (4, 4, 3), np.uint8)
    picture = colours.repeat(height // 4, 0).repeat(width // 4, 1)
    path = encode(tmp_path / "a.mkv", [picture], codec="ffv1", pix_fmt="yuv444p", matrix=written, full_range=full_range)
    if tag == 2:  # FFV1 keeps the tag only in the container
        data = path.read_bytes()
        at = data.index(b"\x55\xb1\x81")
        path.write_bytes(data[: at + 3] + bytes([2]) + data[at + 4 :])
    (_, found), = VideoReader(path)  # fmt: skip
    assert np.abs(found.astype(int) - picture).max() <= 2


def test_variable_frame_rate_keeps_its_time_stamps(tmp_path):
    stamps = [0, 40, 50, 500, 510, 1000]
    path = encode(tmp_path / "a.mp4", [numbered(k) for k in range(6)], 1000, stamps=stamps, time_base=Fraction(1, 1000))
    times = [time for time, _ in VideoReader(path)]
    np.testing.assert_allclose(times, np.array(stamps) / 1000, atol=1e-3)


def test_times_count_from_the_first_frame(tmp_path):
    path = encode(tmp_path / "a.mkv", [numbered(k) for k in range(5)], 25, stamps=[100, 101, 102, 103, 104])
    np.testing.assert_allclose([time for time, _ in VideoReader(path)], np.arange(5) / 25, atol=1e-3)


def test_jumping_time_stamps_are_ignored(tmp_path, caplog):
    path = encode(tmp_path / "a.mkv", [numbered(k) for k in range(4)], 25, stamps=[0, 1, 10**6, 10**6 + 1])
    np.testing.assert_allclose([time for time, _ in VideoReader(path)], np.arange(4) / 25, atol=1e-3)
    assert "jump" in caplog.text


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", "libx264", 25),
        ("a.mp4", "libx264", NTSC),
        ("a.mkv", "libx264", 30),
        ("a.webm", "libvpx-vp9", 30),
        ("a.avi", "mpeg4", 25),
        ("a.ts", "libx264", 50),
    ],
)
def test_reading_from_a_time_on_gives_the_same_frames(tmp_path, name, codec, rate):
    # Beyond 256 the numbers begin again; several groups of pictures of each codec fit in.
    reader = VideoReader(encode(tmp_path / name, [numbered(k % 256) for k in range(300)], rate, codec=codec))
    frames = [(time, number_of(picture)) for time, picture in reader]
    assert len(frames) == 300
    for first in (0, 1, 17, 150, 298, 299):
        found = [(time, number_of(picture)) for time, picture in islice(reader.since(frames[first][0]), 3)]
        assert [number for _, number in found] == [number for _, number in frames[first : first + 3]]
        np.testing.assert_allclose([t for t, _ in found], [t for t, _ in frames[first : first + 3]], atol=1e-9)
    between = next(reader.since((frames[40][0] + frames[41][0]) / 2))
    assert number_of(between[1]) == 40
    assert [number_of(picture) for _, picture in reader.since(1e6)] == [299 - 256]


def test_reading_from_a_time_on_decodes_little_of_what_lies_before(tmp_path, monkeypatch):
    reader = VideoReader(encode(tmp_path / "a.mp4", [numbered(k % 256) for k in range(1000)]))
    decoded = []
    plain = video_module.decoded_frames

    def counted(*arguments):
        for frame in plain(*arguments):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(video_module, "decoded_frames", counted)
    assert number_of(next(reader.since(39.0))[1]) == 975 % 256
    assert len(decoded) < 300  # of 975; a group of pictures has up to 250


def test_where_time_stamps_jump_reading_from_a_time_on_counts_as_iterating_does(tmp_path):
    path = encode(
        tmp_path / "a.mkv", [numbered(k) for k in range(30)], 25, stamps=[*range(10), *range(10**6, 10**6 + 20)]
    )
    reader = VideoReader(path)
    frames = [(time, number_of(picture)) for time, picture in reader]
    assert [(time, number_of(picture)) for time, picture in reader.since(frames[20][0])] == frames[20:]


def test_a_recording_that_declares_nothing_is_measured(tmp_path):
    path = encode(tmp_path / "a.mkv", [numbered(k) for k in range(50)], 25, options={"live": "1"})
    with av.open(str(path)) as container:
        assert not container.duration
    reader = VideoReader(path)
    assert reader.fps == pytest.approx(25, rel=1e-3)
    assert reader.frame_count == 50
    assert reader.duration == pytest.approx(2.0, abs=0.01)
    assert len(list(reader)) == 50


def test_a_gif_is_a_video(tmp_path):
    path = encode(tmp_path / "a.gif", [numbered(k) for k in range(5)], 10, codec="gif", pix_fmt="rgb8")
    assert [number_of(p) for _, p in VideoReader(path)] == list(range(5))


def test_a_sound_track_is_seen(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 25, (64, 48), sound(0.2)) as writer:
        writer.write(numbered(0))
    assert VideoReader(tmp_path / "a.mp4").has_audio


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_video_cut_off_gives_what_can_be_read(tmp_path, name, caplog):
    noise = np.random.default_rng(0).integers(0, 60, (100, 48, 64, 3), np.uint8)
    pictures = [numbered(k) // 4 * 3 + noise[k] for k in range(100)]
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = encode(tmp_path / name, pictures, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with caplog.at_level(logging.WARNING, "edtalk"):
        numbers = [number_of(p) for _, p in VideoReader(path)]
    assert 40 <= len(numbers) <= 75
    assert numbers[:40] == list(range(40))


def test_damaged_packets_are_left_out(tmp_path, caplog):
    path = encode(tmp_path / "a.avi", [numbered(k) for k in range(50)], codec="ffv1", pix_fmt="yuv444p")
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, 2 * len(data) // 3, 7):
        data[at] ^= 0x5A
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "edtalk"):
        frames = list(VideoReader(path))
    assert 10 < len(frames) <= 50


def test_stopping_early_closes_the_file(tmp_path):
    path = encode(tmp_path / "a.mp4", [numbered(k) for k in range(50)])
    frames = iter(VideoReader(path))
    next(frames)
    frames.close()
    del frames
    gc.collect()
    if Path("/proc/self/fd").exists():
        assert str(path) not in [os.path.realpath(f) for f in Path("/proc/self/fd").iterdir()]


def test_real_videos(shared):
    for name, size, fps in [
        ("edtalk_pose_source1.mp4", (256, 256), 25),
        ("liveportrait_d6.mp4", None, None),
        ("latentsync_demo2_video.mp4", None, 25),
    ]:
        reader = VideoReader(shared / "data" / "videos" / name)
        assert size in (None, reader.size)
        assert fps is None or reader.fps == pytest.approx(fps, rel=0.01)
        for index, (time, picture) in enumerate(reader):
            assert picture.std() > 10
            assert time == pytest.approx(index / reader.fps, abs=0.05)
            if index == 20:
                break


# --- Resampling


def shown_at(times: Sequence[float], end: float, fps: float) -> list[int]:
    """Index of the frame on screen at each output time: the definition, written plainly."""
    outputs = [k / fps for k in range(max(1, round(end * fps)))]
    return [max((i for i, time in enumerate(times) if time <= output + 1e-6), default=0) for output in outputs]


@pytest.mark.parametrize("fps", [1, 12.5, 24, 25, 29.97, 30, 60, 240])
@pytest.mark.parametrize("seed", range(4))
def test_resampling_shows_what_was_on_screen(seed, fps):
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.exponential(0.03, 60))
    times = (times - times[0] + (0.1 if seed == 3 else 0)).tolist()
    end = times[-1] + (times[-1] - times[-2])
    found = list(resample_frames(iter(enumerate_times(times)), fps))
    assert found == shown_at(times, end, float(exact_fps(fps)))


def enumerate_times(times: Sequence[float]) -> Iterator[tuple[float, int]]:
    return ((time, index) for index, time in enumerate(times))


@pytest.mark.parametrize("rate", [25, NTSC, Fraction(24000, 1001), 30, 50, 60, 12.5, 120])
@pytest.mark.parametrize("fps", [25, 29.97, 30, 60])
def test_resampling_a_steady_rate_gives_the_rounded_duration(rate, fps):
    frames = [(float(k / rate), k) for k in range(101)]
    found = list(resample_frames(frames, fps))
    assert len(found) == round(101 / exact_fps(rate) * exact_fps(fps))
    assert found == sorted(found)
    if exact_fps(fps) == exact_fps(rate):
        assert found == list(range(101))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("rate", [25, 30, NTSC, Fraction(24000, 1001), 60])
def test_resampling_a_file_to_its_own_rate_changes_nothing(tmp_path, name, rate):
    path = encode(tmp_path / name, [numbered(k) for k in range(100)], rate)
    assert [number_of(p) for p in resample_frames(VideoReader(path), rate)] == list(range(100))


def test_resampling_a_file_to_25_fps(tmp_path):
    path = encode(tmp_path / "a.mkv", [numbered(k) for k in range(90)], 30)
    found = [number_of(p) for p in resample_frames(VideoReader(path), 25)]
    assert found == [int(k / 25 * 30 + 1e-6) for k in range(75)]


def test_a_long_last_frame_of_a_file_is_held(tmp_path):
    from PIL import Image

    frames = [Image.fromarray(numbered(k)) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 100, 1000])
    found = [number_of(p) for p in resample_frames(VideoReader(tmp_path / "a.gif"), 10)]
    assert found == [0, 1] + [2] * 10


def test_resampling_reads_no_further_than_it_must():
    taken = []

    def source() -> Iterator[tuple[float, int]]:
        for k in range(1000):
            taken.append(k)
            yield k / 25, k

    frames = resample_frames(source(), 25)
    for k in range(100):
        assert next(frames) == k
        assert len(taken) <= k + 3


def test_one_frame_and_none():
    assert list(resample_frames([(0.0, "a")], 25)) == ["a"]
    assert list(resample_frames([(3.0, "a")], 2)) == ["a"] * 7
    assert list(resample_frames([], 25)) == []
    with pytest.raises(ArgumentError, match="frame rate"):
        resample_frames([], 0)


# --- Writing


@pytest.mark.parametrize(
    ("name", "fps", "rate", "channels", "written_rate", "written_channels"),
    [
        ("a.mp4", 25, 16000, 1, 16000, 1),
        ("a.mp4", 29.97, 44100, 2, 44100, 2),
        ("a.MP4", 23.976, 48000, 2, 48000, 2),
        ("a.mov", 60, 22050, 1, 22050, 1),
        ("a.mkv", 25, 48000, 2, 48000, 2),
        ("a.mp4", 12.5, 8000, 1, 8000, 1),
        ("a.mp4", 25, 96000, 2, 96000, 2),
        ("a.mp4", 25, 192000, 2, 96000, 2),
        ("a.mp4", 25, 11000, 1, 11025, 1),
        ("a.mp4", 30, 6000, 1, 8000, 1),
        ("a.mp4", 25, 48000, 6, 48000, 2),
        ("a.mp4", 25, 48000, 3, 48000, 2),
        ("a.mp4", 25, 48000, 12, 48000, 1),
    ],
)
def test_pictures_and_sound_arrive_whole(tmp_path, name, fps, rate, channels, written_rate, written_channels):
    audio = sound(2.217, rate, channels)
    count = frame_count_for(audio.duration, fps)
    with VideoWriter(tmp_path / name, fps, (64, 48), audio) as writer:
        for k in range(count):
            writer.write(numbered(k))
    assert writer.frames_written == count
    assert writer.partial_path is None
    assert [p.name for p in tmp_path.iterdir()] == [name]

    reader = VideoReader(tmp_path / name)
    assert [number_of(p) for _, p in reader] == list(range(count))
    with av.open(str(tmp_path / name)) as container:
        video, track = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == exact_fps(fps)
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        context = video.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert (track.codec_context.sample_rate, track.codec_context.channels) == (written_rate, written_channels)
        if track.duration is not None:  # Matroska does not say
            assert float(track.duration * track.time_base) == pytest.approx(audio.duration, abs=2e-3)
            assert float(video.duration * video.time_base) == pytest.approx(count / exact_fps(fps), abs=2e-3)

    found = read_audio(tmp_path / name)
    assert found.duration == pytest.approx(audio.duration, abs=0.04 if name != "a.mkv" else 0.05)
    # Matroska's clock ticks in milliseconds.
    assert abs(lag(found.to_mono(8000), audio.to_mono(8000))) <= (8 if name == "a.mkv" else 1)
    if channels == written_channels and rate == written_rate and name != "a.mkv":
        length = min(found.samples.shape[1], audio.samples.shape[1])
        error = found.samples[:, :length] - audio.samples[:, :length]
        assert np.sqrt(np.mean(error**2)) < 0.2 * audio.samples.std()
    assert np.abs(found.samples).max() <= 1.1


def test_stereo_keeps_its_sides_and_surround_is_mixed(tmp_path):
    for channels in (2, 6):
        samples = np.zeros((channels, 44100), np.float32)
        samples[0] = 0.5 * np.sin(np.arange(44100) * 0.05)
        with VideoWriter(tmp_path / "a.mp4", 25, (64, 48), Audio(samples, 44100)) as writer:
            writer.write(numbered(0))
        left, right = read_audio(tmp_path / "a.mp4").samples
        assert left.std() > 0.1
        assert right.std() < 0.01


@pytest.mark.parametrize("frames", [1, 10, 60])
@pytest.mark.parametrize("seconds", [0.05, 1.0, 5.0])
def test_sound_is_written_whole_whatever_the_number_of_frames(tmp_path, frames, seconds):
    with VideoWriter(tmp_path / "a.mp4", 25, (64, 48), sound(seconds, 16000, 1)) as writer:
        for k in range(frames):
            writer.write(numbered(k))
    with av.open(str(tmp_path / "a.mp4")) as container:
        track, video = container.streams.audio[0], container.streams.video[0]
        assert float(track.duration * track.time_base) == pytest.approx(seconds, abs=2e-3)
        assert video.frames == frames


def test_without_sound(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 30, (64, 48)) as writer:
        for k in range(7):
            writer.write(numbered(k))
    reader = VideoReader(tmp_path / "a.mp4")
    assert not reader.has_audio
    assert reader.frame_count == 7
    assert reader.duration == pytest.approx(7 / 30, abs=1e-3)


@pytest.mark.parametrize("size", [(65, 49), (64, 49), (65, 48), (16, 16)])
def test_odd_sides_are_extended_by_their_edge(tmp_path, size):
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, -1], picture[-1, :] = 200, 200
    with VideoWriter(tmp_path / "a.mp4", 25, size) as writer:
        writer.write(picture)
    (_, found), = VideoReader(tmp_path / "a.mp4")  # fmt: skip
    assert found.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(found[:height, :width].astype(int) - picture).mean() < 6
    if width % 2:
        assert found[:, -1].mean() > 150
    if height % 2:
        assert found[-1].mean() > 150


def test_colours_survive(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (4, 4, 3), np.uint8)
    picture = colours.repeat(32, 0).repeat(32, 1)
    with VideoWriter(tmp_path / "a.mp4", 25, (128, 128)) as writer:
        for _ in range(3):
            writer.write(picture)
    for _, found in VideoReader(tmp_path / "a.mp4"):
        error = (found.astype(int) - picture).reshape(4, 32, 4, 32, 3)[:, 8:24, :, 8:24]
        assert np.abs(error.mean((1, 3))).max() < 3  # every colour
        assert np.abs(error.mean((0, 1, 2, 3))).max() < 0.6  # no drift of all of them


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("free_keys", [False, True], ids=["usual_keys", "free_keys"])
def test_metadata_are_kept(tmp_path, suffix, free_keys):
    metadata = {"title": "Ärger 日本", "comment": json.dumps({"seed": 5, "text": "AI-generated"})}
    if free_keys:
        metadata["edtalk_version"] = "0.1"
    with VideoWriter(tmp_path / f"a{suffix}", 25, (64, 48), sound(0.2), metadata) as writer:
        writer.write(numbered(0))
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert metadata.items() <= found.items()


def test_the_index_lies_in_front(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 25, (64, 48), sound(1.0)) as writer:
        for k in range(25):
            writer.write(numbered(k))
    names = [name for name, _ in boxes(tmp_path / "a.mp4")]
    assert names.index("moov") < names.index("mdat")
    assert "moof" not in names


def test_ffprobe_sees_the_same(tmp_path):
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe on the PATH")
    audio = sound(3.217)
    with VideoWriter(tmp_path / "a.mp4", 29.97, (64, 48), audio, {"comment": "x", "edtalk_seed": "5"}) as writer:
        for k in range(frame_count_for(audio.duration, 29.97)):
            writer.write(numbered(k))
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-count_frames", "-of", "json"]
    result = subprocess.run([*command, str(tmp_path / "a.mp4")], capture_output=True, check=True, text=True)
    assert not result.stderr
    probe = json.loads(result.stdout)
    video, track = probe["streams"]
    assert video["avg_frame_rate"] == video["r_frame_rate"] == "30000/1001"
    assert video["nb_read_frames"] == "96"
    assert float(video["start_time"]) == float(track["start_time"]) == 0
    assert float(track["duration"]) == pytest.approx(3.217, abs=1e-3)
    assert float(probe["format"]["duration"]) == pytest.approx(3.217, abs=1e-2)
    assert probe["format"]["tags"]["edtalk_seed"] == "5"
    assert probe["format"]["tags"]["comment"] == "x"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("reason", [Cancelled("enough"), KeyboardInterrupt(), ValueError("a fault"), GeneratorExit()])
def test_a_stopped_run_keeps_what_was_rendered_under_another_name(tmp_path, suffix, reason):
    final = tmp_path / f"talk{suffix}"
    final.write_bytes(b"an older video")
    writer = VideoWriter(final, 25, (64, 48), sound(4.0))
    with pytest.raises(type(reason)) as caught:
        write_all(writer, [numbered(k) for k in range(37)], reason)
    assert caught.value is reason
    assert final.read_bytes() == b"an older video"
    assert writer.partial_path == tmp_path / f"talk.partial{suffix}"
    assert writer.frames_written == 37
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([final.name, writer.partial_path.name])
    assert [number_of(p) for _, p in VideoReader(writer.partial_path)] == list(range(37))
    found = read_audio(writer.partial_path)
    assert found.duration == pytest.approx(37 / 25, abs=0.04)
    expected = sound(4.0).to_mono(8000)[: 8000 * 37 // 25]
    assert abs(lag(found.to_mono(8000), expected)) <= (8 if suffix == ".mkv" else 1)


def test_an_earlier_partial_file_is_not_overwritten(tmp_path):
    for expected in ("talk.partial.mp4", "talk.partial-2.mp4", "talk.partial-3.mp4"):
        writer = VideoWriter(tmp_path / "talk.mp4", 25, (64, 48))
        with pytest.raises(Cancelled):
            write_all(writer, [numbered(1)], Cancelled("enough"))
        assert writer.partial_path == tmp_path / expected
    with VideoWriter(tmp_path / "talk.mp4", 25, (64, 48)) as writer:
        writer.write(numbered(1))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_run_stopped_before_its_first_frame_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", 25, (64, 48), sound(1.0)) as writer:
        raise KeyboardInterrupt
    assert writer.partial_path is None
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 25, (64, 48)) as one, VideoWriter(tmp_path / "a.mp4", 25, (64, 48)) as two:
        for k in range(5):
            one.write(numbered(k))
            two.write(numbered(k + 100))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert [number_of(p) for _, p in VideoReader(tmp_path / "a.mp4")] == list(range(5))  # `one` is closed last


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_process_leaves_a_playable_file(tmp_path, suffix):
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("needs SIGKILL")
    script = """
import os, signal, sys, numpy as np
from edtalk_core.media.video_writer import VideoWriter
noise = np.random.default_rng(0)
with VideoWriter(sys.argv[1], 25, (64, 48)) as writer:
    for k in range(200):
        writer.write(noise.integers(0, 256, (48, 64, 3), np.uint8))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / f"a{suffix}")], check=False)
    assert [p.name for p in tmp_path.iterdir()] == [f"a.partial{suffix}"]
    assert len(list(VideoReader(tmp_path / f"a.partial{suffix}"))) > 60


@pytest.fixture
def small_files():
    """No file can grow beyond a size: what a full disk looks like, without one."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_an_error_and_keeps_what_fitted(tmp_path, small_files, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (200, 160, 160, 3), np.uint8)
    writer = VideoWriter(tmp_path / f"a{suffix}", 25, (160, 160), sound(8))
    small_files(2_500_000)
    with pytest.raises(VideoError, match="room") as caught:
        write_all(writer, noise)
    assert str(tmp_path / f"a{suffix}") in str(caught.value)
    assert not (tmp_path / f"a{suffix}").exists()
    assert writer.partial_path is not None
    assert [p.name for p in tmp_path.iterdir()] == [writer.partial_path.name]
    assert len(list(VideoReader(writer.partial_path))) > 10


def test_a_name_that_cannot_be_taken_is_an_error_and_keeps_the_video(tmp_path, monkeypatch):
    def refuse(source, target):
        if str(target).endswith("a.mp4") and "partial" not in str(target):
            raise PermissionError(13, "Permission denied")
        return rename(source, target)

    rename = os.replace
    monkeypatch.setattr("os.replace", refuse)
    writer = VideoWriter(tmp_path / "a.mp4", 25, (64, 48))
    with pytest.raises(VideoError, match="Permission denied"):
        write_all(writer, [numbered(k) for k in range(9)])
    assert [p.name for p in tmp_path.iterdir()] == ["a.partial.mp4"]
    assert [number_of(p) for _, p in VideoReader(writer.partial_path)] == list(range(9))


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        pytest.param(numbered(0, 66, 48), "(48, 64, 3)", id="other_size"),
        pytest.param(numbered(0).transpose(2, 0, 1), "(48, 64, 3)", id="channels_first"),
        pytest.param(numbered(0)[..., 0], "(48, 64, 3)", id="grey"),
        pytest.param(numbered(0)[None], "(48, 64, 3)", id="batch"),
        pytest.param(numbered(0) / 255, "float64", id="float"),
        pytest.param(numbered(0).astype(np.int32), "int32", id="int32"),
        pytest.param(None, "NoneType", id="none"),
    ],
)
def test_bad_pictures(tmp_path, picture, word):
    writer = VideoWriter(tmp_path / "a.mp4", 25, (64, 48))
    with pytest.raises(VideoError) as caught:
        write_all(writer, [numbered(0), picture])
    assert word in str(caught.value)
    assert "Frame 1" in str(caught.value)
    assert not (tmp_path / "a.mp4").exists()
    assert writer.frames_written == 1


def test_writing_outside_the_block(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 25, (64, 48))
    with pytest.raises(VideoError, match="with"):
        writer.write(numbered(0))
    with writer:
        writer.write(numbered(0))
    with pytest.raises(VideoError, match="with"):
        writer.write(numbered(0))


def test_no_frame_at_all_is_an_error(tmp_path):
    with (
        pytest.raises(VideoError, match="No frame"),
        VideoWriter(tmp_path / "a.mp4", 25, (64, 48), sound(1.0)),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        pytest.param({"path": "a.webm"}, VideoError, "mp4", id="webm"),
        pytest.param({"path": "a.gif"}, VideoError, "mp4", id="gif"),
        pytest.param({"path": "a"}, VideoError, "mp4", id="no_suffix"),
        pytest.param({"path": "no/folder/a.mp4"}, VideoError, "no folder", id="no_folder"),
        pytest.param({"path": "folder.mp4"}, VideoError, "it is a folder", id="a_folder"),
        pytest.param({"fps": 0}, ArgumentError, "frame rate", id="fps_zero"),
        pytest.param({"fps": float("nan")}, ArgumentError, "frame rate", id="fps_nan"),
        pytest.param({"fps": 1000}, ArgumentError, "frame rate", id="fps_1000"),
        pytest.param({"size": (0, 48)}, ArgumentError, "size", id="size_zero"),
        pytest.param({"size": (8, 8)}, ArgumentError, "size", id="size_8"),
        pytest.param({"size": (64, 9000)}, ArgumentError, "size", id="size_9000"),
        pytest.param({"size": (64.0, 48.0)}, ArgumentError, "size", id="size_float"),
        pytest.param({"size": 64}, ArgumentError, "size", id="size_number"),
        pytest.param({"size": (64, 48, 3)}, ArgumentError, "size", id="size_three"),
        pytest.param({"audio": "speech.wav"}, ArgumentError, "read_audio", id="audio_path"),
        pytest.param({"audio": np.zeros((1, 100), np.float32)}, ArgumentError, "read_audio", id="audio_array"),
        pytest.param({"metadata": {"seed": 5}}, ArgumentError, "seed", id="metadata_number"),
        pytest.param({"metadata": {5: "seed"}}, ArgumentError, "5", id="metadata_key"),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, word):
    (tmp_path / "folder.mp4").mkdir()
    given = {"path": "a.mp4", "fps": 25, "size": (64, 48), **arguments}
    with pytest.raises(error, match=word):
        VideoWriter(tmp_path / given.pop("path"), **given)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.mp4"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(VideoError, match="written to"), VideoWriter(tmp_path / "a.mp4", 25, (64, 48)):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_a_pyav_without_h264_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"aac", "mpeg4"})
    with pytest.raises(VideoError, match="libx264"), VideoWriter(tmp_path / "a.mp4", 25, (64, 48)):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_vanishes(tmp_path):
    (tmp_path / "there").mkdir()
    writer = VideoWriter(tmp_path / "there" / "a.mp4", 25, (64, 48))
    (tmp_path / "there").rmdir()
    with pytest.raises(VideoError, match="Cannot write"), writer:
        pass


def write_mp3_with_cover(path: Path) -> None:
    from PIL import Image

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44100)
        frame = av.AudioFrame.from_ndarray(sound(0.5).samples, "fltp", "stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    Image.new("RGB", (32, 32)).save(path.with_suffix(".jpg"))
    picture = b"\x00image/jpeg\x00\x03\x00" + path.with_suffix(".jpg").read_bytes()
    size = len(picture)
    synchsafe = bytes((size + 10) >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x03\x00\x00" + synchsafe + b"APIC" + struct.pack(">IH", size, 0) + picture
    data = path.read_bytes()
    start = 10 + int.from_bytes(bytes([0]) + data[7:10], "big") if data[:3] == b"ID3" else 0
    path.write_bytes(tag + data[start:])


BAD_VIDEOS = {
    "missing": "no file",
    "folder": "folder",
    "empty": "empty",
    "text": "not a video",
    "noise": "not a video",
    "picture": "still picture",
    "playlist": "list",
    "sound": "only: audio",
    "sound_with_cover": "only: audio",
    "cut_before_its_index": "cut off",
    "index_without_frames": "no frame",
    "header_only": "no frame|no video|cut off",
}


@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_bad_videos(tmp_path, case):
    from PIL import Image

    path = tmp_path / "driver.mp4"
    good = encode(tmp_path / "good.mp4", [numbered(k) for k in range(10)], options={"movflags": "faststart"})
    late = encode(tmp_path / "late.mp4", [numbered(k) for k in range(10)])
    if case == "folder":
        path.mkdir()
    elif case == "empty":
        path.touch()
    elif case == "text":
        path.write_text("these are words, not a video\n" * 100)
    elif case == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(50000))
    elif case == "picture":
        Image.new("RGB", (32, 32)).save(path, "PNG")
    elif case == "playlist":
        path.write_text("ffconcat version 1.0\nfile good.mp4\n")
    elif case == "sound":
        with av.open(str(path), "w", format="wav") as container:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
            frame.sample_rate = 8000
            stream = container.add_stream("pcm_s16le", rate=8000)
            stream.codec_context.layout = "mono"
            container.mux(stream.encode(frame))
    elif case == "sound_with_cover":
        write_mp3_with_cover(tmp_path / "cover.mp3")
        path.write_bytes((tmp_path / "cover.mp3").read_bytes())
        with av.open(str(path)) as container:
            assert container.streams.video  # the cover is one
    elif case == "cut_before_its_index":
        path.write_bytes(late.read_bytes()[: dict(boxes(late))["moov"]])
    elif case == "index_without_frames":
        path.write_bytes(good.read_bytes()[: dict(boxes(good))["mdat"] + 8])
    elif case == "header_only":
        path.write_bytes(good.read_bytes()[:40])
    with pytest.raises(VideoError, match=BAD_VIDEOS[case]) as caught:
        VideoReader(path)
    assert str(path) in str(caught.value)
