"""Rendering: a portrait and a motion become frames, as a stream whose memory does not grow with its length.

What a frame needs beyond its own 36 numbers is computed once: the identity features, the part of EEM that does not
depend on the expression, the bank's factorisation, what the demodulation needs to know of the weights, and the weights
in the precision they compute in. While the expression stays the same, so do the features it enhances.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_whole
from .errors import ArgumentError, MotionError, OutOfMemory
from .media.picture import images_to_pictures
from .model import EDTalk, Portrait
from .motion.motion import Motion
from .networks.generator import Generator, Sources
from .progress import Progress

logger = logging.getLogger("edtalk")

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What the convolutions of the generator compute in, by name. Flow and sampling always compute in float32."""

WORTHWHILE = 1.5
"""How many times as fast as fp32 a lower precision must be for "auto" to choose it."""


class _Synthesis:
    """A model's generator in one precision, and what makes do with the memory there is.

    `precision` and `batch` tell what is in use; both may fall while rendering.
    """

    def __init__(self, model: EDTalk, *, precision: str = "auto", batch: int | None = None) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise ArgumentError(f"The precision is one of auto, {', '.join(PRECISIONS)}, not {precision!r}.")
        self.model = model
        self.device = model.device
        if batch is None:
            batch = 4 if self.device.type == "cpu" else 8
        self.batch = check_whole(batch, "The batch", low=1, unit="frames")
        if precision == "auto":
            sizes = model.sizes
            precision = fastest_precision(self.device, sizes.channels[min(64, sizes.resolution)])
        with torch.no_grad():
            self._use(precision)
            self._bank = model.bank().float()

    def _use(self, precision: str) -> None:
        self.precision = precision
        self._generator: Generator = self.model.dec.frozen(PRECISIONS[precision])

    def _batches(self, frames: int, images: Callable[[slice], Tensor]) -> Iterator[Tensor]:
        """What `images` gives for so many frames, batch by batch; smaller ones when the memory does not suffice."""
        done = 0
        while done < frames:
            count = min(self.batch, frames - done)
            try:
                made = images(slice(done, done + count))
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                made = None
            if made is None:  # Here and not above, where the error still keeps the tensors of the failed attempt.
                self._shrink(count)
                continue
            done += count
            yield made

    def _shrink(self, count: int) -> None:
        """Prepare for smaller batches after one of `count` frames did not fit."""
        _free_memory(self.device)
        if count == 1:
            raise OutOfMemory(
                f"{self.device} has not enough free memory to render a single frame. Close other programs that use it, "
                "or render on the CPU."
            )
        self.batch = count // 2
        logger.warning(
            "a batch of %d frames does not fit into the memory of %s: now %d", count, self.device, self.batch
        )

    def _synthesise(self, style: Tensor, sources: Sources) -> Tensor:
        """Style latents (B,style) and what the levels warp -> images (B,3,S,S), not clamped."""
        image, flows = self._generator.synthesise(style, sources)
        # An overflow may hide from the image, since a flow of infinity is a valid place; it stays in the finest flow.
        if self.precision == "fp16" and not bool(torch.isfinite(image).all() & torch.isfinite(flows[-1]).all()):
            precise = "bf16" if fastest_precision(self.device, 64, ("bf16",)) == "bf16" else "fp32"
            logger.warning("fp16 overflows with this model: rendering in %s", precise)
            self._use(precise)
            image, _ = self._generator.synthesise(style, sources)
        return image


