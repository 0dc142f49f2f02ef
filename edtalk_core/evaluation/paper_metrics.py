"""The metrics of the paper's tables, and ours beside them, for any protocol.

A metric whose network is missing is not computed; its stand-in, which needs no download, always is, under its own name.
Landmarks are in pixels of pictures of 256 px.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..face.landmarks import FACE, MOUTH
from .backbones import ALEXNET, FACE_API, INCEPTION, SYNCNET, Backbones
from .emotion_metrics import emotion_metrics
from .faces import Landmarks
from .learned_features import LPIPS, Inception
from .metrics import HIGHEST_PSNR, Frame, Metric, Need, Unmeasurable, perceptual_distance, table_metric
from .pictures import PerceptualDistance, flicker_ratio, frechet_distance, l1, laplacian_energy, psnr, ssim
from .sync_metrics import sync_metrics
from .time_series import (
    blink_rate,
    blink_rate_error,
    check_faces,
    moment,
    mouth_amplitude,
    mouth_correlation,
    opening_confidence,
    pose_error,
    pose_range,
    pose_speed,
)

SIDE = 256
"""Side of the pictures, in pixels, that distances of landmarks are given in."""
FLICKER_EVERY = 10
"""Interval of the pairs of neighbouring frames that flicker is measured on."""
NETWORK_FILES = {
    "lpips": (ALEXNET,),
    "fid": (INCEPTION,),
    "sync_conf": (SYNCNET,),
    "sync_dist": (SYNCNET,),
    "acc_emo_face_api": FACE_API,
}
"""Files that metrics need, by name of the metric."""

LMD = "Chen et al. 2018 (LMD), both mean points calibrated"
FOMM = "Siarohin et al. 2019 (FOMM), pose-evaluation"


def calibrated_distance(landmarks: Landmarks, target: Landmarks) -> float:
    """Mean distance of landmarks (K,2) after both sets are moved to the same mean point (LMD of Chen et al. 2018)."""
    centred = (landmarks - landmarks.mean(axis=0)) - (target - target.mean(axis=0))
    return float(np.linalg.norm(centred, axis=1).mean())


def keypoint_distance(landmarks: Landmarks, target: Landmarks) -> float:
    """Mean absolute difference of the coordinates of landmarks (K,2) (AKD of FOMM's pose-evaluation)."""
    return float(np.abs(landmarks - target).mean())


def paper_metrics(backbones: Backbones, every: int = 5) -> list[Metric]:
    """The metrics that can be computed, in the order of tables: those whose networks are there, and all others.

    `every`: interval of the frames that metrics of single pictures observe; 1: all, as in the paper.
    """
    table = metric_table(backbones, every).values()
    return [metric for metric in table if all(backbones.path(file) for file in NETWORK_FILES.get(metric.name, ()))]


def metric_table(backbones: Backbones | None = None, every: int = 5) -> dict[str, Metric]:
    """All metrics by name, in the order of tables. Networks are read when the first frame is observed."""
    backbones = Backbones() if backbones is None else backbones
    metrics = [
        *_picture_metrics(backbones, every),
        *_appearance_metrics(every),
        *_landmark_metrics(every),
        *_series_metrics(),
        *sync_metrics(backbones),
        *emotion_metrics(backbones),
    ]
    return {metric.name: metric for metric in metrics}


def _picture_metrics(backbones: Backbones, every: int) -> list[Metric]:
    same: dict[str, Any] = {"every": every, "same_person": True}
    metrics = [
        table_metric(
            "psnr",
            "PSNR",
            lambda f: min(psnr(f.rendered, f.true), HIGHEST_PSNR),
            "higher",
            unit="dB",
            source="as scikit-image, over all channels",
            **same,
        ),
        table_metric("ssim", "SSIM", lambda f: ssim(f.rendered, f.true), "higher", source="Wang et al. 2004", **same),
        table_metric("l1", "L1", lambda f: l1(f.rendered, f.true), "lower", source="mean absolute difference", **same),
    ]
    lpips = cache(lambda: LPIPS(backbones.require(ALEXNET)))
    inception = cache(lambda: Inception(backbones.require(INCEPTION)))
    metrics += [
        table_metric(
            "lpips",
            "LPIPS",
            lambda f: lpips()(f.rendered, f.true),
            "lower",
            source="Zhang et al. 2018, AlexNet, v0.1",
            network=ALEXNET.name,
            **same,
        ),
        table_metric(
            "perceptual",
            "perceptual (face mesh)",
            lambda f: perceptual_distance()(f.rendered, f.true),
            "lower",
            source="features of the shipped face mesh network",
            stands_in_for="LPIPS",
            network=PerceptualDistance.BACKBONE,
            **same,
        ),
        table_metric(
            "fid",
            "FID",
            lambda f: (inception().descriptor(f.true), inception().descriptor(f.rendered)),
            "lower",
            source="Heusel et al. 2017",
            network=INCEPTION.name,
            pool=frechet_distance,
            every=every,
        ),
        table_metric(
            "frechet_face_mesh",
            "Frechet distance (face mesh)",
            lambda f: (f.true_descriptor, f.rendered_descriptor),
            "lower",
            source="FID's formula on 128 features of the shipped face mesh network",
            stands_in_for="FID",
            network=PerceptualDistance.BACKBONE,
            pool=frechet_distance,
            every=every,
        ),
    ]
    return metrics


def _appearance_metrics(every: int) -> list[Metric]:
    same: dict[str, Any] = {"every": every, "same_person": True}
    return [
        table_metric(
            "aed_face_mesh",
            "AED (face mesh)",
            lambda f: float(np.abs(_unit(f.rendered_descriptor) - _unit(f.true_descriptor)).mean()),
            "lower",
            source=f"{FOMM}, on unit features of the face mesh network",
            stands_in_for="AED",
            network=PerceptualDistance.BACKBONE,
            **same,
        ),
        table_metric(
            "identity_face_mesh",
            "identity similarity (face mesh)",
            _similarity,
            "higher",
            source="cosine of face mesh features to the portrait's",
            stands_in_for="CSIM",
            network=PerceptualDistance.BACKBONE,
            every=every,
        ),
        table_metric(
            "sharpness",
            "sharpness",
            lambda f: laplacian_energy(f.rendered) / max(laplacian_energy(f.true), 1e-9),
            "near 1",
            source="energy of the Laplacian relative to the true frame's",
            every=every,
        ),
        table_metric(
            "flicker",
            "flicker",
            _frames_of_pairs,
            "near 1",
            summarise=_flicker,
            source="change between frames that motion does not explain, relative to the true frames'",
        ),
    ]


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9), np.float32)


