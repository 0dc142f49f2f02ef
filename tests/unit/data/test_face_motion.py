"""Expressions measured with the 3D face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edtalk_core.data.clips import Clip, ClipInfo, encode_frame, write_clip
from edtalk_core.data.face_motion import EMOTIONS, FaceMotion, emotion_amounts, emotion_presets, mirror
from edtalk_core.errors import ArgumentError
from edtalk_core.face.expression_warp import UNIT
from edtalk_core.face.face_model import EXPRESSION_BASES, face_model
from edtalk_core.face.landmarks import MIRRORED
from edtalk_core.motion.presets import EMOTIONS as EMOTION_NAMES

BASES = list(EXPRESSION_BASES)
FRAMES = 40


def write(folder: Path, name: str, person: str, emotion: str, amounts: dict[str, np.ndarray], jaw: np.ndarray) -> Clip:
    """A prepared clip whose landmarks are the mesh's, at amounts (T,) of bases and of an open jaw."""
    model = face_model()
    points = np.tile(model.neutral[model.landmarks] + model.landmark_offsets, (FRAMES, 1, 1))
    for base, track in amounts.items():
        points += track[:, None, None] * model.fitted[BASES.index(base)][model.landmarks]
    points += jaw[:, None, None] * model.displacement({"jawOpen": 1.0})[model.landmarks]
    # The head turns a little, as heads do.
    yaw = np.radians(4) * np.sin(np.arange(FRAMES) / 5)
    turned = points[..., 0] * np.cos(yaw)[:, None] + points[..., 2] * np.sin(yaw)[:, None]
    landmarks = np.stack([turned * 9 + 128, points[..., 1] * -9 + 128], -1)
    picture = encode_frame(np.full((256, 256, 3), 128, np.uint8))
    path = folder / f"{name}.safetensors"
    write_clip(path, ClipInfo(name, person, "train", emotion), [picture] * FRAMES, landmarks.astype(np.float32), None)
    return Clip(path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """One person calm, and smiling with brows that go up and down; both speak."""
    folder, time = tmp_path_factory.mktemp("clips"), np.arange(FRAMES)
    speech = 0.1 * (1 + np.sin(time))
    brows = 0.4 + 0.4 * np.sin(time / 4)
    smile = np.full(FRAMES, 0.8)
    return {
        "calm": write(folder, "calm", "ann", "neutral", {}, speech),
        "happy": write(folder, "happy", "ann", "happy", {"inner brows": brows, "smile": smile}, speech),
    }


def test_brows_are_told_by_frame_and_the_mouth_by_clip(clips: dict[str, Clip]):
    motion = FaceMotion(clips.values(), 20, len(BASES))
    weights = motion.expression(clips["happy"].points, "happy", False) / UNIT
    brows, smile = weights[:, BASES.index("inner brows")], weights[:, BASES.index("smile")]
    truth = 0.4 + 0.4 * np.sin(np.arange(FRAMES) / 4)
    assert np.corrcoef(brows, truth)[0, 1] > 0.97
    assert np.ptp(brows) == pytest.approx(0.8, rel=0.35)
    assert np.ptp(smile) == 0
    assert smile[0] == pytest.approx(0.8, rel=0.35)
    others = np.delete(weights, [BASES.index("inner brows"), BASES.index("smile")], axis=1)
    assert np.abs(others.mean(axis=0)).max() < 0.3


def test_calm_person_has_no_expression(clips: dict[str, Clip]):
    motion = FaceMotion(clips.values(), 20, len(BASES))
    weights = motion.expression(clips["calm"].points, "calm", False) / UNIT
    assert np.abs(weights.mean(axis=0)).max() < 0.1


def test_mirrored_person_has_the_same_expression(clips: dict[str, Clip]):
    motion = FaceMotion(clips.values(), 20, len(BASES))
    points = clips["happy"].points[:8]
    plain = motion.expression(points, "happy", False)
    mirrored = motion.expression(mirror(points), "happy", True)
    symmetric = [index for index, base in enumerate(BASES) if base != "corner"]
    np.testing.assert_allclose(mirrored[:, symmetric], plain[:, symmetric], atol=0.15 * UNIT)


def test_mirror_swaps_sides():
    points = np.random.default_rng(0).normal(size=(2, 68, 2))
    np.testing.assert_array_equal(mirror(mirror(points)), points)
    np.testing.assert_array_equal(mirror(points)[:, 36], points[:, MIRRORED[36]] * [-1, 1])


def test_lip_and_pose_are_those_of_landmarks(clips: dict[str, Clip]):
    from edtalk_core.data.landmark_motion import LandmarkMotion

    by_face, by_landmarks = (kind(clips.values(), 20, 10) for kind in (FaceMotion, LandmarkMotion))
    for name in ("lip", "pose"):
        np.testing.assert_array_equal(
            *(motion.measure(clips["happy"].points, "happy")[name] for motion in (by_face, by_landmarks))
        )


def test_bank_of_another_width_is_refused(clips: dict[str, Clip]):
    with pytest.raises(ArgumentError, match="the model has 8"):
        FaceMotion(clips.values(), 20, 8)


def test_emotions_are_those_of_the_paper_and_differ():
    assert set(EMOTIONS) == set(EMOTION_NAMES)
    presets = emotion_presets(2.0)
    assert presets["neutral"] == (0.0,) * len(BASES)
    np.testing.assert_allclose(presets["happy"], 2 * UNIT * emotion_amounts("happy"))
    directions = np.array([emotion_amounts(emotion) for emotion in EMOTIONS if emotion != "neutral"])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert (directions @ directions.T - np.eye(len(directions))).max() < 0.85
