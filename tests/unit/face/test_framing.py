"""The choice of a face, its box and the crop: what goes together, and what is said of a face that is not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edtalk_core.errors import ArgumentError, FaceError, VideoError
from edtalk_core.face.framing import (
    Framing,
    check_crop_size,
    check_frame_size,
    clipped_box,
    is_cropped_already,
    middle_square,
    published_square,
    small_face_warning,
)

BOXES = [(0.0, 0.0, 50.0, 60.0), (100.0, 0.0, 120.0, 30.0)]


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"face": "only"},
        {"face": 3},
        {"box": (0, 0, 50, 50)},
        {"box": (0, 0, 50, 50), "crop": "box"},
        {"crop": "none"},
    ],
    ids=str,
)
def test_choices_that_go_together(choices: dict[str, Any]):
    framing = Framing(**choices)
    assert framing == Framing(**choices)
    with pytest.raises(AttributeError):
        framing.face = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("choices", "word"),
    [
        ({"crop": "template"}, "one of auto, box, none, not 'template'"),
        ({"face": "any"}, "not 'any'"),
        ({"face": -1}, "not -1"),
        ({"face": True}, "not True"),
        ({"box": (0, 0, 50, 50), "crop": "none"}, "leave the box out"),
        ({"box": (0, 0, 50, 50), "face": 0}, "give one of them"),
    ],
    ids=str,
)
def test_choices_that_do_not(choices: dict[str, Any], word: str):
    with pytest.raises(ArgumentError, match=word):
        Framing(**choices)


def test_a_box_within_the_picture():
    assert Framing().box_within(100, 100) is None
    assert Framing(box=np.array([1, 2, 30, 40])).box_within(100, 100) == (1.0, 2.0, 30.0, 40.0)
    with pytest.raises(ArgumentError, match="outside the picture of 20x20"):
        Framing(box=(30, 30, 60, 60)).box_within(20, 20)


@pytest.mark.parametrize(("face", "index"), [("largest", 0), (0, 0), (1, 1)])
def test_the_face_chosen(face: Any, index: int):
    chosen, note = Framing(face).choose(BOXES, "the picture")
    assert chosen == index
    assert ("2 faces" in note) == (face == "largest")


@pytest.mark.parametrize(("face", "words"), [("only", "2 faces in the picture"), (2, "no face 2 in the picture")])
def test_a_choice_that_cannot_be_met_tells_the_boxes(face: Any, words: str):
    with pytest.raises(FaceError, match=words) as caught:
        Framing(face).choose(BOXES, "the picture")
    assert list(caught.value.boxes) == BOXES
    assert "1: (100, 0, 120, 30)" in str(caught.value)


def test_a_single_face_needs_no_word():
    for face in ("largest", "only", 0):
        assert Framing(face).choose(BOXES[:1], "the picture") == (0, "")  # type: ignore[arg-type]


def test_no_more_faces_are_listed_than_one_can_read():
    _, note = Framing().choose(BOXES * 10, "the picture")
    assert "9: " in note
    assert "10: " not in note
    assert note.endswith("....")


def test_no_face_says_where_and_what_to_do():
    with pytest.raises(FaceError, match="No face was found in the street"):
        Framing().choose([], "the street")


def test_squares():
    assert published_square((10, 20, 110, 220)) == ((60, 120), pytest.approx(240))
    assert clipped_box((10, 20, 110, 220), 150, 300) == (0, 0, 150, 240)
    assert middle_square(141, 100) == (20, 0, 100)
    assert middle_square(100, 141) == (0, 20, 100)


@pytest.mark.parametrize(
    ("box", "size", "cropped"),
    [
        ((50, 30, 200, 230), (256, 256), True),
        ((50, 30, 200, 230), (256, 300), False),
        ((90, 90, 160, 190), (256, 256), False),
    ],
)
def test_frames_that_are_crops_already(box: tuple[float, float, float, float], size: tuple[int, int], cropped: bool):
    assert is_cropped_already(box, *size) == cropped


def test_warnings_and_checks():
    assert small_face_warning(100) == []
    assert "only about 80 px" in small_face_warning(80)[0]
    assert check_crop_size(256) == 256
    with pytest.raises(ArgumentError, match="from 16 to 4096; got 8"):
        check_crop_size(8)
    check_frame_size(np.zeros((48, 64, 3), np.uint8), (64, 48))
    with pytest.raises(VideoError, match="64x48 to 48x64"):
        check_frame_size(np.zeros((64, 48, 3), np.uint8), (64, 48))
