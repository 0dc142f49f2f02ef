"""Landmarks by name: the groups lie where their names say, and the measurements measure that."""

from __future__ import annotations

import numpy as np
import pytest

from edtalk_core.face import landmarks as lm
from edtalk_core.face.crop import face_template


def middle(part: slice | tuple[int, ...]) -> np.ndarray:
    return face_template()[list(part) if isinstance(part, tuple) else part].mean(axis=0)


def test_groups_make_up_the_face():
    groups = (lm.JAW, lm.RIGHT_BROW, lm.LEFT_BROW, lm.NOSE, lm.RIGHT_EYE, lm.LEFT_EYE, lm.OUTER_LIPS, lm.INNER_LIPS)
    assert np.array_equal(lm.indices(*groups), np.arange(lm.LANDMARK_COUNT))
    assert np.array_equal(lm.indices(lm.RIGHT_BROW, lm.LEFT_BROW), lm.indices(lm.BROWS))
    assert np.array_equal(lm.indices(lm.RIGHT_EYE, lm.LEFT_EYE), lm.indices(lm.EYES))
    assert np.array_equal(lm.indices(lm.OUTER_LIPS, lm.INNER_LIPS), lm.indices(lm.MOUTH))
    assert np.array_equal(lm.indices(lm.JAW, lm.BROWS, lm.NOSE, lm.EYES, lm.MOUTH), lm.indices(lm.FACE))


def test_indices_take_groups_points_and_tuples_in_their_order():
    assert lm.indices(lm.CHIN, lm.MOUTH_CORNERS, slice(0, 2)).tolist() == [8, 48, 54, 0, 1]


def test_groups_lie_from_brows_to_chin():
    heights = [middle(part)[1] for part in (lm.BROWS, lm.EYES, lm.NOSE, lm.MOUTH)] + [face_template()[lm.CHIN, 1]]
    assert heights == sorted(heights)
    # Along the nose downwards.
    down = face_template()[[lm.NOSE_RIDGE, lm.NOSE_TIP, lm.NOSE_BASE], 1]
    assert sorted(down) == down.tolist()


@pytest.mark.parametrize(
    ("right", "left"),
    [
        (lm.RIGHT_BROW, lm.LEFT_BROW),
        (lm.RIGHT_EYE, lm.LEFT_EYE),
        (lm.RIGHT_EYE_CORNERS, lm.LEFT_EYE_CORNERS),
        (lm.RIGHT_UPPER_LID, lm.LEFT_UPPER_LID),
        (lm.RIGHT_LOWER_LID, lm.LEFT_LOWER_LID),
        (lm.RIGHT_JAW_END, lm.LEFT_JAW_END),
        ((lm.RIGHT_EAR,), (lm.LEFT_EAR,)),
        ((lm.RIGHT_CHEEK,), (lm.LEFT_CHEEK,)),
        ((lm.RIGHT_NOSE_WING,), (lm.LEFT_NOSE_WING,)),
        (lm.MOUTH_CORNERS[:1], lm.MOUTH_CORNERS[1:]),
        (lm.OUTER_EYE_CORNERS[:1], lm.OUTER_EYE_CORNERS[1:]),
    ],
)
def test_right_is_the_mirror_of_left(right: slice | tuple[int, ...], left: slice | tuple[int, ...]):
    assert middle(right)[0] < middle(left)[0]
    assert set(lm.MIRRORED[lm.indices(right)]) == set(lm.indices(left))


def test_lids_meet_their_opposite():
    points = face_template()
    upper = [*lm.RIGHT_UPPER_LID, *lm.LEFT_UPPER_LID]
    lower = [*lm.RIGHT_LOWER_LID, *lm.LEFT_LOWER_LID]
    assert (points[upper, 1] < points[lower, 1]).all()
    assert np.abs(points[upper, 0] - points[lower, 0]).max() < 2


def test_mirroring_twice_changes_nothing():
    assert sorted(lm.MIRRORED) == list(range(lm.LANDMARK_COUNT))
    assert np.array_equal(lm.MIRRORED[lm.MIRRORED], np.arange(lm.LANDMARK_COUNT))


def test_mirroring_maps_a_face_that_looks_ahead_onto_itself(draw_landmarks):
    points = draw_landmarks(0.5, 0.0)
    mirrored = (points * [-1, 1] + [2 * points[lm.NOSE_TIP, 0], 0])[lm.MIRRORED]
    np.testing.assert_allclose(mirrored, points, atol=1e-9)


def test_measurements_of_known_distances():
    points = np.zeros((2, 3, lm.LANDMARK_COUNT, 2))
    points[..., lm.LOWER_INNER_LIP, :] = (3, 4)
    points[..., lm.MOUTH_CORNERS[1], 0] = 7
    points[..., [*lm.RIGHT_LOWER_LID, *lm.LEFT_LOWER_LID], 1] = [1, 2, 3, 6]
    points[..., lm.OUTER_EYE_CORNERS[1], 0] = 9
    points[..., lm.CHIN, :] = (6, 8)
    for measure, expected in (
        (lm.mouth_opening, 5),
        (lm.mouth_width, 7),
        (lm.eye_opening, 3),
        (lm.eye_distance, 9),
        (lm.face_height, 10),
    ):
        measured = measure(points)
        assert measured.shape == (2, 3)
        np.testing.assert_allclose(measured, expected)
        np.testing.assert_allclose(measure(10 * points), 10 * expected)


def test_opening_a_drawn_mouth_changes_the_mouth_alone(draw_landmarks):
    shut, opened = draw_landmarks(0.0, 0.0), draw_landmarks(1.0, 0.0)
    assert lm.mouth_opening(opened) > lm.mouth_opening(shut) + 10
    assert lm.eye_opening(opened) == pytest.approx(lm.eye_opening(shut))
    assert lm.mouth_width(opened) == pytest.approx(lm.mouth_width(shut))
