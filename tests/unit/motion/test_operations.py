"""Operations on motion: what artists do with it, checked by what must come out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.operations import (
    MODES,
    align,
    blend,
    combine,
    concatenate,
    fit_length,
    hold,
    loop,
    mix,
    offset,
    parse_offsets,
    resample,
    reverse,
    scale_about,
    smooth,
    smooth_motion,
    trim,
)


def random_motion(frames: int = 10, fps: float = 25.0, seed: int = 0) -> Motion:
    generator = torch.Generator().manual_seed(seed)
    return Motion(
        lip=torch.randn(frames, 20, generator=generator),
        pose=torch.randn(frames, 6, generator=generator),
        expression=torch.randn(frames, 10, generator=generator),
        fps=fps,
    )


def ramp(frames: int, fps: float = 25.0, slope: float = 1.0) -> Motion:
    """A pose whose every weight is `slope` times the time in seconds."""
    seconds = torch.arange(frames, dtype=torch.float64) / fps
    return Motion(pose=(slope * seconds)[:, None].expand(-1, 6), fps=fps)


def counting(frames: int, fps: float = 25.0) -> Motion:
    """A pose whose weights are the frame's number: shows which frame came from where."""
    return Motion(pose=torch.arange(float(frames))[:, None].expand(-1, 6), fps=fps)


def numbers(motion: Motion) -> list[float]:
    return motion.pose[:, 0].tolist()


# The published smoothing


def test_smooth_is_the_published_kernel():
    impulse = torch.zeros(7, 2)
    impulse[3, 0] = 1
    out = smooth(impulse)
    assert torch.allclose(out[2:5, 0], torch.tensor([0.27406862, 0.45186276, 0.27406862]), atol=1e-7)
    assert out[:, 0].sum().item() == pytest.approx(1)
    assert out[:, 1].abs().sum() == 0


def test_smooth_is_zero_padded_and_keeps_the_shape():
    out = smooth(torch.ones(4, 20))
    assert out.shape == (4, 20)
    assert torch.allclose(out[0], torch.full((20,), 0.27406862 + 0.45186276))
    assert torch.allclose(out[1], torch.ones(20))
    assert torch.allclose(smooth(torch.ones(1, 20)), torch.full((1, 20), 0.45186276))


def test_smooth_keeps_gradient_and_precision():
    values = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(smooth, values)


def test_smooth_equals_the_reference(shared):
    golden = np.load(shared / "parity" / "golden_seed0.npz")
    raw = torch.from_numpy(golden["audio_lip_weights"]).reshape(-1, 20)
    expected = torch.from_numpy(golden["audio_lip_weights_smoothed"]).reshape(-1, 20)
    error = (smooth(raw) - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 1e-6


# Frame rates


@pytest.mark.parametrize("fps", [12.5, 24, 30000 / 1001, 30, 50, 60, 7.3])
def test_resample_keeps_a_linear_motion_linear(fps):
    source = ramp(100)
    out = resample(source, fps)
    assert out.fps == fps
    assert out.frames == round(4.0 * fps)
    seconds = torch.arange(out.frames, dtype=torch.float64) / fps
    expected = seconds.clamp(max=99 / 25).float()
    assert torch.allclose(out.pose[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("fps", "own_step", "new_step"), [(50, 1, 2), (30, 5, 6), (12.5, 2, 1), (10, 5, 2)])
def test_resample_is_exact_at_shared_time_stamps(fps, own_step, new_step):
    source = random_motion(50)
    out = resample(source, fps)
    count = min(len(source.pose[::own_step]), len(out.pose[::new_step]))
    assert count > 5
    assert torch.equal(out.pose[::new_step][:count], source.pose[::own_step][:count])


def test_resample_to_double_and_back_is_the_same():
    source = random_motion(20)
    assert resample(resample(source, 50), 25).equals(source)


def test_resample_never_leaves_nothing():
    assert resample(random_motion(1), 0.5).frames == 1


# Length


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3]),
        ("repeat", [0, 1, 2, 3, 0, 1, 2, 3, 0]),
        ("ping-pong", [0, 1, 2, 3, 2, 1, 0, 1, 2]),
    ],
)
def test_fit_length_continues(mode, expected):
    assert numbers(fit_length(counting(4), 9, mode)) == expected


@pytest.mark.parametrize("mode", MODES)
def test_fit_length_cuts_and_keeps_a_single_frame(mode):
    assert numbers(fit_length(counting(4), 3, mode)) == [0, 1, 2]
    assert numbers(fit_length(counting(4), 4, mode)) == [0, 1, 2, 3]
    assert fit_length(random_motion(1), 6, mode).equals(hold(random_motion(1), 6))


