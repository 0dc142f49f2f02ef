"""Where a track of an animation comes from, as a value: the portrait, a motion, a sound, a video, the flow, words.

What a user asks for becomes such a value once; from then on nobody tells sources apart by strings. Recordings last as
long as they do and are read first (`read_recordings`); what is composed is made to the length of the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ..media.audio import Audio
from ..model import EDTalk
from ..motion.length import Length
from ..motion.motion import Motion
from ..motion.operations import delay
from ..progress import StageProgress
from .audio import motion_from_audio
from .flow import motion_from_flow
from .text import motion_from_expression
from .video import motion_from_video


@dataclass(frozen=True)
class Own:
    """What the portrait does in its picture, held."""

    name: str = "own"
    """What the source is called in tags, motion files and reports."""


@dataclass(frozen=True)
class FromMotion:
    """A motion as it is."""

    motion: Motion
    wait: float = 0.0
    """Seconds for which its first frame is held before it starts: as long as the silence before a sound."""
    name: str = "motion"

    def read(self, model: EDTalk, progress: StageProgress) -> tuple[Motion, str | None]:
        """The motion after its wait, and no warning."""
        return delay(self.motion, self.wait), None


@dataclass(frozen=True)
class FromSound:
    """Lips that say a sound."""

    sound: Audio
    name: str = "audio"

    def read(self, model: EDTalk, progress: StageProgress) -> tuple[Motion, str | None]:
        """The lips, and no warning. Raises as `motion_from_audio`."""
        return motion_from_audio(model, self.sound, progress=partial(progress, "lips")), None


@dataclass(frozen=True)
class FromVideo:
    """The face in a video."""

    path: Path
    wait: float = 0.0
    """As in `FromMotion`."""
    name: str = "video"

    def read(self, model: EDTalk, progress: StageProgress) -> tuple[Motion, str | None]:
        """All tracks that the model reads, and a warning of what may spoil them, or None.

        Raises as `motion_from_video`.
        """
        motion, crop = motion_from_video(model, self.path, progress=partial(progress, self.name))
        return delay(motion, self.wait), f"{self.path}: {crop.warning}" if crop.warning else None


@dataclass(frozen=True)
class FromFlow:
    """A head that moves as heads do while a sound is heard, or in silence: a draw from the pose flow."""

    sound: Audio | None = None
    seed: int = 0
    temperature: float = 1.0
    name: str = "flow"

    def compose(self, model: EDTalk, own: Motion, length: Length, progress: StageProgress) -> Motion:
        """The pose, from the portrait's own. Raises as `motion_from_flow`."""
        return motion_from_flow(
            model,
            self.sound,
            own,
            duration=length.seconds,
            seed=self.seed,
            temperature=self.temperature,
            progress=partial(progress, "head"),
        )


@dataclass(frozen=True)
class Written:
    """An expression in words: an emotion, the file of a preset, a timeline, or the file of one."""

    text: str

    @property
    def name(self) -> str:
        """The words as they were written."""
        return self.text

    def compose(self, model: EDTalk, own: Motion, length: Length, progress: StageProgress) -> Motion:
        """The expression, from the portrait's own. Raises as `motion_from_expression`."""
        rate = length.rate
        return motion_from_expression(model, self.text, own, float(length.frames / rate), float(rate))


Recording: TypeAlias = FromMotion | FromSound | FromVideo
Composition: TypeAlias = FromFlow | Written
Source: TypeAlias = Own | Recording | Composition


def read_recordings(
    model: EDTalk, sources: Iterable[Source], progress: StageProgress
) -> tuple[dict[Source, Motion], list[str]]:
    """Read the motion of each recording, once if several tracks come from it; and warnings of what may spoil them."""
    motions: dict[Source, Motion] = {}
    warnings = []
    for source in sources:
        if isinstance(source, Recording) and source not in motions:
            motions[source], warning = source.read(model, progress)
            warnings += [warning] if warning else []
    return motions, warnings


def compose(
    model: EDTalk, sources: Iterable[Source], own: Motion, length: Length, progress: StageProgress
) -> dict[Source, Motion]:
    """Make the motion of each source that is no recording to a length; `own` is the portrait's (`Portrait.own`)."""
    return {
        source: source.compose(model, own, length, progress) for source in sources if isinstance(source, Composition)
    }
