"""Frames larger than the model's: the portrait's own fine detail, moved along the generator's flow.

The finest flow of the generator says which place of the portrait each pixel of a frame comes from. It samples the
portrait at its own resolution as well as at the model's, so what the generator cannot hold (pores, single hairs, grain,
and much of its own finest octave) need not be invented. The portrait is trusted where the generator's image agrees with
it; elsewhere (an opened mouth, a closing eye, what a turning head uncovers) the generator's image stays, sharpened as
much as the portrait differs from it in sharpness where both agree.

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
_UNSTEADY = 0.04
"""RMS difference from the warped portrait, of a range of 2, that is as likely the generator's unsteadiness as a change:
of smaller ones less than half is shown, so that what stands still does not flicker and keeps the portrait's colours."""
_STRETCH = (0.3, 0.5)
_SQUEEZE = (2.0, 3.0)
"""Ratios of areas, portrait to frame, between which trust begins: below, the portrait is smeared over a place that a
turning head uncovers; above, it is squeezed to where it disappears."""
_SOFT_SAMPLING = 0.12
"""Weight, along each axis, of the sharpening that bilinear sampling takes away again, on average over its positions:
1 - (1 - cos w) / 3 of the energy at the frequency w."""
_MOST_SHARPENING = 2.5
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
        self._fine = _filter(portraits, (-_SOFT_SAMPLING, 1 + 2 * _SOFT_SAMPLING, -_SOFT_SAMPLING))
        if self._still is not None:  # Where nothing moves, nothing is sampled between pixels.
            free = F.interpolate(self._still[None, None], size=portraits.shape[-2:], mode="bilinear")
            self._fine = portraits + free * (self._fine - portraits)

    def add(self, images: Tensor, flow: Tensor) -> Tensor:
        """Images (B,3,S,S) of the generator and its finest raw flow (B,3,S,S) -> images (B,3,N,N), not clamped."""
        if images.device.type != "cpu":
            return self._add(images, flow, self._coarse, self._fine)
        result = images.new_empty(len(images), *self._fine.shape[1:])
        # One by one, what is computed of a frame stays in the cache.
        for number in range(len(images)):
            row = slice(number, number + 1)
            own = slice(None) if len(self._fine) == 1 else row
            self._add(images[row], flow[row], self._coarse[own], self._fine[own], result[row])
        return result

    def _add(self, images: Tensor, flow: Tensor, coarse: Tensor, fine: Tensor, result: Tensor | None = None) -> Tensor:
        """As `add`, written to `result` (B,3,N,N) if there is one."""
        resolution, size = images.shape[-1], fine.shape[-1]
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
        both = torch.cat([torch.lerp(sharpened, certainty * broad, trust), trust, shift], dim=1)
        enlarged = F.interpolate(both, size=(size, size), mode="bilinear", align_corners=False)
        detailed = _sample(fine, enlarged[:, 4:].add_(_pixel_centres(size, flow.device)))
        return torch.addcmul(enlarged[:, :3], enlarged[:, 3:4], detailed, out=result)


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


def _sample(source: Tensor, places: Tensor) -> Tensor:
    """Sample a source (1 or B,C,H,W) at places (B,2,h,w) in [-1,1] from edge to edge; the border repeats."""
    grid = places.permute(0, 2, 3, 1)
    return F.grid_sample(source.expand(len(grid), -1, -1, -1), grid, align_corners=False, padding_mode="border")


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
def _mismatch(size: int, device: torch.device) -> Tensor:
    """The reference's grid, which is aligned to corners (see `generator.warp`), less the true places of the pixels."""
    with torch.inference_mode(False):
        line = torch.linspace(-1, 1, size, device=device)
        return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None] - _pixel_centres(size, device)