def test_repeat_with_crossfade_does_not_jump():
    source = counting(20)
    hard = torch.tensor(numbers(fit_length(source, 70, "repeat"))).diff().abs().max()
    soft_motion = fit_length(source, 70, "repeat", crossfade=0.32)  # 8 frames
    soft = torch.tensor(numbers(soft_motion))
    assert hard == 19
    assert soft.diff().abs().max() < 5
    assert soft_motion.frames == 70
    assert soft[:12].tolist() == list(range(12))  # before the first seam: the motion itself
    period = 12
    assert torch.equal(soft[period : 2 * period], soft[2 * period : 3 * period])  # every later pass alike
    assert soft[period + 8 : 2 * period].tolist() == [8, 9, 10, 11]  # after the seam: the motion itself


def test_repeat_with_crossfade_of_a_periodic_motion_is_that_motion():
    phase = 2 * math.pi * torch.arange(40).double() / 10
    source = Motion(pose=torch.sin(phase)[:, None].expand(-1, 6))
    out = fit_length(source, 200, "repeat", crossfade=0.4)  # one period
    assert torch.allclose(out.pose[:, 0], torch.sin(2 * math.pi * torch.arange(200).double() / 10).float(), atol=1e-5)


def test_loop_takes_seconds():
    assert loop(counting(10, fps=30), 2.5, "ping-pong").frames == 75
    assert loop(counting(10), 0.2).frames == 5


def test_hold_keeps_the_chosen_frame():
    assert numbers(hold(counting(4), 3)) == [0, 0, 0]
    assert numbers(hold(counting(4), 2, index=-1)) == [3, 3]


def test_trim_by_seconds():
    assert numbers(trim(counting(100), 1.0, 1.2)) == [25, 26, 27, 28, 29]
    assert numbers(trim(counting(30), start=1.0)) == [25, 26, 27, 28, 29]
    assert trim(counting(30)).equals(counting(30))


def test_reverse_twice_is_the_same():
    assert numbers(reverse(counting(4))) == [3, 2, 1, 0]
    assert reverse(reverse(random_motion())).equals(random_motion())


def test_concatenate_hard_cut_resamples_to_the_first():
    out = concatenate([random_motion(10), random_motion(20, fps=50, seed=1), random_motion(5, seed=2)])
    assert out.fps == 25
    assert out.frames == 25
    assert torch.equal(out.lip[:10], random_motion(10).lip)
    assert torch.equal(out.lip[10:20], random_motion(20, fps=50, seed=1).lip[::2])
    assert torch.equal(out.lip[20:], random_motion(5, seed=2).lip)


def test_concatenate_with_crossfade_flows():
    low = Motion(pose=torch.zeros(20, 6))
    high = Motion(pose=torch.ones(20, 6))
    out = concatenate([low, high, low], crossfade=0.2)  # 5 frames
    values = torch.tensor(numbers(out))
    assert out.frames == 50
    assert values[:15].abs().max() == 0
    assert (values[20:30] == 1).all()
    assert (values[15:20].diff() > 0).all()
    assert values.diff().abs().max() < 0.3
    assert torch.allclose(values, values.flip(0), atol=1e-6)


def test_concatenate_one_is_itself():
    assert concatenate([random_motion()], crossfade=0.2).equals(random_motion())


# Combining


def test_combine_takes_each_track_from_its_source_and_lasts_as_long_as_the_lips():
    speech = random_motion(50, seed=1).select("lip")
    head = random_motion(20, seed=2)
    face = random_motion(1, fps=30, seed=3)
    out = combine(lip=speech, pose=head, expression=face)
    assert out.frames == 50
    assert out.fps == 25
    assert torch.equal(out.lip, speech.lip)
    assert torch.equal(out.pose, fit_length(head, 50, "ping-pong").pose)
    assert torch.equal(out.expression, face.expression.expand(50, -1))


def test_combine_resamples_other_rates_so_that_nothing_drifts():
    speech = ramp(100).with_tracks(lip=torch.zeros(100, 20), pose=None)
    out = combine(lip=speech, pose=ramp(120, fps=30))
    assert out.frames == 100
    assert torch.allclose(out.pose[:99, 0], torch.arange(99) / 25, atol=1e-5)


def test_combine_without_lips_lasts_as_long_as_the_longest():
    out = combine(pose=random_motion(20), expression=random_motion(60, fps=50))
    assert out.fps == 50  # 1.2 s against 0.8 s
    assert out.frames == 60
    assert out.lip is None


