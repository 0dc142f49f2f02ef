"""Transcripts: SubRip, WebVTT and plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from edtalk_core.errors import ArgumentError, MediaError
from edtalk_core.media.transcript import Cue, Transcript, parse_transcript, read_transcript, write_vtt

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>What a</i> day!

2
00:01:02,250 --> 00:01:04,000 X1:10 X2:20
{\\an8}I am so
happy &amp; free.

3
00:02:00,000 --> 00:02:01,000

"""

VTT = """WEBVTT - a title
Kind: captions

NOTE nobody says this

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start
<v Anna>What <00:01.500>a day!</v>

01:00:00.5 --> 01:00:01.250
later
"""


def test_subrip():
    transcript = parse_transcript(SRT.replace("\n", "\r\n"))
    assert transcript.cues == (Cue(1.0, 2.5, "What a day!"), Cue(62.25, 64.0, "I am so happy & free."))
    assert transcript.text == "What a day!\nI am so happy & free."


def test_webvtt():
    assert parse_transcript(VTT).cues == (Cue(1.0, 2.5, "What a day!"), Cue(3600.5, 3601.25, "later"))


def test_plain_text_is_left_as_it_is():
    text = "Meet me at 10:30 --> at the door.\n\n2 of us <3"
    assert parse_transcript(f"\ufeff{text}\n") == Transcript(text)
    assert parse_transcript("  ") == Transcript("")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_common_encodings(encoding: str, tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_bytes("Schön, שלום 😀".encode(encoding))
    assert read_transcript(file).text == "Schön, שלום 😀"


def test_words_are_read_back_as_they_were_written(tmp_path: Path):
    cues = (Cue(0.5, 1.0, "a < b & c"), Cue(3661.0, 3661.0625, "שלום"))
    path = write_vtt(cues, tmp_path / "words.vtt")
    assert read_transcript(path).cues == (cues[0], Cue(3661.0, 3661.062, "שלום"))


def test_silence_before_the_sound_delays_the_cues():
    assert Transcript("a", (Cue(1.0, 2.0, "a"),)).delayed(0.5).cues == (Cue(1.5, 2.5, "a"),)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"RIFF\x00\x00\x00WAVE", b"\x80abc"])
def test_what_is_no_text_is_refused(content: bytes, tmp_path: Path):
    file = tmp_path / "words.srt"
    file.write_bytes(content)
    with pytest.raises(MediaError, match=r"words\.srt is no"):
        read_transcript(file)


def test_missing_and_large_files_and_other_names(tmp_path: Path):
    with pytest.raises(MediaError, match="nowhere"):
        read_transcript(tmp_path / "nowhere.txt")
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(MediaError, match="too long for a transcript"):
        read_transcript(tmp_path / "large.txt")
    with pytest.raises(ArgumentError, match=r"ends in \.vtt"):
        write_vtt((), tmp_path / "words.txt")
