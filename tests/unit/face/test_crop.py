"""Crops of pictures and of whole clips."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edtalk_core.builtin_files import builtin_file
from edtalk_core.errors import ArgumentError, Cancelled, FaceError, PictureError, VideoError
from edtalk_core.face import crop as crops
from edtalk_core.face.alignment import detect_faces
from edtalk_core.face.crop import Crop, crop_portrait, crop_video, face_template, find_clip_box, template_matrix
from edtalk_core.face.detection import Face
from edtalk_core.face.geometry import invert, similarity, square_matrix, transform, warp
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader


def resized(picture: np.ndarray, scale: float) -> np.ndarray:
    import cv2

    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(picture, (0, 0), sigma)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_picture(builtin_file("examples/portrait.jpg"))


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> Face:
    return detect_faces(portrait, landmarks="builtin")[0]


@pytest.fixture(scope="module")
def head(portrait: np.ndarray, face: Face) -> np.ndarray:
    """The head and some air, 120 px from forehead to chin."""
    left, top, right, bottom = (int(edge) for edge in face.box)
    part = portrait[max(0, top - 40) : bottom + 40, max(0, left - 40) : right + 40]
    return resized(part, 120 / (bottom - top))


def crop_of(picture: np.ndarray, **options: object) -> Crop:
    return crop_portrait(picture, landmarks="builtin", **options)  # type: ignore[arg-type]


def textured(height: int, width: int) -> np.ndarray:
    """Smooth structure, so that every pixel of a warp tells where it came from."""
    noise = np.random.default_rng(5).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return resized(noise, 8)[:height, :width].copy()


# The published picture crop


@pytest.mark.filterwarnings("ignore:`estimate`:FutureWarning")
def test_similarity_is_that_of_scikit_image() -> None:
    transforms = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(0)
    for _ in range(20):
        source, target = rng.normal(0, 50, (47, 2)), rng.normal(0, 50, (47, 2)) + rng.uniform(-99, 99, 2)
        expected = transforms.SimilarityTransform()
        assert expected.estimate(source, target)
        np.testing.assert_allclose(similarity(source, target), expected.params[:2], atol=1e-10)


@pytest.mark.filterwarnings("ignore:`estimate`:FutureWarning")
@pytest.mark.parametrize("scale", [0.75, 1.0, 2.5], ids=["smaller", "as it is", "larger"])
def test_template_crop_is_the_published_script(portrait: np.ndarray, scale: float) -> None:
    """As crop_image2.py computes it with scikit-image; only the border repeats where the script shows black."""
    transforms = pytest.importorskip("skimage.transform")
    picture = resized(portrait, scale)
    crop = crop_of(picture, mode="template")
    assert crop.face is not None
    assert crop.face.landmarks is not None
    published = transforms.SimilarityTransform()
    assert published.estimate(face_template()[:47], crop.face.landmarks[:47])
    np.testing.assert_allclose(crop.inverse, published.params[:2], atol=1e-9)
    if published.scale <= 2:  # beyond that ours averages first: see the test of moiré
        expected = transforms.warp(picture, published, output_shape=(256, 256), mode="edge", order=1) * 255
        difference = np.abs(crop.picture - expected)
        assert difference.mean() < 0.5
        assert difference.max() < 12  # OpenCV 4 rounds positions to 1/32 px, OpenCV 5 does not


def test_landmarks_lie_on_the_template(portrait: np.ndarray) -> None:
    crop = crop_of(portrait, mode="template")
    assert crop.face is not None
    assert crop.face.landmarks is not None
    placed = transform(crop.face.landmarks, crop.matrix)
    assert np.linalg.norm(placed[:47] - face_template()[:47], axis=1).mean() < 10
    # Nothing that turns, scales or shifts all of them brings them nearer.
    again = similarity(face_template()[:47], placed[:47])
    np.testing.assert_allclose(again, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_crop_follows_a_turned_and_scaled_picture(portrait: np.ndarray, face: Face) -> None:
    """The crop of a tilted picture shows the same face at the same place."""
    centre = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
    tilted = warp(portrait, square_matrix(centre, 300, 450, angle=0.4), 450)
    straight, turned = crop_of(portrait, mode="template"), crop_of(tilted, mode="template")
    middle = (slice(60, 220), slice(50, 200))
    difference = np.abs(straight.picture[middle].astype(float) - turned.picture[middle])
    assert difference.mean() < 8
    assert np.abs(straight.picture[middle].astype(float) - turned.picture[middle][:, ::-1]).mean() > 16


@pytest.mark.parametrize("size", [64, 128, 512])
def test_other_sizes_show_the_same_square(portrait: np.ndarray, size: int) -> None:
    small, large = sorted((crop_of(portrait), crop_of(portrait, size=size)), key=lambda crop: len(crop.picture))
    assert small.picture.shape != large.picture.shape
    shrunk = resized(large.picture, len(small.picture) / len(large.picture))
    assert np.abs(shrunk.astype(float) - small.picture).mean() < 5
    corners = np.array([[-0.5, -0.5], [1, 1]])
    of_small = transform(corners[:1], small.inverse)
    np.testing.assert_allclose(of_small, transform(corners[:1], large.inverse), atol=1e-6)


def test_inverse_maps_back(portrait: np.ndarray) -> None:
    crop = crop_of(portrait)
    points = np.random.default_rng(1).uniform(-50, 300, (20, 2))
    np.testing.assert_allclose(transform(transform(points, crop.inverse), crop.matrix), points, atol=1e-9)
    assert crop.matrix.shape == crop.inverse.shape == (2, 3)
    assert crop.matrix.dtype == np.float64


@pytest.mark.parametrize("factor", [2, 3.5, 9])
def test_large_pictures_keep_their_geometry(factor: float) -> None:
    """Averaging blocks before the warp must not shift anything by even a tenth of a pixel."""
    small = textured(256, 256)
    large = resized(small, factor)
    matrix = square_matrix(((large.shape[1] - 1) / 2, (large.shape[0] - 1) / 2), large.shape[0], 256)
    shown = warp(large, matrix, 256)[8:-8, 8:-8].astype(float)
    errors = {}
    for dx in (-0.2, -0.1, 0.0, 0.1, 0.2):
        moved = warp(small, np.array([[1, 0, dx], [0, 1, 0]]), 256)[8:-8, 8:-8]
        errors[dx] = np.abs(shown - moved).mean()
    assert min(errors, key=errors.__getitem__) == 0.0
    assert errors[0.0] < 2


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_large_pictures_give_no_moire(angle: float) -> None:
    """A pattern finer than the crop's pixels is grey in the crop; bilinear sampling alone shows bands."""
    import cv2

    stripes = (np.indices((1500, 1500)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    matrix = square_matrix((749.7, 749.2), 1003, 256, angle)
    plain = cv2.warpAffine(stripes, matrix, (256, 256), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert plain.std() > 25
    assert warp(stripes, matrix, 256).std() < 5


def test_parts_beyond_the_picture_repeat_its_border() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, :, 0] = np.arange(100)[:, None] + 50
    crop = crop_of(picture, box=(-30, 20, 30, 80), size=72)
    left = crop.picture[:, :30, 0]
    assert (left == left[:, :1]).all()
    assert left[0, 0] != left[-1, 0]


# Which crop


def test_a_crop_is_left_alone(portrait: np.ndarray) -> None:
    once = crop_of(portrait, mode="template")
    twice = crop_of(once.picture)
    np.testing.assert_array_equal(twice.picture, once.picture)
    np.testing.assert_array_equal(twice.matrix, [[1, 0, 0], [0, 1, 0]])
    assert twice.face is not None


def test_a_crop_of_twice_the_size_is_only_scaled(portrait: np.ndarray) -> None:
    large = crop_of(portrait, mode="template", size=512)
    crop = crop_of(large.picture)
    np.testing.assert_allclose(crop.matrix[:, :2], [[0.5, 0], [0, 0.5]])
    assert np.abs(crop.picture - resized(large.picture, 0.5).astype(float)).max() <= 1


def test_the_same_crop_is_fitted_again_when_asked(portrait: np.ndarray) -> None:
    once = crop_of(portrait, mode="template")
    assert not np.array_equal(crop_of(once.picture, mode="template").matrix, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("name", ["edtalk_crop_identity_source.jpg", "edtalk_leijun.png"])
def test_published_example_crops_are_left_alone(shared: Path, name: str) -> None:
    picture = read_picture(shared / "data" / "portraits" / name)
    matrix = crop_of(picture).matrix
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) * 256 / picture.shape[0])


@pytest.mark.parametrize("name", ["edtalk_identity_source.jpg", "liveportrait_s1.jpg", "aniportrait_solo.png"])
def test_other_pictures_are_not_left_alone(shared: Path, name: str) -> None:
    picture = read_picture(shared / "data" / "portraits" / name)
    crop = crop_of(picture)
    assert crop.face is not None
    assert crop.face.landmarks is not None
    np.testing.assert_array_equal(crop.matrix, template_matrix(crop.face.landmarks, 256))


def test_no_crop_takes_the_middle() -> None:
    picture = textured(256, 301)
    crop = crop_of(picture, mode="none")
    np.testing.assert_array_equal(crop.picture, picture[:, 22:278])
    assert crop.face is None
    assert crop.warning is None
    assert crop_of(textured(90, 50), mode="none").picture.shape == (256, 256, 3)


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((40, 30, 120, 130), (20, 20, 140, 140)),
        ((30, 40, 130, 120), (20, 20, 140, 140)),
        ((50, 50, 90, 90), (46, 46, 94, 94)),
    ],
    ids=["high", "wide", "square"],
)
def test_a_box_is_extended_and_made_square(box: tuple[float, ...], square: tuple[int, ...]) -> None:
    picture = textured(160, 160)
    left, top, right, bottom = square
    crop = crop_of(picture, box=box, size=right - left)
    np.testing.assert_array_equal(crop.picture, picture[top:bottom, left:right])
    assert crop.face is None


