"""Expression presets of a model, read off clips whose emotion is known."""

from __future__ import annotations

import logging

import torch

from ..errors import EDTalkError
from ..model import EDTalk
from .clips import ClipStore
from .tracks import read_clip

logger = logging.getLogger("edtalk")


def read_presets(model: EDTalk, store: ClipStore) -> dict[str, tuple[float, ...]]:
    """Emotion -> expression weights (10): the mean over a clip's frames, averaged over the clips of that emotion.

    Absolute coordinates that hold for this model only, as those of the published model. Raises EDTalkError when the
    model has no expression or the store no clip with an emotion.
    """
    if not model.sizes.expression:
        raise EDTalkError("The lip+pose variant has no expression weights to read presets of.")
    means: dict[str, list[torch.Tensor]] = {}
    for clip in store.clips:
        if clip.info.emotion:
            means.setdefault(clip.info.emotion, []).append(read_clip(model, clip)["expression"].mean(0))
    if not means:
        raise EDTalkError(f"No clip in {store.folder} has an emotion to read a preset of.")
    for emotion, values in sorted(means.items()):
        logger.info("%s: read off %d clips", emotion, len(values))
    return {
        emotion: tuple(round(float(value), 3) for value in torch.stack(values).mean(0))
        for emotion, values in sorted(means.items())
    }
