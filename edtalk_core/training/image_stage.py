"""Common parts of the image stages: settings, frame sampler, loss of the weights that the encoder reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.clips import Clip, ClipStore
from ..data.face_motion import FaceMotion
from ..data.landmark_motion import SPREAD, LandmarkMotion
from ..errors import ArgumentError
from ..model import EDTalk
from .expression_variations import exact_warp, warped_expression
from .image_losses import PixelWeights
from .sampling import (
    ChooseClips,
    FrameSampler,
    PairSampling,
    Variation,
    new_expression,
    single_clip,
    swapped_mouth,
    weights_measure,
)
from .settings import AugmentedSettings

LIP_GAIN = 3.0
ENCODER_AND_GENERATOR = ("enc.", "dec.input", "dec.conv1", "dec.convs", "dec.to_")
LIP_AND_POSE = ("fc.", "lip_fc.", "pose_fc.", "direction_lipnonlip.")


@dataclass(frozen=True, kw_only=True)
class ImageStageSettings(AugmentedSettings):
    """Settings of all image stages."""

    sampling: PairSampling = PairSampling()
    pixel_weights: PixelWeights = PixelWeights()
    vgg_file: str = ""
    """File with torchvision's VGG-19 weights for the perceptual loss; empty: oriented gradients instead."""
    expression_measure: Literal["landmarks", "face-model"] = "landmarks"
    """Meaning of measured expression weights: principal components of landmarks, or amounts of the named bases of the
    3D face (`face_model.EXPRESSION_BASES`)."""
    fit_heads: bool = False
    """At the start, fit the heads to the landmarks and tie them to the banks (see `initialisation.fit_heads`)."""
    turn_expression_bank: bool = False
    """At the start, turn the expression bank of a model that learned the principal components of landmarks toward the
    named bases of the 3D face (see `initialisation.turn_expression_bank`). It requires expression_measure:
    face-model."""


def expression_motion(model: EDTalk, settings: ImageStageSettings, clips: Sequence[Clip]) -> LandmarkMotion:
    """Create the measurement of weights for the settings. Raises ArgumentError for an unsuitable expression bank."""
    return _measurement(settings)(clips, model.sizes.lip, model.sizes.expression)


def name_bases(model: EDTalk, settings: ImageStageSettings, tracks: Sequence[str]) -> None:
    """Name the model's bases of these tracks after the measured weights that the stage trains them with."""
    bases = _measurement(settings).BASES
    names = {track: bases.names(track)[: getattr(model.sizes, track)] for track in tracks}
    lids = bases.lids if "expression" in tracks else model.bases.lids
    model.bases = replace(model.bases, **names, lids=lids)


def _measurement(settings: ImageStageSettings) -> type[LandmarkMotion]:
    return FaceMotion if settings.expression_measure == "face-model" else LandmarkMotion


def frame_sampler(
    model: EDTalk,
    settings: ImageStageSettings,
    store: ClipStore,
    *,
    frames: int,
    measured: bool,
    sources: Sequence[tuple[float, ChooseClips]] = (),
) -> FrameSampler:
    """Create the frame sampler for the settings and a store.

    `measured`: samples have weights measured by landmarks, which new expressions need in any case.
    `sources`: see FrameSampler; those of still pictures are added.
    """
    sampling, variations = settings.sampling, list[Variation]()
    by_face_model = settings.expression_measure == "face-model"
    if sampling.exact_warps and not by_face_model:
        raise ArgumentError(
            "sampling.exact_warp_share and sampling.picture_share need expression_measure: face-model, whose weights "
            "they teach."
        )
    if sampling.exact_warps and frames != 2:
        raise ArgumentError(
            "sampling.exact_warp_share and sampling.picture_share are for stages whose samples are pairs of frames; "
            "set them to 0."
        )
    motion = None
    if measured or sampling.new_expression_share or sampling.exact_warps:
        motion = expression_motion(model, settings, store.clips)
    if sampling.picture_share and motion is not None:
        pictures = ClipStore(settings.data, pictures=True)
        motion.add(pictures.clips)
        sources = [*sources, (sampling.picture_share, single_clip(pictures))]
    if sampling.swapped_mouth_share:
        variations.append(swapped_mouth(sampling.swapped_mouth_share))
    if sampling.exact_warps:
        variations.append(exact_warp(sampling.exact_warp_share))
    if sampling.new_expression_share and by_face_model:
        variations.append(warped_expression(sampling.new_expression_share))
    elif sampling.new_expression_share and motion is not None:
        variations.append(new_expression(sampling.new_expression_share, motion, store.clips))
    return FrameSampler(
        single_clip(store),
        sampling,
        frames=frames,
        resolution=settings.resolution,
        augmentation=settings.augmentation,
        measure=None if motion is None else weights_measure(motion, model.sizes),
        variations=variations,
        sources=sources,
    )


def reading_loss(read: Mapping[str, Tensor], measured: Mapping[str, Tensor]) -> Tensor:
    """Loss between weights (B,bases) by track and those that landmarks measure (our small-data recipe).

    Smooth L1 in units of SPREAD, summed over bases. The mouth has a higher weight: it is small and learned last.
    """
    losses = []
    for name, weights in read.items():
        error = F.smooth_l1_loss(weights.float() / SPREAD, measured[name].float() / SPREAD, beta=0.5, reduction="none")
        losses.append((LIP_GAIN if name == "lip" else 1.0) * error.sum(1).mean())
    return torch.stack(losses).sum()
