"""Expressions from text: an emotion, a preset, a timeline."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import MotionError
from ..model import EDTalk
from ..motion.files import file_kind
from ..motion.keys import frames_until
from ..motion.motion import FPS, Motion, checked_fps
from ..motion.presets import Anchor, expression_preset, load_preset, parse_expression
from ..motion.timeline import expression_timeline, parse_timeline

MAX_TIMELINE_BYTES = 1 << 20


def motion_from_preset(model: EDTalk, emotion: str, strength: float, anchor: Anchor) -> Motion:
    """Return the expression of one of the model's presets, one frame: `expression_preset(model.presets, ...)`.

    Raises MotionError when the model has no expressions at all (the lip+pose variant), else as `expression_preset`.
    """
    _check_has_expressions(model)
    return expression_preset(model.presets, emotion, strength, anchor)


def motion_from_timeline(
    model: EDTalk, text: str, anchor: Anchor, *, duration: float | None = None, fps: float = FPS
) -> Motion:
    """Return an expression that changes over time: `expression_timeline(text, model.presets, ...)`.

    `duration` in seconds; by default until the last key is reached. Raises MotionError when the model has no
    expressions at all (the lip+pose variant), else as `expression_timeline`.
    """
    _check_has_expressions(model)
    if duration is None:
        duration = frames_until(parse_timeline(text)[-1].time, checked_fps(fps)) / fps
    return expression_timeline(text, model.presets, anchor, duration, fps)


def motion_from_expression(model: EDTalk, text: str, own: Motion, duration: float, fps: float) -> Motion:
    """Return the expression that a text describes: an emotion, the path of a preset, or a timeline.

    `text` is "own", an emotion with or without a strength ("happy:0.8"), the path of a preset file with or without
    ":strength", a timeline (see `motion.timeline`), or the path of a timeline in a text file. `own` is `Portrait.own`,
    the expression at strength 0. The result has one frame; that of a timeline has round(duration * fps), with the
    duration in seconds.

    Raises ArgumentError for an unknown emotion or a strength out of range, MotionError for an invalid file or timeline
    and for a model without expressions.
    """
    if not model.sizes.expression:
        raise MotionError(f"This is a lip+pose model: it has no expressions, so {text!r} means nothing to it.")
    file, colon, strength = text.rpartition(":") if not os.path.isfile(text) else (text, "", "")
    if os.path.isfile(file):
        path = Path(file)
        if file_kind(path) in ("JSON", "a NumPy array (.npy)"):
            preset = load_preset(path)
            expression = parse_expression(f"{preset.name}{colon}{strength}")
            return expression_preset({preset.name: preset.weights}, *expression, own)
        if colon:
            raise MotionError(f"{path} is no preset file, and only a preset takes a strength ({text!r}).")
        text = _read_text(path)
    elif not re.search(r"[\s;]", text.strip()):
        return expression_preset(model.presets, *parse_expression(text), own)
    return expression_timeline(text, model.presets, own, duration, fps)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TIMELINE_BYTES:
            raise MotionError(f"{path} has {path.stat().st_size:,} bytes: too long for a timeline.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise MotionError(f"{path} is neither a preset file nor a timeline in text ({error}).") from error


def _check_has_expressions(model: EDTalk) -> None:
    if not model.sizes.expression:
        raise MotionError("This is a lip+pose model: it has no expressions. Load EDTalk.pt for emotions.")
