"""Contact sheets for visual inspection of identity preservation and reenactment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ..data.clips import Clip
from ..errors import ArgumentError
from ..face.crop import crop_portrait
from ..media.picture import images_to_pictures, picture_to_image, read_picture
from ..model import EDTalk
from ..motion.motion import Motion
from ..rendering import Renderer
from .faces import Picture, angles, head_rotation, relative_mouth_opening
from .protocols import clip_images, reenact

_TITLE = 22
"""Height of a line of text in pixels."""


@torch.no_grad()
def reenactment_sheet(model: EDTalk, clips: Sequence[Clip], *, columns: int = 8, precision: str = "fp32") -> Picture:
    """Picture (H,W,3) of up to `columns` clips: the source, a driving frame, and the reenacted source.

    The driving frame is the one whose landmarks are furthest from the source's.
    """
    size = model.sizes.resolution
    rows: list[list[Picture]] = [[], [], []]
    for clip in clips[:columns]:
        index = int(np.abs(clip.landmarks - clip.landmarks[0]).mean(axis=(1, 2)).argmax())
        rendered = next(reenact(model, clip, [index], precision))
        for row, picture in zip(rows, (clip.frame(0, size), clip.frame(index, size), rendered), strict=True):
            row.append(picture)
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def sheet_portraits(clips: Sequence[Clip], files: Sequence[Path] | None = None) -> dict[str, Picture]:
    """Portraits of an identity sheet by name: the crops of picture files, or by default a frame of each person."""
    if files:
        return {path.stem: crop_portrait(read_picture(path)).picture for path in files}
    return {clip.info.person: clip.frame(0) for clip in reversed(clips)}


@torch.no_grad()
def identity_sheet(
    model: EDTalk,
    portraits: Mapping[str, Picture],
    motions: Mapping[str, Motion],
    *,
    precision: str = "fp32",
) -> Picture:
    """Picture (H,W,3) with a row for each portrait: the portrait, and the middle frame of each motion.

    `portraits`: name -> crop (S,S,3), see `crop_portrait`; `motions`: name -> motion, whose missing tracks are the
    portrait's own. Names are written above the columns and below the rows. Raises ArgumentError when there are none.
    """
    import cv2

    if not portraits or not motions:
        raise ArgumentError("An identity sheet needs at least one portrait and one motion.")
    size = model.sizes.resolution
    rows: list[Picture] = []
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

    def line(texts: Sequence[str]) -> Picture:
        strip = np.full((_TITLE, width, 3), 255, np.uint8)
        for column, text in enumerate(texts):
            position = (column * size + 4, _TITLE - 7)
            cv2.putText(strip, text, position, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
        return strip

    parts = [line(["portrait", *motions])]
    for name, pictures in zip(portraits, rows, strict=True):
        parts += [pictures, line([name])]
    return np.concatenate(parts)


@torch.no_grad()
def typical_motions(model: EDTalk, clips: Sequence[Clip]) -> dict[str, Motion]:
    """Six extreme motions for the identity sheet, read from single frames of clips.

    The mouth wide open (lip alone), the head turned to each side and nodded (pose alone), and two very different
    expressions, from clips with an emotion if there are any (expression and lip; pose and lip for the lip+pose
    variant).
    """
    candidates = [(clip, index) for clip in clips for index in range(0, len(clip), 5)]
    landmarks = np.stack([clip.landmarks[index] for clip, index in candidates]).astype(np.float64)
    turned = angles(head_rotation(landmarks))
    extremes: dict[str, tuple[int, tuple[str, ...]]] = {
        "mouth open": (int(relative_mouth_opening(landmarks).argmax()), ("lip",)),
        "turned left": (int(turned[:, 0].argmax()), ("pose",)),
        "turned right": (int(turned[:, 0].argmin()), ("pose",)),
        "nodded": (int(np.abs(turned[:, 1] - np.median(turned[:, 1])).argmax()), ("pose",)),
    }
    emotional = [number for number, (clip, _) in enumerate(candidates) if clip.info.emotion] or list(
        range(len(candidates))
    )
    weights = []
    for number in emotional:
        clip, index = candidates[number]
        lip, pose, expression = model.read_weights(clip_images(clip, [index], model))
        weights.append((pose if expression is None else expression)[0].float().cpu())
    values = torch.stack(weights)
    first = int((values - values.mean(0)).norm(dim=1).argmax())
    second = int((values - values[first]).norm(dim=1).argmax())
    for number in (first, second):
        clip, _ = candidates[emotional[number]]
        label = clip.info.emotion or "expression"
        label = f"{label} 2" if label in extremes else label
        extremes[label] = (emotional[number], ("lip", "expression" if model.sizes.expression else "pose"))
    motions = {}
    for name, (number, tracks) in extremes.items():
        clip, index = candidates[number]
        lip, pose, expression = model.read_weights(clip_images(clip, [index], model))
        weights_by_track = {"lip": lip, "pose": pose, "expression": expression}
        motions[name] = Motion(**{track: weights_by_track[track] for track in tracks}, fps=model.fps)
    return motions
