"""Labelled speech for the training of emotion: recordings of a manifest, and sounds in which nobody speaks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import EDTalkError
from ..media.audio import open_audio
from ..media.mel import encode_audio
from ..motion.presets import NEUTRAL
from ..progress import Progress

SAME_EMOTION = {"calm": "neutral"}
"""Labels of data sets that count as another: a calm voice is spoken with a face at rest."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A labelled recording."""

    path: str
    person: str
    emotion: str
    split: str
    mel: np.ndarray
    """(columns,80) float32, see `media.mel.mel_spectrogram`."""


def read_recordings(manifest: Path, splits: tuple[str, ...], progress: Progress | None = None) -> list[Recording]:
    """Read the voices of a manifest with their emotions, and sounds in which nobody speaks.

    Args:
        manifest: a table separated by tabs with the columns path, kind, person, split, free_to_derive, sound and
            emotion; paths are relative to its folder. Rows of the kind "speech" with an emotion count, and clips, of
            which the .wav of the same name is read: those whose sound is "speech" as neutral, unless they say
            otherwise, since people mostly talk without acting; those whose sound is "other" as nobody's, with the
            emotion "". Rows that nothing may be derived from ("no") are left out.
        splits: names of the splits to read.
        progress: counts the recordings.

    Raises:
        EDTalkError: no such manifest, or no labelled speech in it.
        AudioError: a recording that cannot be read.
    """
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EDTalkError(f"The manifest {manifest} cannot be read: {error}") from error
    rows = [row for row in table if row.get("split") in splits and row.get("free_to_derive") != "no" and _is_heard(row)]
    recordings = []
    for number, row in enumerate(rows, start=1):
        is_clip = row["kind"] == "clip"
        path = manifest.parent / (Path(row["path"]).with_suffix(".wav") if is_clip else row["path"])
        emotion = "" if row["sound"] == "other" else SAME_EMOTION.get(row["emotion"], row["emotion"] or NEUTRAL)
        mel = encode_audio(open_audio(path)).mel
        recordings.append(Recording(row["path"], row.get("person") or "", emotion, row["split"], mel))
        if progress is not None:
            progress(number, len(rows))
    if not any(recording.emotion for recording in recordings):
        raise EDTalkError(
            f"{manifest} has no labelled speech of the split {' or '.join(splits)}: expected rows of the kind speech "
            "with an emotion."
        )
    return recordings


def _is_heard(row: Mapping[str, str]) -> bool:
    """Whether a row has a voice or another sound to learn from."""
    if row.get("kind") == "speech":
        return bool(row.get("emotion"))
    return row.get("kind") == "clip" and row.get("sound") in ("speech", "other")
