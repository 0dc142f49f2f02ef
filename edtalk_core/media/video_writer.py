"""Streaming video writer: H.264 with sound, frame by frame."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ..atomic import atomic_write, shortened
from ..errors import ArgumentError, VideoError
from ..wording import counted
from .audio import Sound
from .video import BT709, EXACT_SCALING, FULL, LIMITED, exact_fps

if TYPE_CHECKING:
    import av
    import av.container

logger = logging.getLogger("edtalk")

_SIDE_LIMITS = (16, 8192)

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Tags that MP4 and MOV have atoms for; any other key needs FFmpeg's `use_metadata_tags`.
_STANDARD_TAGS = {
    "title", "artist", "album", "album_artist", "composer", "comment", "copyright", "date", "description", "genre",
    "synopsis",
}  # fmt: skip
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_AAC_FRAME = 1024
# Default layouts of 1, 2, ... channels; with more channels, their mean is written.
_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
# Front + centre + surround, each at most 1, cannot exceed 1 after it.
_DOWNMIX_GAIN = np.float32(1 / (1 + math.sqrt(2)))


PartialNotice = Callable[[Path, int], None]
"""Called with the path of a partial file and the number of its frames."""


class VideoWriter:
    """Write frames and sound to a video as they arrive, in constant memory.

    H.264 (yuv420p, BT.709, crf 18) and AAC at the sound's own rate, mono or stereo, in .mp4 or .mov (index in front, so
    that it plays while loading) or .mkv. All of the sound is written, even if it is longer than the frames.

    Use it as a context manager. The file gets its name when it is complete. Until then it is called
    `<name>.partial<suffix>`, written in fragments that stay playable even if the process is killed; when the block ends
    with an exception (cancellation and Ctrl-C too), it stays under that name, its sound trimmed to the frames written,
    and `partial_path` is its path.

    Args:
        path: ends in .mp4, .mov or .mkv; its folder exists; an existing file of that name is replaced.
        fps: frames a second, 1 to 240; 29.97 and the like are read as exact fractions (`exact_fps`).
        size: (width, height) of the pictures, 16 to 8192; odd sides are extended by one repeated row or column.
        audio: the sound, or None.
        metadata: tags, such as title and comment; any key is stored.
        on_partial: called with the path of a partial file and the number of its frames when one is left behind.

    Raises:
        VideoError: another suffix, no such folder, or (on entering, writing or leaving) the file cannot be written.
        ArgumentError: a frame rate, size or tag out of range.
    """

    path: Path
    fps: Fraction
    size: tuple[int, int]
    frames_written: int
    partial_path: Path | None
    """Path of the playable partial file of a run that failed or was cancelled; None otherwise."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float | Fraction,
        size: tuple[int, int],
        audio: Sound | None = None,
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
        if audio is not None and not isinstance(audio, Sound):
            raise ArgumentError(f"The sound of a video is an Audio (see read_audio), got {type(audio).__name__}.")
        low, high = _SIDE_LIMITS
        if (
            not isinstance(size, (tuple, list))
            or len(size) != 2
            or not all(isinstance(side, (int, np.integer)) and low <= side <= high for side in size)
        ):
            raise ArgumentError(f"The size of a video is (width, height), each from {low} to {high}; got {size}.")
        if invalid_keys := [
            key for key, value in self._metadata.items() if not isinstance(key, str) or type(value) is not str
        ]:
            raise ArgumentError(
                f"Metadata are texts by name; {invalid_keys[0]!r} is not. Turn it into a str (json.dumps)."
            )

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
            raise self._write_error(error) from error
        return self

    def write(self, picture: np.ndarray) -> None:
        """Write the next frame, and the sound that goes with it.

        Args:
            picture: (H, W, 3) uint8 RGB of the writer's size.

        Raises:
            VideoError: a picture of another shape or type, not inside the `with` block, or the file cannot be written.
        """
        import av

        if self._container is None:
            raise VideoError(f"The writer of {self.path} is not open: write inside its `with` block.")
        width, height = self.size
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape != (height, width, 3):
            actual = f"{getattr(picture, 'dtype', type(picture).__name__)} {getattr(picture, 'shape', '')}"
            raise VideoError(
                f"Frame {self.frames_written} of {self.path} is {actual}; expected uint8 {(height, width, 3)}, RGB."
            )
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._converter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24"),
            format="yuv420p",
            dst_colorspace=BT709,
            interpolation=EXACT_SCALING,
            src_color_range=FULL,
            dst_color_range=LIMITED,
        )
        frame.pts, frame.time_base = self.frames_written, 1 / self.fps
        try:
            self._container.mux(self._pictures.encode(frame))
            self.frames_written += 1
            self._write_sound(self._sound_so_far())
        except (av.error.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

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
            self._flush(self._audio.length if self._audio else 0)
            self._publish(self.path)
        except BaseException as failure:
            self._salvage()
            if isinstance(failure, (av.error.FFmpegError, OSError)):
                raise self._write_error(failure) from failure
            raise

    def _reserve(self) -> Path:
        """Create the working file under a new name: an older partial file may still be needed."""
        number = 1
        while True:
            suffix = f".partial{self.path.suffix}" if number == 1 else f".partial-{number}{self.path.suffix}"
            try:
                working = self.path.with_name(shortened(self.path.stem, suffix))
                working.open("xb").close()
                return working
            except FileExistsError:
                number += 1

    def _options(self, working: bool) -> dict[str, str]:
        """Return the muxer options of the working file or the finished one."""
        if self.path.suffix.lower() == ".mkv":
            return {"flush_packets": "1"} if working else {}
        # The working file has self-contained fragments of two seconds; the finished one has its index in front.
        flags = "frag_keyframe+delay_moov+default_base_moof" if working else "faststart"
        if self._metadata.keys() - _STANDARD_TAGS:
            flags += "+use_metadata_tags"
        # The file's time scale: fine enough for the sound, and every frame begins at a whole tick.
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
        context.color_range, context.colorspace = LIMITED, BT709
        context.color_primaries = context.color_trc = BT709
        if self._audio:
            channels, rate = self._audio.channels, self._audio.sample_rate
            self._samples, self._sound_ahead = self._audio.blocks(), np.zeros((channels, 0), np.float32)
            rate = next((r for r in _AAC_RATES if r >= rate), _AAC_RATES[-1])
            layout = "stereo" if 2 <= channels <= 8 else "mono"
            self._sound = self._container.add_stream("aac", rate=rate)
            self._sound.codec_context.layout = layout
            # 96 kbit/s a channel, or what AAC can use at low rates.
            self._sound.codec_context.bit_rate = (2 if layout == "stereo" else 1) * min(96_000, 4 * rate)
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        self._container.start_encoding()

    def _sound_so_far(self) -> int:
        """Return the number of samples of the sound that belong to the frames written."""
        if self._audio is None:
            return 0
        return min(round(self.frames_written / self.fps * self._audio.sample_rate), self._audio.length)

    def _write_sound(self, end: int, rest: bool = False) -> None:
        """Encode the sound up to sample `end`, in full AAC frames; `rest` includes the incomplete last one."""
        import av

        if self._audio is None or self._container is None:
            return
        channels, rate = self._audio.channels, self._audio.sample_rate
        while end - self._samples_written >= (1 if rest else _AAC_FRAME):
            start = self._samples_written
            block = self._next_sound(min(_AAC_FRAME, end - start))
            if channels > len(_LAYOUTS):
                block = block.mean(axis=0, keepdims=True)
            elif channels > 2:
                block = block * _DOWNMIX_GAIN
            layout = _LAYOUTS[len(block) - 1]
            if channels > 2:  # interleaved: PyAV counts one plane too many for eight channels
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T).reshape(1, -1), "flt", layout)
            else:
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for ready in self._resampler.resample(frame):
                self._container.mux(self._sound.encode(ready))
            self._samples_written += block.shape[1]

    def _next_sound(self, samples: int) -> np.ndarray:
        """Return the next samples (C,n) of the sound."""
        parts = [self._sound_ahead]
        ahead = self._sound_ahead.shape[1]
        while ahead < samples and (block := next(self._samples, None)) is not None:
            parts.append(block)
            ahead += block.shape[1]
        if ahead < samples:
            raise VideoError(f"The sound of {self.path} ends early: its file changed while it was read. Start again.")
        self._sound_ahead = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        block, self._sound_ahead = self._sound_ahead[:, :samples], self._sound_ahead[:, samples:]
        return block

    def _flush(self, sound_end: int) -> None:
        """Flush both encoders, write the sound up to sample `sound_end`, and close the working file."""
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
        """Remux the fragments of the working file into one and move the result to `target`."""
        import av

        if self.path.suffix.lower() == ".mkv":  # complete without remuxing
            os.replace(self._working, target)
            return
        frames = 0
        with atomic_write(target) as joined:
            with av.open(f"file:{self._working}") as source, self._create(joined, working=False) as output:
                streams = {s.index: output.add_stream_from_template(s) for s in source.streams}
                for packet in source.demux():
                    if packet.dts is not None:  # the last packet is empty
                        frames += packet.stream.type == "video"
                        packet.stream = streams[packet.stream.index]
                        output.mux(packet)
            if frames != self.frames_written:
                raise OSError(f"only {frames} of {counted(self.frames_written, 'frame')} arrived in the file")
        if target != self._working:
            self._working.unlink()

    def _salvage(self) -> None:
        """Keep the written frames as a playable partial file; remove the file if there are none."""
        import av

        try:
            self._flush(self._sound_so_far())
        except (av.error.FFmpegError, OSError) as error:
            logger.warning("%s could not be closed properly: %s", self._working, error)
        # Where this fails, as without room for a second copy, the complete fragments play as they are.
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._publish(self._working)
        self.frames_written = 0
        with contextlib.suppress(av.error.FFmpegError, OSError), av.open(f"file:{self._working}") as partial:
            for packet in partial.demux(video=0):
                self.frames_written += packet.size > 0
        if self.frames_written:
            self.partial_path = self._working
            logger.warning("%s kept in %s", counted(self.frames_written, "frame"), self._working)
            if self._on_partial is not None:
                self._on_partial(self._working, self.frames_written)
        else:
            self._working.unlink(missing_ok=True)

    def _write_error(self, error: Exception) -> VideoError:
        """Return an error of FFmpeg or the system as a VideoError that says what to check."""
        reason = getattr(error, "strerror", None) or error
        return VideoError(
            f"Cannot write {self.path}: {reason}. Check that its folder may be written to, the disk has room, and no "
            "other program holds the file."
        )
