"""Sounds like a voice, for tests of speech."""

from __future__ import annotations

import numpy as np

from edtalk_core.media.audio import Audio


def words(*spans: tuple[float, float], seconds: float, noise: float = 1e-3) -> Audio:
    """A voice in these spans of seconds, and a background of noise."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    voice = 0.4 * np.sign(np.sin(2 * np.pi * 140 * time)) * (0.7 + 0.3 * np.sin(2 * np.pi * 4 * time))
    speaks = np.any([(time >= start) & (time < end) for start, end in spans], axis=0)
    samples = np.where(speaks, voice, 0) + noise * np.random.default_rng(0).standard_normal(len(time))
    return Audio(samples.astype(np.float32)[None], 16_000)
