"""Every error this library raises on purpose. The message names the input, what was expected and what to do."""

from __future__ import annotations


class EDTalkError(Exception):
    """Base of all errors a user can cause or mend; the command line prints them as one line."""


class UnsupportedCheckpoint(EDTalkError):
    """A weight file that is damaged, foreign, incomplete or not safe to read."""


class DownloadError(EDTalkError):
    """A published file could not be fetched; says the file, the sources tried and the folder to put it in."""


class MediaError(EDTalkError):
    """A picture, sound or video that cannot be read or written."""


class PictureError(MediaError):
    """A picture that cannot be read or is unusable."""


class AudioError(MediaError):
    """A sound that cannot be read or is empty, not finite or absurd."""


class VideoError(MediaError):
    """A video that cannot be read or written."""


class FaceError(EDTalkError):
    """No face, several faces, or a face choice that does not exist. `boxes` lists what was found."""

    def __init__(self, message: str, boxes: tuple[tuple[float, float, float, float], ...] = ()) -> None:
        super().__init__(message)
        self.boxes = boxes


class MotionError(EDTalkError):
    """A motion, preset or timeline that is malformed or does not fit what it is used with."""


class ArgumentError(EDTalkError, ValueError):
    """An argument out of its range, or arguments that contradict each other."""


class Cancelled(EDTalkError):
    """The caller asked to stop. Raise it from a progress callback."""


class OutOfMemory(EDTalkError):
    """The device has not enough memory for what is asked, even in the smallest portion."""
