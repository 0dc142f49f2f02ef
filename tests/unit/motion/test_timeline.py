"""Expression timelines: text to an expression track."""

from __future__ import annotations

import pytest
import torch

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion.keys import EASINGS, Key
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.presets import expression_preset, published_presets
from edtalk_core.motion.timeline import expression_timeline, parse_timeline

PRESETS = published_presets()
OWN = Motion(expression=torch.linspace(-1, 1, 10)[None])


def at(motion: Motion, seconds: float) -> torch.Tensor:
    return motion.expression[round(seconds * motion.fps)]


def pure(emotion: str, strength: float = 1.0) -> torch.Tensor:
    return expression_preset(PRESETS, emotion, strength, OWN).expression[0]


def timeline(text: str, duration: float = 4.0, fps: float = 25.0) -> Motion:
    return expression_timeline(text, PRESETS, OWN, duration, fps)


def test_reads_every_form():
    keys = parse_timeline(
        "\n"
        "# how the scene goes\n"
        "  0:00 neutral; 1.5s happy:0.8 EASE-IN-OUT  # warmer; this is no entry\n"
        "0:02.25\town\n"
        "\n"
        "3S sad:0 hold;;\r\n"
        "1:02:03.5 fear"
    )
    assert [(k.time, *k.value, k.easing, k.line) for k in keys] == [
        (0.0, "neutral", 1.0, "linear", 3),
        (1.5, "happy", 0.8, "ease-in-out", 3),
        (2.25, "own", 1.0, "linear", 4),
        (3.0, "sad", 0.0, "hold", 6),
        (3723.5, "fear", 1.0, "linear", 7),
    ]
    assert keys[1] == Key(1.5, ("happy", 0.8), "ease-in-out", "1.5s happy:0.8 EASE-IN-OUT", 3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("2", 2), ("2.", 2), (".5", 0.5), ("2.5s", 2.5), ("0:01.5", 1.5), ("75:00", 4500), ("1:00:01", 3601)],
)
def test_times(text, seconds):
    assert parse_timeline(f"{text} happy")[0].time == seconds


def test_is_an_expression_track_of_the_asked_length():
    motion = timeline("0 happy", 2.5, 30)
    assert (motion.frames, motion.fps, list(motion.tracks)) == (75, 30, ["expression"])
    assert timeline("0 happy", 0.0).frames == 1


def test_holds_before_the_first_and_after_the_last_key():
    motion = timeline("1 happy; 2 sad")
    assert (motion.expression[:26] == pure("happy")).all()
    assert (motion.expression[50:] == pure("sad")).all()


def test_keys_are_reached_exactly_and_strength_is_anchored_at_the_portrait():
    motion = timeline("0 own; 1 happy:0.5; 2 sad:1.5; 3 own")
    assert torch.equal(at(motion, 0), OWN.expression[0])
    assert torch.allclose(at(motion, 1), (OWN.expression[0] + pure("happy")) / 2)
    assert torch.equal(at(motion, 2), pure("sad", 1.5))
    assert torch.equal(at(motion, 3), OWN.expression[0])


@pytest.mark.parametrize(
    ("easing", "quarter", "half"),
    [
        ("linear", 0.25, 0.5),
        ("hold", 0.0, 0.0),
        ("step", 0.0, 0.0),
        ("ease-in", 0.0625, 0.25),
        ("ease-out", 0.4375, 0.75),
        ("ease-in-out", 0.15625, 0.5),
        ("smoothstep", 0.15625, 0.5),
    ],
)
def test_easing_is_the_way_to_the_key_that_names_it(easing, quarter, half):
    motion = timeline(f"0 neutral; 2 angry {easing}; 4 neutral", fps=50)
    for frame, share in ((25, quarter), (50, half), (100, 1.0)):
        expected = share * pure("angry") + (1 - share) * pure("neutral")
        assert torch.allclose(motion.expression[frame], expected, atol=1e-5)
    before = motion.expression[99]
    assert torch.equal(before, pure("neutral")) == (easing in ("hold", "step"))


@pytest.mark.parametrize("easing", [name for name in EASINGS if name not in ("hold", "step")])
def test_easings_run_from_0_to_1_without_turning_back(easing):
    share = EASINGS[easing](torch.linspace(0, 1, 101))
    assert share[0] == 0
    assert share[-1].item() == pytest.approx(1)
    assert (share.diff() > 0).all()


