"""All figures of a model on the clips of one split."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ..data.clips import ClipStore
from ..errors import ArgumentError, EDTalkError
from ..model import EDTalk

logger = logging.getLogger("edtalk")

PARTS = ("reenactment", "mouth", "disentanglement", "pose")

StageProgress = Callable[[str, int, int | None], None]


def evaluate(
    model: EDTalk,
    data: Path | str,
    split: str = "holdout",
    *,
    parts: Collection[str] = PARTS,
    measured: bool = False,
    precision: str = "fp32",
    progress: StageProgress | None = None,
) -> dict[str, dict[str, Any]]:
    """Figures of a model by part, see `evaluate_reenactment`, `evaluate_mouth`, `evaluate_disentanglement` and
    `evaluate_pose_flow`.

    A part that the model (no audio-to-lip network, no pose flow) or the data (no training clips for the baselines of
    the pose flow) cannot have is left out. Nothing is fitted to the split; those baselines are fitted to the training
    clips. `measured`: the pose flow was taught with poses that landmarks measure, and is compared with such, instead of
    with what the model reads. `progress` is called as progress(part, done, total).

    Raises ArgumentError for unknown parts, EDTalkError when there are no clips of the split.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ArgumentError(f"There is nothing to evaluate called {unknown[0]!r}; choose from {', '.join(PARTS)}.")
    store = ClipStore(data, split)
    clips = store.clips

    def report(part: str) -> Callable[[int, int | None], None] | None:
        return None if progress is None else lambda done, total: progress(part, done, total)

    results: dict[str, dict[str, Any]] = {}
    if "reenactment" in parts:
        from .reenactment import evaluate_reenactment

        results["reenactment"] = evaluate_reenactment(model, clips, precision=precision, progress=report("reenactment"))
    if "mouth" in parts and model.audio_to_lip is not None:
        from .mouth import evaluate_mouth

        results["mouth"] = evaluate_mouth(model, clips, precision=precision, progress=report("mouth"))
    if "disentanglement" in parts:
        from .disentanglement import evaluate_disentanglement

        results["disentanglement"] = evaluate_disentanglement(
            model, clips, precision=precision, progress=report("disentanglement")
        )
    if "pose" in parts and model.pose_flow is not None:
        from ..data.pose_clips import pose_clips
        from ..data.tracks import measured_tracks, read_clips
        from .pose import evaluate_pose_flow

        try:
            learned = ClipStore(data)
        except EDTalkError as error:
            logger.warning("The pose flow is not evaluated: %s", error)
        else:
            if measured:
                known, unseen = measured_tracks(model, learned.clips), measured_tracks(model, clips, learned.clips)
            else:
                known, unseen = read_clips(model, learned), read_clips(model, store)
            train = pose_clips(learned, known)
            held_out = [clip for clip in pose_clips(store, unseen) if len(clip.pose) >= 3]
            results["pose"] = dict(evaluate_pose_flow(model.pose_flow, held_out, train, progress=report("pose")))
    return results
