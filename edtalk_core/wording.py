"""Text that is shown: words that fit a number, and names from files without what would change a terminal or a page."""

from __future__ import annotations

import json
import unicodedata


def counted(number: int, noun: str) -> str:
    """A number with its noun, given in the singular: 1 frame, 25 frames."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def cleaned(text: str) -> str:
    """Return text with control characters, marks of direction and lone surrogates as \\uXXXX, but for lines and tabs.

    Names in files of strangers may hold escape sequences, which would change what a terminal shows. Text in JSON stays
    JSON with the same content.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]  # JSON leaves 127 as it is


def _is_harmless(character: str) -> bool:
    if character in "\n\t\u200d":  # the joiner of emoji and of letters
        return True
    return character.isprintable() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
