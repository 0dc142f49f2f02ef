"""The stretches of a video that training clips are made of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_scenes import head_that_dissolves

from edtalk_core.builtin_files import builtin_file
from edtalk_core.data import pieces as data_pieces
from edtalk_core.data.pieces import find_pieces
from edtalk_core.face.alignment import builtin_detector
from edtalk_core.media.picture import read_picture

SIDE = 320


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """The example portrait."""
    return read_picture(builtin_file("examples/portrait.jpg"))


@pytest.fixture(scope="module")
def portrait(picture: np.ndarray) -> np.ndarray:
    """Its head, (320, 320, 3)."""
    left, top, side = (int(share * picture.shape[1]) for share in (0.22, 0.0, 0.46))
    return cv2.resize(picture[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def test_a_cut_divides_the_video(portrait: np.ndarray):
    far = cv2.warpAffine(
        portrait, np.array([[0.6, 0, 170], [0, 0.6, 20]], np.float64), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE
    )
    hidden = far.copy()
    hidden[30:180, 200:310] = 120
    frames = [portrait] * 12 + [far] * 10 + [hidden] * 10 + [far] * 8 + [hidden] * 3 + [far] * 5 + [hidden] * 2
    pieces = find_pieces(frames)
    assert [(piece.start, len(piece.landmarks)) for piece in pieces] == [(0, 12), (12, 10), (32, 16)]
    assert all(len(piece.landmarks) == len(piece.boxes) for piece in pieces)


def test_face_that_wanders_ends_the_clip_only_where_its_box_is_chosen(portrait: np.ndarray):
    frames = [
        cv2.warpAffine(portrait, np.array([[0.5, 0, x], [0, 0.5, 60]]), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        for x in np.linspace(0, 150, 60)
    ]
    lengths = [len(piece.landmarks) for piece in find_pieces(frames)]
    assert len(lengths) > 1
    assert sum(lengths) == 60
    assert [len(piece.landmarks) for piece in find_pieces(frames, anywhere=True)] == [60]


def test_landmarks_of_a_mesh_that_slid_off_are_dropped(picture: np.ndarray):
    frames = head_that_dissolves(picture)
    pieces = find_pieces(frames)
    assert [piece.start + len(piece) <= 45 for piece in pieces] == [True, True]
    # Between them the frames in which the mesh clung to where the head was.
    assert pieces[1].start - (pieces[0].start + len(pieces[0])) == 10
    for piece, frame in ((pieces[0], 0), (pieces[1], -1)):
        true = builtin_detector().detect(frames[frame])[0].landmarks
        assert true is not None
        assert np.linalg.norm(piece.landmarks[frame] - true, axis=1).mean() < 3


def test_long_pieces_are_divided(portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_pieces, "MAX_LENGTH", 5)
    assert [(piece.start, len(piece)) for piece in find_pieces([portrait] * 12)] == [(0, 5), (5, 5), (10, 2)]


def test_a_cut_ends_a_piece(portrait: np.ndarray):
    inverted = np.ascontiguousarray(np.roll(portrait // 3, 40, axis=1))
    pieces = find_pieces([portrait] * 4 + [inverted] * 4, anywhere=True)
    assert [(piece.start, len(piece)) for piece in pieces] == [(0, 4), (4, 4)]
    assert [piece.shot for piece in pieces] == [0, 1]


def test_a_video_without_a_face_has_no_pieces():
    assert find_pieces([np.zeros((120, 160, 3), np.uint8)] * 3) == []
