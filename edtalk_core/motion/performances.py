"""Performances: what a face does along with a sound, written as JSON.

    {"format": "edtalk-performance", "format_version": 1,
     "emotions": "0:00 own\\n1.5 happy:0.8 ease-in-out",
     "head": [{"time": 1.0}, {"time": 1.2, "pitch": 3, "easing": "ease-in-out"}, {"time": 1.5}],
     "blinks": [0.8, 2.4],
     "mouth": [{"time": 0, "gain": 1}, {"time": 2, "gain": 0.5, "easing": "linear"}]}

"emotions" is a timeline (see `timeline`). A key of "head" adds amounts to bases of the pose, by their name or number; a
base that it does not name gets none. "blinks" are the times at which the eyes are closed. "mouth" scales the movement
of the lips about those of the portrait: 0 leaves the mouth as in the picture, 1 as it speaks. Times are in seconds, and
easings those of `keys`. All parts but the format may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import check_number
from ..errors import MotionError
from .edits import MAX_CHANGE, parse_amounts, parse_document
from .keys import EASINGS, MAX_KEYS, Key
from .timeline import parse_timeline

FORMAT = "edtalk-performance"
FORMAT_VERSION = 1
MAX_CHARACTERS = 1 << 20
MAX_SECONDS = 36_000.0
MAX_GAIN = 5.0


@dataclass(frozen=True)
class Performance:
    """What a face does over time."""

    emotions: str = ""
    """A timeline, or nothing."""
    head: tuple[Key[Mapping[str, float]], ...] = ()
    """Changes of the pose, by name or number of the base."""
    blinks: tuple[float, ...] = ()
    """Times at which the eyes are closed, in seconds and in order."""
    mouth: tuple[Key[float], ...] = ()
    """Gain of the lips' movement."""

    @property
    def end(self) -> float:
        """The time of the last key or blink in seconds; 0 without any."""
        keys: list[Key[Any]] = [*self.head, *self.mouth]
        if self.emotions.strip():
            keys += parse_timeline(self.emotions)
        return max([*(key.time for key in keys), *self.blinks], default=0.0)


def parse_performance(text: str) -> Performance:
    """Parse a performance in the syntax at the top of this module; an empty text is one without keys.

    Whether emotions and bases exist is checked when it is performed. Raises MotionError with the reason.
    """
    if not text.strip():
        return Performance()
    content = parse_document(text, "performance", FORMAT, FORMAT_VERSION, MAX_CHARACTERS)
    parts = ("emotions", "head", "blinks", "mouth")
    if unknown := [key for key in content if key not in ("format", "format_version", *parts)]:
        raise MotionError(f"The performance holds {unknown[0]!r}; expected {', '.join(parts)}.")
    emotions = content.get("emotions", "")
    if not isinstance(emotions, str):
        raise MotionError("The emotions of a performance are a timeline, as text.")
    if emotions.strip():
        parse_timeline(emotions)
    blinks = _list(content, "blinks")
    times = sorted({_time(time, f"The blink {number}") for number, time in enumerate(blinks, start=1)})
    head = _keys(content, "head", lambda entry, name: parse_amounts(entry, name, -MAX_CHANGE, MAX_CHANGE))
    return Performance(emotions, head, tuple(times), _keys(content, "mouth", _gain))


def format_performance(performance: Performance) -> str:
    """Return a performance as text, a key a line."""
    head: list[dict[str, Any]] = [_entry(key, dict(key.value)) for key in performance.head]
    mouth: list[dict[str, Any]] = [_entry(key, {"gain": key.value}) for key in performance.mouth]
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "emotions": performance.emotions,
        "head": head,
        "blinks": list(performance.blinks),
        "mouth": mouth,
    }
    return json.dumps({key: value for key, value in content.items() if value}, ensure_ascii=False)


def _entry(key: Key[Any], value: dict[str, Any]) -> dict[str, Any]:
    return {"time": key.time, **value, "easing": key.easing}


def _list(content: Mapping[str, Any], part: str) -> list[Any]:
    entries = content.get(part, [])
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise MotionError(f"The {part} of a performance must be a list of at most {MAX_KEYS:,} entries.")
    return entries


def _keys(content: Mapping[str, Any], part: str, parse: Any) -> tuple[Key[Any], ...]:
    """Parse the keys of a lane, in order of time. Of several at the same time the last one counts."""
    keys: dict[float, Key[Any]] = {}
    for number, entry in enumerate(_list(content, part), start=1):
        name = f"The {part} key {number}"
        if not isinstance(entry, dict):
            raise MotionError(f'{name} must be an object with a "time"; got {entry!r}.')
        easing = entry.get("easing", "linear")
        if not isinstance(easing, str) or easing not in EASINGS:
            raise MotionError(f"{name} has the easing {easing!r}; expected one of {', '.join(EASINGS)}.")
        time = _time(entry.get("time"), name)
        value = parse({key: amount for key, amount in entry.items() if key not in ("time", "easing")}, name)
        keys[time] = Key(time, value, easing, json.dumps(entry), number)
    return tuple(keys[time] for time in sorted(keys))


def _time(value: object, name: str) -> float:
    return check_number(value, f"{name}: its time", low=0, high=MAX_SECONDS, unit="seconds", error=MotionError)


def _gain(entry: dict[str, Any], name: str) -> float:
    if entry.keys() != {"gain"}:
        raise MotionError(f'{name} must have a "time", a "gain" and perhaps an "easing".')
    return check_number(entry["gain"], f"{name}: its gain", low=0, high=MAX_GAIN, error=MotionError)
