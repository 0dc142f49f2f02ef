"""Tools that measure and make speech with known phones, as far as they need neither an aligner nor a voice."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edtalk_core.data.phonetic_speech import Phone

sys.path.append(str(Path(__file__).resolve().parents[3] / "tools"))

import make_phonetic_speech
import measure_closures


def test_text_that_notes_state():
    notes = "16000 Hz 1ch | lang=en level=1 text=Kids are talking by the door | ends trimmed"
    assert measure_closures.spoken_text(notes) == "Kids are talking by the door"
    assert measure_closures.spoken_text("context=none | 16000 Hz") == ""


def test_frames_that_are_measured():
    """Closures with the frame after their end, vowels in their middle, both within the recording."""
    phones = [Phone("B", 0.20, 0.30), Phone("AA", 0.30, 0.50), Phone("T", 0.50, 0.60), Phone("M", 0.78, 0.9)]
    closures, vowels = measure_closures.measured_frames(phones, 20)
    assert closures == [[5, 6, 7, 8], [19]]
    assert vowels == [10]


def test_closed_is_relative_to_the_openings_of_vowels():
    openings = measure_closures.Openings(0.02, [0.02, 0.03, 0.04], [0.02, *[0.12] * 19])
    closures, vowels = openings.closed()
    assert closures == pytest.approx(2 / 3)  # 0.035 is the limit
    assert vowels == pytest.approx(1 / 20)


def test_phones_that_the_voice_prints():
    assert make_phonetic_speech.parse_phones("pau:0.2 m:0.25 ax:0.25 ey:0.41") == [
        Phone("SIL", 0.0, 0.2),
        Phone("M", 0.2, 0.25),
        Phone("EY", 0.25, 0.41),
    ]
    with pytest.raises(ValueError, match="XX"):
        make_phonetic_speech.parse_phones("xx:0.1")


def test_silence_around_an_utterance_moves_its_phones():
    waveform = np.sin(np.arange(16_000) / 5).astype(np.float32)
    phones = [Phone("AA", 0.0, 1.0)]
    utterance = make_phonetic_speech.utterance(waveform, phones, 0.5, 0.25)
    assert utterance.phones == (Phone("SIL", 0.0, 0.5), Phone("AA", 0.5, 1.5), Phone("SIL", 1.5, 1.75))
    assert len(utterance) == 43
    loudness = utterance.mel.mean(1)
    assert loudness[:36].max() < -3.9
    assert loudness[44:116].min() > -3.6


def test_sentences_that_are_spoken(tmp_path: Path):
    rows = [
        ("Maybe we should buy it.", "en", "train", "GoEmotions"),
        ("Maybe we should buy it again.", "en", "holdout", "GoEmotions"),
        ("Vielleicht kaufen wir es.", "de", "train", "GoEmotions"),
        ("Somebody said that before.", "en", "train", "XED"),
        ("[NAME] should buy it.", "en", "train", "GoEmotions"),
        ("Yes.", "en", "train", "GoEmotions"),
    ]
    lines = ["\t".join((text, "happy", *rest)) for text, *rest in rows]
    table = tmp_path / "text.tsv"
    table.write_text("\n".join(["text\tlabel\tlanguage\tsplit\tsource", *lines]) + "\n", encoding="utf-8")
    assert make_phonetic_speech.speakable_sentences(table) == ["Maybe we should buy it."]
