"""The whole picture that a portrait was cut from, with the head moving in it, as a stream in constant memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .detail import Size
from .face.geometry import check_picture
from .face.paste import PasteBack, fade_towards_border
from .model import EDTalk, Portrait
from .motion.motion import Motion
from .progress import Progress
from .rendering import Renderer

_FADE = 0.2
"""Share of the crop's side, from its border, over which the motion of what it shows fades in: hair and shoulders that
reach over the border stretch a little instead of being cut, and what does not move stays the picture's own."""
_FEATHER = 0.02
"""Share of the crop's side over which frames, which equal the picture there, are blended with it."""


class WholeRenderer:
    """Renders the picture that a portrait was cut from, with the portrait moving in it.

    Towards the border of the crop the motion fades, and with it all that the frames have of the generator, so that they
    meet the rest of the picture pixel by pixel: no square shows, however far the head moves. A side of the crop where
    the picture ends moves freely.

    Args:
        model: the model that encoded the portrait.
        portrait: as `portrait_from_picture` gives it.
        picture: (H, W, 3) uint8 RGB, the same that the portrait was made from.
        matrix: (2, 3), of the portrait's crop.
        precision: as in `Renderer`.
        size: side of the rendered crop, as in `Renderer`; it is laid over the picture at the picture's own resolution.

    Raises:
        ArgumentError: an invalid precision, size or matrix, a portrait without a picture, or a crop beside the picture.
        PictureError: a picture of another shape or type.
    """

    def __init__(
        self,
        model: EDTalk,
        portrait: Portrait,
        picture: np.ndarray,
        matrix: np.ndarray,
        *,
        precision: str = "auto",
        size: Size = "own",
    ) -> None:
        check_picture(picture)
        resolution = model.sizes.resolution
        self.size = (picture.shape[1], picture.shape[0])
        """(width, height) of the pictures."""
        self._picture = picture
        self._paste = PasteBack(matrix, self.size, resolution, feather=_FEATHER)
        still = fade_towards_border(matrix, self.size, resolution, resolution, _FADE)
        self._renderer = Renderer(model, portrait, precision=precision, size=size, still=still)

    @property
    def precision(self) -> str:
        """Precision of the computation: "fp32", "bf16" or "fp16"."""
        return self._renderer.precision

    def pictures(self, motion: Motion, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Render whole pictures one by one, uint8 (H,W,3) RGB; otherwise as `Renderer.pictures`."""
        frames = self._renderer.pictures(motion, progress)
        return (self._paste.composite(self._picture, frame, detail=False) for frame in frames)
