"""Stage 1: encoder and generator, as LIA. One frame of a clip is moved to look like another of the same clip.

The heads and the lip and pose bases learn along: their weights are the bottleneck through which all motion passes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..model import EDTalk
from .clips import ClipStore
from .config import TrainingConfig
from .losses import EYES, MOUTH, flow_loss, landmark_flow, landmark_weight, perceptual_loss, pyramid_l1
from .stage import Stage, stack, tile


class Autoencoder(Stage):
    """L1, perceptual and adversarial loss of the paper, and the flow that the landmarks tell (our recipe)."""

    NAME = "autoencoder"
    TRAINED = ("enc.", "dec.input", "dec.conv1", "dec.convs", "dec.to_", "fc.", "lip_fc.", "pose_fc.", "direction_lip")
    DEFAULTS: ClassVar = {"losses": {"l1": 1.0, "perceptual": 1.0, "flow": 0.0, "adversarial": 1.0}}

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        super().__init__(model, config)
        self.store = ClipStore(config.data)
        self.perceptual = perceptual_loss(config)
        rng = np.random.default_rng([config.seed, 1])
        self.shown = self.batch(rng, samples=8)

    def batch(self, rng: np.random.Generator, samples: int = 0) -> dict[str, Tensor]:
        """Source and driver images (B,3,S,S) of one clip each, and their landmarks (B,68,2)."""
        images, points = [], []
        for _ in range(samples or self.config.batch):
            clip = self.store.sample_clip(rng)
            indexes = rng.choice(len(clip), 2, replace=len(clip) < 2)
            pair, landmarks = self.draw_frames(clip, indexes, rng)
            images.append(pair)
            points.append(landmarks)
        return {
            "source": stack([pair[0] for pair in images]),
            "driver": stack([pair[1] for pair in images]),
            "source_landmarks": stack([pair[0] for pair in points]),
            "driver_landmarks": stack([pair[1] for pair in points]),
        }

    def reenact(self, source: Tensor, driver: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Image (B,3,S,S) of the source moved like the driver, and the raw flows."""
        encoder = self.model.enc["net_app"]
        latent, features = encoder(source)
        lip, pose, _ = self.model.heads(encoder.latent(driver))
        direction, _ = self.model.directions(lip, pose, None)
        return self.model.dec.render(latent + direction, features)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses l1, perceptual, flow."""
        image, flows = self.reenact(batch["source"], batch["driver"])
        image, target = image.float(), batch["driver"]
        return self.image_losses(image, target, flows, batch["source_landmarks"], batch["driver_landmarks"])

    def image_losses(
        self, image: Tensor, target: Tensor, flows: list[Tensor], source_landmarks: Tensor, landmarks: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a rendered image against the frame it should be. Mouth and eyes count more than their area."""
        size = image.shape[-1]
        weight = landmark_weight(landmarks, size, MOUTH, 0.02, self.config.options.get("mouth", 4.0))
        weight = weight + landmark_weight(landmarks, size, EYES, 0.02, self.config.options.get("eyes", 2.0)) - 1
        losses = {"l1": pyramid_l1(image, target, weight=weight), "perceptual": self.perceptual(image, target)}
        if self.weight("flow"):
            grid, confidence = landmark_flow(source_landmarks, landmarks, min(size, 64))
            near_mouth = landmark_weight(landmarks, min(size, 64), MOUTH, 0.02, 3.0)
            coarse = [flow for flow in flows if 16 <= flow.shape[-1] <= 64]
            losses["flow"] = sum(
                (flow_loss(flow, grid, confidence * near_mouth) for flow in coarse), image.new_zeros(())
            ) / (len(coarse) * 128)
        return losses

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """Rows: source, driver, rendered."""
        device = self.model.device
        source, driver = self.shown["source"].to(device), self.shown["driver"].to(device)
        return tile([source, driver, self.reenact(source, driver)[0]])
