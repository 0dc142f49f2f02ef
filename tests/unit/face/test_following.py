"""Following one face through a video: what is cut from each frame, and how steadily."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from drawn_scenes import scene

from edtalk_core.builtin_files import builtin_file
from edtalk_core.errors import ArgumentError, Cancelled, FaceError, PictureError, VideoError
from edtalk_core.face.alignment import builtin_detector
from edtalk_core.face.following import FacePath, follow_face
from edtalk_core.face.geometry import invert, transform
from edtalk_core.media.picture import read_picture


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """The example portrait's head and some room around it, 180 px high."""
    picture = read_picture(builtin_file("examples/portrait.jpg"))[30:230, 130:330]
    return cv2.resize(picture, (180, 180), interpolation=cv2.INTER_AREA)


def squares(path: FacePath) -> np.ndarray:
    """Centre x, y and side of what is cut from the frames with a face, pixel edges counted: (T, 3)."""
    found = []
    for matrix in path.matrices[path.stretches >= 0]:
        low, high = transform(np.array([[-0.5, -0.5], [path.size - 0.5] * 2]), invert(matrix)) + 0.5
        found.append([*(low + high) / 2, high[0] - low[0]])
    return np.array(found)


def test_where_the_head_stays_one_square_cuts_all_frames(head):
    frames = [scene(head, (80 + 2 * np.sin(step), 30)) for step in range(12)]
    path = follow_face(frames, 25, size=128)
    assert len(path) == 12
    assert path.faceless == 0
    assert path.warnings == ()
    assert path.frame_size == (360, 240)
    assert len(np.unique(path.matrices, axis=0)) == 1
    assert np.unique(path.stretches).tolist() == [0]
    # The union of the boxes, extended by a tenth on each side, square.
    boxes = np.array([builtin_detector().detect(frame)[0].box for frame in frames])
    union = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    x, y, side = squares(path)[0]
    assert side == pytest.approx(1.2 * max(union[1] - union[0]), abs=4)
    np.testing.assert_allclose((x, y), (union[0] + union[1]) / 2, atol=3)
    crop = path.crop(3, frames[3])
    assert crop.shape == (128, 128, 3)
    assert builtin_detector().detect(crop)


@pytest.fixture(scope="module")
def walk(head) -> tuple[list[np.ndarray], FacePath]:
    """A head that walks through half the frame and comes nearer."""
    frames = []
    for step in range(50):
        scale = 0.85 + 0.3 * step / 49
        grown = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        frames.append(scene(grown, (10 + 3 * step, 20 - 15 * step / 49), size=(400, 240)))
    return frames, follow_face(frames, 25)


def test_where_the_head_travels_the_square_follows_it(walk):
    frames, path = walk
    found = squares(path)
    assert len(found) == 50
    for index in range(0, 50, 7):
        left, top, right, bottom = builtin_detector().detect(frames[index])[0].box
        x, y, side = found[index]
        # The whole face, and not much more.
        assert x - side / 2 < left
        assert right < x + side / 2
        assert y - side / 2 < top
        assert bottom < y + side / 2
        assert side < 1.6 * max(right - left, bottom - top)


def test_the_square_moves_without_haste(walk):
    found = squares(walk[1])
    steps = np.diff(found, axis=0)
    assert steps[5:-5, 0].min() > 2  # of 3 px a frame
    assert np.abs(np.diff(steps, axis=0)).max() < 0.4
    assert (steps[8:-8, 2] > -0.05).all()  # it only grows


def test_landmarks_are_in_frame_pixels_and_keep_up(walk):
    frames, path = walk
    assert path.landmarks.shape == (50, 68, 2)
    for index in (4, 25, 45):
        found = builtin_detector().detect(frames[index])[0]
        off = np.linalg.norm(path.landmarks[index] - found.landmarks, axis=1).mean()
        assert off < 0.02 * found.side


