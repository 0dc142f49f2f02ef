"""Pasting a crop back: geometry to the pixel, masks, colours, detail, and what must not be touched."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from edtalk_core.builtin_files import builtin_file
from edtalk_core.errors import ArgumentError, PictureError
from edtalk_core.face.crop import Crop, crop_portrait, face_template
from edtalk_core.face.geometry import invert, square_matrix, transform, warp
from edtalk_core.face.paste import AREAS, ColourMatch, PasteBack
from edtalk_core.face.video_crop import VideoCrop
from edtalk_core.media.picture import read_picture


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """The example portrait, cut to odd sides."""
    return np.ascontiguousarray(read_picture(builtin_file("examples/portrait.jpg"))[:501, 3:500])


@pytest.fixture(scope="module")
def crop(picture: np.ndarray) -> Crop:
    """Turned and scaled, by landmarks."""
    return crop_portrait(picture, mode="template", landmarks="builtin")


def size_of(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    error = np.square(found.astype(np.float64) - expected).mean()
    return math.inf if error == 0 else 20 * math.log10(255 if found.dtype == np.uint8 else 1) - 10 * math.log10(error)


def ramps(height: int, width: int) -> np.ndarray:
    """A picture whose three channels rise along x, along y and along both: shifted by a pixel it differs everywhere."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x / width, y / height, (x + y) / (width + height)], axis=2) * 0.8 + 0.1


def region_of(paste: PasteBack, picture: np.ndarray) -> np.ndarray:
    left, top, right, bottom = paste.region
    return picture[top:bottom, left:right]


# --- unchanged frames ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_unchanged_frame_gives_the_picture_back(picture, crop, area, kind):
    given = picture if kind == np.uint8 else picture.astype(np.float32) / 255
    paste = PasteBack(crop.matrix, size_of(picture), 256, area=area, landmarks=crop.face.landmarks)
    found = paste.composite(given, crop.picture)
    assert found.dtype == kind
    assert psnr(region_of(paste, found), region_of(paste, given)) > 48
    without = paste.composite(given, crop.picture, detail=False)
    assert psnr(region_of(paste, without), region_of(paste, given)) > 27  # what a crop of 256 px can hold


@pytest.mark.parametrize("size", [64, 255, 256, 1024, 1001])
def test_frames_of_any_size_are_the_same_square(picture, size):
    frame = crop_portrait(picture, mode="template", landmarks="builtin", size=size).picture
    crop = crop_portrait(picture, mode="template", landmarks="builtin")
    found = PasteBack(crop.matrix, size_of(picture), 256).composite(picture, frame, detail=False)
    left, top, right, bottom = PasteBack(crop.matrix, size_of(picture), 256).region
    # Of 64 px only what they hold can be the same.
    blur = 1 if size > 200 else 9
    kernel = np.ones(blur) / blur

    def smooth(values: np.ndarray) -> np.ndarray:
        values = values[top:bottom, left:right].astype(np.float64)
        for axis in (0, 1):
            values = np.apply_along_axis(np.convolve, axis, values, kernel, "same")
        return values[blur:-blur, blur:-blur]

    assert 10 * math.log10(255**2 / np.square(smooth(found) - smooth(picture)).mean()) > (30 if size > 200 else 28)


