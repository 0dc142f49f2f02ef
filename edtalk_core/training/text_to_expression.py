"""Text to emotion: a linear classifier of n-grams, of labelled sentences in many languages (supplement 2.7)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.labelled_text import Sentence, read_sentences
from ..emotion.files import TEXT_FORMAT, classifier_metadata, emotion_columns
from ..emotion.languages import frequent_words
from ..emotion.ngrams import ngram_bags
from ..emotion.text import load_text_emotion
from ..networks.text_emotion import TextEmotionNetwork
from .settings import ClassifierSettings
from .stage import Stage
from .typed_settings import Batch, Count, NotNegative, Positive, Share

LEAST_SENTENCES = 200
"""Sentences from which a language counts as known."""


@dataclass(frozen=True, kw_only=True)
class TextLosses:
    """Weights of the losses."""

    label: NotNegative = 1.0
    """Cross entropy of the labels of the sentences that were kept aside."""


@dataclass(frozen=True, kw_only=True)
class TextToExpressionSettings(ClassifierSettings):
    """Settings of the stage "text-to-expression"."""

    stage: Literal["text-to-expression"] = "text-to-expression"
    data: str
    """Table of labelled sentences, .tsv or .tsv.gz, with the columns text, label, language and split."""
    losses: TextLosses = TextLosses()
    splits: tuple[str, ...] = ("train",)
    """Splits of the table to learn from."""
    buckets: Count = 131_072
    """Buckets that n-grams are hashed to; a file has 16 bytes for each, in half precision."""
    least_texts: Count = 3
    """Sentences that n-grams of a bucket must be in to count."""
    regularisation: Positive = 0.2
    """Inverse strength of the regularisation of the n-grams' weights (C of a support vector machine)."""
    aside: Share = 0.1
    """Share of the sentences that are kept aside, for probabilities that are as often right as they say."""
    batch: Batch = 256
    learning_rate: Positive = 2e-2
    steps: Count = 300
    ema: Share = 0.9


class TextToExpressionStage(Stage):
    """Trains the text emotion classifier: at the start, weights of n-grams by a linear support vector machine (needs
    scikit-learn); then, on sentences that were kept aside, how sure it is."""

    SETTINGS = TextToExpressionSettings
    TRAINED = ("scale", "bias")
    model: TextEmotionNetwork

    def __init__(self, model: TextEmotionNetwork, settings: TextToExpressionSettings) -> None:
        super().__init__(model, settings)
        self.settings = settings
        self.sentences = _sentences(settings)
        self.labels = _labels(self.sentences)
        order = np.random.default_rng(settings.seed).permutation(len(self.sentences))
        self.aside = order[: max(1, math.ceil(settings.aside * len(order)))]
        self.learned = order[len(self.aside) :]

    @classmethod
    def starting_model(cls, settings: TextToExpressionSettings) -> TextEmotionNetwork:
        """Weights of `settings.init`, or new ones, with a class for each label of the data."""
        if settings.init:
            return load_text_emotion(Path(settings.init)).network
        return TextEmotionNetwork(settings.buckets, len(_labels(_sentences(settings))))

    def metadata(self) -> dict[str, str]:
        """Labels, terms, and the frequent words of the languages that were learned."""
        counts = Counter(sentence.language for sentence in self.sentences)
        texts = [(s.language, s.text) for s in self.sentences if counts[s.language] >= LEAST_SENTENCES]
        return classifier_metadata(
            TEXT_FORMAT, self.labels, self.settings.license, frequent_words=frequent_words(texts)
        )

    @torch.no_grad()
    def begin(self) -> None:
        """Measure how rare n-grams are, and fit their weights."""
        from scipy.sparse import csr_matrix
        from sklearn.svm import LinearSVC

        network, settings = self.model, self.settings
        sentences = [self.sentences[index] for index in self.learned]
        buckets, counts, offsets = ngram_bags([sentence.text for sentence in sentences], network.buckets)
        text_count = torch.bincount(buckets, minlength=network.buckets)
        rarity = torch.log((1 + len(sentences)) / (1 + text_count.double())) + 1
        network.rarity.copy_(torch.where(text_count >= settings.least_texts, rarity, 0.0))
        weights = network.weighted(buckets, counts, offsets)
        ends = [*offsets.tolist(), len(buckets)]
        matrix = csr_matrix((weights.numpy(), buckets.numpy(), ends), shape=(len(sentences), network.buckets))
        targets = [self.labels.index(sentence.label) for sentence in sentences]
        machine = LinearSVC(C=settings.regularisation, class_weight="balanced", random_state=settings.seed)
        machine.fit(matrix, targets)
        coefficients = torch.from_numpy(machine.coef_).float()
        if len(coefficients) == 1:  # of two classes, scikit-learn returns one row
            coefficients = torch.cat([-coefficients, coefficients])
        network.ngrams.weight.copy_(coefficients.T)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Sentences that were kept aside, all labels equally often."""
        labels = np.array([self.labels.index(self.sentences[index].label) for index in self.aside])
        chances = (1 / np.bincount(labels, minlength=len(self.labels)).clip(min=1))[labels]
        chosen = rng.choice(len(labels), self.settings.batch, p=chances / chances.sum())
        texts = [self.sentences[self.aside[index]].text for index in chosen]
        buckets, counts, offsets = ngram_bags(texts, self.model.buckets)
        return {"buckets": buckets, "counts": counts, "offsets": offsets, "label": torch.from_numpy(labels[chosen])}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss "label", in nats."""
        logits = self.model(batch["buckets"], batch["counts"], batch["offsets"])
        return {"label": F.cross_entropy(logits, batch["label"])}


def _sentences(settings: TextToExpressionSettings) -> list[Sentence]:
    return read_sentences(Path(settings.data), settings.splits)


def _labels(sentences: list[Sentence]) -> list[str]:
    """The labels that occur, sorted. Raises UnsupportedCheckpoint for one that is no emotion."""
    labels = sorted({sentence.label for sentence in sentences})
    emotion_columns(labels, Path("The labelled text"))
    return labels
