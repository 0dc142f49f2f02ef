"""Numbers that users give: what passes, and what an error says."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from edtalk_core.checks import check_number, check_seed, check_size, check_whole
from edtalk_core.errors import ArgumentError, MotionError


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.5), np.int64(1), Fraction(1, 2)])
def test_numbers_in_range_pass_as_floats(value: Any):
    number = check_number(value, "The share", low=0, high=1)
    assert type(number) is float
    assert number == value


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, -math.inf, True, "0.5", None, 1j, [0.5]])
def test_anything_else_is_refused(value: Any):
    with pytest.raises(ArgumentError) as caught:
        check_number(value, "The share", low=0, high=1)
    assert str(caught.value) == f"The share must be a number from 0 to 1; got {value!r}."


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, "a finite number;"),
        ({"low": 0}, "a finite number of at least 0;"),
        ({"low": 0, "unit": "seconds"}, "a finite number of seconds of at least 0;"),
        ({"low": 0.5, "high": 2000}, "a number from 0.5 to 2000;"),
        ({"above": 0}, "a finite number above 0;"),
        ({"above": 0, "high": 1000.0}, "a number above 0 and at most 1000;"),
    ],
)
def test_the_range_is_told_in_words(limits: dict[str, Any], words: str):
    with pytest.raises(ArgumentError) as caught:
        check_number(math.nan, "The reach", **limits)
    assert words in str(caught.value)


def test_an_open_end_is_not_in_the_range():
    assert check_number(1e-9, "The reach", above=0) == 1e-9
    with pytest.raises(ArgumentError):
        check_number(0, "The reach", above=0)


@pytest.mark.parametrize("value", [1, np.int32(86_400)])
def test_whole_numbers_in_range_pass_as_ints(value: Any):
    number = check_whole(value, "The number of frames", low=1, high=86_400)
    assert type(number) is int
    assert number == value


@pytest.mark.parametrize("value", [0, 86_401, 1.0, np.float64(2), True, "3", None, math.nan])
def test_other_than_whole_numbers_in_range_are_refused(value: Any):
    with pytest.raises(ArgumentError) as caught:
        check_whole(value, "The number of frames", low=1, high=86_400)
    assert str(caught.value) == f"The number of frames must be a whole number from 1 to 86,400; got {value!r}."


def test_whole_numbers_without_an_upper_end():
    assert check_whole(10**12, "The batch", low=1) == 10**12
    with pytest.raises(ArgumentError, match="a whole number of frames of at least 1; got 0"):
        check_whole(0, "The batch", low=1, unit="frames")


def test_the_caller_chooses_the_type_of_the_error():
    with pytest.raises(MotionError, match="frame rate"):
        check_number(0, "A frame rate", above=0, error=MotionError)
    with pytest.raises(MotionError, match="base"):
        check_whole(-1, "The base", low=0, error=MotionError)


def test_seeds_fit_the_generators_of_torch():
    import torch

    torch.Generator().manual_seed(check_seed(2**63 - 1))
    assert check_seed(np.int64(0)) == 0
    for seed in (-1, 2**63, 1.0, True, "1"):
        with pytest.raises(ArgumentError, match="seed must be a whole number of at least 0"):
            check_seed(seed)


@pytest.mark.parametrize("size", [(64, 48), [64, 48], np.array([64, 48])])
def test_sizes_pass_as_two_ints(size: Any):
    assert check_size(size, "The size of a plot", 16, 4096) == (64, 48)


@pytest.mark.parametrize("size", [(64,), (64, 48, 3), 64, None, "64x48", (64.0, 48), (15, 64), (64, 4097), (True, 64)])
def test_other_sizes_are_refused(size: Any):
    with pytest.raises(ArgumentError) as caught:
        check_size(size, "The size of a plot", 16, 4096)
    expected = "must be (width, height), whole numbers of pixels from 16 to 4096"
    assert str(caught.value) == f"The size of a plot {expected}; got {size!r}."
