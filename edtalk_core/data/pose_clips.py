"""Head motion and voice of prepared clips, for training and evaluating the pose flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import EDTalkError
from ..networks.pose_flow import frame_spectra
from .clips import ClipStore


@dataclass(frozen=True)
class PoseClip:
    """Head motion and voice of one clip."""

    pose: Tensor
    """Pose weights of every frame (T,pose), T >= 2."""
    spectra: Tensor | None = None
    """Spectra of the same frames (T,80), `frame_spectra` of the mel windows; None: no speech of this person."""
    name: str = ""
    """Name of the clip."""
    emotion: str = ""
    """Its label; empty: not known."""


def pose_clips(store: ClipStore, tracks: Mapping[str, Mapping[str, Tensor]]) -> list[PoseClip]:
    """Pose weights of a store's clips (see `motion_tracks`), with the spectra of their speech.

    Clips of a single frame are skipped. Raises EDTalkError when no clip remains.
    """
    clips = []
    for clip in store.clips:
        pose = tracks[clip.info.name]["pose"]
        if len(pose) < 2:
            continue
        spectra = None
        if clip.info.speech and clip.mel is not None:
            spectra = frame_spectra(torch.from_numpy(clip.mel_windows(np.arange(len(clip)))))
        clips.append(PoseClip(pose, spectra, clip.info.name, clip.info.emotion))
    if not clips:
        raise EDTalkError(f"No clip in {store.folder} has more than one frame; head motion cannot be learned from it.")
    return clips
