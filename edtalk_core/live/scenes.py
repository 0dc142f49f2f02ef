"""What the last run of a node left, of which frames are rendered on request: an edited face, or a performance."""

from __future__ import annotations

import io
import wave
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..media.audio import Sound
from ..media.transcript import Cue
from ..model import EDTalk, Portrait
from ..motion.edits import apply_edit, parse_edit
from ..motion.motion import Motion
from ..motion.performances import parse_performance
from ..motion.presets import Preset
from ..sources.performance import Performer
from .controls import Controls, change_of

SOUND_RATE = 22_050
LONGEST_SOUND = 20 * 60
"""Seconds of sound that are kept to be played: 50 MB."""


class Scene(ABC):
    """A portrait and its model, and what text turns into its motion. Not changed once it is made."""

    kind: str
    """The kind of text: "edit" or "performance"."""

    def __init__(self, model: EDTalk, portrait: Portrait, precision: str, controls: Controls) -> None:
        self.model = model
        self.portrait = portrait
        self.precision = precision
        """Of its frames, as in `Renderer`."""
        self.controls = controls

    @abstractmethod
    def motion(self, text: str, seconds: float) -> Motion:
        """Return the motion of a text at a time in seconds: one frame with every track of the model.

        Raises EDTalkError with the reason where the text is wrong.
        """

    def description(self) -> dict[str, Any]:
        """What an editor needs to know, ready for JSON."""
        own = self.portrait.own
        return {
            "kind": self.kind,
            "size": self.model.sizes.resolution,
            "named": bool(self.model.bases.names("expression")),
            "controls": [
                {"track": control.track, "name": control.name, "reach": control.reach, "strength": control.strength}
                for control in self.controls.controls
            ],
            "handles": [
                {
                    "name": handle.name,
                    "x": float(handle.position[0]),
                    "y": float(handle.position[1]),
                    "drags": list(handle.drags),
                    "effects": handle.effects.round(6).tolist(),
                }
                for handle in self.controls.handles
            ],
            "presets": list(self.model.presets) if "expression" in own.tracks else [],
        }

    def positions(self, motion: Motion) -> np.ndarray:
        """Where the handles are (handles,2) in the frame of a motion."""
        return self.controls.positions(change_of(motion, self.portrait.own))

    def tensors(self) -> Iterable[torch.Tensor]:
        """Tensors that it keeps in memory, those of the model too."""
        yield from self.model.parameters()
        yield from self.model.buffers()
        yield self.portrait.latent
        yield from self.portrait.features

    @property
    def extra_bytes(self) -> int:
        """Bytes that it keeps in memory beyond its tensors."""
        return 0 if self.portrait.picture is None else self.portrait.picture.nbytes


class EditScene(Scene):
    """A face that is edited: `motion.edits` is added to one frame."""

    kind = "edit"

    def __init__(
        self,
        model: EDTalk,
        portrait: Portrait,
        precision: str,
        controls: Controls,
        motion: Motion | None = None,
        model_name: str = "",
    ) -> None:
        """Prepare what edits are added to: the first frame of `motion`, by default the portrait's own.

        `model_name` is noted in presets. Raises MotionError for a motion of another model.
        """
        super().__init__(model, portrait, precision, controls)
        self._model_name = model_name
        self._start = model.complete(motion.frame(0) if motion is not None else None, portrait)

    def motion(self, text: str, seconds: float = 0.0) -> Motion:
        """Return the edited frame; time does not matter."""
        return apply_edit(parse_edit(text), self._start, self.portrait.own, self.model.presets, self.model.bases)

    def preset(self, text: str, name: str) -> Preset:
        """Return the expression of an edit as a preset. Raises MotionError for a bad name or edit."""
        expression = self.motion(text).track("expression")[0]
        return Preset(name, tuple(expression.tolist()), "", self._model_name)


class PerformanceScene(Scene):
    """A face that performs along with a sound."""

    kind = "performance"

    def __init__(
        self,
        performer: Performer,
        precision: str,
        controls: Controls,
        sound: Sound | None = None,
        words: tuple[Cue, ...] = (),
    ) -> None:
        super().__init__(performer.model, performer.portrait, precision, controls)
        self._performer = performer
        self._performed: tuple[str, Motion] | None = None
        """The last text and its motion: while it plays, the text stays."""
        self.sound = _wav(sound) if sound is not None and sound.duration <= LONGEST_SOUND else None
        """The sound as a WAV file of 16 bits, to be played."""
        self._words = words

    def motion(self, text: str, seconds: float) -> Motion:
        """Return the frame that is shown at this time: the one that a rendering shows."""
        if self._performed is None or self._performed[0] != text:
            self._performed = text, self._performer.perform(parse_performance(text))
        motion = self._performed[1]
        return motion.frame(min(max(0, int(seconds * motion.fps + 1e-6)), motion.frames - 1))

    def description(self) -> dict[str, Any]:
        """What the timeline needs to know."""
        base = self._performer.base
        return super().description() | {
            "duration": base.duration,
            "fps": base.fps,
            "sound": self.sound is not None,
            "words": [[cue.start, cue.end, cue.text] for cue in self._words],
        }

    def tensors(self) -> Iterable[torch.Tensor]:
        """Tensors that it keeps in memory."""
        yield from super().tensors()
        for motion in (self._performer.base, *(() if self._performed is None else (self._performed[1],))):
            yield from motion.tracks.values()

    @property
    def extra_bytes(self) -> int:
        """Bytes that it keeps in memory beyond its tensors."""
        return super().extra_bytes + len(self.sound or b"")


def _wav(sound: Sound) -> bytes:
    """A sound as a WAV file: mono, 16 bits, SOUND_RATE."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        for block in sound.mono_blocks(SOUND_RATE):
            writer.writeframes((np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()
