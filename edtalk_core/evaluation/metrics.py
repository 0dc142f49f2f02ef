"""Table of the metrics of true and rendered frames. Their meanings are described in `edtalk_core.evaluation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.correlation import correlation
from ..errors import EDTalkError
from ..face.landmarks import FACE, MOUTH
from .faces import Landmarks, Picture, landmark_distance, relative_mouth_opening
from .pictures import PerceptualDistance, l1, psnr, ssim
from .protocols import SPEECH_EVERY

REENACTMENT_EVERY = 5
HIGHEST_PSNR = 60.0
"""PSNR in dB of identical frames, so that means are finite."""

Direction = Literal["higher", "lower", "near 0", "near 1", "near the truth"]
"""Better direction of a figure."""


class Unmeasurable(EDTalkError):
    """A frame or clip without a figure; the message is the reason, by which such frames and clips are counted."""


class Need(Flag):
    """Inputs of a metric besides the pictures."""

    FRAMES = auto()
    """The true and the rendered picture, available to every metric."""
    LANDMARKS = auto()
    """The landmarks of both."""
    SOUND = auto()
    """The mel window of the frame. Takes without sound are skipped."""
    WAVEFORM = auto()
    """The waveform of the clip, if it has one."""


@dataclass(frozen=True)
class Frame:
    """One frame of a take: the true and the rendered picture, and further inputs of metrics.

    Landmarks are relative to the picture's side, 0 to 1 from edge to edge. Inputs that no metric needs are empty.
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
    """(80,16): mel window of the frame in the sound that drives it."""
    waveform: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    """(N,): the sound that drives the take, at 16 kHz from its first frame on; empty for clips without one."""
    true_presence: float = 1.0
    """Confidence that the true frame shows a face where its landmarks are, 0 to 1."""
    rendered_presence: float = 1.0
    """The same for the rendered frame."""
    portrait: Picture = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    """(S,S,3): the picture that is animated; empty where a take has none."""
    label: str = ""
    """Emotion that the clip is labelled with; empty: unknown."""

    @cached_property
    def true_descriptor(self) -> NDArray[np.float32]:
        """Face mesh features of the true picture, see `PerceptualDistance.descriptor`; for all metrics that need it."""
        return perceptual_distance().descriptor(self.true)

    @cached_property
    def rendered_descriptor(self) -> NDArray[np.float32]:
        """The same of the rendered picture."""
        return perceptual_distance().descriptor(self.rendered)


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
    """Computes an observation from a frame."""
    better: Direction
    summarise: Callable[[Sequence[Any]], float] = mean
    """Computes the clip's figure from the observations of its frames, in order."""
    unit: str = ""
    """Empty for ratios."""
    needs: Need = Need.FRAMES
    every: int = 1
    """Interval of observed frames: 1 for all."""
    network: str = ""
    """Name of the network it uses, if figures are comparable only for the same network."""
    title: str = ""
    """Name in tables."""
    source: str = ""
    """Where the metric is defined."""
    stands_in_for: str = ""
    """Title of the metric that it takes the place of where that one's network is missing."""
    same_person: bool = False
    """Whether it compares pixels, so that the true frames must show the portrait's person."""
    classify: Callable[[Sequence[Any]], str] | None = None
    """Class that is seen in a clip, from the observations of its frames, for a matrix of confusion."""
    pool: Callable[[NDArray[np.float32], NDArray[np.float32]], float] | None = None
    """Figure of all clips together from the features (N,D) of true and of rendered frames, which `observe` returns;
    the clip itself has none."""


def table_metric(name: str, title: str, observe: Callable[[Frame], Any], better: Direction, **details: Any) -> Metric:
    """A metric of the paper's protocols, whatever the protocol."""
    return Metric(name, "paper", "rendered", observe, better, title=title, **details)


@dataclass(frozen=True)
class Summary:
    """A figure of all clips together, from the means of metrics."""

    name: str
    protocol: str
    metrics: tuple[str, ...]
    """Metrics whose means it uses."""
    compute: Callable[[Mapping[str, float]], float]
    better: Direction
    unit: str = ""


@cache
def perceptual_distance() -> PerceptualDistance:
    """The perceptual distance, cached because it loads a network."""
    return PerceptualDistance()


def openings(frame: Frame) -> tuple[float, float]:
    """Relative mouth openings of the true and the rendered face."""
    return float(relative_mouth_opening(frame.true_landmarks)), float(relative_mouth_opening(frame.rendered_landmarks))


def opening_correlation(values: Sequence[tuple[float, float]]) -> float:
    """Correlation over time of the rendered with the true mouth opening, without a search over lags."""
    true, rendered = np.array(values).T
    return correlation(rendered, true)


def opening_amplitude(values: Sequence[tuple[float, float]]) -> float:
    """Standard deviation over time of the rendered mouth opening relative to that of the true one."""
    true, rendered = np.array(values).T
    return float(rendered.std() / true.std())


def _landmark_distance(part: slice) -> Callable[[Frame], float]:
    return lambda frame: landmark_distance(frame.rendered_landmarks, frame.true_landmarks, part)


def _similarity(name: str, observe: Callable[[Frame], float], better: Direction, **details: Any) -> Metric:
    """A metric of the similarity between reenacted and true frames."""
    return Metric(name, "reenactment", "rendered", observe, better, every=REENACTMENT_EVERY, **details)


def _opening(name: str, take: str, summarise: Callable[[Sequence[Any]], float], better: Direction) -> Metric:
    """A metric of the mouth opening driven by sound."""
    return Metric(name, "mouth", take, openings, better, summarise, needs=Need.LANDMARKS, every=SPEECH_EVERY)


def _below_repeat(name: str) -> Summary:
    """Relative improvement of a distance on that of the repeated first frame."""
    names = name, f"repeat_{name}"
    return Summary(
        f"{name}_below_repeat",
        "reenactment",
        names,
        lambda means: 1 - means[name] / max(means[names[1]], 1e-9),
        "higher",
    )


_SIMILARITY = (
    _similarity("l1", lambda frame: l1(frame.rendered, frame.true), "lower"),
    _similarity("psnr", lambda frame: min(psnr(frame.rendered, frame.true), HIGHEST_PSNR), "higher", unit="dB"),
    _similarity("ssim", lambda frame: ssim(frame.rendered, frame.true), "higher"),
    _similarity(
        "perceptual",
        lambda frame: perceptual_distance()(frame.rendered, frame.true),
        "lower",
        network=PerceptualDistance.BACKBONE,
    ),
    _similarity("mouth_lmd", _landmark_distance(MOUTH), "lower", unit="eye distances", needs=Need.LANDMARKS),
    _similarity("face_lmd", _landmark_distance(FACE), "lower", unit="eye distances", needs=Need.LANDMARKS),
)

METRICS: tuple[Metric, ...] = (
    *_SIMILARITY,
    *(replace(metric, name=f"repeat_{metric.name}", take="repeat") for metric in _SIMILARITY),
    _opening("own", "own", opening_correlation, "higher"),
    _opening("other", "other", opening_correlation, "near 0"),
    _opening("amplitude", "own", opening_amplitude, "near 1"),
)
"""All metrics, in the order of results; similarity metrics also for the repeated first frame."""

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
"""All summaries."""
