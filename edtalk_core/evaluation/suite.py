"""Full evaluation of a model on the clips of one split."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..data.clips import ClipStore
from ..data.pose_clips import pose_clips
from ..data.tracks import measured_tracks, read_clips
from ..errors import ArgumentError, EDTalkError
from ..model import EDTalk
from ..progress import Progress, StageProgress
from .disentanglement import Disentanglement, evaluate_disentanglement
from .measuring import Figures, measure
from .pose import PoseFigures, evaluate_pose_flow
from .protocols import Reenactment, Speech

logger = logging.getLogger("edtalk")

PARTS = ("reenactment", "mouth", "disentanglement", "pose")
NONE = "none"
"""Placeholder for no parts."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model by part; None: the part was not requested, or the model or data do not support it."""

    reenactment: Figures | None = None
    mouth: Figures | None = None
    disentanglement: Disentanglement | None = None
    pose: PoseFigures | None = None

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The measured parts, as `edtalk evaluate` prints them."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: figures.as_dict() for name, figures in parts.items() if figures is not None}


def evaluate(
    model: EDTalk,
    data: Path | str,
    split: str = "holdout",
    *,
    parts: Collection[str] | None = None,
    measured: bool = False,
    precision: str = "fp32",
    progress: StageProgress | None = None,
) -> Evaluation:
    """Evaluate a model on the clips of a split; the figures are described in `edtalk_core.evaluation`.

    A part that the model (no audio-to-lip network, no pose flow) or the data (no training clips for the baselines of
    the pose flow) do not support is skipped. Nothing is fitted to the split; those baselines are fitted to the training
    clips.

    Args:
        model: the model.
        data: folder of prepared clips.
        split: name of the split.
        parts: names from PARTS; None: all. "none" selects nothing.
        measured: evaluate the pose flow on poses measured by landmarks, for one trained with them, instead of on poses
            read by the model.
        precision: precision of rendering.
        progress: called as progress(part, done, total), in clips; cancels by raising.

    Raises:
        ArgumentError: an unknown part.
        EDTalkError: there are no clips of the split.
        FaceError: the first frame of a clip shows no face.
    """
    requested = set(PARTS if parts is None else parts) - {NONE}
    if unknown := sorted(requested - set(PARTS)):
        raise ArgumentError(f"There is no part {unknown[0]!r} to evaluate; choose from {', '.join(PARTS)}.")
    store = ClipStore(data, split)

    def report(part: str) -> Progress | None:
        return None if progress is None else partial(progress, part)

    reenactment = mouth = disentanglement = pose = None
    if "reenactment" in requested:
        reenactment = measure(Reenactment(model, store.clips, precision), progress=report("reenactment"))
    if "mouth" in requested and model.audio_to_lip is not None:
        mouth = measure(Speech(model, store.clips, precision), progress=report("mouth"))
    if "disentanglement" in requested:
        disentanglement = evaluate_disentanglement(
            model, store.clips, precision=precision, progress=report("disentanglement")
        )
    if "pose" in requested and model.pose_flow is not None:
        pose = _evaluate_pose(model, store, measured, report("pose"))
    return Evaluation(reenactment, mouth, disentanglement, pose)


def _evaluate_pose(model: EDTalk, store: ClipStore, measured: bool, progress: Progress | None) -> PoseFigures | None:
    """Evaluate the pose flow; None, with a warning, when there are no training clips for the baselines."""
    assert model.pose_flow is not None
    try:
        train = ClipStore(store.folder)
    except EDTalkError as error:
        logger.warning("The pose flow is not evaluated: %s", error)
        return None
    if measured:
        train_tracks = measured_tracks(model, train.clips)
        tracks = measured_tracks(model, store.clips, train.clips)
    else:
        train_tracks, tracks = read_clips(model, train), read_clips(model, store)
    held_out = [clip for clip in pose_clips(store, tracks) if len(clip.pose) >= 3]
    return evaluate_pose_flow(model.pose_flow, held_out, pose_clips(train, train_tracks), progress=progress)
