"""Stages 1 and 3: the first frame of a pair is animated by the weights read from the second, to reconstruct it.

- autoencoder: encoder and generator, as LIA. Heads, lip and pose bases are trained as well: their weights are the
  bottleneck for all motion.
- expression: the expression space learns the motion that mouth and pose lack (self-reconstruction complementary
  learning). Everything before is frozen. Mouth and pose are read from the driver frame itself, so that only the
  expression remains to be reconstructed.
- finetune: one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import ClipStore
from ..errors import ArgumentError
from ..model import EDTalk
from ..motion.motion import TRACKS
from .expression_variations import expression_changes
from .frame_edits import still_part
from .image_losses import ImageLosses, ImageLossWeights, Rendering, active_losses
from .image_stage import (
    ENCODER_AND_GENERATOR,
    LIP_AND_POSE,
    ImageStageSettings,
    expression_motion,
    frame_sampler,
    name_bases,
    reading_loss,
)
from .initialisation import fit_heads, remove_eem, turn_expression_bank
from .landmark_locator import LandmarkLocator
from .losses import still_loss
from .sampling import EmotionalSampling, clips_across_emotions
from .settings import TrainingSettings
from .stage import TalkingHeadStage, tile
from .typed_settings import Batch, Count, NotNegative, Positive, Share

SHEET_SAMPLES = 8
"""Samples on a sheet."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionLosses(ImageLossWeights):
    """Weights of the losses. Without an active image loss, nothing is rendered."""

    still: NotNegative = 0.0
    """Change outside the lower face in a second rendering with the lips of another sample; or, for every other sample
    of a stage that trains expressions, outside the face in one with another expression."""
    reading: NotNegative = 0.0
    """Distance of the weights read from a frame to those measured by its landmarks (our small-data recipe)."""
    landmarks: NotNegative = 0.0
    """Error, in pixels of 256, of landmarks that a helper network predicts from the encoder's output."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionSettings(ImageStageSettings):
    """Settings of the reconstruction stages."""

    losses: ReconstructionLosses = ReconstructionLosses()
    measured_weights_share: Share = 0.0
    """Share of the samples rendered from measured instead of read weights, so that the generator learns their meaning
    while the encoder is still learning to read them."""


class Reconstruction(TalkingHeadStage):
    """Base of the reconstruction stages: pair sampler, image losses, landmark supervision."""

    TRACKS: ClassVar[tuple[str, ...]]
    """Tracks whose weights are used."""

    def __init__(self, model: EDTalk, settings: ReconstructionSettings) -> None:
        super().__init__(model, settings)
        self.settings, self.losses = settings, settings.losses
        self.store = ClipStore(settings.data)
        self.image_losses = ImageLosses(
            settings.pixel_weights, settings.vgg_file, model.sizes if self.losses.adversarial else None
        )
        self.locator = LandmarkLocator(model.sizes) if self.losses.landmarks else None
        sampling = settings.sampling
        sources = []
        if isinstance(sampling, EmotionalSampling) and sampling.emotional_share:
            choose_clips = clips_across_emotions(ClipStore(settings.data, emotion=True), sampling.across_clips_share)
            sources.append((sampling.emotional_share, choose_clips))
        self.measured = bool(self.losses.reading or settings.measured_weights_share)
        if not model.sizes.orthogonal and (self.measured or settings.fit_heads or settings.turn_expression_bank):
            raise ArgumentError(
                "Measured weights, fit_heads and turn_expression_bank are defined by orthogonal bases, and this model "
                "has free ones."
            )
        if self.measured:
            name_bases(model, settings, self.TRACKS)
        self.sampler = frame_sampler(model, settings, self.store, frames=2, measured=self.measured, sources=sources)
        self.sheet_samples = self.sampler.draw(np.random.default_rng([settings.seed, 1]), SHEET_SAMPLES)

    @classmethod
    def complete(cls, model: EDTalk, settings: TrainingSettings) -> None:
        """Raise ArgumentError for a model without an expression bank when the stage needs one."""
        if "expression" in cls.TRACKS and not model.sizes.expression:
            raise ArgumentError("The lip+pose variant has no expression to train; start from a model with one.")

    def begin(self) -> None:
        """See `turn_expression_bank` and `fit_heads`."""
        settings, clips = self.settings, self.store.clips
        if not (settings.fit_heads or settings.turn_expression_bank):
            return
        motion = expression_motion(self.model, settings, clips)
        by_face_model = settings.expression_measure == "face-model"
        if settings.turn_expression_bank:
            if not by_face_model:
                raise ArgumentError("turn_expression_bank needs expression_measure: face-model, which names the bases.")
            turn_expression_bank(self.model, motion)
        if settings.fit_heads:
            changes: Iterable[tuple[Tensor, Tensor]] = ()
            if by_face_model:
                pictures = ClipStore(settings.data, pictures=True).clips if settings.sampling.picture_share else []
                rng = np.random.default_rng(settings.seed)
                changes = expression_changes([*pictures, *clips], settings.resolution, rng)
            fit_heads(self.model, clips, motion, changes)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Pairs of frames, see `FrameSampler.draw`."""
        return self.sampler.draw(rng, self.settings.batch)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of the first frame animated by the second.

        With a loss "reading", the identity latent's components along the banks are also trained to be minus the
        source's own weights, so that the style latent is the motion from source to driver; for samples with measured
        weights this holds exactly.
        """
        source, driver = batch["images"].unbind(1)
        encoder = self.model.enc["net_app"]
        latent, features = encoder(source)
        measured_count = round(len(source) * self.settings.measured_weights_share)
        losses: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        if self.locator is not None or self.losses.reading or measured_count < len(source):
            driver_latent, driver_features = encoder(driver)
            weights = self._read(driver_latent)
            if self.locator is not None:
                losses["landmarks"] = (
                    self.locator(latent, features, batch["landmarks"][:, 0])
                    + self.locator(driver_latent, driver_features, batch["landmarks"][:, 1])
                ) / 2
        if self.measured:
            latent, weights, reading = self._use_measured_weights(latent, weights, batch, measured_count)
            if self.losses.reading:
                losses["reading"] = reading
        if not (active_losses(self.losses) or self.losses.still):
            return losses
        direction, part = self.model.directions(weights["lip"], weights["pose"], weights.get("expression"))
        image, flows = self.model.dec.render(latent + direction, features, part)
        if self.losses.still:
            losses["still"] = self._still(latent, features, weights, image, flows, batch["landmarks"][:, 1])
        portrait, moved = batch["landmarks"].unbind(1)
        rendering = Rendering(image.float(), driver, flows, portrait, moved, batch.get("exact_flow"))
        return losses | self.image_losses(rendering, self.losses)

    def _use_measured_weights(
        self, latent: Tensor, weights: dict[str, Tensor], batch: dict[str, Tensor], measured_count: int
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Replace the first `measured_count` samples' weights by measured ones; compute the loss "reading".

        Returns the identity latent, the driver's weights and the loss, which is 0 if its weight is.
        """
        widths = [getattr(self.model.sizes, name) for name in self.TRACKS]
        q = self.model.bank()[:, : sum(widths)].to(latent)
        measured = [{name: batch[name][:, frame].to(latent) for name in self.TRACKS} for frame in (0, 1)]
        latent_weights = -(latent @ q)
        reading = latent.new_zeros(())
        if self.losses.reading:
            own = dict(zip(self.TRACKS, latent_weights.split(widths, 1), strict=True))
            reading = (
                reading_loss(own, measured[0])
                + reading_loss(weights, measured[1])
                # The generator only uses the difference, in which a person's bias cancels.
                + reading_loss(
                    {name: weights[name] - own[name] for name in self.TRACKS},
                    {name: measured[1][name] - measured[0][name] for name in self.TRACKS},
                )
            )
        exact = torch.cat([measured[0][name] for name in self.TRACKS], 1)
        latent = torch.cat(
            [latent[:measured_count] + (latent_weights - exact)[:measured_count] @ q.T, latent[measured_count:]]
        )
        weights = {
            name: torch.cat([measured[1][name][:measured_count], weights[name][measured_count:]])
            if name in weights
            else measured[1][name]
            for name in self.TRACKS
        }
        return latent, weights, reading

    def _still(
        self,
        latent: Tensor,
        features: list[Tensor],
        weights: dict[str, Tensor],
        image: Tensor,
        flows: list[Tensor],
        landmarks: Tensor,
    ) -> Tensor:
        """The loss "still", by a second rendering with the mouth or the expression of another sample."""
        moving = ["expression" if "expression" in self.TRACKS and row % 2 else "lip" for row in range(len(image))]
        changed = {
            name: torch.where(
                torch.tensor([[track == name] for track in moving], device=values.device), values.roll(1, 0), values
            )
            for name, values in weights.items()
        }
        direction, part = self.model.directions(changed["lip"], changed["pose"], changed.get("expression"))
        other, other_flows = self.model.dec.render(latent + direction, features, part)
        still = np.stack(
            [
                still_part(points, image.shape[-1], track)
                for points, track in zip(landmarks.cpu().numpy(), moving, strict=True)
            ]
        )
        return still_loss(
            (image.float(), other.float()), (flows, other_flows), torch.from_numpy(still)[:, None].to(image.device)
        )

    def _read(self, latent: Tensor) -> dict[str, Tensor]:
        heads = zip(TRACKS, self.model.heads(latent), strict=True)
        return {name: weights for name, weights in heads if weights is not None and name in self.TRACKS}

    def reenact(self, source: Tensor, driver: Tensor, *, express: bool) -> Tensor:
        """Render the source with the weights read from the driver, (B,3,S,S) each, with or without its expression."""
        encoder = self.model.enc["net_app"]
        latent, features = encoder(source)
        lip, pose, expression = self.model.heads(encoder.latent(driver))
        direction, part = self.model.directions(lip, pose, expression if express else None)
        return self.model.dec(latent + direction, features, part)

    @torch.no_grad()
    def sheet(self) -> NDArray[np.uint8]:
        """Rows: source, driver, rendered without expression, and with it where the stage trains it."""
        source, driver = self.sheet_samples["images"].to(self.model.device).unbind(1)
        express = (False, True) if "expression" in self.TRACKS else (False,)
        return tile([source, driver, *(self.reenact(source, driver, express=value) for value in express)])


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings(ReconstructionSettings):
    """Settings of the stage "autoencoder"."""

    stage: Literal["autoencoder"] = "autoencoder"
    losses: ReconstructionLosses = ReconstructionLosses(adversarial=1.0)


