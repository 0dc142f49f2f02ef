"""Names of the bases of a model's banks, and the base that closes the eyes."""

from __future__ import annotations

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
