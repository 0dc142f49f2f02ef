"""Text that is shown: words that fit a number, and what would change a terminal."""

from __future__ import annotations

import json

import pytest

from edtalk_core.wording import cleaned, counted


def test_one_is_singular_and_all_others_plural():
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("two\nlines\tand 说话 é 👩‍👧", "two\nlines\tand 说话 é 👩‍👧"),
        ("\x1b[31mred\x07\r", "\\u001b[31mred\\u0007\\r"),
        ("\x7f\x9b", "\\u007f\\u009b"),
        ("exe\u202egnp", "exe\\u202egnp"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_would_change_a_terminal_is_escaped(text: str, shown: str):
    assert cleaned(text) == shown
    assert json.loads(f'"{cleaned(text)}"', strict=False) == text
