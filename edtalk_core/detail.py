"""Frames larger than the model's: the portrait's own fine detail, moved along the generator's flow.

The finest flow of the generator says which place of the portrait each pixel of a frame comes from. It moves what the
portrait has beyond the model's resolution (pores, single hairs, grain: the residual of a Laplacian pyramid) onto the
generator's image, so that it need not be invented. Coarser detail stays the generator's, which is right about where it
lies more often than the flow is. The portrait is trusted where the generator's image agrees with it; elsewhere (an
opened mouth, a closing eye, what a turning head uncovers) the generator's image stays, sharpened as much as the
portrait differs from it in sharpness where both agree.

It holds for any checkpoint: there is nothing to train.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ArgumentError

Size = int | str
"""Side of the rendered frames: "model", "own", "own:LARGEST", or a number of pixels; see `frame_size`."""

OWN_LARGEST = 1024
"""Pixels that a portrait's own size is limited to, unless another limit is given."""
LARGEST = 2048
"""Pixels a side of the largest frames, and of the crop that a portrait keeps."""

_CHANGE_RADIUS = 1.0
"""Pixels of the model: the generator's finer changes against the warped portrait are its loss of detail."""
_TRUST_RADIUS = 2.5
"""Pixels of the model over which a frame is compared with the warped portrait."""
_NOISE = 0.05
"""RMS difference from the warped portrait, of a range of 2, that is no sign of another content."""
_CONTRAST = 0.3
"""The same as a share of the local contrast: the generator's edges are softer than the portrait's."""
_UNSTEADY = 0.01
"""RMS difference from the warped portrait, of a range of 2, that is as likely the generator's unsteadiness as a change:
of smaller ones less than half is shown, so that what stands still does not flicker and keeps the portrait's colours."""
_STRETCH = (0.3, 0.5)
_SQUEEZE = (2.0, 3.0)
"""Ratios of areas, portrait to frame, between which trust begins: below, the portrait is smeared over a place that a
turning head uncovers; above, it is squeezed to where it disappears."""
_MOST_SHARPENING = 2.5
_UNSEEN = 0.024
"""RMS difference of neighbouring frames, of a range of 2, that is as likely noise as motion: 3 of 255 levels."""
_RIM = 2
"""Pixels of the model at the frame's edges that the generator darkens: it samples zeros beyond its features."""


def frame_size(size: Size, own: int, resolution: int) -> int:
    """Side of frames in pixels.

    Args:
        size: "model", the model's resolution; "own", that of the portrait's crop in its picture, at most OWN_LARGEST
            ("own:2048": at most 2048); or a number, of pixels.
        own: side of the portrait's crop in its picture.
        resolution: the model's. Frames are never smaller.

    Raises:
        ArgumentError: anything else, or a number that is not from the model's resolution to LARGEST.
    """
    text = str(size).strip()
    if text == "model":
        return resolution
    if match := re.fullmatch(r"own(?::(\d+))?", text):
        limit = int(match[1] or OWN_LARGEST)
        if resolution <= limit <= LARGEST:
            return max(resolution, min(own, limit))
    elif text.isdecimal() and not isinstance(size, bool) and resolution <= int(text) <= LARGEST:
        return int(text)
    raise ArgumentError(
        f'The size is "model" ({resolution} px), "own" (the portrait\'s), "own:LARGEST", or a number of pixels from '
        f"{resolution} to {LARGEST}, not {size!r}."
    )


def resize(images: Tensor, size: int) -> Tensor:
    """Resize images (B,C,H,W) to (B,C,size,size): bicubic, antialiased."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False, antialias=True)


class Detail:
    """Portraits at the size of the frames, whose detail is moved onto what the generator makes of them.

    Args:
        portraits: (1 or B,3,N,N), float32 in [-1,1].
        coarse: the same at the model's resolution, which the generator's features were encoded from.
        still: (S,S), 0 where frames equal the portrait whatever the generator does, 1 where they are free; between, the
            motion fades. None: free everywhere.
    """

    def __init__(self, portraits: Tensor, coarse: Tensor, still: np.ndarray | None = None) -> None:
        self._coarse = coarse
        self._still = None if still is None else torch.from_numpy(still).to(coarse.device, torch.float32)
        self._residual = portraits.float() - _resized(coarse.float(), portraits.shape[-1])
        self._residual = self._residual.contiguous(memory_format=torch.channels_last)

    def add(self, images: Tensor, flow: Tensor) -> Tensor:
        """Images (B,3,S,S) of the generator and its finest raw flow (B,3,S,S) -> images (B,3,N,N), not clamped.

        The images are channels-last in memory.
        """
        shape = (len(images), *self._residual.shape[1:])
        frames = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        # One by one on a CPU: what is computed of a frame stays in the cache.
        count = 1 if images.device.type == "cpu" else len(images)
        for start in range(0, len(images), count):
            rows = slice(start, start + count)
            coarse, residual = (x if len(x) == 1 else x[rows] for x in (self._coarse, self._residual))
            _compose(*self._parts(images[rows], flow[rows], coarse), residual, frames[rows])
        return frames

    def _parts(self, images: Tensor, flow: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What frames are made of, at the model's resolution.

        Returns:
            base (B,3,S,S), the frames without detail; trust (B,1,S,S), the share of the portrait's residual that is
            added to it; shift (B,2,S,S), where that comes from, relative to its place, in halves of the side.
        """
        resolution = images.shape[-1]
        shift = torch.tanh(flow[:, :2]) + _mismatch(resolution, flow.device)
        if self._still is not None:
            shift = shift * self._still
        places = shift + _pixel_centres(resolution, flow.device)
        warped = _sample(coarse, places)
        change = (images.clamp(-1, 1) - warped)[..., _RIM:-_RIM, _RIM:-_RIM]
        change = F.pad(change, (_RIM, _RIM, _RIM, _RIM), mode="replicate")
        broad = _blur(change, _CHANGE_RADIUS)
        trust, certainty = _trust(warped, broad, places)
        sharpened = _sharpened(warped, change, broad, trust)
        if self._still is not None:
            trust, certainty = 1 - self._still * (1 - trust), certainty * self._still
        return torch.lerp(sharpened, torch.addcmul(warped, certainty, change), trust), trust, shift


