"""Expression presets: named expression weights, the strength of an expression, and preset files.

Presets are absolute coordinates over one model's expression bank, not offsets: neutral is not zero (its norm is 7.25 in
the published model). Strength therefore interpolates from an anchor to the preset, and beyond; k * preset would be
wrong. A model has its presets in `model.presets` (emotion -> weights); add further ones with
{**model.presets, name: weights}.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ..builtin_files import builtin_file
from ..checks import check_number
from ..errors import ArgumentError, MotionError
from .files import file_kind, read_json, write_file
from .motion import MAX_WEIGHTS, Motion
from .operations import blend

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
"""The emotions of MEAD, for which the published model has presets."""

NEUTRAL = "neutral"
OWN = "own"
"""Used instead of an emotion: the anchor itself, the face as it is in the picture."""

MAX_STRENGTH = 5.0

FORMAT = "edtalk-preset"
FORMAT_VERSION = 1
MAX_PRESET_BYTES = 256 << 10

Presets = Mapping[str, Sequence[float]]
"""Emotion -> expression weights, all of one model."""

Anchor = Motion | Literal["neutral"]
"""The expression at strength 0: a motion of one frame with an expression (`Portrait.own`), or the preset "neutral"."""


@dataclass(frozen=True)
class Preset:
    """Named expression weights, to save and share.

    Raises MotionError unless the name is a word without ":", ";", "#" or spaces (so that it can be used in text such
    as "happy:0.8") and the weights are finite numbers.
    """

    name: str
    weights: tuple[float, ...]
    """Expression weights (10 in the published model), absolute."""
    about: str = ""
    """Description, for people."""
    model: str = ""
    """The model the weights belong to: its file name or the file's sha256. Other models have other bases."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[^\s:;#]{1,64}", self.name) or self.name == OWN:
            raise MotionError(
                f"A preset's name is a word of at most 64 letters without spaces, ':', ';' and '#', and not {OWN!r}; "
                f"got {self.name!r}."
            )
        if not isinstance(self.about, str) or not isinstance(self.model, str):
            raise MotionError(f"'about' and 'model' of the preset {self.name!r} must be text.")
        object.__setattr__(self, "weights", _checked_weights(self.weights, f"the preset {self.name!r}"))


def parse_expression(text: str) -> tuple[str, float]:
    """Parse an expression in text: "happy:0.8" -> ("happy", 0.8), "happy" -> ("happy", 1.0).

    `expression_preset` checks that the emotion exists. Raises ArgumentError for anything else.
    """
    emotion, colon, strength = text.strip().partition(":")
    if not emotion.strip():
        raise ArgumentError(f"An expression is written emotion or emotion:strength, such as happy:0.8; got {text!r}.")
    if not colon:
        return emotion.strip(), 1.0
    try:
        return emotion.strip(), _checked_strength(float(strength))
    except ValueError:
        raise ArgumentError(
            f"The strength in {text!r} must be a number from 0 to {MAX_STRENGTH:g}, such as {emotion.strip()}:0.8."
        ) from None


def expression_preset(presets: Presets, emotion: str, strength: float, anchor: Anchor) -> Motion:
    """Return a preset at a strength: W = anchor + strength * (preset - anchor), a motion of one frame.

    0 is the anchor, 1 the preset, more an exaggeration (up to MAX_STRENGTH). The anchor is the starting point: the
    portrait's own expression (`Portrait.own`), or "neutral". The emotion is one of `presets`, case-insensitive, or
    "own" for the anchor itself. Raises ArgumentError for an unknown emotion (listing the known ones) or a strength out
    of range, MotionError when anchor and presets are of different models.
    """
    start = _anchor_motion(presets, anchor)
    if emotion.strip().lower() == OWN:
        return start
    _checked_strength(strength)
    return blend(_preset_motion(presets, emotion), start, strength)


def blend_presets(first: Preset, second: Preset, amount: float, name: str) -> Preset:
    """Equation 3 on two presets: W = a * W1 + (1 - a) * W2 as a new preset. Both must be of the same model."""
    if len(first.weights) != len(second.weights) or (first.model and second.model and first.model != second.model):
        raise MotionError(
            f"The presets {first.name!r} and {second.name!r} belong to different models and cannot be blended."
        )
    check_number(amount, "The amount of a blend")
    weights = tuple(amount * a + (1 - amount) * b for a, b in zip(first.weights, second.weights, strict=True))
    about = f"{amount:g} {first.name} + {1 - amount:g} {second.name}"
    return Preset(name, weights, about, first.model or second.model)


def save_preset(preset: Preset, path: str | os.PathLike[str]) -> Path:
    """Write a preset as readable JSON; the name must end in .json. The file appears complete or not at all."""
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise ArgumentError(f"A preset file's name ends in .json; got {path.name!r}.")
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": preset.name,
        "about": preset.about,
        "model": preset.model,
        "weights": list(preset.weights),
    }
    lines = (f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())
    write_file(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "replace"))
    return path


def load_preset(path: str | os.PathLike[str]) -> Preset:
    """Read a preset: JSON as written by `save_preset`, or a published .npy of the shape (10,) or (1,10).

    An .npy is read without unpickling and named after the file. Raises MotionError naming the file and the reason.
    """
    presets = load_presets(path)
    if len(presets) != 1:
        raise MotionError(f"{path} holds {len(presets)} presets ({', '.join(presets)}); expected a file of one.")
    return next(iter(presets.values()))


