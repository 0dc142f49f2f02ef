"""Edits of a face: changes of its expression, mouth and head, written as JSON.

    {"format": "edtalk-edit", "format_version": 1,
     "presets": {"happy": 0.5},
     "expression": {"smile": 1.2, "lids": -0.5}, "pose": {"yaw": 3}, "lip": {"opening": 2}}

"presets" are strengths of the model's emotions; the others are amounts that are added to single bases, by their name or
their number in the bank. All parts but the format may be left out; an empty text changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..checks import check_number
from ..errors import EDTalkError, MotionError
from .bases import Bases
from .files import parse_json
from .motion import TRACKS, Motion
from .presets import MAX_STRENGTH, Presets, expression_preset

FORMAT = "edtalk-edit"
FORMAT_VERSION = 1
MAX_EDIT_CHARACTERS = 64 << 10
MAX_CHANGE = 20.0
"""Largest change of a weight: five times what `sheets.base_sheet` shows."""


@dataclass(frozen=True)
class Edit:
    """Changes of a face."""

    presets: Mapping[str, float] = field(default_factory=dict)
    """Emotion -> strength: 1 adds the difference between the preset and the portrait's own expression."""
    changes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Track -> name or number of a base -> amount that is added to its weight."""


def parse_edit(text: str) -> Edit:
    """Parse an edit in the syntax at the top of this module.

    Whether emotions and bases exist is checked when it is applied. Raises MotionError with the reason.
    """
    if not text.strip():
        return Edit()
    content = parse_document(text, "edit of a face", FORMAT, FORMAT_VERSION, MAX_EDIT_CHARACTERS)
    if unknown := [key for key in content if key not in ("format", "format_version", "presets", *TRACKS)]:
        raise MotionError(f"The edit of a face holds {unknown[0]!r}; expected presets, {', '.join(TRACKS)}.")
    presets = parse_amounts(content.get("presets", {}), "The edit's presets", -MAX_STRENGTH, MAX_STRENGTH)
    changes = {
        track: parse_amounts(content[track], f"The edit's {track}", -MAX_CHANGE, MAX_CHANGE)
        for track in TRACKS
        if track in content
    }
    return Edit(presets, changes)


def format_edit(edit: Edit) -> str:
    """Return an edit as text, without what changes nothing."""
    content: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    for name, amounts in {"presets": edit.presets, **edit.changes}.items():
        if used := {key: amount for key, amount in amounts.items() if amount}:
            content[name] = used
    return json.dumps(content, ensure_ascii=False)


def apply_edit(edit: Edit, motion: Motion, own: Motion, presets: Presets, bases: Bases) -> Motion:
    """Return a motion with an edit added to every frame.

    Args:
        edit: see `parse_edit`.
        motion: has all tracks that the edit changes.
        own: the portrait's own motion, one frame, from which the presets differ.
        presets: of the model.
        bases: names of the model's bases.

    Raises:
        MotionError: an emotion, a base or a track that the model does not have.
    """
    tracks = {name: track.clone() for name, track in motion.tracks.items()}
    try:
        for emotion, strength in edit.presets.items():
            preset = expression_preset(presets, emotion, 1.0, own).track("expression")
            motion.track("expression")  # raises where there is none
            tracks["expression"] += strength * (preset - own.track("expression"))
        for track, changes in edit.changes.items():
            for base, amount in changes.items():
                values = motion.track(track)
                tracks[track][:, bases.index(track, base, values.shape[1])] += amount
    except EDTalkError as error:
        raise MotionError(f"The edit does not fit this model: {error}") from error
    return Motion(fps=motion.fps, **tracks)


def parse_document(text: str, kind: str, format: str, version: int, characters: int) -> dict[str, Any]:
    """Parse the JSON object of a format of ours; MotionError, naming the `kind` of text, for any other text."""
    if len(text) > characters:
        raise MotionError(f"The {kind} has {len(text):,} characters; at most {characters:,} are read.")
    try:
        content = parse_json(text)
    except ValueError as error:
        raise MotionError(f"The {kind} is not readable as JSON ({error}).") from error
    if not isinstance(content, dict) or content.get("format") != format:
        raise MotionError(f'The {kind} is other text; expected JSON with "format": "{format}".')
    if content.get("format_version") != version:
        raise MotionError(
            f"The {kind} has the format version {content.get('format_version')!r}, and this EDTalk reads {version}; "
            "update EDTalk to read it."
        )
    return content


def parse_amounts(content: object, name: str, low: float, high: float) -> dict[str, float]:
    """Check a JSON object of numbers by name; MotionError that begins with `name` for anything else."""
    if not isinstance(content, dict) or not all(isinstance(key, str) and 0 < len(key) <= 64 for key in content):
        raise MotionError(f'{name} must be numbers by name, such as {{"smile": 1.2}}.')
    return {
        key: check_number(value, f"{name} {key!r}", low=low, high=high, error=MotionError)
        for key, value in content.items()
    }
