"""Assembly of tracks from different sources into the motion of a portrait."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import EDTalk, Portrait
from ..motion.length import Length
from ..motion.motion import Motion
from ..motion.operations import combine


def assemble(model: EDTalk, portrait: Portrait, sources: Mapping[str, Motion], length: Length) -> Motion:
    """Combine tracks into a motion of this length with every track of the model, ready to render.

    `sources` maps a track ("lip", "pose", "expression") to the motion it comes from; a track without a source is the
    portrait's own, held, and a track that the model does not have is left out. Tracks of other lengths follow the rule
    of `motion.length`.

    Raises MotionError when a motion lacks its track, or has the track of another model's width.
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
