"""The whole picture with the head moving in it: what lies outside the crop stays, and no square shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.errors import ArgumentError, PictureError
from edtalk_core.face.crop import Crop
from edtalk_core.face.geometry import invert, transform
from edtalk_core.media.picture import read_picture
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.motion import Motion
from edtalk_core.portrait import portrait_from_picture
from edtalk_core.whole import WholeRenderer


@pytest.fixture(scope="module")
def model() -> EDTalk:
    return load_model("demo")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.ascontiguousarray(read_picture(builtin_file("examples/portrait.jpg")))


@pytest.fixture(scope="module")
def cut(model: EDTalk, picture: np.ndarray) -> tuple[Portrait, Crop]:
    return portrait_from_picture(model, picture)


def nodding(portrait: Portrait, frames: int = 2) -> Motion:
    """A head that turns and opens its mouth, more in each frame."""
    generator = torch.Generator().manual_seed(3)
    return portrait.own.map(
        lambda track: (
            track
            + torch.arange(1, frames + 1)[:, None]
            * 0.6
            * track.std()
            * torch.randn(1, track.shape[1], generator=generator)
        )
    )


@pytest.fixture(scope="module")
def rendered(model: EDTalk, picture: np.ndarray, cut: tuple[Portrait, Crop]) -> list[np.ndarray]:
    portrait, crop = cut
    renderer = WholeRenderer(model, portrait, picture, crop.matrix, precision="fp32")
    return list(renderer.pictures(nodding(portrait)))


def distance_inside(crop: Crop, shape: tuple[int, ...]) -> np.ndarray:
    """Distance (H,W) of each pixel from the border of the crop, as a share of its side; negative outside of it."""
    rows, columns = np.indices(shape[:2])
    places = transform(np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(float), crop.matrix)
    side = len(crop.picture)
    inside = np.minimum(places + 0.5, side - 0.5 - places).min(axis=1) / side
    return np.asarray(inside.reshape(shape[:2]))


def test_the_head_moves_and_what_lies_outside_the_crop_stays_bit_for_bit(rendered, picture, cut):
    distance = distance_inside(cut[1], picture.shape)
    for frame in rendered:
        assert frame.shape == picture.shape
        assert frame.dtype == np.uint8
        assert np.array_equal(frame[distance < -0.02], picture[distance < -0.02])
        assert np.abs(frame[distance > 0.3].astype(int) - picture[distance > 0.3]).mean() > 2


def test_no_square_shows(rendered, picture, cut):
    distance = distance_inside(cut[1], picture.shape)
    edge = np.abs(distance) < 0.03
    for frame in rendered:
        assert np.abs(frame[edge].astype(int) - picture[edge]).mean() < 1.5
    # Steps across the border are those of the picture.
    steps = [np.abs(np.diff(image.astype(int), axis=1))[edge[:, 1:]].mean() for image in (picture, *rendered)]
    assert max(steps[1:]) < 1.1 * steps[0] + 0.2


def test_a_crop_that_leaves_its_picture_moves_freely_there(model, picture):
    cropped = np.ascontiguousarray(picture[:, 150:])  # the crop reaches beyond the left edge
    portrait, crop = portrait_from_picture(model, cropped)
    assert transform(np.array([[0.0, 128.0]]), invert(crop.matrix))[0, 0] < 0
    (frame,) = WholeRenderer(model, portrait, cropped, crop.matrix, precision="fp32").pictures(nodding(portrait, 1))
    assert frame.shape == cropped.shape
    rows = distance_inside(crop, cropped.shape)[:, 2] > 0.01
    assert rows.sum() > 50
    assert not np.array_equal(frame[rows, :3], cropped[rows, :3])


def test_a_picture_that_cannot_be_pasted_into_is_refused(model, picture, cut):
    portrait, crop = cut
    with pytest.raises(PictureError):
        WholeRenderer(model, portrait, picture[:, :, 0], crop.matrix)
    with pytest.raises(ArgumentError, match="beside the picture"):
        WholeRenderer(model, portrait, picture[:40, :40].copy(), crop.matrix + np.array([[0, 0, -900], [0, 0, -900]]))
