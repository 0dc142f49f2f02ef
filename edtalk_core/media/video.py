"""Videos: frames read as they are shown, and brought to a frame rate."""

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

# Further than this the time stamps of a frame are damaged, or those of two files put together.
_LARGEST_STEP_S, _LARGEST_STEP_BACK_S = 600.0, 1.0

_NTSC_RATES = (24, 30, 48, 60, 90, 120, 240)
_RATE_LIMITS = (1, 240)


def exact_fps(fps: float | Fraction) -> Fraction:
    """A frame rate as the fraction that is meant: 29.97 is 30000/1001, 23.98 is 24000/1001, 12.5 is 25/2.

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
    """The frames that a video of a duration has: round(duration * fps).

    Raises:
        ArgumentError: a duration that is negative or not finite, or no frame rate.
    """
    return round(check_number(duration_s, "A duration", low=0, unit="seconds") * float(exact_fps(fps)))


class VideoReader:
    """The frames of a video file as a player shows them: turned upright, in square pixels, RGB.

    Iterate for (time in seconds from the first frame, picture (H, W, 3) uint8), as often as needed; frames are decoded
    as they are asked for and never kept. A file that is damaged or cut off gives what can be read and logs a warning.

    Raises:
        VideoError: no such file, not a video, only sound in it, or no frame that can be read.
    """

    path: Path
    fps: float
    """Frames a second, on average."""
    size: tuple[int, int]
    """(width, height) in pixels, as shown."""
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
            # What time stamps count from, as long as they can be trusted to find a frame.
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
            # Recorded live, as browsers do: too little is declared, so the packets are counted.
            count, duration = self._measure()
            if not 0 < rate <= _RATE_LIMITS[1]:
                rate = count / duration
        self.fps = rate
        self.duration = duration
        self.frame_count = count or max(1, round(duration * self.fps))

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        return self.since(0.0)

    def since(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """As iterating, from the frame that is on screen at `start` seconds on; those before it are hardly decoded."""
        from av.video.reformatter import VideoReformatter

        converter = VideoReformatter()  # kept, so that it is set up once and not for every frame
        # A jump may land behind its aim, where the index is wrong: then it aims earlier, in the end at the beginning.
        for ahead in (0.0, 2.0, 20.0, math.inf):
            position = max(0.0, start - ahead) if self._origin is not None else 0.0
            with open_media(self.path, VideoError, "video") as container:
                frames = self._stamped(container, position)
                shown = next(frames, None)
                if position > 0 and (shown is None or shown[0] > start + 1e-6):
                    continue
                for following in frames:
                    if shown is not None and (start <= 0 or following[0] > start + 1e-6):
                        yield shown[0], self._picture(shown[1], converter)
                    shown = following
                if shown is not None:
                    yield shown[0], self._picture(shown[1], converter)
                return

    def _stamped(
        self, container: av.container.InputContainer, position: float
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames with their time in seconds; a `position` above 0 jumps near to that time first."""
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
            if frame.pts is None:
                shown = time + length if index else 0.0
            else:
                stamp = frame.pts * tick
                origin = stamp if origin is None else origin
                shown = stamp - origin
                if index and not time - _LARGEST_STEP_BACK_S <= shown <= time + _LARGEST_STEP_S:
                    logger.warning("%s: its time stamps jump by %.1f s: ignored", self.path, shown - time)
                    origin += shown - (time + length)
                    shown = time + length
                    self._origin = None
                # A stamp is no finer than a tick of its clock (1 ms in Matroska): a steady rate stays steady.
                steady = round(shown * self.fps) / self.fps
                if abs(steady - shown) <= tick <= 0.002:
                    shown = steady
            time = max(time, shown)
            length = float((frame.duration or 0) * tick) or 1 / self.fps
            yield time, frame
        self.end_time = time + length

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        streams = moving_streams(container)
        if not streams:
            raise VideoError(f"{self.path} has no video in it, only: {contents(container)}. Give a video file.")
        return streams[0]

    def _measure(self) -> tuple[int, float]:
        """Count the frames and the seconds without decoding."""
        import av

        stamps: list[int] = []
        with open_media(self.path, VideoError, "video") as container:
            stream = self._stream(container)
            with contextlib.suppress(av.error.FFmpegError, OSError):  # broken off: what lies before it counts
                stamps.extend(p.pts for p in container.demux(stream) if p.pts is not None)
            tick = float(stream.time_base or 0)
        count = max(1, len(stamps))
        span = (max(stamps) - min(stamps)) * tick if stamps else 0.0
        return count, span * count / (count - 1) if span else count / 25

    def _picture(self, frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
        import av

        matrix = frame.colorspace
        if matrix == UNSPECIFIED and not frame.format.is_rgb:
            # What players assume where the file does not say.
            matrix = BT709 if frame.width >= 1280 or frame.height > 576 else BT601
        try:
            # RGB has no matrix. Another than the source's is named because PyAV below 17 converts none between equals,
            # and then takes everything for BT.601.
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
    """Bring frames with time stamps to a steady rate, as they come.

    Output k is the source frame on screen at time k / fps: the last one that began by then. There are
    round(duration * fps) of them, at least one, where the duration goes to the end of the last frame: a VideoReader
    knows it; of any other source the last frame is taken to last as long as the one before.

    Args:
        frames: (time in seconds, picture), times not falling; a VideoReader, or any source.
        fps: frames a second to make, 1 to 240.

    Yields:
        The pictures, unchanged; a repeated one is the same object.

    Raises:
        ArgumentError: no frame rate.
    """
    return _resample(frames, float(exact_fps(fps)))


def _resample(frames: Iterable[tuple[float, np.ndarray]], fps: float) -> Iterator[np.ndarray]:
    shown: np.ndarray | None = None
    time, length = 0.0, 1 / fps
    made = given = 0
    # Decided outputs that may yet lie behind the rounded end; never more than one or two.
    waiting: deque[np.ndarray] = deque()
    for next_time, picture in frames:
        if shown is None:
            shown = picture
        else:
            length = next_time - time
        while made / fps < next_time - 1e-6:
            waiting.append(shown)
            made += 1
            if given < round(next_time * fps):
                yield waiting.popleft()
                given += 1
        time, shown = next_time, picture
    if shown is None:
        return
    end = frames.end_time if isinstance(frames, VideoReader) and frames.end_time is not None else time + length
    # Rounded twice: the sum of time stamps must not push a half over the edge.
    for _ in range(given, max(1, round(round(end * fps, 6)))):
        yield waiting.popleft() if waiting else shown


def _display_matrix(frame: av.VideoFrame) -> np.ndarray:
    """How a frame is to be turned and mirrored: the signs of (x, y) @ matrix, (2, 2), in quarter turns."""
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
