"""Emotion of a voice: a recurrent encoder that has learned to tell voices apart, and a small network over its cells."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..media.mel import COLUMNS_PER_SECOND, MEL_BANDS, MODEL_SAMPLE_RATE, mel_filters
from .state import SizedNetwork, State, rows

WINDOW_COLUMNS = round(2.5 * COLUMNS_PER_SECOND)
"""Mel columns of a window: 2.5 s, about a phrase."""

_LEVEL = 0.37
"""Sum of the encoder's mel bands in a voice of -30 dBFS, the level that it was trained at."""
_HIGHEST_HZ = 8000.0
"""Frequency at which the encoder's mel bands end; they begin at 0."""
_PRE_EMPHASIS = 0.97
"""Of the mel spectrogram; the encoder hears sounds without."""
_LOUD = 0.85
"""Quantile of the loudness that is taken for the level of the voice."""
_SPEAKING, _SPEAKING_SLOPE = -1.6, 4.0
"""Loudness relative to the level from which a column counts as speech, and how sharp this limit is."""


class SpeechEmotionNetwork(SizedNetwork):
    """Mel windows (N,columns,80) to logits of emotions (N,classes).

    The encoder is that of generalised end-to-end speaker verification (Wan et al. 2018): LSTM layers over 40 mel bands,
    of which the first ones are used. Mean and deviation of the last layer over the columns with speech are what the
    classifier sees. The level of the voice is taken out: how loud a recording is says nothing about an emotion.
    """

    LABEL = "a speech emotion network"

    def __init__(
        self,
        bands: int = 40,
        cells: int = 256,
        layers: int = 2,
        width: int = 64,
        classes: int = 8,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.encoder = nn.LSTM(bands, cells, layers, batch_first=True)
        self.register_buffer("mean", torch.zeros(2 * cells))
        self.register_buffer("deviation", torch.ones(2 * cells))
        self.hidden = nn.Linear(2 * cells, width)
        self.classify = nn.Linear(width, classes)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("_bands", _bands(bands), persistent=False)

    mean: Tensor
    """(2 cells,) mean of the statistics in the training data."""
    deviation: Tensor
    """(2 cells,) their standard deviation."""
    _bands: Tensor

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Sizes of encoder and classifier."""
        layers = 1
        while f"encoder.weight_hh_l{layers}" in state:
            layers += 1
        kernel = state.get("encoder.weight_ih_l0")
        return {
            "bands": min(kernel.shape[1], MEL_BANDS) if kernel is not None and kernel.ndim == 2 else 1,
            "cells": max(1, rows(state, "encoder.weight_hh_l0") // 4),
            "layers": layers,
            "width": rows(state, "hidden.bias"),
            "classes": rows(state, "classify.bias"),
        }

    @torch.no_grad()
    def statistics(self, mel: Tensor) -> Tensor:
        """Mel windows (N,columns,80) in [-4,4] of at least 2 columns -> what the encoder hears in them (N,2 cells)."""
        loudness = mel.mean(2)
        speaking = torch.sigmoid(
            _SPEAKING_SLOPE * (loudness - torch.quantile(loudness, _LOUD, dim=1, keepdim=True) - _SPEAKING)
        )
        share = (speaking / speaking.sum(1, keepdim=True).clamp(min=1e-6))[..., None]
        power = 10 ** (1.25 * (mel + 4) - 8) @ self._bands
        power = power * (_LEVEL / (share * power.sum(2, keepdim=True)).sum(1, keepdim=True).clamp(min=1e-12))
        cells, _ = self.encoder(power)
        mean = (share * cells).sum(1)
        deviation = (share * (cells - mean[:, None]) ** 2).sum(1).clamp(min=1e-8).sqrt()
        return torch.cat([mean, deviation], 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel windows (N,columns,80) in [-4,4], 80 columns a second -> logits (N,classes)."""
        return self.judge(self.statistics(mel))

    def judge(self, statistics: Tensor) -> Tensor:
        """Statistics (N,2 cells) of windows -> logits (N,classes)."""
        standard = ((statistics - self.mean) / self.deviation).clamp(-5, 5)
        hidden = torch.relu(self.hidden(self.dropout(standard)))
        return self.classify(self.dropout(hidden))


def _bands(count: int) -> Tensor:
    """(80,count) weights that turn powers in the mel bands of `media.mel` into those of the encoder's bands.

    Triangles of unit area on the Slaney mel scale, sampled at the centres of the 80 bands; the pre-emphasis is undone.
    """
    filters = torch.from_numpy(mel_filters()).double()
    centres = (filters @ torch.linspace(0, MODEL_SAMPLE_RATE / 2, filters.shape[1]).double()) / filters.sum(1)
    knee, log_step = 1000.0, math.log(6.4) / 27
    highest = 15 + math.log(_HIGHEST_HZ / knee) / log_step
    mels = torch.linspace(0, highest, count + 2).double()
    edges = torch.where(mels < 15, mels * (knee / 15), knee * torch.exp(log_step * (mels - 15)))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (centres[:, None] - low) / (middle - low), (high - centres[:, None]) / (high - middle)
    triangles = torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)
    angles = 2 * math.pi * centres / MODEL_SAMPLE_RATE
    emphasis = 1 + _PRE_EMPHASIS**2 - 2 * _PRE_EMPHASIS * torch.cos(angles)
    widths = torch.gradient(centres)[0]
    return (triangles * (widths / emphasis)[:, None]).float()