def _similarity(frame: Frame) -> float:
    if not frame.portrait.size:
        raise Unmeasurable("no portrait")
    portrait = perceptual_distance().descriptor(frame.portrait)
    return float(_unit(frame.rendered_descriptor) @ _unit(portrait))


def _frames_of_pairs(frame: Frame) -> tuple[int, Frame] | None:
    return (frame.index, frame) if frame.index % FLICKER_EVERY in (0, 1) else None


def _flicker(values: Sequence[tuple[int, Frame] | None]) -> float:
    frames = dict(value for value in values if value is not None)
    pairs = [
        (frame, frames[index + 1])
        for index, frame in frames.items()
        if index % FLICKER_EVERY == 0 and index + 1 in frames
    ]
    if not pairs:
        raise Unmeasurable("no two neighbouring frames")
    return float(np.mean([flicker_ratio((a.rendered, b.rendered), (a.true, b.true)) for a, b in pairs]))


def _landmark_metrics(every: int) -> list[Metric]:
    def of(distance: Callable[[Landmarks, Landmarks], float], part: slice) -> Callable[[Frame], float]:
        def observe(frame: Frame) -> float:
            check_faces(frame)
            return distance(frame.rendered_landmarks[part] * SIDE, frame.true_landmarks[part] * SIDE)

        return observe

    details: dict[str, Any] = {"needs": Need.LANDMARKS, "every": every, "unit": "px of 256", "same_person": True}
    return [
        table_metric(
            "m_lmd_face_mesh",
            "M-LMD (face mesh)",
            of(calibrated_distance, MOUTH),
            "lower",
            source=LMD,
            stands_in_for="M-LMD",
            **details,
        ),
        table_metric(
            "f_lmd_face_mesh",
            "F-LMD (face mesh)",
            of(calibrated_distance, FACE),
            "lower",
            source=LMD,
            stands_in_for="F-LMD",
            **details,
        ),
        table_metric(
            "akd_face_mesh",
            "AKD (face mesh)",
            of(keypoint_distance, FACE),
            "lower",
            source=FOMM,
            stands_in_for="AKD",
            **details,
        ),
    ]


def _series_metrics() -> list[Metric]:
    def over_time(
        name: str,
        title: str,
        summarise: Callable[[Sequence[Any]], float],
        better: Any,
        unit: str = "",
        needs: Need = Need.LANDMARKS,
        **details: Any,
    ) -> Metric:
        return table_metric(name, title, moment, better, summarise=summarise, unit=unit, needs=needs, **details)

    return [
        over_time(
            "mouth_correlation",
            "mouth r",
            mouth_correlation,
            "higher",
            source="correlation of the mouth's opening with the true one",
        ),
        over_time(
            "mouth_amplitude",
            "mouth amplitude",
            mouth_amplitude,
            "near 1",
            source="deviation of the mouth's opening over that of the true one",
        ),
        over_time(
            "opening_confidence",
            "opening confidence",
            opening_confidence,
            "higher",
            needs=Need.LANDMARKS | Need.SOUND,
            stands_in_for="Sync_conf",
            source="correlation of opening and loudness, best shift minus median shift",
        ),
        over_time("pose_error", "head pose error", pose_error, "lower", "degrees", source="angle to the true head"),
        over_time("pose_range", "head pose range", pose_range, "near 1", source="deviation over that of the true head"),
        over_time("pose_speed", "head pose speed", pose_speed, "near 1", source="mean speed over the true head's"),
        over_time("blink_rate", "blinks", blink_rate, "near the truth", "a minute", source="eyes shut under 0.5 s"),
        over_time(
            "blink_rate_error",
            "blink error",
            blink_rate_error,
            "lower",
            "a minute",
            source="difference of the blinks a minute",
        ),
    ]
