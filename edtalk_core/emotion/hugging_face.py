"""Emotion of text by a text classification model of Hugging Face: any language, larger and slower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, MissingRequirement, UnsupportedCheckpoint
from ..motion.presets import EMOTIONS, NEUTRAL

LABELS: Mapping[str, str] = {
    **{emotion: emotion for emotion in EMOTIONS},
    **dict.fromkeys(("anger", "annoyance", "disapproval", "rage", "frustration", "hate"), "angry"),
    **dict.fromkeys(("disgust", "aversion"), "disgusted"),
    **dict.fromkeys(("scorn", "disdain"), "contempt"),
    **dict.fromkeys(("afraid", "fearful", "nervousness", "anxiety", "worry", "scared"), "fear"),
    **dict.fromkeys(
        (
            "joy", "happiness", "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude",
            "love", "optimism", "pride", "relief", "fun", "enthusiasm", "positive", "pos",
        ),
        "happy",
    ),
    **dict.fromkeys(("sadness", "disappointment", "embarrassment", "grief", "remorse", "negative", "neg"), "sad"),
    **dict.fromkeys(("surprise", "realization", "confusion", "curiosity", "astonishment"), "surprised"),
    **dict.fromkeys(("calm", "no emotion", "none", "other"), NEUTRAL),
}  # fmt: skip
"""Emotion of the labels of common models, in lower case; `parse_labels` adds to them and changes them."""

_BATCH = 16
_MAX_TOKENS = 256


def parse_labels(text: str) -> dict[str, str]:
    """Parse a table of labels: lines (or parts separated by ";") such as "joy = happy".

    A label is one of the model's, an emotion one of `motion.presets.EMOTIONS`. Raises ArgumentError naming the line.
    """
    table = {}
    for line in text.replace(";", "\n").splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        label, equals, emotion = (part.strip().lower() for part in line.rpartition("="))
        if not equals or not label or emotion not in EMOTIONS:
            raise ArgumentError(
                f"A line of the table of labels is label = emotion, such as joy = happy; got {line!r}. Emotions are "
                f"{', '.join(EMOTIONS)}."
            )
        table[label] = emotion
    return table


@dataclass(frozen=True, eq=False)
class HuggingFaceClassifier:
    """A text classification model of transformers as a `TextClassifier`."""

    tokenizer: Any
    model: Any
    columns: tuple[int, ...]
    """Index in EMOTIONS of each label of the model."""
    several: bool
    """Whether a text can have several labels, each with a probability of its own."""

    def classify(self, texts: Sequence[str]) -> Tensor:
        """See `TextClassifier`: probabilities of labels of the same emotion are added."""
        probabilities = torch.zeros(len(texts), len(EMOTIONS))
        columns = torch.tensor(self.columns)
        for first in range(0, len(texts), _BATCH):
            batch = list(texts[first : first + _BATCH])
            inputs = self.tokenizer(batch, padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt")
            with torch.inference_mode():
                logits = self.model(**inputs).logits.float()
            shares = logits.sigmoid() if self.several else logits.softmax(1)
            shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-9)
            probabilities[first : first + len(batch)].index_add_(1, columns, shares)
        return probabilities

    def language(self, text: str) -> str | None:
        """See `TextClassifier`: the model does not say which languages it knows."""
        return "?"


def load_hugging_face(name: str, labels: str = "") -> HuggingFaceClassifier:
    """Load a text classification model: its weights from .safetensors, without running code of its repository.

    Args:
        name: a folder with config.json, tokenizer and weights; or an id such as "owner/model", which Hugging Face's
            own library downloads and caches.
        labels: a table of labels over LABELS, see `parse_labels`.

    Raises:
        MissingRequirement: transformers is not installed.
        UnsupportedCheckpoint: no such model, weights that are not safetensors, or a label without an emotion.
        ArgumentError: a table of labels that cannot be parsed.
    """
    table = {**LABELS, **parse_labels(labels)}
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise MissingRequirement(
            "A text model of Hugging Face needs transformers, which ComfyUI has: pip install 'edtalk[hugging-face]'."
        ) from error
    source = Path(name)
    if source.is_dir() and not (source / "config.json").is_file():
        raise UnsupportedCheckpoint(f"{source} has no config.json: it is not the folder of a Hugging Face model.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
    except Exception as error:  # transformers and its downloads raise many types of errors
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedCheckpoint(
            f"The text model {name!r} cannot be loaded: {reason}. Expected the folder or the id of a text "
            "classification model with weights as .safetensors."
        ) from error
    names = [str(label).strip().lower() for _, label in sorted(model.config.id2label.items())]
    unknown = [label for label in names if label not in table]
    if unknown:
        raise UnsupportedCheckpoint(
            f"The text model {name!r} has the label {unknown[0]!r}, of which it is not known which emotion it is. Add "
            f"a line {unknown[0]} = EMOTION to the table of labels, for each of: {', '.join(unknown)}."
        )
    columns = tuple(EMOTIONS.index(table[label]) for label in names)
    several = model.config.problem_type == "multi_label_classification"
    return HuggingFaceClassifier(tokenizer, model.eval(), columns, several)
