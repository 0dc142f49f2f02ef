"""The table of metrics that are measured on true and rendered frames. What each means: see `edtalk_core.evaluation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.correlation import correlation
from ..face.landmarks import FACE, MOUTH
from .faces import Landmarks, Picture, landmark_distance, relative_mouth_opening
from .pictures import PerceptualDistance, l1, psnr, ssim
from .protocols import SPEECH_EVERY

REENACTMENT_EVERY = 5
HIGHEST_PSNR = 60.0
"""dB; what frames that equal each other count as, so that a mean stays a number."""

Direction = Literal["higher", "lower", "near 0", "near 1"]
"""Which figures are better."""


class Need(Flag):
    """What a metric looks at beside the pictures."""

    FRAMES = auto()
    """The true and the rendered picture, which every metric gets."""
    LANDMARKS = auto()
    """The landmarks of both."""
    SOUND = auto()
    """The mel window of the frame. Takes without sound are left out."""


@dataclass(frozen=True)
class Frame:
    """One frame of a take: as it was, as it was rendered, and what else the metrics need.

    Landmarks are in shares of the picture's side, 0 to 1 from edge to edge. What no metric needs is empty.
    """

    index: int
    true: Picture
    """(S,S,3)."""
    rendered: Picture
    """(S,S,3)."""
    true_landmarks: Landmarks = field(default_factory=lambda: np.empty((0, 2)))
    """(68,2)."""
    rendered_landmarks: Landmarks = field(default_factory=lambda: np.empty((0, 2)))
    """(68,2)."""
    mel: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(80,16), the window of the frame in the sound that it was rendered for."""


def mean(values: Sequence[Any]) -> float:
    """Mean over frames."""
    return float(np.mean(values))


@dataclass(frozen=True)
class Metric:
    """A figure of a clip, measured on one take of a protocol."""

    name: str
    """Key of the figure in results."""
    protocol: str
    take: str
    observe: Callable[[Frame], Any]
    """What is kept of a frame."""
    better: Direction
    summarise: Callable[[Sequence[Any]], float] = mean
    """The clip's figure from what was kept of its frames, in order."""
    unit: str = ""
    """Empty for ratios."""
    needs: Need = Need.FRAMES
    every: int = 1
    """Frames whose number is a multiple of this are looked at: 1 for all."""
    network: str = ""
    """What network it looks through, where its figures only compare with those of the same one."""


@dataclass(frozen=True)
class Summary:
    """A figure of all clips together, from the means of metrics."""

    name: str
    protocol: str
    metrics: tuple[str, ...]
    """Those whose means it compares."""
    compute: Callable[[Mapping[str, float]], float]
    better: Direction
    unit: str = ""


@cache
def perceptual_distance() -> PerceptualDistance:
    """The distance with its network, which is read once."""
    return PerceptualDistance()


def openings(frame: Frame) -> tuple[float, float]:
    """Relative mouth opening of the true and of the rendered face."""
    return float(relative_mouth_opening(frame.true_landmarks)), float(relative_mouth_opening(frame.rendered_landmarks))


def opening_correlation(values: Sequence[tuple[float, float]]) -> float:
    """Correlation over time of the rendered with the true mouth opening, without a search for a lag."""
    true, rendered = np.array(values).T
    return correlation(rendered, true)


def opening_amplitude(values: Sequence[tuple[float, float]]) -> float:
    """Deviation over time of the rendered mouth opening over that of the true one."""
    true, rendered = np.array(values).T
    return float(rendered.std() / true.std())


def _distance_of(part: slice) -> Callable[[Frame], float]:
    return lambda frame: landmark_distance(frame.rendered_landmarks, frame.true_landmarks, part)


def _likeness(name: str, observe: Callable[[Frame], float], better: Direction, **details: Any) -> Metric:
    """A metric of how like the true frames the reenacted ones are."""
    return Metric(name, "reenactment", "rendered", observe, better, every=REENACTMENT_EVERY, **details)


def _opening(name: str, take: str, summarise: Callable[[Sequence[Any]], float], better: Direction) -> Metric:
    """A metric of how the mouth opens to sound."""
    return Metric(name, "mouth", take, openings, better, summarise, needs=Need.LANDMARKS, every=SPEECH_EVERY)


def _below_repeat(name: str) -> Summary:
    """The share by which a distance is smaller than that of the repeated first frame."""
    names = name, f"repeat_{name}"
    return Summary(
        f"{name}_below_repeat",
        "reenactment",
        names,
        lambda means: 1 - means[name] / max(means[names[1]], 1e-9),
        "higher",
    )


_LIKENESS = (
    _likeness("l1", lambda frame: l1(frame.rendered, frame.true), "lower"),
    _likeness("psnr", lambda frame: min(psnr(frame.rendered, frame.true), HIGHEST_PSNR), "higher", unit="dB"),
    _likeness("ssim", lambda frame: ssim(frame.rendered, frame.true), "higher"),
    _likeness(
        "perceptual",
        lambda frame: perceptual_distance()(frame.rendered, frame.true),
        "lower",
        network=PerceptualDistance.BACKBONE,
    ),
    _likeness("mouth_lmd", _distance_of(MOUTH), "lower", unit="eye distances", needs=Need.LANDMARKS),
    _likeness("face_lmd", _distance_of(FACE), "lower", unit="eye distances", needs=Need.LANDMARKS),
)

METRICS: tuple[Metric, ...] = (
    *_LIKENESS,
    *(replace(metric, name=f"repeat_{metric.name}", take="repeat") for metric in _LIKENESS),
    _opening("own", "own", opening_correlation, "higher"),
    _opening("other", "other", opening_correlation, "near 0"),
    _opening("amplitude", "own", opening_amplitude, "near 1"),
)
"""Every metric, in the order of results; each of likeness also of the repeated first frame."""

SUMMARIES: tuple[Summary, ...] = (
    _below_repeat("l1"),
    Summary(
        "psnr_above_repeat",
        "reenactment",
        ("psnr", "repeat_psnr"),
        lambda means: means["psnr"] - means["repeat_psnr"],
        "higher",
        "dB",
    ),
    _below_repeat("perceptual"),
)
"""Every comparison of means."""
