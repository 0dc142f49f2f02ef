"""The 3D face: its mesh, and what fits of it to landmarks say."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edtalk_core.errors import ArgumentError
from edtalk_core.face.face_model import EXPRESSION_BASES, MOUTH_SHAPES, face_model, fit_face
from edtalk_core.face.landmarks import JAW, LANDMARK_COUNT, MIRRORED, eye_opening, mouth_opening

SHAPES = [*EXPRESSION_BASES, *MOUTH_SHAPES]


def turned(yaw: float) -> np.ndarray:
    """Rotation of the head about its vertical axis by degrees."""
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def landmarks_of(weights: dict[str, float], *, scale: float = 10.0, yaw: float = 0.0) -> np.ndarray:
    """Landmarks (68,2) that the model itself has with fitted shapes at these weights, in a 256 px picture."""
    model = face_model()
    points = model.neutral[model.landmarks] + model.landmark_offsets
    for name, weight in weights.items():
        points = points + weight * model.fitted[SHAPES.index(name)][model.landmarks]
    points = points @ turned(yaw).T * scale
    return points[:, :2] * [1, -1] + 128


def test_holes_are_the_eyes_and_the_mouth():
    model = face_model()
    places = [model.neutral[hole].mean(axis=0) for hole in model.holes]
    eyes = [model.neutral[model.landmarks[part]].mean(axis=0) for part in (slice(36, 42), slice(42, 48))]
    mouth = model.neutral[model.landmarks[60:68]].mean(axis=0)
    for place, expected in zip(places, [*eyes, mouth], strict=True):
        assert np.linalg.norm(place - expected) < 0.8


def test_mesh_is_symmetric():
    model = face_model()
    landmarks = model.neutral[model.landmarks]
    np.testing.assert_allclose(landmarks[MIRRORED] * [-1, 1, 1], landmarks, atol=0.15)
    np.testing.assert_allclose(model.landmark_offsets[MIRRORED] * [-1, 1, 1], model.landmark_offsets, atol=1e-6)


def test_a_name_stands_for_both_sides():
    model = face_model()
    both = model.displacement({"eyeBlink": 0.5})
    np.testing.assert_allclose(both, 0.5 * (model.shapes["eyeBlink_L"] + model.shapes["eyeBlink_R"]), atol=1e-6)
    with pytest.raises(ArgumentError, match="no blend shape"):
        model.displacement({"earWiggle": 1.0})


def test_fit_says_where_the_head_is():
    fit = fit_face(np.stack([landmarks_of({}, yaw=yaw) for yaw in (-15, 0, 15)]), identity=np.zeros(30))
    yaws = np.degrees(np.arctan2(fit.rotation[:, 0, 2], fit.rotation[:, 2, 2]))
    np.testing.assert_allclose(yaws, [-15, 0, 15], atol=1.5)
    np.testing.assert_allclose(fit.scale, 10, rtol=0.03)
    np.testing.assert_allclose(fit.shift, 128, atol=1.5)
    assert np.linalg.norm(fit.residual[:, JAW.stop :], axis=2).mean() < 0.3


@pytest.mark.parametrize("name", ["inner brows", "brows down", "lids", "jawOpen", "smile"])
def test_fit_tells_shapes_apart(name: str):
    fit = fit_face(landmarks_of({name: 0.8})[None], identity=np.zeros(30))
    weights = fit.weights[0]
    assert 0.35 < weights[SHAPES.index(name)] < 1.0
    assert np.abs(np.delete(weights, SHAPES.index(name))).max() < 0.7 * weights[SHAPES.index(name)]


def test_fit_is_robust():
    landmarks = landmarks_of({"smile": 0.5}, yaw=5)
    spoilt = landmarks.copy()
    spoilt[[19, 57]] += [[0, -40], [30, 0]]
    clean, robust = (fit_face(points[None], identity=np.zeros(30)) for points in (landmarks, spoilt))
    others = np.setdiff1d(np.arange(JAW.stop, LANDMARK_COUNT), [19, 57])
    moved = (spoilt - robust.residual[0]) - (landmarks - clean.residual[0])
    assert np.linalg.norm(moved[others], axis=1).mean() < 3


def test_fit_is_the_same_every_time():
    landmarks = landmarks_of({"brows down": 0.6}, yaw=8)[None]
    one, other = fit_face(landmarks), fit_face(landmarks)
    for values, same in zip(vars(one).values(), vars(other).values(), strict=True):
        np.testing.assert_array_equal(values, same)


def test_landmarks_must_be_landmarks():
    with pytest.raises(ArgumentError, match="68"):
        fit_face(np.zeros((1, 5, 2)))


def test_fit_of_people(shared: Path):
    """On clips of several people: error of the landmarks, and that lids and jaw say what the landmarks do."""
    errors, lids, jaws = [], [], []
    with (shared / "data" / "manifest.tsv").open(encoding="utf-8") as file:
        rows = [
            row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "clip" and row["split"] == "train"
        ]
    files = [shared / "data" / "landmarks" / f"{Path(row['path']).stem}.npz" for row in rows]
    for path in [path for path in files if path.is_file()][::15]:
        landmarks = np.load(path)["landmarks"].astype(np.float64)[:60]
        fit = fit_face(landmarks)
        errors.append(np.linalg.norm(fit.residual[:, JAW.stop :], axis=2).mean() / fit.scale.mean() * 10)
        opened, shut = mouth_opening(landmarks), -eye_opening(landmarks)
        if np.ptp(opened) > 0.05 * fit.scale.mean() * 9:
            jaws.append(np.corrcoef(fit.weights[:, SHAPES.index("jawOpen")], opened)[0, 1])
        if np.ptp(shut) > 0.03 * fit.scale.mean() * 9:
            lids.append(np.corrcoef(fit.weights[:, SHAPES.index("lids")], shut)[0, 1])
    assert np.mean(errors) < 1.0  # mm
    assert np.mean(lids) > 0.85
    assert np.mean(jaws) > 0.7
