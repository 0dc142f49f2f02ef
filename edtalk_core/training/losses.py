"""Losses of the supplement's section 1.3, and the flow supervision that our small-data recipe adds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pyramid_l1(image: Tensor, target: Tensor, levels: int = 3, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference at full size and at `levels`-1 halvings, averaged. `weight` (B,1,S,S) per pixel."""
    total = image.new_zeros(())
    for _ in range(levels):
        difference = (image - target).abs()
        total = total + ((difference * weight).mean() / weight.mean() if weight is not None else difference.mean())
        image, target = F.avg_pool2d(image, 2), F.avg_pool2d(target, 2)
        weight = F.avg_pool2d(weight, 2) if weight is not None else None
    return total / levels


def landmark_weight(landmarks: Tensor, size: int, part: slice, radius: float, gain: float) -> Tensor:
    """1 everywhere, up to 1 + gain near a part of the face: landmarks (B,68,2) in [-1,1] -> (B,1,size,size)."""
    points = landmarks[:, part]
    centre = points.mean(1)
    extent = (points - centre[:, None]).abs().amax(1) + radius
    line = (torch.arange(size, device=landmarks.device) * 2 + 1) / size - 1
    x = (line[None, None, :] - centre[:, 0, None, None]) / extent[:, 0, None, None]
    y = (line[None, :, None] - centre[:, 1, None, None]) / extent[:, 1, None, None]
    return 1 + gain * torch.exp(-(x**2 + y**2))[:, None]


