"""Which clips have their sound early or late."""

from __future__ import annotations

import numpy as np
import pytest

from edtalk_core.data.sound_offsets import (
    MAX_OFFSET,
    align_series,
    average_windows,
    correlation,
    fit_lip_regression,
    sound_offsets,
)

LATE = {"ann": 0, "bob": 3, "cem": 0, "dot": -4, "eve": 0, "fay": 1, "gil": 0, "hal": 0, "ida": 0}


def speech(seed: int, frames: int = 120) -> np.ndarray:
    """Mel windows (T,80,16) whose loudness, and whose balance of low and high, come and go within some frames."""
    rng = np.random.default_rng(seed)
    course = np.stack([np.convolve(rng.normal(size=frames + 24), np.hanning(7), "same") for _ in range(2)], 1)
    at = 10 + np.arange(frames)[:, None] + (np.arange(16) - 8) / 3.2
    rows = np.stack([np.interp(at, np.arange(len(course)), course[:, k]) for k in range(2)], -1)
    tilt = np.linspace(-1, 1, 80)[:, None]
    return (rows[:, None, :, 0] + tilt * rows[:, None, :, 1] + rng.normal(0, 0.1, (frames, 80, 16))).astype(np.float32)


def mouth(windows: np.ndarray, late: int, seed: int) -> np.ndarray:
    """Lip weights (T,3) that open with the loudness, but not twice as much when it is twice as loud; with a mean."""
    middle = windows[:, :, 8]
    tilt = (middle * np.linspace(-1, 1, 80)).mean(1)
    opening = np.stack([np.tanh(middle.mean(1)), 0.3 * np.tanh(3 * tilt), 0 * tilt], 1)
    noise = np.random.default_rng(seed).normal(0, 0.15, opening.shape)
    return np.roll(opening, late, axis=0) + noise + [5.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def clips() -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    windows = [speech(seed) for seed in range(len(LATE))]
    lips = [mouth(one, late, seed) for seed, (one, late) in enumerate(zip(windows, LATE.values(), strict=True))]
    return windows, lips, list(LATE)


def test_clips_that_are_early_or_late_are_found(clips):
    offsets, agreed = sound_offsets(*clips)
    assert offsets == list(LATE.values())
    assert agreed > 0.8


def test_in_step_is_what_most_clips_are(clips):
    windows, lips, people = clips
    moved = [np.roll(one, 2, axis=0) for one in lips]
    assert sound_offsets(windows, moved, people)[0] == list(LATE.values())


def test_mouths_of_others_are_heard(clips):
    windows, lips, _ = clips
    in_step = [i for i, late in enumerate(LATE.values()) if not late]
    mouth_of = fit_lip_regression(
        *(np.concatenate([kind[i] for i in in_step]) for kind in ([average_windows(w) for w in windows], lips))
    )
    new = speech(99)
    assert correlation(mouth_of(average_windows(new)), mouth(new, 0, 99)) > 0.8


def test_what_is_heard_is_that_of_other_people():
    """Noise is learned by heart, and agrees with nobody else."""
    rng = np.random.default_rng(3)
    windows = [rng.normal(size=(60, 80, 16)).astype(np.float32) for _ in range(4)]
    lips = [rng.normal(size=(60, 2)) for _ in range(4)]
    # The best of some lags, which noise has as well.
    assert sound_offsets(windows, lips, ["ann", "bob", "cem", "dot"])[1] < 0.3
    own = average_windows(windows[0])
    assert correlation(fit_lip_regression(own, lips[0])(own), lips[0]) > 0.7


def test_one_person_alone_is_taken_to_be_in_step(clips):
    windows, lips, _ = clips
    offsets, agreed = sound_offsets(windows[:3], lips[:3], ["ann"] * 3)
    assert offsets == [0, 0, 0]
    assert np.isnan(agreed)


def test_short_clips_are_not_shifted_out_of_themselves(clips):
    windows, lips, people = clips
    offsets, _ = sound_offsets([*windows, windows[0][:3]], [*lips, lips[0][:3]], [*people, "jo"])
    assert offsets[-1] == 0
    assert max(map(abs, offsets)) <= MAX_OFFSET


@pytest.mark.parametrize("offset", [-2, 0, 3])
def test_pairs_belong_together(offset: int):
    sound = np.arange(10)[:, None].astype(float)
    one, other = align_series(sound, sound, offset)
    assert len(one) == 10 - abs(offset)
    assert np.array_equal(other - one, np.full_like(one, offset))


def test_coarse_windows_are_means_of_blocks():
    window = np.arange(80 * 16, dtype=np.float32).reshape(1, 80, 16)
    found = average_windows(window).reshape(20, 8)
    assert found[0, 0] == window[0, :4, :2].mean()
    assert found[19, 7] == window[0, 76:, 14:].mean()
