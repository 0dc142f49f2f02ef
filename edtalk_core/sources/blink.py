"""Blinks of a portrait: how its eyes close, and when they do, along with speech or in silence."""

from __future__ import annotations

import os

import numpy as np
import torch

from ..errors import ArgumentError, FaceError, MotionError
from ..face.crop import Crop, crop_landmarks
from ..face.expression_warp import LIDS, PosedFace, warp_picture
from ..face.face_model import EXPRESSION_BASES, fit_face
from ..face.landmarks import LEFT_EYE, RIGHT_EYE
from ..media.audio import Sound
from ..media.mel import AudioFeatures
from ..media.pauses import speech_pauses
from ..media.picture import picture_to_image
from ..model import EDTalk, Portrait
from ..motion.blinks import BLINK_RATE, Blink, add_blinks, draw_blinks
from ..motion.length import length_of_duration
from ..motion.motion import FPS, Motion
from ..motion.nods import add_lids, speech_nods
from ..motion.operations import fit
from .audio import audio_features

_GAINS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Factors on the read change of an expression, of which the best is taken."""
_LARGEST_CHANGE = 8.0
"""Largest change of the expression weights that a factor may make: about the distance between expressions."""


def blink_motion(
    model: EDTalk,
    portrait: Portrait,
    crop: Crop | None,
    motion: Motion | None = None,
    *,
    audio: Sound | AudioFeatures | str | os.PathLike[str] | None = None,
    duration: float | None = None,
    rate: float = BLINK_RATE,
    strength: float = 1.0,
    seed: int = 0,
    stress: float = 0.0,
) -> tuple[Motion, tuple[Blink, ...]]:
    """Add blinks to an expression: of natural frequency and speed, and with speech mostly at the ends of phrases.

    Args:
        model: one with expressions. The eyes close by the base that it names for the lids (`model.bases.lids`), no
            further than closed where the expression closes them already; without such a base by `read_closed_eyes`.
        portrait: encoded by this model.
        crop: of the portrait, from `portrait_from_picture`. None only for a model that names the base of its lids.
        motion: with or without an expression track and with any others, which stay; by default the portrait's own
            expression.
        audio: the speech, from the start of the motion: a sound or its features, or a path of either a sound or a
            video with sound.
        duration: seconds; by default those of the motion or, of a single frame, those of the speech.
        rate: mean blinks a minute, 0 to 60.
        strength: 1 closes the eyes, less leaves them partly open, at most 2.
        seed: the same seed gives the same blinks.
        stress: how much eyes widen besides at stressed syllables and lids sink at the ends of phrases, see
            `motion.nods.add_lids`.

    Returns:
        The motion with blinks in its expression, at its own frame rate (a single frame at 25 fps), and the blinks.

    Raises:
        MotionError: the model has no expressions (the lip+pose variant), the motion is another model's, or `stress` is
            given and the model names no base for the lids.
        FaceError: the portrait has no face whose lids can be closed, and the model names no base for that.
        ArgumentError: a number out of range, or a single frame without speech and duration.
        AudioError: the sound cannot be read or is unusable.
    """
    if not model.sizes.expression:
        raise MotionError("This is a lip+pose model: it has no expressions, so it cannot blink. Load EDTalk.pt.")
    features = audio_features(audio) if audio is not None else None
    motion = portrait.own.select("expression") if motion is None else motion
    still = motion.frames == 1
    if duration is None:
        if still and features is None:
            raise ArgumentError("Blinks need a duration: a motion of several frames, speech, or a number of seconds.")
        duration = features.duration if still and features is not None else motion.duration
    fps = FPS if still else motion.fps
    motion = fit(motion, fps, length_of_duration(duration, fps).frames)
    expression = model.complete(motion, portrait).track("expression")
    motion = motion.with_tracks(expression=expression)
    if stress and features is not None:
        motion = add_lids(motion, speech_nods(features, fps)[1], model.bases, stress)
        expression = motion.track("expression")
    change = closing_change(model, portrait, crop, expression)
    pauses = speech_pauses(features) if features is not None else None
    blinks = draw_blinks(motion.duration, rate=rate, seed=seed, pauses=pauses)
    return add_blinks(motion, blinks, change, strength), blinks


def closing_change(model: EDTalk, portrait: Portrait, crop: Crop | None, expression: torch.Tensor) -> torch.Tensor:
    """Return the change of expression weights (T,expression) that closes the eyes, from wherever they have them.

    By the base that the model names for the lids: (T,expression); without one by `read_closed_eyes`: (expression,),
    which raises FaceError.
    """
    lids = model.bases.lids
    if lids is None:
        return read_closed_eyes(model, portrait, crop)
    change = torch.zeros_like(expression)
    already = (expression[:, lids.base] - portrait.own.track("expression")[0, lids.base]) / lids.closed
    change[:, lids.base] = lids.closed * (1 - already).clamp(min=0)
    return change


def read_closed_eyes(model: EDTalk, portrait: Portrait, crop: Crop | None) -> torch.Tensor:
    """Read by how much the expression weights change (expression,) when the eyes of a portrait close.

    The 3D face warps the portrait to closed eyes, and the model's encoder reads it: what changes of the expression is
    what lids do, as far as the encoder tells them from brows and mouth. Encoders that learned from few clips read lids
    weakly: the change is multiplied by the one of _GAINS with which the model renders the eyes most like the warped
    ones. For models that do not name the base of the lids.

    Raises FaceError when no landmarks of a face are found in the crop.
    """
    landmarks = crop_landmarks(crop) if crop is not None else None
    if crop is None or landmarks is None:
        raise FaceError(
            "How the eyes close cannot be seen in this portrait: no landmarks of a face fit it (drawn, masked or "
            "dark?). Leave blinks out, or use a model that names the base of its lids, as edtalk info shows."
        )
    closed = _close_eyes(crop.picture, landmarks)
    size = model.sizes.resolution
    with torch.inference_mode():
        image = picture_to_image(closed, size)
        read = model.read_weights(image)[2]
        assert read is not None
        change = (read.float().cpu() - portrait.own.track("expression"))[0]
        gains = [gain for gain in _GAINS if gain == 1 or gain * change.norm() <= _LARGEST_CHANGE]
        eyes = torch.from_numpy(_eyes((landmarks + 0.5) * (size / len(closed)) - 0.5, size))
        errors = [(_render(model, portrait, gain * change) - image)[..., eyes].abs().mean() for gain in gains]
    return gains[int(torch.stack(errors).argmin())] * change.clone()


def _close_eyes(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Warp a picture (S,S,3) of a face with these landmarks (68,2) to closed eyes."""
    face = PosedFace.of(fit_face(landmarks[None]))
    amounts = np.zeros(len(EXPRESSION_BASES))
    opened = face.vertices(amounts)
    amounts[LIDS] = 1
    return warp_picture(picture, opened, face.vertices(amounts))


def _eyes(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Mask (size,size) of the eyes by their landmarks, in pixels."""
    import cv2

    mask: np.ndarray = np.zeros((size, size), np.uint8)
    for eye in (RIGHT_EYE, LEFT_EYE):
        cv2.fillConvexPoly(mask, cv2.convexHull(landmarks[eye].round().astype(np.int32)), 1)
    return mask.astype(bool)


def _render(model: EDTalk, portrait: Portrait, change: torch.Tensor) -> torch.Tensor:
    """Render a portrait with its expression changed by `change` (expression,): image (1,3,S,S) on the CPU."""
    own = {name: track.to(model.device, model.dtype) for name, track in portrait.own.tracks.items()}
    direction, part = model.directions(own["lip"], own["pose"], own["expression"] + change.to(own["expression"]))
    features = [feature.to(model.device, model.dtype) for feature in portrait.features]
    image: torch.Tensor = model.dec(portrait.latent.to(model.device, model.dtype) + direction, features, part)
    return image.float().cpu()