def test_frames_without_the_face_are_told(head):
    shown = [True] * 6 + [False] * 4 + [True] * 5
    path = follow_face([scene(head, *[(80, 30)] * there) for there in shown], 25)
    np.testing.assert_array_equal(path.stretches >= 0, shown)
    assert path.faceless == 4
    assert "not seen in 4 of 15 frames" in path.warnings[0]
    assert np.isnan(path.landmarks[6:10]).all()
    assert not np.isnan(path.landmarks[[5, 10]]).any()
    # It comes back to where it was: the square has not moved.
    assert len(np.unique(path.matrices[path.stretches >= 0], axis=0)) == 1


def test_each_shot_has_its_own_square(head):
    small = cv2.resize(head, (130, 130), interpolation=cv2.INTER_AREA)
    near = [scene(head, (30, 30)) for _ in range(6)]
    far = [scene(small, (210, 60), shade=190) for _ in range(6)]
    path = follow_face([*near, *far], 25)
    assert path.faceless == 0
    assert len(np.unique(path.stretches[:6])) == len(np.unique(path.stretches[6:])) == 1
    assert path.stretches[5] != path.stretches[6]
    found = squares(path)
    assert len(np.unique(found.round(6), axis=0)) == 2
    assert found[0, 2] > 1.2 * found[-1, 2]
    assert found[-1, 0] > found[0, 0] + 100


def test_a_jump_in_the_same_shot_is_not_smoothed(head):
    """A cut that a picture of 16 px does not show, the head in another place."""
    path = follow_face([scene(head, (30 + 50 * (step > 7), 30)) for step in range(16)], 25)
    assert path.stretches[7] != path.stretches[8]
    found = squares(path)
    assert found[8, 0] - found[7, 0] == pytest.approx(50, abs=8)
    steps = np.linalg.norm(np.diff(path.landmarks.mean(axis=1), axis=0), axis=1)
    assert steps[7] > 45
    assert np.delete(steps, 7).max() < 1.5


@pytest.fixture(scope="module")
def couple(head) -> list[np.ndarray]:
    """A large head at the left and a smaller one at the right; the larger one leaves for a while."""
    small = cv2.resize(head, (130, 130), interpolation=cv2.INTER_AREA)

    def frame(step: int) -> np.ndarray:
        picture = scene(small, (400, 60), size=(560, 240))
        return (
            picture
            if 6 <= step < 10
            else np.where(np.arange(560)[None, :, None] < 300, scene(head, (60, 30), size=(560, 240)), picture)
        )

    return [frame(step) for step in range(16)]


@pytest.mark.parametrize(("face", "left", "missing"), [("largest", True, 4), (0, True, 4), (1, False, 0)])
def test_the_face_asked_for_is_followed(couple, face, left, missing):
    path = follow_face(couple, 25, face=face)
    assert path.faceless == missing
    assert (squares(path)[:, 0] < 280).all() == left
    told = [warning for warning in path.warnings if "2 faces" in warning]
    assert bool(told) == (face == "largest")


@pytest.mark.parametrize(("face", "word"), [("only", "Choose one"), (2, "no face 2")])
def test_a_choice_that_cannot_be_met_lists_the_faces(couple, face, word):
    with pytest.raises(FaceError, match=word) as caught:
        follow_face(couple, 25, face=face)
    assert len(caught.value.boxes) == 2


def test_who_leaves_and_comes_back_elsewhere_is_the_same(head):
    places = [[(20, 30)]] * 6 + [[]] * 3 + [[(175, 30)]] * 6
    path = follow_face([scene(head, *at) for at in places], 25, face="only")
    assert path.faceless == 3
    assert np.unique(path.stretches[:6]) != np.unique(path.stretches[9:])
    found = squares(path)
    assert found[-1, 0] - found[0, 0] == pytest.approx(155, abs=10)


def test_a_box_cuts_every_frame(head):
    frames = [scene(head, *[(80, 30)] * (step != 3)) for step in range(6)]
    path = follow_face(frames, 25, box=(100, 40, 200, 180))
    assert path.faceless == 0
    np.testing.assert_allclose(squares(path), [[150, 110, 168]] * 6)
    # Where no face was seen, the landmarks are those of the nearest frame in which it was.
    assert not np.isnan(path.landmarks).any()
    np.testing.assert_array_equal(path.landmarks[3], path.landmarks[2])


