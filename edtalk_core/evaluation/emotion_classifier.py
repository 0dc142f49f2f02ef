"""An emotion classifier that no part of EDTalk learns from: the expression network of face-api.js (MIT), in PyTorch.

    npm pack face-api.js@0.22.2 && tar xf face-api.js-0.22.2.tgz package/weights

`package/weights` is the folder of its weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ArgumentError

EMOTIONS = ("neutral", "happy", "sad", "angry", "fear", "disgusted", "surprised")
"""The classes, in the network's order; contempt is not among them."""
NAME = "face_expression_model"
SIZE = 112
MEAN = (122.782, 117.001, 104.298)
MARGIN = 0.1
"""Extension of the square around the landmarks, relative to its side."""


class EmotionClassifier:
    """Four blocks of densely connected separable convolutions and a linear layer.

    Args:
        folder: the folder with face_expression_model-weights_manifest.json and its shard.

    Raises ArgumentError when there are none in the folder.
    """

    def __init__(self, folder: Path) -> None:
        manifest = folder / f"{NAME}-weights_manifest.json"
        if not manifest.is_file():
            raise ArgumentError(
                f"{manifest} is missing: get it with npm pack face-api.js@0.22.2 && tar xf face-api.js-0.22.2.tgz "
                "package/weights."
            )
        self.weights: dict[str, Tensor] = {}
        for shard in json.loads(manifest.read_text(encoding="utf-8")):
            data = b"".join((folder / name).read_bytes() for name in shard["paths"])
            offset = 0
            for entry in shard["weights"]:
                count, quantization = int(np.prod(entry["shape"])), entry.get("quantization")
                kind = np.dtype(quantization["dtype"] if quantization else np.float32)
                values = np.frombuffer(data, kind, count, offset).astype(np.float32)
                offset += count * kind.itemsize
                if quantization:
                    values = values * quantization["scale"] + quantization["min"]
                self.weights[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))

    @torch.no_grad()
    def probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities (N,7) of EMOTIONS, of square RGB faces as `crop_face` cuts them."""
        images = torch.from_numpy(np.stack(faces).astype(np.float32)).permute(0, 3, 1, 2)
        x = (images - torch.tensor(MEAN)[:, None, None]) / 255
        for block in range(4):
            x = self._block(x, f"dense{block}")
        logits = F.avg_pool2d(x, 7, 2).flatten(1) @ self.weights["fc/weights"] + self.weights["fc/bias"]
        return np.asarray(logits.softmax(1).numpy(), np.float32)

    def _block(self, x: Tensor, name: str) -> Tensor:
        if f"{name}/conv0/filters" in self.weights:
            filters = self.weights[f"{name}/conv0/filters"].permute(3, 2, 0, 1)
            total = F.relu(F.conv2d(_pad_same(x, 2), filters, self.weights[f"{name}/conv0/bias"], stride=2))
        else:
            total = F.relu(self._separable(x, f"{name}/conv0", 2))
        for layer in (1, 2, 3):
            total = total + self._separable(F.relu(total), f"{name}/conv{layer}", 1)
        return F.relu(total)

    def _separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        depthwise = self.weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
        pointwise = self.weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1)
        x = F.conv2d(_pad_same(x, stride), depthwise, stride=stride, groups=x.shape[1])
        return F.conv2d(x, pointwise, self.weights[f"{name}/bias"])


def _pad_same(x: Tensor, stride: int) -> Tensor:
    """Pad for a 3 x 3 convolution as TensorFlow's "SAME" does: what is uneven goes to the right and the bottom."""
    total = [max((-(-size // stride) - 1) * stride + 3 - size, 0) for size in (x.shape[-1], x.shape[-2])]
    return F.pad(x, [side for pad in total for side in (pad // 2, pad - pad // 2)])


def crop_face(picture: NDArray[np.uint8], landmarks: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Cut the square around landmarks (68,2), in pixels, from a picture: RGB (112,112,3)."""
    import cv2

    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    centre = (low + high) / 2 - [0, 0.04 * (high[1] - low[1])]
    scale = SIZE / (max(high - low) * (1 + MARGIN))
    matrix = np.array([[scale, 0, SIZE / 2 - centre[0] * scale], [0, scale, SIZE / 2 - centre[1] * scale]])
    cut = cv2.warpAffine(picture, matrix, (SIZE, SIZE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)
