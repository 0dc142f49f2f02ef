"""One crop for all frames of a clip."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import head_that_dissolves, scene, textured

from edtalk_core.errors import ArgumentError, Cancelled, FaceError, PictureError, VideoError
from edtalk_core.face.alignment import detect_faces
from edtalk_core.face.geometry import transform, warp
from edtalk_core.face.tracking import DETECT_EVERY
from edtalk_core.face.video_crop import crop_video, find_clip_box
from edtalk_core.media.video import VideoReader


def published_box(tube: tuple[float, ...], frame_shape: tuple[int, int], increase: float = 0.1) -> tuple[int, ...]:
    """The formula of the published crop_video.py, kept in its own shape to check ours against."""
    left, top, right, bottom = tube
    width, height = right - left, bottom - top
    more_width = max(increase, ((1 + 2 * increase) * height - width) / (2 * width))
    more_height = max(increase, ((1 + 2 * increase) * width - height) / (2 * height))
    left, right = int(left - more_width * width), int(right + more_width * width)
    top, bottom = int(top - more_height * height), int(bottom + more_height * height)
    return max(0, left), max(0, top), min(right, frame_shape[1]), min(bottom, frame_shape[0])


@pytest.mark.parametrize(
    "box",
    [
        (400, 200, 560, 420),
        (400, 200, 700, 420),
        (500.3, 300.7, 640.2, 500.9),
        (10, 20, 210, 300),
        (1100, 500, 1270, 719),
    ],
    ids=["high", "wide", "fractions", "left edge", "corner"],
)
def test_clip_box_is_the_published_formula(box: tuple[float, ...]) -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    crop, _ = crop_video(lambda: iter([frame]), box=box)
    assert crop.box == published_box(box, (720, 1280))


def clip(head: np.ndarray, places: list[tuple[int, int] | None]) -> Iterator[np.ndarray]:
    """A head that moves over a plain ground; None: it is away."""
    for place in places:
        frame = np.full((300, 480, 3), 90, np.uint8)
        if place is not None:
            left, top = place
            frame[top : top + head.shape[0], left : left + head.shape[1]] = head
        yield frame


def test_clip_box_is_the_union_over_time(head: np.ndarray) -> None:
    places: list[tuple[int, int] | None] = [(100 + 4 * i, 40 + i) for i in range(15)]
    crop = find_clip_box(clip(head, places))
    first, last = (detect_faces(next(clip(head, [places[i]])), landmarks="builtin")[0].box for i in (0, -1))
    union = (*np.minimum(first, last)[:2], *np.maximum(first, last)[2:])
    np.testing.assert_allclose(crop.box, published_box(union, (300, 480)), atol=5)
    assert (crop.frames, crop.faceless, crop.frame_size, crop.size) == (15, 0, (480, 300), 256)


def test_frames_without_a_face_are_counted_and_cut(head: np.ndarray) -> None:
    places: list[tuple[int, int] | None] = [(150, 60)] * 4 + [None] * 6 + [(150, 60)] * 3
    crop, frames = crop_video(lambda: clip(head, places))
    shown = list(frames)
    assert (crop.frames, crop.faceless, len(shown)) == (13, 6, 13)
    assert crop.warning is not None
    assert "6 of 13" in crop.warning
    assert all(frame.shape == (256, 256, 3) for frame in shown)
    assert shown[5].std() == 0
    steady, _ = crop_video(lambda: clip(head, [(150, 60)] * 3))
    assert steady.box == crop.box


def test_cut_frames_lie_where_the_matrix_says(head: np.ndarray) -> None:
    crop, frames = crop_video(lambda: clip(head, [(150, 60)] * 2), size=128)
    frame = next(clip(head, [(150, 60)]))
    shown = next(frames)
    expected = warp(frame, crop.matrix, 128)
    assert np.abs(shown[4:-4, 4:-4].astype(float) - expected[4:-4, 4:-4]).mean() < 3
    np.testing.assert_allclose(transform(transform(np.eye(2), crop.matrix), crop.inverse), np.eye(2), atol=1e-12)


def test_one_box_holds_the_face_of_several_shots(head: np.ndarray) -> None:
    """A cut to another wall, the head a little further on: the mesh goes with it, and the box holds both."""
    shots = [scene(head, (place, 60), shade=shade, size=(480, 300)) for place, shade in ((120, 60), (160, 200))]
    crop = find_clip_box([shots[0]] * 5 + [shots[1]] * 5, face="only")
    assert crop.faceless == 0
    for shot in shots:
        left, top, right, bottom = detect_faces(shot, landmarks="builtin")[0].box
        assert crop.box[0] <= left
        assert right <= crop.box[2]
        assert crop.box[1] <= top
        assert bottom <= crop.box[3]


def test_a_mesh_that_slid_off_the_face_is_no_second_face(portrait: np.ndarray) -> None:
    frames = head_that_dissolves(portrait)
    crop = find_clip_box(frames, face="only")
    boxes = [detect_faces(frame, landmarks="builtin")[0].box for frame in (frames[0], frames[-1])]
    union = (*np.minimum(*boxes)[:2], *np.maximum(*boxes)[2:])
    np.testing.assert_allclose(crop.box, published_box(union, (240, 360)), atol=8)
    # Where the mesh was in the frames before the face was found anew, nobody knows.
    assert 0 < crop.faceless <= DETECT_EVERY


def test_two_people_in_a_clip(couple: np.ndarray) -> None:
    def frames() -> Iterator[np.ndarray]:
        return iter([couple] * 5)

    right, left = find_clip_box(frames()), find_clip_box(frames(), face=1)
    assert right.box[0] > 280 > left.box[2]
    assert right.warning is not None
    assert "2 faces" in right.warning
    with pytest.raises(FaceError, match="Choose one") as caught:
        find_clip_box(frames(), face="only")
    assert len(caught.value.boxes) == 2
    with pytest.raises(FaceError, match="no face 2"):
        find_clip_box(frames(), face=2)


def test_a_passer_by_is_no_choice(head: np.ndarray, couple: np.ndarray) -> None:
    alone = couple.copy()
    alone[:, :300] = 90
    crop = find_clip_box([alone] * 11 + [couple] + [alone] * 30, face="only")
    assert crop.box[0] > 280


def test_warns_when_the_head_travels(head: np.ndarray) -> None:
    crop = find_clip_box(clip(head, [(12 * i, 40) for i in range(24)]))
    assert crop.faceless == 0
    assert "travels" in str(crop.warning)
    assert "squeezed" in str(crop.warning)


def test_memory_does_not_grow_with_the_clip(head: np.ndarray) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal most
        for frame in clip(head, [(150, 60)] * 40):
            alive.append(weakref.ref(frame))
            most = max(most, sum(reference() is not None for reference in alive))
            yield frame

    _, shown = crop_video(frames)
    assert sum(1 for _ in shown) == 40
    assert len(alive) == 80
    assert most <= 3


def test_progress_counts_and_cancels(head: np.ndarray) -> None:
    seen: list[tuple[int, int | None]] = []
    find_clip_box(clip(head, [(150, 60)] * 4), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, None), (2, None), (3, None), (4, None)]

    def stop(done: int, total: int | None) -> None:
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        find_clip_box(clip(head, [(150, 60)] * 4), progress=stop)


def test_given_box_needs_no_face_and_no_search() -> None:
    opened = []

    def frames() -> Iterator[np.ndarray]:
        opened.append(1)
        return iter([textured(240, 320)] * 3)

    crop, shown = crop_video(frames, box=(100, 60, 200, 160))
    assert crop.box == (90, 50, 210, 170)
    assert (crop.frames, crop.faceless, crop.warning) == (0, 0, None)
    assert len(list(shown)) == 3
    assert len(opened) == 2


def test_cropped_clips_can_be_taken_whole() -> None:
    frame = textured(128, 140)
    crop, shown = crop_video(lambda: iter([frame]), mode="none", size=128)
    assert crop.box == (6, 0, 134, 128)
    np.testing.assert_array_equal(next(shown), frame[:, 6:134])


def test_a_published_driver_video_is_kept_whole(shared: Path) -> None:
    """It was cut by the published script: the box found anew must be what it was cut by, the frame's own edges."""
    frames = [frame for _, frame in VideoReader(shared / "data" / "videos" / "edtalk_pose_source1.mp4")][::8]
    assert find_clip_box(frames).box == (0, 0, 256, 256)
    anew = find_clip_box(frames, mode="box").box
    assert np.abs(np.subtract(anew, (0, 0, 256, 256))).max() <= 20


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"size": 1}, "size"),
        ({"mode": "template"}, "one of auto, box, none"),
        ({"face": -2}, "-2"),
        ({"box": (1, 2, 3)}, "four numbers"),
        ({"box": (900, 900, 950, 950)}, "outside"),
        ({"box": (10, 10, 90, 90), "mode": "none"}, "contradict"),
    ],
    ids=str,
)
def test_refuses_arguments_for_clips(options: dict[str, object], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        crop_video(lambda: iter([textured(120, 160)]), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["auto", "box", "none"])
def test_refuses_a_clip_without_frames(mode: str) -> None:
    with pytest.raises(VideoError, match="no frames"):
        crop_video(lambda: iter([]), mode=mode)  # type: ignore[arg-type]


def test_refuses_a_clip_without_a_face() -> None:
    with pytest.raises(FaceError, match="3 frames"):
        find_clip_box([textured(120, 160)] * 3)


def test_refuses_frames_of_several_sizes(head: np.ndarray) -> None:
    frames = [next(clip(head, [(150, 60)])), np.zeros((200, 200, 3), np.uint8)]
    with pytest.raises(VideoError, match="480x300 to 200x200"):
        find_clip_box(frames)
    _, shown = crop_video(lambda: iter(frames), box=(100, 100, 200, 200))
    next(shown)
    with pytest.raises(VideoError, match="200x200"):
        next(shown)


def test_refuses_frames_that_are_no_pictures() -> None:
    with pytest.raises(PictureError, match="float64"):
        find_clip_box([np.zeros((100, 100, 3))])
