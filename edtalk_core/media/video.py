"""Videos: read frames as a player shows them, and resample them to a frame rate."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import check_number
from ..errors import VideoError
from .streams import contents, decoded_frames, existing_file, moving_streams, open_media

if TYPE_CHECKING:
    import av
    import av.container
    from av.video.reformatter import VideoReformatter

logger = logging.getLogger("edtalk")

# libswscale flags: bicubic | full chroma in and out | accurate rounding. Its default conversion darkens by 1.4 levels.
EXACT_SCALING = 4 | 0x2000 | 0x4000 | 0x40000
# Colour matrices by libswscale's numbers, and AVColorRange.
BT709, BT601, UNSPECIFIED = 1, 5, 2
LIMITED, FULL = 1, 2

# A larger step means damaged time stamps, or two files joined without adjusting them.
_LARGEST_STEP_S, _LARGEST_STEP_BACK_S = 600.0, 1.0

_NTSC_RATES = (24, 30, 48, 60, 90, 120, 240)
_RATE_LIMITS = (1, 240)
_LONGEST_FRAME_S = 120.0
"""A video whose frames last longer on average has a broken clock, as has one of more than 240 frames a second."""
_USUAL_RATE = 25.0


def exact_fps(fps: float | Fraction) -> Fraction:
    """Return a frame rate as the exact fraction: 29.97 is 30000/1001, 23.98 is 24000/1001, 12.5 is 25/2.

    Raises:
        ArgumentError: not a number from 1 to 240.
    """
    low, high = _RATE_LIMITS
    check_number(fps, "A frame rate", low=low, high=high, unit="frames a second")
    if isinstance(fps, Fraction):
        return fps
    for rate in _NTSC_RATES:
        if abs(fps - rate * 1000 / 1001) < 0.005:
            return Fraction(rate * 1000, 1001)
    return Fraction(float(fps)).limit_denominator(1001)


def frame_count_for(duration_s: float, fps: float | Fraction) -> int:
    """Return the number of frames of a video of this duration: round(duration * fps).

    Raises:
        ArgumentError: a duration that is negative or not finite, or a frame rate out of range.
    """
    return round(check_number(duration_s, "A duration", low=0, unit="seconds") * float(exact_fps(fps)))


class VideoReader:
    """The frames of a video file as a player shows them: upright, in square pixels, RGB.

    Iterate for (time in seconds from the first frame, picture (H, W, 3) uint8), as often as needed; frames are decoded
    on demand and not stored. A damaged or truncated file yields the frames that can be read and logs a warning.

    Raises:
        VideoError: no such file, not a video, a file of sound alone, or no frame that can be read.
    """

    path: Path
    fps: float
    """Frames a second, on average."""
    size: tuple[int, int]
    """(width, height) in pixels, as displayed."""
    frame_count: int
    """As the file declares it; an estimate."""
    duration: float
    """Seconds, as the file declares it; an estimate."""
    has_audio: bool
    end_time: float | None
    """Seconds; when the last frame ends. Known once the frames have been read to the end."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = existing_file(os.fspath(path), VideoError, "video")
        self.end_time = None
        with open_media(self.path, VideoError, "video") as container:
            stream = self._stream(container)
            self.has_audio = any(s.codec_context is not None for s in container.streams.audio)
            first = next(decoded_frames(container, stream, self.path), None)
            if first is None:
                raise VideoError(f"{self.path} has no frame that can be read: it is empty or damaged. Copy it again.")

            declared = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
            aspect = float(declared) if declared and 0.1 < declared < 10 else 1.0
            # Time stamp of the first frame; None when time stamps cannot be trusted for seeking.
            self._origin = float(first.pts * stream.time_base) if first.pts is not None and stream.time_base else None
            # Enlarged, never reduced: no detail is lost.
            self._width = round(first.width * max(aspect, 1.0))
            self._height = round(first.height * max(1 / aspect, 1.0))
            self._turn = _display_matrix(first)
            turned = self._turn[0, 0] == 0
            self.size = (self._height, self._width) if turned else (self._width, self._height)

            rate = float(stream.average_rate or stream.guessed_rate or 0)
            duration = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            if not duration and container.duration:
                duration = container.duration / 1_000_000
            count = stream.frames
        if not duration or not 0 < rate <= _RATE_LIMITS[1]:
            # Recorded live, as browsers do: the header declares too little, so the packets are counted.
            count, duration = self._measure()
            if not 0 < rate <= _RATE_LIMITS[1]:
                rate = count / duration
        self._has_clock = count == 1 or 1 / _LONGEST_FRAME_S <= rate <= _RATE_LIMITS[1]
        if not self._has_clock:
            count = count or self._measure()[0]
            logger.warning(
                "%s: its clock is broken, a frame would last %.3g s: read at %g frames a second",
                self.path,
                1 / rate,
                _USUAL_RATE,
            )
            rate, duration, self._origin = _USUAL_RATE, count / _USUAL_RATE, None
        self.fps = rate
        self.duration = duration
        self.frame_count = count or max(1, round(duration * self.fps))

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        return self.since(0.0)

    def since(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Iterate from the frame on screen at `start` seconds; seeks, so that few earlier frames are decoded."""
        from av.video.reformatter import VideoReformatter

        converter = VideoReformatter()  # reused: it is set up once and not for every frame
        # A seek may land after its target where the index is wrong: try earlier targets, at last the beginning.
        for ahead in (0.0, 2.0, 20.0, math.inf):
            position = max(0.0, start - ahead) if self._origin is not None else 0.0
            with open_media(self.path, VideoError, "video") as container:
                frames = self._timed_frames(container, position)
                current = next(frames, None)
                if position > 0 and (current is None or current[0] > start + 1e-6):
                    continue
                for following in frames:
                    if current is not None and (start <= 0 or following[0] > start + 1e-6):
                        yield current[0], self._picture(current[1], converter)
                    current = following
                if current is not None:
                    yield current[0], self._picture(current[1], converter)
                return

    def _timed_frames(
        self, container: av.container.InputContainer, position: float
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield frames with their time in seconds; for a `position` above 0, seek near that time first."""
        import av

        stream = self._stream(container)
        stream.thread_type = "AUTO"
        tick = float(stream.time_base or 0)
        origin = None
        if position > 0 and self._origin is not None and tick:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                container.seek(round((self._origin + position) / tick), stream=stream)
                origin = self._origin
        time, length = 0.0, 1 / self.fps
        for index, frame in enumerate(decoded_frames(container, stream, self.path)):
            if frame.pts is None or not self._has_clock:
                seconds = time + length if index else 0.0
            else:
                stamp = frame.pts * tick
                origin = stamp if origin is None else origin
                seconds = stamp - origin
                if index and not time - _LARGEST_STEP_BACK_S <= seconds <= time + _LARGEST_STEP_S:
                    logger.warning("%s: its time stamps jump by %.1f s: ignored", self.path, seconds - time)
                    origin += seconds - (time + length)
                    seconds = time + length
                    self._origin = None
                # A stamp is no finer than a tick of its clock (1 ms in Matroska): a steady rate stays steady.
                steady = round(seconds * self.fps) / self.fps
                if abs(steady - seconds) <= tick <= 0.002:
                    seconds = steady
            time = max(time, seconds)
            length = (float((frame.duration or 0) * tick) if self._has_clock else 0.0) or 1 / self.fps
            length = min(length, _LONGEST_FRAME_S)
            yield time, frame
        self.end_time = time + length

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        streams = moving_streams(container)
        if not streams:
            raise VideoError(f"{self.path} has no video in it, only: {contents(container)}. Give a video file.")
        return streams[0]

    def _measure(self) -> tuple[int, float]:
        """Return the number of frames and the duration in seconds, read from the packets without decoding."""
        import av

        stamps: list[int] = []
        with open_media(self.path, VideoError, "video") as container:
            stream = self._stream(container)
            with contextlib.suppress(av.error.FFmpegError, OSError):  # truncated: the packets before that count
                stamps.extend(p.pts for p in container.demux(stream) if p.pts is not None)
            tick = float(stream.time_base or 0)
        count = max(1, len(stamps))
        span = (max(stamps) - min(stamps)) * tick if stamps else 0.0
        return count, span * count / (count - 1) if span else count / 25

    def _picture(self, frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
        import av

        matrix = frame.colorspace
        if matrix == UNSPECIFIED and not frame.format.is_rgb:
            # Players assume this where the file does not say.
            matrix = BT709 if frame.width >= 1280 or frame.height > 576 else BT601
        try:
            # RGB has no matrix. The target differs from the source because PyAV below 17 skips the conversion between
            # equal matrices and then assumes BT.601.
            rgb = converter.reformat(
                frame,
                self._width,
                self._height,
                "rgb24",
                src_colorspace=matrix,
                dst_colorspace=BT601 if matrix == BT709 else BT709,
                interpolation=EXACT_SCALING,
                src_color_range=frame.color_range,
                dst_color_range=FULL,
            ).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self.path} has frames that cannot be converted to RGB ({frame.format.name}, {error}). "
                "Convert it to H.264 first."
            ) from error
        (a, b), (c, d) = self._turn
        if a == 0:
            rgb = rgb.transpose(1, 0, 2)
        return np.ascontiguousarray(rgb[:: b or d, :: a or c])


