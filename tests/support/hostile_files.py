"""Files that nobody should be harmed by: broken, huge or made to harm. Each function writes one and returns its path.

Claims that are huge cost little to write: sparse files, tensors without storage, compressed zeros.
"""

from __future__ import annotations

import json
import struct
import wave
import zipfile
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

MIB = 1 << 20


def write_json(path: Path, content: object) -> Path:
    """Write a value as JSON."""
    path.write_text(json.dumps(content), "utf-8")
    return path


def edited_safetensors(
    source: Path,
    path: Path,
    *,
    tensors: Callable[[dict[str, torch.Tensor]], object] | None = None,
    metadata: Mapping[str, str | None] | None = None,
) -> Path:
    """Write a copy of a safetensors file with tensors changed in place and metadata replaced, or removed (None)."""
    with safe_open(source, framework="pt") as file:
        values = {**(file.metadata() or {}), **(metadata or {})}
    content = load_file(source)
    if tensors is not None:
        tensors(content)
    save_file(content, path, metadata={name: value for name, value in values.items() if value is not None})
    return path


def zip_bomb_checkpoint(path: Path, mebibytes: int = 64) -> Path:
    """A PyTorch file whose tensor is compressed zeros."""
    plain = path.with_suffix(".plain")
    torch.save({"gen": {"enc.net_app.convs.0.0.weight": torch.zeros(1, dtype=torch.float32)}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb:
        for name in source.namelist():
            with bomb.open(name, "w", force_zip64=True) as member:
                if "/data/" in name:
                    for _ in range(mebibytes):
                        member.write(bytes(MIB))
                else:
                    member.write(source.read(name))
    plain.unlink()
    return path


def pickle_bomb_checkpoint(path: Path, mebibytes: int = 64) -> Path:
    """A PyTorch file whose pickle is compressed zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb:
        bomb.writestr("archive/version", "3\n")
        with bomb.open("archive/data.pkl", "w", force_zip64=True) as member:
            for _ in range(mebibytes):
                member.write(b"(" * MIB)
    return path


def strided_checkpoint(path: Path, width: int) -> Path:
    """A PyTorch file of a whole model with `width` channels, whose tensors are views of single numbers."""
    from edtalk_core.networks.sizes import ModelSizes
    from edtalk_core.networks.talking_head import TalkingHead

    with torch.device("meta"):
        head = TalkingHead(ModelSizes(channels=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), width)))
    number = torch.zeros(1)
    state = {name: number.expand(value.shape) for name, value in head.state_dict().items()}
    torch.save({"gen": state}, path)
    return path


def sparse_safetensors(path: Path, tensors: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> Path:
    """A safetensors file of float32 zeros that take no room on the disk."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def sparse_motion(path: Path, frames: int, fps: float = 25.0) -> Path:
    """A motion file of so many frames, which take no room on the disk."""
    return sparse_safetensors(
        path,
        {"lip": (frames, 20), "pose": (frames, 6), "expression": (frames, 10)},
        {"format": "edtalk-motion", "format_version": "1", "fps": repr(fps)},
    )


def sparse_model(path: Path, width: int) -> Path:
    """A bundle of a whole model with `width` channels, which takes no room on the disk."""
    from edtalk_core.networks.sizes import ModelSizes
    from edtalk_core.networks.talking_head import TalkingHead

    with torch.device("meta"):
        head = TalkingHead(ModelSizes(channels=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), width)))
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    return sparse_safetensors(path, shapes, {"format": "edtalk-bundle", "format_version": "1"})


def giant_jpeg(side: int) -> np.ndarray:
    """The bytes of a grey JPEG of `side` x `side` pixels, which takes little memory to make."""
    import cv2

    success, small = cv2.imencode(".jpg", np.full((64, 64, 3), 128, np.uint8))
    assert success
    data = small.ravel().copy()
    # The size in the frame header; a decoder reads on with grey where the data end.
    start = bytes(data).index(b"\xff\xc0") + 5
    data[start : start + 4] = np.frombuffer(struct.pack(">HH", side, side), np.uint8)
    return data


def sparse_wav(path: Path, hours: float, rate: int = 8000, channels: int = 1) -> Path:
    """A WAV of silence that takes no room on the disk; at most 4 GB."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"")
    size = int(hours * 3600 * rate) * channels * 2
    with path.open("r+b") as raw:
        raw.seek(4)
        raw.write(struct.pack("<I", 36 + size))
        raw.seek(40)
        raw.write(struct.pack("<I", size))
        raw.truncate(44 + size)
    return path


def silent_flac(path: Path, hours: float, rate: int = 8000) -> Path:
    """A FLAC of silence, some megabytes a day."""
    import av

    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        block = np.zeros((1, 4608), np.int16)
        for number in range(int(hours * 3600 * rate / 4608)):
            frame = av.AudioFrame.from_ndarray(block, "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, number * 4608, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def gapped_sound(path: Path, gap_seconds: float, gaps: int = 1, rate: int = 48_000) -> Path:
    """A Matroska sound of short blocks with gaps in its time stamps between them."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for number in range(gaps + 1):
            for part in range(10):
                block = rng.integers(-3000, 3000, (1, rate // 10)).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block, "s16", "mono")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(rate * (number * (1 + gap_seconds) + part / 10))
                container.mux(stream.encode(frame))
    return path


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """A WAV of int16 samples (N,C)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def noise_wav(path: Path, seconds: float, rate: int = 16_000, channels: int = 1) -> Path:
    """A WAV of noise."""
    samples = np.random.default_rng(0).integers(-8000, 8000, (int(seconds * rate), channels))
    return write_wav(path, samples, rate)


def slow_video(path: Path, frames: int, seconds_per_frame: int, pictures: list[np.ndarray]) -> Path:
    """A video of one frame every so many seconds, of the pictures in turn."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], "rgb24")
            frame.pts, frame.time_base = number * seconds_per_frame, Fraction(1, 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def video_with_time_scale(source: Path, path: Path, scale: int) -> Path:
    """A copy of an MP4 whose video track has another number of ticks a second (`mdhd`)."""
    data = bytearray(source.read_bytes())
    place = _track_box(data, b"mdhd")
    struct.pack_into(">I", data, place + 4 + (12 if data[place + 4] == 0 else 20), scale)
    path.write_bytes(data)
    return path


def video_with_frame_delta(source: Path, path: Path, delta: int) -> Path:
    """A copy of an MP4 whose video frames last `delta` ticks each (`stts`)."""
    data = bytearray(source.read_bytes())
    place = _track_box(data, b"stts") + 4 + 4
    (entries,) = struct.unpack_from(">I", data, place)
    for entry in range(entries):
        struct.pack_into(">I", data, place + 4 + 8 * entry + 4, delta)
    path.write_bytes(data)
    return path


def _track_box(data: bytearray, name: bytes) -> int:
    """Position of the name of the first box of this kind in the track of the pictures."""
    handler = data.index(b"vide", data.index(b"moov"))
    start = data.rindex(b"trak", 0, handler)
    return data.index(name, start)


def nested_json(path: Path, depth: int = 100_000) -> Path:
    """JSON of lists in lists."""
    path.write_text('{"format": "edtalk-motion", "lip": ' + "[" * depth + "]" * depth + "}", "utf-8")
    return path


def png_of_claimed_size(path: Path, width: int, height: int) -> Path:
    """A PNG whose header claims a size that its data do not have."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    return path
