"""When words are said."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from voices import words as voice

from edtalk_core.emotion.alignment import align, speech_stretches, syllables, words_of
from edtalk_core.media.audio import Audio
from edtalk_core.media.mel import encode_audio
from edtalk_core.media.transcript import Cue, Transcript


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("hello", 2),
        ("strength", 1),
        ("mañana", 3),
        ("今天", 2),
        ("안녕", 2),
        ("שלום", 1.6),
        ("7", 1.5),
        ("😀", 0),
        (".", 0),
    ],
)
def test_syllables(word: str, count: float):
    assert syllables(word) == pytest.approx(count)


def test_languages_without_spaces_are_cut_into_phrases():
    assert all(len(word) <= 6 for word in words_of("今天天气很好，我们走吧。 ok then"))
    assert "".join(words_of("今天天气很好，我们走吧。")) == "今天天气很好，我们走吧。"


def test_phrases_are_laid_over_stretches_of_speech():
    features = encode_audio(voice((0.5, 2.0), (3.0, 5.0), seconds=6.0))
    text = "I saw you there again. We talked about it all evening."
    words = align(Transcript(text), features)
    assert [word.text for word in words] == text.split()
    first = [word for word in words if word.text in text.split()[:5]]
    assert first[0].start == pytest.approx(0.5, abs=0.15)
    assert max(word.end for word in first) == pytest.approx(2.0, abs=0.15)
    assert words[5].start == pytest.approx(3.0, abs=0.15)
    assert words[-1].end == pytest.approx(5.0, abs=0.15)
    assert all(word.end > word.start for word in words)
    assert all(before.end <= after.start + 1e-9 for before, after in pairwise(words))


def test_times_of_cues_count_and_words_beyond_the_sound_are_left_out():
    features = encode_audio(voice((0.0, 3.0), seconds=3.0))
    cues = (Cue(1.0, 2.0, "a b"), Cue(2.5, 9.0, "c"), Cue(4.0, 5.0, "d"))
    words = align(Transcript("a b\nc\nd", cues), features)
    assert [(word.text, word.start, word.end) for word in words] == [
        ("a", 1.0, pytest.approx(1.5)),
        ("b", pytest.approx(1.5), pytest.approx(2.0)),
        ("c", 2.5, pytest.approx(3.0)),
    ]


def test_silence_has_no_stretches_and_no_words():
    features = encode_audio(Audio(np.zeros((1, 32_000), np.float32), 16_000))
    assert speech_stretches(features) == []
    assert align(Transcript("hello"), features) == []
    assert align(Transcript(""), encode_audio(voice((0.0, 1.0), seconds=1.0))) == []


def test_ten_minutes_of_words_do_not_drift():
    spans = [(start, start + 2.4) for start in np.arange(0.3, 597.0, 3.0)]
    features = encode_audio(voice(*spans, seconds=600.0))
    sentence = "never have I seen so many of them before."
    words = align(Transcript(" ".join([sentence] * len(spans))), features)
    starts = [word.start for word in words[:: len(sentence.split())]]
    assert np.abs(np.array(starts) - [start for start, _ in spans]).max() < 0.3
