"""Mouth shapes of phones: coarticulation by dominance functions (Cohen and Massaro, "Modeling Coarticulation in
Synthetic Visual Speech", 1993).

Each phone has a target for the mouth's opening and width, and a dominance that decays from its middle; the mouth is
the mean of the targets, weighted by the dominances. Closures dominate strongly but briefly, so that lips close at p, b
and m and are open again in the vowels beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.phonetic_speech import SILENCE, Phone
from ..motion.motion import FPS

CORE = 0.5
"""Share of a phone's duration, in its middle, in which its dominance is at its largest."""


@dataclass(frozen=True)
class Articulation:
    """Target of a phone and its dominance."""

    opening: float
    """0: closed, 1: the widest vowels; below 0 the lips are pressed."""
    width: float = 0.0
    """-1: rounded, 0: relaxed, 1: spread."""
    dominance: float = 1.0
    """Largest dominance."""
    decay: float = 15.0
    """Decay of the dominance in 1/s."""


_CLOSED = Articulation(-0.1, dominance=6, decay=60)
_LIP_TO_TEETH = Articulation(0.1, dominance=3, decay=45)
_FRICATIVE = Articulation(0.3, 0.3, dominance=0.5)
_HUSHING = Articulation(0.3, -0.5, dominance=0.6)
_TONGUE_TIP = Articulation(0.35, dominance=0.4)
_TONGUE_BACK = Articulation(0.45, dominance=0.25)

ARTICULATIONS: dict[str, tuple[Articulation, ...]] = {
    SILENCE: (Articulation(0, decay=12),),
    "AA": (Articulation(1),),
    "AE": (Articulation(1, 0.4),),
    "AH": (Articulation(0.7),),
    "AO": (Articulation(0.85, -0.6),),
    "AW": (Articulation(1), Articulation(0.5, -0.8)),
    "AX": (Articulation(0.6),),
    "AY": (Articulation(1, 0.1), Articulation(0.6, 0.6)),
    "EH": (Articulation(0.8, 0.4),),
    "ER": (Articulation(0.6, -0.4),),
    "EY": (Articulation(0.75, 0.5), Articulation(0.6, 0.7)),
    "IH": (Articulation(0.6, 0.5),),
    "IY": (Articulation(0.55, 0.8),),
    "OW": (Articulation(0.75, -0.6), Articulation(0.5, -0.9)),
    "OY": (Articulation(0.75, -0.7), Articulation(0.6, 0.5)),
    "UH": (Articulation(0.55, -0.6),),
    "UW": (Articulation(0.5, -1),),
    **dict.fromkeys(("P", "B", "M"), (_CLOSED,)),
    **dict.fromkeys(("F", "V"), (_LIP_TO_TEETH,)),
    **dict.fromkeys(("S", "Z"), (_FRICATIVE,)),
    **dict.fromkeys(("SH", "ZH", "CH", "JH"), (_HUSHING,)),
    **dict.fromkeys(("T", "D", "N", "TH", "DH"), (_TONGUE_TIP,)),
    **dict.fromkeys(("K", "G", "NG", "HH"), (_TONGUE_BACK,)),
    "L": (Articulation(0.5, dominance=0.5),),
    "R": (Articulation(0.4, -0.5, dominance=0.6),),
    "W": (Articulation(0.25, -1, dominance=1.5, decay=25),),
    "Y": (Articulation(0.45, 0.5, dominance=0.4),),
}
"""Articulations by phone (ARPAbet), of diphthongs one after the other."""


def mouth_shapes(phones: Sequence[Phone], frames: int) -> NDArray[np.float32]:
    """Opening and width of the mouth (frames,2), in the units of `Articulation`, in the middles of frames of 25 fps."""
    times = (np.arange(frames) + 0.5) / FPS
    total, weighted = np.full(frames, 1e-6), np.zeros((2, frames))
    for phone in phones:
        articulations = ARTICULATIONS[phone.name]
        duration = (phone.end - phone.start) / len(articulations)
        for index, articulation in enumerate(articulations):
            middle = phone.start + (index + 0.5) * duration
            distance = np.maximum(np.abs(times - middle) - CORE / 2 * duration, 0)
            dominance = articulation.dominance * np.exp(-articulation.decay * distance)
            total += dominance
            weighted += dominance * np.array([[articulation.opening], [articulation.width]])
    return (weighted / total).T.astype(np.float32)
