"""Motion weights of all frames of prepared clips, read once by a frozen model, for training the audio stages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..atomic import atomic_write
from ..errors import EDTalkError
from ..media.picture import pictures_to_images
from ..model import EDTalk
from ..motion.motion import TRACKS
from .clips import Clip, ClipStore
from .landmark_motion import LandmarkMotion

logger = logging.getLogger("edtalk")

READ_BATCH = 16


@torch.no_grad()
def read_clip(model: EDTalk, clip: Clip) -> dict[str, Tensor]:
    """Read the weights of all frames of a clip: lip (T,20), pose (T,6), and expression (T,10) if the model has it."""
    parts: list[tuple[Tensor, Tensor, Tensor | None]] = []
    size = model.sizes.resolution
    for start in range(0, len(clip), READ_BATCH):
        frames = np.stack([clip.frame(i, size) for i in range(start, min(start + READ_BATCH, len(clip)))])
        images = pictures_to_images(frames)
        parts.append(model.read_weights(images))
    tracks = {}
    for index, name in enumerate(TRACKS):
        values = [part[index] for part in parts]
        if values[0] is not None:
            tracks[name] = torch.cat([value for value in values if value is not None]).float().cpu()
    return tracks


def read_clips(model: EDTalk, store: ClipStore, cache: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """Read the weights of all clips of a store, by clip name; the file `cache` stores them for a resumed run.

    Raises EDTalkError when the cache belongs to other clips.
    """
    from safetensors.torch import load_file, save_file

    if cache is not None and cache.exists():
        flat = load_file(cache)
        clip_names = {clip.info.name for clip in store.clips}
        if {name.rsplit("/", 1)[0] for name in flat} != clip_names:
            raise EDTalkError(f"{cache} was read from other clips than {store.folder} contains now; delete it.")
        tracks: dict[str, dict[str, Tensor]] = {}
        for name, value in flat.items():
            clip_name, track = name.rsplit("/", 1)
            tracks.setdefault(clip_name, {})[track] = value
        return tracks
    logger.info("Reading the weights of %d clips", len(store.clips))
    was_training = model.training
    model.eval()
    tracks = {clip.info.name: read_clip(model, clip) for clip in store.clips}
    model.train(was_training)
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        flat = {f"{name}/{track}": value for name, weights in tracks.items() for track, value in weights.items()}
        with atomic_write(cache) as partial:
            save_file(flat, partial)
    return tracks


def motion_tracks(model: EDTalk, store: ClipStore, measured: bool, out: Path | str) -> dict[str, dict[str, Tensor]]:
    """Weights of a store's clips, by clip name, for an audio stage: read by the model and cached in the folder `out`.

    `measured`: use `measured_tracks` instead, which have less noise than those of a partly trained encoder.
    """
    if measured:
        return measured_tracks(model, store.clips)
    return read_clips(model, store, Path(out) / "tracks.safetensors")


def measured_tracks(
    model: EDTalk, clips: Sequence[Clip], training_clips: Sequence[Clip] | None = None
) -> dict[str, dict[str, Tensor]]:
    """Measure the weights of clips on their landmarks (see LandmarkMotion), by clip name.

    For a model that was trained with measured weights. `training_clips`: the clips whose statistics scale the weights;
    by default `clips` themselves. Of clips outside those, only the pose can be measured.
    """
    sizes = model.sizes
    measure = LandmarkMotion(clips if training_clips is None else training_clips, sizes.lip, sizes.expression)
    tracks = {}
    for clip in clips:
        if training_clips:
            measured = {"pose": measure.pose(clip.points)}
        else:
            measured = measure.measure(clip.points, clip.info.name)
        tracks[clip.info.name] = {
            name: torch.from_numpy(values[:, : getattr(sizes, name)]).float() for name, values in measured.items()
        }
    return tracks
