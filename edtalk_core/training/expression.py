"""Stage 3: the expression space learns what mouth and pose leave unsaid (self-reconstruction complementary learning).

Everything before is frozen. Mouth and pose come from the driver frame itself, so that all that is left to reconstruct
is the expression.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..data.clips import Clip, ClipStore
from ..errors import ArgumentError
from ..model import EDTalk
from .autoencoder import Autoencoder
from .config import TrainingConfig


class Expression(Autoencoder):
    """Self-reconstruction with all three banks; expression head, expression bank and EEM learn.

    `options.emotional`: share of the samples that come from clips with a labelled emotion (default 0.5; the rest from
    all clips). `options.across`: share of those whose two frames come from different clips of the person (0): what is
    between them is the emotion. For clips that were recorded alike, as MEAD's.
    """

    NAME = "expression"
    EXPRESSES = True
    TRAINED: ClassVar[tuple[str, ...]] = ("exp_fc.", "direction_exp.", "dec.fineadainresblock.")
    DEFAULTS: ClassVar = {
        "losses": {
            "l1": 1.0,
            "perceptual": 1.0,
            "flow": 0.0,
            "outside": 0.0,
            "still": 0.0,
            "reading": 0.0,
            "landmarks": 0.0,
            "adversarial": 0.0,
        },
        "batch": 10,
        "learning_rate": 2e-3,
    }

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        if not model.sizes.expression:
            raise ArgumentError("The lip+pose variant has no expression to train; start from a model with one.")
        share = float(config.options.get("emotional", 0.5))
        self._emotional_share = share
        self._emotional: ClipStore | None = None
        if share > 0:
            self._emotional = ClipStore(config.data, emotion=True)
        super().__init__(model, config)

    def draw(self, rng: np.random.Generator, samples: int) -> dict[str, Tensor]:
        """As the base class; emotional clips are drawn with their own share."""
        general = self.store
        emotional = int(rng.binomial(samples, self._emotional_share)) if self._emotional is not None else 0
        parts = []
        for store, number in ((self._emotional, emotional), (general, samples - emotional)):
            if number and store is not None:
                self.store = store
                parts.append(super().draw(rng, number))
        self.store = general
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def choose_clips(self, rng: np.random.Generator) -> list[Clip]:
        """As the base class, or two clips of one person in two moods."""
        clips = super().choose_clips(rng)
        if self.store is self._emotional and rng.random() < float(self.config.options.get("across", 0.0)):
            others = [clip for clip in self.store.clips if clip.info.person == clips[0].info.person]
            clips[1] = others[int(rng.integers(len(others)))]
        return clips


class Finetune(Expression):
    """One person: the generator learns how this face looks when it moves; the motion space stays everyone's.

    Because encoder, heads and banks keep still, presets, audio and saved motions go on working.
    """

    NAME = "finetune"
    TRAINED = ("dec.",)
    DEFAULTS: ClassVar = {
        "losses": {
            "l1": 1.0,
            "perceptual": 1.0,
            "flow": 0.0,
            "outside": 0.0,
            "still": 0.0,
            "reading": 0.0,
            "landmarks": 0.0,
            "adversarial": 0.0,
        },
        "options": {"emotional": 0.0},
        "batch": 4,
        "learning_rate": 2e-4,
        "steps": 500,
    }
