"""Pauses in speech."""

from __future__ import annotations

import numpy as np
import pytest
from voices import words

from edtalk_core.media.mel import encode_audio
from edtalk_core.media.pauses import speech_pauses


@pytest.mark.parametrize("noise", [0.0, 1e-3, 1e-2])
def test_pauses_are_where_nobody_speaks(noise: float):
    speech = words((0.5, 2.0), (2.6, 4.0), (4.1, 6.0), seconds=7.0, noise=noise)
    pauses = speech_pauses(encode_audio(speech))
    expected = [(0.0, 0.5), (2.0, 2.6), (6.0, 7.0)]  # a tenth of a second is no pause
    assert np.abs(np.array(pauses) - expected).max() < 0.12


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_sound_without_contrast_has_no_pauses(noise: float):
    assert speech_pauses(encode_audio(words((5.0, 5.0), seconds=2.0, noise=noise))) == []
