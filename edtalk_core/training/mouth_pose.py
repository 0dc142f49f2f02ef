"""Stage 2: mouth and pose are disentangled by swapping mouths (supplement 3.3, Fig. 9).

From frames A and B of a person, "A with the mouth of B" and "B with the mouth of A" are composed. A is reconstructed
from the pose weights of the first and the mouth weights of the second, and B vice versa (cross-reconstruction).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import ClipStore
from ..model import EDTalk
from .frame_edits import swap_mouth
from .image_losses import ImageLosses, ImageLossWeights, Rendering, active_losses
from .image_stage import LIP_AND_POSE, ImageStageSettings, expression_motion, frame_sampler, reading_loss
from .initialisation import fit_heads
from .losses import feature_loss
from .stage import TalkingHeadStage, stack, tile
from .typed_settings import Batch, NotNegative, Positive

SHEET_SAMPLES = 8
"""Samples on a sheet."""


@dataclass(frozen=True, kw_only=True)
class MouthPoseLosses:
    """Weights of the losses. A reconstruction without active losses is not rendered."""

    cross_reconstruction: ImageLossWeights = ImageLossWeights()
    self_reconstruction: ImageLossWeights = ImageLossWeights()
    feature: NotNegative = 1.0
    """exp(-cos) between the directions read from swapped and original frames (L_fea)."""
    reading: NotNegative = 0.0
    """Distance of the weights read from a frame to those measured by its landmarks (our small-data recipe)."""


@dataclass(frozen=True, kw_only=True)
class MouthPoseSettings(ImageStageSettings):
    """Settings of the stage "mouth-pose"."""

    stage: Literal["mouth-pose"] = "mouth-pose"
    losses: MouthPoseLosses = MouthPoseLosses()
    batch: Batch = 4
    learning_rate: Positive = 2e-3


class MouthPose(TalkingHeadStage):
    """Cross-reconstruction, self-reconstruction and feature loss (L_rec, L_self, L_fea; all weighted 1).

    As in the paper encoder and generator stay frozen unless `train` names them.
    """

    SETTINGS = MouthPoseSettings
    TRAINED = LIP_AND_POSE

    def __init__(self, model: EDTalk, settings: MouthPoseSettings) -> None:
        super().__init__(model, settings)
        self.settings, self.losses = settings, settings.losses
        self.store = ClipStore(settings.data)
        adversarial = self.losses.cross_reconstruction.adversarial or self.losses.self_reconstruction.adversarial
        self.image_losses = ImageLosses(settings.pixel_weights, settings.vgg_file, model.sizes if adversarial else None)
        # Identity, A and B.
        self.sampler = frame_sampler(model, settings, self.store, frames=3, measured=bool(self.losses.reading))
        self.sheet_samples = self.draw(np.random.default_rng([settings.seed, 1]), SHEET_SAMPLES)

    def begin(self) -> None:
        """See `fit_heads`."""
        if self.settings.fit_heads:
            fit_heads(self.model, self.store.clips, expression_motion(self.model, self.settings, self.store.clips))

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """See `draw`."""
        return self.draw(rng, self.settings.batch)

    def draw(self, rng: np.random.Generator, samples: int) -> dict[str, Tensor]:
        """As `FrameSampler.draw`, and "swapped" (B,2,3,S,S): A with the mouth of B, B with the mouth of A."""
        batch = self.sampler.draw(rng, samples)
        swapped = []
        for images, points in zip(batch["images"].numpy(), batch["landmarks"].numpy(), strict=True):
            _, a, b = images
            _, at, bt = points
            swapped.append(np.stack([swap_mouth(a, at, b, bt)[0], swap_mouth(b, bt, a, at)[0]]))
        return {**batch, "swapped": stack(swapped)}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of cross- and self-reconstruction, and of the directions read from swapped and original frames."""
        identity, a, b = batch["images"].unbind(1)
        points, a_points, b_points = batch["landmarks"].unbind(1)
        a_mouth_b, b_mouth_a = batch["swapped"].unbind(1)
        encoder = self.model.enc["net_app"]
        latent, features = encoder(identity)
        latents = encoder.latent(torch.cat([a, b, a_mouth_b, b_mouth_a]))
        lip, pose, _ = self.model.heads(latents)
        lip_a, lip_b, lip_a_mouth_b, lip_b_mouth_a = lip.chunk(4)
        pose_a, pose_b, pose_a_mouth_b, pose_b_mouth_a = pose.chunk(4)
        bank = self.model.bank()
        # A from the mouth in "B with the mouth of A" and the pose of "A with the mouth of B"; B the other way round.
        cross, _ = self.model.directions(
            torch.cat([lip_b_mouth_a, lip_a_mouth_b]), torch.cat([pose_a_mouth_b, pose_b_mouth_a]), None, bank
        )
        plain, _ = self.model.directions(torch.cat([lip_a, lip_b]), torch.cat([pose_a, pose_b]), None, bank)
        target = torch.cat([a, b])
        source_points, target_points = torch.cat([points, points]), torch.cat([a_points, b_points])
        two_latents = torch.cat([latent, latent])
        two_features = [torch.cat([feature, feature]) for feature in features]
        losses: dict[str, Tensor] = {}
        if self.losses.reading:
            # A swapped frame has the pose of one frame and the mouth of the other.
            frames = [(lip_a, 1, pose_a, 1), (lip_b, 2, pose_b, 2)]
            frames += [(lip_b_mouth_a, 1, pose_a_mouth_b, 1), (lip_a_mouth_b, 2, pose_b_mouth_a, 2)]
            losses["reading"] = torch.stack(
                [
                    reading_loss(
                        {"lip": lip, "pose": pose}, {"lip": batch["lip"][:, mouth], "pose": batch["pose"][:, head]}
                    )
                    for lip, mouth, pose, head in frames
                ]
            ).mean()
        for name, direction in (("cross_reconstruction", cross), ("self_reconstruction", plain)):
            weights = getattr(self.losses, name)
            if active_losses(weights):
                image, flows = self.model.dec.render(two_latents + direction, two_features)
                rendering = Rendering(image.float(), target, flows, source_points, target_points)
                losses |= {f"{name}.{loss}": value for loss, value in self.image_losses(rendering, weights).items()}
        if self.losses.feature:
            q = bank.to(lip)
            lips, poses = q[:, : self.model.sizes.lip], q[:, self.model.sizes.lip :][:, : self.model.sizes.pose]
            losses["feature"] = feature_loss(
                torch.cat([lip_b_mouth_a, lip_a_mouth_b]) @ lips.T, torch.cat([lip_a, lip_b]) @ lips.T
            ) + feature_loss(
                torch.cat([pose_a_mouth_b, pose_b_mouth_a]) @ poses.T, torch.cat([pose_a, pose_b]) @ poses.T
            )
        return losses

    @torch.no_grad()
    def sheet(self) -> NDArray[np.uint8]:
        """Rows: identity, A, B, A with the mouth of B, mouth of B and pose of A, mouth of A and pose of B."""
        identity, a, b = self.sheet_samples["images"].to(self.model.device).unbind(1)
        encoder = self.model.enc["net_app"]
        latent, features = encoder(identity)
        lip_a, pose_a, _ = self.model.heads(encoder.latent(a))
        lip_b, pose_b, _ = self.model.heads(encoder.latent(b))
        rows = [identity, a, b, self.sheet_samples["swapped"][:, 0]]
        for lip, pose in ((lip_b, pose_a), (lip_a, pose_b)):
            direction, _ = self.model.directions(lip, pose, None)
            rows.append(self.model.dec(latent + direction, features))
        return tile(rows)
