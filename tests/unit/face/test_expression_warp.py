"""Warps of pictures by the 3D face: exact flows, occlusion, lids that shut."""

from __future__ import annotations

import numpy as np
import pytest

from edtalk_core import crop_portrait, read_picture
from edtalk_core.builtin_files import builtin_file
from edtalk_core.face.expression_warp import (
    PosedFace,
    apply_flow,
    rasterise,
    warp_flow,
)
from edtalk_core.face.face_model import EXPRESSION_BASES, FaceFit, face_model, fit_face
from edtalk_core.face.geometry import transform
from edtalk_core.face.landmarks import (
    JAW,
    LEFT_LOWER_LID,
    LEFT_UPPER_LID,
    RIGHT_LOWER_LID,
    RIGHT_UPPER_LID,
)

SIZE = 256
REST = np.zeros(len(EXPRESSION_BASES))


def amounts(**named: float) -> np.ndarray:
    """Amounts of bases by name, with _ for a space."""
    names = list(EXPRESSION_BASES)
    values = REST.copy()
    for name, amount in named.items():
        values[names.index(name.replace("_", " "))] = amount
    return values


@pytest.fixture(scope="module")
def portrait() -> tuple[np.ndarray, np.ndarray]:
    """The example portrait's crop, (256,256,3) uint8, and its landmarks (68,2) in it."""
    crop = crop_portrait(read_picture(builtin_file("examples/portrait.jpg")))
    assert crop.face is not None
    assert crop.face.landmarks is not None
    picture = np.asarray(crop.picture)
    assert len(picture) == SIZE
    return picture, transform(np.asarray(crop.face.landmarks), np.asarray(crop.matrix))


@pytest.fixture(scope="module")
def face(portrait: tuple[np.ndarray, np.ndarray]) -> PosedFace:
    return PosedFace.of(fit_face(portrait[1][None]))


def lid_openings(vertices: np.ndarray) -> np.ndarray:
    """How far the lids of both eyes are apart, pixels."""
    landmarks = vertices[face_model().landmarks]
    eyes = ((RIGHT_UPPER_LID, RIGHT_LOWER_LID), (LEFT_UPPER_LID, LEFT_LOWER_LID))
    return np.array([(landmarks[list(low), 1] - landmarks[list(up), 1]).mean() for up, low in eyes])


def test_rasterised_weights_are_places():
    """Interpolated positions of a grid's vertices are the pixels themselves, also where it is stretched."""
    grid = np.stack(np.meshgrid(np.arange(0, 33, 4.0), np.arange(0, 33, 4.0)), -1).reshape(-1, 2)
    vertices = np.column_stack([grid * [1.0, 0.9], np.zeros(len(grid))]).astype(np.float32)
    corner = (np.arange(8)[:, None] * 9 + np.arange(8)).reshape(-1)
    triangles = np.concatenate([corner[:, None] + [0, 1, 10], corner[:, None] + [0, 10, 9]])
    index, weights = rasterise(vertices, triangles, np.zeros(len(triangles), np.float32), 32)
    rows, columns = np.mgrid[0:32, 0:32]
    covered = rows <= 28.8
    assert ((index >= 0) == covered).all()
    places = (vertices[triangles[index[covered]], :2] * weights[covered][..., None]).sum(axis=1)
    np.testing.assert_allclose(places, np.stack([columns, rows], -1)[covered], atol=1e-4)


def test_foremost_triangle_is_seen():
    corners = np.array([[0, 0], [9, 0], [0, 9]], np.float32)
    vertices = np.concatenate([np.column_stack([corners, np.full(3, depth)]) for depth in (1.0, 2.0)]).astype(
        np.float32
    )
    triangles = np.array([[3, 4, 5], [0, 1, 2]])
    index, _ = rasterise(vertices, triangles, np.zeros(2, np.float32), 10)
    assert set(index[index >= 0]) == {0}
    behind, _ = rasterise(vertices, triangles, np.array([-3, 0], np.float32), 10)
    assert set(behind[behind >= 0]) == {1}


def test_rest_stays(face: PosedFace):
    vertices = face.vertices(REST)
    np.testing.assert_array_equal(warp_flow(vertices, vertices, SIZE).offsets, 0)


