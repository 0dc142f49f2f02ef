"""Networks of published metrics: LPIPS on AlexNet, Inception features for FID, SyncNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints.reading import read_checkpoint
from ..errors import AudioError, MissingRequirement, UnsupportedCheckpoint
from .pictures import Picture

SYNC_WINDOW = 5
"""Frames that SyncNet sees at a time."""
SYNC_SHIFT = 15
"""Largest shift of the sound in frames, as in Wav2Lip's evaluation."""
_BATCH = 16


def _installed(module: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingRequirement(f"This metric needs {module}: pip install 'edtalk[metrics]'.")


class LPIPS:
    """LPIPS of Zhang et al. (2018), version 0.1 on AlexNet, by the package lpips, which brings the linear layers.

    `weights`: torchvision's AlexNet. Raises MissingRequirement without the package, UnsupportedCheckpoint for another
    file.
    """

    def __init__(self, weights: Path) -> None:
        _installed("lpips")
        import lpips

        state = read_checkpoint(weights).tensors
        self._network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
        names = [name for name, _ in self._network.net.named_parameters()]
        layers = [name for name in state if name.startswith("features.")]
        if len(names) != len(layers):
            raise UnsupportedCheckpoint(
                f"{weights} is not torchvision's AlexNet: it has {len(layers)} feature tensors."
            )
        own = {f"slice{i + 1}.{layer}": f"features.{layer}" for i, layer in enumerate((0, 3, 6, 8, 10))}
        renamed = {
            f"{mine}.{kind}": state[f"{theirs}.{kind}"] for mine, theirs in own.items() for kind in ("weight", "bias")
        }
        self._network.net.load_state_dict(renamed)

    @torch.no_grad()
    def __call__(self, picture: Picture, target: Picture) -> float:
        """Distance of two pictures (H,W,3) uint8; 0 for identical ones."""
        return float(self._network(_image(picture), _image(target)))


class Inception:
    """Features (2048,) of the Inception network that FID is defined by (Heusel et al. 2017), by torch-fidelity.

    `weights`: torch-fidelity's file. Raises MissingRequirement without the package.
    """

    def __init__(self, weights: Path) -> None:
        _installed("torch_fidelity")
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self._network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )

    @torch.no_grad()
    def descriptor(self, picture: Picture) -> NDArray[np.float32]:
        """Features (2048,) of a picture (H,W,3) uint8."""
        (features,) = self._network(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None])
        return np.asarray(features[0].numpy(), np.float32)


class SyncNet(nn.Module):
    """SyncNet of Chung and Zisserman (2016): distances of mouths and sounds. Names are those of syncnet_v2.model."""

    def __init__(self) -> None:
        super().__init__()

        def norm2(inputs: int, outputs: int, kernel: int | tuple[int, int], padding: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]

        def norm3(
            inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, pad: int = 1
        ) -> list[nn.Module]:
            convolution = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (0, pad, pad))
            return [convolution, nn.BatchNorm3d(outputs), nn.ReLU()]

        def head() -> nn.Sequential:
            return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))

        self.netcnnaud = nn.Sequential(
            *norm2(1, 64, 3),
            nn.MaxPool2d(1, 1),
            *norm2(64, 192, 3),
            nn.MaxPool2d(3, (1, 2)),
            *norm2(192, 384, 3),
            *norm2(384, 256, 3),
            *norm2(256, 256, 3),
            nn.MaxPool2d(3, 2),
            *norm2(256, 512, (5, 4), 0),
        )
        self.netfcaud = head()
        self.netfclip = head()
        self.netcnnlip = nn.Sequential(
            *norm3(3, 96, (5, 7, 7), 2, 0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *norm3(96, 256, (1, 5, 5), 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *norm3(256, 256, (1, 3, 3)),
            *norm3(256, 256, (1, 3, 3)),
            *norm3(256, 256, (1, 3, 3)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *norm3(256, 512, (1, 6, 6), 1, 0),
        )

    @classmethod
    def load(cls, weights: Path) -> SyncNet:
        """Read syncnet_v2.model. Raises UnsupportedCheckpoint for another file."""
        network = cls()
        try:
            network.load_state_dict(read_checkpoint(weights).tensors)
        except RuntimeError as error:
            raise UnsupportedCheckpoint(f"{weights} is not syncnet_v2.model: {' '.join(str(error).split())}") from error
        return network.eval()

    @torch.no_grad()
    def distances(self, frames: NDArray[np.uint8], sound: NDArray[np.int16]) -> NDArray[np.float64]:
        """Distance of mouth and sound by shift of the sound, -SYNC_SHIFT to SYNC_SHIFT frames, mean over time: (2S+1,).

        frames (T,H,W,3) RGB at 25 a second, scaled to 224 px; sound (N,) at 16 kHz. Raises AudioError when both
        together have fewer than SYNC_WINDOW + 1 frames.
        """
        _installed("python_speech_features")
        import cv2
        import python_speech_features

        length = min(len(frames), len(sound) // 640) - SYNC_WINDOW
        if length < 1:
            raise AudioError(f"SyncNet needs more than {SYNC_WINDOW} frames of picture and sound.")
        # The network was trained on BGR, in the range of bytes.
        scaled = np.stack([cv2.resize(frame, (224, 224))[..., ::-1] for frame in frames[: length + SYNC_WINDOW]])
        pictures = torch.from_numpy(scaled.copy()).permute(3, 0, 1, 2).float()
        cepstrum = torch.from_numpy(python_speech_features.mfcc(sound, 16000).T.copy()).float()[None, None]
        mouths, sounds = [], []
        for start in range(0, length, _BATCH):
            indexes = range(start, min(start + _BATCH, length))
            windows = torch.stack([pictures[:, i : i + SYNC_WINDOW] for i in indexes])
            mouths.append(self.netfclip(self.netcnnlip(windows).flatten(1)))
            columns = torch.cat([cepstrum[..., 4 * i : 4 * i + 20] for i in indexes])
            sounds.append(self.netfcaud(self.netcnnaud(columns).flatten(1)))
        return shifted_distances(torch.cat(mouths), torch.cat(sounds))


def shifted_distances(mouths: Tensor, sounds: Tensor, shift: int = SYNC_SHIFT) -> NDArray[np.float64]:
    """Mean distance of embeddings (T,D) of mouths and of sounds by shift of the sound, -shift to shift: (2 shift + 1,).

    Sounds before the start and after the end are zero, as in SyncNet's own evaluation.
    """
    padded = nn.functional.pad(sounds, (0, 0, shift, shift))
    rows = [
        nn.functional.pairwise_distance(mouths, padded[offset : offset + len(mouths)]).mean()
        for offset in range(2 * shift + 1)
    ]
    return np.asarray(torch.stack(rows).double().numpy())


def sync_confidence(distances: NDArray[np.float64]) -> float:
    """Confidence of SyncNet: median over the shifts minus the smallest distance (Sync_conf)."""
    return float(torch.from_numpy(distances).median() - distances.min())  # torch's median is the lower of two


def _image(picture: Picture) -> Tensor:
    return torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
