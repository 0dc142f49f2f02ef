"""Performances as text."""

from __future__ import annotations

import json

import pytest

from edtalk_core.errors import MotionError
from edtalk_core.motion.performances import Performance, format_performance, parse_performance


def performance(**parts: object) -> str:
    return json.dumps({"format": "edtalk-performance", "format_version": 1, **parts})


def test_an_empty_text_has_no_keys():
    assert parse_performance("\n") == Performance()
    assert Performance().end == 0


def test_its_text_reads_back():
    text = performance(
        emotions="0:00 own\n1.5 happy:0.8 ease-in-out",
        head=[{"time": 1, "yaw": 2.5}, {"time": 0.5, "easing": "ease-in"}],
        blinks=[2.4, 0.8, 0.8],
        mouth=[{"time": 3, "gain": 0.5, "easing": "hold"}],
    )
    read = parse_performance(text)
    assert [(key.time, dict(key.value), key.easing) for key in read.head] == [
        (0.5, {}, "ease-in"),
        (1.0, {"yaw": 2.5}, "linear"),
    ]
    assert read.blinks == (0.8, 2.4)
    assert [(key.time, key.value, key.easing) for key in read.mouth] == [(3.0, 0.5, "hold")]
    assert read.end == 3.0
    again = parse_performance(format_performance(read))
    assert format_performance(again) == format_performance(read)
    assert (again.emotions, again.blinks) == (read.emotions, read.blinks)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (performance(lanes=[]), "'lanes'"),
        (performance(emotions=1), "as text"),
        (performance(emotions="soon happy"), "Timeline line 1"),
        (performance(head={}), "list of at most"),
        (performance(head=[1]), 'object with a "time"'),
        (performance(head=[{}]), "its time"),
        (performance(head=[{"time": -1}]), "its time"),
        (performance(head=[{"time": 1, "yaw": 100}]), "from -20 to 20"),
        (performance(head=[{"time": 1, "easing": "fast"}]), "easing 'fast'"),
        (performance(head=[{"time": 1, "easing": ["linear"]}]), "easing"),
        (performance(mouth=[{"time": 1}]), '"gain"'),
        (performance(mouth=[{"time": 1, "gain": -1}]), "its gain"),
        (performance(blinks=["1"]), "blink 1"),
        (performance(blinks=[0] * 10_001), "at most 10,000"),
    ],
)
def test_refuses(text, reason):
    with pytest.raises(MotionError, match=reason):
        parse_performance(text)