@pytest.mark.parametrize("angle", [0.0, 0.2])
@pytest.mark.parametrize(("side", "size"), [(61.3, 256), (130.7, 256), (130.7, 1024), (130.7, 333), (200.0, 32)])
def test_nothing_is_shifted_by_a_tenth_of_a_pixel(angle, side, size):
    """On ramps, half a pixel too much or too little anywhere shows."""
    picture = ramps(233, 301)
    matrix = square_matrix((149.3, 118.6), side, 256, angle)
    # The frame, computed and not warped: what the ramps are at the place of each of its pixels.
    y, x = np.mgrid[:size, :size]
    places = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * (256 / size) - 0.5
    x, y = transform(places, invert(matrix)).T.reshape(2, size, size)
    frame = (np.stack([x / 301, y / 233, (x + y) / (301 + 233)], axis=2) * 0.8 + 0.1).astype(np.float32)
    paste = PasteBack(matrix, (301, 233), 256)
    # OpenCV's cubic curve follows a ramp to within a twentieth of a pixel of the frame.
    tolerance = max(0.1, 0.06 * side / size)
    for detail in (False, True):
        difference = np.abs(paste.composite(picture, frame, detail=detail) - picture)
        assert difference.max() < tolerance * 0.8 / 233


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 48), (64, 49), (65, 49), (301, 200)])
def test_sizes_of_any_parity(width, height):
    picture = (ramps(height, width) * 255).astype(np.uint8)
    matrix = square_matrix((width / 2, height / 2), 0.8 * height, 64)
    paste = PasteBack(matrix, (width, height), 64)
    assert paste.mask.shape == (height, width)
    found = paste.composite(picture, warp(picture, matrix, 64))
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).max() <= 1


def test_the_squeezed_crop_of_a_video_goes_back_as_well():
    video_crop = VideoCrop((20, 0, 180, 130), (200, 150), 256)
    picture = (ramps(150, 200) * 255).astype(np.uint8)
    found = PasteBack(video_crop.matrix, (200, 150), 256).composite(picture, video_crop.cut(picture), detail=False)
    assert np.abs(found.astype(int) - picture).max() <= 2


def test_frames_finer_than_the_picture_do_not_alias():
    """A pattern of single pixels in a frame eight times as fine as the picture is grey there."""
    picture = np.full((100, 100, 3), 0.5, np.float32)
    frame = np.repeat((np.indices((512, 512)).sum(axis=0) % 2).astype(np.float32)[..., None], 3, axis=2)
    paste = PasteBack(square_matrix((50, 50), 60, 256), (100, 100), 256)
    assert np.abs(paste.composite(picture, frame, detail=False) - 0.5).max() < 0.02


# --- what is touched -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_outside_of_the_mask_nothing_changes(picture, crop, area, kind):
    rng = np.random.default_rng(0)
    given = rng.integers(0, 256, picture.shape, np.uint8)
    given = given if kind == np.uint8 else (given.astype(np.float32) / 300 + 0.3)  # beyond 1, too
    before = given.copy()
    paste = PasteBack(crop.matrix, size_of(picture), 256, area=area, landmarks=crop.face.landmarks)
    for frame in (np.zeros((256, 256, 3), np.uint8), rng.random((300, 300, 3)).astype(np.float32)):
        found = paste.composite(given, frame, colours=ColourMatch())
        outside = paste.mask == 0
        assert outside.any()
        np.testing.assert_array_equal(found[outside], given[outside])
        assert (found[paste.mask > 0.5] != given[paste.mask > 0.5]).mean() > 0.9
    np.testing.assert_array_equal(given, before)
    left, top, right, bottom = paste.region
    assert not paste.mask[:top].any()
    assert not paste.mask[bottom:].any()
    assert not paste.mask[:, :left].any()
    assert not paste.mask[:, right:].any()


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("side", [40.3, 61.7, 150.0, 290.2])
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_pixels_beyond_the_crop_are_never_touched(area, side, angle):
    matrix = square_matrix((150.2, 160.9), side, 256, angle)
    y, x = np.mgrid[:330, :301]
    places = transform(np.stack([x.ravel(), y.ravel()], axis=1), matrix)
    beyond = ((places < 0) | (places > 255)).any(axis=1).reshape(330, 301)
    for feather in (0.0, 0.1, 0.5):
        mask = PasteBack(matrix, (301, 330), 256, area=area, feather=feather).mask
        assert not mask[beyond].any()
        assert mask.max() > 0.5


