"""The EDTalk model: the networks of the paper, model loading from tensors, and portrait encoding."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import ArgumentError, MotionError, UnsupportedCheckpoint
from .media.picture import images_to_pictures
from .motion.bases import Bases
from .motion.motion import FPS, TRACKS, Motion
from .networks.sizes import ModelSizes
from .networks.talking_head import TalkingHead
from .parts import PARTS, PartAttributes
from .recognition import recognise
from .waiting import short_waits

logger = logging.getLogger("edtalk")


@dataclass(frozen=True)
class Portrait:
    """An encoded portrait: the input of the generator, computed once for any number of renderings."""

    latent: Tensor
    """Identity latent f_id (1,style)."""
    features: tuple[Tensor, ...]
    """Identity features f^id (1,C,px,px) at 8, 16, ..., resolution px, coarse first."""
    own: Motion
    """The portrait's own lip, pose and expression, one frame: the values of tracks that are not driven."""
    picture: np.ndarray | None = None
    """The crop at its own resolution, (P,P,3) uint8 RGB with P of at least the model's resolution, for frames larger
    than the model's. None: there are none."""

    @property
    def own_size(self) -> int:
        """Side of the picture in pixels; without a picture, the model's resolution."""
        return self.features[-1].shape[-1] if self.picture is None else len(self.picture)


class EDTalk(TalkingHead, PartAttributes):
    """The talking head with its optional parts (see `parts`), expression presets, names of bases and frame rate."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__(sizes)
        self.fps = FPS
        self.presets: dict[str, tuple[float, ...]] = {}
        """Emotion -> expression weights: absolute coordinates, valid for this model only."""
        self.bases = Bases()
        """Names of the bases, none for a published model."""
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
        """Build a model from tensors with published or bundle names; sizes and variant follow from the tensors.

        Tensors of a part (`audio_to_lip.*`, `pose_flow.*`) become that network. Weights that the reference never uses
        are optional. The tensors are copied once, directly to `device` and `dtype` (None: unchanged), those of parts
        to float32 at least. Returns the model in evaluation mode.

        Raises UnsupportedCheckpoint for the reasons listed at `recognise`, and when there is no talking head among the
        tensors; `source` names them in messages.
        """
        recognised = recognise(state, source)
        if recognised.sizes is None:
            raise UnsupportedCheckpoint(
                f"{source} holds only {recognised.variant}, not an EDTalk model; add EDTalk.pt."
            )
        if recognised.unused:
            logger.warning(
                "%s contains %d unknown tensors, the first is %s: they are ignored.",
                source,
                len(recognised.unused),
                recognised.unused[0],
            )
        # Built without memory, then assigned copies of the tensors: skips a random initialisation.
        with torch.device("meta"):
            model = cls(recognised.sizes)
        weights = {name: value.to(device, dtype, copy=True) for name, value in recognised.model.items()}
        model.load_state_dict(weights, assign=True)
        # Parts are small, motion is float32, and matrix inversion (pose flow) is not available in half precision.
        part_dtype = torch.promote_types(model.dtype, torch.float32)
        for part in PARTS:
            if part.name in recognised.parts:
                network = part.network.from_state_dict(recognised.parts[part.name])
                setattr(model, part.name, network.to(model.device, part_dtype))
        return model.eval()

    def read_weights(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read motion weights: images (T,3,S,S) in [-1,1] -> lip (T,20), pose (T,6), expression (T,10) or None.

        Raises ArgumentError when the images do not have the model's size.
        """
        self._check_images(images)
        with short_waits(self.device):
            return self.heads(self.enc["net_app"].latent(images.to(self.device, self.dtype)))

    def encode_portrait(self, image: Tensor) -> Portrait:
        """Encode one image (1,3,S,S) in [-1,1]: its identity and motion. Raises ArgumentError for another shape."""
        if image.ndim != 4 or len(image) != 1:
            raise ArgumentError(f"encode_portrait takes one image (1,3,S,S), not {tuple(image.shape)}.")
        latent, features, weights = self.encode(image)
        own = Motion(*weights, fps=self.fps)
        return Portrait(latent, tuple(features), own, images_to_pictures(image)[0])

    def encode(self, images: Tensor) -> tuple[Tensor, list[Tensor], tuple[Tensor, Tensor, Tensor | None]]:
        """Latents, features and motion weights of images (B,3,S,S): `encode_portrait` and `read_weights` in one.

        Raises ArgumentError when the images do not have the model's size.
        """
        self._check_images(images)
        with short_waits(self.device):
            latent, features = self.enc["net_app"](images.to(self.device, self.dtype))
            return latent, features, self.heads(latent)

    def _check_images(self, images: Tensor) -> None:
        size = self.sizes.resolution
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ArgumentError(f"This model takes images (T,3,{size},{size}), not {tuple(images.shape)}.")

    def complete(self, motion: Motion | None, portrait: Portrait, frames: int | None = None) -> Motion:
        """Add missing tracks to a motion: the portrait's own values, held constant.

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
                    f"The {name} track has {track.shape[1]} weights a frame and this model needs {width}: it was made "
                    "for another model."
                )
            tracks[name] = track
        return Motion(**tracks, fps=motion.fps if motion is not None else self.fps)
