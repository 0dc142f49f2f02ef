"""Writing and reading of a bundle's metadata: format, sizes, frame rate and expression presets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from ..errors import UnsupportedCheckpoint
from ..motion.motion import FPS
from ..networks.sizes import ModelSizes

FORMAT, FORMAT_VERSION = "edtalk-bundle", "1"


def bundle_metadata(sizes: ModelSizes, fps: float, presets: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """The metadata that every bundle has: format, format_version, variant, sizes, fps and presets.

    Args:
        sizes: sizes of the model.
        fps: frame rate of the training data.
        presets: emotion -> expression weights.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "variant": sizes.variant,
        "sizes": sizes.to_json(),
        "fps": repr(float(fps)),
        "presets": json.dumps({emotion: list(weights) for emotion, weights in presets.items()}),
    }


def is_bundle(metadata: Mapping[str, str], source: str) -> bool:
    """Whether the metadata is that of a bundle. Raises UnsupportedCheckpoint for a newer format."""
    if metadata.get("format") != FORMAT:
        return False
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise UnsupportedCheckpoint(
            f"{source} is a bundle of format {version}; this version of edtalk reads format {FORMAT_VERSION}. Update "
            "edtalk."
        )
    return True


def read_presets(metadata: Mapping[str, str], sizes: ModelSizes, source: str) -> dict[str, tuple[float, ...]]:
    """Presets in the metadata: emotion -> expression weights. Raises UnsupportedCheckpoint when they do not fit."""
    try:
        presets = {
            str(emotion): tuple(float(weight) for weight in weights)
            for emotion, weights in json.loads(metadata.get("presets", "{}")).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise UnsupportedCheckpoint(f"The presets in the metadata of {source} cannot be read: {error}.") from error
    for emotion, weights in presets.items():
        if len(weights) != sizes.expression or not all(map(math.isfinite, weights)):
            raise UnsupportedCheckpoint(
                f"The preset {emotion!r} in the metadata of {source} must hold {sizes.expression} finite numbers, "
                f"not {len(weights)}."
            )
    return presets


def read_fps(metadata: Mapping[str, str], source: str) -> float:
    """Frame rate of the training data. Raises UnsupportedCheckpoint unless it is a positive number."""
    text = metadata.get("fps", repr(FPS))
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0 < fps < math.inf:
        raise UnsupportedCheckpoint(
            f"The metadata of {source} gives the frame rate {text!r}; expected a positive number."
        )
    return fps
