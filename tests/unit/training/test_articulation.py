"""Mouth shapes of phones."""

from __future__ import annotations

import numpy as np

from edtalk_core.data.phonetic_speech import PHONES, Phone
from edtalk_core.training.articulation import ARTICULATIONS, mouth_shapes


def phones_of(*names: str, duration: float = 0.12) -> list[Phone]:
    """Phones of the same duration."""
    return [Phone(name, index * duration, (index + 1) * duration) for index, name in enumerate(names)]


def test_every_phone_has_an_articulation():
    assert ARTICULATIONS.keys() == set(PHONES)


def test_lips_close_briefly_between_open_vowels():
    for name in ("P", "B", "M"):
        opening = mouth_shapes(phones_of("AA", name, "AE"), 9)[:, 0]
        assert opening[4] < 0.1  # at 0.18 s, in the middle of the closure
        assert opening[1] > 0.8
        assert opening[7] > 0.8


def test_a_closure_of_one_frame_is_not_missed():
    """The frame's middle is at most half a frame from the closure's, whatever the phase."""
    for start in np.linspace(0.2, 0.24, 9):
        phones = [Phone("AH", 0.0, start), Phone("P", start, start + 0.05), Phone("AH", start + 0.05, 0.5)]
        assert mouth_shapes(phones, 12)[:, 0].min() < 0.3


def test_vowels_by_their_openness_and_roundness():
    openings = [mouth_shapes(phones_of("HH", vowel, "HH"), 9)[4, 0] for vowel in ("AA", "AH", "IY", "UW")]
    assert openings == sorted(openings, reverse=True)
    rounded, neutral, spread = (mouth_shapes(phones_of("T", vowel, "T"), 9)[4, 1] for vowel in ("UW", "AA", "IY"))
    assert rounded < neutral < spread


def test_the_mouth_is_shut_in_silence_and_moves_through_diphthongs():
    shapes = mouth_shapes([Phone("SIL", 0.0, 1.0), Phone("AY", 1.0, 1.4)], 35)
    assert np.abs(shapes[:20]).max() < 0.1
    assert shapes[27, 0] > shapes[33, 0] + 0.2
    assert shapes[27, 1] < shapes[33, 1] - 0.2
