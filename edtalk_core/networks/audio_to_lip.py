"""Audio2Lip: lip weights from mel windows (supplement 1.1, MLP^m_A on Wav2Lip's audio encoder)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .state import State, TrackNetwork, rows

# (outputs, kernel, stride, padding, residual) of the 13 blocks, published widths.
_BLOCKS: tuple[tuple[int, int, int | tuple[int, int], int, bool], ...] = (
    (32, 3, 1, 1, False),
    (32, 3, 1, 1, True),
    (32, 3, 1, 1, True),
    (64, 3, (3, 1), 1, False),
    (64, 3, 1, 1, True),
    (64, 3, 1, 1, True),
    (128, 3, 3, 1, False),
    (128, 3, 1, 1, True),
    (128, 3, 1, 1, True),
    (256, 3, (3, 2), 1, False),
    (256, 3, 1, 1, True),
    (512, 3, 1, 0, False),
    (512, 1, 1, 0, False),
)
PUBLISHED_WIDTHS = tuple(block[0] for block in _BLOCKS)


class _ConvBlock(nn.Module):
    """Convolution, batch norm, optional residual, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int | tuple[int, int], padding: int, residual: bool
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


class AudioToLip(TrackNetwork):
    """Mel windows (T,80,16) to lip weights (T,lip). `widths`: output channels of the 13 convolution blocks."""

    LABEL = "an audio-to-lip network"
    TRACK = "lip"

    def __init__(self, lip: int = 20, widths: tuple[int, ...] = PUBLISHED_WIDTHS) -> None:
        super().__init__()
        blocks, inputs = [], 1
        for outputs, (_, kernel, stride, padding, residual) in zip(widths, _BLOCKS, strict=True):
            blocks.append(_ConvBlock(inputs, outputs, kernel, stride, padding, residual))
            inputs = outputs
        self.audio_encoder = nn.Sequential(*blocks)
        self.mapping = nn.Linear(inputs, lip)

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the convolution blocks."""
        return tuple(block.conv_block[0].out_channels for block in self.audio_encoder)

    @property
    def weights(self) -> int:
        """Number of lip weights per frame."""
        return self.mapping.out_features

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Number of lip weights and widths of the blocks, from tensors under their published names."""
        widths = tuple(rows(state, f"audio_encoder.{block}.conv_block.0.weight") for block in range(len(_BLOCKS)))
        return {"lip": rows(state, "mapping.weight"), "widths": widths}

    def features(self, windows: Tensor) -> Tensor:
        """Mel windows (T,80,16) in [-4,4] -> audio features (T,512)."""
        return self.audio_encoder(windows.unsqueeze(1)).flatten(1)

    def forward(self, windows: Tensor) -> Tensor:
        """Mel windows (T,80,16) in [-4,4] -> lip weights (T,lip), before the temporal smoothing."""
        return self.mapping(self.features(windows))
