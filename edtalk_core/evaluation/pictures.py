"""Image metrics: L1, PSNR, SSIM, distances of network features, sharpness, flicker."""

from __future__ import annotations

import math
from typing import Any

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

    def descriptor(self, picture: Picture) -> NDArray[np.float32]:
        """Mean over the pixels of the deepest features (128,) of a square picture (S,S,3) uint8."""
        return np.asarray(self._layers(picture)[-1].mean(axis=(1, 2)), np.float32)

    def _features(self, picture: Picture) -> list[NDArray[np.float64]]:
        return [layer / (np.sqrt(np.square(layer).sum(axis=0)) + 1e-10) for layer in self._layers(picture)]

    def _layers(self, picture: Picture) -> list[NDArray[np.float64]]:
        import cv2

        shrinks = picture.shape[0] > 192
        scaled = cv2.resize(picture, (192, 192), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return [layer[0].astype(np.float64) for layer in self._network.layers(scaled, 0, 1, self._LAYERS)]


def _check(picture: Picture, target: Picture) -> None:
    for array in (picture, target):
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise ArgumentError(f"Pictures to compare must be uint8 (H,W,3), got {array.dtype} {array.shape}.")
    if picture.shape != target.shape:
        raise ArgumentError(f"Pictures to compare must have the same size, got {picture.shape} and {target.shape}.")


def laplacian_energy(picture: Picture) -> float:
    """Mean square of the Laplacian of a picture's brightness: its sharpness, (H,W,3) uint8."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.square(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def unexplained_change(before: Picture, after: Picture) -> NDArray[np.float32]:
    """Local mean difference (S,S) of two frames (S,S,3) uint8, the first moved onto the second by optical flow."""
    import cv2

    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    to, source = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (after, before))
    flow = np.asarray(estimator.calc(to, source, None))
    places = flow + np.stack(np.meshgrid(*(np.arange(len(after), dtype=np.float32),) * 2), axis=-1)
    # OpenCV's types lack maps of both coordinates in one, which it documents.
    moved = cv2.remap(before, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    change = cv2.GaussianBlur(np.abs(moved.astype(np.float32) - after).mean(axis=2), (0, 0), 2)
    return np.asarray(change, np.float32)


def flicker_ratio(rendered: tuple[Picture, Picture], true: tuple[Picture, Picture]) -> float:
    """Change of neighbouring rendered frames that motion does not explain, relative to that of the true ones.

    Measured where the true frames stand still, in the quietest fifth of their pixels; both changes count as at least
    0.05 of 255, so that true frames have 1.
    """
    change, true_change = unexplained_change(*rendered), unexplained_change(*true)
    still = true_change <= np.quantile(true_change, 0.2)
    return max(float(change[still].mean()), 0.05) / max(float(true_change[still].mean()), 0.05)


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features, (N,D) and (M,D) with N, M of at least 2.

    Heusel et al. (2017): squared distance of the means + trace(Sa + Sb - 2 (Sa Sb)^1/2).
    """
    if min(len(a), len(b)) < 2:
        raise ArgumentError("A Frechet distance needs at least two samples of each set.")
    a, b = a.astype(np.float64), b.astype(np.float64)
    covariances = [np.cov(values, rowvar=False).reshape(values.shape[1], -1) for values in (a, b)]
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(np.complex128)).real
    means = float(np.square(a.mean(axis=0) - b.mean(axis=0)).sum())
    return means + float(np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * roots.sum())
