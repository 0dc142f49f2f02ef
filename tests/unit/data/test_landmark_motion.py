"""Motion measured on landmarks: each weight is moved by what it is named for, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edtalk_core.data.clips import Clip, ClipStore
from edtalk_core.data.landmark_motion import SPREAD, LandmarkMotion
from edtalk_core.face.landmarks import MIRRORED, mouth_opening

POSE = ("x", "y", "size", "roll", "yaw", "pitch")


@pytest.fixture(scope="module")
def clips(face_store: Path) -> list[Clip]:
    return ClipStore(face_store).clips


@pytest.fixture(scope="module")
def measure(clips: list[Clip]) -> LandmarkMotion:
    return LandmarkMotion(clips, lip=6, expression=4)


def test_tracks_have_a_weight_for_each_base(measure: LandmarkMotion, clips: list[Clip]):
    tracks = measure.measure(clips[0].points, clips[0].info.name)
    shapes = {name: (values.shape, values.dtype) for name, values in tracks.items()}
    frames = len(clips[0])
    assert shapes == {
        "lip": ((frames, 6), np.float32),
        "pose": ((frames, 6), np.float32),
        "expression": ((frames, 4), np.float32),
    }


def test_pose_spreads_alike_over_the_clips(measure: LandmarkMotion, clips: list[Clip]):
    # It is fitted on every fifth frame.
    pose = np.concatenate([measure.pose(clip.points)[::5] for clip in clips])
    assert pose.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-9)
    assert pose.std(axis=0) == pytest.approx(np.full(6, SPREAD))


@pytest.mark.parametrize(
    ("weight", "move"),
    [
        ("x", lambda points: points + np.array([0.1, 0.0])),
        ("y", lambda points: points + np.array([0.0, 0.1])),
        ("size", lambda points: 1.1 * points - 0.1 * points.mean(axis=1, keepdims=True)),
    ],
    ids=["x", "y", "size"],
)
def test_moved_face_has_another_pose_and_the_same_mouth(
    weight: str, move: Callable[[np.ndarray], np.ndarray], measure: LandmarkMotion, clips: list[Clip]
):
    points, name = clips[0].points, clips[0].info.name
    before, after = measure.measure(points, name), measure.measure(move(points), name)
    change = after["pose"] - before["pose"]
    number = POSE.index(weight)
    assert (change[:, number] > 0.5).all()
    if weight != "size":  # a face that grows about its middle takes the nose along
        assert np.abs(np.delete(change, number, axis=1)).max() < 1e-4
    assert np.abs(np.delete(change, [0, 1, 2], axis=1)).max() < 1e-4
    for track in ("lip", "expression"):
        assert after[track] == pytest.approx(before[track], abs=1e-4)


def test_first_lip_weight_opens_the_mouth(measure: LandmarkMotion, clips: list[Clip]):
    for clip in clips:
        opening = mouth_opening(clip.points)
        lip = measure.lip(clip.points, clip.info.name, mirrored=False)
        assert np.corrcoef(opening, lip[:, 0])[0, 1] > 0.8


def test_tilted_face_rolls_and_turned_face_yaws(measure: LandmarkMotion, clips: list[Clip]):
    points = clips[0].points
    angle = 0.1
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    change = measure.pose(points @ rotation) - measure.pose(points)
    assert np.abs(change[:, 3]).min() > 0.5
    assert np.abs(change[:, 4:]).max() < 1e-6  # yaw and pitch are in the face's own axes


def test_mirrored_face_turns_the_other_way_and_speaks_the_same(measure: LandmarkMotion, clips: list[Clip]):
    clip = clips[0]
    mirrored = (clip.points * [-1, 1])[:, MIRRORED]
    own, other = (
        measure.measure(points, clip.info.name, mirrored=flag)
        for points, flag in ((clip.points, False), (mirrored, True))
    )
    scale, centre = measure.pose_scale / SPREAD, measure.pose_mean
    yaw, mirrored_yaw = (track["pose"][:, 4] * scale[4] + centre[4] for track in (own, other))
    assert mirrored_yaw == pytest.approx(-yaw, abs=1e-4)
    assert np.corrcoef(own["lip"][:, 0], other["lip"][:, 0])[0, 1] > 0.99