class Autoencoder(Reconstruction):
    """L1, perceptual and adversarial loss of LIA, and landmark supervision (our small-data recipe)."""

    SETTINGS = AutoencoderSettings
    TRACKS = TRACKS[:2]
    TRAINED = (*ENCODER_AND_GENERATOR, *LIP_AND_POSE)


@dataclass(frozen=True, kw_only=True)
class ExpressionSettings(ReconstructionSettings):
    """Settings of the stage "expression"."""

    stage: Literal["expression"] = "expression"
    sampling: EmotionalSampling = EmotionalSampling()
    eem: bool = True
    """Whether EEM learns; false: it is silenced at the start and stays so (ablation of Table 4)."""
    batch: Batch = 10
    learning_rate: Positive = 2e-3


class Expression(Reconstruction):
    """Self-reconstruction with all three banks; expression head, expression bank and EEM are trained."""

    SETTINGS = ExpressionSettings
    TRACKS = TRACKS
    TRAINED = ("exp_fc.", "direction_exp.", "dec.fineadainresblock.")
    settings: ExpressionSettings

    def __init__(self, model: EDTalk, settings: ExpressionSettings) -> None:
        super().__init__(model, settings)
        if not settings.eem:
            for eem in model.dec.fineadainresblock:
                eem.requires_grad_(False)

    def begin(self) -> None:
        """As in the base class; also silences EEM if it does not learn."""
        super().begin()
        if not self.settings.eem:
            remove_eem(self.model)


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(ReconstructionSettings):
    """Settings of the stage "finetune"."""

    stage: Literal["finetune"] = "finetune"
    sampling: EmotionalSampling = EmotionalSampling(emotional_share=0.0)
    batch: Batch = 4
    learning_rate: Positive = 2e-4
    steps: Count = 500


class Finetune(Reconstruction):
    """Fine-tunes the generator to one person; the motion space is unchanged.

    Because encoder, heads and banks are frozen, presets, audio and saved motions stay valid.
    """

    SETTINGS = FinetuneSettings
    TRACKS = TRACKS
    TRAINED = ("dec.",)
