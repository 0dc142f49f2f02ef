"""Stage 2: mouth and pose are told apart by swapping mouths (supplement 3.3, Fig. 9).

From frames A and B of one person, "A with the mouth of B" and "B with the mouth of A" are composed. A must then come
back from the mouth weights of the one and the pose weights of the other, and B likewise (cross-reconstruction).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .autoencoder import LIP_AND_POSE
from .losses import feature_loss
from .mouth_swap import swap_mouth
from .reconstruction import ReconstructionStage, reading_loss
from .stage import stack, tile


class MouthPose(ReconstructionStage):
    """Cross-reconstruction, self-reconstruction and feature loss (L_rec, L_self, L_fea; all weighted 1).

    As in the paper encoder and generator stay frozen unless `train` names them.
    """

    NAME = "mouth-pose"
    TRAINED = LIP_AND_POSE
    DEFAULTS: ClassVar = {
        "losses": {
            "cross_l1": 1.0,
            "cross_perceptual": 1.0,
            "cross_flow": 0.0,
            "cross_outside": 0.0,
            "self_l1": 1.0,
            "self_perceptual": 1.0,
            "self_flow": 0.0,
            "self_outside": 0.0,
            "feature": 1.0,
            "reading": 0.0,
            "adversarial": 0.0,
        },
        "batch": 4,
        "learning_rate": 2e-3,
    }

    def frames(self) -> int:
        """Identity, A and B."""
        return 3

    def draw(self, rng: np.random.Generator, samples: int) -> dict[str, Tensor]:
        """As the base class, and "swapped" (B,2,3,S,S): A with the mouth of B, B with the mouth of A."""
        batch = super().draw(rng, samples)
        swapped = []
        for images, points in zip(batch["images"].numpy(), batch["landmarks"].numpy(), strict=True):
            _, a, b = images
            _, at, bt = points
            swapped.append(np.stack([swap_mouth(a, at, b, bt)[0], swap_mouth(b, bt, a, at)[0]]))
        return {**batch, "swapped": stack(swapped)}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of cross- and self-reconstruction, and of the directions read off swapped and plain frames."""
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
        if self.weight("reading"):
            # A swapped frame has the pose of the one and the mouth of the other.
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
        for name, direction in (("cross", cross), ("self", plain)):
            if not (self.weight(f"{name}_l1") or self.weight(f"{name}_perceptual")):
                continue
            image, flows = self.model.dec.render(two_latents + direction, two_features)
            own = self.image_losses(image, target, flows, source_points, target_points)
            losses |= {f"{name}_{loss}": value for loss, value in own.items()}
        if self.weight("feature"):
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
        identity, a, b = self.shown["images"].to(self.model.device).unbind(1)
        encoder = self.model.enc["net_app"]
        latent, features = encoder(identity)
        lip_a, pose_a, _ = self.model.heads(encoder.latent(a))
        lip_b, pose_b, _ = self.model.heads(encoder.latent(b))
        rows = [identity, a, b, self.shown["swapped"][:, 0]]
        for lip, pose in ((lip_b, pose_a), (lip_a, pose_b)):
            direction, _ = self.model.directions(lip, pose, None)
            rows.append(self.model.dec(latent + direction, features))
        return tile(rows)
