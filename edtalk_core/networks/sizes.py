"""Sizes of an EDTalk model, which are derived from the shapes of its tensors."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from ..motion.motion import EXPRESSION, LIP, POSE

PUBLISHED_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
"""Feature channels by height in pixels, for encoder and generator."""


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of one model.

    `resolution`: side of the square image in pixels, a power of two of at least 16. `style`: width of the latent.
    `lip`, `pose`, `expression`: number of bases; `expression` 0 is the lip+pose variant, which has no expression
    bank and no expression enhancement module (EEM). `channels`: feature channels by pixels, from 4 to `resolution`.
    `expression_hidden`: width of the layer inside EEM's AdaIN. `orthogonal`: whether the bases are orthonormalised, as
    in the published models; False: free directions, for ablations.
    """

    resolution: int = 256
    style: int = 512
    lip: int = LIP
    pose: int = POSE
    expression: int = EXPRESSION
    channels: dict[int, int] = field(default_factory=lambda: dict(PUBLISHED_CHANNELS))
    expression_hidden: int = 128
    orthogonal: bool = True

    def __post_init__(self) -> None:
        if self.resolution < 16 or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two of at least 16, not {self.resolution}")
        if set(self.channels) != set(self.levels) | {4}:
            raise ValueError(f"channels must be given for 4..{self.resolution} px, not for {sorted(self.channels)}")

    @property
    def levels(self) -> tuple[int, ...]:
        """Heights of the features passed from encoder to generator, coarse first: 8, 16, ..., resolution."""
        return tuple(2**i for i in range(3, int(math.log2(self.resolution)) + 1))

    @property
    def variant(self) -> str:
        """'edtalk' (lip, pose, expression) or 'lip_pose'."""
        return "edtalk" if self.expression else "lip_pose"

    def to_json(self) -> str:
        """One line of JSON, for the metadata of a bundle."""
        values = {**self.__dict__, "channels": {str(px): n for px, n in sorted(self.channels.items())}}
        if self.orthogonal:  # as in files from before there was a choice
            del values["orthogonal"]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> ModelSizes:
        """Inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        values["channels"] = {int(px): int(n) for px, n in values["channels"].items()}
        return cls(**values)
