"""Tracks from different sources become the motion of a portrait."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import EDTalk, Portrait
from ..motion.length import Length
from ..motion.motion import Motion
from ..motion.operations import combine


def assemble(model: EDTalk, portrait: Portrait, sources: Mapping[str, Motion], length: Length) -> Motion:
    """One motion of the given length with every track that the model has, to be rendered as it is.

    `sources` are motions by the track that is taken of each ("lip", "pose", "expression"); a track without one is the
    portrait's own, held, and one that the model does not have is left out. Tracks of other lengths go by the rule of
    `motion.length`.

    Raises MotionError when a motion lacks the track it is given for, or has one of another model's width.
    """
    used = {track: motion for track, motion in sources.items() if getattr(model.sizes, track)}
    combined = None
    if used:
        combined = combine(
            lip=used.get("lip"),
            pose=used.get("pose"),
            expression=used.get("expression"),
            fps=float(length.rate),
            frames=length.frames,
        )
    complete = model.complete(combined, portrait, length.frames)
    return Motion(**complete.tracks, fps=float(length.rate))
