"""Videos: frames read as they are shown, brought to a frame rate, and written as H.264 with sound, as they come."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import check_number
from ..errors import ArgumentError, VideoError
from ..wording import counted
from .audio import Audio
from .streams import contents, decoded_frames, existing_file, moving_streams, open_media

if TYPE_CHECKING:
    import av
    import av.container
    from av.video.reformatter import VideoReformatter

logger = logging.getLogger("edtalk")

# libswscale flags: bicubic | full chroma in and out | accurate rounding. Its default conversion darkens by 1.4 levels.
_EXACT_SCALING = 4 | 0x2000 | 0x4000 | 0x40000
# Colour matrices by libswscale's numbers, and AVColorRange.
_BT709, _BT601, _UNSPECIFIED = 1, 5, 2
_LIMITED, _FULL = 1, 2

# Further than this the time stamps of a frame are damaged, or those of two files put together.
_LARGEST_STEP_S, _LARGEST_STEP_BACK_S = 600.0, 1.0

_NTSC_RATES = (24, 30, 48, 60, 90, 120, 240)
_RATE_LIMITS = (1, 240)
_SIDE_LIMITS = (16, 8192)

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Tags that MP4 and MOV keep in their usual places; any other key needs FFmpeg's own way of writing all of them.
_USUAL_TAGS = {
    "title", "artist", "album", "album_artist", "composer", "comment", "copyright", "date", "description", "genre",
    "synopsis",
}  # fmt: skip
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_AAC_FRAME = 1024
# What 1, 2, ... channels mean where nothing says so; more than these are averaged.
_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
# Front + centre + surround, each at most 1, cannot exceed 1 after it.
_DOWNMIX_GAIN = np.float32(1 / (1 + math.sqrt(2)))


def exact_fps(fps: float | Fraction) -> Fraction:
    """A frame rate as the fraction that is meant: 29.97 is 30000/1001, 23.98 is 24000/1001, 12.5 is 25/2.

    Raises:
        ArgumentError: not a number from 1 to 240.
    """
    low, high = _RATE_LIMITS
    if not isinstance(fps, (int, float, Fraction, np.integer, np.floating)) or not low <= fps <= high:
        raise ArgumentError(f"A frame rate is a number of frames a second from {low} to {high}, got {fps!r}.")
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
        if matrix == _UNSPECIFIED and not frame.format.is_rgb:
            # What players assume where the file does not say.
            matrix = _BT709 if frame.width >= 1280 or frame.height > 576 else _BT601
        try:
            # RGB has no matrix. Another than the source's is named because PyAV below 17 converts none between equals,
            # and then takes everything for BT.601.
            rgb = converter.reformat(
                frame,
                self._width,
                self._height,
                "rgb24",
                src_colorspace=matrix,
                dst_colorspace=_BT601 if matrix == _BT709 else _BT709,
                interpolation=_EXACT_SCALING,
                src_color_range=frame.color_range,
                dst_color_range=_FULL,
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


PartialNotice = Callable[[Path, int], None]
"""Called with the path of a partial file and the number of its frames."""


class VideoWriter:
    """Write frames to a video with sound, as they come, in constant memory.

    H.264 (yuv420p, BT.709, crf 18) and AAC at the sound's own rate, mono or stereo, in .mp4 or .mov (index in front, so
    that it plays while loading) or .mkv. The sound is written whole, whether or not there are frames for all of it.

    Use it as a context manager. The file gets its name when it is complete. Until then it is called
    `<name>.partial<suffix>`, in pieces that stay playable even if the process is killed; when the block ends with an
    exception (a cancel and Ctrl-C too), it stays under that name, its sound cut to the frames written, and
    `partial_path` says where.

    Args:
        path: ends in .mp4, .mov or .mkv; its folder exists; an older file of that name is replaced.
        fps: frames a second, 1 to 240; 29.97 and the like are taken as the fractions that are meant.
        size: (width, height) of the pictures, 16 to 8192; odd sides are extended by one repeated row or column.
        audio: the sound, or None.
        metadata: tags, such as title and comment; any key is kept.
        on_partial: called with the path of a partial file that is left, and the number of its frames.

    Raises:
        VideoError: another suffix, no such folder, or (on entering, writing or leaving) the file cannot be written.
        ArgumentError: a frame rate, size or tag out of range.
    """

    path: Path
    fps: Fraction
    size: tuple[int, int]
    frames_written: int
    partial_path: Path | None
    """Where the playable rest of a run that failed or was cancelled lies; None otherwise."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float | Fraction,
        size: tuple[int, int],
        audio: Audio | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        on_partial: PartialNotice | None = None,
    ) -> None:
        self.path = Path(path)
        self.fps = exact_fps(fps)
        self.size = size
        self.frames_written = 0
        self.partial_path = None
        self._audio = audio
        self._metadata = dict(metadata or {})
        self._on_partial = on_partial
        self._samples_written = 0
        self._container: av.container.OutputContainer | None = None
        self._working = self.path

        if self.path.suffix.lower() not in _CONTAINERS:
            raise VideoError(f"Videos are written as {', '.join(_CONTAINERS)}, not {self.path.name!r}. Choose one.")
        if not self.path.parent.is_dir():
            raise VideoError(f"Cannot write {self.path}: there is no folder {self.path.parent}. Create it first.")
        if self.path.is_dir():
            raise VideoError(f"Cannot write {self.path}: it is a folder. Give a file name.")
        if audio is not None and not isinstance(audio, Audio):
            raise ArgumentError(f"The sound of a video is an Audio (see read_audio), got {type(audio).__name__}.")
        low, high = _SIDE_LIMITS
        if (
            not isinstance(size, (tuple, list))
            or len(size) != 2
            or not all(isinstance(side, (int, np.integer)) and low <= side <= high for side in size)
        ):
            raise ArgumentError(f"The size of a video is (width, height), each from {low} to {high}; got {size}.")
        if wrong := [
            key for key, value in self._metadata.items() if not isinstance(key, str) or type(value) is not str
        ]:
            raise ArgumentError(f"Metadata are texts by name; {wrong[0]!r} is not. Turn it into a str (json.dumps).")

    def __enter__(self) -> VideoWriter:
        import av

        if "libx264" not in av.codecs_available:
            raise VideoError("This PyAV cannot encode H.264: it lacks libx264. Install it from PyPI: pip install av.")
        self.frames_written = self._samples_written = 0
        self.partial_path = None
        try:
            self._working = self._reserve()
            try:
                self._open()
            except BaseException:
                self._working.unlink(missing_ok=True)
                raise
        except (av.error.FFmpegError, OSError) as error:
            raise self._explained(error) from error
        return self

    def write(self, picture: np.ndarray) -> None:
        """Write the next frame, and the sound that goes with it.

        Args:
            picture: (H, W, 3) uint8 RGB of the writer's size.

        Raises:
            VideoError: not such a picture, not inside the `with` block, or the file cannot be written.
        """
        import av

        if self._container is None:
            raise VideoError(f"The writer of {self.path} is not open: write inside its `with` block.")
        width, height = self.size
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape != (height, width, 3):
            found = f"{getattr(picture, 'dtype', type(picture).__name__)} {getattr(picture, 'shape', '')}"
            raise VideoError(
                f"Frame {self.frames_written} of {self.path} is {found}; expected uint8 {(height, width, 3)}, RGB."
            )
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._converter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            interpolation=_EXACT_SCALING,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
        )
        frame.pts, frame.time_base = self.frames_written, 1 / self.fps
        try:
            self._container.mux(self._pictures.encode(frame))
            self.frames_written += 1
            self._write_sound(self._sound_so_far())
        except (av.error.FFmpegError, OSError) as error:
            raise self._explained(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import av

        if kind is not None:
            self._salvage()
            return
        try:
            if not self.frames_written:
                raise VideoError(f"No frame was written to {self.path}: a video needs at least one.")
            self._flush(self._audio.samples.shape[1] if self._audio else 0)
            self._publish(self.path)
        except BaseException as failure:
            self._salvage()
            if isinstance(failure, (av.error.FFmpegError, OSError)):
                raise self._explained(failure) from failure
            raise

    def _reserve(self) -> Path:
        """Make the working file, under a name of its own: an older partial file holds someone's work."""
        number = 1
        while True:
            suffix = f".partial{self.path.suffix}" if number == 1 else f".partial-{number}{self.path.suffix}"
            try:
                working = self.path.with_name(self.path.stem + suffix)
                working.open("xb").close()
                return working
            except FileExistsError:
                number += 1

    def _options(self, working: bool) -> dict[str, str]:
        """The muxer's options, for the working file or the finished one."""
        if self.path.suffix.lower() == ".mkv":
            return {"flush_packets": "1"} if working else {}
        # In pieces of two seconds, each complete in itself; finished, one piece with the index in front.
        flags = "frag_keyframe+delay_moov+default_base_moof" if working else "faststart"
        if self._metadata.keys() - _USUAL_TAGS:
            flags += "+use_metadata_tags"
        # The file's clocks: fine enough for the sound, and ones in which every frame begins at a whole tick.
        ticks = str(self.fps.numerator * -(-48_000 // self.fps.numerator))
        options = {"movflags": flags, "movie_timescale": ticks, "video_track_timescale": ticks}
        return options | ({"frag_duration": "2000000", "flush_packets": "1"} if working else {})

    def _create(self, path: Path, working: bool) -> av.container.OutputContainer:
        import av

        kind = _CONTAINERS[self.path.suffix.lower()]
        container = av.open(f"file:{path}", "w", format=kind, container_options=self._options(working))
        container.metadata.update(self._metadata)
        return container

    def _open(self) -> None:
        """Open the working file and set up both encoders."""
        import av
        from av.video.reformatter import VideoReformatter

        self._converter = VideoReformatter()
        self._container = self._create(self._working, working=True)
        width, height = self.size
        self._pictures = self._container.add_stream("libx264", rate=self.fps, options={"crf": "18"})
        self._pictures.width, self._pictures.height = width + width % 2, height + height % 2
        self._pictures.pix_fmt = "yuv420p"
        context = self._pictures.codec_context
        context.time_base = 1 / self.fps
        context.color_range, context.colorspace = _LIMITED, _BT709
        context.color_primaries = context.color_trc = _BT709
        if self._audio:
            channels, rate = len(self._audio.samples), self._audio.sample_rate
            rate = next((r for r in _AAC_RATES if r >= rate), _AAC_RATES[-1])
            layout = "stereo" if 2 <= channels <= 8 else "mono"
            self._sound = self._container.add_stream("aac", rate=rate)
            self._sound.codec_context.layout = layout
            # 96 kbit/s a channel, or what AAC can use at low rates.
            self._sound.codec_context.bit_rate = (2 if layout == "stereo" else 1) * min(96_000, 4 * rate)
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        self._container.start_encoding()

    def _sound_so_far(self) -> int:
        """Samples of the sound that belong to the frames written."""
        if self._audio is None:
            return 0
        return min(round(self.frames_written / self.fps * self._audio.sample_rate), self._audio.samples.shape[1])

    def _write_sound(self, end: int, rest: bool = False) -> None:
        """Encode the sound up to sample `end`, in whole AAC frames, or with the rest of it."""
        import av

        if self._audio is None or self._container is None:
            return
        channels, rate = len(self._audio.samples), self._audio.sample_rate
        while end - self._samples_written >= (1 if rest else _AAC_FRAME):
            start = self._samples_written
            block = self._audio.samples[:, start : min(start + _AAC_FRAME, end)]
            if channels > len(_LAYOUTS):
                block = block.mean(axis=0, keepdims=True)
            elif channels > 2:
                block = block * _DOWNMIX_GAIN
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", _LAYOUTS[len(block) - 1])
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for ready in self._resampler.resample(frame):
                self._container.mux(self._sound.encode(ready))
            self._samples_written += block.shape[1]

    def _flush(self, sound_end: int) -> None:
        """Write what the encoders still hold, and the sound up to a sample, and close the working file."""
        if self._container is None:
            return
        container = self._container
        try:
            container.mux(self._pictures.encode(None))
            if self._audio:
                self._write_sound(sound_end, rest=True)
                for ready in self._resampler.resample(None):
                    if ready is not None:
                        container.mux(self._sound.encode(ready))
                container.mux(self._sound.encode(None))
        finally:
            self._container = None
            container.close()

    def _publish(self, target: Path) -> None:
        """Put the pieces of the working file together and move the result to its name."""
        import av

        if self.path.suffix.lower() == ".mkv":  # whole as it is
            os.replace(self._working, target)
            return
        joined = self._working.with_name(self._working.name + ".tmp")
        frames = 0
        try:
            with av.open(f"file:{self._working}") as source, self._create(joined, working=False) as output:
                streams = {s.index: output.add_stream_from_template(s) for s in source.streams}
                for packet in source.demux():
                    if packet.dts is not None:  # not the empty one at the end
                        frames += packet.stream.type == "video"
                        packet.stream = streams[packet.stream.index]
                        output.mux(packet)
            if frames != self.frames_written:
                raise OSError(f"only {frames} of {counted(self.frames_written, 'frame')} arrived in the file")
            os.replace(joined, target)
            if target != self._working:
                self._working.unlink()
        finally:
            joined.unlink(missing_ok=True)

    def _salvage(self) -> None:
        """Leave what was rendered as a playable partial file, or nothing if there is nothing to play."""
        import av

        try:
            self._flush(self._sound_so_far())
        except (av.error.FFmpegError, OSError) as error:
            logger.warning("%s could not be closed properly: %s", self._working, error)
        # Where it fails, as without room for a second copy, the complete ones of the pieces play as they are.
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._publish(self._working)
        self.frames_written = 0
        with contextlib.suppress(av.error.FFmpegError, OSError), av.open(f"file:{self._working}") as kept:
            for packet in kept.demux(video=0):
                self.frames_written += packet.size > 0
        if self.frames_written:
            self.partial_path = self._working
            logger.warning("%s kept in %s", counted(self.frames_written, "frame"), self._working)
            if self._on_partial is not None:
                self._on_partial(self._working, self.frames_written)
        else:
            self._working.unlink(missing_ok=True)

    def _explained(self, error: Exception) -> VideoError:
        reason = getattr(error, "strerror", None) or error
        return VideoError(
            f"Cannot write {self.path}: {reason}. Check that its folder may be written to, the disk has room, and no "
            "other program holds the file."
        )


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
