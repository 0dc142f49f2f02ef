"""Lip motion from a sound."""

from __future__ import annotations

import os

import torch

from ..checks import check_whole
from ..errors import ArgumentError, MotionError
from ..media.audio import Sound, open_audio, pad_silence
from ..media.mel import AudioFeatures, encode_audio
from ..model import EDTalk
from ..motion.motion import FPS, Motion
from ..motion.operations import smooth
from ..progress import Progress


def motion_from_audio(
    model: EDTalk,
    audio: Sound | AudioFeatures | str | os.PathLike[str],
    *,
    silence_before: float = 0.0,
    silence_after: float = 0.0,
    batch: int = 64,
    progress: Progress | None = None,
) -> Motion:
    """Predict lip motion from a sound: mel windows, audio-to-lip, the published temporal Gaussian (`smooth`).

    Args:
        model: one with an audio-to-lip network.
        audio: a sound or its features, or the path of a sound file or of a video with sound.
        silence_before: seconds of silence to add before the sound, during which the mouth is closed.
        silence_after: seconds of silence to add after it. For features, neither is possible: pad their sound instead.
        batch: frames computed at once.

    Returns:
        A lip track at 25 fps, one frame for each full 40 ms of the sound.

    Raises:
        MotionError: the model has no audio-to-lip network.
        AudioError: the sound cannot be read or is unusable.
        ArgumentError: a batch or silence out of range.
    """
    network = model.audio_to_lip
    if network is None:
        raise MotionError(
            "This model has no audio-to-lip network, so it cannot read lips off a sound. Load Audio2Lip.pt with it: "
            "load_model('EDTalk.pt', 'Audio2Lip.pt')."
        )
    check_whole(batch, "The batch", low=1, unit="frames")
    features = audio_features(audio, silence_before, silence_after)
    parameter = next(network.parameters())
    lips = []
    with torch.inference_mode():
        for first in range(0, features.frames, batch):
            last = min(first + batch, features.frames)
            lips.append(network(features.windows(first, last).to(parameter)).float().cpu())
            if progress:
                progress(last, features.frames)
        return Motion(lip=smooth(torch.cat(lips)), fps=FPS)


def audio_features(
    audio: Sound | AudioFeatures | str | os.PathLike[str], silence_before: float = 0.0, silence_after: float = 0.0
) -> AudioFeatures:
    """Return the features of a sound or a file with silence around it; features pass through unchanged.

    Raises AudioError when the sound cannot be read, ArgumentError for silence to add to features.
    """
    if not isinstance(audio, AudioFeatures):
        return encode_audio(pad_silence(open_audio(audio), silence_before, silence_after))
    if silence_before or silence_after:
        raise ArgumentError("Silence is added to a sound, not to its features: pad the sound before encoding it.")
    return audio
