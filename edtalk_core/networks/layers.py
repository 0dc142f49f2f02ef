"""Layers of StyleGAN2 and LIA: equalised learning rate, FIR resampling, modulated convolution.

Tensor names equal those of the published checkpoints. The FIR kernels are constants of the architecture and are
therefore no part of a model's state, although the published files list them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = math.sqrt(2)


def leaky_relu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2 after an optional bias, scaled by sqrt(2) to keep the variance."""
    return F.leaky_relu(x if bias is None else x + bias, 0.2) * SQRT2


def fir_kernel(gain: float, like: Tensor) -> Tensor:
    """The 4x4 low-pass filter [1,3,3,1] x [1,3,3,1] of sum `gain`, one copy per channel of `like` (C,1,4,4)."""
    taps = like.new_tensor([0.125, 0.375, 0.375, 0.125])
    return (gain * taps[:, None] * taps[None, :]).expand(like.shape[1], 1, 4, 4)


def blur(x: Tensor, pad: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Low-pass filter with zero padding `pad` on every side; a stride keeps every n-th pixel of the result."""
    return F.conv2d(x, fir_kernel(gain, x), padding=pad, stride=stride, groups=x.shape[1])


def upsample2(x: Tensor) -> Tensor:
    """Twice the size by zero insertion and the FIR filter: (B,C,H,W) -> (B,C,2H,2W)."""
    # The filter is symmetric, so a transposed convolution is the zero insertion and the filter in one.
    return F.conv_transpose2d(x, fir_kernel(4.0, x), stride=2, padding=1, groups=x.shape[1])


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: the weight is scaled by 1/sqrt(fan_in) when used."""

    def __init__(self, inputs: int, outputs: int, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias)


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate, without bias (the activation that follows has it)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H',W')."""
        return F.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class BiasedLeakyReLU(nn.Module):
    """Per-channel bias and scaled leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B,channels,H,W) -> the same shape."""
        return leaky_relu(x, self.bias)


class Blur(nn.Module):
    """Low-pass filter before a strided convolution. `stride` is moved here where the convolution is 1x1."""

    def __init__(self, pad: int, stride: int = 1) -> None:
        super().__init__()
        self.pad, self.stride = pad, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,(H+2*pad-3)/stride, ...)."""
        return blur(x, self.pad, stride=self.stride)


class ConvLayer(nn.Sequential):
    """Equalised convolution, biased leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(EqualConv2d(inputs, outputs, kernel, padding=kernel // 2), BiasedLeakyReLU(outputs))


class ResBlock(nn.Module):
    """Residual block that halves the size: (conv 3x3, blur, strided conv 3x3 + blur, strided conv 1x1) / sqrt(2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs, 3)
        self.conv2 = nn.Sequential(Blur(2), EqualConv2d(inputs, outputs, 3, stride=2), BiasedLeakyReLU(outputs))
        # Striding in the filter instead of in the 1x1 convolution gives the same numbers for a quarter of the work.
        self.skip = nn.Sequential(Blur(1, stride=2), EqualConv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H/2,W/2)."""
        return (self.conv2(self.conv1(x)) + self.skip(x)) / SQRT2


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels are scaled by a style, and whose output is demodulated to unit variance.

    Scaling the input and the output instead of the weight lets a batch of different styles share one convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style: int, *, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style, inputs, bias_init=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.padding = kernel // 2
        self.demodulate, self.upsample = demodulate, upsample

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B,inputs,H,W), (B,style) -> (B,outputs,H,W), or twice the size when upsampling."""
        scales = self.modulation(style)
        weight = self.weight[0] * self.scale
        x = x * scales.to(x.dtype)[:, :, None, None]
        if self.upsample:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), pad=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=self.padding)
        if self.demodulate:
            power = weight.float().square().sum((2, 3))
            demodulation = torch.rsqrt(scales.float().square() @ power.T + 1e-8)
            x = x * demodulation.to(x.dtype)[:, :, None, None]
        return x


class StyledConv(nn.Module):
    """Modulated convolution and biased leaky ReLU. (StyleGAN2's noise input is never used by EDTalk.)"""

    def __init__(self, inputs: int, outputs: int, style: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style, upsample=upsample)
        self.activate = BiasedLeakyReLU(outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B,inputs,H,W), (B,style) -> (B,outputs,H,W), or twice the size when upsampling."""
        return self.activate(self.conv(x, style))
