"""Emotion of text: what a sentence says, by the built-in classifier or by one of Hugging Face."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..builtin_files import builtin_file
from ..errors import UnsupportedCheckpoint
from ..motion.presets import EMOTIONS
from ..networks.text_emotion import TextEmotionNetwork
from .files import TEXT_FORMAT, emotion_columns, metadata_value, read_classifier
from .languages import KnownLanguages
from .ngrams import ngram_bags

BUILT_IN = "built-in"
"""Name of the classifier that ships with EDTalk."""

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


class TextClassifier(Protocol):
    """A classifier of the emotion of texts."""

    def classify(self, texts: Sequence[str]) -> Tensor:
        """Return the probabilities (texts,8) of the emotions, in the order of `motion.presets.EMOTIONS`."""

    def language(self, text: str) -> str | None:
        """Return the language of a text (ISO 639-1), "?" where the classifier does not tell languages apart; None for
        a language that it does not know."""


@dataclass(frozen=True, eq=False)
class TextEmotion:
    """The project's own classifier: hashed n-grams, milliseconds a sentence, for the languages that it has learned."""

    network: TextEmotionNetwork
    columns: tuple[int, ...]
    """Index in EMOTIONS of each output of the network."""
    known: KnownLanguages
    """The languages that it knows."""
    license: str
    """Terms of its weights."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it knows, ISO 639-1."""
        return self.known.names

    def classify(self, texts: Sequence[str]) -> Tensor:
        """See `TextClassifier`. Contempt, which no text was labelled with, has the probability 0."""
        probabilities = torch.zeros(len(texts), len(EMOTIONS))
        if texts:
            with torch.inference_mode():
                logits = self.network(*ngram_bags(texts, self.network.buckets))
                probabilities[:, list(self.columns)] = logits.softmax(1)
        return probabilities

    def language(self, text: str) -> str | None:
        """See `TextClassifier`."""
        return self.known.detect(text)


def load_text_emotion(path: Path | None = None) -> TextEmotion:
    """Load a classifier of the project's own, by default the one that ships.

    Raises UnsupportedCheckpoint for a file that is missing, damaged or something else.
    """
    path = path or builtin_file("text_emotion.safetensors")
    state, labels, checkpoint = read_classifier(path, TEXT_FORMAT)
    words = metadata_value(checkpoint, "frequent_words")
    if not isinstance(words, dict) or not all(isinstance(value, list) for value in words.values()):
        raise UnsupportedCheckpoint(f"{path} does not say which languages it knows: its metadata is damaged.")
    network = TextEmotionNetwork.from_state_dict(state)
    columns = emotion_columns(labels, path)
    return TextEmotion(network, tuple(columns), KnownLanguages(words), checkpoint.metadata.get("license", ""))


@functools.lru_cache(maxsize=4)
def text_classifier(name: str = BUILT_IN, labels: str = "") -> TextClassifier:
    """Return a text classifier by name; the last few stay in memory.

    Args:
        name: "built-in", the path of a .safetensors file of the project's own, or a text classification model of
            Hugging Face: a folder, or an id such as "owner/model", which is downloaded.
        labels: for a model of Hugging Face, see `hugging_face.parse_labels`.

    Raises UnsupportedCheckpoint for a model that cannot be used, MissingRequirement without transformers.
    """
    if name.strip() in ("", BUILT_IN):
        return load_text_emotion()
    if name.lower().endswith(".safetensors"):
        return load_text_emotion(Path(name))
    from .hugging_face import load_hugging_face

    return load_hugging_face(name, labels)


def sentences(text: str) -> list[str]:
    """Split text into sentences, at their final punctuation and at the ends of lines."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]
