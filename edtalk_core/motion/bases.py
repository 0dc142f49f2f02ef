"""Names of the bases of a model's banks, and the base that closes the eyes."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from ..errors import ArgumentError
from .motion import TRACKS


@dataclass(frozen=True)
class Lids:
    """The expression base that moves the lids."""

    base: int
    """Its index in the expression bank."""
    closed: float
    """Change of its weight that closes the eyes, from the portrait's own; the opposite widens them."""


@dataclass(frozen=True)
class Bases:
    """Names of a model's bases, by track.

    A track may have fewer names than bases: the remaining bases have no name, as have those of the published models.
    """

    lip: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    expression: tuple[str, ...] = ()
    lids: Lids | None = None
    """None where no base is known to close the eyes."""

    def names(self, track: str) -> tuple[str, ...]:
        """Return the names of a track's bases, in order. Raises ArgumentError for an unknown track."""
        if track not in TRACKS:
            raise ArgumentError(f"There is no track {track!r}; the tracks are {', '.join(TRACKS)}.")
        names: tuple[str, ...] = getattr(self, track)
        return names

    def name(self, track: str, base: int) -> str:
        """Return the name of a base, empty if it has none. Raises ArgumentError for an unknown track."""
        names = self.names(track)
        return names[base] if base < len(names) else ""

    def index(self, track: str, name: str, width: int) -> int:
        """Return the index of a base by its name or number ("3") in a bank of `width` bases.

        Raises ArgumentError for any other name, listing the names or naming a similar one.
        """
        names = self.names(track)
        lowered = [known.lower() for known in names]
        if name.strip().lower() in lowered:
            return lowered.index(name.strip().lower())
        if re.fullmatch("[0-9]{1,4}", name.strip()) and int(name) < width:
            return int(name)
        close = difflib.get_close_matches(name.lower(), lowered, n=1)
        known = f"{', '.join(names)}, or a number from 0 to {width - 1}" if names else f"numbered from 0 to {width - 1}"
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ArgumentError(f"There is no {track} base {name!r}; they are {known}.{hint}")
