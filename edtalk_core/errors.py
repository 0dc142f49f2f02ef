"""Every error this library raises on purpose. The message names the input, what was expected and what to do."""

from __future__ import annotations

from typing import Any

from .wording import cleaned


class EDTalkError(Exception):
    """Base of all errors a user can cause or fix; the command line prints them as one line."""

    def __str__(self) -> str:
        return cleaned(super().__str__())

    def __reduce__(self) -> str | tuple[Any, ...]:
        # Pickled by class name, since the end of this file changes `__module__`, which pickle would import.
        if globals().get(type(self).__name__) is type(self):
            return _rebuild, (type(self).__name__, self.args), self.__dict__
        return super().__reduce__()


class UnsupportedCheckpoint(EDTalkError):
    """A weight file that is damaged, incomplete, of an unknown format or not safe to read."""


class DownloadError(EDTalkError):
    """A published file could not be downloaded; names the file, the sources tried and the folder to put it in."""


class MediaError(EDTalkError):
    """A picture, sound or video that cannot be read or written."""


class PictureError(MediaError):
    """A picture that cannot be read or is unusable."""


class AudioError(MediaError):
    """A sound that cannot be read or is empty, not finite or absurd."""


class VideoError(MediaError):
    """A video that cannot be read or written."""


class FaceError(EDTalkError):
    """No face, several faces, or a face choice that does not exist. `boxes` lists the detected faces."""

    def __init__(self, message: str, boxes: tuple[tuple[float, float, float, float], ...] = ()) -> None:
        super().__init__(message)
        self.boxes = boxes


class MotionError(EDTalkError):
    """A motion, preset or timeline that is malformed or does not fit the model or motion it is used with."""


class ArgumentError(EDTalkError, ValueError):
    """An argument out of its range, or arguments that contradict each other."""


class Cancelled(EDTalkError):
    """The caller asked to stop. Raise it from a progress callback."""


class OutOfMemory(EDTalkError):
    """The device does not have enough memory, even for the smallest batch."""


class MissingRequirement(EDTalkError):
    """A required package is not installed; names it and the command that installs it."""


def _rebuild(name: str, args: tuple[Any, ...]) -> EDTalkError:
    error: EDTalkError = globals()[name](*args)
    return error


# ComfyUI shows users the module as well as the name of an error; without this, the module is the path of the pack.
for _error in [value for value in globals().values() if isinstance(value, type) and issubclass(value, EDTalkError)]:
    _error.__module__ = "edtalk"
