"""Motion from a performance: emotions, head, blinks and the mouth's gain over time, added to other motion."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import torch

from ..errors import EDTalkError, MotionError
from ..face.crop import Crop
from ..model import EDTalk, Portrait
from ..motion.blinks import Blink, add_blinks
from ..motion.keys import interpolate_keys
from ..motion.length import Length, length_of_duration, result_length
from ..motion.motion import Motion
from ..motion.operations import scale_about
from ..motion.performances import Performance
from .assembly import assemble
from .blink import closing_change
from .text import motion_from_timeline

BLINK_SHAPE = (0.07, 0.03, 0.12)
"""Seconds in which the lids of a blink close, stay closed and open: the medians of those that are drawn at random."""


def performance_length(
    performance: Performance, seconds: Mapping[str, float], fps: float | Fraction, duration: float | None = None
) -> Length:
    """Return the length of a performance.

    `seconds` are durations of the sound ("audio") and of tracks, by the rule of `motion.length`; without any, it lasts
    until its last key. `duration` in seconds overrides them.
    """
    if duration is not None:
        return length_of_duration(duration, fps)
    if seconds:
        return result_length(seconds, fps)
    return length_of_duration(performance.end + 1 / float(fps), fps)


class Performer:
    """A portrait that performs, any number of times, along with the same motion.

    Emotions and head are added to the motion: they are changes from the portrait's own.
    """

    def __init__(
        self,
        model: EDTalk,
        portrait: Portrait,
        crop: Crop | None,
        sources: Mapping[str, Motion],
        length: Length,
    ) -> None:
        """Prepare the motion that a performance is added to; `sources` and `length` as in `assemble`, which raises."""
        self.model = model
        self.portrait = portrait
        self.crop = crop
        self.base = assemble(model, portrait, sources, length)
        self._closing: torch.Tensor | None = None

    def perform(self, performance: Performance) -> Motion:
        """Return the motion of a performance, with every track of the model.

        Raises MotionError for an emotion or a base that the model does not have, FaceError where it blinks and nobody
        can tell how the eyes close (see `read_closed_eyes`).
        """
        motion, own = self.base, self.portrait.own
        seconds = torch.arange(motion.frames, dtype=torch.float64) / motion.fps
        if performance.mouth:
            gains = torch.tensor([[key.value] for key in performance.mouth])
            gain = interpolate_keys(performance.mouth, gains, seconds)[:, 0].numpy()
            motion = scale_about(motion, {"lip": gain}, own)
        if performance.head:
            motion = motion.with_tracks(pose=motion.track("pose") + self._head(performance, seconds))
        if performance.emotions.strip():
            emotions = motion_from_timeline(
                self.model, performance.emotions, own, duration=motion.duration, fps=motion.fps
            ).track("expression")
            change = emotions[: motion.frames] - own.track("expression")
            motion = motion.with_tracks(expression=motion.track("expression") + change)
        if performance.blinks:
            motion = add_blinks(motion, map(_blink, performance.blinks), self._closed(motion))
        return motion

    def _head(self, performance: Performance, seconds: torch.Tensor) -> torch.Tensor:
        """Change of the pose (T,pose) by the keys of the head."""
        width = self.model.sizes.pose
        changes = torch.zeros(len(performance.head), width)
        for row, key in zip(changes, performance.head, strict=True):
            try:
                indices = [self.model.bases.index("pose", base, width) for base in key.value]
            except EDTalkError as error:
                raise MotionError(f"The head at {key.time:g} s: {error}") from error
            for index, amount in zip(indices, key.value.values(), strict=True):
                row[index] += amount
        return interpolate_keys(performance.head, changes, seconds)

    def _closed(self, motion: Motion) -> torch.Tensor:
        """Change of the expression that closes the eyes, read once where no base is named for it."""
        if self.model.bases.lids is not None:
            return closing_change(self.model, self.portrait, self.crop, motion.track("expression"))
        if self._closing is None:
            self._closing = closing_change(self.model, self.portrait, self.crop, motion.track("expression"))
        return self._closing


def _blink(time: float) -> Blink:
    closing, closed, opening = BLINK_SHAPE
    return Blink(time - closing - closed / 2, closing, closed, opening)
