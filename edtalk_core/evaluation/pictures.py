"""Image metrics: L1, PSNR, SSIM, and a distance of network features."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError

Picture = NDArray[np.uint8]


def l1(picture: Picture, target: Picture) -> float:
    """Mean absolute difference of two pictures (H,W,3) uint8, relative to the full range: 0 to 1."""
    _check(picture, target)
    return float(np.abs(picture.astype(np.float64) - target).mean() / 255)


def psnr(picture: Picture, target: Picture) -> float:
    """Peak signal-to-noise ratio in dB of two pictures (H,W,3) uint8; infinite for identical ones."""
    _check(picture, target)
    error = float(np.square(picture.astype(np.float64) - target).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(picture: Picture, target: Picture) -> float:
    """Structural similarity of two pictures (H,W,3) uint8 of at least 11 px; 1 for identical ones.

    Wang et al. (2004): Gaussian window of 11 px and sigma 1.5, K1 0.01, K2 0.03, mean over channels and over the
    pixels whose window lies inside.
    """
    import cv2

    _check(picture, target)
    if min(picture.shape[:2]) < 11:
        raise ArgumentError(f"SSIM needs pictures of at least 11 px, not {picture.shape[1]} x {picture.shape[0]}.")
    x, y = picture.astype(np.float64), target.astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred = cv2.GaussianBlur(values, (11, 11), 1.5)
        return np.asarray(blurred[5:-5, 5:-5], np.float64)

    x_mean, y_mean = mean(x), mean(y)
    x_variance = mean(x * x) - x_mean**2
    y_variance = mean(y * y) - y_mean**2
    covariance = mean(x * y) - x_mean * y_mean
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * x_mean * y_mean + c1) * (2 * covariance + c2)
    similarity /= (x_mean**2 + y_mean**2 + c1) * (x_variance + y_variance + c2)
    return float(similarity.mean())


class PerceptualDistance:
    """An LPIPS-like distance on features of the MediaPipe face mesh network that ships with EDTalk.

    Zhang et al. (2018): features of five layers, normalised to unit length at each pixel, squared differences summed
    over channels, averaged over pixels and layers. Channels are unweighted instead of fitted to human judgements, so
    figures are comparable with each other only, not with published LPIPS. The backbone was trained on faces, works
    offline, and is not used in the training of EDTalk.
    """

    BACKBONE = "MediaPipe face mesh, 192 px, layers p_re_lu_3, 6, 9, 12, 15 (96, 48, 24, 12, 6 px), unweighted"
    _LAYERS = ("p_re_lu_3", "p_re_lu_6", "p_re_lu_9", "p_re_lu_12", "p_re_lu_15")

    def __init__(self) -> None:
        from ..face.tflite import TFLiteNetwork

        self._network = TFLiteNetwork("face_landmark.tflite")

    def __call__(self, picture: Picture, target: Picture) -> float:
        """Distance of two square pictures (S,S,3) uint8; 0 for identical ones."""
        _check(picture, target)
        return float(
            np.mean(
                [
                    np.square(a - b).sum(axis=0).mean()
                    for a, b in zip(self._features(picture), self._features(target), strict=True)
                ]
            )
        )

    def _features(self, picture: Picture) -> list[NDArray[np.float64]]:
        import cv2

        shrinks = picture.shape[0] > 192
        scaled = cv2.resize(picture, (192, 192), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        features = [layer[0].astype(np.float64) for layer in self._network.layers(scaled, 0, 1, self._LAYERS)]
        return [layer / (np.sqrt(np.square(layer).sum(axis=0)) + 1e-10) for layer in features]


def _check(picture: Picture, target: Picture) -> None:
    for array in (picture, target):
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise ArgumentError(f"Pictures to compare must be uint8 (H,W,3), got {array.dtype} {array.shape}.")
    if picture.shape != target.shape:
        raise ArgumentError(f"Pictures to compare must have the same size, got {picture.shape} and {target.shape}.")
