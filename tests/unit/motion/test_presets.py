"""Expression presets: strength about an anchor, names, files."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion.files import save_motion
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.presets import (
    EMOTIONS,
    Preset,
    blend_presets,
    expression_preset,
    load_preset,
    load_presets,
    parse_expression,
    published_presets,
    save_preset,
)

PRESETS = published_presets()
OWN = Motion(expression=torch.linspace(-1, 1, 10)[None])


def weights(emotion: str) -> torch.Tensor:
    return torch.tensor([PRESETS[emotion]])


def test_published_presets_are_the_eight_emotions_of_ten_numbers(shared):
    given = json.loads((shared / "design" / "expression_presets.json").read_text())["presets"]
    assert {name: list(preset) for name, preset in PRESETS.items()} == given
    assert tuple(PRESETS) == EMOTIONS
    assert weights("neutral").norm().item() == pytest.approx(7.25, abs=0.01)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_strength_goes_from_the_anchor_over_the_preset_to_beyond(emotion):
    assert torch.equal(expression_preset(PRESETS, emotion, 0, OWN).expression, OWN.expression)
    assert torch.equal(expression_preset(PRESETS, emotion, 1, OWN).expression, weights(emotion))
    step = weights(emotion) - OWN.expression
    for strength in (0.3, 1.7):
        out = expression_preset(PRESETS, emotion, strength, OWN)
        assert out.frames == 1
        assert torch.allclose(out.expression, OWN.expression + strength * step, atol=1e-5)


def test_anchored_at_neutral_it_is_not_a_multiple_of_the_preset():
    out = expression_preset(PRESETS, "happy", 0.5, "neutral").expression
    assert torch.allclose(out, (weights("happy") + weights("neutral")) / 2)
    assert not torch.allclose(out, 0.5 * weights("happy"), atol=0.5)


def test_own_is_the_anchor_itself():
    assert expression_preset(PRESETS, "own", 2.0, OWN).equals(OWN)
    assert torch.equal(expression_preset(PRESETS, "own", 1, "neutral").expression, weights("neutral"))


def test_only_the_expression_of_a_whole_portrait_motion_is_the_anchor():
    own = OWN.with_tracks(lip=torch.zeros(1, 20), pose=torch.zeros(1, 6))
    out = expression_preset(PRESETS, "sad", 0.5, own)
    assert list(out.tracks) == ["expression"]


def test_emotions_in_any_case_and_ones_own_presets():
    mine = {**PRESETS, "Smirk": tuple(range(10))}
    assert torch.equal(expression_preset(mine, " HAPPY ", 1, OWN).expression, weights("happy"))
    assert expression_preset(mine, "smirk", 1, OWN).expression[0].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("happy", ("happy", 1.0)),
        ("happy:0.8", ("happy", 0.8)),
        (" sad : 1.5 ", ("sad", 1.5)),
        ("fear:0", ("fear", 0.0)),
        ("own", ("own", 1.0)),
    ],
)
def test_parse_expression(text, expected):
    assert parse_expression(text) == expected


def test_blend_presets_is_equation_3():
    first, second = Preset("a", (1.0, 2.0), model="m"), Preset("b", (3.0, -2.0))
    out = blend_presets(first, second, 0.25, "ab")
    assert out.weights == pytest.approx((2.5, -1.0))
    assert (out.name, out.model) == ("ab", "m")
    assert "0.25 a" in out.about


# Files


def test_a_preset_file_comes_back_as_it_was_and_is_readable(tmp_path):
    preset = Preset("gemütlich", PRESETS["happy"], "Sunday afternoon ☕", "EDTalk.pt")
    path = save_preset(preset, tmp_path / "gemütlich.json")
    assert load_preset(path) == preset
    text = path.read_text(encoding="utf-8")
    assert "Sunday afternoon ☕" in text
    assert "[2.25, -2.57" in text
    assert os.listdir(tmp_path) == ["gemütlich.json"]


@pytest.mark.parametrize("shape", [(10,), (1, 10), (10, 1)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_published_npy_presets_are_read(tmp_path, shape, dtype):
    np.save(tmp_path / "happy.npy", np.array(PRESETS["happy"], dtype).reshape(shape))
    preset = load_preset(tmp_path / "happy.npy")
    assert preset.name == "happy"
    assert preset.weights == pytest.approx(PRESETS["happy"])


def test_a_collection_is_read_by_name(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"about": "two", "presets": {"a": [1, 2], "b": [3, 4]}}))
    presets = load_presets(path)
    assert presets["b"] == Preset("b", (3.0, 4.0), "two")
    with pytest.raises(MotionError, match="2 presets"):
        load_preset(path)


def test_a_preset_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(MotionError, match=r"taken\.json cannot be written"):
        save_preset(Preset("a", (1.0,)), tmp_path / "taken.json")
    assert os.listdir(tmp_path) == ["taken.json"]


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("data.pkl", b"")
    return buffer.getvalue()


def preset_json(**changes) -> bytes:
    content = {"format": "edtalk-preset", "format_version": 1, "name": "a", "weights": [1.0] * 10, **changes}
    return json.dumps(content).encode()


HUGE_CLAIM = npy(np.zeros(10)).replace(b"(10,), }         ", b"(10000000000,), }")

BAD_FILES = {
    "empty": (b"", "empty file"),
    "text": (b"happy", "another kind"),
    "video": (b"\0\0\0\x20ftypisom" + bytes(50), "MP4"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
    "checkpoint": (archive(), "zip archive"),
    "pickle": (pickle.dumps([1.0] * 10), "pickle"),
    "pickle-in-npy": (npy(np.array([Harmful()], dtype=object)), "NumPy"),
    "npy-cut-off": (npy(np.zeros(10))[:-8], "NumPy"),
    "npy-header-only": (npy(np.zeros(10))[:40], "NumPy"),
    "npy-claims-too-much": (HUGE_CLAIM, "NumPy"),
    "npy-of-a-clip": (npy(np.zeros((20, 10))), r"\(20, 10\)"),
    "npy-of-nothing": (npy(np.zeros((0,))), "list of 1"),
    "npy-of-integers": (npy(np.zeros(10, dtype=int)), "floating"),
    "npy-of-text": (npy(np.array(["happy"])), "floating"),
    "npy-with-nan": (npy(np.full(10, np.nan)), "finite"),
    "json-cut-off": (preset_json()[:-5], "not readable"),
    "json-other": (b'{"emotion": "happy"}', "no preset"),
    "json-list": (b"[1, 2, 3]", "no preset"),
    "json-motion": (b'{"format": "edtalk-motion", "lip": [[1]]}', "edtalk-motion"),
    "json-newer": (preset_json(format_version=2), "version 2"),
    "json-nan": (preset_json(weights=[float("nan")] * 10), "NaN"),
    "json-number-too-large": (preset_json(weights=[1e99]), "finite"),
    "json-integer-too-large": (b'{"name": "a", "weights": [1' + b"0" * 500 + b"]}", "finite"),
    "json-weights-text": (preset_json(weights="1, 2, 3"), "list"),
    "json-weights-of-text": (preset_json(weights=["1"] * 10), "finite numbers"),
    "json-weights-true": (preset_json(weights=[True] * 10), "finite numbers"),
    "json-weights-nested": (preset_json(weights=[[1.0] * 10]), "finite numbers"),
    "json-no-weights": (preset_json(weights=[]), "list of 1"),
    "json-too-many-weights": (preset_json(weights=[0.0] * 2000), "1024"),
    "json-name-missing": (b'{"weights": [1, 2]}', "name"),
    "json-name-with-colon": (preset_json(name="very:happy"), "name"),
    "json-name-reserved": (preset_json(name="own"), "own"),
    "json-about-number": (preset_json(about=3), "text"),
    "json-collection-empty": (b'{"presets": {}}', "at least one"),
    "json-collection-list": (b'{"presets": [[1, 2]]}', "by name"),
    "json-collection-mixed": (b'{"presets": {"a": [1], "b": [1, 2]}}', "same number"),
    "json-twice": (b'{"weights": [1], "name": "a", "name": "b"}', "twice"),
    "json-deep": (b"[" * 100_000, "nested"),
    "json-not-utf8": (b'{"name": "\xff", "weights": [1]}', "not readable"),
    "json-huge": (b'{"weights": [' + b"1, " * 200_000 + b"1]}", "bytes"),
}


@pytest.mark.parametrize(("data", "word"), BAD_FILES.values(), ids=BAD_FILES)
def test_refuses_a_file(tmp_path, monkeypatch, data, word):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "preset.json"
    path.write_bytes(data)
    with pytest.raises(MotionError, match=word) as caught:
        load_presets(path)
    assert "preset.json" in str(caught.value)
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize("name", ["missing.json", "missing.npy"])
def test_refuses_a_missing_file(tmp_path, name):
    with pytest.raises(MotionError, match=f"{name} cannot be read"):
        load_preset(tmp_path / name)


def test_refuses_a_folder_and_a_motion(tmp_path):
    with pytest.raises(MotionError, match="a folder"):
        load_preset(tmp_path)
    path = save_motion(OWN, tmp_path / "own.safetensors")
    with pytest.raises(MotionError, match=r"safetensors file; expected an expression preset"):
        load_preset(path)


WIDE = Motion(expression=torch.zeros(1, 16))


@pytest.mark.parametrize(
    ("use", "error", "word"),
    [
        pytest.param(lambda: expression_preset(PRESETS, "hapy", 1, OWN), ArgumentError, "mean happy", id="typo"),
        pytest.param(lambda: expression_preset(PRESETS, "anger", 1, OWN), ArgumentError, "mean angry", id="anger"),
        pytest.param(lambda: expression_preset(PRESETS, "Joy", 1, OWN), ArgumentError, "mean happy", id="joy"),
        pytest.param(lambda: expression_preset(PRESETS, "scared", 1, OWN), ArgumentError, "mean fear", id="scared"),
        pytest.param(
            lambda: expression_preset(PRESETS, "xyz", 1, OWN), ArgumentError, "contempt, disgusted", id="known-ones"
        ),
        pytest.param(lambda: expression_preset(PRESETS, "", 1, OWN), ArgumentError, "no emotion", id="no-emotion"),
        pytest.param(lambda: expression_preset({}, "happy", 1, OWN), ArgumentError, "no expression", id="no-presets"),
        pytest.param(lambda: expression_preset({}, "own", 1, "neutral"), ArgumentError, "no expr", id="no-neutral"),
        pytest.param(lambda: expression_preset(PRESETS, "happy", -0.1, OWN), ArgumentError, "0 ", id="below-0"),
        pytest.param(lambda: expression_preset(PRESETS, "happy", 80, OWN), ArgumentError, "to 5", id="percent"),
        pytest.param(
            lambda: expression_preset(PRESETS, "happy", float("nan"), OWN), ArgumentError, "nan", id="strength-nan"
        ),
        pytest.param(lambda: expression_preset(PRESETS, "happy", "1", OWN), ArgumentError, "'1'", id="strength-text"),
        pytest.param(lambda: expression_preset(PRESETS, "happy", 1, "own"), ArgumentError, "anchor", id="anchor-name"),
        pytest.param(lambda: expression_preset(PRESETS, "happy", 1, None), ArgumentError, "anchor", id="anchor-none"),
        pytest.param(
            lambda: expression_preset(PRESETS, "happy", 1, Motion(expression=torch.zeros(2, 10))),
            ArgumentError,
            "one frame",
            id="anchor-long",
        ),
        pytest.param(
            lambda: expression_preset(PRESETS, "happy", 1, Motion(lip=torch.zeros(1, 20))),
            MotionError,
            "no expression track",
            id="anchor-without-expression",
        ),
        pytest.param(
            lambda: expression_preset(PRESETS, "happy", 1, WIDE), MotionError, "models", id="anchor-other-model"
        ),
        pytest.param(lambda: expression_preset({"a": ["x"]}, "a", 1, OWN), MotionError, "finite", id="preset-of-text"),
        pytest.param(lambda: parse_expression(""), ArgumentError, "happy:0.8", id="parse-empty"),
        pytest.param(lambda: parse_expression(":0.8"), ArgumentError, "happy:0.8", id="parse-no-emotion"),
        pytest.param(lambda: parse_expression("happy:"), ArgumentError, "number", id="parse-no-strength"),
        pytest.param(lambda: parse_expression("happy:very"), ArgumentError, "number", id="parse-word"),
        pytest.param(lambda: parse_expression("happy:80"), ArgumentError, "to 5", id="parse-percent"),
        pytest.param(lambda: parse_expression("happy:nan"), ArgumentError, "number", id="parse-nan"),
        pytest.param(lambda: parse_expression("happy:0.5:1"), ArgumentError, "number", id="parse-two-strengths"),
        pytest.param(
            lambda: blend_presets(Preset("a", (1.0,)), Preset("b", (1.0, 2.0)), 0.5, "c"),
            MotionError,
            "different models",
            id="blend-lengths",
        ),
        pytest.param(
            lambda: blend_presets(Preset("a", (1.0,), model="x"), Preset("b", (2.0,), model="y"), 0.5, "c"),
            MotionError,
            "different models",
            id="blend-models",
        ),
        pytest.param(
            lambda: blend_presets(Preset("a", (1.0,)), Preset("b", (2.0,)), float("inf"), "c"),
            ArgumentError,
            "finite",
            id="blend-amount",
        ),
        pytest.param(lambda: save_preset(Preset("a", (1.0,)), "a.npy"), ArgumentError, ".json", id="save-as-npy"),
        pytest.param(
            lambda: save_preset(Preset("a", (1.0,)), "no/such/folder/a.json"),
            MotionError,
            "no folder",
            id="save-nowhere",
        ),
    ],
)
def test_refuses(use, error, word):
    with pytest.raises(error, match=word) as caught:
        use()
    assert isinstance(caught.value, EDTalkError)
