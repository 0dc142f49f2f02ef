"""Sync_conf and Sync_dist: whether mouth and sound fit together, by SyncNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..media.mel import FRAME_SAMPLES
from .backbones import SYNCNET, Backbones
from .learned_features import SyncNet, sync_confidence
from .metrics import Frame, Metric, Need, Unmeasurable, table_metric


def sync_metrics(backbones: Backbones) -> list[Metric]:
    """Sync_conf and Sync_dist, both of the same distances."""
    network = cache(lambda: SyncNet.load(backbones.require(SYNCNET)))
    distances: dict[int, NDArray[np.float64]] = {}

    def observe(frame: Frame) -> Frame:
        if not frame.waveform.size:
            raise Unmeasurable("the clip has no waveform (prepare it again)")
        return frame

    def of(figure: Callable[[NDArray[np.float64]], float]) -> Callable[[Sequence[Frame]], float]:
        def summarise(frames: Sequence[Frame]) -> float:
            start, sound = frames[0].index, frames[0].waveform
            if not np.any(sound):
                raise Unmeasurable("silence")
            # Both figures are of the same distances: the frames of a clip are the same objects for both.
            if id(frames[0]) not in distances:
                distances.clear()
                pictures = np.stack([frame.rendered for frame in frames])
                try:
                    distances[id(frames[0])] = network().distances(pictures, sound[start * FRAME_SAMPLES :])
                except AudioError:
                    raise Unmeasurable("too short for SyncNet") from None
            return figure(distances[id(frames[0])])

        return summarise

    details: dict[str, Any] = {
        "needs": Need.WAVEFORM,
        "network": SYNCNET.name,
        "source": "Chung and Zisserman 2016, on our crops at 224 px",
    }
    return [
        table_metric("sync_conf", "Sync_conf", observe, "higher", summarise=of(sync_confidence), **details),
        table_metric(
            "sync_dist", "Sync_dist", observe, "lower", summarise=of(lambda values: float(values.min())), **details
        ),
    ]
