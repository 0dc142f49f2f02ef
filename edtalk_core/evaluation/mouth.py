"""Whether the mouth follows the sound: its opening over time, driven by sound alone, against the true clip's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.clips import Clip
from ..errors import ArgumentError
from ..model import EDTalk
from ..motion.motion import Motion
from ..motion.operations import smooth
from ..rendering import Renderer
from .faces import FaceReader, mouth_opening
from .metrics import correlation
from .reenactment import clip_images

MOVING = 1e-3
"""Deviation of the opening, in face heights, from which on a mouth moves at all."""


@torch.no_grad()
def evaluate_mouth(
    model: EDTalk,
    clips: Sequence[Clip],
    *,
    step: int = 2,
    seconds: float = 8.0,
    precision: str = "fp32",
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Correlation of the rendered with the true opening of the mouth (see `mouth_opening`), mean over clips.

    The portrait is a clip's first frame, which keeps its own pose and expression; the lip weights come from sound
    alone, through `audio_to_lip` and the published smoothing. `own`: driven by the clip's own sound; `other`: by the
    sound of the next clip, in the order given, of another person. No lag is searched for. Looked at are every
    `step`-th frame of the first `seconds`. `amplitude`: deviation of the rendered opening over that of the true one.
    Clips without speech, or whose mouth does not move, are left out; `clips` says how many are left.

    Raises ArgumentError when the model has no audio-to-lip network.
    """
    if model.audio_to_lip is None:
        raise ArgumentError("This model has no audio-to-lip network, so its mouth cannot be driven by sound.")
    speaking = [clip for clip in clips if clip.info.speech and clip.mel is not None]
    reader = FaceReader()
    per_clip: dict[str, dict[str, float]] = {}
    for number, clip in enumerate(speaking):
        length = min(len(clip), round(seconds * model.fps))
        # In the order given, round the end: the same pairs every time.
        following = (*speaking[number + 1 :], *speaking[:number])
        other = next((one for one in following if one.info.person != clip.info.person), None)
        true = mouth_opening(clip.landmarks[:length:step].astype(np.float64))
        if true.std() >= MOVING:
            portrait = model.encode_portrait(clip_images(clip, [0], model))
            renderer = Renderer(model, portrait, precision=precision)
            mesh = reader.find(clip.frame(0, model.sizes.resolution))
            figures: dict[str, float] = {}
            for name, heard in (("own", clip), ("other", other)):
                if heard is None:
                    continue
                frames = min(length, len(heard))
                lip = lip_from_clip(model, heard, frames)[::step]
                pictures = renderer.pictures(Motion(lip=lip))
                rendered = np.array([mouth_opening(reader.landmarks(picture, mesh)) for picture in pictures])
                figures[name] = correlation(rendered, true[: len(rendered)])
                if name == "own":
                    figures["amplitude"] = float(rendered.std() / true.std())
            per_clip[clip.info.name] = figures
        if progress is not None:
            progress(number + 1, len(speaking))
    result: dict[str, Any] = {}
    for name in ("own", "other", "amplitude"):
        values = [figures[name] for figures in per_clip.values() if name in figures]
        if values:
            result[name] = float(np.mean(values))
    return {**result, "clips": len(per_clip), "per_clip": per_clip}


def lip_from_clip(model: EDTalk, clip: Clip, frames: int) -> Tensor:
    """Lip weights (frames,lip) that the model hears in a clip's sound."""
    assert model.audio_to_lip is not None
    windows = torch.from_numpy(clip.mel_windows(np.arange(frames))).to(model.device, model.dtype)
    return smooth(model.audio_to_lip(windows))
