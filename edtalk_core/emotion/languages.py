"""Which language a text is in: by the frequent words of the languages that a classifier has learned from."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .ngrams import tokens

FREQUENT_WORDS = 150
"""Words that are kept of each language."""
_LEAST_SHARE = 0.22
"""Share of a text's words that must be frequent words of a language for the text to be in it."""
_FEW_WORDS = 4
"""A text of fewer words may have none of the frequent ones, and is only judged by its script."""

FrequentWords = Mapping[str, Sequence[str]]
"""Language (ISO 639-1) -> its frequent words."""


def frequent_words(texts: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the most frequent words of each language in (language, text) pairs."""
    counts: dict[str, Counter[str]] = {}
    for language, text in texts:
        counts.setdefault(language, Counter()).update(_words(text))
    return {
        language: [word for word, _ in counter.most_common(FREQUENT_WORDS)]
        for language, counter in sorted(counts.items())
    }


class KnownLanguages:
    """Languages that are told apart by their frequent words."""

    def __init__(self, frequent: FrequentWords) -> None:
        self.names = tuple(frequent)
        """ISO 639-1."""
        self._words = {language: frozenset(words) for language, words in frequent.items()}
        self._scripts = {language: _script(words) for language, words in frequent.items()}

    def detect(self, text: str) -> str | None:
        """Return the known language that a text is in; None when it is in none of them.

        A text of fewer than four words is taken for the known language of its script with most words in common, as is
        any text in a script that only one known language is written in.
        """
        words = _words(text)
        script = _script(words)
        shares = {
            language: sum(word in frequent for word in words)
            for language, frequent in self._words.items()
            if self._scripts[language] == script
        }
        if not words or not shares:
            return None
        best = max(shares, key=lambda language: (shares[language], language == "en"))
        sure = len(words) < _FEW_WORDS or len(shares) == 1 or shares[best] >= _LEAST_SHARE * len(words)
        return best if sure else None


def _words(text: str) -> list[str]:
    return [token for token in tokens(text) if any(character.isalpha() for character in token)]


def _script(words: Sequence[str]) -> str:
    """The script of most letters, by the first word of their Unicode names; "" without letters.

    Japanese is written in Chinese characters as well, and counts as such only without kana.
    """
    scripts: Counter[str] = Counter()
    for character in "".join(words):
        if character.isalpha():
            scripts[unicodedata.name(character, "?").split()[0]] += 1
    if not scripts:
        return ""
    for kana in ("HIRAGANA", "KATAKANA"):
        if scripts[kana] > math.floor(0.1 * sum(scripts.values())):
            return "HIRAGANA"
    return scripts.most_common(1)[0][0]