def test_flow_is_the_motion_of_the_mesh(face: PosedFace):
    """A mesh that is shifted and scaled as a whole gives that map for every pixel of the face, and its inverse back."""
    source = face.vertices(REST)
    target = source.copy()
    target[:, :2] = (source[:, :2] - 128) * 0.9 + [131, 126]
    flow = warp_flow(source, target, SIZE)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    expected = (np.stack([columns, rows], -1) - [131, 126]) / 0.9 + 128 - np.stack([columns, rows], -1)
    import cv2

    # Not the eyeballs, which stand still, nor the rim, where the motion fades out.
    lids = np.zeros((SIZE, SIZE), np.uint8)
    for hole in face_model().holes[:2]:
        cv2.fillPoly(lids, [np.round(target[hole, :2]).astype(np.int32)], 1)
    inner = cv2.erode(flow.face.astype(np.uint8), np.ones((9, 9))) > cv2.dilate(lids, np.ones((15, 15)))
    assert inner.mean() > 0.2
    assert np.abs(flow.offsets - expected)[inner].max() < 0.3


def test_blink_shuts_the_lids(portrait: tuple[np.ndarray, np.ndarray], face: PosedFace):
    picture, _ = portrait
    rest, shut = face.vertices(REST), face.vertices(amounts(lids=1))
    openings = lid_openings(rest)
    assert (openings > 3).all()
    assert (np.abs(lid_openings(shut)) < 0.25 * openings).all()
    # The picture: where the eyeballs were, skin is; their whites and irises are gone.
    warped = apply_flow(picture, warp_flow(rest, shut, SIZE).offsets)
    model = face_model()
    for hole in model.holes[:2]:
        centre = np.round(rest[hole, :2].mean(axis=0)).astype(int)
        box = (slice(centre[1] - 2, centre[1] + 3), slice(centre[0] - 8, centre[0] + 9))
        assert picture[box].astype(float).std() > 1.5 * warped[box].astype(float).std()
    # Nothing else: the mouth is where it was.
    mouth = rest[model.landmarks[48:68], :2]
    low, high = mouth.min(axis=0).astype(int), mouth.max(axis=0).astype(int)
    np.testing.assert_array_equal(*(p[low[1] : high[1], low[0] : high[0]] for p in (picture, warped)))


def test_lids_shut_however_far_they_are_open():
    """Faces with narrow and with wide eyes shut them at the same amount."""
    model = face_model()
    for opened in (-0.4, 0.0, 0.4):
        points = model.neutral[model.landmarks] + model.landmark_offsets
        points = points - opened * model.displacement({"eyeBlink": 1.0})[model.landmarks]
        face = PosedFace.of(fit_face((points[:, :2] * [9, -9] + 128)[None]))
        rest, shut = (lid_openings(face.vertices(amounts(lids=lids))) for lids in (0, 1))
        assert (np.abs(shut) < 0.25 * rest).all()


@pytest.mark.parametrize(
    ("base", "landmark", "direction"),
    [
        ("brows_down", 21, (0, 1)),
        ("inner_brows", 21, (0, -1)),
        ("outer_brows", 18, (0, -1)),
        ("smile", 48, (-1, -1)),
        ("frown", 48, (0, 1)),
        ("stretch", 48, (-1, 0)),
        ("squint", 41, (0, -1)),
        ("lids", 37, (0, 1)),
        ("sneer", 31, (0, -1)),
        ("corner", 54, (1, -1)),
    ],
)
def test_bases_move_what_they_are_named_after(face: PosedFace, base: str, landmark: int, direction: tuple[int, int]):
    vertex = face_model().landmarks[landmark]
    moved = (face.vertices(amounts(**{base: 1})) - face.vertices(REST))[vertex, :2]
    assert (moved * np.array(direction) >= 0).all()
    assert np.abs(moved).max() > 1.5


def test_one_corner_rises(face: PosedFace):
    right, left = (face_model().landmarks[corner] for corner in (48, 54))
    moved = face.vertices(amounts(corner=1)) - face.vertices(REST)
    assert moved[left, 1] < -3
    assert abs(moved[right, 1]) < 0.4 * abs(moved[left, 1])


def test_drawn_fit_is_met(portrait: tuple[np.ndarray, np.ndarray], face: PosedFace):
    """What the fit leaves of the landmarks moves the mesh, so that lids and lips lie where the picture has them."""
    fit: FaceFit = fit_face(portrait[1][None])
    model = face_model()
    offsets = model.landmark_offsets @ face.axes.T
    error = face.rest[model.landmarks, :2] + offsets[:, :2] - portrait[1]
    before = np.linalg.norm(fit.residual[0, JAW.stop :], axis=1).mean()
    assert np.linalg.norm(error[JAW.stop :], axis=1).mean() < 0.7 * before
