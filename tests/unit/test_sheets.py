"""Contact sheets: every face on them is the one its labels say, in its place."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.cli import main
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError, MotionError
from edtalk_core.media.picture import images_to_pictures, read_picture
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.bases import Bases
from edtalk_core.motion.motion import TRACKS, Motion
from edtalk_core.motion.presets import expression_preset
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.rendering import Renderer
from edtalk_core.sheets import REACH, base_sheet, emotion_sheet

SIZES = {
    "resolution": 32,
    "style": 24,
    "lip": 5,
    "pose": 3,
    "channels": {4: 12, 8: 10, 16: 8, 32: 6},
    "expression_hidden": 7,
}


def small_model(expression: int = 4) -> EDTalk:
    """A model that is not trained, but whose every weight changes the picture."""
    torch.manual_seed(0)
    model = EDTalk(ModelSizes(**SIZES, expression=expression))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.copy_(0.3 * torch.randn_like(value) + name.endswith("modulation.bias"))
    if expression:
        model.presets = {name: tuple((3 * torch.randn(expression)).tolist()) for name in ("angry", "happy", "sad")}
    return model.eval()


@pytest.fixture(scope="module")
def model() -> EDTalk:
    return small_model()


@pytest.fixture(scope="module")
def portrait(model) -> Portrait:
    return portrait_of(model)


def portrait_of(model: EDTalk) -> Portrait:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        return model.encode_portrait(image)


def face_of(model: EDTalk, portrait: Portrait, motion: Motion) -> np.ndarray:
    """The picture of a motion of one frame."""
    return images_to_pictures(Renderer(model, portrait, precision="fp32").render(**motion.tracks))[0]


def places(sheet: np.ndarray, face: np.ndarray) -> list[tuple[int, int]]:
    """(left, top) of every place where a face is on a sheet, but for rounding of a level."""
    errors = cv2.matchTemplate(sheet.astype(np.float32), face.astype(np.float32), cv2.TM_SQDIFF)
    tops, lefts = np.nonzero(errors <= face.size)
    found = [(int(left), int(top)) for top, left in zip(tops, lefts, strict=True)]
    return [place for place in found if np.abs(sheet[place[1] :, place[0] :][:32, :32].astype(int) - face).max() <= 1]


# Emotions


def test_every_emotion_at_every_strength_is_in_its_cell(model, portrait):
    strengths = (0.5, 1.0, 2.0)
    sheet = emotion_sheet(model, portrait, strengths=strengths, cell=32, precision="fp32")
    ((left, top),) = places(sheet, face_of(model, portrait, portrait.own))
    lefts, tops = set(), []
    for row, strength in enumerate(strengths):
        cells = []
        for emotion in model.presets:
            expression = expression_preset(model.presets, emotion, strength, portrait.own)
            (cell,) = places(sheet, face_of(model, portrait, portrait.own.with_tracks(**expression.tracks)))
            cells.append(cell)
        assert [x for x, _ in cells] == sorted(x for x, _ in cells)
        assert len({y for _, y in cells}) == 1
        lefts.add(tuple(x for x, _ in cells))
        tops.append(cells[0][1])
        if row == 0:
            assert tops[0] == top  # the portrait at rest is first
            assert left < cells[0][0]
    assert len(lefts) == 1
    assert tops == sorted(set(tops))


def test_only_the_emotions_asked_for_are_shown_in_any_case_of_letters(model, portrait):
    sheet = emotion_sheet(model, portrait, emotions=["Sad", "own"], strengths=[1], cell=32, precision="fp32")
    sad = portrait.own.with_tracks(expression=torch.tensor([model.presets["sad"]]))
    assert len(places(sheet, face_of(model, portrait, sad))) == 1
    assert len(places(sheet, face_of(model, portrait, portrait.own))) == 2
    whole = emotion_sheet(model, portrait, strengths=[1], cell=32)
    assert whole.shape[1] - sheet.shape[1] == 33  # one emotion less, and the gap beside it


def test_sheets_have_labels(model, portrait):
    sheet = emotion_sheet(model, portrait, strengths=(0.5, 1.5), cell=64)
    ink = (sheet < 100).all(axis=2)
    assert ink[:20, 50:].any()  # emotions above the faces
    assert ink[20:, :45].any()  # strengths beside them
    other = emotion_sheet(model, portrait, strengths=(0.5, 2.5), cell=64)
    assert np.array_equal(sheet[:20], other[:20])
    assert not np.array_equal(sheet[84:, :45], other[84:, :45])
    assert sheet.dtype == np.uint8


@pytest.mark.parametrize("cell", [32, 50, 256])
def test_faces_are_scaled_to_the_cell(model, portrait, cell):
    sheet = emotion_sheet(model, portrait, emotions=["happy"], strengths=[1], cell=cell)
    small = emotion_sheet(model, portrait, emotions=["happy"], strengths=[1], cell=32)
    assert sheet.shape[0] > cell
    assert sheet.shape[1] > 2 * cell
    assert (sheet.shape[0] > small.shape[0]) == (cell > 32)


# Bases


@pytest.mark.parametrize("track", ["all", *TRACKS])
def test_every_base_is_swept_to_both_sides_of_the_portraits_own(model, portrait, track):
    sheet = base_sheet(model, portrait, track=track, columns=2, cell=32, precision="fp32")
    at_rest = places(sheet, face_of(model, portrait, portrait.own))
    shown = TRACKS if track == "all" else (track,)
    bases = [(name, base) for name in shown for base in range(getattr(model.sizes, name))]
    assert len(at_rest) == len(bases)
    for (name, base), (left, top) in zip(bases, at_rest, strict=True):  # both in the order of reading
        for side, x in ((-REACH, left - 32), (REACH, left + 32)):
            weights = portrait.own.track(name).clone()
            weights[0, base] += side
            expected = face_of(model, portrait, portrait.own.with_tracks(**{name: weights}))
            found = sheet[top : top + 32, x : x + 32].astype(int)
            assert np.abs(found - expected).max() <= 1, (name, base, side)


def test_names_stand_beside_the_numbers_of_bases(model, portrait):
    plain = base_sheet(model, portrait, cell=64)
    try:
        model.bases = Bases(pose=("yaw",), expression=("", "lids"))
        named = base_sheet(model, portrait, cell=64)
    finally:
        model.bases = Bases()
    assert named.shape == plain.shape
    changed = (named != plain).any(axis=2)
    label, width, height = round(1.6 * 10), 3 * 64 + 8, round(1.6 * 10) + 64 + 4
    cells = {(top // height, left // width) for top, left in np.argwhere(changed).tolist()}
    # Of the rows lip 0-3, lip 4, pose 0-2, expression 0-3: pose 0 and expression 1. Only their labels differ.
    assert cells == {(2, 0), (3, 1)}
    assert all(top % height < label for top, _ in np.argwhere(changed).tolist())


def test_reach_and_columns(model, portrait):
    narrow = base_sheet(model, portrait, track="pose", reach=1.5, columns=1, cell=32, precision="fp32")
    wide = base_sheet(model, portrait, track="pose", reach=1.5, columns=3, cell=32)
    assert narrow.shape[0] > 2 * wide.shape[0]
    assert wide.shape[1] == 3 * narrow.shape[1]
    weights = portrait.own.pose.clone()
    weights[0, 0] += 1.5
    assert places(narrow, face_of(model, portrait, portrait.own.with_tracks(pose=weights)))
    # More columns than bases take no room.
    assert np.array_equal(base_sheet(model, portrait, track="pose", reach=1.5, columns=30, cell=32), wide)


def test_a_lip_pose_model_shows_the_bases_it_has():
    model = small_model(expression=0)
    portrait = portrait_of(model)
    sheet = base_sheet(model, portrait, cell=32, precision="fp32")
    assert len(places(sheet, face_of(model, portrait, portrait.own))) == 5 + 3
    with pytest.raises(MotionError, match=r"lip\+pose model"):
        base_sheet(model, portrait, track="expression")
    with pytest.raises(MotionError, match=r"lip\+pose model"):
        emotion_sheet(model, portrait)


# Progress and mistakes


@pytest.mark.parametrize(("make", "faces"), [(emotion_sheet, 1 + 3 * 3), (base_sheet, 1 + 2 * 12)])
def test_progress_counts_each_face_once_and_cancels(model, portrait, make, faces):
    calls: list[tuple[int, int | None]] = []
    make(model, portrait, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (faces, faces)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert {total for _, total in calls} == {faces}

    calls.clear()

    def cancel(done: int, total: int | None) -> None:
        calls.append((done, total))
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        make(model, portrait, progress=cancel)
    assert len(calls) == 1


MISTAKES = {
    "unknown emotion": (emotion_sheet, {"emotions": ["hapy"]}, "happy"),
    "no emotion": (emotion_sheet, {"emotions": []}, "at least one"),
    "no strength": (emotion_sheet, {"strengths": ()}, "at least one"),
    "strength below zero": (emotion_sheet, {"strengths": (-1,)}, "0 "),
    "strength too large": (emotion_sheet, {"strengths": (9,)}, "5"),
    "cell too small": (emotion_sheet, {"cell": 8}, "32"),
    "cell too large": (emotion_sheet, {"cell": 4096}, "1024"),
    "cell a fraction": (base_sheet, {"cell": 64.5}, "whole"),
    "sheet too large": (emotion_sheet, {"cell": 1024, "strengths": [1] * 20}, "16384"),
    "unknown track": (base_sheet, {"track": "eyes"}, "'eyes'"),
    "reach zero": (base_sheet, {"reach": 0}, "above 0"),
    "reach endless": (base_sheet, {"reach": float("inf")}, "finite"),
    "no column": (base_sheet, {"columns": 0}, "at least 1"),
    "unknown precision": (base_sheet, {"precision": "fp4"}, "fp4"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_rendered(model, portrait, mistake):
    make, arguments, words = MISTAKES[mistake]
    with pytest.raises(EDTalkError, match=words) as caught:
        make(model, portrait, progress=lambda done, total: pytest.fail("rendered"), **arguments)
    assert type(caught.value) is ArgumentError


def test_a_model_without_presets_says_so():
    model = small_model()
    model.presets = {}
    with pytest.raises(MotionError, match="no expression presets"):
        emotion_sheet(model, portrait_of(model))


# The command

PORTRAIT = builtin_file("examples/portrait.jpg")


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (("emotions", "--cell", 40, "--emotion", "happy", "--emotion", "sad", "--strength", 0.5), (173, 61)),
        (("bases", "--cell", 40, "--track", "pose", "--columns", 6, "--reach", 2), (750, 60)),
    ],
)
def test_the_command_writes_the_sheet_and_says_where(capsys, tmp_path, monkeypatch, tiny_bundle, arguments, size):
    monkeypatch.chdir(tmp_path)
    sheet, *options = arguments
    assert run("sheet", sheet, PORTRAIT, "--model", tiny_bundle, *options) == 0
    output = Path(f"portrait_{sheet}.png")
    assert capsys.readouterr().out == f"{output}: {size[0]}x{size[1]}\n"
    assert read_picture(output).shape == (size[1], size[0], 3)
    assert run("sheet", sheet, PORTRAIT, "--model", tiny_bundle, *options, "-o", "s.jpg", "--json", "--progress") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found == {"path": "s.jpg", "width": size[0], "height": size[1], "warnings": []}
    assert "render: 100%" in printed.err


COMMAND_MISTAKES = {
    "no sheet": ("sheet", 2, "required"),
    "unknown sheet": ("sheet moods P", 2, "invalid choice"),
    "option of the other sheet": ("sheet bases P --emotion happy", 2, "--emotion is for the sheet of emotions"),
    "reach of emotions": ("sheet emotions P --reach 3", 2, "--reach is for the sheet of bases"),
    "unknown emotion": ("sheet emotions P --emotion hapy", 2, "happy"),
    "cell out of range": ("sheet bases P --cell 5", 2, "32"),
    "reach zero": ("sheet bases P --reach 0", 2, "above 0"),
    "portrait missing": ("sheet bases nobody.jpg", 1, "nobody.jpg"),
    "another kind of picture": ("sheet bases P -o sheet.gif", 2, ".png"),
    "output is the portrait": ("sheet bases me.jpg -o me.jpg", 2, "one of the inputs"),
}


@pytest.mark.parametrize("mistake", COMMAND_MISTAKES)
def test_a_mistake_costs_one_line_and_leaves_nothing(capsys, tmp_path, monkeypatch, tiny_bundle, mistake):
    text, code, words = COMMAND_MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me.jpg").write_bytes(PORTRAIT.read_bytes())
    arguments = [str(PORTRAIT) if part == "P" else part for part in text.split()]
    assert run(*arguments, *(("--model", tiny_bundle) if len(arguments) > 2 else ())) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("edtalk: error: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["me.jpg"]
