"""Expression timelines: the emotions of a face over time, written as text.

    0:00 neutral
    1.5s happy:0.8 ease-in-out     # eases from neutral to happy, which it reaches at 1.5 seconds
    0:04.5 own                     # linearly back to the face in the picture
    6 angry:1.2 hold               # stays as in the picture, then jumps

Times, easings and separators are as in `keys`. A value is an emotion of the model's presets with an optional strength
(1 = the preset, 0 = the anchor, more exaggerates; "own" is the anchor itself).
"""

from __future__ import annotations

import torch

from ..checks import check_number, check_whole
from ..errors import EDTalkError
from ..media.mel import MAX_FRAMES
from .keys import Key, entry_error, interpolate_keys, parse_keys
from .motion import FPS, Motion, checked_fps
from .presets import OWN, Anchor, Presets, expression_preset, parse_expression


def parse_timeline(text: str) -> tuple[Key[tuple[str, float]], ...]:
    """Parse the entries of a timeline, in order, with (emotion, strength) as values.

    Whether the emotions exist is checked with the presets. Raises MotionError naming the line and the reason.
    """
    return parse_keys(text, parse_expression, "timeline", "an emotion", "0:00 neutral; 1.5s happy:0.8 ease-in-out")


def expression_timeline(text: str, presets: Presets, anchor: Anchor, duration: float, fps: float = FPS) -> Motion:
    """Return a timeline as an expression track of round(duration * fps) frames, at least 1.

    `duration` in seconds; `presets` and `anchor` as in `expression_preset`: strength 0 is the anchor. Between two keys
    equation 3 blends their weights, by the easing of the later one. A key after the end is the target of the last
    transition. Raises MotionError naming the line and the reason, and ArgumentError for a bad duration.
    """
    fps = checked_fps(fps)
    check_number(duration, "The duration", low=0, unit="seconds")
    keys = parse_timeline(text)
    expression_preset(presets, OWN, 1.0, anchor)  # raises for a bad anchor, which is not an error of a line
    expressions = torch.cat([_expression(key, presets, anchor) for key in keys])
    frames = check_whole(max(1, round(duration * fps)), "The number of frames", low=1, high=MAX_FRAMES)
    seconds = torch.arange(frames, dtype=torch.float64) / fps
    return Motion(expression=interpolate_keys(keys, expressions, seconds), fps=fps)


def _expression(key: Key[tuple[str, float]], presets: Presets, anchor: Anchor) -> torch.Tensor:
    try:
        return expression_preset(presets, *key.value, anchor).track("expression")
    except EDTalkError as error:
        raise entry_error("timeline", key.line, key.text, error) from error
