"""The stages of the paper by name."""

from __future__ import annotations

from .autoencoder import Autoencoder
from .stage import Stage

STAGES: dict[str, type[Stage]] = {stage.NAME: stage for stage in (Autoencoder,)}