def resample_frames(frames: Iterable[tuple[float, np.ndarray]], fps: float | Fraction) -> Iterator[np.ndarray]:
    """Resample a stream of frames with time stamps to a constant frame rate.

    Output k is the source frame on screen at time k / fps: the latest that started by then. There are
    round(duration * fps) outputs, at least one, where the duration runs to the end of the last frame: a VideoReader
    knows it; in any other source the last frame is assumed to last as long as the frame before it.

    Args:
        frames: (time in seconds, picture), in ascending order of time; a VideoReader, or any source.
        fps: frames a second of the output, 1 to 240.

    Yields:
        The pictures, unchanged; repeats are the same object.

    Raises:
        ArgumentError: a frame rate out of range.
    """
    return _resample(frames, float(exact_fps(fps)))


def _resample(frames: Iterable[tuple[float, np.ndarray]], fps: float) -> Iterator[np.ndarray]:
    current: np.ndarray | None = None
    time, length = 0.0, 1 / fps
    due = yielded = 0
    # Outputs that are due but may lie beyond the rounded end; never more than one or two.
    pending: deque[np.ndarray] = deque()
    for next_time, picture in frames:
        if current is None:
            current = picture
        else:
            length = next_time - time
        while due / fps < next_time - 1e-6:
            pending.append(current)
            due += 1
            if yielded < round(next_time * fps):
                yield pending.popleft()
                yielded += 1
        time, current = next_time, picture
    if current is None:
        return
    end = frames.end_time if isinstance(frames, VideoReader) and frames.end_time is not None else time + length
    # Rounded twice: the sum of time stamps must not push a half over the edge.
    for _ in range(yielded, max(1, round(round(end * fps, 6)))):
        yield pending.popleft() if pending else current


def _display_matrix(frame: av.VideoFrame) -> np.ndarray:
    """Return the rotation and mirroring of a frame in quarter turns: the signs of (x, y) @ matrix, (2, 2)."""
    try:
        side_data: Any = frame.side_data
        # 3x3, 16.16 fixed point; only the rotation matters.
        values = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32)
        matrix = values[[0, 1, 3, 4]].reshape(2, 2).astype(np.float64)
    except (KeyError, ValueError):  # ValueError: side data of a kind that this PyAV has no name for
        angle = math.radians(frame.rotation)
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if not matrix.any():  # written by some tools for "nothing to do"
        matrix = np.eye(2)
    upright = abs(matrix[0, 0]) >= abs(matrix[0, 1])
    return np.sign(matrix * (np.eye(2) if upright else 1 - np.eye(2))).astype(int)
