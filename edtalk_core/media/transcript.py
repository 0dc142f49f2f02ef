"""Transcripts: what is said and when, as plain text, SubRip (.srt) or WebVTT (.vtt)."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..atomic import atomic_write
from ..errors import ArgumentError, MediaError

MAX_TRANSCRIPT_BYTES = 4 << 20

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_CUE_TIMES = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_MARKUP = re.compile(r"</?[^>\n]*>|\{\\[^}\n]*\}")
"""Tags of WebVTT and SubRip, times within a cue, and overrides such as {\\an8}."""
_HEADER_BLOCK = re.compile(r"^(WEBVTT|NOTE|STYLE|REGION|X-TIMESTAMP-MAP)\b")


@dataclass(frozen=True)
class Cue:
    """Some of the words, and when they are said."""

    start: float
    """Seconds."""
    end: float
    """Seconds, after the start."""
    text: str


@dataclass(frozen=True)
class Transcript:
    """What is said: either plain text, or text with times."""

    text: str
    """All of it, cues separated by ends of lines."""
    cues: tuple[Cue, ...] = ()
    """In order of time; none for plain text."""

    def delayed(self, seconds: float) -> Transcript:
        """Return the transcript with all times later, as after silence before the sound."""
        return replace(
            self, cues=tuple(replace(cue, start=cue.start + seconds, end=cue.end + seconds) for cue in self.cues)
        )


def parse_transcript(text: str) -> Transcript:
    """Parse a transcript: SubRip or WebVTT, which are recognised by a line such as "00:01.000 --> 00:02.500"; all
    other text is plain.

    Tags, styles and notes are left out, cues without words too.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if not any(_CUE_TIMES.match(line) for line in text.splitlines()):
        return Transcript(text.strip())
    cues = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        times = next((index for index, line in enumerate(lines) if _CUE_TIMES.match(line)), None)
        if times is None or (_HEADER_BLOCK.match(lines[0]) and times == 0):
            continue
        match = _CUE_TIMES.match(lines[times])
        assert match is not None
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        words = html.unescape(_MARKUP.sub("", " ".join(lines[times + 1 :])))
        words = " ".join(words.split())
        if words and end > start:
            cues.append(Cue(start, end, words))
    cues.sort(key=lambda cue: cue.start)
    return Transcript("\n".join(cue.text for cue in cues), tuple(cues))


def read_transcript(path: str | os.PathLike[str]) -> Transcript:
    """Read a transcript: .txt, .srt, .vtt or any other text, UTF-8 (or UTF-16 with its mark).

    Raises MediaError when the file cannot be read, is no text or has over 4 MiB.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_TRANSCRIPT_BYTES:
            raise MediaError(f"{path} has {size:,} bytes: too long for a transcript. Expected text, .srt or .vtt.")
        content = path.read_bytes()
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = content.decode(encoding)
    except (OSError, ValueError) as error:
        raise MediaError(f"{path} is no transcript that can be read ({error}). Expected text, .srt or .vtt.") from error
    if "\0" in text:
        raise MediaError(f"{path} is no text. Expected a transcript: text, .srt or .vtt.")
    return parse_transcript(text)


def write_vtt(cues: Sequence[Cue], path: str | os.PathLike[str]) -> Path:
    """Write cues as WebVTT. Returns the path; the file appears complete or not at all.

    Raises ArgumentError for a name that does not end in .vtt, MediaError when it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".vtt":
        raise ArgumentError(f"Words with times are written as WebVTT: a name that ends in .vtt; got {path.name!r}.")
    try:
        with atomic_write(path) as partial:
            partial.write_text(format_vtt(cues), encoding="utf-8")
    except OSError as error:
        raise MediaError(f"{path} could not be written: {error}") from error
    return path


def format_vtt(cues: Sequence[Cue]) -> str:
    """Return cues as the text of a WebVTT file."""
    blocks = [f"{_clock(cue.start)} --> {_clock(cue.end)}\n{html.escape(cue.text, quote=False)}\n" for cue in cues]
    return "\n".join(["WEBVTT\n", *blocks])


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def _seconds(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = groups
    assert minutes is not None
    assert seconds is not None
    assert fraction is not None
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + int(fraction) / 10 ** len(fraction)
