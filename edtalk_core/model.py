"""EDTalk: the paper's networks put together, and what they make of a portrait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .errors import ArgumentError, MotionError
from .motion.motion import FPS, TRACKS, Motion
from .networks.audio_to_lip import AudioToLip
from .networks.banks import Bank, orthonormal
from .networks.encoder import Encoder
from .networks.generator import Generator
from .networks.layers import EqualLinear
from .networks.sizes import ModelSizes

if TYPE_CHECKING:
    from .networks.pose_flow import PoseFlow


@dataclass(frozen=True)
class Portrait:
    """A portrait as the generator needs it: computed once, rendered from any number of times."""

    latent: Tensor
    """Identity latent f_id (1,style)."""
    features: tuple[Tensor, ...]
    """Identity features f^id (1,C,px,px) at 8, 16, ..., resolution px, coarse first."""
    own: Motion
    """The portrait's own lip, pose and expression: what stays when a track is not driven. One frame."""


class EDTalk(nn.Module):
    """Encoder, generator, banks and heads; with `audio_to_lip` and `pose_flow` where the files held them.

    Modules carry the names of the published checkpoints, so that their tensors load as they are.
    """

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.fps = FPS
        self.presets: dict[str, tuple[float, ...]] = {}
        """Emotion -> expression weights, absolute coordinates that hold for this model only."""
        self.enc = nn.ModuleDict({"net_app": Encoder(sizes)})
        self.dec = Generator(sizes)
        style = sizes.style
        self.direction_lipnonlip = Bank(style, sizes.lip + sizes.pose)
        self.fc = nn.Sequential(*(EqualLinear(style, style) for _ in range(4)))
        self.lip_fc = self._head(sizes.lip)
        self.pose_fc = self._head(sizes.pose)
        if sizes.expression:
            self.direction_exp = Bank(style, sizes.expression)
            self.exp_fc = self._head(sizes.expression)
        self.audio_to_lip: AudioToLip | None = None
        self.pose_flow: PoseFlow | None = None

    def _head(self, bases: int) -> nn.Sequential:
        style = self.sizes.style
        return nn.Sequential(EqualLinear(style, style), EqualLinear(style, style), EqualLinear(style, bases))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> EDTalk:
        """Build from tensors named as published (or as we save them); sizes and variant are read off the tensors.

        Tensors of `audio_to_lip.*` and `pose_flow.*` become those networks. Weights that the reference never uses may
        be there or not. Returned in evaluation mode, in the tensors' own precision.
        Raises UnsupportedCheckpoint, saying what was found and what was expected.
        """
        from .checkpoints.loading import model_from_tensors

        return model_from_tensors(state)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.direction_lipnonlip.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.direction_lipnonlip.weight.dtype

    def bank(self) -> Tensor:
        """All bases Q (style, lip + pose + expression), orthonormal, float32. Factored anew at every call."""
        if self.sizes.expression:
            return orthonormal(self.direction_lipnonlip, self.direction_exp)
        return orthonormal(self.direction_lipnonlip)

    def directions(
        self, lip: Tensor, pose: Tensor, expression: Tensor | None, bank: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Weights (B,lip), (B,pose), (B,expression) -> direction in latent space and its expression part, (B,style).

        The direction is the weighted sum of the bases; without expression (lip+pose variant) the second is None.
        `bank`: the result of `bank()`, to factor it once for many calls.
        """
        q = (self.bank() if bank is None else bank).to(lip)
        split = self.sizes.lip + self.sizes.pose
        direction = torch.cat([lip, pose], dim=1) @ q[:, :split].T
        if not self.sizes.expression or expression is None:
            return direction, None
        expression_direction = expression @ q[:, split:].T
        return direction + expression_direction, expression_direction

    def heads(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latent (B,style) -> lip (B,lip), pose (B,pose), expression (B,expression) or None (lip+pose variant)."""
        shared = self.fc(latent)
        return self.lip_fc(shared), self.pose_fc(shared), self.exp_fc(shared) if self.sizes.expression else None

    def read_weights(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What a face does: images (T,3,S,S) in [-1,1] -> lip (T,20), pose (T,6), expression (T,10) or None.

        Raises ArgumentError when the images do not have the model's size.
        """
        self._check_images(images)
        return self.heads(self.enc["net_app"].latent(images.to(self.device, self.dtype)))

    def encode_portrait(self, image: Tensor) -> Portrait:
        """Identity and own motion of one image (1,3,S,S) in [-1,1]. Raises ArgumentError for any other shape."""
        if image.ndim != 4 or len(image) != 1:
            raise ArgumentError(f"encode_portrait takes one image (1,3,S,S), not {tuple(image.shape)}.")
        latent, features, weights = self.encode(image)
        return Portrait(latent, tuple(features), Motion(*weights, fps=self.fps))

    def encode(self, images: Tensor) -> tuple[Tensor, list[Tensor], tuple[Tensor, Tensor, Tensor | None]]:
        """What `encode_portrait` and `read_weights` give, of images (B,3,S,S): latents, features, weights.

        Raises ArgumentError when the images do not have the model's size.
        """
        self._check_images(images)
        latent, features = self.enc["net_app"](images.to(self.device, self.dtype))
        return latent, features, self.heads(latent)

    def _check_images(self, images: Tensor) -> None:
        size = self.sizes.resolution
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ArgumentError(f"This model takes images (T,3,{size},{size}), not {tuple(images.shape)}.")

    def complete(self, motion: Motion | None, portrait: Portrait, frames: int | None = None) -> Motion:
        """The motion with every track: one that is missing is the portrait's own, held.

        Raises MotionError when a track's width is not this model's.
        """
        length = motion.frames if motion is not None else (frames or 1)
        tracks = {}
        for name in TRACKS:
            width = getattr(self.sizes, name)
            track = getattr(motion, name) if motion is not None else None
            if not width:
                continue  # The lip+pose variant takes its emotion from the pose weights; an expression has no effect.
            if track is None:
                track = getattr(portrait.own, name).expand(length, -1)
            elif track.shape[1] != width:
                raise MotionError(
                    f"The {name} track has {track.shape[1]} weights a frame and this model {width}: it was made for "
                    "another model."
                )
            tracks[name] = track
        return Motion(**tracks, fps=motion.fps if motion is not None else self.fps)
