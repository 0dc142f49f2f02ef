"""Expression presets of a model, read off clips whose emotion is known."""

from __future__ import annotations

import logging

import torch

from ..errors import ArgumentError, EDTalkError
from ..model import EDTalk
from .clips import ClipStore, seen_neutral
from .tracks import measured_tracks, read_clip

logger = logging.getLogger("edtalk")


def read_presets(
    model: EDTalk, store: ClipStore, *, measured: bool = False, strength: float = 1.0
) -> dict[str, tuple[float, ...]]:
    """Emotion -> expression weights (10): the mean over a clip's frames, averaged over the clips of that emotion.

    Absolute coordinates that hold for this model only, as those of the published model. `measured`: for a model that
    was taught with measured weights, what landmarks say of the clips (see LandmarkMotion), of people who are seen
    neutral as well; of each clip the frames in which the emotion is at its height, and `strength` times as strong as
    people show it on average, for a generator that moves less than it is asked to. Raises EDTalkError when the model
    has no expression or the store no such clip with an emotion, ArgumentError for a strength of weights that are not
    measured: there, zero is not neutral.
    """
    if strength != 1 and not measured:
        raise ArgumentError("Presets have a strength where they are measured: there, zero is neutral. Add --measured.")
    if not model.sizes.expression:
        raise EDTalkError("The lip+pose variant has no expression weights to read presets of.")
    means: dict[str, list[torch.Tensor]] = {}
    clips = [clip for clip in store.clips if clip.info.emotion]
    if measured:
        neutral = seen_neutral(clips)
        clips = [clip for clip in clips if clip.info.person in neutral]
        tracks = measured_tracks(model, store.clips)
    else:
        tracks = {clip.info.name: read_clip(model, clip) for clip in clips}
    for clip in clips:
        weights = tracks[clip.info.name]["expression"]
        means.setdefault(clip.info.emotion, []).append(
            # Nobody is more neutral at one time than at another.
            height(weights) if measured and clip.info.emotion != "neutral" else weights.mean(0)
        )
    if not means:
        raise EDTalkError(f"No clip in {store.folder} has an emotion to read a preset of.")
    for emotion, values in sorted(means.items()):
        logger.info("%s: read off %d clips", emotion, len(values))
    return {
        emotion: tuple(round(float(value), 3) for value in strength * average(values, like_one=measured))
        for emotion, values in sorted(means.items())
    }


def height(weights: torch.Tensor) -> torch.Tensor:
    """Where an emotion is at its height: mean (D,) of the third of frames (T,D) that go furthest along their mean."""
    along = weights @ weights.mean(0)
    return weights[along >= along.quantile(2 / 3)].mean(0)


def average(values: list[torch.Tensor], *, like_one: bool) -> torch.Tensor:
    """Mean (D,) of weights; with `like_one` as far from zero, which is neutral, as they are on average themselves.

    One smiles with the brows raised and another with them lowered: of their mean, half would be left.
    """
    mean = torch.stack(values).mean(0)
    if like_one:
        mean = mean * (torch.stack(values).norm(dim=1).mean() / mean.norm().clamp(min=1e-6)).clamp(max=2)
    return mean