def test_a_box_of_a_drawing_has_no_landmarks():
    wall = [scene(np.zeros((2, 2, 3), np.uint8)) for _ in range(3)]
    path = follow_face(wall, 25, box=(100, 40, 200, 180))
    assert path.faceless == 0
    assert np.isnan(path.landmarks).all()
    assert path.warnings == ()


def test_no_crop_takes_the_middle_square(head):
    frames = [scene(head, (80, 30)) for _ in range(3)]
    path = follow_face(frames, 25, size=240, mode="none")
    np.testing.assert_array_equal(path.crop(1, frames[1]), frames[1][:, 60:300])


@pytest.mark.parametrize(("mode", "whole"), [("auto", True), ("box", False)])
def test_frames_that_are_crops_already_stay_whole(head, mode, whole):
    (left, top, right, bottom) = builtin_detector().detect(scene(head, (80, 30)))[0].box
    side = 1.2 * max(right - left, bottom - top)
    x, y = int((left + right - side) / 2), int((top + bottom - side) / 2)
    frames = [np.ascontiguousarray(scene(head, (80, 30))[y : y + int(side), x : x + int(side)]) for _ in range(3)]
    path = follow_face(frames, 25, size=int(side), mode=mode)
    assert np.array_equal(path.crop(0, frames[0]), frames[0]) == whole


def test_float_pictures_are_the_same_pictures(head):
    frames = [scene(head, (80 + step, 30)) for step in range(4)]
    path = follow_face(frames, 25)
    as_floats = follow_face([frame.astype(np.float32) / 255 for frame in frames], 25)
    np.testing.assert_array_equal(path.matrices, as_floats.matrices)
    np.testing.assert_array_equal(path.landmarks, as_floats.landmarks)


def test_a_small_face_is_told(head):
    tiny = cv2.resize(head, (110, 110), interpolation=cv2.INTER_AREA)
    assert "px high" in follow_face([scene(tiny, (80, 30))] * 2, 25).warnings[0]


def test_frames_can_be_taken_in_another_order(walk):
    _, path = walk
    back = path.take([3, 2, 1, 2])
    assert len(back) == 4
    np.testing.assert_array_equal(back.matrices, path.matrices[[3, 2, 1, 2]])
    np.testing.assert_array_equal(back.landmarks[0], path.landmarks[3])
    assert back.fps == path.fps


def test_one_picture_at_a_time(head):
    """Pictures are looked at and let go."""
    alive = []

    def frames() -> Iterator[np.ndarray]:
        for step in range(5):
            picture = scene(head, (80 + step, 30))
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            assert sum(ref() is not None for ref in alive) <= 1

    assert len(follow_face(frames(), 25)) == 5


def test_progress_counts_frames_and_cancels(head):
    told: list[int] = []

    def progress(done: int, total: int | None) -> None:
        told.append(done)
        if done == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        follow_face([scene(head, (80, 30))] * 9, 25, progress=progress)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("frames", "arguments", "error", "word"),
    [
        ([], {}, VideoError, "no frames"),
        ([np.zeros((100, 100, 3), np.uint8)] * 3, {}, FaceError, "No face"),
        ([np.zeros((100, 100, 3), np.uint8), np.zeros((100, 90, 3), np.uint8)], {}, VideoError, "change size"),
        ([np.zeros((100, 100), np.uint8)], {}, PictureError, "picture"),
        ([np.zeros((100, 100, 3), np.uint8)], {"box": (0, 0, 5, 5)}, ArgumentError, "box"),
        ([np.zeros((100, 100, 3), np.uint8)], {"box": (200, 200, 290, 290)}, ArgumentError, "outside"),
        ([], {"mode": "template"}, ArgumentError, "auto, box, none"),
        ([], {"face": -1}, ArgumentError, "face"),
        ([], {"size": 1}, ArgumentError, "size"),
    ],
)
def test_what_cannot_be_followed(frames, arguments, error, word):
    with pytest.raises(error, match=word):
        follow_face(frames, 25, **arguments)
