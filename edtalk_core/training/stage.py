"""Base classes of stages: a model, batches that depend on seed and step alone, losses, a sample sheet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints.loading import load_model
from ..checkpoints.metadata import bundle_metadata
from ..errors import ArgumentError, EDTalkError
from ..media.picture import images_to_pictures
from ..model import EDTalk
from ..networks.sizes import ModelSizes
from .initialisation import grow, identity_copy, small_channels
from .settings import RunSettings, TrainingSettings
from .typed_settings import flattened


class Stage(nn.Module):
    """A training stage. Subclasses define the model and the trained tensors, draw batches and compute losses.

    Networks that only the training needs (a discriminator, a sync expert) are further submodules beside `model`; they
    are trained in the same step and saved in checkpoints, but not exported.

    Args:
        model: what the stage trains, with all networks that it needs (`starting_model`).
        settings: of the class SETTINGS. Its field `losses` is a dataclass with the weights of all losses that `forward`
            can return; those of a nested one have dotted names.

    Raises ArgumentError for an entry of the setting `train` that names no tensor.
    """

    SETTINGS: ClassVar[type[RunSettings]]
    """Its field `stage` has the stage's name in `stages.STAGES` as its default and only value."""
    TRAINED: ClassVar[tuple[str, ...]] = ("",)
    """Prefixes of the model's tensors that are trained; all others are frozen."""

    model: Any
    """The network that is trained, an `nn.Module`; each subclass knows which."""

    def __init__(self, model: nn.Module, settings: Any) -> None:
        super().__init__()
        self.model = model
        self.weights: dict[str, float] = flattened(settings.losses)
        parameters = dict(model.named_parameters())
        for prefix in settings.train:
            if not any(name.startswith(prefix) for name in parameters):
                parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in parameters))
                raise ArgumentError(
                    f"train: no tensor of the model has a name that starts with {prefix!r}; its parts are {parts}."
                )
        prefixes = settings.train or self.TRAINED
        for name, parameter in parameters.items():
            parameter.requires_grad_(name.startswith(prefixes))

    @classmethod
    def starting_model(cls, settings: Any) -> nn.Module:
        """Initial model of a run: that of `settings.init`, or a new one.

        Raises EDTalkError for a model that the stage cannot train.
        """
        raise NotImplementedError

    def metadata(self) -> dict[str, str]:
        """Metadata of a checkpoint, by which the model is recognised when it is loaded."""
        raise NotImplementedError

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and trainable parameters: the model's under their own names, helpers' as `helper.NAME`."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                own = name.removeprefix("model.")
                yield (own if own != name else f"helper.{name}"), parameter

    def begin(self) -> None:
        """Prepare the model, once: at the start of a run, not when it is resumed."""

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch; `rng` is the only source of randomness."""
        raise NotImplementedError

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch, unweighted, by name, without those of weight 0."""
        raise NotImplementedError

    def sheet(self) -> NDArray[np.uint8] | None:
        """Picture (H,W,3) that shows the progress on fixed samples; None: nothing to show."""
        return None

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the losses that `forward` returns."""
        return sum((self.weights[name] * loss for name, loss in losses.items()), torch.zeros(()))


class TalkingHeadStage(Stage):
    """A stage that trains a talking head, or a part of it."""

    SETTINGS: ClassVar[type[TrainingSettings]]
    model: EDTalk

    @classmethod
    def starting_model(cls, settings: TrainingSettings) -> EDTalk:
        """Model of `settings.init`, grown if it is smaller, or a new identity copy; `complete` adds what it lacks."""
        if settings.init:
            model = load_model(settings.init)
            while model.sizes.resolution < settings.resolution:
                size = model.sizes.resolution * 2
                model = grow(model, _channels(settings, size)[size])
            if model.sizes.resolution != settings.resolution:
                raise EDTalkError(
                    f"{settings.init} renders {model.sizes.resolution} px, more than the resolution "
                    f"{settings.resolution}."
                )
            model.train()
        else:
            model = EDTalk(
                ModelSizes(
                    resolution=settings.resolution,
                    style=settings.style,
                    lip=settings.lip,
                    pose=settings.pose,
                    expression=settings.expression,
                    channels=_channels(settings, settings.resolution),
                    expression_hidden=settings.expression_hidden,
                    orthogonal=settings.orthogonal,
                )
            )
            identity_copy(model)
        cls.complete(model, settings)
        return model

    @classmethod
    def complete(cls, model: EDTalk, settings: Any) -> None:
        """Add the networks that the stage trains and the model lacks.

        Raises EDTalkError for a model that the stage cannot train.
        """

    def metadata(self) -> dict[str, str]:
        """That of a bundle: a checkpoint loads like any other model."""
        model = self.model
        return bundle_metadata(model.sizes, model.fps, model.presets, model.bases)


def _channels(settings: TrainingSettings, size: int) -> dict[int, int]:
    channels = settings.channels or small_channels(size)
    if size not in channels:
        raise EDTalkError(f"channels has no entry for {size} px: add the feature channels there, {size}: NUMBER.")
    return channels


def stack(arrays: list[NDArray[np.float32]]) -> Tensor:
    """Stack arrays of the same shape to a tensor with a leading batch axis."""
    return torch.from_numpy(np.stack(arrays))


def tile(rows: list[Tensor]) -> NDArray[np.uint8]:
    """Tile rows of images (N,3,S,S) in [-1,1] to one picture (H,W,3)."""
    picture = torch.cat([torch.cat(list(row.float().cpu()), dim=2) for row in rows], dim=1)
    return images_to_pictures(picture[None])[0]


def frozen(module: nn.Module, *inputs: Tensor) -> Tensor:
    """Call a module with gradients for its inputs but not for its parameters.

    A discriminator can then judge samples in the same backward pass that trains it.
    """
    state = {name: value.detach() for name, value in (*module.named_parameters(), *module.named_buffers())}
    return torch.func.functional_call(module, state, inputs)