def test_masks_are_soft_and_steady(picture, crop):
    paste = PasteBack(crop.matrix, size_of(picture), 256)
    mask = paste.mask
    assert mask.dtype == np.float32
    assert mask.shape == picture.shape[:2]
    assert mask.min() == 0
    assert mask.max() == pytest.approx(1)
    # 0.1 of a crop of some 190 px: from 0 to 1 within 19 px.
    assert np.abs(np.diff(mask, axis=0)).max() < 0.12
    paste.composite(picture, np.zeros_like(crop.picture))
    np.testing.assert_array_equal(paste.mask, mask)


def test_a_wider_feather_is_softer(picture, crop):
    steps = []
    for feather in (0.0, 0.05, 0.1, 0.3):
        mask = PasteBack(crop.matrix, size_of(picture), 256, feather=feather, area="face").mask
        steps.append(float(np.abs(np.diff(mask, axis=1)).max()))
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 0.5


def test_where_the_picture_ends_the_mask_is_hard():
    """There is nothing to blend with: a crop of the whole picture replaces all of it."""
    whole = PasteBack(np.eye(2, 3), (256, 256), 256, feather=0.2)
    assert (whole.mask == 1).all()
    # A crop that reaches beyond the picture above and at the left only.
    corner = PasteBack(square_matrix((40, 50), 120, 256), (300, 300), 256, feather=0.2).mask
    assert corner[0, 0] == corner[0, 40] == corner[50, 0] == 1
    assert corner[50, 99] < 0.05
    assert corner[109, 40] < 0.05


@pytest.mark.parametrize("with_landmarks", [True, False])
def test_areas_hold_what_they_are_called_after(picture, crop, with_landmarks):
    landmarks = crop.face.landmarks
    placed = landmarks if with_landmarks else transform(face_template(), invert(crop.matrix))
    masks = {
        area: PasteBack(
            crop.matrix, size_of(picture), 256, area=area, landmarks=landmarks if with_landmarks else None
        ).mask
        for area in AREAS
    }

    def at(area: str, points: np.ndarray) -> np.ndarray:
        columns, rows = points.round().astype(int).T
        return masks[area][rows, columns]

    mouth, eyes, brows, chin = placed[48:68], placed[36:48], placed[17:27], placed[7:10]
    assert at("mouth", mouth).min() > 0.95
    assert at("mouth", chin).min() > 0.7
    assert at("mouth", eyes).max() < 0.05
    assert min(at("face", points).min() for points in (mouth, eyes, brows)) > 0.85
    assert masks["mouth"].sum() < masks["face"].sum() < masks["crop"].sum()


def test_a_mask_moves_smoothly_with_the_face(picture, crop):
    """By a twentieth of a pixel a frame, no pixel's share jumps."""
    masks = [
        PasteBack(
            crop.matrix,
            size_of(picture),
            256,
            area="mouth",
            landmarks=crop.face.landmarks + np.array([0.05 * step, 0.03 * step]),
        ).mask
        for step in range(6)
    ]
    steps = [np.abs(after - before).max() for before, after in pairwise(masks)]
    assert 0 < max(steps) < 0.012


# --- colours ---------------------------------------------------------------------------------------------------------


def tinted(crop: np.ndarray, offset: tuple[float, float, float], slope: float = 0.0) -> np.ndarray:
    across = np.linspace(-1, 1, crop.shape[1])[None, :, None]
    return (crop / 255 + np.array(offset) + slope * across).astype(np.float32)


