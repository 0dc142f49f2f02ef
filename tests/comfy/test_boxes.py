"""The face as typed or painted: numbers in a text, and a mask."""

from __future__ import annotations

import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import ArgumentError
from comfyui_edtalk.nodes.portrait import box_of_mask, face_choice, parse_box


@pytest.mark.parametrize(
    "text", ["10, 20, 110, 140.5", "10 20 110 140.5", " 10,20 ,110,  140.5 ", "1e1 20 110 140.5", "10,,20,110,140.5"]
)
def test_box_as_typed(text: str):
    assert parse_box(text) == (10.0, 20.0, 110.0, 140.5)


@pytest.mark.parametrize("text", ["", "  ", " , "])
def test_nothing_typed_is_no_box(text: str):
    assert parse_box(text) is None


@pytest.mark.parametrize(
    "text", ["10, 20, 110", "10, 20, 110, 140, 5", "left, 20, 110, 140", "10; 20; 110; 140", "10px"]
)
def test_anything_else_is_told(text: str):
    with pytest.raises(ArgumentError, match="four numbers") as caught:
        parse_box(text)
    assert repr(text) in str(caught.value)


def test_faces_are_counted_from_the_largest():
    assert face_choice(0, None) == "largest"
    assert face_choice(2, None) == 2
    assert face_choice(2, (0.0, 0.0, 9.0, 9.0)) == "largest"


def mask_of(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = (60, 80)) -> torch.Tensor:
    mask = torch.zeros(size)
    mask[top:bottom, left:right] = 1
    return mask


def test_box_of_a_mask_is_what_is_painted():
    mask = mask_of(10, 20, 50, 40)
    assert box_of_mask(mask[None], 0, (60, 80)) == (10, 20, 50, 40)
    # Nothing more than half is lost, whatever its shape: two strokes make one box.
    mask[50, 70] = 0.6
    mask[59, 79] = 0.4
    assert box_of_mask(mask[None], 0, (60, 80)) == (10, 20, 71, 51)


def test_box_of_a_mask_is_in_pixels_of_the_picture():
    assert box_of_mask(mask_of(10, 20, 50, 40)[None], 0, (180, 160)) == (20, 60, 100, 120)


def test_a_single_pixel_and_the_whole_picture():
    assert box_of_mask(mask_of(79, 59, 80, 60)[None], 0, (60, 80)) == (79, 59, 80, 60)
    assert box_of_mask(torch.ones(1, 60, 80), 0, (60, 80)) == (0, 0, 80, 60)


@pytest.mark.parametrize(("index", "left"), [(0, 10), (1, 30), (-1, 30), (5, 10)])
def test_the_mask_of_the_picture_or_the_first(index: int, left: int):
    masks = torch.stack([mask_of(10, 20, 50, 40), mask_of(30, 20, 50, 40)])
    assert box_of_mask(masks, index, (60, 80))[0] == left


def test_an_empty_mask_says_what_to_do():
    with pytest.raises(ArgumentError, match="paint over the face"):
        box_of_mask(torch.full((1, 60, 80), 0.5), 0, (60, 80))