def test_a_key_beyond_the_end_is_where_the_face_is_heading():
    motion = timeline("0 neutral; 8 happy", duration=4.0)
    assert torch.allclose(motion.expression[-1], pure("happy") * 99 / 200 + pure("neutral") * 101 / 200, atol=1e-5)


def test_the_same_at_any_frame_rate():
    text = "0 neutral; 1.2 happy ease-in-out; 2.4 surprised:1.3 ease-out; 3 own"
    slow, fast = timeline(text, fps=25), timeline(text, fps=50)
    assert torch.allclose(slow.expression, fast.expression[::2], atol=1e-5)


def test_frames_at_key_times_that_are_no_binary_fractions():
    for frame in range(1, 60):
        motion = timeline(f"0 neutral; {frame / 30:.12f} happy hold", fps=30)
        assert torch.equal(motion.expression[frame], pure("happy"))
        assert torch.equal(motion.expression[frame - 1], pure("neutral"))


def test_anchored_at_neutral():
    motion = expression_timeline("0 happy:0.5", PRESETS, "neutral", 1.0)
    assert torch.allclose(motion.expression[0], (pure("happy") + pure("neutral")) / 2)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("", "no entries", id="empty"),
        pytest.param("# nothing\n;;", "no entries", id="only-comments"),
        pytest.param("0 neutral\nhappy", "line 2, 'happy': an entry is a time", id="no-time"),
        pytest.param("0 neutral\n\n1.5s", "line 3", id="no-emotion"),
        pytest.param("0 neutral; soon happy", "'soon' is not a time", id="time-word"),
        pytest.param("0 neutral; -1 happy", "'-1' is not a time", id="time-negative"),
        pytest.param("nan happy", "'nan' is not a time", id="time-nan"),
        pytest.param("1e3 happy", "'1e3' is not a time", id="time-exponent"),
        pytest.param("0:75 happy", "'0:75' is not a time", id="75-seconds"),
        pytest.param("1:75:00 happy", "'1:75:00' is not a time", id="75-minutes"),
        pytest.param("1:2:3:4 happy", "is not a time", id="days"),
        pytest.param("9999999999 happy", "is not a time", id="centuries"),
        pytest.param("2 happy\n1 sad", "line 2, '1 sad': its time, 1 s, is not after", id="backwards"),
        pytest.param("1 happy\n0:01 sad", "is not after", id="twice-the-same-time"),
        pytest.param("0 neutral\n1 hapy", r"line 2, '1 hapy'.*mean happy\?$", id="unknown-emotion"),
        pytest.param("0 happy:", "must be a number", id="no-strength"),
        pytest.param("0 happy:much", "must be a number", id="strength-word"),
        pytest.param("0 happy:80", "0 to 5", id="strength-percent"),
        pytest.param("0 happy: 0.8", "number", id="space-in-strength"),
        pytest.param("0 happy easy-in", "mean ease-in", id="easing-typo"),
        pytest.param("0 happy 0.8", "no easing '0.8'", id="strength-as-easing"),
        pytest.param("0 happy linear 1 sad", "separated by ';'", id="separator-forgotten"),
        pytest.param("\n".join(f"{i} happy" for i in range(10_001)), "10,000", id="too-many"),
    ],
)
def test_refuses_a_text(text, word):
    with pytest.raises(MotionError, match=word) as caught:
        timeline(text)
    assert isinstance(caught.value, EDTalkError)


@pytest.mark.parametrize(
    ("use", "error", "word"),
    [
        pytest.param(lambda: timeline("0 happy", -1), ArgumentError, "duration", id="duration-negative"),
        pytest.param(lambda: timeline("0 happy", float("inf")), ArgumentError, "duration", id="duration-infinite"),
        pytest.param(lambda: timeline("0 happy", 1e12), ArgumentError, "frames", id="duration-absurd"),
        pytest.param(lambda: timeline("0 happy", 1, 0), MotionError, "frame rate", id="fps-zero"),
        pytest.param(lambda: expression_timeline("0 happy", {}, OWN, 1), MotionError, "no expression", id="no-presets"),
        pytest.param(lambda: expression_timeline("0 happy", PRESETS, "own", 1), ArgumentError, "anchor", id="anchor"),
        pytest.param(
            lambda: expression_timeline("0 happy", PRESETS, Motion(expression=torch.zeros(1, 16)), 1),
            MotionError,
            "models",
            id="anchor-of-another-model",
        ),
    ],
)
def test_refuses(use, error, word):
    with pytest.raises(error, match=word):
        use()
