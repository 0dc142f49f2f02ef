"""Readers of files, one by one, on random damage: they read, or say what is wrong, in little time and memory.

`pytest --fuzz SECONDS` says how long each reader is tried.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawn_faces
import hostile_files as files
import numpy as np
import pytest
import torch
from hostile_cases import write_model
from hypothesis import strategies as st
from random_files import JSON, damaged, fuzz

from edtalk_core.checkpoints.loading import load_model
from edtalk_core.data.clips import ClipStore
from edtalk_core.inspection import inspect_file
from edtalk_core.media.audio import open_audio
from edtalk_core.media.mel import encode_audio
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader
from edtalk_core.motion.files import load_motion, motion_metadata, save_motion
from edtalk_core.motion.motion import TRACKS, Motion
from edtalk_core.motion.presets import load_preset, load_presets
from edtalk_core.motion.timeline import expression_timeline
from edtalk_core.training.settings import read_yaml
from edtalk_core.training.stages import STAGES, stage_settings
from edtalk_core.training.typed_settings import described

Reader = tuple[st.SearchStrategy[Any], Callable[[Any], object]]


def _pictures(folder: Path) -> Reader:
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8))
    contents = []
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        contents.append(buffer.getvalue())
    path = folder / "picture"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_picture(path)

    return damaged(*contents), read


def _sounds(folder: Path) -> Reader:
    sources = [
        files.noise_wav(folder / "a.wav", 0.3, 8000, 2),
        files.silent_flac(folder / "a.flac", 0.001),
        files.gapped_sound(folder / "a.mkv", 0.5, rate=8000),
    ]
    path = folder / "sound"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        sound = open_audio(path)
        if sound.duration < 600:  # a claim of hours in true silence is real work
            encode_audio(sound)

    return damaged(*(source.read_bytes() for source in sources)), read


def _videos(folder: Path) -> Reader:
    pictures = [np.full((32, 48, 3), shade, np.uint8) for shade in (40, 90, 200)]
    source = files.slow_video(folder / "a.mp4", 8, 1, pictures).read_bytes()
    path = folder / "video"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        reader = VideoReader(path)
        assert reader.fps > 0
        assert reader.duration > 0
        for number, (_, picture) in enumerate(reader):
            assert picture.shape[::-1][1:] == reader.size
            if number > 50:
                break

    return damaged(source), read


def _checkpoints(folder: Path) -> Reader:
    bundle = write_model(folder / "model.safetensors").read_bytes()
    torch.save({"gen": {"enc.net_app.convs.0.0.weight": torch.zeros(4, 3, 1, 1)}}, folder / "a.pt")
    torch.save({"a": torch.zeros(3)}, folder / "b.pt", _use_new_zipfile_serialization=False)
    path = folder / "weights.pt"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        inspect_file(path)
        load_model(path)

    header = 8 + int.from_bytes(bundle[:8], "little")
    contents = [bundle, bundle[: header + 1000], (folder / "a.pt").read_bytes(), (folder / "b.pt").read_bytes()]
    return damaged(*contents), read


def _motions(folder: Path) -> Reader:
    motion = Motion(lip=torch.rand(3, 4), pose=torch.rand(3, 6), expression=torch.rand(3, 2))
    contents = [
        save_motion(motion, folder / name, {"source": "x"}).read_bytes() for name in ("a.json", "a.safetensors")
    ]
    made = st.fixed_dictionaries(
        {"format": st.just("edtalk-motion")},
        optional=dict.fromkeys(("format_version", "fps", "metadata", "other", *TRACKS), JSON),
    ).map(lambda content: json.dumps({"format_version": 1, "fps": 25, "lip": [[0.5]], **content}).encode())
    path = folder / "motion"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_motion(path)
        motion_metadata(path)

    return damaged(*contents) | made, read


def _presets(folder: Path) -> Reader:
    weights = [0.1] * 10
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 10), np.float32))
    contents = [
        json.dumps({"name": "smile", "weights": weights}).encode(),
        json.dumps({"presets": {"happy": weights, "sad": weights}}).encode(),
        buffer.getvalue(),
    ]
    names = ("name", "weights", "presets", "format", "format_version", "about")
    made = st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON))
    path = folder / "preset.json"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_presets(path)
        load_preset(path)

    return damaged(*contents) | made.map(lambda content: json.dumps(content).encode()), read


def _timelines(folder: Path) -> Reader:
    presets = {"happy": (0.5,) * 10, "sad": (-0.5,) * 10}
    anchor = Motion(expression=torch.zeros(1, 10))
    contents = [b"0 neutral; 1.5s happy:0.8 ease-in-out; 0:03 own", b"0:00 happy\n1:02.5 sad:2 hold\n"]
    words = st.sampled_from(
        ["0", "1.5s", "0:03", "1:2:3", "happy", ":0.8", "own", "ease-in", ";", "\n", " ", "1e308", "#"]
    )
    made = st.lists(words | st.text(max_size=4), max_size=12).map("".join)

    def read(text: str) -> None:
        expression_timeline(text, presets, anchor, 2.0)

    return damaged(*contents).map(lambda data: data.decode("utf-8", "surrogateescape")) | made, read


def _settings(folder: Path) -> Reader:
    names = {stage: [setting.name for setting in described(kind.SETTINGS)] for stage, kind in STAGES.items()}
    path = folder / "settings.yaml"

    def nested(stage: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        values = st.dictionaries(st.sampled_from(names[stage]), JSON, max_size=3)
        return st.tuples(st.just(stage), values)

    def read(value: bytes | tuple[str, dict[str, Any]]) -> None:
        if isinstance(value, bytes):
            path.write_bytes(value)
            read_yaml(path)
            stage_settings("autoencoder", path, {"data": "a", "out": "b"})
            return
        stage, flat = value
        content: dict[str, Any] = {"data": "a", "out": "b"}
        for name, one in flat.items():
            *groups, last = name.split(".")
            group = content
            for part in groups:
                group = group.setdefault(part, {})
                if not isinstance(group, dict):
                    return
            group[last] = one
        stage_settings(stage, None, content)

    yaml = (
        b"batch: 4\nlosses:\n  l1: 2.0\nbetas: [0.5, 0.9]\ntrain: [enc.]\nprecision: 'no'\nchannels: {4: 16, 8: 16}\n"
    )
    return damaged(yaml) | st.sampled_from(sorted(STAGES)).flatmap(nested), read


def _stores(folder: Path) -> Reader:
    store = folder / "store"
    store.mkdir()
    drawn_faces.write_face_clip(store, "anna", emotion="happy")
    path = store / "anna.safetensors"
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")

    def with_info(info: Any) -> bytes:
        content = json.loads(data[8:header])
        content["__metadata__"]["info"] = json.dumps(info)
        text = json.dumps(content).encode()
        return len(text).to_bytes(8, "little") + text + data[header:]

    fields = ("name", "person", "split", "emotion", "level", "license", "speech")
    info = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, JSON)) | JSON

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for clip in ClipStore(store).clips:
            assert clip.points.shape == (len(clip), 68, 2)
            for index in range(min(3, len(clip))):
                clip.frame(index)
            if clip.mel is not None:
                clip.mel_windows([0, len(clip) - 1])

    return damaged(data) | info.map(with_info), read


READERS = {
    "picture": _pictures,
    "sound": _sounds,
    "video": _videos,
    "checkpoint": _checkpoints,
    "motion": _motions,
    "preset": _presets,
    "timeline": _timelines,
    "settings": _settings,
    "store": _stores,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_random_files(name: str, tmp_path: Path, pytestconfig: pytest.Config, record_property: Callable[..., None]):
    strategy, read = READERS[name](tmp_path)
    record_property("files", fuzz(strategy, read, pytestconfig.getoption("--fuzz")))