@pytest.fixture(scope="module")
def grey(crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """A picture that stays within range when it is tinted, and its crop."""
    picture = np.full((400, 420, 3), 128, np.uint8)
    picture += np.random.default_rng(0).integers(-20, 21, picture.shape).astype(np.uint8)
    return picture, warp(picture, square_matrix((210, 200), 200, 256), 256)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_a_tint_is_taken_out(grey, area, slope):
    picture, crop = grey
    paste = PasteBack(square_matrix((210, 200), 200, 256), size_of(picture), 256, area=area)
    frame = tinted(crop, (0.08, -0.05, 0.02), slope)
    inside = paste.mask > 0.2
    off = {
        name: np.abs(paste.composite(picture, frame, colours=colours)[inside].astype(float) - picture[inside]).mean()
        for name, colours in (("left", None), ("matched", ColourMatch()))
    }
    assert off["left"] > 8
    assert off["matched"] < 1.5


def test_what_moved_at_the_edge_does_not_tint_the_rest(grey):
    picture, crop = grey
    matrix = square_matrix((210, 200), 200, 256)
    paste = PasteBack(matrix, size_of(picture), 256)
    frame = crop.copy()
    frame[:, 225:] = 0  # hair has swung into a side of the crop
    colours = ColourMatch()
    paste.composite(picture, frame, colours=colours)
    assert np.abs(colours.tint[0]).max() < 0.02


def test_colours_of_a_still_picture_are_those_of_the_first_frame(grey):
    picture, crop = grey
    paste = PasteBack(square_matrix((210, 200), 200, 256), size_of(picture), 256)
    colours = ColourMatch()
    paste.composite(picture, tinted(crop, (0.06, 0.06, 0.06)), colours=colours)
    first = colours.tint.copy()
    np.testing.assert_allclose(first[0], -0.06, atol=0.004)
    plain = paste.composite(picture, crop, colours=colours)
    np.testing.assert_array_equal(colours.tint, first)
    middle = paste.mask == 1
    assert plain[middle].astype(float).mean() - picture[middle].mean() == pytest.approx(-0.06 * 255, abs=1)


def test_colours_of_a_video_follow_without_haste(grey):
    picture, crop = grey
    paste = PasteBack(square_matrix((210, 200), 200, 256), size_of(picture), 256)
    colours = ColourMatch(follow=0.25)
    tints = []
    for frame in [crop] + [tinted(crop, (0.08, 0, 0))] * 12:
        paste.composite(picture, frame, colours=colours)
        tints.append(colours.tint[0, 0])
    assert tints[0] == pytest.approx(0, abs=0.005)
    assert tints[1] == pytest.approx(-0.02, abs=0.005)
    assert tints == sorted(tints, reverse=True)
    assert tints[-1] == pytest.approx(-0.08, abs=0.008)


# --- detail ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fine() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A large picture with texture finer than its crop's pixels, the crop, and its matrix."""
    texture = np.random.default_rng(1).integers(-40, 41, (900, 900, 1))
    picture = (ramps(900, 900) * 120 + 60 + texture).astype(np.uint8)
    matrix = square_matrix((450, 440), 700, 256)
    return picture, warp(picture, matrix, 256), matrix


def test_detail_stays_where_the_frame_leaves_the_picture_alone(fine):
    picture, crop, matrix = fine
    frame = crop.copy()
    frame[150:200, 100:160] = 20  # a mouth opens
    paste = PasteBack(matrix, (900, 900), 256)
    found = paste.composite(picture, frame)
    far = transform(np.array([[60.0, 60.0], [90.0, 110.0]]), invert(matrix)).round().astype(int)
    cheek = (slice(far[0, 1], far[1, 1]), slice(far[0, 0], far[1, 0]))
    assert np.abs(found[cheek].astype(int) - picture[cheek]).max() <= 2
    without = paste.composite(picture, frame, detail=False)
    assert without[cheek].std() < 0.5 * picture[cheek].std()


def test_where_the_frame_differs_no_detail_of_the_picture_shines_through(fine):
    picture, crop, matrix = fine
    frame = crop.copy()
    frame[140:210, 90:170] = 20
    found = PasteBack(matrix, (900, 900), 256).composite(picture, frame)
    place = transform(np.array([[110.0, 160.0], [150.0, 190.0]]), invert(matrix)).round().astype(int)
    mouth = found[place[0, 1] : place[1, 1], place[0, 0] : place[1, 0]]
    assert np.abs(mouth.astype(int) - 20).max() <= 1


# --- types and errors ------------------------------------------------------------------------------------------------


def test_floats_are_never_quantised(picture, crop):
    given = picture.astype(np.float32) / 255 + np.float32(0.3 / 255)
    frame = warp(given, crop.matrix, 256)
    found = PasteBack(crop.matrix, size_of(picture), 256, landmarks=crop.face.landmarks).composite(given, frame)
    levels = found * 255
    assert np.abs(levels - levels.round()).mean() > 0.2
    assert np.abs(found - given).max() < 1e-4


@pytest.mark.parametrize("kinds", [(np.uint8, np.float32), (np.float32, np.uint8)])
def test_pictures_and_frames_may_be_of_different_types(picture, crop, kinds):
    def of(pixels: np.ndarray, kind: type) -> np.ndarray:
        return pixels if kind == np.uint8 else pixels.astype(np.float32) / 255

    paste = PasteBack(crop.matrix, size_of(picture), 256)
    found = paste.composite(of(picture, kinds[0]), of(crop.picture, kinds[1]))
    assert found.dtype == kinds[0]
    same = paste.composite(picture, crop.picture)
    assert np.abs(found / (1 if kinds[0] == np.uint8 else 1 / 255) - same).max() <= 1.01


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"matrix": np.eye(3)}, r"\(2, 3\)"),
        ({"matrix": np.zeros((2, 3))}, "invertible"),
        ({"matrix": np.full((2, 3), np.nan)}, "finite"),
        ({"matrix": np.array([[1.0, 0, 900], [0, 1, 0]])}, "beside the picture"),
        ({"source_size": (0, 5)}, "width, height"),
        ({"source_size": (5.5, 5)}, "width, height"),
        ({"crop_size": 8}, "crop_size"),
        ({"crop_size": 25.0}, "crop_size"),
        ({"area": "nose"}, "face, mouth, crop"),
        ({"feather": -0.1}, "feather"),
        ({"feather": 0.6}, "feather"),
        ({"feather": float("nan")}, "feather"),
        ({"landmarks": np.zeros((5, 2))}, r"\(68, 2\)"),
        ({"landmarks": np.full((68, 2), np.nan)}, "finite"),
        ({"landmarks": np.full((68, 2), 5000.0), "area": "mouth"}, "outside of its crop"),
    ],
)
def test_what_is_no_crop_of_the_picture_is_refused(arguments, word):
    given = {"matrix": np.eye(2, 3), "source_size": (256, 256), "crop_size": 256, **arguments}
    with pytest.raises(ArgumentError, match=word):
        PasteBack(**given)


@pytest.mark.parametrize("follow", [-0.1, 1.5, float("nan")])
def test_colours_follow_a_share(follow):
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        ColourMatch(follow)


@pytest.mark.parametrize(
    ("picture", "frame", "word"),
    [
        (np.zeros((64, 64, 3), np.float64), np.zeros((64, 64, 3), np.uint8), "The picture is float64"),
        (np.zeros((64, 65, 3), np.uint8), np.zeros((64, 64, 3), np.uint8), "64x64x3"),
        (np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3), np.uint8), "The picture"),
        (np.zeros((64, 64, 3), np.uint8), np.zeros((64, 32, 3), np.uint8), "A frame"),
        (np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8), "A frame"),
        (np.zeros((64, 64, 3), np.uint8), [[0]], "A frame is list"),
    ],
    ids=["float64", "size", "alpha", "oblong", "grey", "list"],
)
def test_other_things_than_pictures_are_refused(picture, frame, word):
    with pytest.raises(PictureError, match=word):
        PasteBack(np.eye(2, 3), (64, 64), 64).composite(picture, frame)