def test_box_crop_of_a_found_face(portrait: np.ndarray, face: Face) -> None:
    np.testing.assert_allclose(crop_of(portrait, mode="box").matrix, crop_of(portrait, box=face.box).matrix)
    assert crop_of(portrait, mode="box").face is not None


def test_what_has_no_landmarks_is_cropped_by_keypoints() -> None:
    """A cat's face: the detector sees eyes, nose and mouth, the landmark model knows people only."""
    data = pytest.importorskip("skimage.data")
    crop = crop_of(np.ascontiguousarray(data.chelsea()))
    assert crop.face is not None
    assert crop.face.landmarks is None
    assert crop.warning is not None
    assert "No landmarks" in crop.warning
    eyes = transform(crop.face.keypoints[:2], crop.matrix)
    np.testing.assert_allclose(eyes, [(103.8, 114.9), (164.8, 115.2)], atol=25)


def test_keypoints_crop_much_as_landmarks_do(portrait: np.ndarray, face: Face) -> None:
    by_keypoints = invert(similarity(crops._KEYPOINTS, face.keypoints))
    corners = np.array([[0, 0], [255, 0], [0, 255], [255, 255]], np.float64)
    moved = transform(transform(corners, crop_of(portrait, mode="template").inverse), by_keypoints) - corners
    assert np.linalg.norm(moved, axis=1).mean() < 20


