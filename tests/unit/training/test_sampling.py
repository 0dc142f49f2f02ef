"""Samples of frames, and variations that were never filmed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import tiny_settings

from edtalk_core.data.clips import ClipStore
from edtalk_core.data.landmark_motion import LandmarkMotion
from edtalk_core.face.landmarks import JAW, STABLE, eye_opening, mouth_opening
from edtalk_core.training.loop import starting_model
from edtalk_core.training.sampling import (
    FrameSampler,
    PairSampling,
    Sample,
    clips_across_emotions,
    measure_expressions,
    single_clip,
)
from edtalk_core.training.stage import Stage
from edtalk_core.training.stages import STAGES


def stage_of(name: str, data: Path, out: Path, *, resolution: int, **values: Any) -> Stage:
    channels = {px: 8 for px in (4, 8, 16, 32, 64) if px <= resolution}
    settings = tiny_settings(name, data, out, resolution=resolution, channels=channels, **values)
    return STAGES[name](starting_model(settings), settings)


@pytest.mark.parametrize("seed", range(4))
def test_swapped_frame_has_the_mouth_of_one_and_the_head_of_the_other(seed: int, face_store: Path, tmp_path: Path):
    frames, mixed = (
        stage_of(
            "autoencoder",
            face_store,
            tmp_path,
            resolution=32,
            losses={"reading": 1.0, "adversarial": 0.0},
            sampling={"swapped_mouth_share": share},
        ).batch(np.random.default_rng([5, seed]))
        for share in (0.0, 1.0)
    )
    assert torch.equal(mixed["images"][0, 0], frames["images"][0, 0])
    pose_of = [torch.equal(mixed["pose"][0, 1], frames["pose"][0, i]) for i in (0, 1)]
    lip_of = [torch.equal(mixed["lip"][0, 1], frames["lip"][0, i]) for i in (0, 1)]
    assert pose_of == lip_of[::-1]
    head = pose_of.index(True)
    nose = slice(27, 36)
    assert torch.allclose(mixed["landmarks"][0, 1, nose], frames["landmarks"][0, head, nose], atol=1e-5)


def test_contrast_prefers_mouths_and_eyes_that_differ(face_store: Path):
    store = ClipStore(face_store)

    def mean_difference(share: float, opening: Callable[[np.ndarray], np.ndarray]) -> float:
        sampling = PairSampling(contrast_share=share)
        sampler = FrameSampler(single_clip(store), sampling, frames=2, resolution=16, augmentation=0.0)
        landmarks = sampler.draw(np.random.default_rng(0), 60)["landmarks"].numpy()
        return float(np.abs(np.diff(opening(landmarks), axis=1)).mean())

    for opening, times in ((mouth_opening, 1.3), (eye_opening, 1.1)):
        assert mean_difference(1.0, opening) > times * mean_difference(0.0, opening)


def test_expressed_face_measures_as_the_expression_it_was_given(face_store: Path):
    clips = ClipStore(face_store).clips
    motion = LandmarkMotion(clips, 20, 10)
    _, spread = measure_expressions(motion, clips)
    for clip in clips:
        points = clip.points[:3]
        before = motion.measure(points, clip.info.name)
        for weight in range(2):
            change = np.eye(10)[weight] * 2 * spread[weight]
            moved = motion.change_expression(points, change)
            after = motion.measure(moved, clip.info.name)
            assert np.array_equal(moved[:, JAW], points[:, JAW])
            assert np.array_equal(moved[:, STABLE], points[:, STABLE])
            assert np.abs(moved - points).max() > 1e-4
            assert after["pose"] == pytest.approx(before["pose"], abs=0.3)
            grown = after["expression"] - before["expression"]
            assert grown[:, weight] == pytest.approx(np.full(3, change[weight]), rel=0.4)
            rest = np.delete(grown, weight, axis=1)
            assert np.abs(rest).max() < 0.4 * change[weight]


def test_everybody_shows_expressions(face_store: Path, tmp_path: Path):
    plain, drawn = (
        stage_of(
            "expression",
            face_store,
            tmp_path,
            resolution=64,
            measured_weights_share=1.0,
            sampling={"emotional_share": 0.0, "new_expression_share": share},
        ).batch(np.random.default_rng(2))
        for share in (0.0, 1.0)
    )
    # The same first sample, but for the expression of its second frame.
    assert torch.equal(plain["images"][0, 0], drawn["images"][0, 0])
    assert not torch.equal(plain["images"][0, 1], drawn["images"][0, 1])
    for name in ("lip", "pose"):
        assert torch.equal(plain[name][0], drawn[name][0])
    assert (drawn["expression"][0, 1] - plain["expression"][0, 1]).abs().max() > 0.1
    moved = (drawn["landmarks"][0, 1] - plain["landmarks"][0, 1]).abs().amax(1)
    assert moved[:17].max() == 0
    assert moved[17:27].max() > 1e-3


def test_samples_across_clips_are_of_one_person_in_the_light_of_the_first(face_store: Path):
    store = ClipStore(face_store, emotion=True)
    for clip in store.clips:
        clip.info = dataclasses.replace(clip.info, person="both")
    sampler = FrameSampler(clips_across_emotions(store, 1.0), PairSampling(), frames=2, resolution=16, augmentation=0.0)
    samples = [sampler.sample(np.random.default_rng(seed), sampler.choose_clips) for seed in range(20)]
    across = [sample for sample in samples if sample.clips[0] is not sample.clips[1]]
    assert across
    for sample in across:
        means = sample.images.mean((2, 3))
        assert means[1] == pytest.approx(means[0], abs=1e-4)


def test_share_of_emotional_samples_is_drawn_first(face_store: Path):
    store, emotional = ClipStore(face_store), ClipStore(face_store, emotion=True)
    seen: list[str] = []

    def watched(rng: np.random.Generator, frames: int) -> list[Any]:
        clips = [emotional.sample_clip(rng)] * frames
        seen.append(clips[0].info.name)
        return clips

    sampler = FrameSampler(
        single_clip(store), PairSampling(), frames=2, resolution=16, augmentation=0.0, sources=[(0.5, watched)]
    )
    sampler.draw(np.random.default_rng(0), 200)
    assert 70 < len(seen) < 130
    assert set(seen) == {"anna", "bert"}


def test_first_variation_that_changes_a_sample_is_the_last_that_is_tried(face_store: Path):
    tried = []

    def variation(name: str, changes: bool) -> Any:
        def vary(sample: Sample, rng: np.random.Generator) -> bool:
            tried.append(name)
            return changes

        return vary

    sampler = FrameSampler(
        single_clip(ClipStore(face_store)),
        PairSampling(),
        frames=2,
        resolution=16,
        augmentation=0.0,
        variations=[variation("a", False), variation("b", True), variation("c", True)],
    )
    sampler.draw(np.random.default_rng(0), 1)
    assert tried == ["a", "b"]