class Renderer(_Synthesis):
    """Renders one portrait with one model, any number of times, on the device where the model is.

    `precision`: "fp32", "bf16", "fp16", or "auto", which measures once a process and device how fast a convolution of
    this model is in each, and takes bf16 or fp16 where they are at least WORTHWHILE times as fast as fp32. If fp16
    overflows, the frames are rendered again in bf16 (fp32 where bf16 is slow), and so is everything after them.

    `batch`: frames computed together; by default 4 on a CPU, 8 elsewhere. It is halved, for good, when the memory of
    the device does not suffice.

    `precision` and `batch` are attributes too, and tell what is in use. The model must not be trained meanwhile: its
    weights are shared, or copies of what they were. Raises ArgumentError for another precision or batch.
    """

    def __init__(self, model: EDTalk, portrait: Portrait, *, precision: str = "auto", batch: int | None = None) -> None:
        super().__init__(model, precision=precision, batch=batch)
        self.portrait = portrait
        with torch.no_grad():
            self._latent = portrait.latent.to(self.device, torch.float32)
            features = [
                feature.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
                for feature in portrait.features
            ]
            self._warpable = self._generator.warpable(features)
            self._normalised = self._generator.normalised(features) if model.sizes.expression else []
        self._enhanced: tuple[Tensor, list[Tensor]] | None = None
        """The last expression weights that were constant for a batch, and the features enhanced by them."""

    def render(self, lip: Tensor | None = None, pose: Tensor | None = None, expression: Tensor | None = None) -> Tensor:
        """Frames (T,3,S,S), float32 on the model's device, in [-1,1] but not clamped, of tracks (T,20), (T,6), (T,10).

        A track that is None is the portrait's own; without any, the portrait is rendered as it is, one frame.
        Raises MotionError for tracks of different lengths, or that do not fit the model or are not finite.
        """
        given = [track for track in (lip, pose, expression) if track is not None]
        motion = Motion(lip=lip, pose=pose, expression=expression) if given else self.portrait.own
        return torch.cat(list(self.stream(motion)))

    def stream(self, motion: Motion, progress: Progress | None = None) -> Iterator[Tensor]:
        """Batches of frames (B,3,S,S), float32 on the model's device, in [-1,1] but not clamped, in order.

        One frame for each of the motion's, whatever its frame rate; missing tracks are the portrait's own. Memory does
        not grow with the length. `progress(done, total)` is called when a batch has been taken and the next one is
        asked for; what it raises ends the stream.

        Raises MotionError, at once, when the motion does not fit the model; while streaming OutOfMemory when the
        device has not enough for a single frame.
        """
        return self._stream(self.model.complete(motion, self.portrait), progress)

    def pictures(self, motion: Motion, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """As `stream`, frame by frame as pictures: uint8 (S,S,3) RGB."""
        stream = self.stream(motion, progress)
        return (picture for images in stream for picture in images_to_pictures(images))

    def _stream(self, motion: Motion, progress: Progress | None) -> Iterator[Tensor]:
        done = 0
        for images in self._batches(motion.frames, partial(self._images, motion)):
            done += len(images)
            yield images
            if progress is not None:
                progress(done, motion.frames)

    @torch.no_grad()
    def _images(self, motion: Motion, frames: slice) -> Tensor:
        """Some frames of a complete motion (B,3,S,S)."""
        tracks = {name: track[frames] for name, track in motion.tracks.items()}
        own = {name: track.to(self.device) for name, track in tracks.items()}
        direction, part = self.model.directions(own["lip"], own["pose"], own.get("expression"), self._bank)
        style = self._latent + direction
        return self._synthesise(style, self._sources(tracks.get("expression"), part))

    def _sources(self, weights: Tensor | None, expression: Tensor | None) -> Callable[[int, slice], Tensor]:
        """What the generator warps for a batch: expression weights (B,expression), on the CPU, and their direction."""
        generator, warpable, normalised = self._generator, self._warpable, self._normalised
        if weights is None or expression is None:
            return lambda level, frames: warpable[level]
        if not torch.equal(weights, weights[:1].expand_as(weights)):
            return lambda level, frames: generator.enhance(
                level, warpable[level], normalised[level], expression[frames]
            )
        if self._enhanced is None or not torch.equal(self._enhanced[0], weights[:1]):
            enhanced = [
                generator.enhance(level, feature, normal, expression[:1])
                for level, (feature, normal) in enumerate(zip(warpable, normalised, strict=True))
            ]
            self._enhanced = weights[:1], enhanced
        constant = self._enhanced[1]
        return lambda level, frames: constant[level]


class FrameRenderer(_Synthesis):
    """Renders pictures of which each is its own portrait, the frames of a video, with other lips.

    `precision` and `batch` as in `Renderer`. Nothing is known before a picture comes: encoding it, and what EEM makes
    of its features, are part of the time it takes.
    """

    def render(self, images: Tensor, lip: Tensor) -> Tensor:
        """Images (T,3,S,S) in [-1,1] with lip weights (T,20): (T,3,S,S), float32 on the model's device, not clamped.

        Pose and expression are each image's own.

        Raises:
            ArgumentError: images of another size than the model's.
            MotionError: lip weights that do not fit the model or the number of images, or are not finite.
            OutOfMemory: the device has not enough for a single frame.
        """
        lip = Motion(lip=lip).track("lip")
        expected = (len(images), self.model.sizes.lip)
        if lip.shape != expected:
            raise MotionError(f"The lip weights are {tuple(lip.shape)}, these images and this model take {expected}.")
        return torch.cat(list(self._batches(len(images), lambda part: self._images(images[part], lip[part]))))

    @torch.no_grad()
    def _images(self, images: Tensor, lip: Tensor) -> Tensor:
        latent, features, (_, pose, expression) = self.model.encode(images)
        direction, part = self.model.directions(
            lip.to(self.device), pose.float(), None if expression is None else expression.float(), self._bank
        )
        features = [feature.float() for feature in features]
        sources = self._generator.warpable(features)
        if part is not None:
            normalised = self._generator.normalised(features)
            sources = [
                self._generator.enhance(level, sources[level], normalised[level], part) for level in range(len(sources))
            ]
        return self._synthesise(latent.float() + direction, lambda level, frames: sources[level][frames])


@cache
def fastest_precision(device: torch.device, channels: int, candidates: tuple[str, ...] = ("bf16", "fp16")) -> str:
    """The precision to compute in on a device: "fp32", or a candidate that is at least WORTHWHILE times as fast.

    Measured, once a process, with a 3x3 convolution of `channels` at 64 px, for a quarter of a second. A later
    candidate must be WORTHWHILE times as fast as the earlier ones too: bf16 cannot overflow, so it is preferred to fp16
    unless the device is slow at it.
    """
    trials = {name: trial for name in ("fp32", *candidates) if (trial := _convolution(device, channels, name))}
    best = dict.fromkeys(trials, float("inf"))
    deadline = time.perf_counter() + 0.25
    rounds = 0
    # In turns, so that whatever else the machine does slows all of them.
    while rounds < 3 or time.perf_counter() < deadline:
        for name, trial in trials.items():
            started = time.perf_counter()
            trial()
            best[name] = min(best[name], time.perf_counter() - started)
        rounds += 1
    chosen = "fp32"
    for name in trials:
        if best[name] * WORTHWHILE <= best[chosen]:
            chosen = name
    return chosen


def _convolution(device: torch.device, channels: int, precision: str) -> Callable[[], float] | None:
    """A convolution to time, which has been run once; None where the device cannot compute in this precision."""
    dtype = PRECISIONS[precision]

    @torch.no_grad()
    def convolve() -> float:
        # Reading a number back waits for the device.
        return float(F.conv2d(x, weight, padding=1)[0, 0, 0, 0])

    try:
        x = torch.ones(1, channels, 64, 64, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.ones(channels, channels, 3, 3, device=device, dtype=dtype) / channels
        convolve()
    except RuntimeError as error:
        logger.debug("%s cannot compute in %s: %s", device, precision, error)
        return None
    return convolve


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether a device ran out of memory. Some say so by a type, some (MPS, CPU) in words only."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in words or "can't allocate memory" in words


def _free_memory(device: torch.device) -> None:
    """Hand back what torch keeps for later allocations on a device."""
    backend = getattr(torch, device.type, None)
    if backend is not None and hasattr(backend, "empty_cache"):
        backend.empty_cache()
