"""What the image stages share: frames of one clip, losses between a rendered image and the frame it should be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import Augmentation, Clip, ClipStore, seen_neutral
from ..data.landmark_motion import SPREAD, LandmarkMotion
from ..model import EDTalk
from ..motion.motion import TRACKS
from ..networks.encoder import Encoder
from ..networks.sizes import ModelSizes
from .config import TrainingConfig
from .initialisation import fit_heads
from .losses import (
    BROWS,
    EYES,
    INNER_LIPS,
    MOUTH,
    flow_loss,
    landmark_flow,
    landmark_weight,
    outside_loss,
    perceptual_loss,
    pyramid_l1,
)
from .mouth_swap import match_colours, move_landmarks, swap_mouth
from .stage import Stage, frozen, stack

IMAGE_LOSSES = ("l1", "perceptual", "flow", "outside", "still", "adversarial")
"""Losses that need a rendered image."""
LIP_GAIN = 3.0
NEAR_FRAMES = 13
CANDIDATES = 8
FLOW_SIZE = 64
"""Side at which the landmarks' flow is computed; finer, it has nothing more to say."""


class ReconstructionStage(Stage):
    """L1, perceptual, adversarial and landmark-flow losses.

    `options.near`: share of the samples whose frames lie within half a second (0): the head hardly moves in between,
    so that what is left to learn is the mouth.

    `options.contrast`: share of the samples whose second frame is the one of CANDIDATES whose mouth differs most in
    opening, or every other time whose eyes do (0): mouths are nearly shut most of the time, and eyes open.

    `options.swapped`: share of the samples whose second frame is the first with the mouth of the second, or the second
    with the mouth of the first (0): cross-reconstruction, which tells the generator that lips move nothing else, and
    that a head moves without its lips.

    `options.expressed`: share of the samples whose second frame is warped to another expression (0): that of an
    emotion, as the labelled clips have it, or any. Few people were filmed in eight emotions; so everybody shows them.
    It needs `options.taught` or the loss "reading", which know the weights of what was drawn.

    `options.mouth`, `options.eyes`, `options.inside`: how much more the pixels there count in L1 (4 and 2), and those
    between the lips (0), where there may be nothing in the source that could be moved there. `options.vgg`: a file with
    torchvision's VGG-19 weights for the perceptual loss. `options.taught`: share of the samples rendered from measured
    instead of read weights, so that the generator learns what they mean while the encoder still learns to read.
    `options.fit`: at the start, fit the heads to the landmarks and tie them to the banks (see `fit_heads`; false).
    """

    SHOWN = 8
    """Samples on a sheet."""

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        super().__init__(model, config)
        self.store = ClipStore(config.data)
        self.perceptual = perceptual_loss(config)
        self.discriminator: Encoder | None = None
        if self._wants("adversarial"):
            # LIA's discriminator is its encoder's trunk with one number at the end.
            self.discriminator = Encoder(ModelSizes(**{**model.sizes.__dict__, "style": 1}))
        self.measure: LandmarkMotion | None = None
        if self.weight("reading") or config.options.get("taught", 0):
            self.measure = LandmarkMotion(self.store.clips, model.sizes.lip, model.sizes.expression)
            if config.options.get("expressed"):
                self._moods, self._spread = self._expressions(self.measure)
        self.shown = self.draw(np.random.default_rng([config.seed, 1]), self.SHOWN)

    def begin(self) -> None:
        """See `options.fit`."""
        if self.config.options.get("fit"):
            fit_heads(self.model, self.store.clips)

    def _expressions(self, measure: LandmarkMotion) -> tuple[list[NDArray[np.floating]], NDArray[np.floating]]:
        """Expression weights (expression,) of each emotion that the clips show, and how much they vary over all."""
        neutral = seen_neutral(self.store.clips)
        moods: dict[str, list[NDArray[np.floating]]] = {}
        everything = []
        for clip in self.store.clips:
            weights = measure.expression(clip.points, clip.info.name, False)
            everything.append(weights[::5])
            if clip.info.person in neutral:
                moods.setdefault(clip.info.emotion, []).append(weights.mean(0))
        return [np.mean(some, axis=0) for some in moods.values()], np.concatenate(everything).std(0)

    def _change(self, rng: np.random.Generator) -> NDArray[np.floating]:
        """A change of expression (expression,): towards an emotion, or any."""
        if self._moods and rng.random() < 0.6:
            return self._moods[int(rng.integers(len(self._moods)))] * rng.uniform(0.4, 2.0)
        return np.asarray(rng.normal(size=len(self._spread)) * self._spread)

    def _wants(self, loss: str) -> bool:
        """Whether a loss counts, under its own name or under a longer one that ends in it ("cross_flow")."""
        return any(weight for name, weight in self.config.losses.items() if name == loss or name.endswith(f"_{loss}"))

    def frames(self) -> int:
        """Frames of one clip that make a sample."""
        return 2

    def draw(self, rng: np.random.Generator, samples: int) -> dict[str, Tensor]:
        """`samples` clips: "images" (B,frames,3,S,S) and "landmarks" (B,frames,68,2) under one view a clip.

        With a loss "reading" or taught weights, also "lip", "pose" and "expression" (B,frames,bases) as measured on the
        landmarks.
        """
        drawn: dict[str, list[NDArray[np.float32]]] = {}
        swapped, expressed = (float(self.config.options.get(name, 0.0)) for name in ("swapped", "expressed"))
        for _ in range(samples):
            clips = self.choose_clips(rng)
            view = Augmentation.draw(rng, self.config.augmentation)
            indexes = self.choose_frames(clips, rng)
            pairs = [
                view.apply(clip, int(index), self.config.resolution) for clip, index in zip(clips, indexes, strict=True)
            ]
            points = np.stack([points for _, points in pairs])
            sample = {"images": np.stack([image for image, _ in pairs]), "landmarks": points}
            for index in range(1, len(clips)):
                if clips[index] is not clips[0]:
                    # Filmed on another day, perhaps: light is no motion.
                    sample["images"][index] = match_colours(pairs[index][0], pairs[0][0])
            if self.measure is not None:
                measured = [
                    self.measure.measure(one[None], clip.info.name, view.mirror)
                    for clip, one in zip(clips, points, strict=True)
                ]
                for name in TRACKS:
                    width = getattr(self.model.sizes, name)
                    sample[name] = np.concatenate([one[name][:, :width] for one in measured])
            if swapped and rng.random() < swapped and clips[0] is clips[1]:
                # Of the frame that is composed, the mouth is of the one and all else of the other.
                head, mouth = (0, 1) if rng.random() < 0.5 else (1, 0)
                sample["images"][1], sample["landmarks"][1] = swap_mouth(*pairs[head], *pairs[mouth])
                for name, of in (("lip", mouth), ("pose", head), ("expression", head)):
                    if name in sample:
                        sample[name][1] = sample[name][of]
            elif self.measure is not None and "expression" in sample and expressed and rng.random() < expressed:
                change = self._change(rng)[: sample["expression"].shape[1]]
                moved = self.measure.expressed(sample["landmarks"][1:2], change)[0]
                sample["images"][1] = move_landmarks(sample["images"][1], sample["landmarks"][1], moved)
                sample["landmarks"][1] = moved
                sample["expression"][1] += change
            for name, value in sample.items():
                drawn.setdefault(name, []).append(value)
        return {name: stack(values) for name, values in drawn.items()}

    def choose_clips(self, rng: np.random.Generator) -> list[Clip]:
        """The clip that each frame of a sample comes from: the same for all."""
        return [self.store.sample_clip(rng)] * self.frames()

    def choose_frames(self, clips: list[Clip], rng: np.random.Generator) -> NDArray[np.int64]:
        """Frames that make a sample, one of each clip. See `options.near` and `options.contrast`."""
        length = min(map(len, clips))
        near = rng.random() < float(self.config.options.get("near", 0.0))
        window = min(length, NEAR_FRAMES) if near else length
        first = int(rng.integers(length - window + 1))
        chosen = first + rng.choice(window, self.frames(), replace=window < self.frames())
        if rng.random() < float(self.config.options.get("contrast", 0.0)):
            candidates = rng.integers(length, size=CANDIDATES)
            opening = lip_distance if rng.random() < 0.5 else lid_distance
            openings = np.array([opening(clips[1].landmarks[index]) for index in candidates])
            chosen[1] = candidates[np.abs(openings - opening(clips[0].landmarks[chosen[0]])).argmax()]
        return np.asarray(chosen)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """See `draw`."""
        return self.draw(rng, self.config.batch)

    def image_losses(
        self, image: Tensor, target: Tensor, flows: list[Tensor], source_landmarks: Tensor, landmarks: Tensor
    ) -> dict[str, Tensor]:
        """Losses of rendered images (B,3,S,S) against the frames they should be, and of the flows that made them."""
        image, size = image.float(), image.shape[-1]
        weight = landmark_weight(landmarks, size, MOUTH, 0.02, self.config.options.get("mouth", 4.0))
        weight = weight + landmark_weight(landmarks, size, EYES, 0.02, self.config.options.get("eyes", 2.0)) - 1
        if inside := float(self.config.options.get("inside", 0.0)):
            weight = weight + landmark_weight(landmarks, size, INNER_LIPS, 0.005, inside) - 1
        losses = {"l1": pyramid_l1(image, target, weight=weight), "perceptual": self.perceptual(image, target)}
        if self._wants("flow"):
            points = min(size, FLOW_SIZE)
            grid, confidence = landmark_flow(source_landmarks, landmarks, points)
            used = [flow for flow in flows if min(16, size) <= flow.shape[-1] <= points]
            # Mouth, eyes and brows have means of their own, or the rest of the face would drown them.
            parts = [landmark_weight(landmarks, points, part, 0.02, 1.0) - 1 for part in (MOUTH, EYES, BROWS)]
            total = sum(
                (flow_loss(flow, grid, part) for flow in used for part in (confidence, *parts)), image.new_zeros(())
            )
            losses["flow"] = total / len(used)
        if self._wants("outside"):
            losses["outside"] = sum((outside_loss(flow, size) for flow in flows), image.new_zeros(())) / len(flows)
        if self.discriminator is not None:
            losses["adversarial"] = F.softplus(-frozen(self.discriminator, image)[0]).mean()
            losses["discriminator"] = (
                F.softplus(self.discriminator.latent(image.detach())) + F.softplus(-self.discriminator.latent(target))
            ).mean()
        return losses


def lip_distance(landmarks: NDArray[np.float32]) -> float:
    """Between the middles of the inner lips, of landmarks (68,2)."""
    return float(np.linalg.norm(landmarks[66] - landmarks[62]))


def lid_distance(landmarks: NDArray[np.float32]) -> float:
    """Between the lids of both eyes on average, of landmarks (68,2)."""
    return float(np.linalg.norm(landmarks[[37, 38, 43, 44]] - landmarks[[41, 40, 47, 46]], axis=1).mean())


def reading_loss(read: Mapping[str, Tensor], measured: Mapping[str, Tensor]) -> Tensor:
    """How far weights (B,bases) by track are from what landmarks measure (our small-data recipe).

    Smooth L1 in units of SPREAD, summed over bases. The mouth counts more: it is small in the picture and learned last.
    """
    losses = []
    for name, weights in read.items():
        error = F.smooth_l1_loss(weights.float() / SPREAD, measured[name].float() / SPREAD, beta=0.5, reduction="none")
        losses.append((LIP_GAIN if name == "lip" else 1.0) * error.sum(1).mean())
    return torch.stack(losses).sum()
