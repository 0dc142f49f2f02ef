"""Emotion of text: a linear classifier of hashed n-grams."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .state import SizedNetwork, State, rows


class TextEmotionNetwork(SizedNetwork):
    """Bags of n-grams to logits of emotions (texts,classes).

    Counts are weighted by the logarithm and by the rarity of their bucket, and the weighted counts of a text have
    norm 1, so that its length does not matter.
    """

    LABEL = "a text emotion network"

    def __init__(self, buckets: int = 131_072, classes: int = 7) -> None:
        super().__init__()
        self.ngrams = nn.EmbeddingBag(buckets, classes, mode="sum")
        nn.init.zeros_(self.ngrams.weight)
        self.register_buffer("rarity", torch.ones(buckets))
        self.scale = nn.Parameter(torch.ones(classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    rarity: Tensor
    """(buckets,) weight of the n-grams of a bucket, 0 for those that are in hardly any text."""

    @property
    def buckets(self) -> int:
        """Number of buckets that n-grams are hashed to."""
        return self.ngrams.num_embeddings

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Numbers of buckets and classes."""
        buckets = state["rarity"].shape[0] if "rarity" in state and state["rarity"].ndim == 1 else 1
        return {"buckets": min(buckets, 1 << 22), "classes": rows(state, "bias")}

    def weighted(self, buckets: Tensor, counts: Tensor, offsets: Tensor) -> Tensor:
        """Weights (N,) of the n-grams of texts: counts (N,) in `buckets` (N,), whose texts start at `offsets`."""
        weights = (1 + counts.log()) * self.rarity[buckets]
        text = torch.bucketize(torch.arange(len(weights), device=weights.device), offsets, right=True) - 1
        squares = weights.new_zeros(len(offsets)).index_add_(0, text, weights.square())
        return weights / squares.clamp(min=1e-12).sqrt()[text]

    def forward(self, buckets: Tensor, counts: Tensor, offsets: Tensor) -> Tensor:
        """Logits (texts,classes) of texts, which are given as by `emotion.ngrams.ngram_bags`."""
        scores = self.ngrams(buckets, offsets, per_sample_weights=self.weighted(buckets, counts, offsets))
        return scores * F.softplus(self.scale) + self.bias
