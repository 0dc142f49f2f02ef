"""Decoding of sound tracks, block by block, with their gaps filled."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AudioError
from .streams import contents, decoded_frames, moving_streams, open_media

if TYPE_CHECKING:
    import av

logger = logging.getLogger("edtalk")

SAMPLE_RATES = (1_000, 768_000)
MAX_CHANNELS = 64
BLOCK_SAMPLES = 1 << 16
"""Samples of a block of silence, and of sounds in memory."""

# Shorter jumps of the time stamps are rounding and jitter; jumps beyond ten minutes are damaged stamps.
_SMALLEST_GAP_S = 0.1
_LARGEST_GAP_S = 600.0
_LONGEST_SILENCE_S = 3600.0
"""All gaps of a file together; what would come after is damaged stamps too."""
_JOINED_SAMPLES = 1 << 14
"""Frames of a file, often of some hundred samples, are joined to blocks of as many: each block costs as much to check,
mix and convert as a thousand samples."""
# Samples that a decoder returns at once (AAC with doubled rate has 2048).
_LARGEST_BLOCK = 4096


class SoundDecoder:
    """One pass over the sound track of a file. Iterate once, then read `length`.

    Yields blocks (C,n) of float32, or of integers at full scale, in the order of time; silence fills gaps of the time
    stamps. Time 0 is that of the first picture, if there are pictures.

    Args:
        path: a sound, or a video with sound.
        quiet: do not log what is wrong with the file: an earlier pass did.

    Raises:
        AudioError: no sound track, or one that cannot be decoded.
    """

    def __init__(self, path: Path, *, quiet: bool = False) -> None:
        self._path = path
        self._quiet = quiet
        self.rate = 0
        """Hz. Known after the first block, as are the channels."""
        self.channels = 0
        self.declared = 0.0
        """Seconds of the sound as the file says, 0 if it does not. Known after the first block."""
        self.length = 0
        """Samples of the sound. Known at the end: some of the last block may lie after it. Until then, of what was
        yielded."""

    def __iter__(self) -> Iterator[np.ndarray]:
        import av

        with open_media(self._path, AudioError, "sound") as container:
            stream = container.streams.best("audio")
            if stream is None or stream.codec_context is None:
                raise AudioError(f"{self._path} has no sound track that can be read (it holds: {contents(container)}).")
            try:
                yield from self._decode(container, stream)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise AudioError(
                    f"{self._path} cannot be decoded ({error}). Convert it to WAV or FLAC and try again."
                ) from error

    def reaches(self, seconds: float) -> bool:
        """Whether there are samples so many seconds after the start of the file, found by a seek and not by decoding.

        False too where it cannot be found out: a file that declares its length need not have it.
        """
        import av

        with open_media(self._path, AudioError, "sound") as container:
            stream = container.streams.best("audio")
            if stream is None or not stream.time_base:
                return False
            wanted = (stream.start_time or 0) + round(seconds / stream.time_base)
            try:
                container.seek(wanted, stream=stream)
                # A seek lands at or before its target.
                packets = islice(container.demux(stream), 1000)
                return any(packet.pts is not None and packet.pts >= wanted for packet in packets)
            except (av.error.FFmpegError, OSError, ValueError, OverflowError):
                return False

    def _decode(self, container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[np.ndarray]:
        path = self._path
        videos = moving_streams(container)
        starts = [float(s.start_time * s.time_base) for s in videos[:1] if s.start_time is not None and s.time_base]
        origin = starts[0] if starts else None
        tick = float(stream.time_base or 0)
        declared = float(stream.duration * tick) if stream.duration else 0.0
        self.declared = declared
        written = skip = filled = jumps = 0
        joined: list[np.ndarray] = []
        first = True
        for frame in decoded_frames(container, stream, path, quiet=self._quiet):
            block = frame.to_ndarray()
            channels, rate = frame.layout.nb_channels, frame.sample_rate
            if not frame.format.is_planar:
                block = block.reshape(-1, channels).T
            if first:
                self._begin(rate, channels)
            elif (rate, channels) != (self.rate, self.channels):
                raise AudioError(
                    f"{path} changes from {self.rate} Hz and {self.channels} channels to {rate} Hz and "
                    f"{channels} channels midway. Convert it to WAV or FLAC and try again."
                )
            gap = 0
            if frame.pts is not None and tick:
                time = frame.pts * tick
                if origin is None:
                    origin = max(time, 0.0)  # negative time stamps are encoder delay
                gap = round((time - origin) * rate) - written + skip
            if origin is not None and (first or abs(gap) > _SMALLEST_GAP_S * rate):
                if 0 <= gap <= _LARGEST_GAP_S * rate and filled + gap <= _LONGEST_SILENCE_S * rate:
                    yield from self._joined(joined)
                    yield from self._silence(gap)
                    written += gap
                    filled += 0 if first else gap
                elif first and 0 > gap >= -_LARGEST_GAP_S * rate:
                    skip = -gap
                else:
                    if not jumps:
                        self._warn("%s: the time stamps of its sound jump by %.1f s: ignored", path, gap / rate)
                    jumps += 1
                    origin += gap / rate
            first = False

            if skip:
                skipped = min(skip, block.shape[1])
                skip -= skipped
                block = block[:, skipped:]
            written += block.shape[1]
            joined.append(block)
            if written - self.length >= _JOINED_SAMPLES:
                yield from self._joined(joined)
        yield from self._joined(joined)
        if written == 0:
            raise AudioError(f"{path} has a sound track, but no sample of it can be read: it is empty or damaged.")
        self.length = written
        if "mp4" in container.format.name and declared and origin is not None:
            # MP4 states where the sound ends within the last block; decoders return the full block.
            start = (stream.start_time or 0) * tick
            excess = written - round((start + declared - origin) * self.rate)
            self.length -= excess if 0 < excess <= _LARGEST_BLOCK else 0
        if filled > self.rate:
            self._warn("%s: silence fills gaps of %.1f s in the time stamps of its sound", path, filled / self.rate)
        if self.length / self.rate < declared - 1.0:
            self._warn(
                "%s: only %.1f s of the %.1f s it declares could be read", path, self.length / self.rate, declared
            )

    def _begin(self, rate: int, channels: int) -> None:
        low, high = SAMPLE_RATES
        if not low <= rate <= high:
            raise AudioError(f"{self._path} has a sample rate of {rate} Hz; expected {low} to {high} Hz.")
        if channels > MAX_CHANNELS:
            raise AudioError(f"{self._path} has {channels} channels; expected 1 to {MAX_CHANNELS}.")
        self.rate, self.channels = rate, channels

    def _joined(self, blocks: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the blocks as one, and forget them."""
        if blocks:
            block = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
            blocks.clear()
            self.length += block.shape[1]
            yield block

    def _silence(self, samples: int) -> Iterator[np.ndarray]:
        for start in range(0, samples, BLOCK_SAMPLES):
            block = np.zeros((self.channels, min(BLOCK_SAMPLES, samples - start)), np.float32)
            self.length += block.shape[1]
            yield block

    def _warn(self, message: str, *values: object) -> None:
        if not self._quiet:
            logger.warning(message, *values)
