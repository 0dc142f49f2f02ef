"""Validation of numbers from users, with uniform messages; NaN, infinity and bool are not numbers."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from .errors import ArgumentError, EDTalkError


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    unit: str = "",
    error: type[EDTalkError] = ArgumentError,
) -> float:
    """Return the value as a float if it is a finite number from `low` to `high`, and greater than `above`.

    Args:
        value: the user's input; NumPy numbers and fractions count as numbers, True and False do not.
        name: the subject of the message, such as "The reach".
        low, high: the range, both ends included.
        above: an exclusive lower bound.
        unit: the unit of the number, such as "seconds", for the message.
        error: the type to raise.

    Raises:
        EDTalkError: of type `error`; names the subject, the range and the value.
    """
    if not isinstance(value, bool) and isinstance(value, Real):
        number = float(value)
        if math.isfinite(number) and low <= number <= high and number > above:
            return number
    raise error(f"{name} must be a {_number('finite', low, high, above, unit)}; got {value!r}.")


def check_whole(
    value: Any,
    name: str,
    *,
    low: int,
    high: float = math.inf,
    unit: str = "",
    error: type[EDTalkError] = ArgumentError,
) -> int:
    """Return the value as an int if it is a whole number from `low` to `high`; arguments as in `check_number`."""
    if not isinstance(value, bool) and isinstance(value, Integral):
        number = int(value)
        if low <= number <= high:
            return number
    raise error(f"{name} must be a {_number('whole', low, high, unit=unit)}; got {value!r}.")


def check_seed(value: Any) -> int:
    """Return a seed of a random generator: a whole number from 0 to 2**63 - 1. Raises ArgumentError otherwise."""
    if not isinstance(value, bool) and isinstance(value, Integral) and 0 <= int(value) < 2**63:
        return int(value)
    raise ArgumentError(f"The seed must be a whole number of at least 0; got {value!r}.")


def check_size(value: Any, name: str, low: int, high: float = math.inf) -> tuple[int, int]:
    """Return (width, height) in pixels as two ints, each from `low` to `high`.

    Raises ArgumentError that begins with `name`, such as "The size of a plot".
    """
    try:
        width, height = value
        return check_whole(width, name, low=low, high=high), check_whole(height, name, low=low, high=high)
    except (TypeError, ValueError):  # ArgumentError is a ValueError
        sides = _number("whole", low, high, unit="pixels").replace("number", "numbers", 1)
        raise ArgumentError(f"{name} must be (width, height), {sides}; got {value!r}.") from None


def _number(kind: str, low: float, high: float, above: float = -math.inf, unit: str = "") -> str:
    """Describe a kind of number and its range: "finite number of seconds of at least 0"."""
    words = "number" if kind == "finite" and high < math.inf else f"{kind} number"
    if unit:
        words += f" of {unit}"
    if above > -math.inf:
        return f"{words} above {above:g}" + (f" and at most {_in_words(high)}" if high < math.inf else "")
    if high < math.inf:
        return f"{words} from {_in_words(low)} to {_in_words(high)}"
    return f"{words} of at least {_in_words(low)}" if low > -math.inf else words


def _in_words(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) and number >= 10_000 else f"{number:g}"