def test_combine_to_a_given_rate_length_and_mode():
    out = combine(
        lip=counting(4).with_tracks(lip=torch.zeros(4, 20)), pose=counting(4), frames=6, modes={"pose": "hold"}
    )
    assert numbers(out) == [0, 1, 2, 3, 3, 3]
    out = combine(lip=random_motion(50), pose=random_motion(50), fps=30)
    assert (out.frames, out.fps) == (60, 30)
    assert torch.equal(out.lip[::6], random_motion(50).lip[::5])


def test_combine_single_frames_is_a_single_frame():
    assert combine(pose=random_motion(1, fps=60), expression=random_motion(1)).frames == 1


def test_align_ignores_the_rate_of_a_single_frame():
    still, moving = align(random_motion(1, fps=60), random_motion(30, fps=50))
    assert (still.frames, still.fps) == (30, 50)
    assert moving.equals(random_motion(30, fps=50))


# Blending


def test_blend_is_equation_3():
    first, second = random_motion(10, seed=1), random_motion(10, seed=2)
    out = blend(first, second, 0.3)
    assert torch.allclose(out.expression, 0.3 * first.expression + 0.7 * second.expression)
    assert blend(first, second, 1).equals(first)
    assert blend(first, second, 0).equals(second)


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param(torch.linspace(0, 1, 11, dtype=torch.float64), id="tensor"),
        pytest.param(np.linspace(0, 1, 11), id="array"),
        pytest.param([i / 10 for i in range(11)], id="list"),
        pytest.param(lambda seconds: seconds / 0.4, id="function"),
    ],
)
def test_blend_by_a_curve_over_time(amount):
    first, second = Motion(pose=torch.ones(11, 6)), Motion(pose=torch.zeros(11, 6))
    out = blend(first, second, amount)
    assert torch.allclose(out.pose[:, 0], torch.linspace(0, 1, 11), atol=1e-6)


def test_blend_of_different_rates_and_lengths():
    out = blend(random_motion(1, fps=60), random_motion(10, fps=30, seed=1), 0.0)
    assert out.equals(random_motion(10, fps=30, seed=1))
    out = blend(ramp(50), ramp(30, fps=30), 0.5)
    assert (out.frames, out.fps) == (50, 25)
    assert out.pose[20, 0].item() == pytest.approx(0.8)


def test_blend_of_two_single_frames_over_time():
    first, second = Motion(expression=torch.ones(1, 10)), Motion(expression=torch.zeros(1, 10))
    out = blend(first, second, lambda seconds: seconds, frames=26)
    assert torch.allclose(out.expression[:, 0], torch.linspace(0, 1, 26))
    assert blend(ramp(10), ramp(20), 0.5, frames=5).frames == 5


def test_mix_of_two_is_blend_and_amounts_are_relative():
    motions = [random_motion(10, seed=s) for s in (1, 2)]
    assert mix(motions, [3, 1]).equals(blend(*motions, 0.75), tolerance=1e-6)
    assert mix(motions, [0, 5]).equals(motions[1])


def test_mix_of_several_over_time():
    motions = [Motion(pose=torch.full((3, 6), value)) for value in (1.0, 10.0, 100.0)]
    out = mix(motions, [[1, 0, 0], [0, 1, 0], lambda seconds: float(seconds > 0.06)])
    assert numbers(out) == pytest.approx([1, 10, 100])


# Shaping


def test_scale_about_keeps_the_anchor_in_place():
    motion = random_motion(10)
    own = random_motion(1, seed=7)
    calmer = scale_about(motion, 0.5, own)
    assert torch.allclose(calmer.pose - own.pose, 0.5 * (motion.pose - own.pose), atol=1e-6)
    assert scale_about(motion, 0, own).equals(hold(own, 10))
    assert scale_about(motion, 1, own).equals(motion)


def test_scale_about_its_mean_or_first_frame():
    motion = random_motion(10)
    wider = scale_about(motion, 2, "mean")
    assert torch.allclose(wider.lip.mean(0), motion.lip.mean(0), atol=1e-5)
    assert torch.allclose(wider.lip.std(0), 2 * motion.lip.std(0), atol=1e-5)
    assert torch.allclose(scale_about(motion, 3.0, "first").pose[0], motion.pose[0], atol=1e-6)


def test_scale_about_by_track():
    motion = random_motion(10)
    out = scale_about(motion, {"pose": 0.0}, "first")
    assert torch.equal(out.lip, motion.lip)
    assert torch.equal(out.pose, motion.pose[:1].expand(10, -1))