def _compose(base: Tensor, trust: Tensor, shift: Tensor, residual: Tensor, frames: Tensor) -> None:
    """Enlarge the parts of frames and add what portraits have beyond (1 or B,3,N,N), into `frames` (B,3,N,N)."""
    size = residual.shape[-1]
    detail = _sample_smoothly(residual, _resized(shift, size))
    # All in the same layout, of three channels: a product with a broadcast view takes several times as long.
    torch.addcmul(_resized(base, size), _resized(trust.expand(-1, 3, -1, -1), size), detail, out=frames)


class TemporalFilter:
    """Recursive temporal noise reduction of a stream of frames: changes too small to be seen are held back.

    The motion that is read from a video is never quite still, and with it the grain of a still wall wanders. A frame is
    before + gain * (frame - before), with gain = e^2 / (e^2 + _UNSEEN^4) of the local mean square e of the difference:
    what moves passes, what differs by less than _UNSEEN stays, and no difference stays that is larger.

    Args:
        resolution: the model's; S.
    """

    def __init__(self, resolution: int) -> None:
        self._resolution = resolution
        self._before: Tensor | None = None

    def __call__(self, frames: Tensor) -> Tensor:
        """Filter the next frames of the stream (B,3,N,N), channels-last, in place, and return them."""
        for number in range(len(frames)):
            frame = frames[number : number + 1]
            if self._before is not None:
                change = frame - self._before
                energy = _resized(change.square(), self._resolution // 2, area=True).mean(1, keepdim=True)
                energy = _blur(energy, _TRUST_RADIUS / 2).square_()
                gain = energy / (energy + _UNSEEN**4)
                gain = _resized(gain.expand(-1, 3, -1, -1), frame.shape[-1])
                torch.addcmul(self._before, gain, change, out=frame)
            self._before = frame
        if self._before is not None:
            self._before = self._before.clone(memory_format=torch.preserve_format)
        return frames


def _resized(images: Tensor, size: int, area: bool = False) -> Tensor:
    """Images (B,C,H,W) at another size (B,C,size,size), channels-last: bilinear, or means of areas."""
    if images.device.type != "cpu":
        resized = F.interpolate(images, size=(size, size), mode="area" if area else "bilinear")
        return resized.contiguous(memory_format=torch.channels_last)
    import cv2  # a tenth of torch's time

    method = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    return _from_pictures([cv2.resize(picture, (size, size), interpolation=method) for picture in _to_pictures(images)])


def _sample_smoothly(source: Tensor, shift: Tensor) -> Tensor:
    """Sample a source (1 or B,C,N,N) beside its pixels, by a shift (B,2,N,N) in halves of the side; channels-last.

    Cubic (a = -0.75), on a CPU at 1/32 of a pixel. Bilinear sampling blurs the more the further a place is from the
    pixels: detail would flicker as it moves.
    """
    size = source.shape[-1]
    if source.device.type != "cpu":
        sampled = _sample(source, shift + _pixel_centres(size, source.device), mode="bicubic")
        return sampled.contiguous(memory_format=torch.channels_last)
    import cv2  # a tenth of torch's time

    pictures = _to_pictures(source.expand(len(shift), -1, -1, -1))
    places = _to_pictures(shift * (size / 2) + _pixels(size))
    second_map = np.empty(0, np.float32)  # x and y are both in the first
    return _from_pictures(
        [
            cv2.remap(picture, place, second_map, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            for picture, place in zip(pictures, places, strict=True)
        ]
    )


def _to_pictures(images: Tensor) -> np.ndarray:
    """Images (B,C,H,W) as float pictures (B,H,W,C) for OpenCV."""
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def _from_pictures(pictures: list[np.ndarray]) -> Tensor:
    """Images (B,C,H,W), channels-last, of float pictures (H,W,C)."""
    batch = torch.from_numpy(pictures[0])[None] if len(pictures) == 1 else torch.from_numpy(np.stack(pictures))
    return batch.permute(0, 3, 1, 2)


def _trust(warped: Tensor, broad: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """How far frames that differ from the warped portrait (B,3,S,S) by `broad` show the same; and how certain that is.

    Both (B,1,S,S), 0 to 1: certain differences are shown, others are taken for unsteadiness.
    """
    grey = warped.mean(1, keepdim=True)
    moments = torch.cat([broad.square().mean(1, keepdim=True), grey, grey.square()], dim=1)
    # At half the resolution, as trust is smooth.
    moments = torch.cat([_halve(moments), _area_ratio(_halve(places))], dim=1)
    error, mean, square, area = _blur(moments, _TRUST_RADIUS / 2).split(1, dim=1)
    contrast = (square - mean.square()).clamp_(min=0)
    trust = 1 / (1 + (error / (_NOISE**2 + _CONTRAST**2 * contrast)).square())
    trust = trust * _smoothstep(area, *_STRETCH) * (1 - _smoothstep(area, *_SQUEEZE))
    certainty = error / (error + _UNSTEADY**2)
    both = F.interpolate(torch.cat([trust, certainty], dim=1), scale_factor=2, mode="bilinear", align_corners=False)
    return both[:, :1], both[:, 1:]


def _halve(x: Tensor) -> Tensor:
    """Means of blocks of 2x2 pixels: (B,C,H,W) -> (B,C,H/2,W/2)."""
    x = x[..., ::2, :] + x[..., 1::2, :]
    return (x[..., ::2] + x[..., 1::2]) / 4


def _area_ratio(places: Tensor) -> Tensor:
    """Area of the portrait that a pixel of the frame comes from, in pixels, of places (B,2,S,S): (B,1,S,S)."""
    half = places.shape[-1] / 2
    padded = F.pad(places, (1, 1, 1, 1), mode="replicate") * (half / 2)
    along_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    along_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    area = along_x[:, :1] * along_y[:, 1:] - along_x[:, 1:] * along_y[:, :1]
    # Differences at the edges are one-sided.
    return F.pad(area[..., 1:-1, 1:-1], (1, 1, 1, 1), mode="replicate")


def _sharpened(warped: Tensor, change: Tensor, broad: Tensor, trust: Tensor) -> Tensor:
    """Frames, sharpened as much as the warped portrait is sharper than they where it is trusted; (B,3,S,S).

    `change`: what frames are beyond the warped portrait; `broad`: the same, blurred by _CHANGE_RADIUS.
    """
    portrait_fine = warped - _blur(warped, _CHANGE_RADIUS)
    fine = portrait_fine + change - broad
    dims = (1, 2, 3)
    ratio = (trust * portrait_fine.square()).sum(dims) / (trust * fine.square()).sum(dims).clamp(min=1e-6)
    gain = ratio.sqrt().clamp(1.0, _MOST_SHARPENING)[:, None, None, None]
    return torch.addcmul(warped + change, gain - 1, fine)


def _sample(source: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Sample a source (1 or B,C,H,W) at places (B,2,h,w) in [-1,1] from edge to edge; the border repeats."""
    grid = places.permute(0, 2, 3, 1)
    source = source.expand(len(grid), -1, -1, -1)
    return F.grid_sample(source, grid, mode, padding_mode="border", align_corners=False)


def _smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Blur (B,C,H,W) by a Gaussian; the border repeats."""
    reach = max(1, round(2.5 * sigma))
    weights = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(-reach, reach + 1)]
    return _filter(x, [weight / sum(weights) for weight in weights])


def _filter(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Filter (B,C,H,W) along both axes with the same symmetric taps; the border repeats."""
    reach = len(taps) // 2
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    # Sums of shifted views: oneDNN's depthwise convolutions of a few channels take three to ten times as long.
    for dim in (2, 3):
        length = x.shape[dim] - 2 * reach
        result = x.narrow(dim, reach, length) * taps[reach]
        for tap in range(reach):
            pair = x.narrow(dim, tap, length) + x.narrow(dim, 2 * reach - tap, length)
            result.add_(pair, alpha=taps[tap])
        x = result
    return x


@cache
def _pixel_centres(size: int, device: torch.device) -> Tensor:
    """Places (1,2,size,size) of the pixels themselves."""
    with torch.inference_mode(False):
        line = (2 * torch.arange(size, device=device, dtype=torch.float32) + 1) / size - 1
        return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


@cache
def _pixels(size: int) -> Tensor:
    """Pixel coordinates x, y (1,2,size,size) of the pixels themselves, channels-last, on the CPU."""
    with torch.inference_mode(False):
        centres = _pixel_centres(size, torch.device("cpu"))
        return ((centres + 1) * (size / 2) - 0.5).round().contiguous(memory_format=torch.channels_last)


@cache
def _mismatch(size: int, device: torch.device) -> Tensor:
    """The reference's grid, which is aligned to corners (see `generator.warp`), less the true places of the pixels."""
    with torch.inference_mode(False):
        line = torch.linspace(-1, 1, size, device=device)
        return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None] - _pixel_centres(size, device)
