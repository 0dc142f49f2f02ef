"""The audio encoder of the pose flow: what is heard around each frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SPECTRUM = 80
"""Number of mel bands."""

_RECEPTIVE_FIELD = 9  # Frames of speech around a frame: head and voice are not exactly synchronous.
_PIECE = 4096  # Frames that are encoded at once: their activations take 1 kB each.


class SpeechEncoder(nn.Module):
    """Audio encoder E_a: spectra (B,T,80) -> audio features (B,T,audio), over a third of a second."""

    def __init__(self, width: int, audio: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(SPECTRUM + 2, width, _RECEPTIVE_FIELD, padding=_RECEPTIVE_FIELD // 2)
        self.mapping = nn.Linear(width, audio)

    def forward(self, spectra: Tensor) -> Tensor:
        """Spectra (B,T,80) in [-4,4] -> audio features (B,T,audio).

        Long speech is encoded in pieces that overlap by what a frame hears, in the memory of one.
        """
        frames, reach = spectra.shape[1], _RECEPTIVE_FIELD // 2
        if frames <= _PIECE:
            return self._encode(spectra)
        pieces = []
        for start in range(0, frames, _PIECE):
            first = max(0, start - reach)
            piece = self._encode(spectra[:, first : start + _PIECE + reach])
            pieces.append(piece[:, start - first : start - first + _PIECE])
        return torch.cat(pieces, dim=1)

    def _encode(self, spectra: Tensor) -> Tensor:
        spectra = spectra / 4
        # Loudness, and the share of low frequencies as a measure of voicing: head motion correlates most with both.
        loudness = spectra.mean(-1, keepdim=True)
        voicing = spectra[..., : SPECTRUM // 4].mean(-1, keepdim=True) - loudness
        features = torch.cat([spectra - loudness, loudness, voicing], dim=-1)
        encoded: Tensor = self.mapping(F.gelu(self.convolution(features.transpose(1, 2)).transpose(1, 2)))
        return encoded
