"""Blinks: natural frequency and speed, at the ends of phrases, seen at every frame rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, MotionError
from edtalk_core.motion.blinks import MAX_RATE, Blink, add_blinks, draw_blinks, lid_closure
from edtalk_core.motion.motion import Motion

HOUR = 3600.0
PAUSES = [(4.0, 4.5), (9.0, 9.6), (15.0, 15.4), (21.0, 22.0), (28.0, 28.4)]
SPEECH_SECONDS = 30.0


@pytest.mark.parametrize("rate", [2.0, 17.0, 30.0, MAX_RATE])
def test_the_mean_rate_is_the_one_asked_for(rate: float):
    blinks = draw_blinks(10 * HOUR, rate=rate, seed=1)
    assert len(blinks) / 600 == pytest.approx(rate, rel=0.06)


def test_short_clips_have_the_rate_on_average():
    """The start does not stand out: a clip of ten seconds has as many blinks as ten seconds of a long one."""
    counts = [len(draw_blinks(10.0, seed=seed)) for seed in range(600)]
    assert np.mean(counts) == pytest.approx(17 / 6, rel=0.08)
    assert min(counts) < max(counts)


def test_lids_close_faster_than_they_open_in_a_tenth_to_four_tenths_of_a_second():
    blinks = draw_blinks(HOUR, seed=2)
    lengths = np.array([blink.end - blink.start for blink in blinks])
    assert lengths.min() >= 0.1 - 1e-6
    assert lengths.max() <= 0.4 + 1e-6
    assert 0.2 < lengths.mean() < 0.25
    assert lengths.std() > 0.03
    assert all(blink.closing < 0.6 * blink.opening for blink in blinks)


def test_intervals_are_irregular_with_a_pause_after_each_blink_and_some_doubles():
    blinks = draw_blinks(10 * HOUR, seed=3)
    gaps = np.array([after.start - before.end for before, after in itertools.pairwise(blinks)])
    doubles = gaps < 0.2 + 1e-6
    assert 0.04 < doubles.mean() < 0.08
    assert gaps.min() >= 0.08 - 1e-6
    assert gaps[~doubles].min() >= 0.4 - 1e-6
    # Log-normal: its logarithm is symmetric, and the mean lies well above the median.
    waits = np.log(gaps[~doubles] - 0.4 + 1e-3)
    assert abs(((waits - waits.mean()) ** 3).mean() / waits.std() ** 3) < 0.2
    assert gaps[~doubles].mean() > 1.15 * np.median(gaps[~doubles])


def test_a_seed_gives_the_same_blinks_and_another_gives_others():
    assert draw_blinks(60, seed=5) == draw_blinks(60, seed=5)
    assert draw_blinks(60, seed=5) != draw_blinks(60, seed=6)
    assert draw_blinks(60, seed=5, pauses=PAUSES) == draw_blinks(60, seed=5, pauses=PAUSES)
    shorter = draw_blinks(30, seed=5)
    assert draw_blinks(60, seed=5)[: len(shorter)] == shorter


def test_speech_blinks_at_ends_of_phrases_and_in_pauses_as_often_as_before():
    plain, speaking = [], []
    for seed in range(400):
        plain += [blink.start for blink in draw_blinks(SPEECH_SECONDS, seed=seed)]
        speaking += [blink.start for blink in draw_blinks(SPEECH_SECONDS, seed=seed, pauses=PAUSES)]

    def share(times: list[float], before: float, after: float) -> float:
        return float(np.mean([any(start - before <= time < start + after for start, _ in PAUSES) for time in times]))

    assert len(speaking) == pytest.approx(len(plain), rel=0.06)
    assert share(speaking, 0.08, 0.4) > 3.5 * share(plain, 0.08, 0.4)
    assert share(speaking, 2.0, -0.5) < 0.85 * share(plain, 2.0, -0.5)  # in the middle of phrases


def test_silence_from_the_start_is_no_end_of_a_phrase():
    times = [blink.start for seed in range(400) for blink in draw_blinks(10.0, seed=seed, pauses=[(0.0, 3.0)])]
    early = np.mean([time < 0.4 for time in times])
    assert early < 0.1


@pytest.mark.parametrize("pauses", [None, [], PAUSES, [(0.0, 0.3)]])
@pytest.mark.parametrize("duration", [0.0, 0.04, 0.3, 2.0, SPEECH_SECONDS])
def test_all_blinks_are_within_the_time(duration: float, pauses: list[tuple[float, float]] | None):
    for seed in range(50):
        for blink in draw_blinks(duration, rate=MAX_RATE, seed=seed, pauses=pauses):
            assert blink.start >= 0
            assert blink.end <= duration


def test_no_rate_no_blinks():
    assert draw_blinks(HOUR, rate=0) == ()


@pytest.mark.parametrize(
    "values", [{"rate": -1}, {"rate": MAX_RATE + 1}, {"rate": float("nan")}, {"seed": -1}, {"duration": -1.0}]
)
def test_numbers_out_of_range(values: dict):
    with pytest.raises(ArgumentError):
        draw_blinks(**{"duration": 10.0, **values})


def test_closure_rises_stays_and_falls():
    blink = Blink(start=1.0, closing=0.08, closed=0.04, opening=0.16)
    closure = lid_closure([blink], 2000, 1000).numpy()
    assert closure[:1001].max() == 0
    assert closure[1080:1120].min() == pytest.approx(1)
    assert closure[1281:].max() == 0
    assert (np.diff(closure[1000:1081]) >= 0).all()
    assert (np.diff(closure[1119:1281]) <= 0).all()
    assert np.abs(np.diff(closure)).max() < 0.03  # no jump


@pytest.mark.parametrize("fps", [2.0, 8.0, 12.5, 25.0, 23.976, 60.0])
def test_no_blink_is_missed_at_any_frame_rate(fps: float):
    blinks = draw_blinks(60, seed=7)
    frames = round(60 * fps)
    closure = lid_closure(blinks, frames, fps)
    for blink in blinks:
        assert closure[min(frames - 1, round(blink.middle * fps))] == 1
    assert closure.min() >= 0
    assert closure.max() <= 1
    # The same times at every rate: frames beyond all blinks are open.
    open_frames = [
        frame
        for frame in range(frames)
        if all(not blink.start - 0.5 / fps <= frame / fps <= blink.end + 0.5 / fps for blink in blinks)
    ]
    assert closure[open_frames].max() == 0


def test_closure_at_shared_times_does_not_depend_on_the_rate():
    blinks = draw_blinks(20, seed=8)
    slow, fast = lid_closure(blinks, 500, 25), lid_closure(blinks, 1000, 50)
    moving = (slow > 0) & (slow < 1)
    assert moving.any()
    assert torch.allclose(slow[moving], fast[::2][moving], atol=1e-6)


def test_blinks_are_added_to_the_expression_alone():
    motion = Motion(lip=torch.randn(100, 4), expression=torch.randn(100, 3))
    blink = Blink(1.0, 0.08, 0.08, 0.16)
    change = torch.tensor([0.0, 2.0, -1.0])
    blinking = add_blinks(motion, [blink], change, strength=0.5)
    assert torch.equal(blinking.lip, motion.lip)
    added = blinking.expression - motion.expression
    assert torch.allclose(added[28], 0.5 * change, atol=1e-5)  # 1.12 s: shut
    assert added[:25].abs().max() == 0
    assert added[34:].abs().max() == 0
    assert torch.equal(add_blinks(motion, [], change).expression, motion.expression)


def test_a_motion_of_another_model_or_without_expression():
    blink = Blink(0.1, 0.08, 0.08, 0.16)
    with pytest.raises(MotionError, match="different models"):
        add_blinks(Motion(expression=torch.zeros(5, 3)), [blink], torch.zeros(4))
    with pytest.raises(MotionError, match="no expression track"):
        add_blinks(Motion(lip=torch.zeros(5, 3)), [blink], torch.zeros(3))
    with pytest.raises(ArgumentError, match="strength of blinks"):
        add_blinks(Motion(expression=torch.zeros(5, 3)), [blink], torch.zeros(3), strength=-1)
