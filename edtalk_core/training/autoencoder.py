"""Stage 1: encoder and generator, as LIA. One frame of a clip is moved to look like another of the same clip.

The heads and the lip and pose bases learn along: their weights are the bottleneck through which all motion passes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..model import EDTalk
from ..motion.motion import TRACKS
from ..networks.layers import EqualConv2d, EqualLinear
from ..networks.sizes import ModelSizes
from .config import TrainingConfig
from .losses import MOUTH, still_loss
from .mouth_swap import still_part
from .reconstruction import IMAGE_LOSSES, ReconstructionStage, reading_loss
from .stage import tile

ENCODER_AND_GENERATOR = ("enc.", "dec.input", "dec.conv1", "dec.convs", "dec.to_")
LANDMARKS = 68
MOUTH_GAIN = 3.0
LIP_AND_POSE = ("fc.", "lip_fc.", "pose_fc.", "direction_lipnonlip.")


class Locate(nn.Module):
    """Helper that finds the 68 landmarks in what the encoder makes of a picture, so that it learns to keep them.

    Twice: as centres of maps over the 16 px feature, which a convolution learns quickly and for every person alike, and
    linearly in the latent, where the weights are read.
    """

    LEVEL = 1
    """Of the features, coarse first: 16 px."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        self.maps = EqualConv2d(sizes.channels[16], LANDMARKS, 1)
        self.linear = EqualLinear(sizes.style, 2 * LANDMARKS)

    def forward(self, latent: Tensor, features: list[Tensor], landmarks: Tensor) -> Tensor:
        """Latent (B,style), features and landmarks (B,68,2) in [-1,1] -> mean distance, in pixels of 256."""
        maps = self.maps(features[self.LEVEL]).float()
        line = (torch.arange(maps.shape[-1], device=maps.device) * 2 + 1) / maps.shape[-1] - 1
        chance = maps.flatten(2).softmax(-1).view_as(maps)
        centres = torch.stack([chance.sum(2) @ line, chance.sum(3) @ line], -1)
        linear = self.linear(latent).float().view_as(landmarks)
        weight = landmarks.new_ones(LANDMARKS, 1)
        weight[MOUTH] = MOUTH_GAIN
        return sum(
            (
                (F.smooth_l1_loss(128 * found, 128 * landmarks, reduction="none") * weight).mean()
                for found in (centres, linear)
            ),
            landmarks.new_zeros(()),
        )


