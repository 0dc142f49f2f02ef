"""Words with times by a CTC speech model of Hugging Face: a transcript aligned by force, or what the model hears."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MissingRequirement, UnsupportedCheckpoint
from ..media.audio import MODEL_SAMPLE_RATE
from ..media.transcript import Cue

_PIECE, _MARGIN = 20 * MODEL_SAMPLE_RATE, 2 * MODEL_SAMPLE_RATE
"""Samples that a model hears at once, whose time grows with their square, and what it hears around them besides."""
MAX_CELLS = 400_000_000
"""Largest product of a sound's frames and a text's letters: 400 MB of memory, some eight minutes of speech."""


@dataclass(frozen=True, eq=False)
class SpeechModel:
    """A model that says which letter is spoken in each frame of a sound."""

    extractor: Any
    network: Any
    letters: dict[str, int]
    """Letter -> its column."""
    blank: int
    """Column that no letter is spoken."""
    delimiter: str
    """The letter between words."""

    def align(self, samples: NDArray[np.float32], words: Sequence[str]) -> list[Cue] | None:
        """Return the words with times, each where the model hears it (Viterbi).

        A word without a letter that the model knows lies between its neighbours. None where the words do not fit into
        the sound: more letters than frames, or more than MAX_CELLS.

        Args:
            samples: (N,) mono sound at 16 kHz in [-1,1].
            words: what is said, in order.
        """
        columns = [[self.letters[letter] for letter in self._spelled(word)] for word in words]
        owners = [number for number, letters in enumerate(columns) for _ in letters]
        tokens = [token for letters in columns for token in letters]
        if not tokens:
            return None
        times, scores = self._listen(samples)
        if len(times) * (2 * len(tokens) + 1) > MAX_CELLS:
            return None
        frames = forced_alignment(scores, tokens, self.blank)
        if frames is None:
            return None
        step = float(times[1] - times[0]) if len(times) > 1 else 0.0
        spans: list[tuple[float, float] | None] = [None] * len(words)
        for (first, last), owner in zip(frames, owners, strict=True):
            span = spans[owner]
            spans[owner] = (float(times[first]) if span is None else span[0], float(times[last]) + step)
        return _filled(words, spans, len(samples) / MODEL_SAMPLE_RATE)

    def recognise(self, samples: NDArray[np.float32]) -> list[Cue]:
        """Return the words that the model hears, with times: the likeliest letter of each frame."""
        times, scores = self._listen(samples)
        names = {column: letter for letter, column in self.letters.items()}
        best = scores.argmax(1)
        words: list[Cue] = []
        text, start = "", 0.0
        for frame, column in enumerate([*best.tolist(), self.letters.get(self.delimiter, self.blank)]):
            time = float(times[min(frame, len(times) - 1)])
            if frame < len(best) and frame and column == best[frame - 1]:
                continue
            letter = names.get(column, "") if column != self.blank else ""
            if text and (letter == self.delimiter or frame == len(best)):
                words.append(Cue(start, max(time, start + 0.02), text))
                text = ""
            elif letter and letter != self.delimiter:
                start = start if text else time
                text += letter
        return words

    def _spelled(self, word: str) -> list[str]:
        """The letters of a word that the model knows, in its own case."""
        letters = []
        for letter in word:
            known = [form for form in (letter, letter.lower(), letter.upper()) if form in self.letters]
            letters += known[:1]
        return [letter for letter in letters if letter != self.delimiter]

    def _listen(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Times of the frames (T,) in seconds, and logarithms of the probabilities of the letters (T,letters)."""
        times, scores = [], []
        for start in range(0, len(samples), _PIECE):
            first, last = max(0, start - _MARGIN), min(len(samples), start + _PIECE + _MARGIN)
            piece = samples[first:last]
            if len(piece) < 400:  # less than the receptive field of such a model
                piece = np.pad(piece, (0, 400 - len(piece)))
            inputs = self.extractor(piece, sampling_rate=MODEL_SAMPLE_RATE, return_tensors="pt").input_values
            with torch.inference_mode():
                logits = self.network(inputs).logits[0].float().log_softmax(1).numpy()
            moments = (first + (np.arange(len(logits)) + 0.5) * len(piece) / len(logits)) / MODEL_SAMPLE_RATE
            own = (moments >= start / MODEL_SAMPLE_RATE) & (moments < (start + _PIECE) / MODEL_SAMPLE_RATE)
            times.append(moments[own])
            scores.append(logits[own])
        return np.concatenate(times), np.concatenate(scores)


