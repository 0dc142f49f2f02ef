"""EDTalk: the paper's networks put together, and what they make of a portrait."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ArgumentError, MotionError, UnsupportedCheckpoint
from .motion.motion import FPS, TRACKS, Motion
from .networks.sizes import ModelSizes
from .networks.talking_head import TalkingHead
from .parts import PARTS, PartAttributes
from .recognition import recognise

logger = logging.getLogger("edtalk")


@dataclass(frozen=True)
class Portrait:
    """A portrait as the generator needs it: computed once, rendered from any number of times."""

    latent: Tensor
    """Identity latent f_id (1,style)."""
    features: tuple[Tensor, ...]
    """Identity features f^id (1,C,px,px) at 8, 16, ..., resolution px, coarse first."""
    own: Motion
    """The portrait's own lip, pose and expression: what stays when a track is not driven. One frame."""


class EDTalk(TalkingHead, PartAttributes):
    """The talking head with the parts that its files held (see `parts`), its presets and its frame rate."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__(sizes)
        self.fps = FPS
        self.presets: dict[str, tuple[float, ...]] = {}
        """Emotion -> expression weights, absolute coordinates that hold for this model only."""
        for part in PARTS:
            self.register_module(part.name, None)

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, Tensor],
        source: str = "The state",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> EDTalk:
        """Build from tensors named as published (or as we save them); sizes and variant are read off the tensors.

        Tensors of a part (`audio_to_lip.*`, `pose_flow.*`) become that network. Weights that the reference never uses
        may be there or not. The tensors are copied once, straight to `device` and `dtype` (None: each stays as it is),
        those of parts to float32 at least. Returned in evaluation mode.

        Raises UnsupportedCheckpoint as `recognise` does, and when they hold no model; `source` names the tensors.
        """
        recognised = recognise(state, source)
        if recognised.sizes is None:
            raise UnsupportedCheckpoint(
                f"{source} holds only {recognised.variant}, not an EDTalk model; add EDTalk.pt."
            )
        if recognised.unused:
            logger.warning(
                "%s holds %d tensors that this version does not know, the first is %s: they are not used.",
                source,
                len(recognised.unused),
                recognised.unused[0],
            )
        # Made without memory and then given copies of the tensors: no weights are drawn only to be overwritten.
        with torch.device("meta"):
            model = cls(recognised.sizes)
        own = {name: value.to(device, dtype, copy=True) for name, value in recognised.model.items()}
        model.load_state_dict(own, assign=True)
        # Parts are small, motion is float32, and the flow's inverse does not exist in half precision.
        exact = torch.promote_types(model.dtype, torch.float32)
        for part in PARTS:
            if part.name in recognised.parts:
                network = part.network.from_state_dict(recognised.parts[part.name])
                setattr(model, part.name, network.to(model.device, exact))
        return model.eval()

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
