"""Audio2Lip: mel windows become lip weights (supplement 1.1, MLP^m_A on Wav2Lip's audio encoder)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import UnsupportedCheckpoint

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


class AudioToLip(nn.Module):
    """Mel windows (T,80,16) to lip weights (T,lip). `widths`: output channels of the 13 convolution blocks."""

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

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> AudioToLip:
        """Build from tensors under their published names; widths are read off them. Returned in evaluation mode.

        Raises UnsupportedCheckpoint when tensors are missing or do not fit together.
        """
        names = [f"audio_encoder.{i}.conv_block.0.weight" for i in range(len(_BLOCKS))]
        missing = [name for name in (*names, "mapping.weight") if name not in state]
        if missing:
            raise UnsupportedCheckpoint(
                f"These are not the weights of an audio-to-lip network: {len(missing)} tensors are missing, "
                f"the first is {missing[0]}."
            )
        widths = tuple(state[name].shape[0] for name in names)
        network = cls(state["mapping.weight"].shape[0], widths)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise UnsupportedCheckpoint(f"The audio-to-lip tensors do not fit together: {error}") from error
        return network.eval()

    def features(self, windows: Tensor) -> Tensor:
        """Mel windows (T,80,16) in [-4,4] -> audio features (T,512)."""
        return self.audio_encoder(windows.unsqueeze(1)).flatten(1)

    def forward(self, windows: Tensor) -> Tensor:
        """Mel windows (T,80,16) in [-4,4] -> lip weights (T,lip), before the temporal smoothing."""
        return self.mapping(self.features(windows))
