"""Open media files and decode their streams, for `audio` and `video`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MediaError
from ..paths import special_kind

if TYPE_CHECKING:
    import av
    import av.container
    import av.stream

logger = logging.getLogger("edtalk")

# FFmpeg opens these too, but they are not sound or video: text drawn as a terminal, lists that point to other files or
# hosts. Still pictures come as "png_pipe", "jpeg_pipe" and so on.
_REFUSED_FORMATS = {"tty", "hls", "concat", "dash", "image2", "lavfi"}


def existing_file(source: str | Path, error_type: type[MediaError], kind: str) -> Path:
    """Return `source` as a Path after checking that it is a readable file that is not empty.

    Args:
        source: path from the user.
        error_type: type of the error to raise: AudioError, PictureError or VideoError.
        kind: the expected kind of file, for the message: "sound", "picture", "video".

    Raises:
        MediaError: of type `error_type`, when there is no such file, or it is a folder, unreadable or empty.
    """
    path = Path(source)
    try:
        if not path.exists():
            raise error_type(f"There is no file {path}. Check the path of the {kind}.")
        if not path.is_file():
            raise error_type(
                f"{path} is {special_kind(path) or 'a folder'}, not a {kind}. Give the {kind} file itself."
            )
        if path.stat().st_size == 0:
            raise error_type(f"{path} is empty (0 bytes), not a {kind}. Copy or download it again.")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise error_type(f"Cannot open {path}: {getattr(error, 'strerror', None) or error}.") from error
    return path


def open_media(path: Path, error_type: type[MediaError], kind: str) -> av.container.InputContainer:
    """Open a media file with PyAV; close it after use (it is a context manager).

    Raises:
        MediaError: of type `error_type`, when the file is not a sound or video that FFmpeg can read, or is damaged.
    """
    import av

    try:
        # "file:" stops FFmpeg from reading a colon or a per cent sign in the name as a protocol or a pattern. Tags in
        # an old encoding are no reason to refuse a file.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise error_type(
            f"{path} is not a {kind} that can be read ({getattr(error, 'strerror', None) or error}). "
            f"It may be damaged, cut off or of another type; play it in a media player or copy it again."
        ) from error
    name = container.format.name
    if name in _REFUSED_FORMATS or name.endswith("_pipe"):
        container.close()
        description = "still picture" if name.endswith("_pipe") else "text or list"
        raise error_type(f"{path} is not a {kind}: it is a {description} ({name}). Give a {kind} file.")
    return container


def contents(container: av.container.InputContainer) -> str:
    """List the streams of a file for messages: "audio mp3, video h264"."""
    streams = [
        f"{s.type} {s.codec_context.name if s.codec_context else 'of an unknown kind'}" for s in container.streams
    ]
    return ", ".join(streams) or "nothing"


def moving_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """Return the video streams of a file, without cover art and thumbnails."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [s for s in container.streams.video if not s.disposition & still and s.codec_context is not None]


def decoded_frames(
    container: av.container.InputContainer,
    stream: av.AudioStream | av.VideoStream,
    path: Path,
    *,
    quiet: bool = False,
) -> Iterator:
    """Decode one stream, from the start as far as the file can be read.

    Damaged packets are skipped and a truncated file ends early; each is logged once, as a warning, unless `quiet`.

    Yields:
        av.AudioFrame or av.VideoFrame, in order of presentation.
    """
    import av

    damaged, read_error = 0, None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.error.FFmpegError, OSError) as error:
            read_error = error
            break
        try:
            frames = packet.decode()
        except av.error.EOFError:
            continue
        except av.error.FFmpegError:
            damaged += 1
            continue
        yield from frames
    if read_error is not None:  # the packet that empties the decoder never came
        try:
            yield from stream.codec_context.decode(None)
        except av.error.FFmpegError:
            damaged += 1
        if not quiet:
            logger.warning("%s breaks off before its end (%s): what could be read is used", path, read_error)
    if damaged and not quiet:
        logger.warning("%s: %d damaged packets of its %s were left out", path, damaged, stream.type)


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a media file has a video stream; cover art in a sound file does not count.

    Raises MediaError when it is neither sound nor video.
    """
    kind = "sound or video"
    with open_media(existing_file(Path(path), MediaError, kind), MediaError, kind) as container:
        return bool(moving_streams(container))
