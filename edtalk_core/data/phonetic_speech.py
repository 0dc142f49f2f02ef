"""Speech whose phones and their times are known, such as synthesized speech, in one safetensors file.

The file holds `mel` (columns,80) float16 and `mel_offsets` (N+1) of N utterances, end to end; `phones` (P) uint8, which
are indexes in the list "phones" of the metadata, their `ends` (P) float32 in seconds from the start of their utterance,
and `phone_offsets` (N+1).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..atomic import atomic_write
from ..errors import EDTalkError
from ..media.mel import COLUMNS_PER_SECOND, MEL_BANDS
from ..motion.motion import FPS

PHONETIC_SPEECH_FORMAT = "edtalk-phonetic-speech"

SILENCE = "SIL"
PHONES = (
    *(SILENCE, "AA", "AE", "AH", "AO", "AW", "AX", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH"),
    *("IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y"),
    *("Z", "ZH"),
)
"""Phones of American English (ARPAbet), and silence."""


@dataclass(frozen=True)
class Phone:
    """A phone in time."""

    name: str
    """One of PHONES."""
    start: float
    """Seconds."""
    end: float


@dataclass(frozen=True, eq=False)
class Utterance:
    """A spoken sentence."""

    mel: NDArray[np.float32]
    """(columns,80) in [-4,4], see `media.mel.mel_spectrogram`."""
    phones: tuple[Phone, ...]
    """Phones without gaps, from 0 s on."""

    def __len__(self) -> int:
        """Number of frames of 25 fps."""
        return math.ceil((len(self.mel) - 1) * FPS / COLUMNS_PER_SECOND)


def write_phonetic_speech(path: Path, utterances: Sequence[Utterance], source: str) -> None:
    """Write utterances to a file. `source`: how they were made. Raises EDTalkError when it cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    phones = [phone for utterance in utterances for phone in utterance.phones]
    tensors = {
        "mel": torch.from_numpy(np.concatenate([utterance.mel for utterance in utterances]).astype(np.float16)),
        "mel_offsets": _offsets([len(utterance.mel) for utterance in utterances]),
        "phones": torch.tensor([PHONES.index(phone.name) for phone in phones], dtype=torch.uint8),
        "ends": torch.tensor([phone.end for phone in phones], dtype=torch.float32),
        "phone_offsets": _offsets([len(utterance.phones) for utterance in utterances]),
    }
    metadata = {"format": PHONETIC_SPEECH_FORMAT, "phones": json.dumps(PHONES), "source": source}
    try:
        with atomic_write(path) as partial:
            save_file(tensors, partial, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise EDTalkError(f"{path} cannot be written: {error}. Check that the disk has room.") from error


def read_phonetic_speech(path: Path) -> list[Utterance]:
    """Read the utterances of a file. Raises EDTalkError when it is not one of `write_phonetic_speech`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != PHONETIC_SPEECH_FORMAT:
                raise EDTalkError(f"{path} is no phonetic speech; make some with tools/make_phonetic_speech.py.")
            tensors = {
                name: file.get_tensor(name) for name in ("mel", "mel_offsets", "phones", "ends", "phone_offsets")
            }
        names = json.loads(metadata.get("phones", "[]"))
        mel, ends = tensors["mel"].float().numpy(), tensors["ends"].numpy()
        columns, rows = tensors["mel_offsets"].tolist(), tensors["phone_offsets"].tolist()
        if mel.ndim != 2 or mel.shape[1] != MEL_BANDS or not np.isfinite(mel).all():
            raise ValueError(f"mel has the shape {mel.shape}, or is not finite")
        if len(columns) != len(rows) or len(columns) < 2 or len(ends) != len(tensors["phones"]):
            raise ValueError("its numbers of utterances or of phones differ")
        for name, offsets, length in (("mel_offsets", columns, len(mel)), ("phone_offsets", rows, len(ends))):
            if offsets[0] != 0 or offsets[-1] != length or any(a >= b for a, b in pairwise(offsets)):
                raise ValueError(f"{name} do not ascend from 0 to {length}")
        labels = [names[index] for index in tensors["phones"].tolist()]
        if unknown := set(labels) - set(PHONES):
            raise ValueError(f"{min(unknown)!r} is no phone")
    except (SafetensorError, OSError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise EDTalkError(
            f"{path} cannot be read as phonetic speech ({' '.join(str(error).split())}); make it again with "
            "tools/make_phonetic_speech.py."
        ) from error
    utterances = []
    for (first, last), (row, end_row) in zip(pairwise(columns), pairwise(rows), strict=True):
        times = [0.0, *ends[row:end_row].tolist()]
        if not all(start < end for start, end in pairwise(times)):
            raise EDTalkError(f"{path} cannot be read as phonetic speech (times of phones do not ascend).")
        phones = tuple(
            Phone(name, start, end) for name, (start, end) in zip(labels[row:end_row], pairwise(times), strict=True)
        )
        utterances.append(Utterance(mel[first:last], phones))
    return utterances


def _offsets(lengths: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.cumsum([0, *lengths]))
