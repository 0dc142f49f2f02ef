"""Sources of a track as values: the portrait, a motion, a sound, a video, the pose flow, text, speech.

The user's input is converted to such a value once; after that, no code compares strings. Recordings have a length of
their own and are read first (`read_recordings`); compositions are made to the length of the result (`compose`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ..media.audio import Sound
from ..media.transcript import Transcript
from ..model import EDTalk
from ..motion.length import Length
from ..motion.motion import Motion
from ..motion.operations import delay
from ..progress import StageProgress
from .audio import motion_from_audio
from .flow import motion_from_flow
from .speech import SPEECH, SpeechExpression, SpeechSettings, expression_from_speech
from .text import motion_from_expression
from .video import motion_from_video


@dataclass(frozen=True)
class Own:
    """The portrait's own lips, pose or expression, held."""

    name: str = "own"
    """Name of the source in tags, motion files and reports."""


@dataclass(frozen=True)
class FromMotion:
    """An existing motion."""

    motion: Motion
    wait: float = 0.0
    """Seconds for which its first frame is held before it starts: as long as the silence before a sound."""
    name: str = "motion"

    def read(self, model: EDTalk, progress: StageProgress) -> tuple[Motion, str | None]:
        """Return the motion after its wait, and no warning."""
        return delay(self.motion, self.wait), None


@dataclass(frozen=True)
class FromSound:
    """Lip motion from a sound."""

    sound: Sound
    name: str = "audio"

    def read(self, model: EDTalk, progress: StageProgress) -> tuple[Motion, str | None]:
        """Return the lip motion, and no warning. Raises as `motion_from_audio`."""
        return motion_from_audio(model, self.sound, progress=partial(progress, "lips")), None


@dataclass(frozen=True)
class FromVideo:
    """The motion of the face in a video."""

    path: Path
    wait: float = 0.0
    """As in `FromMotion`."""
    name: str = "video"

    def read(self, model: EDTalk, progress: StageProgress) -> tuple[Motion, str | None]:
        """Return all tracks that the model reads, and a warning on their quality, or None.

        Raises as `motion_from_video`.
        """
        motion, crop = motion_from_video(model, self.path, progress=partial(progress, self.name))
        return delay(motion, self.wait), f"{self.path}: {crop.warning}" if crop.warning else None


@dataclass(frozen=True)
class FromFlow:
    """Head motion sampled from the pose flow, along with a sound or in silence."""

    sound: Sound | None = None
    seed: int = 0
    temperature: float = 1.0
    emotion: str = ""
    """As in `motion_from_flow`."""
    nods: float = 0.0
    """As in `motion_from_flow`."""
    name: str = "flow"

    def compose(self, model: EDTalk, own: Motion, length: Length, progress: StageProgress) -> Motion:
        """Sample the pose, starting at the portrait's own. Raises as `motion_from_flow`."""
        return motion_from_flow(
            model,
            self.sound,
            own,
            duration=length.seconds,
            seed=self.seed,
            temperature=self.temperature,
            emotion=self.emotion,
            nods=self.nods,
            progress=partial(progress, "head"),
        )


@dataclass(frozen=True)
class Written:
    """An expression in text: an emotion, the path of a preset, a timeline, or the path of a timeline."""

    text: str

    @property
    def name(self) -> str:
        """The text as written."""
        return self.text

    def compose(self, model: EDTalk, own: Motion, length: Length, progress: StageProgress) -> Motion:
        """Return the expression, with the portrait's own as anchor. Raises as `motion_from_expression`."""
        rate = length.rate
        return motion_from_expression(model, self.text, own, float(length.frames / rate), float(rate))


@dataclass(frozen=True)
class FromSpeech:
    """The expression that a sound and its words ask for."""

    sound: Sound
    transcript: Transcript | None = None
    settings: SpeechSettings = field(default_factory=SpeechSettings)
    name: str = SPEECH

    def express(self, model: EDTalk, own: Motion) -> SpeechExpression:
        """Return the expression, with the portrait's own as anchor. Raises as `expression_from_speech`."""
        return expression_from_speech(model, self.sound, own, transcript=self.transcript, settings=self.settings)


Recording: TypeAlias = FromMotion | FromSound | FromVideo
Composition: TypeAlias = FromFlow | Written
Source: TypeAlias = Own | Recording | Composition | FromSpeech


def read_recordings(
    model: EDTalk, sources: Iterable[Source], progress: StageProgress
) -> tuple[dict[Source, Motion], list[str]]:
    """Read the motion of each recording, once even if several tracks come from it; return them and the warnings."""
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
    """Compose the motion of each composition to a length; `own` is the portrait's (`Portrait.own`)."""
    return {
        source: source.compose(model, own, length, progress) for source in sources if isinstance(source, Composition)
    }
