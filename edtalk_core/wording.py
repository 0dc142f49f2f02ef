"""Words that fit a number."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun, given in the singular: 1 frame, 25 frames."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
