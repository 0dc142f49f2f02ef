"""Head motion without a video, sampled from the pose flow: along with a sound and an emotion, or idle."""

from __future__ import annotations

import copy
import os
import re

import torch
from torch import Tensor

from ..checks import check_number, check_seed, check_whole
from ..errors import ArgumentError, MotionError
from ..media.audio import Sound
from ..media.mel import AudioFeatures
from ..model import EDTalk
from ..motion.length import length_of_duration
from ..motion.motion import FPS, Motion
from ..motion.nods import add_nods, speech_nods
from ..motion.presets import EMOTIONS
from ..motion.timeline import expression_timeline
from ..networks.pose_flow import PoseFlow, frame_spectra
from ..networks.speech_encoder import SPECTRUM
from ..progress import Progress
from .audio import audio_features

_PIECE = 4096
"""Frames whose mel windows are gathered at once: they take 5 kB each, their spectra 0.3 kB."""


def motion_from_flow(
    model: EDTalk,
    audio: Sound | AudioFeatures | str | os.PathLike[str] | None,
    anchor: Motion,
    *,
    duration: float | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    amount: float = 1.0,
    emotion: str = "",
    nods: float = 0.0,
    progress: Progress | None = None,
) -> Motion:
    """Sample head motion that suits a sound from the pose flow (see `sample_pose`).

    Args:
        model: one with a pose flow.
        audio: a sound or its features, or the path of a sound file or of a video with sound; None for a head that only
            listens.
        anchor: the motion in whose first pose the head starts and about which it stays (`Portrait.own`).
        duration: seconds; by default those of the sound. Without sound it must be given.
        seed: the same seed gives the same motion.
        temperature: 1 moves as the training clips do, less is calmer, 0 is the typical movement without chance.
        amount: scale of the movement about the anchor: 0 is still, 2 twice as far and as fast.
        emotion: how the head feels: an emotion with or without a strength ("sad:0.5"), or an expression timeline.
            Empty, and where it says "own": not known, which moves as a flow without emotions.
        nods: how much the head nods at stressed syllables and the ends of phrases besides, see `motion.nods.add_nods`.
        progress: counts the frames.

    Returns:
        A pose track at 25 fps.

    Raises:
        MotionError: the model has no pose flow, or one without emotions where one is given; the anchor has no pose of
            its width; the emotion is not one; nods of a model that does not name the base of its pitch.
        AudioError: the sound cannot be read or is unusable.
        ArgumentError: a number out of range, or neither sound nor duration.
    """
    if model.pose_flow is None:
        raise MotionError("This model has no pose flow, so it cannot make up how the head moves. Load one that has.")
    spectra = None
    features = audio_features(audio) if audio is not None else None
    if features is not None:
        duration = features.duration if duration is None else duration
        spectra = torch.empty(features.frames, SPECTRUM)
        for start in range(0, features.frames, _PIECE):
            stop = min(start + _PIECE, features.frames)
            spectra[start:stop] = frame_spectra(features.windows(start, stop))
    elif duration is None:
        raise ArgumentError("A head motion needs a sound or a duration; neither was given.")
    frames = length_of_duration(duration, FPS).frames
    first = anchor.track("pose")[0]
    feeling = None
    if emotion.strip():
        if model.pose_flow.emotion is None:
            raise MotionError(
                "The pose flow of this model has not learned how emotions move a head: leave the head's emotion out."
            )
        feeling = emotions_over_time(emotion, frames)
    pose = sample_pose(
        model.pose_flow, spectra, frames, first, seed, temperature, amount, emotion=feeling, progress=progress
    )
    return add_nods(pose, speech_nods(features)[0], model.bases, nods) if features is not None else pose


def emotions_over_time(text: str, frames: int) -> Tensor:
    """Return how strongly each of EMOTIONS is felt in each frame at 25 fps (frames,8), in [0,1].

    `text` is an emotion with or without a strength, or an expression timeline. "own" feels nothing. Raises MotionError
    for a line that cannot be read, and ArgumentError for an unknown emotion.
    """
    # A timeline of presets that each are one emotion alone.
    alone = {name: [float(name == other) for other in EMOTIONS] for name in EMOTIONS}
    written = text if re.search(r"[\s;]", text.strip()) else f"0 {text}"
    nothing = Motion(expression=torch.zeros(1, len(EMOTIONS)))
    return expression_timeline(written, alone, nothing, frames / FPS).track("expression").clamp(0, 1)


def sample_pose(
    flow: PoseFlow,
    spectra: Tensor | None,
    frames: int,
    anchor: Tensor,
    seed: int = 0,
    temperature: float = 1.0,
    amount: float = 1.0,
    *,
    emotion: Tensor | None = None,
    progress: Progress | None = None,
) -> Motion:
    """Sample a pose track from the flow (equation 2), starting at the anchor and staying around it.

    The flow's history is relative to the start of a clip, so that any anchor is valid, and a long sample stays around
    it. The same arguments give the same track on every device: it is computed on the CPU in float32.

    Args:
        flow: the trained pose flow.
        spectra: (T,80) of the speech (`frame_spectra` of its mel windows); frames after its end, or all of them when
            it is None, have no speech. More than `frames` are cut.
        frames: length of the track, at least 1.
        anchor: (pose,) the portrait's own pose weights.
        seed: seed of the noise, a whole number.
        temperature: standard deviation of the noise. 1 moves as the training clips do, less is calmer and more regular,
            0 is the flow's typical movement without chance.
        amount: scale of the sample about the anchor: 0 is still, 1 as sampled, 2 twice as far and as fast.
        emotion: (frames,8) in [0,1], how strongly each of EMOTIONS is felt, for a flow that has learned emotions; None:
            not known.
        progress: called after every frame; cancels by raising.

    Returns:
        A pose track at 25 fps; its first frame is the anchor.

    Raises:
        ArgumentError: a number out of range.
        MotionError: the anchor has another number of pose weights than the flow.
    """
    check_whole(frames, "The number of frames", low=1)
    check_seed(seed)
    for name, value in (("temperature", temperature), ("amount", amount)):
        check_number(value, f"The {name}", low=0)
    if anchor.shape != (flow.pose,):
        raise MotionError(
            f"The anchor has the shape {tuple(anchor.shape)} and the pose flow makes {flow.pose} weights a frame: they "
            "are of different models."
        )
    # Thousands of small sequential steps: an accelerator would be slower and round differently.
    flow = copy.deepcopy(flow).to("cpu", torch.float32).eval()
    anchor = anchor.detach().to("cpu", torch.float32)
    audio = None
    with torch.no_grad():
        if spectra is not None:
            audio = torch.zeros(frames, flow.audio)
            encoded = flow.hear(spectra[:frames].to("cpu", torch.float32).unsqueeze(0))[0]
            audio[: len(encoded)] = encoded
        if emotion is not None:
            felt = flow.feel(emotion.to("cpu", torch.float32))
            audio = felt if audio is None else audio + felt
        pose = flow.sample(frames, audio, seed=seed, temperature=temperature, first=anchor, progress=progress)
    # As equation 3, which gives the anchor itself at 0 without rounding.
    return Motion(pose=amount * pose + (1 - amount) * anchor, fps=FPS)
