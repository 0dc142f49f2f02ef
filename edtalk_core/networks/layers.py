"""Layers of StyleGAN2 and LIA: equalised learning rate, FIR resampling, modulated convolution.

Tensor names equal those of the published checkpoints. The FIR kernels are constants of the architecture and therefore
not part of a model's state, although the published files contain them.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = math.sqrt(2)
SLOPE = 0.2
"""Slope of all leaky ReLUs. Their gain sqrt(2), which preserves variance, is folded into the weight and bias before."""


@cache
def _fir(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    # Built outside inference mode: the cached tensor is also used in training.
    with torch.inference_mode(False):
        taps = torch.tensor([0.125, 0.375, 0.375, 0.125], device=device, dtype=dtype)
        return (gain * taps[:, None] * taps[None, :])[None, None]


def fir_kernel(gain: float, like: Tensor) -> Tensor:
    """The 4x4 low-pass filter [1,3,3,1] x [1,3,3,1] of sum `gain`, one copy per channel of `like` (C,1,4,4)."""
    return _fir(gain, like.device, like.dtype).expand(like.shape[1], 1, 4, 4)


class _Blur(torch.autograd.Function):
    """`blur` with a custom gradient: the filter is symmetric, so the gradient is the same filter.

    On a CPU in bf16 it is up to ten times as fast as torch's gradient of a depthwise convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, pad: int, gain: float, stride: int) -> Tensor:
        ctx.shape, ctx.options = x.shape, (pad, gain, stride)
        return F.conv2d(x, fir_kernel(gain, x), padding=pad, stride=stride, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        pad, gain, stride = ctx.options
        if stride > 1:
            batch, channels, height, width = ctx.shape
            # Channels-last.
            upsampled = grad.new_zeros(batch, height + 2 * pad - 3, width + 2 * pad - 3, channels).permute(0, 3, 1, 2)
            upsampled[:, :, ::stride, ::stride] = grad
            grad = upsampled
        return blur(grad, 3 - pad, gain), None, None, None


def blur(x: Tensor, pad: int, gain: float = 1.0, stride: int = 1, bias: Tensor | None = None) -> Tensor:
    """Low-pass filter with zero padding `pad` on every side; a stride keeps every n-th pixel of the result.

    `bias` (C,) is added to the result.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        filtered = cast(Tensor, _Blur.apply(x, pad, gain, stride))
        return filtered if bias is None else filtered + bias[:, None, None]
    return F.conv2d(x, fir_kernel(gain, x), bias, padding=pad, stride=stride, groups=x.shape[1])


def upsample2(x: Tensor) -> Tensor:
    """Double the size by zero insertion and the FIR filter: (B,C,H,W) -> (B,C,2H,2W)."""
    # The filter is symmetric, so a transposed convolution does zero insertion and filtering in one. Channels-last takes
    # a third of the time on a CPU.
    x = x.contiguous(memory_format=torch.channels_last)
    return F.conv_transpose2d(x, fir_kernel(4.0, x), stride=2, padding=1, groups=x.shape[1])


def mix_channels(weight: Tensor, x: Tensor) -> Tensor:
    """1x1 convolution as a matrix product: weight (O,C), or (B,O,C) per sample, and x (B,C,H,W) -> (B,O,H,W)."""
    pixels = x.flatten(2)
    if x.is_contiguous():
        mixed = weight @ pixels
    else:
        # Channels-last: pixels are rows. In the other order, matrix products in half precision copy the input first.
        mixed = (pixels.mT @ weight.mT).mT
    return mixed.unflatten(2, x.shape[2:])


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: the weight is scaled by 1/sqrt(fan_in) when used."""

    def __init__(self, inputs: int, outputs: int, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        # Scaling the few inputs is less work than scaling the weight.
        return F.linear(x * self.scale, self.weight, self.bias)


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate, without bias (which belongs to the activation that follows)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor, bias: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """(B,inputs,H,W) -> gain * convolution + bias (B,outputs,H',W')."""
        return F.conv2d(x, self.weight * (self.scale * gain), bias, stride=self.stride, padding=self.padding)


class ChannelBias(nn.Module):
    """Bias of a leaky ReLU, one value per channel. (Separate from the convolution in the published files.)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))


class Blur(nn.Module):
    """Low-pass filter before a strided convolution; has the stride itself where the convolution is 1x1."""

    def __init__(self, pad: int, stride: int = 1) -> None:
        super().__init__()
        self.pad, self.stride = pad, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,(H+2*pad-3)/stride, ...)."""
        return blur(x, self.pad, stride=self.stride)


class ConvLayer(nn.Sequential):
    """Equalised convolution and biased leaky ReLU; `downsample` halves the size with a blur and a stride of 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, downsample: bool = False) -> None:
        if downsample:
            before, convolution = [Blur(2)], EqualConv2d(inputs, outputs, kernel, stride=2)
        else:
            before, convolution = [], EqualConv2d(inputs, outputs, kernel, padding=kernel // 2)
        super().__init__(*before, convolution, ChannelBias(outputs))

    @property
    def convolution(self) -> EqualConv2d:
        """The convolution, whose index depends on the blur."""
        return cast(EqualConv2d, self[-2])

    @property
    def activation_bias(self) -> Tensor:
        """Bias (1,outputs,1,1) of the leaky ReLU."""
        return cast(ChannelBias, self[-1]).bias

    def forward(self, x: Tensor, gain: float = SQRT2) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H',W'). `gain` of the activation."""
        for module in tuple(self)[:-2]:
            x = module(x)
        return F.leaky_relu_(self.convolution(x, self.activation_bias.flatten() * gain, gain), SLOPE)


class ResBlock(nn.Module):
    """Residual block that halves the size: (conv 3x3, blur, strided conv 3x3 + blur, strided conv 1x1) / sqrt(2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs, 3)
        self.conv2 = ConvLayer(inputs, outputs, 3, downsample=True)
        # The stride in the filter instead of the 1x1 convolution gives the same result with a quarter of the work.
        self.skip = nn.Sequential(Blur(1, stride=2), EqualConv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H/2,W/2)."""
        low_pass, convolution = self.skip
        # The division by sqrt(2) cancels the gain of the main branch.
        return self.conv2(self.conv1(x), gain=1.0) + convolution(low_pass(x), gain=1 / SQRT2)


class ModulatedConv2d(nn.Module):
    """Weights of a convolution whose input channels are scaled by a style (StyleGAN2, section 2.2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, style: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style, inputs, bias_init=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.frozen_power: Tensor | None = None
        """Precomputed `power` of a frozen weight."""

    def scales(self, style: Tensor) -> Tensor:
        """Style (B,style) -> factor of each input channel (B,inputs), including the equalised learning rate."""
        return self.modulation(style) * self.scale

    def power(self) -> Tensor:
        """Sum of squared weights for each pair of channels (outputs,inputs)."""
        return self.weight[0].square().sum((2, 3)) if self.frozen_power is None else self.frozen_power

    def demodulation(self, scales: Tensor) -> Tensor:
        """Factor of each output channel (B,outputs) that normalises the weights modulated by `scales` to unit norm."""
        return torch.rsqrt(scales.square() @ self.power().T + 1e-8)


class StyledConv(nn.Module):
    """Modulated and demodulated 3x3 convolution and biased leaky ReLU; doubles the size when upsampling.

    EDTalk does not use StyleGAN2's noise input.
    """

    def __init__(self, inputs: int, outputs: int, style: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style)
        self.activate = ChannelBias(outputs)
        self.upsample = upsample

    def factors(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Style (B,style) -> factors of the input channels (B,inputs) and output channels (B,outputs)."""
        scales = self.conv.scales(style)
        return scales, self.conv.demodulation(scales) * SQRT2

    def forward(self, x: Tensor, scales: Tensor, gains: Tensor) -> Tensor:
        """(B,inputs,H,W) and the `factors` of its style -> (B,outputs,H,W), or twice the size when upsampling."""
        bias = self.activate.bias * SQRT2
        weight = self.conv.weight[0]
        # Apply the factors to the smaller tensor: to the weight, for a single sample, or to the activations, so that
        # samples of different styles share the weight.
        if len(x) == 1 and weight.numel() <= x.numel():
            weight = weight * (gains.mT * scales)[:, :, None, None]
            x = self._convolve(x, weight.to(x.dtype), bias.flatten().to(x.dtype))
        else:
            x = self._convolve(x * scales.to(x.dtype)[:, :, None, None], weight)
            x = (x * gains.to(x.dtype)[:, :, None, None]).add_(bias.to(x.dtype))
        return F.leaky_relu_(x, SLOPE)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.upsample:
            return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), pad=1, gain=4.0, bias=bias)
        return F.conv2d(x, weight, bias, padding=1)

    @torch.no_grad()
    def freeze(self, dtype: torch.dtype) -> None:
        """Precompute `power`, and store the weight in `dtype` and in the memory layout of the convolution."""
        conv = self.conv
        conv.frozen_power = conv.power()
        weight = conv.weight[0].to(dtype)
        if self.upsample:
            weight = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        conv.weight = nn.Parameter(weight[None], requires_grad=False)
