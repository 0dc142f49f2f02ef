"""Expression presets of a model from clips with labelled emotions."""

from __future__ import annotations

import logging

import torch

from ..errors import ArgumentError, EDTalkError
from ..model import EDTalk
from .clips import ClipStore, people_with_neutral_clips
from .tracks import measured_tracks, read_clip

logger = logging.getLogger("edtalk")


def read_presets(
    model: EDTalk, store: ClipStore, *, measured: bool = False, strength: float = 1.0
) -> dict[str, tuple[float, ...]]:
    """Emotion -> expression weights (10): the mean over a clip's frames, averaged over the clips of that emotion.

    Absolute coordinates that are valid for this model only, like those of the published model. `measured`: for a model
    trained with measured weights, use the weights that landmarks measure (see LandmarkMotion), of people who also have
    neutral clips; of each clip the frames at the peak of the emotion, multiplied by `strength`, for a generator that
    moves less than its weights say. Raises EDTalkError when the model has no expression or the store no such clip with
    an emotion, ArgumentError for a strength of weights that are not measured: their zero is not neutral.
    """
    if strength != 1 and not measured:
        raise ArgumentError("A strength needs measured presets, whose zero is the neutral face: add --measured.")
    if not model.sizes.expression:
        raise EDTalkError("The lip+pose variant has no expression weights to read presets from.")
    means: dict[str, list[torch.Tensor]] = {}
    clips = [clip for clip in store.clips if clip.info.emotion]
    if measured:
        neutral = people_with_neutral_clips(clips)
        clips = [clip for clip in clips if clip.info.person in neutral]
        tracks = measured_tracks(model, store.clips)
    else:
        tracks = {clip.info.name: read_clip(model, clip) for clip in clips}
    for clip in clips:
        weights = tracks[clip.info.name]["expression"]
        means.setdefault(clip.info.emotion, []).append(
            # A neutral face has no peak.
            peak_weights(weights) if measured and clip.info.emotion != "neutral" else weights.mean(0)
        )
    if not means:
        raise EDTalkError(f"No clip in {store.folder} has an emotion to read a preset from.")
    for emotion, values in sorted(means.items()):
        logger.info("%s: read from %d clips", emotion, len(values))
    return {
        emotion: tuple(round(float(value), 3) for value in strength * mean_weights(values, keep_strength=measured))
        for emotion, values in sorted(means.items())
    }


def peak_weights(weights: torch.Tensor) -> torch.Tensor:
    """Weights at the peak of an emotion: mean (D,) of the third of frames (T,D) furthest along their mean."""
    along = weights @ weights.mean(0)
    return weights[along >= along.quantile(2 / 3)].mean(0)


def mean_weights(values: list[torch.Tensor], *, keep_strength: bool) -> torch.Tensor:
    """Mean (D,) of weights; with `keep_strength` scaled to their mean distance from zero, which is neutral.

    Some people smile with raised and others with lowered brows: their plain mean would be too weak.
    """
    mean = torch.stack(values).mean(0)
    if keep_strength:
        mean = mean * (torch.stack(values).norm(dim=1).mean() / mean.norm().clamp(min=1e-6)).clamp(max=2)
    return mean
