"""Crops of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import resized, textured

from edtalk_core.errors import ArgumentError, FaceError, PictureError
from edtalk_core.face import crop as crops
from edtalk_core.face.crop import Crop, crop_at_own_size, crop_portrait, face_template, template_matrix
from edtalk_core.face.detection import Face
from edtalk_core.face.geometry import invert, similarity, square_matrix, transform, warp
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(picture, (0, 0), sigma)


def crop_of(picture: np.ndarray, **options: object) -> Crop:
    return crop_portrait(picture, landmarks="builtin", **options)  # type: ignore[arg-type]


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


def test_the_largest_of_several_faces_and_a_word_about_it(couple: np.ndarray) -> None:
    crop = crop_of(couple)
    assert crop.face is not None
    assert crop.face.box[0] > 300
    assert crop.warning is not None
    assert "2 faces" in crop.warning
    assert f"({crop.face.box[0]:.0f}, " in crop.warning


@pytest.mark.parametrize(("index", "side", "warning"), [(0, "right", None), (1, "left", "only 97 px high")])
def test_a_face_by_its_number(couple: np.ndarray, index: int, side: str, warning: str | None) -> None:
    crop = crop_of(couple, face=index)
    assert crop.face is not None
    assert (crop.face.box[0] > 300) == (side == "right")
    # That there are two is not worth a word to those who chose; that the smaller one is small is.
    if warning is None:
        assert crop.warning is None
    else:
        assert crop.warning is not None
        assert warning in crop.warning
        assert "faces" not in crop.warning


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


def test_refuses_what_is_no_picture() -> None:
    with pytest.raises(PictureError, match="float64"):
        crop_of(np.zeros((100, 100, 3)))


# --- a crop at its own resolution ------------------------------------------------------------------------------------


def test_a_crop_at_its_own_size_has_the_pixels_of_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    matrix = square_matrix((250 - 0.5, 180 - 0.5), 300, 256)
    assert np.array_equal(crop_at_own_size(picture, matrix, 256, 2048), picture[30:330, 100:400])


@pytest.mark.parametrize(("side", "expected"), [(301, 300), (120, 256), (900, 512)])
def test_sizes_of_crops_at_their_own_size(side, expected):
    picture = np.full((1000, 1000, 3), 90, np.uint8)
    matrix = square_matrix((500, 480), side, 256, angle=0.2)
    square = crop_at_own_size(picture, matrix, 256, 512)
    assert square.shape == (expected, expected, 3)
    assert (square == 90).all()


def test_beyond_the_picture_a_crop_goes_on_without_streaks_and_does_not_touch_the_picture():
    picture = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    matrix = square_matrix((100 - 0.5, 200 - 0.5), 400, 256)  # half of it lies to the left of the picture
    square = crop_at_own_size(picture, matrix, 256, 2048)
    assert np.array_equal(square[:, 100:], picture[:, :300])
    beyond = square[:, :100].astype(float)
    along_edge = beyond.std(axis=0).mean(axis=1)
    assert along_edge[99] > 30  # at the edge the texture goes on
    assert along_edge[:40].max() < 8  # and fades; repeated border pixels would vary by 74 throughout
    assert abs(beyond.mean() - 127) < 6
