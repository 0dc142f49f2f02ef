"""Rendering of a portrait and a motion into a stream of frames, in constant memory.

Everything that does not depend on a frame's 36 motion weights is computed once: the identity features, the
expression-independent part of EEM, the bank's factorisation, the squared weights for demodulation, and the weights in
the rendering precision. While the expression is constant, the enhanced features are reused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .checks import check_whole
from .detail import Detail, Size, TemporalFilter, frame_size, resize
from .errors import ArgumentError, MotionError, OutOfMemory
from .media.picture import images_to_pictures, pictures_to_images
from .model import EDTalk, Portrait
from .motion.motion import Motion
from .networks.generator import Generator, Sources
from .precision import PRECISIONS, automatic_precision, precision_after_overflow
from .progress import Progress
from .waiting import short_waits

logger = logging.getLogger("edtalk")


class _Synthesis:
    """A model's generator in one precision, with a batch size that adapts to the free memory.

    `batch` is the current value, which may shrink while rendering.
    """

    def __init__(self, model: EDTalk, *, precision: str = "auto", batch: int | None = None) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise ArgumentError(f"The precision is one of auto, {', '.join(PRECISIONS)}, not {precision!r}.")
        self.model = model
        self.device = model.device
        if batch is None:
            batch = 4 if self.device.type == "cpu" else 8
        self.batch = check_whole(batch, "The batch", low=1, unit="frames")
        self._channels = model.sizes.channels[min(64, model.sizes.resolution)]
        if precision == "auto":
            precision = automatic_precision(self.device, self._channels)
        self._wider: tuple[str, Generator] | None = None
        """The precision for frames that overflow in fp16, and the generator in it, once there is such a frame."""
        with torch.no_grad():
            self._use(precision)
            self._bank = model.bank().float()

    def _use(self, precision: str) -> None:
        self.precision = precision
        self._generator: Generator = self.model.dec.frozen(PRECISIONS[precision])

    def _batches(self, frames: int, images: Callable[[slice], Tensor]) -> Iterator[Tensor]:
        """Yield `images(slice)` for consecutive batches of `frames` frames; the batch shrinks when memory runs out."""
        done = 0
        with short_waits(self.device):
            while done < frames:
                count = min(self.batch, frames - done)
                try:
                    rendered = images(slice(done, done + count))
                except RuntimeError as error:
                    if not _out_of_memory(error):
                        raise
                    rendered = None
                if rendered is None:  # Outside the handler: there, the exception still references the failed tensors.
                    self._shrink(count)
                    continue
                done += count
                yield rendered

    def _shrink(self, count: int) -> None:
        """Halve the batch size after a batch of `count` frames ran out of memory. Raises OutOfMemory for one frame."""
        _free_memory(self.device)
        if count == 1:
            raise OutOfMemory(
                f"{self.device} has too little free memory to render a single frame. Close other programs that use it, "
                "or render on the CPU."
            )
        self.batch = count // 2
        logger.warning(
            "a batch of %d frames does not fit into the memory of %s: reduced to %d", count, self.device, self.batch
        )

    def _synthesise(self, style: Tensor, sources: Sources) -> tuple[Tensor, Tensor]:
        """Style latents (B,style), warp sources of the levels -> images, not clamped, and finest raw flow (B,3,S,S).

        A frame that overflows in fp16 is rendered in a wider precision, and it alone: what a frame looks like does not
        depend on those beside or before it.
        """
        image, flows = self._generator.synthesise(style, sources)
        if self.precision != "fp16":
            return image, flows[-1]
        # Infinite flow is a valid sampling position, so an overflow may not show in the image; the finest flow has it.
        finite = torch.isfinite(image).flatten(1).all(1) & torch.isfinite(flows[-1]).flatten(1).all(1)
        if bool(finite.all()):
            return image, flows[-1]
        if self._wider is None:
            wider = precision_after_overflow(self.device, self._channels)
            logger.warning("fp16 overflows with this model: rendering in %s", wider)
            self._wider = wider, self.model.dec.frozen(PRECISIONS[wider])
        repeated, repeated_flows = self._wider[1].synthesise(style, sources)
        finite = finite.view(-1, 1, 1, 1)
        return torch.where(finite, image, repeated), torch.where(finite, flows[-1], repeated_flows[-1])


class Renderer(_Synthesis):
    """Renders a portrait with a model, any number of times, on the model's device.

    `precision`: "fp32", "bf16", "fp16", or "auto", which chooses by what the device can do and the model's width
    (`automatic_precision`), the same every time. If the portrait itself overflows in fp16, everything is rendered in
    bf16 (fp32 where "auto" does not choose bf16); if a single frame does, that frame is.

    `batch`: frames computed together; by default 4 on a CPU, 8 elsewhere. It is halved permanently when the device
    runs out of memory.

    `size`: side of the frames, see `detail.frame_size`: the model's resolution S by default. Larger frames get the fine
    detail of the portrait's picture, moved along the generator's flow (`detail`), and do not have the dark rim of 1 to
    2 px that the published networks give. For them the portrait is encoded anew, from its picture.

    `still`: (S, S), 0 to 1: how far each place of a frame may move away from the portrait's picture, so that frames
    meet the rest of a picture without a seam. None: as far as the generator moves it.

    The same portrait, motion and precision give the same frames on the same device, however busy it is. Another batch
    or number of threads only changes the order of sums: in fp32 the images of the model's size, with values in [-1,1],
    differ by less than 1e-3, less than half a step of 8 bits; in bf16 and fp16 each frame agrees to a PSNR of 45 dB and
    more.

    The attribute `precision` is what is used, `batch` the current value, `size` the number of pixels. The model must
    not be trained meanwhile: its weights are shared or have been copied. Raises ArgumentError for an unknown precision,
    an invalid batch or size, or a size other than the model's for a portrait without a picture.
    """

    def __init__(
        self,
        model: EDTalk,
        portrait: Portrait,
        *,
        precision: str = "auto",
        batch: int | None = None,
        size: Size = "model",
        still: np.ndarray | None = None,
    ) -> None:
        resolution, picture = model.sizes.resolution, portrait.picture
        self.size = frame_size(size, portrait.own_size, resolution)
        super().__init__(model, precision=precision, batch=batch)
        self.portrait = portrait
        self._detail: Detail | None = None
        latent: Tensor = portrait.latent
        encoded: Sequence[Tensor] = portrait.features
        with torch.no_grad():
            if self.size != resolution or still is not None:
                if picture is None:
                    raise ArgumentError(
                        f"This portrait has no picture, so its frames have the model's {resolution} px; make it with "
                        "portrait_from_picture or encode_portrait."
                    )
                images = pictures_to_images(picture)[None].to(self.device)
                coarse = resize(images, resolution)
                self._detail = Detail(resize(images, self.size), coarse, still)
                latent, encoded = model.encode(coarse)[:2]
            self._latent = latent.to(self.device, torch.float32)
            features = [
                feature.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
                for feature in encoded
            ]
            self._warpable = self._generator.warpable(features)
            self._normalised = self._generator.normalised(features) if model.sizes.expression else []
        self._enhanced: tuple[Tensor, list[Tensor]] | None = None
        """Cache: the last expression weights that were constant over a batch, and the features enhanced by them."""
        if self.precision == "fp16":
            self.render()
            if self._wider is not None:
                self.precision, self._generator = self._wider

    def render(self, lip: Tensor | None = None, pose: Tensor | None = None, expression: Tensor | None = None) -> Tensor:
        """Frames (T,3,S,S), float32 on the model's device, in [-1,1] but not clamped, of tracks (T,20), (T,6), (T,10).

        S is the renderer's size. A track that is None is the portrait's own; without any, the portrait is rendered
        unchanged, one frame. Raises MotionError for tracks that differ in length, do not fit the model, or are not
        finite.
        """
        has_tracks = any(track is not None for track in (lip, pose, expression))
        motion = Motion(lip=lip, pose=pose, expression=expression) if has_tracks else self.portrait.own
        return torch.cat(list(self.stream(motion)))

    def stream(self, motion: Motion, progress: Progress | None = None) -> Iterator[Tensor]:
        """Render batches of frames (B,3,S,S), float32 on the model's device, in [-1,1] but not clamped, in order.

        Each frame of the motion gives one frame, whatever its frame rate; missing tracks are the portrait's own.
        Memory does not grow with the length. `progress(done, total)` is called after each batch has been consumed; an
        exception it raises ends the stream.

        Raises MotionError, immediately, when the motion does not fit the model; while streaming, OutOfMemory when the
        device has too little memory for a single frame.
        """
        return self._stream(self.model.complete(motion, self.portrait), progress)

    def pictures(self, motion: Motion, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Render frames one by one as pictures, uint8 (S,S,3) RGB; otherwise as `stream`."""
        stream = self.stream(motion, progress)
        return (picture for images in stream for picture in images_to_pictures(images))

    def _stream(self, motion: Motion, progress: Progress | None) -> Iterator[Tensor]:
        done = 0
        steady = TemporalFilter(self.model.sizes.resolution) if self._detail is not None else None
        for images in self._batches(motion.frames, partial(self._images, motion)):
            done += len(images)
            yield images if steady is None else steady(images)
            if progress is not None:
                progress(done, motion.frames)

    @torch.no_grad()
    def _images(self, motion: Motion, frames: slice) -> Tensor:
        """Render the frames `frames` of a motion with all tracks: (B,3,S,S)."""
        tracks = {name: track[frames] for name, track in motion.tracks.items()}
        weights = {name: track.to(self.device) for name, track in tracks.items()}
        direction, expression = self.model.directions(
            weights["lip"], weights["pose"], weights.get("expression"), self._bank
        )
        style = self._latent + direction
        images, flow = self._synthesise(style, self._sources(tracks.get("expression"), expression))
        return images if self._detail is None else self._detail.add(images, flow)

    def _sources(self, weights: Tensor | None, expression: Tensor | None) -> Callable[[int, slice], Tensor]:
        """Warp sources of a batch, from expression weights (B,expression) on the CPU and their direction (B,style)."""
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
    """Renders the frames of a video with new lips; each frame is its own portrait.

    `precision` and `batch` as in `Renderer`, except that each frame is tried in fp16. Nothing can be precomputed: every
    frame is encoded and enhanced by EEM anew. Images larger than the model's resolution keep their size, and their own
    fine detail.
    """

    def render(self, images: Tensor, lip: Tensor) -> Tensor:
        """Images (T,3,N,N) in [-1,1], lip weights (T,20) -> (T,3,N,N), float32 on the model's device, not clamped.

        Pose and expression of each image are unchanged. N is the model's resolution or more.

        Raises:
            ArgumentError: images that are smaller, larger than LARGEST, or not square.
            MotionError: lip weights that do not fit the model or the number of images, or are not finite.
            OutOfMemory: the device has too little memory for a single frame.
        """
        lip = Motion(lip=lip).track("lip")
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ArgumentError(f"Images to dub have the shape (T,3,N,N), not {tuple(images.shape)}.")
        frame_size(images.shape[-1], images.shape[-1], self.model.sizes.resolution)
        expected = (len(images), self.model.sizes.lip)
        if lip.shape != expected:
            raise MotionError(f"The lip weights have shape {tuple(lip.shape)}; expected {expected}.")
        return torch.cat(list(self._batches(len(images), lambda frames: self._images(images[frames], lip[frames]))))

    @torch.no_grad()
    def _images(self, images: Tensor, lip: Tensor) -> Tensor:
        coarse = resize(images.to(self.device, torch.float32), self.model.sizes.resolution)
        latent, features, (_, pose, expression) = self.model.encode(coarse)
        direction, expression_direction = self.model.directions(
            lip.to(self.device), pose.float(), None if expression is None else expression.float(), self._bank
        )
        features = [feature.float() for feature in features]
        sources = self._generator.warpable(features)
        if expression_direction is not None:
            normalised = self._generator.normalised(features)
            sources = [
                self._generator.enhance(level, sources[level], normalised[level], expression_direction)
                for level in range(len(sources))
            ]
        rendered, flow = self._synthesise(latent.float() + direction, lambda level, frames: sources[level][frames])
        if images.shape == coarse.shape:
            return rendered
        return Detail(images.to(self.device, torch.float32), coarse).add(rendered, flow)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether a device ran out of memory: CUDA raises a type of its own; MPS and CPU differ in the message only."""
    message = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in message or "can't allocate memory" in message


def _free_memory(device: torch.device) -> None:
    """Release the memory that torch caches for later allocations on a device."""
    backend = getattr(torch, device.type, None)
    if backend is not None and hasattr(backend, "empty_cache"):
        backend.empty_cache()
