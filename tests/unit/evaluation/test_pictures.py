"""The metrics of pictures are what they are called."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from edtalk_core.errors import ArgumentError
from edtalk_core.evaluation.pictures import PerceptualDistance, l1, psnr, ssim


def pair(seed: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
    noise = rng.normal(0, 20, target.shape)
    return np.clip(target + noise, 0, 255).astype(np.uint8), target


# Metrics


@pytest.mark.parametrize("seed", range(3))
def test_psnr_and_ssim_are_those_of_skimage(seed: int):
    metrics = pytest.importorskip("skimage.metrics")
    picture, target = pair(seed)
    assert psnr(picture, target) == pytest.approx(metrics.peak_signal_noise_ratio(target, picture), abs=1e-9)
    expected = metrics.structural_similarity(
        target, picture, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(picture, target) == pytest.approx(expected, abs=1e-6)


def test_equal_pictures(face: np.ndarray):
    assert l1(face, face) == 0
    assert psnr(face, face) == math.inf
    assert ssim(face, face) == pytest.approx(1)
    assert PerceptualDistance()(face, face) == 0


def test_l1_is_a_share_of_the_range():
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    assert l1(black, white) == 1
    assert l1(black, black + 51) == pytest.approx(0.2)


def test_perceptual_distance_grows_with_blur_and_is_symmetric(face: np.ndarray):
    import cv2

    distance = PerceptualDistance()
    blurred = [cv2.GaussianBlur(face, (0, 0), sigma) for sigma in (1, 2, 4, 8)]
    values = [distance(picture, face) for picture in blurred]
    assert values == sorted(values)
    assert values[0] > 0
    assert distance(face, blurred[2]) == pytest.approx(values[2])


def test_perceptual_distance_sees_blur_that_l1_thinks_little_of(face: np.ndarray):
    import cv2

    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    brighter = np.clip(face.astype(int) + 25, 0, 255).astype(np.uint8)
    assert l1(blurred, face) < l1(brighter, face)
    assert PerceptualDistance()(blurred, face) > PerceptualDistance()(brighter, face)


@pytest.mark.parametrize("metric", [l1, psnr, ssim, PerceptualDistance()], ids=["l1", "psnr", "ssim", "perceptual"])
@pytest.mark.parametrize(
    ("other", "word"),
    [
        (np.zeros((40, 48, 3), np.uint8), "same size"),
        (np.zeros((48, 48, 3), np.float32), "uint8"),
        (np.zeros((48, 48), np.uint8), "uint8"),
    ],
    ids=["size", "float", "grey"],
)
def test_pictures_that_cannot_be_compared(metric: Callable, other: np.ndarray, word: str):
    with pytest.raises(ArgumentError, match=word):
        metric(np.zeros((48, 48, 3), np.uint8), other)


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ArgumentError, match="11 px"):
        ssim(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))