def load_presets(path: str | os.PathLike[str]) -> dict[str, Preset]:
    """Read a file of one preset (see `load_preset`) or a collection {"presets": {name: weights}} as name -> preset."""
    path = Path(path)
    if file_kind(path) == "a NumPy array (.npy)":
        return {(preset := _read_npy(path)).name: preset}
    content = read_json(path, _EXPECTED, MAX_PRESET_BYTES)
    if not isinstance(content, dict) or not ("presets" in content or "weights" in content):
        description = (
            f"a file of format {content['format']!r}" if isinstance(content, dict) and "format" in content else "JSON"
        )
        raise MotionError(f"{path} is {description} and no preset; expected {_EXPECTED}.")
    if content.get("format", FORMAT) != FORMAT or content.get("format_version", 1) != FORMAT_VERSION:
        raise MotionError(
            f"{path} has the format {content.get('format')!r} version {content.get('format_version')!r}; "
            f"this EDTalk reads {FORMAT!r} version {FORMAT_VERSION}."
        )
    common = {key: content.get(key, "") for key in ("about", "model")}
    if "presets" not in content and not isinstance(content.get("name"), str):
        raise MotionError(f"{path}: the name of a preset must be text, not {_short(content.get('name'))}.")
    weights_by_name = content["presets"] if "presets" in content else {content.get("name"): content["weights"]}
    if not isinstance(weights_by_name, dict) or not weights_by_name:
        raise MotionError(f"{path}: 'presets' must be weights by name, at least one; it is not.")
    try:
        presets = {name: Preset(name, weights, **common) for name, weights in weights_by_name.items()}
    except MotionError as error:
        raise MotionError(f"{path} is not a sound preset file: {error}") from error
    if len({len(preset.weights) for preset in presets.values()}) > 1:
        raise MotionError(f"{path}: all presets of a collection must have the same number of weights; they do not.")
    return presets


def published_presets() -> dict[str, tuple[float, ...]]:
    """Return the eight presets of the published EDTalk.pt, emotion -> 10 weights. No other model can use them."""
    path = builtin_file("expression_presets.json")
    return {name: preset.weights for name, preset in load_presets(path).items()}


_EXPECTED = "an expression preset (.json written by save_preset, or .npy of 10 numbers)"


def _read_npy(path: Path) -> Preset:
    from numpy.lib.format import open_memmap

    try:
        # Mapped, so that a header claiming a huge array allocates nothing; arrays of objects (pickles) are refused.
        array = open_memmap(path, mode="r")
    except Exception as error:  # a damaged header also ends in errors of Python's tokenizer and syntax
        raise MotionError(f"{path} is no NumPy array of numbers ({error}); expected {_EXPECTED}.") from error
    if array.dtype.kind != "f" or array.squeeze().ndim != 1 or array.size > MAX_WEIGHTS:
        raise MotionError(
            f"{path} holds an array {array.shape} of {array.dtype}; a preset is floating-point numbers of the shape "
            "(10,) or (1, 10)."
        )
    try:
        return Preset(re.sub(r"[\s:;#]+", "_", path.stem), tuple(array.ravel().tolist()))
    except MotionError as error:
        raise MotionError(f"{path} is not a sound preset file: {error}") from error


def _preset_motion(presets: Presets, emotion: str) -> Motion:
    names = {name.lower(): name for name in presets}
    key = emotion.strip().lower()
    if key not in names:
        if not presets:
            raise ArgumentError(f"This model has no expression presets, so {emotion!r} means nothing to it.")
        close = difflib.get_close_matches(_SYNONYMS.get(key, key), names, n=1, cutoff=0.5)
        hint = f" Did you mean {names[close[0]]}?" if close else ""
        raise ArgumentError(f"There is no emotion {emotion!r}; known are {', '.join(presets)} and {OWN}.{hint}")
    weights = _checked_weights(presets[names[key]], f"the preset {names[key]!r}")
    return Motion(expression=torch.tensor([weights], dtype=torch.float64))


_SYNONYMS = {
    "afraid": "fear",
    "anger": "angry",
    "calm": "neutral",
    "disdain": "contempt",
    "joy": "happy",
    "mad": "angry",
    "normal": "neutral",
    "scared": "fear",
    "shocked": "surprised",
    "smile": "happy",
    "smiling": "happy",
}
"""Words for an emotion that are spelled unlike its name, for the hint in the message."""


def _anchor_motion(presets: Presets, anchor: Anchor) -> Motion:
    if not isinstance(anchor, Motion):
        if anchor != NEUTRAL:
            raise ArgumentError(
                f"The anchor of an expression is a motion of one frame (Portrait.own) or {NEUTRAL!r}; got {anchor!r}."
            )
        return _preset_motion(presets, NEUTRAL)
    if anchor.frames != 1:
        raise ArgumentError(f"The anchor of an expression is one frame; this motion has {anchor.frames}. Use frame().")
    return anchor.select("expression")


def _checked_strength(strength: float) -> float:
    name = "The strength of an expression (0 is the face's own, 1 the preset)"
    return check_number(strength, name, low=0, high=MAX_STRENGTH)


def _checked_weights(weights: Any, owner: str) -> tuple[float, ...]:
    if not isinstance(weights, Sequence) or isinstance(weights, str) or not 0 < len(weights) <= MAX_WEIGHTS:
        raise MotionError(
            f"The weights of {owner} must be a list of 1 to {MAX_WEIGHTS} numbers; got {_short(weights)}."
        )
    for value in weights:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e30:
            raise MotionError(f"The weights of {owner} must be finite numbers; got {_short(value)}.")
    return tuple(float(value) for value in weights)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
