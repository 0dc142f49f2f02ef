"""What all stages share: a model, batches that depend on seed and step alone, losses, a sample sheet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..model import EDTalk
from .clips import Augmentation, Clip
from .config import TrainingConfig


class Stage(nn.Module):
    """One stage of the training. Subclasses say which tensors learn, draw batches and compute losses."""

    NAME: ClassVar[str]
    DEFAULTS: ClassVar[dict[str, Any]] = {}
    """Settings that differ from TrainingConfig's; `losses` lists every loss of the stage."""
    TRAINED: ClassVar[tuple[str, ...]]
    """Prefixes of the model's tensors that learn; everything else stays as it is."""
    SOUND: ClassVar[bool] = False
    """Whether clips need speech."""

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        prefixes = tuple(config.train) or self.TRAINED
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(prefixes))

    def learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that learn."""
        return ((name, p) for name, p in self.model.named_parameters() if p.requires_grad)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw one batch; everything random comes from `rng`."""
        raise NotImplementedError

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The stage's losses of a batch, unweighted, by name."""
        raise NotImplementedError

    def sheet(self) -> NDArray[np.uint8] | None:
        """A picture (H,W,3) that shows how far it is; the same samples every time. None: nothing to show."""
        return None

    def weight(self, loss: str) -> float:
        """Weight of a loss; one of 0 need not be computed."""
        return float(self.config.losses.get(loss, 1.0))

    def draw_frames(
        self, clip: Clip, indexes: list[int] | NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Frames of a clip under one random view: images (3,S,S) and landmarks (68,2), see Augmentation.apply."""
        view = Augmentation.draw(rng, self.config.augmentation)
        pairs = [view.apply(clip, int(index), self.config.resolution) for index in indexes]
        return [image for image, _ in pairs], [points for _, points in pairs]


def stack(arrays: list[NDArray[np.float32]]) -> Tensor:
    """Arrays of one shape to a tensor with a leading batch axis."""
    return torch.from_numpy(np.stack(arrays))


def tile(rows: list[Tensor]) -> NDArray[np.uint8]:
    """Rows of images (N,3,S,S) in [-1,1] to one picture, a row below the other."""
    picture = torch.cat([torch.cat(list(row.float().cpu()), dim=2) for row in rows], dim=1)
    return ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