def test_offset_moves_only_the_named_bases():
    motion = random_motion(5)
    out = offset(motion, "pose", {0: 0.5, 3: [0, 1, 2, 3, 4]})
    change = out.pose - motion.pose
    assert torch.allclose(change[:, 0], torch.full((5,), 0.5), atol=1e-6)
    assert torch.allclose(change[:, 3], torch.arange(5.0), atol=1e-6)
    assert change[:, [1, 2, 4, 5]].abs().max() == 0
    assert torch.equal(out.lip, motion.lip)


def test_parses_offsets():
    assert parse_offsets(" 1: 2.0, 3:-1;\n0 : 5e-1,") == {1: 2.0, 3: -1.0, 0: 0.5}
    assert parse_offsets(" \n") == {}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("1", "'1' is no such pair"),
        ("1 2.0", "no such pair"),
        ("-1: 2", "no such pair"),
        ("a: 2", "no such pair"),
        ("1: much", "no such pair"),
        ("1: nan", "no such pair"),
        ("0:0:1", "no such pair"),
        ("2: 1, 02: 3", "2 twice"),
    ],
)
def test_refuses_offsets(text, word):
    with pytest.raises(ArgumentError, match=word):
        parse_offsets(text)


def test_smooth_motion_keeps_constants_at_the_ends_too():
    constant = Motion(lip=torch.full((9, 20), 3.0))
    assert smooth_motion(constant, 0.1).equals(constant, tolerance=1e-6)


def test_smooth_motion_is_a_gaussian_of_that_width():
    impulse = torch.zeros(101, 6)
    impulse[50] = 1
    out = smooth_motion(Motion(pose=impulse, fps=50), 0.08).pose[:, 0].double()  # 4 frames
    step = torch.arange(101) - 50
    assert out.sum().item() == pytest.approx(1, abs=1e-4)
    assert (out * step**2).sum().sqrt().item() == pytest.approx(4, rel=1e-2)


def test_smooth_motion_calms_jitter_in_the_chosen_tracks_only():
    motion = random_motion(200)
    out = smooth_motion(motion, 0.08, tracks=["pose"])
    assert out.pose.diff(dim=0).std() < 0.3 * motion.pose.diff(dim=0).std()
    assert torch.equal(out.lip, motion.lip)


@pytest.mark.parametrize("frames", [1, 2])
def test_smooth_motion_of_very_short_motions(frames):
    assert smooth_motion(random_motion(frames), 10.0).frames == frames
    assert smooth_motion(random_motion(frames), 0).equals(random_motion(frames))


# Bad input

M = random_motion(10)
LIPS = random_motion(10).select("lip")


