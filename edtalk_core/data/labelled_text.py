"""Labelled text for the training of emotion: a table of sentences."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

from ..errors import EDTalkError

COLUMNS = ("text", "label", "language", "split")


@dataclass(frozen=True)
class Sentence:
    """A labelled sentence."""

    text: str
    label: str
    """An emotion."""
    language: str
    """ISO 639-1."""
    split: str
    source: str = ""
    """Where it is from."""


def read_sentences(path: Path, splits: tuple[str, ...]) -> list[Sentence]:
    """Read the sentences of some splits from a table separated by tabs, .tsv or .tsv.gz, with the columns COLUMNS and,
    where there is one, "source".

    Raises EDTalkError for a file that cannot be read, lacks a column or has no sentence of these splits.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as file
        ):
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise EDTalkError(f"{path} lacks the column {missing[0]}: expected {', '.join(COLUMNS)}.")
            sentences = [
                Sentence(row["text"], row["label"], row["language"], row["split"], row.get("source") or "")
                for row in reader
                if row["split"] in splits
            ]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise EDTalkError(f"The labelled text {path} cannot be read: {error}") from error
    if not sentences:
        raise EDTalkError(f"{path} has no sentence of the split {' or '.join(splits)}.")
    return sentences