# Which face


@pytest.fixture(scope="module")
def couple(head: np.ndarray) -> np.ndarray:
    canvas = np.full((300, 560, 3), 90, np.uint8)
    small = resized(head, 0.8)
    canvas[30 : 30 + small.shape[0], 40 : 40 + small.shape[1]] = small
    canvas[40 : 40 + head.shape[0], 330 : 330 + head.shape[1]] = head
    return canvas


def test_the_largest_of_several_faces_and_a_word_about_it(couple: np.ndarray) -> None:
    crop = crop_of(couple)
    assert crop.face is not None
    assert crop.face.box[0] > 300
    assert crop.warning is not None
    assert "2 faces" in crop.warning
    assert f"({crop.face.box[0]:.0f}, " in crop.warning


@pytest.mark.parametrize(("index", "side"), [(0, "right"), (1, "left")])
def test_a_face_by_its_number(couple: np.ndarray, index: int, side: str) -> None:
    crop = crop_of(couple, face=index)
    assert crop.face is not None
    assert (crop.face.box[0] > 300) == (side == "right")
    assert crop.warning is None or "faces" not in crop.warning


@pytest.mark.parametrize(("choice", "word"), [("only", "Choose one"), (2, "no face 2"), (99, "no face 99")])
def test_a_choice_that_cannot_be_met_lists_the_boxes(couple: np.ndarray, choice: str | int, word: str) -> None:
    with pytest.raises(FaceError, match=word) as caught:
        crop_of(couple, face=choice)
    assert len(caught.value.boxes) == 2
    assert all(f"({box[0]:.0f}, " in str(caught.value) for box in caught.value.boxes)


