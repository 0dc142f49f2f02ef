"""Faces over time: what a track remembers, and where tracks end."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from drawn_scenes import head_that_dissolves, resized, scene, textured

from edtalk_core.errors import PictureError, VideoError
from edtalk_core.face.alignment import builtin_detector
from edtalk_core.face.detection import Face
from edtalk_core.face.tracking import DETECT_EVERY, FaceTracker
from edtalk_core.face.tracks import JUMP, CutDetector, FaceTrack, FrameFaces, follow_faces

POINTS = np.zeros((68, 2))


def track_of(boxes: np.ndarray, memory: int | None = None) -> FaceTrack:
    track = FaceTrack(memory=memory)
    for frame, box in enumerate(boxes.tolist()):
        track.add(frame, tuple(box), POINTS + frame)
    return track


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
    """Thirty boxes that wander and grow (30, 4)."""
    rng = np.random.default_rng(3)
    corner = 100 + rng.normal(0, 5, (30, 2)).cumsum(axis=0)
    return np.concatenate([corner, corner + 50 + rng.uniform(0, 40, (30, 2))], axis=1)


def test_track_sums_up_its_boxes(boxes: np.ndarray):
    track = track_of(boxes)
    assert len(track) == 30
    assert track.start == 0
    assert track.box == (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert track.side == pytest.approx(sides.mean())
    assert track.sides == pytest.approx(sides.sum())


def test_track_with_little_memory_says_the_same(boxes: np.ndarray):
    whole, short = track_of(boxes), track_of(boxes, memory=4)
    assert short.frames == [26, 27, 28, 29]
    assert [len(kept) for kept in (short.boxes, short.landmarks)] == [4, 4]
    assert len(short) == len(whole)
    assert short.box == whole.box
    assert short.side == pytest.approx(whole.side)
    for track in (whole, short):
        track.cut_before(27)
    assert len(short) == len(whole) == 27
    assert short.box == whole.box
    assert short.sides == pytest.approx(whole.sides)


def test_track_may_be_cut_to_nothing(boxes: np.ndarray):
    track = track_of(boxes)
    track.cut_before(0)
    assert len(track) == 0
    assert track.frames == track.boxes == track.landmarks == []


def test_cuts_are_where_the_picture_changes():
    wall, other = textured(240, 320), 255 - textured(240, 320)
    detector = CutDetector()
    assert [detector.is_cut(picture) for picture in (wall, wall, other, other, wall)] == [
        False,
        False,
        True,
        False,
        True,
    ]


def follow(*frames: np.ndarray, across_cuts: bool = False) -> list[FrameFaces]:
    return list(follow_faces(frames, across_cuts=across_cuts))


def test_faces_that_move_keep_their_tracks(head: np.ndarray):
    frames = follow(*(scene(head, (20 + 3 * step, 30), (200 - 2 * step, 40)) for step in range(6)))
    assert [frame.index for frame in frames] == list(range(6))
    assert {frame.size for frame in frames} == {(360, 240)}
    assert all(set(frame.faces) == {0, 1} for frame in frames)
    assert frames[0].appeared == {0, 1}
    assert not any(frame.appeared or frame.jumped or frame.slid for frame in frames[1:])


def test_a_picture_that_is_repeated_for_long_is_looked_at_for_a_while(
    head: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    looked = []
    follow_one = FaceTracker.follow
    monkeypatch.setattr(FaceTracker, "follow", lambda self, picture: looked.append(1) or follow_one(self, picture))
    there, moved = scene(head, (80, 30)), scene(head, (84, 30))
    frames = follow(*[there] * 200, moved)
    assert len(looked) == DETECT_EVERY + 2
    assert all(set(frame.faces) == {0} for frame in frames)
    assert frames[199].faces[0].box == frames[DETECT_EVERY].faces[0].box
    assert not any(frame.appeared or frame.jumped or frame.slid for frame in frames[1:])


def test_who_is_lost_and_comes_back_keeps_the_track(head: np.ndarray):
    there, away = scene(head, (80, 30)), scene(head)
    frames = follow(*[there] * 3, *[away] * 4, *[there] * 3)
    assert [list(frame.faces) for frame in frames] == [[0]] * 3 + [[]] * 4 + [[0]] * 3
    assert sum(len(frame.appeared) for frame in frames) == 1


def test_tracks_end_at_a_cut_or_go_on_through_it(head: np.ndarray):
    shots = [scene(head, (80, 30), shade=40)] * 3 + [scene(head, (85, 30), shade=210)] * 3
    ended, through = follow(*shots), follow(*shots, across_cuts=True)
    for frames in (ended, through):
        assert [frame.shot for frame in frames] == [0, 0, 0, 1, 1, 1]
    assert [list(frame.faces) for frame in ended] == [[0]] * 3 + [[1]] * 3
    assert ended[3].appeared == {1}
    assert [list(frame.faces) for frame in through] == [[0]] * 6


@pytest.mark.parametrize(("share", "jumps"), [(0.8, False), (1.25, True)])
def test_a_face_jumps_when_it_moves_further_than_faces_do(head: np.ndarray, share: float, jumps: bool):
    here = scene(head, (60, 30))
    way = share * JUMP * builtin_detector().detect(here)[0].side
    frames = follow(*[here] * 4, *[scene(head, (60 + way, 30))] * 3)
    assert frames[4].jumped == ({0: 1} if jumps else {})
    assert list(frames[4].faces) == [1 if jumps else 0]
    assert not frames[4].appeared
    assert not frames[5].jumped


def test_a_lost_face_may_have_gone_further(head: np.ndarray):
    """What counts is the way in a frame: after two frames without it, three times as far."""
    here, away = scene(head, (60, 30)), scene(head)
    way = 1.25 * JUMP * builtin_detector().detect(here)[0].side
    frames = follow(*[here] * 4, away, away, *[scene(head, (60 + way, 30))] * 3)
    assert list(frames[6].faces) == [0]
    assert not any(frame.jumped for frame in frames)


def test_a_mesh_that_has_slid_off_hands_over_to_the_face_found_again(portrait: np.ndarray):
    pictures = head_that_dissolves(portrait)
    frames = follow(*pictures)
    (handover,) = [frame for frame in frames if frame.slid]
    assert handover.slid == {0: 1}
    assert not handover.appeared
    for frame in frames:
        assert list(frame.faces) == [0 if frame.index < handover.index else 1]
    true, last = builtin_detector().detect(pictures[-1])[0].landmarks, frames[-1].faces[1].landmarks
    assert true is not None
    assert last is not None
    assert np.linalg.norm(last - true, axis=1).mean() < 3


def test_a_small_face_before_a_large_one_is_a_second_face(head: np.ndarray, portrait: np.ndarray, face: Face):
    """The large box covers more of the small one than that of a face beside it would, but the detector sees both."""
    alone = scene(head, (60, 20))
    left, top, right, bottom = (int(edge) for edge in face.box)
    small = resized(portrait[top:bottom, left:right], 60 / (bottom - top))
    both = alone.copy()
    both[50 : 50 + small.shape[0], 138 : 138 + small.shape[1]] = small
    frames = follow(*[alone] * 3, *[both] * 2 * DETECT_EVERY)
    first = next(frame for frame in frames if 1 in frame.faces)
    assert first.appeared == {1}
    assert not any(frame.slid for frame in frames)
    assert all(set(frame.faces) == {0, 1} for frame in frames[first.index :])


def test_pictures_are_let_go(head: np.ndarray):
    alive: list[weakref.ref[np.ndarray]] = []

    def pictures() -> Iterator[np.ndarray]:
        for step in range(5):
            picture = scene(head, (80 + step, 30))
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            assert sum(ref() is not None for ref in alive) <= 1

    assert len(list(follow_faces(pictures()))) == 5


def test_what_cannot_be_followed():
    with pytest.raises(VideoError, match="no frames"):
        follow()
    with pytest.raises(VideoError, match="change size from 100x120 to 90x120"):
        follow(np.zeros((120, 100, 3), np.uint8), np.zeros((120, 90, 3), np.uint8))
    with pytest.raises(PictureError, match="float32"):
        follow(np.zeros((120, 100, 3), np.float32))
