"""Stage 1: encoder and generator, as LIA. One frame of a clip is moved to look like another of the same clip.

The heads and the lip and pose bases learn along: their weights are the bottleneck through which all motion passes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .reconstruction import ReconstructionStage, measured_loss
from .stage import tile

ENCODER_AND_GENERATOR = ("enc.", "dec.input", "dec.conv1", "dec.convs", "dec.to_")
LIP_AND_POSE = ("fc.", "lip_fc.", "pose_fc.", "direction_lipnonlip.")


class Autoencoder(ReconstructionStage):
    """L1, perceptual and adversarial loss of LIA, and the flow that the landmarks tell (our small-data recipe)."""

    NAME = "autoencoder"
    EXPRESSES = False
    """Whether the expression takes part."""
    TRAINED: ClassVar[tuple[str, ...]] = (*ENCODER_AND_GENERATOR, *LIP_AND_POSE)
    DEFAULTS: ClassVar = {"losses": {"l1": 1.0, "perceptual": 1.0, "flow": 0.0, "reading": 0.0, "adversarial": 1.0}}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of the first frame moved like the second.

        With a loss "reading", the identity latent is also asked to hold minus the source's own weights, so that along
        the bank the style latent is the motion from source to driver; a taught sample has it exactly.
        """
        source, driver = batch["images"].unbind(1)
        encoder = self.model.enc["net_app"]
        latent, features = encoder(source)
        taught = round(len(source) * float(self.config.options.get("taught", 0)))
        expression = None
        losses = {}
        if self.EXPRESSES or self.weight("reading") or taught < len(source):
            lip, pose, expression = self.model.heads(encoder.latent(driver))
        else:
            lip, pose = batch["lip"][:, 1].to(latent), batch["pose"][:, 1].to(latent)
        if self.measure is not None:
            lips = self.model.sizes.lip
            q = self.model.bank()[:, : lips + self.model.sizes.pose].to(latent)
            measured = torch.cat([batch["lip"][:, 0], batch["pose"][:, 0]], 1).to(latent)
            own = -(latent @ q)
            if self.weight("reading"):
                losses["reading"] = self.reading_loss(lip, pose, batch, 1) + measured_loss(
                    own[:, :lips], measured[:, :lips], own[:, lips:], measured[:, lips:]
                )
            latent = torch.cat([latent[:taught] + (own - measured)[:taught] @ q.T, latent[taught:]])
            lip = torch.cat([batch["lip"][:taught, 1].to(lip), lip[taught:]])
            pose = torch.cat([batch["pose"][:taught, 1].to(pose), pose[taught:]])
        direction, part = self.model.directions(lip, pose, expression if self.EXPRESSES else None)
        image, flows = self.model.dec.render(latent + direction, features, part)
        return losses | self.image_losses(image, driver, flows, *batch["landmarks"].unbind(1))

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