def forced_alignment(scores: NDArray[np.float32], tokens: Sequence[int], blank: int) -> list[tuple[int, int]] | None:
    """Align tokens to frames by the likeliest path of CTC (Graves et al. 2006).

    Args:
        scores: (T,columns) logarithms of probabilities.
        tokens: columns in the order in which they are said, at least one.
        blank: column of the blank.

    Returns:
        First and last frame of each token; None where there are more tokens than frames for them.
    """
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    may_skip = np.zeros(len(states), bool)
    may_skip[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
    best = np.full(len(states), -np.inf)
    best[:2] = scores[0, states[:2]]
    steps = np.zeros((len(scores), len(states)), np.uint8)
    for frame in range(1, len(scores)):
        options = np.stack(
            [
                best,
                np.concatenate([[-np.inf], best[:-1]]),
                np.where(may_skip, np.concatenate([[-np.inf, -np.inf], best[:-2]]), -np.inf),
            ]
        )
        steps[frame] = options.argmax(0)
        best = options.max(0) + scores[frame, states]
    state = len(states) - 1 if best[-1] >= best[-2] else len(states) - 2
    if not np.isfinite(best[state]):
        return None
    path = np.empty(len(scores), int)
    for frame in range(len(scores) - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame, state])
    frames = [np.flatnonzero(path == 2 * number + 1) for number in range(len(tokens))]
    return [(int(found[0]), int(found[-1])) for found in frames]


@functools.lru_cache(maxsize=1)
def load_speech_model(name: str) -> SpeechModel:
    """Load a CTC speech model: its weights from .safetensors, without running code of its repository.

    Args:
        name: a folder with config.json, tokenizer and weights; or an id such as "owner/model", which Hugging Face's
            own library downloads and caches.

    Raises:
        MissingRequirement: transformers is not installed.
        UnsupportedCheckpoint: no such model, or one that cannot be used.
    """
    try:
        from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer
    except ImportError as error:
        raise MissingRequirement(
            "A speech model of Hugging Face needs transformers, which ComfyUI has: pip install 'edtalk[hugging-face]'."
        ) from error
    source = Path(name)
    if source.is_dir() and not (source / "config.json").is_file():
        raise UnsupportedCheckpoint(f"{source} has no config.json: it is not the folder of a Hugging Face model.")
    try:
        extractor = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        network = AutoModelForCTC.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
    except Exception as error:  # transformers and its downloads raise many types of errors
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedCheckpoint(
            f"The speech model {name!r} cannot be loaded: {reason}. Expected the folder or the id of a CTC model of "
            "speech, such as wav2vec 2.0, with weights as .safetensors."
        ) from error
    rate = getattr(extractor, "sampling_rate", MODEL_SAMPLE_RATE)
    if rate != MODEL_SAMPLE_RATE:
        raise UnsupportedCheckpoint(f"The speech model {name!r} hears sound at {rate} Hz; expected 16000.")
    letters = {letter: column for letter, column in tokenizer.get_vocab().items() if len(letter) == 1}
    blank, delimiter = tokenizer.pad_token_id, getattr(tokenizer, "word_delimiter_token", "|")
    if not letters or blank is None:
        raise UnsupportedCheckpoint(f"The speech model {name!r} does not spell words in letters, or has no blank.")
    return SpeechModel(extractor, network.eval(), letters, int(blank), delimiter or "|")


def _filled(words: Sequence[str], spans: Sequence[tuple[float, float] | None], duration: float) -> list[Cue]:
    """Words with times; those that have none share the time between their neighbours."""
    cues: list[Cue] = []
    number = 0
    while number < len(words):
        if (span := spans[number]) is not None:
            cues.append(Cue(*span, words[number]))
            number += 1
            continue
        last = number
        while last < len(words) and spans[last] is None:
            last += 1
        start = cues[-1].end if cues else 0.0
        following = spans[last] if last < len(words) else None
        edges = np.linspace(start, max(start, following[0] if following is not None else duration), last - number + 1)
        cues += [
            Cue(float(first), float(end), word)
            for first, end, word in zip(edges, edges[1:], words[number:last], strict=False)
        ]
        number = last
    return cues