@pytest.mark.parametrize(
    ("use", "error", "word"),
    [
        pytest.param(lambda: smooth(torch.zeros(1, 5, 20)), ArgumentError, "shape", id="smooth-3d"),
        pytest.param(lambda: resample(M, 0), MotionError, "frame rate", id="resample-zero"),
        pytest.param(lambda: resample(M, math.inf), MotionError, "frame rate", id="resample-infinite"),
        pytest.param(lambda: resample(Motion(fps=1e-9, **M.tracks), 25), ArgumentError, "frames", id="resample-huge"),
        pytest.param(lambda: fit_length(M, 0), ArgumentError, "whole number", id="fit-nothing"),
        pytest.param(lambda: fit_length(M, 12.5), ArgumentError, "whole number", id="fit-fraction"),
        pytest.param(lambda: fit_length(M, 10**12), ArgumentError, "1,000,000", id="fit-absurd"),
        pytest.param(lambda: fit_length(M, 20, "bounce"), ArgumentError, "hold, repeat, ping-pong", id="fit-mode"),
        pytest.param(lambda: fit_length(M, 20, "hold", 0.1), ArgumentError, "repeat", id="fit-crossfade-without-seam"),
        pytest.param(lambda: fit_length(M, 20, "repeat", 0.3), ArgumentError, "twice", id="fit-crossfade-too-long"),
        pytest.param(
            lambda: fit_length(M, 20, "repeat", -0.1), ArgumentError, "at least 0", id="fit-crossfade-negative"
        ),
        pytest.param(lambda: loop(M, math.nan), ArgumentError, "finite", id="loop-nan"),
        pytest.param(lambda: loop(M, 1e300), ArgumentError, "1,000,000", id="loop-absurd"),
        pytest.param(lambda: hold(M, 5, index=10), ArgumentError, "no frame 10", id="hold-missing-frame"),
        pytest.param(lambda: align(), ArgumentError, "no motion", id="align-nothing"),
        pytest.param(lambda: combine(), ArgumentError, "at least one", id="combine-nothing"),
        pytest.param(lambda: combine(pose=LIPS), MotionError, "no pose track", id="combine-missing-track"),
        pytest.param(lambda: combine(lip=LIPS, modes={"head": "hold"}), ArgumentError, "head", id="combine-mode-track"),
        pytest.param(lambda: combine(lip=LIPS, frames=20, modes={"lip": "x"}), ArgumentError, "'x'", id="combine-mode"),
        pytest.param(lambda: combine(lip=LIPS, fps=-1), MotionError, "frame rate", id="combine-fps"),
        pytest.param(lambda: blend(M, LIPS, 0.5), MotionError, "same tracks", id="blend-other-tracks"),
        pytest.param(lambda: blend(M, M, [0.5] * 9), ArgumentError, "10 values", id="blend-curve-length"),
        pytest.param(lambda: blend(M, M, torch.zeros(10, 1)), ArgumentError, "10 values", id="blend-curve-shape"),
        pytest.param(lambda: blend(M, M, math.nan), ArgumentError, "finite", id="blend-nan"),
        pytest.param(lambda: blend(M, M, "half"), ArgumentError, "number", id="blend-text"),
        pytest.param(lambda: blend(M, M, lambda seconds: None), ArgumentError, "finite", id="blend-function-of-none"),
        pytest.param(
            lambda: blend(LIPS, Motion(lip=torch.zeros(10, 8)), 0.5), MotionError, "8", id="blend-other-model"
        ),
        pytest.param(lambda: mix([M, M], [1]), ArgumentError, "2 and 1", id="mix-counts"),
        pytest.param(lambda: mix([], []), ArgumentError, "one amount", id="mix-nothing"),
        pytest.param(lambda: mix([M, M], [2, -1]), ArgumentError, "below 0", id="mix-negative"),
        pytest.param(lambda: mix([M, M], [0, 0]), ArgumentError, "above 0", id="mix-all-zero"),
        pytest.param(lambda: scale_about(M, 1, M), ArgumentError, "one frame", id="scale-long-anchor"),
        pytest.param(lambda: scale_about(M, 1, "median"), ArgumentError, "mean", id="scale-anchor-name"),
        pytest.param(lambda: scale_about(M, {"head": 1}, "mean"), ArgumentError, "head", id="scale-unknown-track"),
        pytest.param(lambda: scale_about(LIPS, {"pose": 1}, "mean"), MotionError, "no pose", id="scale-missing-track"),
        pytest.param(lambda: scale_about(M, 1, LIPS.frame(0)), MotionError, "no pose", id="scale-anchor-track"),
        pytest.param(lambda: scale_about(M, 3e38, "mean"), MotionError, "finite", id="scale-overflow"),
        pytest.param(lambda: offset(M, "pose", {6: 1.0}), ArgumentError, "0 to 5", id="offset-base"),
        pytest.param(lambda: offset(M, "pose", {-1: 1.0}), ArgumentError, "0 to 5", id="offset-negative-base"),
        pytest.param(lambda: offset(M, "pose", {0: math.inf}), ArgumentError, "finite", id="offset-infinite"),
        pytest.param(lambda: offset(LIPS, "pose", {0: 1.0}), MotionError, "no pose", id="offset-missing-track"),
        pytest.param(lambda: smooth_motion(M, -1), ArgumentError, "at least 0", id="smooth-negative"),
        pytest.param(lambda: smooth_motion(M, 1, tracks=["head"]), ArgumentError, "head", id="smooth-unknown-track"),
        pytest.param(lambda: trim(M, 0.3, 0.2), ArgumentError, "nothing", id="trim-backwards"),
        pytest.param(lambda: trim(M, -1, 0.2), ArgumentError, "beyond", id="trim-before-the-start"),
        pytest.param(lambda: trim(M, 0, 9), ArgumentError, "0.4 s", id="trim-beyond-the-end"),
        pytest.param(lambda: trim(M, "0"), ArgumentError, "finite number", id="trim-text"),
        pytest.param(lambda: concatenate([]), ArgumentError, "no motion", id="concatenate-nothing"),
        pytest.param(lambda: concatenate([M, LIPS]), MotionError, "same tracks", id="concatenate-other-tracks"),
        pytest.param(lambda: concatenate([M, M, M], 0.3), ArgumentError, "Motion 2", id="concatenate-short-middle"),
    ],
)
def test_refuses(use, error, word):
    with pytest.raises(error, match=word) as caught:
        use()
    assert isinstance(caught.value, EDTalkError)
