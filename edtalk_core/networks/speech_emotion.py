"""Emotion of a voice: statistics of a few seconds of the mel spectrogram, and a small network over them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..media.mel import COLUMNS_PER_SECOND, MEL_BANDS, MODEL_SAMPLE_RATE, mel_filters
from .state import SizedNetwork, State, rows

WINDOW_COLUMNS = round(2.5 * COLUMNS_PER_SECOND)
"""Mel columns of a window: 2.5 s, about a phrase."""

_LOUD, _FLOOR = 0.85, -3.5
"""Quantile of the loudness that is taken for the level of the voice, and how far below it anything is heard: 44 dB."""
_SPEAKING, _SPEAKING_SLOPE = -1.6, 4.0
"""Loudness relative to the level from which a frame counts as speech, and how sharp this limit is."""
_CEPSTRA = 24
_PITCHES, _PITCH_HZ = 48, (70.0, 480.0)
"""Candidates of the voice's pitch, on a logarithmic scale."""
_HARMONICS_HZ = 1000.0
"""Frequency up to which the mel bands are narrow enough to tell harmonics apart."""
_SHARPNESS = 8.0
"""Inverse temperature of the choice between the candidates of the pitch."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_SIGNALS = _CEPSTRA + 3
"""Signals over time: cepstra, loudness, pitch, clearness of the pitch."""
STATISTICS = 5 * _SIGNALS + len(_QUANTILES) + 2
"""Statistics of a window: mean, deviation, skewness, deviation of the change, mean size of the change of every signal;
quantiles of the loudness; share of speech, and how often it starts and stops."""


class SpeechEmotionNetwork(SizedNetwork):
    """Mel windows (N,columns,80) to logits of emotions (N,classes).

    The level of the voice is taken out: how loud a recording is says nothing about an emotion.
    """

    LABEL = "a speech emotion network"

    def __init__(self, width: int = 64, classes: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(STATISTICS))
        self.register_buffer("deviation", torch.ones(STATISTICS))
        self.hidden = nn.Linear(STATISTICS, width)
        self.classify = nn.Linear(width, classes)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("_cosines", _cosines(), persistent=False)
        self.register_buffer("_combs", _combs(), persistent=False)

    mean: Tensor
    """(STATISTICS,) mean of the statistics in the training data."""
    deviation: Tensor
    """(STATISTICS,) their standard deviation."""
    _cosines: Tensor
    _combs: Tensor

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Width and number of classes."""
        return {"width": rows(state, "hidden.bias"), "classes": rows(state, "classify.bias")}

    @torch.no_grad()
    def statistics(self, mel: Tensor) -> Tensor:
        """Mel windows (N,columns,80) in [-4,4] of at least 8 columns -> their statistics (N,STATISTICS)."""
        level = torch.quantile(mel.mean(2), _LOUD, dim=1)
        mel = (mel - level[:, None, None]).clamp(min=_FLOOR)
        mel = mel[:, : mel.shape[1] // 2 * 2].unflatten(1, (-1, 2)).mean(2)
        loudness = mel.mean(2, keepdim=True)
        scores = mel @ self._combs
        choice = (_SHARPNESS * scores).softmax(2)
        pitch = (choice * torch.linspace(-1, 1, _PITCHES, device=mel.device)).sum(2, keepdim=True)
        clearness = (choice * scores).sum(2, keepdim=True)
        signals = torch.cat([mel @ self._cosines, loudness, pitch, clearness], 2)
        speaking = torch.sigmoid(_SPEAKING_SLOPE * (loudness - _SPEAKING))
        share = speaking / speaking.sum(1, keepdim=True).clamp(min=1e-6)
        mean = (share * signals).sum(1)
        centred = signals - mean[:, None]
        deviation = (share * centred**2).sum(1).clamp(min=1e-8).sqrt()
        skewness = (share * centred**3).sum(1) / (deviation**3 + 1e-4)
        change = signals.diff(dim=1)
        both = share[:, 1:] / share[:, 1:].sum(1, keepdim=True).clamp(min=1e-6)
        size = (both * change.abs()).sum(1)
        jitter = (both * change**2).sum(1).clamp(min=1e-8).sqrt()
        quantiles = torch.quantile(loudness[..., 0], torch.tensor(_QUANTILES, device=mel.device), dim=1).T
        rhythm = [speaking.mean(1), speaking.diff(dim=1).abs().mean(1)]
        return torch.cat([mean, deviation, skewness.clamp(-5, 5), jitter, size, quantiles, *rhythm], 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel windows (N,columns,80) in [-4,4], 80 columns a second -> logits (N,classes)."""
        return self.judge(self.statistics(mel))

    def judge(self, statistics: Tensor) -> Tensor:
        """Statistics (N,STATISTICS) of windows -> logits (N,classes)."""
        standard = ((statistics - self.mean) / self.deviation).clamp(-5, 5)
        hidden = torch.relu(self.hidden(self.dropout(standard)))
        return self.classify(self.dropout(hidden))


def _cosines() -> Tensor:
    """(80,_CEPSTRA) cosines over the mel bands, whose products with a spectrum are its cepstra."""
    band = torch.arange(MEL_BANDS) + 0.5
    return torch.cos(math.pi / MEL_BANDS * band[:, None] * torch.arange(_CEPSTRA)[None]) / (MEL_BANDS / 2)


def _combs() -> Tensor:
    """(80,_PITCHES) combs over the mel bands: positive at the harmonics of a pitch, negative half-way between."""
    filters = torch.from_numpy(mel_filters())
    frequencies = torch.linspace(0, MODEL_SAMPLE_RATE / 2, filters.shape[1])
    centres = ((filters @ frequencies) / filters.sum(1))[:, None]
    low, high = _PITCH_HZ
    pitches = (low * (high / low) ** torch.linspace(0, 1, _PITCHES))[None]
    heard = ((centres < _HARMONICS_HZ) & (centres > 0.5 * pitches)).float()
    combs = torch.cos(2 * math.pi * centres / pitches) * heard
    combs = combs - heard * combs.sum(0) / heard.sum(0)
    return combs / combs.abs().sum(0)
