"""Motion files: what is saved comes back exactly, and nothing else is taken for a motion."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import stat
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion import files
from edtalk_core.motion.files import file_kind, load_motion, motion_metadata, save_motion
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.presets import Preset, save_preset


def random_motion(frames: int = 7, fps: float = 25.0) -> Motion:
    generator = torch.Generator().manual_seed(frames)
    return Motion(
        lip=torch.randn(frames, 20, generator=generator) * 1e3,
        pose=torch.randn(frames, 6, generator=generator),
        expression=torch.randn(frames, 10, generator=generator) * 1e-6,
        fps=fps,
    )


ENDINGS = pytest.mark.parametrize("ending", ["safetensors", "json"])


@ENDINGS
@pytest.mark.parametrize(
    "motion",
    [
        pytest.param(random_motion(), id="all-tracks"),
        pytest.param(random_motion(1).select("expression"), id="one-frame-one-track"),
        pytest.param(random_motion(fps=30000 / 1001).without("lip"), id="29.97-fps"),
        pytest.param(Motion(lip=torch.randn(3, 7), pose=torch.tensor([[3.4e38], [1e-44], [-0.0]])), id="odd-numbers"),
    ],
)
def test_comes_back_exactly(tmp_path, ending, motion):
    path = save_motion(motion, tmp_path / f"m.{ending}")
    loaded = load_motion(path)
    assert loaded.equals(motion)
    assert loaded.fps == motion.fps


@ENDINGS
def test_metadata_comes_back(tmp_path, ending):
    notes = {"made_by": "EDTalk 0.1", "source": "Grüße „七“.wav", "variant": "edtalk"}
    path = save_motion(random_motion(), tmp_path / f"m.{ending}", notes)
    assert motion_metadata(path) == notes
    assert motion_metadata(save_motion(random_motion(), path)) == {}


@ENDINGS
def test_a_large_workflow_fits_into_the_metadata(tmp_path, ending):
    notes = {"workflow": '{"nodes": "é\\\\\n"}' * 200_000}
    assert motion_metadata(save_motion(random_motion(), tmp_path / f"m.{ending}", notes)) == notes


@ENDINGS
def test_a_source_whose_name_is_no_text_can_be_noted(tmp_path, ending):
    path = save_motion(random_motion(), tmp_path / f"m.{ending}", {"source": os.fsdecode(b"caf\xe9.wav")})
    assert motion_metadata(path) == {"source": "caf?.wav"}


def test_safetensors_is_as_documented(tmp_path):
    from safetensors import safe_open

    motion = random_motion(fps=24)
    with safe_open(save_motion(motion, tmp_path / "m.safetensors"), "np") as file:
        assert file.metadata() == {"format": "edtalk-motion", "format_version": "1", "fps": "24.0"}
        assert file.get_tensor("lip").dtype == np.float32
        assert file.get_tensor("pose").shape == (7, 6)


def test_json_is_readable_with_a_frame_a_line(tmp_path):
    path = save_motion(Motion(pose=torch.tensor([[0.1, -2], [3, 4]])), tmp_path / "m.json")
    text = path.read_text()
    assert "  [0.100000001, -2],\n  [3, 4]\n" in text
    assert json.loads(text)["fps"] == 25


def test_content_counts_and_not_the_name(tmp_path):
    path = save_motion(random_motion(), tmp_path / "m.json")
    assert load_motion(path.rename(tmp_path / "m.motion")).equals(random_motion())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_precisions_are_read(tmp_path, dtype):
    head = {"format": "edtalk-motion", "format_version": "1", "fps": "25"}
    (tmp_path / "m.safetensors").write_bytes(to_safetensors({"lip": torch.ones(2, 20, dtype=dtype)}, head))
    assert torch.equal(load_motion(tmp_path / "m.safetensors").lip, torch.ones(2, 20))


@ENDINGS
def test_a_file_is_replaced_as_a_whole_and_has_usual_rights(tmp_path, ending):
    (tmp_path / "other").write_text("")
    path = save_motion(random_motion(), tmp_path / f"m.{ending}")
    save_motion(random_motion(3), path)
    assert load_motion(path).frames == 3
    assert sorted(os.listdir(tmp_path)) == [f"m.{ending}", "other"]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@ENDINGS
def test_failing_to_write_keeps_the_old_file_and_leaves_nothing(tmp_path, ending, monkeypatch):
    path = save_motion(random_motion(), tmp_path / f"m.{ending}")

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(MotionError, match="No space left"):
        save_motion(random_motion(3), path)
    assert load_motion(path).frames == 7
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypmp42", "an MP4 or MOV video"),
        (b"\0\0\0\x18ftypM4A ", "an M4A sound"),
        (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV sound"),
        (b"ID3\x04", "an MP3 sound"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"\x93NUMPY\x01\0", "a NumPy array (.npy)"),
        (struct.pack("<Q", 90) + b'{"', "a safetensors file"),
        (b"\xef\xbb\xbf\n {", "JSON"),
        (b"{\n      {", "JSON"),
        (b"", "an empty file"),
        (b"hello", "a file of another kind"),
    ],
)
def test_file_kind(tmp_path, start, kind):
    (tmp_path / "x").write_bytes(start)
    assert file_kind(tmp_path / "x") == kind


# Bad input

HEAD = {"format": "edtalk-motion", "format_version": "1", "fps": "25"}
TRACKS = {"lip": torch.zeros(3, 20), "pose": torch.zeros(3, 6)}


def tensors(head=None, **changes) -> bytes:
    content = {**TRACKS, **changes}
    return to_safetensors({k: v for k, v in content.items() if v is not None}, HEAD if head is None else head)


def document(**changes) -> bytes:
    content = {"format": "edtalk-motion", "format_version": 1, "fps": 25, "pose": [[0.0] * 6] * 3, **changes}
    return json.dumps({k: v for k, v in content.items() if v is not None}).encode()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 10), np.float32))
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", b"")
    return buffer.getvalue()


BAD_FILES = {
    "empty": (b"", "empty file"),
    "text": (b"lip 0 0 0", "another kind"),
    "preset-npy": (npy(), "expression preset is asked for"),
    "checkpoint": (archive(), "zip archive"),
    "pickle": (pickle.dumps({"lip": [[0.0]]}), "pickle"),
    "video": (b"\0\0\0\x20ftypisom" + bytes(50), "MP4"),
    "cut-off": (tensors()[:-30], "cut off"),
    "cut-off-in-the-header": (tensors()[:60], "damaged"),
    "appended": (tensors() + b"x", "damaged"),
    "header-huge": (struct.pack("<Q", 1 << 33) + b"{" + bytes(100), "header"),
    "header-beyond-the-file": (struct.pack("<Q", 100_000) + b"{" + bytes(100), "damaged"),
    "header-no-json": (struct.pack("<Q", 9) + b"{not json", "damaged"),
    "stable-diffusion": (
        to_safetensors({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4)}),
        "model.diffusion_model",
    ),
    "model-bundle": (to_safetensors({"fc.0.weight": torch.zeros(2, 2)}, {"format": "edtalk-bundle"}), "EDTalk model"),
    "unmarked": (to_safetensors(TRACKS), "something else"),
    "no-tensors": (to_safetensors({}, HEAD), "at least one"),
    "foreign-tensor": (tensors(extra=torch.zeros(1)), "extra"),
    "integers": (tensors(lip=torch.zeros(3, 20, dtype=torch.int32)), "floating-point"),
    "one-dimension": (tensors(lip=torch.zeros(20)), "shape"),
    "no-frames": (tensors(lip=torch.zeros(0, 20), pose=None), "at least 1"),
    "lengths-differ": (tensors(lip=torch.zeros(4, 20)), "lip 4, pose 3"),
    "nan": (tensors(lip=torch.full((3, 20), float("nan"))), "not finite"),
    "beyond-float32": (tensors(lip=torch.full((3, 20), 1e300, dtype=torch.float64)), "not finite"),
    "fps-missing": (tensors({"format": "edtalk-motion", "format_version": "1"}), "frame rate"),
    "fps-text": (tensors({**HEAD, "fps": "fast"}), "fast"),
    "fps-zero": (tensors({**HEAD, "fps": "0"}), "frame rate"),
    "fps-absurd": (tensors({**HEAD, "fps": "1e9"}), "frame rate"),
    "fps-nan": (tensors({**HEAD, "fps": "nan"}), "frame rate"),
    "version-newer": (tensors({**HEAD, "format_version": "2"}), "update EDTalk"),
    "version-missing": (tensors({"format": "edtalk-motion", "fps": "25"}), "version"),
    "version-absurd": (tensors({**HEAD, "format_version": "9" * 5000}), "version"),
    "json-cut-off": (document()[:-10], "not readable"),
    "json-other": (b'{"hello": 1}', "something else"),
    "json-list": (b"[[0, 0]]", "something else"),
    "json-no-tracks": (document(pose=None), "at least one"),
    "json-foreign-key": (document(head=[[0.0]]), "head"),
    "json-ragged": (document(pose=[[0.0] * 6, [0.0] * 5]), "as many numbers"),
    "json-flat": (document(pose=[0.0] * 6), "list of frames"),
    "json-text": (document(pose=[["0"] * 6]), "list of frames"),
    "json-true": (document(pose=[[True] * 6]), "list of frames"),
    "json-no-frames": (document(pose=[]), "list of frames"),
    "json-empty-frames": (document(pose=[[]]), "at least 1"),
    "json-nan": (document(pose=[[float("nan")] * 6]), "NaN"),
    "json-infinite": (document(pose=[[float("inf")] * 6]), "Infinity"),
    "json-overflow": (b'{"format": "edtalk-motion", "format_version": 1, "fps": 25, "pose": [[1e999]]}', "numbers"),
    "json-beyond-float32": (document(pose=[[1e300] * 6]), "not finite"),
    "json-integer-beyond": (document(pose=[[10**400] * 6]), "numbers"),
    "json-digits-beyond": (b'{"format": "edtalk-motion", "fps": ' + b"1" * 9999 + b"}", "not readable"),
    "json-fps-text": (document(fps="fast"), "fast"),
    "json-fps-true": (document(fps=True), "frame rate"),
    "json-fps-missing": (document(fps=None), "frame rate"),
    "json-version-text": (document(format_version="one"), "version"),
    "json-metadata-nested": (document(metadata={"a": {}}), "metadata"),
    "json-metadata-list": (document(metadata=[1]), "metadata"),
    "json-deep": (b"[" * 100_000, "nested"),
}


@pytest.mark.parametrize(("data", "word"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("use", [load_motion, motion_metadata])
def test_refuses_a_file(tmp_path, data, word, use):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(MotionError, match=word) as caught:
        use(path)
    assert "bad.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_an_expression_preset_by_name(tmp_path):
    path = save_preset(Preset("a", (1.0,) * 10), tmp_path / "a.json")
    with pytest.raises(MotionError, match=r"a\.json is an expression preset; expected a motion file"):
        load_motion(path)


def test_refuses_missing_files_and_folders(tmp_path):
    with pytest.raises(MotionError, match=r"none\.json cannot be read"):
        load_motion(tmp_path / "none.json")
    with pytest.raises(MotionError, match="is a folder"):
        load_motion(tmp_path)
    with pytest.raises(MotionError, match="cannot be read"):
        load_motion("nul\0.json")


def test_refuses_json_of_unreasonable_size_without_reading_it(tmp_path):
    path = tmp_path / "m.json"
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(files.MAX_JSON_BYTES + 1)
    with pytest.raises(MotionError, match="bytes"):
        load_motion(path)


@ENDINGS
def test_damage_anywhere_is_a_motion_error_or_a_motion(tmp_path, ending):
    data = save_motion(random_motion(2), tmp_path / f"m.{ending}", {"source": "x"}).read_bytes()
    dice = random.Random(0)
    path = tmp_path / "damaged"
    refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(dice.choice((1, 2, 5))):
            damaged[dice.randrange(min(len(damaged), 400))] = dice.randrange(256)
        path.write_bytes(bytes(damaged[: dice.choice((len(data), dice.randrange(len(data))))]))
        try:
            load_motion(path)
        except MotionError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize(
    ("name", "metadata", "error", "word"),
    [
        pytest.param("m.npy", None, ArgumentError, "ends in", id="npy"),
        pytest.param("m", None, ArgumentError, "ends in", id="no-ending"),
        pytest.param("no/such/m.json", None, MotionError, "no folder", id="no-folder"),
        pytest.param("folder.json", None, MotionError, "cannot be written", id="onto-a-folder"),
        pytest.param("x" * 300 + ".json", None, MotionError, "cannot be written", id="long-name"),
        pytest.param("m.json", {"fps": "30"}, ArgumentError, "fps", id="reserved-key"),
        pytest.param("m.json", {"": "a"}, ArgumentError, "text by name", id="empty-key"),
        pytest.param("m.json", {"frames": 3}, ArgumentError, "frames", id="number"),
        pytest.param("m.safetensors", {3: "a"}, ArgumentError, "3", id="key-number"),
        pytest.param("m.safetensors", {"a": "\x01" * 1_400_000}, ArgumentError, "8,388,608", id="too-much"),
    ],
)
def test_refuses_to_save(tmp_path, name, metadata, error, word):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(error, match=word) as caught:
        save_motion(random_motion(), tmp_path / name, metadata)
    assert isinstance(caught.value, EDTalkError)
    assert os.listdir(tmp_path) == ["folder.json"]


def test_refuses_to_save_json_too_long_to_be_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 1000)
    with pytest.raises(ArgumentError, match="safetensors"):
        save_motion(random_motion(100), tmp_path / "m.json")
