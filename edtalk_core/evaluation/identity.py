"""Whether a portrait stays who it is: a contact sheet of portraits in several motions, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.clips import Clip
from ..errors import ArgumentError
from ..media.picture import images_to_pictures, picture_to_image
from ..model import EDTalk
from ..motion.motion import Motion
from ..rendering import Renderer
from .faces import angles, head_rotation, mouth_opening
from .reenactment import clip_images

_TITLE = 22
"""Height of a line of text in pixels."""


@torch.no_grad()
def identity_sheet(
    model: EDTalk,
    portraits: Mapping[str, NDArray[np.uint8]],
    motions: Mapping[str, Motion],
    *,
    precision: str = "fp32",
) -> NDArray[np.uint8]:
    """A picture (H,W,3): a row for each portrait, as it is and in the middle frame of each motion.

    `portraits`: name -> crop (S,S,3), see `crop_portrait`; `motions`: name -> motion, whose missing tracks are the
    portrait's own. Names are written above the columns and below the rows. Raises ArgumentError when there are none.
    """
    import cv2

    if not portraits or not motions:
        raise ArgumentError("An identity sheet needs at least one portrait and one motion.")
    size = model.sizes.resolution
    rows: list[NDArray[np.uint8]] = []
    for picture in portraits.values():
        image = picture_to_image(picture, size).to(model.device, model.dtype)
        portrait = model.encode_portrait(image)
        frames = [model.complete(motion.frame(motion.frames // 2), portrait) for motion in motions.values()]
        tracks = {name: torch.cat([frame.track(name) for frame in frames]) for name in frames[0].tracks}
        together = Motion(fps=model.fps, **tracks)
        rendered = Renderer(model, portrait, precision=precision).pictures(together)
        row = [*images_to_pictures(image), *rendered]
        rows.append(np.concatenate(row, axis=1))
    width = size * (len(motions) + 1)
    scale = min(0.45, size / 500)

    def line(texts: Sequence[str]) -> NDArray[np.uint8]:
        strip = np.full((_TITLE, width, 3), 255, np.uint8)
        for column, text in enumerate(texts):
            place = (column * size + 4, _TITLE - 7)
            cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
        return strip

    parts = [line(["portrait", *motions])]
    for name, frames_of_one in zip(portraits, rows, strict=True):
        parts += [frames_of_one, line([name])]
    return np.concatenate(parts)


@torch.no_grad()
def typical_motions(model: EDTalk, clips: Sequence[Clip]) -> dict[str, Motion]:
    """Six motions for the sheet, read off single frames of clips: what goes furthest each way.

    The mouth wide open (lip alone), the head turned to each side and nodded (pose alone), and the two frames of clips
    with an emotion, or of any, whose expression differs most from the mean (expression and lip; pose and lip for the
    lip+pose variant).
    """
    places = [(clip, index) for clip in clips for index in range(0, len(clip), 5)]
    landmarks = np.stack([clip.landmarks[index] for clip, index in places]).astype(np.float64)
    turned = angles(head_rotation(landmarks))
    found: dict[str, tuple[int, tuple[str, ...]]] = {
        "mouth open": (int(mouth_opening(landmarks).argmax()), ("lip",)),
        "turned left": (int(turned[:, 0].argmax()), ("pose",)),
        "turned right": (int(turned[:, 0].argmin()), ("pose",)),
        "nodded": (int(np.abs(turned[:, 1] - np.median(turned[:, 1])).argmax()), ("pose",)),
    }
    emotional = [number for number, (clip, _) in enumerate(places) if clip.info.emotion] or list(range(len(places)))
    weights = []
    for number in emotional:
        clip, index = places[number]
        lip, pose, expression = model.read_weights(clip_images(clip, [index], model))
        weights.append((pose if expression is None else expression)[0].float().cpu())
    values = torch.stack(weights)
    first = int((values - values.mean(0)).norm(dim=1).argmax())
    second = int((values - values[first]).norm(dim=1).argmax())
    for number in (first, second):
        clip, _ = places[emotional[number]]
        label = clip.info.emotion or "expression"
        label = f"{label} 2" if label in found else label
        found[label] = (emotional[number], ("lip", "expression" if model.sizes.expression else "pose"))
    motions = {}
    for name, (number, tracks) in found.items():
        clip, index = places[number]
        lip, pose, expression = model.read_weights(clip_images(clip, [index], model))
        read = {"lip": lip, "pose": pose, "expression": expression}
        motions[name] = Motion(**{track: read[track] for track in tracks}, fps=model.fps)
    return motions