class Autoencoder(ReconstructionStage):
    """L1, perceptual and adversarial loss of LIA, and what the landmarks tell (our small-data recipe).

    Landmarks supervise the flow ("flow"), the weights read off a frame ("reading"), and the encoder itself, whose
    latent must tell where they are ("landmarks"). Where no loss looks at an image, none is rendered. "still" renders
    once more, with lips of another sample, and asks that nothing but the lower face changes; or with its expression,
    and nothing but the face.
    """

    NAME = "autoencoder"
    EXPRESSES = False
    """Whether the expression takes part."""
    TRAINED: ClassVar[tuple[str, ...]] = (*ENCODER_AND_GENERATOR, *LIP_AND_POSE)
    DEFAULTS: ClassVar = {
        "losses": {
            "l1": 1.0,
            "perceptual": 1.0,
            "flow": 0.0,
            "outside": 0.0,
            "still": 0.0,
            "reading": 0.0,
            "landmarks": 0.0,
            "adversarial": 1.0,
        }
    }

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        super().__init__(model, config)
        self.locate = Locate(model.sizes) if self.weight("landmarks") else None

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of the first frame moved like the second.

        With a loss "reading", the identity latent is also asked to hold minus the source's own weights, so that along
        the banks the style latent is the motion from source to driver; a taught sample has it exactly.
        """
        source, driver = batch["images"].unbind(1)
        encoder = self.model.enc["net_app"]
        latent, features = encoder(source)
        taught = round(len(source) * float(self.config.options.get("taught", 0)))
        losses = {}
        weights: dict[str, Tensor] = {}
        if self.locate is not None or self.weight("reading") or taught < len(source):
            driver_latent, driver_features = encoder(driver)
            weights = self._read(driver_latent)
            if self.locate is not None:
                losses["landmarks"] = (
                    self.locate(latent, features, batch["landmarks"][:, 0])
                    + self.locate(driver_latent, driver_features, batch["landmarks"][:, 1])
                ) / 2
        if self.measure is not None:
            widths = [getattr(self.model.sizes, name) for name in self.tracks]
            q = self.model.bank()[:, : sum(widths)].to(latent)
            measured = [{name: batch[name][:, frame].to(latent) for name in self.tracks} for frame in (0, 1)]
            held = -(latent @ q)
            if self.weight("reading"):
                own = dict(zip(self.tracks, held.split(widths, 1), strict=True))
                losses["reading"] = (
                    reading_loss(own, measured[0])
                    + reading_loss(weights, measured[1])
                    # The step from one to the other is what the generator sees; a person's own bias drops out of it.
                    + reading_loss(
                        {name: weights[name] - own[name] for name in self.tracks},
                        {name: measured[1][name] - measured[0][name] for name in self.tracks},
                    )
                )
            exact = torch.cat([measured[0][name] for name in self.tracks], 1)
            latent = torch.cat([latent[:taught] + (held - exact)[:taught] @ q.T, latent[taught:]])
            weights = {
                name: torch.cat([measured[1][name][:taught], weights[name][taught:]])
                if name in weights
                else measured[1][name]
                for name in self.tracks
            }
        if not any(self.weight(loss) for loss in IMAGE_LOSSES):
            return losses
        direction, part = self.model.directions(weights["lip"], weights["pose"], weights.get("expression"))
        image, flows = self.model.dec.render(latent + direction, features, part)
        if self.weight("still"):
            losses["still"] = self._still(latent, features, weights, image, flows, batch["landmarks"][:, 1])
        return losses | self.image_losses(image, driver, flows, *batch["landmarks"].unbind(1))

    def _still(
        self,
        latent: Tensor,
        features: list[Tensor],
        weights: dict[str, Tensor],
        image: Tensor,
        flows: list[Tensor],
        landmarks: Tensor,
    ) -> Tensor:
        """The same once more with the mouth of another sample, or every other time with its expression."""
        moving = ["expression" if self.EXPRESSES and row % 2 else "lip" for row in range(len(image))]
        changed = {
            name: torch.where(
                torch.tensor([[one == name] for one in moving], device=values.device), values.roll(1, 0), values
            )
            for name, values in weights.items()
        }
        direction, part = self.model.directions(changed["lip"], changed["pose"], changed.get("expression"))
        other, other_flows = self.model.dec.render(latent + direction, features, part)
        still = np.stack(
            [
                still_part(points, image.shape[-1], name)
                for points, name in zip(landmarks.cpu().numpy(), moving, strict=True)
            ]
        )
        return still_loss(
            (image.float(), other.float()), (flows, other_flows), torch.from_numpy(still)[:, None].to(image.device)
        )

    @property
    def tracks(self) -> tuple[str, ...]:
        """Names of the tracks that take part."""
        return TRACKS if self.EXPRESSES else TRACKS[:2]

    def _read(self, latent: Tensor) -> dict[str, Tensor]:
        read = zip(TRACKS, self.model.heads(latent), strict=True)
        return {name: value for name, value in read if value is not None and name in self.tracks}

    def reenact(self, source: Tensor, driver: Tensor, *, express: bool) -> Tensor:
        """The source with the weights read off the driver, (B,3,S,S) each, with or without its expression."""
        encoder = self.model.enc["net_app"]
        latent, features = encoder(source)
        lip, pose, expression = self.model.heads(encoder.latent(driver))
        direction, part = self.model.directions(lip, pose, expression if express else None)
        return self.model.dec(latent + direction, features, part)

    @torch.no_grad()
    def sheet(self) -> NDArray[np.uint8]:
        """Rows: source, driver, rendered without expression, and with it where the stage trains it."""
        source, driver = self.shown["images"].to(self.model.device).unbind(1)
        rows = [self.reenact(source, driver, express=express) for express in (False, True)[: 1 + self.EXPRESSES]]
        return tile([source, driver, *rows])
