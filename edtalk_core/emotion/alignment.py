"""When each word of a transcript is said: by its times, by speech activity and syllables, or by a CTC model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from ..media.mel import AudioFeatures
from ..media.pauses import Pause, speech_pauses
from ..media.transcript import Cue, Transcript

_PHRASE_END = re.compile(r"[.,;:!?…。，；：！？、)\]\"»”]+$")
_BREAK_INSIDE = 2.0
"""Cost of a pause within a phrase, against one syllable too many in a stretch of speech of one syllable."""
_REACH = 25.0
"""Syllables by which speech may run ahead of its mean rate, or behind it."""
_SYLLABIC = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
"""Scripts in which a character is about a syllable."""
_VOWELS = re.compile(r"[aeiouyœæøаеёиоуыэюяієїаαεηιουωаäöüõ]+")
_SYLLABLES_PER_DIGIT = 1.5
_LETTERS_PER_SYLLABLE = 2.5
"""Letters of a syllable in scripts that leave out vowels, or whose vowels are not known."""


def words_of(text: str) -> list[str]:
    """Split text into words with their punctuation; Chinese, Japanese and Thai, which have no spaces, into phrases of
    a few characters."""
    words = []
    for word in text.split():
        if len(_SYLLABIC.findall(word)) > 4:
            words += re.findall(r".{1,4}?(?:[。，；：！？、,.!?…]+|$)|.{4}", word)
        else:
            words.append(word)
    return words


def syllables(word: str) -> float:
    """Estimate the number of syllables of a word, 0 for punctuation and emoji alone."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFD", unicodedata.normalize("NFC", word).casefold())
        if not unicodedata.combining(character)
    )
    letters = sum(character.isalnum() for character in plain)
    if not letters:
        return 0.0
    if characters := len(_SYLLABIC.findall(unicodedata.normalize("NFC", word))):
        return float(characters)
    digits = sum(character.isdigit() for character in plain)
    groups = len(_VOWELS.findall(plain))
    spelled = groups or (letters - digits) / _LETTERS_PER_SYLLABLE
    return max(1.0, spelled + _SYLLABLES_PER_DIGIT * digits)


def align(transcript: Transcript, features: AudioFeatures) -> list[Cue]:
    """Return the words of a transcript with times.

    The times of a transcript with cues count; within a cue, words are spread by their syllables. Plain text is laid
    over the stretches of speech in the sound: phrases end where pauses are, as far as the rate of syllables allows.
    """
    if transcript.cues:
        return [
            word
            for cue in transcript.cues
            if cue.start < features.duration
            for word in _spread(words_of(cue.text), cue.start, min(cue.end, features.duration))
        ]
    words = words_of(transcript.text)
    stretches = speech_stretches(features)
    if not words or not stretches:
        return []
    bounds = _boundaries(words, [end - start for start, end in stretches])
    return [
        word
        for (start, end), first, last in zip(stretches, bounds, bounds[1:], strict=False)
        for word in _spread(words[first:last], start, end)
    ]


def speech_stretches(features: AudioFeatures) -> list[Pause]:
    """Return the times between the pauses of a sound: start and end of each, seconds. None where all is silent."""
    if float(np.percentile(features.loudness(), 95)) <= SILENCE:
        return []
    edges = [0.0, *(time for pause in speech_pauses(features) for time in pause), features.duration]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start > 0.02]


SILENCE = -3.2
"""Mean of the mel bands below which a sound is silent: -90 dB, or the noise of a converter."""


def _spread(words: Sequence[str], start: float, end: float) -> list[Cue]:
    """Words over a time, in proportion to their syllables; every word lasts a little."""
    lengths = np.array([syllables(word) + 0.1 for word in words])
    edges = start + (end - start) * np.concatenate([[0.0], np.cumsum(lengths)]) / max(lengths.sum(), 1e-9)
    return [Cue(float(first), float(last), word) for word, first, last in zip(words, edges, edges[1:], strict=False)]


def _boundaries(words: Sequence[str], seconds: Sequence[float]) -> list[int]:
    """Return where the words of each stretch of speech begin, and the number of words at the end.

    Dynamic programming: the squared difference between the syllables of a stretch and those that fit into it at the
    mean rate, relative to the latter, plus a cost for stretches that end within a phrase.
    """
    said = np.concatenate([[0.0], np.cumsum([syllables(word) for word in words])])
    rate = said[-1] / max(sum(seconds), 1e-9)
    within = np.array([0.0] + [0.0 if _PHRASE_END.search(word) else _BREAK_INSIDE for word in words])
    within[-1] = 0.0
    reached, costs = np.array([0]), np.array([0.0])
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    passed = 0.0
    for number, length in enumerate(seconds):
        passed += length
        fit = rate * length
        if number == len(seconds) - 1:
            candidates = np.array([len(words)])
        else:
            candidates = np.flatnonzero(np.abs(said - rate * passed) <= max(_REACH, 2 * fit))
            candidates = candidates if len(candidates) else np.array([int(np.abs(said - rate * passed).argmin())])
        errors = (said[candidates][None] - said[reached][:, None] - fit) ** 2 / (fit + 1)
        total = np.where(candidates[None] >= reached[:, None], costs[:, None] + errors, np.inf)
        best = total.argmin(axis=0)
        costs = total[best, np.arange(len(candidates))] + within[candidates]
        steps.append((reached, best))
        reached = candidates
    index = int(costs.argmin())
    bounds = [int(reached[index])]
    for before, best in reversed(steps):
        index = int(best[index])
        bounds.append(int(before[index]))
    return bounds[::-1]
