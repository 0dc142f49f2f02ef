"""Writing and reading of a bundle's metadata: format, sizes, frame rate, expression presets, names of bases."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from ..errors import UnsupportedCheckpoint
from ..motion.bases import Bases, Lids
from ..motion.motion import FPS, TRACKS
from ..networks.sizes import ModelSizes

FORMAT, FORMAT_VERSION = "edtalk-bundle", "1"

MAX_NAME = 40
"""Maximum length of a base's name, in characters."""


def bundle_metadata(
    sizes: ModelSizes, fps: float, presets: Mapping[str, Sequence[float]], bases: Bases
) -> dict[str, str]:
    """The metadata of a bundle: format, format_version, variant, sizes, fps, presets and, if there are any, bases.

    Args:
        sizes: sizes of the model.
        fps: frame rate of the training data.
        presets: emotion -> expression weights.
        bases: names of the bases.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "variant": sizes.variant,
        "sizes": sizes.to_json(),
        "fps": repr(float(fps)),
        "presets": json.dumps({emotion: list(weights) for emotion, weights in presets.items()}),
        **({"bases": bases_to_json(bases)} if bases != Bases() else {}),
    }


def bases_to_json(bases: Bases) -> str:
    """Return names of bases as the JSON of the metadata's entry "bases"."""
    content: dict[str, object] = {track: list(bases.names(track)) for track in TRACKS if bases.names(track)}
    if bases.lids is not None:
        content["lids"] = {"base": bases.lids.base, "closed": bases.lids.closed}
    return json.dumps(content, ensure_ascii=False)


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
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
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


def read_bases(metadata: Mapping[str, str], sizes: ModelSizes, source: str) -> Bases:
    """Names of the bases in the metadata, if there are any. Raises UnsupportedCheckpoint when they do not fit."""
    text = metadata.get("bases", "{}")
    try:
        content = json.loads(text)
        names = {track: _read_names(content.get(track, []), getattr(sizes, track), track) for track in TRACKS}
        lids = _read_lids(content["lids"], sizes.expression) if "lids" in content else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise UnsupportedCheckpoint(
            f"The names of bases in the metadata of {source} cannot be read: {error}."
        ) from error
    return Bases(**names, lids=lids)


def _read_names(names: object, bases: int, track: str) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) > bases:
        raise ValueError(f"{track} must be a list of at most {bases} names")
    for name in names:
        if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"{name!r} is no name of at most {MAX_NAME} letters")
    return tuple(names)


def _read_lids(lids: Mapping[str, object], bases: int) -> Lids:
    base, closed = lids["base"], lids["closed"]
    if isinstance(base, bool) or not isinstance(base, int) or not 0 <= base < bases:
        raise ValueError(f"there is no expression base {base!r} to close the eyes")
    if isinstance(closed, bool) or not isinstance(closed, (int, float)) or not math.isfinite(closed) or not closed:
        raise ValueError(f"{closed!r} is no weight that closes the eyes")
    return Lids(base, float(closed))
