"""Sampling for the image stages: frames of a person under one augmentation, and synthetic variations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import Clip, ClipStore, people_with_neutral_clips
from ..data.landmark_motion import LandmarkMotion
from ..face.landmarks import eye_opening, mouth_opening
from ..motion.motion import TRACKS
from ..networks.sizes import ModelSizes
from .augmentation import Augmentation
from .frame_edits import match_colours, move_landmarks, swap_mouth
from .stage import stack
from .typed_settings import Share

NEAR_FRAMES = 13
CONTRAST_CANDIDATES = 8
LABELLED_SHARE = 0.6
"""Share of the new expressions that are labelled emotions; the others are random."""

Array = NDArray[np.float32]
Random = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class PairSampling:
    """Selection of the frames of a sample. Shares are shares of the samples, 0 to 1."""

    near_frames_share: Share = 0.0
    """Share of the samples whose frames lie within half a second: the head hardly moves in between, so that
    mainly the mouth is learned."""
    contrast_share: Share = 0.0
    """Share of the samples whose second frame is, of 8 candidates, the one that differs most in mouth opening or, with
    equal probability, in eye opening: most of the time mouths are nearly closed and eyes open."""
    swapped_mouth_share: Share = 0.0
    """Share of the samples whose second frame is the first with the mouth of the second, or the second with the mouth
    of the first: lips move nothing else, and a head moves without its lips."""
    new_expression_share: Share = 0.0
    """Share of the samples whose second frame is warped to another expression, that of an emotion or any: few people
    were filmed in eight emotions."""
    exact_warp_share: Share = 0.0
    """Share of the samples that are one frame in two expressions by the 3D face, with their exact flow
    (losses.exact_flow). It requires expression_measure: face-model."""
    picture_share: Share = 0.0
    """Share of the samples that are exact warps of still pictures (`edtalk prepare --pictures`): there are pictures of
    many more people than videos. It requires expression_measure: face-model."""

    @property
    def exact_warps(self) -> bool:
        """Whether any of the samples are exact warps."""
        return bool(self.exact_warp_share or self.picture_share)


@dataclass(frozen=True, kw_only=True)
class EmotionalSampling(PairSampling):
    """Settings of `PairSampling`, and the shares of samples with a labelled emotion."""

    emotional_share: Share = 0.5
    """Share of the samples that come from clips with a labelled emotion; the rest come from all clips."""
    across_clips_share: Share = 0.0
    """Share of the emotional samples whose two frames come from different clips of the person: they differ
    mainly in emotion. For clips recorded under the same conditions, as in MEAD."""


@dataclass
class Sample:
    """Frames of one person under the same augmentation."""

    clips: Sequence[Clip]
    """The clip of each frame."""
    images: Array
    """(frames,3,S,S) in [-1,1]."""
    landmarks: Array
    """(frames,68,2) in [-1,1]."""
    weights: dict[str, Array]
    """Weights measured on the landmarks, by track (frames,bases); empty when none are measured."""
    exact_flow: Array | None = None
    """(2,S,S): position in the first frame of each pixel of the second, x and y in [-1,1]; None: unknown."""


ChooseClips = Callable[[Random, int], Sequence[Clip]]
"""Chooses the clip of each frame of a sample, from a random generator and the number of frames."""
Measure = Callable[[Clip, Array, bool], dict[str, Array]]
"""Measures weights (1,bases) by track, from a clip, landmarks (68,2) of a frame and whether they are mirrored."""
Variation = Callable[[Sample, Random], bool]
"""Changes a sample in place, or leaves it unchanged; returns whether it changed the sample."""


def single_clip(store: ClipStore) -> ChooseClips:
    """Choose all frames of a sample from a single clip."""
    return lambda rng, frames: [store.sample_clip(rng)] * frames


def clips_across_emotions(store: ClipStore, share: float) -> ChooseClips:
    """Like `single_clip`, but the second frame of a share of the samples is from any clip of the same person."""

    def choose(rng: Random, frames: int) -> Sequence[Clip]:
        clips = [store.sample_clip(rng)] * frames
        if rng.random() < share:
            others = [clip for clip in store.clips if clip.info.person == clips[0].info.person]
            clips[1] = others[int(rng.integers(len(others)))]
        return clips

    return choose


def choose_frames(rng: Random, clips: Sequence[Clip], settings: PairSampling) -> NDArray[np.int64]:
    """Choose a frame of each clip: indexes (frames,)."""
    length, frames = min(map(len, clips)), len(clips)
    near = rng.random() < settings.near_frames_share
    window = min(length, NEAR_FRAMES) if near else length
    first = int(rng.integers(length - window + 1))
    chosen = first + rng.choice(window, frames, replace=window < frames)
    if rng.random() < settings.contrast_share:
        candidates = rng.integers(length, size=CONTRAST_CANDIDATES)
        opening = mouth_opening if rng.random() < 0.5 else eye_opening
        openings = opening(clips[1].landmarks[candidates] / clips[1].size)
        own = opening(clips[0].landmarks[chosen[0]] / clips[0].size)
        chosen[1] = candidates[np.abs(openings - own).argmax()]
    return np.asarray(chosen)


class FrameSampler:
    """Draws batches of samples.

    Args:
        choose_clips: chooses the clips of a sample's frames.
        settings: selection of the frames.
        frames: number of frames of a sample.
        resolution: side of its images.
        augmentation: strength of the augmentation, see `Augmentation`.
        measure: see `weights_measure`; None: samples have no measured weights.
        variations: tried in order until one changes the sample.
        sources: for further shares of the samples, functions that choose their clips instead of `choose_clips`.
    """

    def __init__(
        self,
        choose_clips: ChooseClips,
        settings: PairSampling,
        *,
        frames: int,
        resolution: int,
        augmentation: float,
        measure: Measure | None = None,
        variations: Sequence[Variation] = (),
        sources: Sequence[tuple[float, ChooseClips]] = (),
    ) -> None:
        self.choose_clips, self.settings, self.frames = choose_clips, settings, frames
        self.resolution, self.augmentation = resolution, augmentation
        self.measure, self.variations, self.sources = measure, variations, sources

    def draw(self, rng: Random, samples: int) -> dict[str, Tensor]:
        """Draw a batch: "images" (B,frames,3,S,S), "landmarks" (B,frames,68,2) and, if measured, "lip", "pose" and
        "expression" (B,frames,bases); with exact warps, "exact_flow" (B,2,S,S), NaN for other samples."""
        choices: list[ChooseClips] = []
        for share, choose_clips in self.sources:
            choices += [choose_clips] * min(int(rng.binomial(samples, share)), samples - len(choices))
        choices += [self.choose_clips] * (samples - len(choices))
        rows = [self.sample(rng, choose_clips) for choose_clips in choices]
        columns = [{"images": row.images, "landmarks": row.landmarks, **row.weights} for row in rows]
        if self.settings.exact_warps:
            unknown = np.full((2, self.resolution, self.resolution), np.nan, np.float32)
            for row, column in zip(rows, columns, strict=True):
                column["exact_flow"] = unknown if row.exact_flow is None else row.exact_flow
        return {name: stack([column[name] for column in columns]) for name in columns[0]}

    def sample(self, rng: Random, choose_clips: ChooseClips) -> Sample:
        """Draw a sample."""
        clips = choose_clips(rng, self.frames)
        view = Augmentation.draw(rng, self.augmentation)
        indexes = choose_frames(rng, clips, self.settings)
        images, landmarks = (
            np.stack(arrays)
            for arrays in zip(
                *(view.apply(clip, int(i), self.resolution) for clip, i in zip(clips, indexes, strict=True)),
                strict=True,
            )
        )
        for frame in range(1, len(clips)):
            if clips[frame] is not clips[0]:
                # Clips may differ in lighting, which is not motion.
                images[frame] = match_colours(images[frame], images[0])
        weights: dict[str, Array] = {}
        if self.measure is not None:
            measured = [self.measure(clip, points, view.mirror) for clip, points in zip(clips, landmarks, strict=True)]
            weights = {name: np.concatenate([frame[name] for frame in measured]) for name in measured[0]}
        sample = Sample(clips, images, landmarks, weights)
        for vary in self.variations:
            if vary(sample, rng):
                break
        return sample


def weights_measure(motion: LandmarkMotion, sizes: ModelSizes) -> Measure:
    """Measure weights by landmarks, as many of each track as the model has bases."""

    def measure(clip: Clip, points: Array, mirrored: bool) -> dict[str, Array]:
        measured = motion.measure(points[None], clip.info.name, mirrored)
        return {name: measured[name][:, : getattr(sizes, name)] for name in TRACKS}

    return measure


def swapped_mouth(share: float) -> Variation:
    """Variation that composes the second frame from the head of one frame and the mouth of the other."""

    def vary(sample: Sample, rng: Random) -> bool:
        if not (rng.random() < share and sample.clips[0] is sample.clips[1]):
            return False
        head, mouth = (0, 1) if rng.random() < 0.5 else (1, 0)
        sample.images[1], sample.landmarks[1] = swap_mouth(
            sample.images[head], sample.landmarks[head], sample.images[mouth], sample.landmarks[mouth]
        )
        for name, weights in sample.weights.items():
            weights[1] = weights[mouth if name == "lip" else head]
        return True

    return vary


def new_expression(share: float, motion: LandmarkMotion, clips: Sequence[Clip]) -> Variation:
    """Variation that warps the second frame to another expression: an emotion of `clips` or a random one."""
    emotions, spread = measure_expressions(motion, clips)

    def vary(sample: Sample, rng: Random) -> bool:
        if not rng.random() < share:
            return False
        if emotions and rng.random() < LABELLED_SHARE:
            change = emotions[int(rng.integers(len(emotions)))] * rng.uniform(0.4, 2.0)
        else:
            change = np.asarray(rng.normal(size=len(spread)) * spread)
        change = change[: sample.weights["expression"].shape[1]]
        moved = motion.change_expression(sample.landmarks[1:2], change)[0]
        sample.images[1] = move_landmarks(sample.images[1], sample.landmarks[1], moved)
        sample.landmarks[1] = moved
        sample.weights["expression"][1] += change
        return True

    return vary


def measure_expressions(
    motion: LandmarkMotion, clips: Sequence[Clip]
) -> tuple[list[NDArray[np.floating]], NDArray[np.floating]]:
    """Mean expression weights (expression,) of each emotion in clips, and standard deviations over all frames.

    Emotions are measured on people who also have neutral clips.
    """
    neutral = people_with_neutral_clips(clips)
    emotions: dict[str, list[NDArray[np.floating]]] = {}
    frames = []
    for clip in clips:
        weights = motion.expression(clip.points, clip.info.name, False)
        frames.append(weights[::5])
        if clip.info.person in neutral:
            emotions.setdefault(clip.info.emotion, []).append(weights.mean(0))
    return [np.mean(means, axis=0) for means in emotions.values()], np.concatenate(frames).std(0)
