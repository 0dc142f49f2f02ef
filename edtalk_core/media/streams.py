"""Opening a media file and decoding one of its streams: what `audio` and `video` share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MediaError

if TYPE_CHECKING:
    import av
    import av.container
    import av.stream

logger = logging.getLogger("edtalk")

# FFmpeg reads these too, but what they are is no sound or video: text drawn as a terminal, lists that point to other
# files or hosts. Still pictures come as "png_pipe", "jpeg_pipe" and so on.
_FOREIGN_FORMATS = {"tty", "hls", "concat", "dash", "image2", "lavfi"}


def existing_file(source: str | Path, error_type: type[MediaError], kind: str) -> Path:
    """The path as a Path, once it is sure to be a file with something in it.

    Args:
        source: the path a user gave.
        error_type: what to raise: AudioError, PictureError or VideoError.
        kind: what was expected, for the message: "sound", "picture", "video".

    Raises:
        MediaError: of the given type, when there is no such file, or it is a folder, unreadable or empty.
    """
    path = Path(source)
    try:
        if not path.exists():
            raise error_type(f"There is no file {path}. Check the path of the {kind}.")
        if not path.is_file():
            raise error_type(f"{path} is a folder, not a {kind}. Give the {kind} file itself.")
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
        MediaError: of the given type, when the file is not a sound or video that FFmpeg knows, or is damaged.
    """
    import av

    try:
        # "file:" keeps a colon or a per cent sign in the name from being read as a protocol or a pattern. Tags in an
        # old encoding are no reason to refuse a file.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise error_type(
            f"{path} is not a {kind} that can be read ({getattr(error, 'strerror', None) or error}). "
            f"It may be damaged, cut off or of another type; play it in a media player or copy it again."
        ) from error
    name = container.format.name
    if name in _FOREIGN_FORMATS or name.endswith("_pipe"):
        container.close()
        what = "still picture" if name.endswith("_pipe") else "text or list"
        raise error_type(f"{path} is not a {kind}: it is a {what} ({name}). Give a {kind} file.")
    return container


def contents(container: av.container.InputContainer) -> str:
    """What a file holds, for messages: "audio mp3, video h264"."""
    held = [f"{s.type} {s.codec_context.name if s.codec_context else 'of an unknown kind'}" for s in container.streams]
    return ", ".join(held) or "nothing"


def moving_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The video streams of a file, without cover art and thumbnails."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [s for s in container.streams.video if not s.disposition & still and s.codec_context is not None]


def decoded_frames(
    container: av.container.InputContainer, stream: av.AudioStream | av.VideoStream, path: Path
) -> Iterator:
    """Decode one stream, from the start to as far as the file can be read.

    Damaged packets are left out, and a file that breaks off ends early; both are logged once, as a warning.

    Yields:
        av.AudioFrame or av.VideoFrame, in order of presentation.
    """
    import av

    damaged, broken_off = 0, None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.error.FFmpegError, OSError) as error:
            broken_off = error
            break
        try:
            frames = packet.decode()
        except av.error.EOFError:
            continue
        except av.error.FFmpegError:
            damaged += 1
            continue
        yield from frames
    if broken_off is not None:  # the packet that empties the decoder never came
        try:
            yield from stream.codec_context.decode(None)
        except av.error.FFmpegError:
            damaged += 1
        logger.warning("%s breaks off before its end (%s): what could be read is used", path, broken_off)
    if damaged:
        logger.warning("%s: %d damaged packets of its %s were left out", path, damaged, stream.type)


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a media file shows moving pictures; a cover picture in a sound file is none.

    Raises MediaError when it is no sound or video at all.
    """
    kind = "sound or video"
    with open_media(existing_file(Path(path), MediaError, kind), MediaError, kind) as container:
        return bool(moving_streams(container))
