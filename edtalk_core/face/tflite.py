"""Run the shipped TFLite models with OpenCV."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from ..builtin_files import builtin_file


class TFLiteNetwork:
    """A shipped TFLite model that takes one picture; callable from any thread."""

    def __init__(self, file_name: str) -> None:
        import cv2

        # OpenCV 5's new graph engine returns only one of the outputs; its classic engine is that of OpenCV 4.
        engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
        self._net = cv2.dnn.readNetFromTFLite(str(builtin_file(file_name)), **engine)
        self._outputs = self._net.getUnconnectedOutLayersNames()
        self._lock = threading.Lock()

    def __call__(self, picture: np.ndarray, low: float, high: float) -> list[np.ndarray]:
        """Run on a picture (S, S, 3) uint8, scaled from 0..255 to low..high; flat float64 outputs, shortest first."""
        outputs = self.layers(picture, low, high, self._outputs)
        return sorted((np.array(output, np.float64).ravel() for output in outputs), key=len)

    def layers(self, picture: np.ndarray, low: float, high: float, names: Sequence[str]) -> list[np.ndarray]:
        """Return the outputs of named layers for a picture, as in __call__: float32 (1, C, H, W) each."""
        blob = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) * np.float32((high - low) / 255) + low
        with self._lock:  # a cv2.dnn.Net stores its input and output: threads would overwrite each other's
            self._net.setInput(blob.astype(np.float32))
            return [np.array(output, np.float32) for output in self._net.forward(names)]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Convert logits to probabilities, without overflow."""
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