def test_only_is_content_with_one_face(portrait: np.ndarray) -> None:
    assert crop_of(portrait, face="only").warning is None


@pytest.mark.parametrize("mode", ["auto", "template", "box"])
def test_no_face_says_how_to_go_on(mode: str) -> None:
    with pytest.raises(FaceError, match=r'box .* crop "none"') as caught:
        crop_of(textured(200, 300), mode=mode)
    assert caught.value.boxes == ()
    assert "300x200" in str(caught.value)


# Warnings


def test_a_good_portrait_has_no_warning(portrait: np.ndarray) -> None:
    assert crop_of(portrait).warning is None


def test_warns_of_a_small_face(portrait: np.ndarray) -> None:
    assert "px high" in str(crop_of(resized(portrait, 0.5)).warning)


def test_warns_of_blur(portrait: np.ndarray) -> None:
    assert "blurred" in str(crop_of(blurred(resized(portrait, 2), 5)).warning)


def test_warns_of_a_face_cut_by_the_edge(portrait: np.ndarray, face: Face) -> None:
    middle = int((face.box[1] + face.box[3]) / 2 + 0.32 * (face.box[3] - face.box[1]))
    assert "cut by" in str(crop_of(np.ascontiguousarray(portrait[:middle]), mode="template").warning)


def test_warns_of_a_crop_beyond_the_picture(portrait: np.ndarray, face: Face) -> None:
    left, top, right, bottom = (int(edge) for edge in face.box)
    assert "beyond" in str(crop_of(portrait[top - 5 : bottom + 5, left - 5 : right + 5], mode="template").warning)


def test_warns_of_a_tilt_that_stays(portrait: np.ndarray, face: Face) -> None:
    centre = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
    tilted = warp(portrait, square_matrix(centre, 250, 400, angle=0.6), 400)
    assert "tilted" in str(crop_of(tilted, mode="box").warning)
    assert "tilted" not in str(crop_of(tilted, mode="template").warning)


def test_warns_of_a_turned_head(shared: Path) -> None:
    profile = next(iter(VideoReader(shared / "data" / "clips" / "lrs3_0Fi8_00.mp4")))[1]
    assert "turned sideways" in str(crop_of(profile).warning)


# One box for a clip


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


# Bad input


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"size": 0}, "size"),
        ({"size": 5000}, "size"),
        ({"size": 256.0}, "size"),
        ({"size": True}, "size"),
        ({"mode": "dlib"}, "one of auto, template, box, none"),
        ({"mode": None}, "one of"),
        ({"face": "biggest"}, "biggest"),
        ({"face": -1}, "-1"),
        ({"face": 1.0}, "1.0"),
        ({"face": True}, "True"),
        ({"face": 1, "box": (100, 100, 200, 200)}, "contradict"),
        ({"mode": "none", "box": (100, 100, 200, 200)}, "contradict"),
        ({"mode": "template", "box": (100, 100, 200, 200)}, "contradict"),
        ({"box": (100, 100, 200)}, "four numbers"),
        ({"box": "face"}, "four numbers"),
        ({"box": (100, None, 200, 200)}, "four numbers"),
        ({"box": (200, 100, 100, 200)}, "at least 8 px"),
        ({"box": (100, 100, 102, 200)}, "at least 8 px"),
        ({"box": (float("nan"), 100, 200, 200)}, "at least 8 px"),
        ({"box": (0, 0, float("inf"), 200)}, "at least 8 px"),
        ({"box": (600, 100, 700, 200)}, "outside"),
        ({"box": (-200, -200, -10, -10)}, "outside"),
        ({"box": (100, 507, 200, 600)}, "outside"),
        ({"box": (-1e9, -1e9, 1e9, 1e9)}, "far larger"),
        ({"landmarks": "best"}, "builtin"),
    ],
    ids=str,
)
def test_refuses_arguments(portrait: np.ndarray, options: dict[str, object], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        crop_portrait(portrait, **options)  # type: ignore[arg-type]


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
    with pytest.raises(PictureError, match="float64"):
        crop_of(np.zeros((100, 100, 3)))