def landmark_flow(source: Tensor, driver: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Estimate the position in the source frame of each pixel of the driver frame from 68 landmarks.

    `source`, `driver`: landmarks (B,68,2) in grid_sample coordinates. Returns the sampling grid (B,2,size,size) and
    its confidence (B,1,size,size) in 0..1: an affine fit plus residuals interpolated by inverse distance,
    confident near the face only.
    """
    line = (torch.arange(size, device=source.device, dtype=source.dtype) * 2 + 1) / size - 1
    pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, -1, 2)
    ones = torch.ones_like(driver[..., :1])
    basis = torch.cat([driver, ones], -1)
    affine = torch.linalg.lstsq(basis, source).solution
    residual = source - basis @ affine
    squared = torch.cdist(pixels.expand(len(driver), -1, -1), driver).square()
    weights = 1 / (squared + 1e-3).square()
    weights = weights / weights.sum(-1, keepdim=True)
    grid = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1) @ affine + weights @ residual
    # The face reaches above the brows about as far as the brows lie above the nose's tip.
    centre = driver.mean(1, keepdim=True)
    extent = (driver - centre).abs().amax(1, keepdim=True) * 1.1
    radius = ((pixels - centre - extent * pixels.new_tensor([0.0, -0.25])) / extent).square().sum(-1)
    confidence = torch.sigmoid((1.25 - radius) * 8)
    shape = (len(source), size, size)
    return grid.transpose(1, 2).reshape(len(source), 2, size, size), confidence.reshape(shape)[:, None]


def sampled_position(flow: Tensor) -> Tensor:
    """Sampling positions of a raw flow (B,3,n,n): (B,2,n,n), [-1,1] over the picture."""
    line = torch.linspace(-1, 1, flow.shape[-1], device=flow.device)
    identity = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    return torch.tanh(flow[:, :2].float()) + identity


def outside_loss(flow: Tensor, size: int) -> Tensor:
    """Mean distance, in pixels of 256, by which a raw flow (B,3,n,n) samples outside the picture, where all is black.

    Black begins half a pixel of the picture, `size` a side, before its rim: past the middle of the last pixel.
    """
    return F.relu(sampled_position(flow).abs() - (1 - 1 / size)).sum(1).mean() * 128


def flow_loss(flow: Tensor, grid: Tensor, confidence: Tensor) -> Tensor:
    """Mean distance in pixels of 256 between the generator's sampling grid and the landmarks' (see landmark_flow).

    `flow`: a level's raw flow (B,3,n,n); `grid`, `confidence`: at any size of at least n.
    """
    n = flow.shape[-1]
    position = sampled_position(flow)
    step = grid.shape[-1] // n
    if step > 1:
        grid, confidence = F.avg_pool2d(grid, step), F.avg_pool2d(confidence, step)
    # Targets outside the picture have no content to sample, and would only distort the flow.
    confidence = confidence * (grid.abs().amax(1, keepdim=True) < 1)
    distance = (position - grid).abs().sum(1, keepdim=True) * 128
    return (distance * confidence).sum() / confidence.sum().clamp(min=1)


def exact_flow_loss(flow: Tensor, grid: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Mean distance, in pixels of 256, between the sampling positions of a raw flow and the exact ones.

    Moving pixels have a higher weight, and each of the `parts` has a separate mean, or small motion such as a blink
    would be negligible.

    Args:
        flow: a level's raw flow (B,3,n,n).
        grid: where each pixel lies in the source (B,2,S,S), in [-1,1], with S a multiple of n.
        parts: weights of pixels (B,1,S,S).
    """
    size, n = grid.shape[-1], flow.shape[-1]
    line = (torch.arange(size, device=grid.device, dtype=grid.dtype) * 2 + 1) / size - 1
    moved = (grid - torch.stack(torch.meshgrid(line, line, indexing="xy"))).abs().amax(1, keepdim=True) * 128
    inside = (grid.abs().amax(1, keepdim=True) < 1).to(grid)
    grid, moved, inside, *parts = (F.avg_pool2d(values, size // n) for values in (grid, moved, inside, *parts))
    distance = (sampled_position(flow) - grid).abs().sum(1, keepdim=True) * 128 * inside
    means = [(distance * weight).sum() / weight.sum() for weight in (0.1 + moved.clamp(max=3), *parts)]
    return means[0] + 0.5 * torch.stack(means[1:]).sum() if parts else means[0]


def still_loss(images: tuple[Tensor, Tensor], flows: tuple[list[Tensor], list[Tensor]], still: Tensor) -> Tensor:
    """Difference between two renderings in the region `still` (B,1,S,S), where they should be identical.

    Mean absolute difference of the images (B,3,S,S), and a hundredth of the distance between the sampling positions
    of their raw flows, in pixels of 256, averaged over the levels: in uniform areas pixels do not reveal motion.
    """
    total = pyramid_l1(images[0] * still, images[1] * still) / still.mean().clamp(min=1e-3)
    levels = [pair for pair in zip(*flows, strict=True) if pair[0].shape[-1] >= min(16, still.shape[-1])]
    for first, second in levels:
        part = F.adaptive_avg_pool2d(still, first.shape[-1])
        moved = (sampled_position(first) - sampled_position(second)).abs().sum(1, keepdim=True) * 128
        total = total + 0.01 / len(levels) * (moved * part).sum() / part.sum().clamp(min=1e-3)
    return total


def feature_loss(cross: Tensor, plain: Tensor) -> Tensor:
    """exp(-cos) between the directions (B,style) read from a mouth-swapped frame and the original one (L_fea)."""
    return torch.exp(-F.cosine_similarity(cross.float(), plain.float(), dim=-1)).mean()


class GradientPerceptual(nn.Module):
    """Offline substitute of the VGG perceptual loss: differences of oriented gradients over a Laplacian pyramid.

    Like VGG's first layers it penalises blur and misplaced edges, but it needs no downloaded weights.
    """

    def __init__(self, levels: int = 3) -> None:
        super().__init__()
        self.levels = levels
        sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
        diagonal = torch.tensor([[2.0, 1, 0], [1, 0, -1], [0, -1, -2]]) / 8
        kernels = torch.stack([sobel, sobel.T, diagonal, diagonal.flip(1)])[:, None]
        self.register_buffer("kernels", kernels.repeat(3, 1, 1, 1), persistent=False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """(B,3,S,S), (B,3,S,S) -> scalar, 0 for equal images."""
        total = image.new_zeros(())
        kernels = self.get_buffer("kernels").to(image.dtype)
        for _ in range(self.levels):
            a = F.conv2d(image, kernels, groups=3)
            b = F.conv2d(target, kernels, groups=3)
            total = total + (a - b).abs().mean() * 4
            image, target = F.avg_pool2d(image, 2), F.avg_pool2d(target, 2)
        return total / self.levels


class VGGPerceptual(nn.Module):
    """L1 between VGG-19 features (relu1_2 ... relu5_2), as LIA. `weights`: a torchvision VGG-19 state on disk."""

    LAYERS = (3, 8, 13, 22, 31)

    def __init__(self, weights: str) -> None:
        super().__init__()
        from ..checkpoints.reading import read_checkpoint

        state = read_checkpoint(weights).tensors
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512):
            if outputs:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        own = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
        self.features.load_state_dict({name: own[name] for name in self.features.state_dict()})
        self.requires_grad_(False)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("mean", mean[:, None, None] * 2 - 1, persistent=False)
        self.register_buffer("std", std[:, None, None] * 2, persistent=False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """(B,3,S,S) and (B,3,S,S) in [-1,1] -> scalar, 0 for equal images."""
        x = torch.cat([image, target])
        x = (x - self.get_buffer("mean")) / self.get_buffer("std")
        total = image.new_zeros(())
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.LAYERS:
                a, b = x.chunk(2)
                total = total + (a - b.detach()).abs().mean()
        return total / len(self.LAYERS)


def perceptual_loss(vgg_file: str) -> nn.Module:
    """VGG perceptual loss with torchvision's VGG-19 weights from a file; without one (empty), oriented gradients."""
    return VGGPerceptual(vgg_file) if vgg_file else GradientPerceptual()
