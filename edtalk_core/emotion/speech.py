"""Emotion of a voice over time, by the classifier that ships or another of its kind."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..builtin_files import builtin_file
from ..media.mel import COLUMNS_PER_SECOND, AudioFeatures
from ..motion.motion import FPS
from ..motion.presets import EMOTIONS
from ..networks.speech_emotion import WINDOW_COLUMNS, SpeechEmotionNetwork
from .files import SPEECH_FORMAT, emotion_columns, read_classifier
from .fusion import smoothed

NO_SPEECH = "none"
"""Label of sounds in which nobody speaks."""

_STEP_COLUMNS = 40
"""Mel columns from a window to the next: 0.5 s."""
_BATCH = 64
_LASTS = 1.0
"""Deviation in seconds of the Gaussian over which the probabilities are averaged."""


@dataclass(frozen=True, eq=False)
class SpeechEmotion:
    """A classifier of the emotion of a voice, over windows of 2.5 s."""

    network: SpeechEmotionNetwork
    columns: tuple[int, ...]
    """Index in EMOTIONS of each output of the network, -1 for sounds without speech."""
    license: str
    """Terms of its weights."""

    def judge(self, windows: Tensor) -> Tensor:
        """Mel windows (N,columns,80) in [-4,4] -> probabilities (N,9): EMOTIONS, and that nobody speaks."""
        with torch.inference_mode():
            shares = self.network(windows).softmax(1)
        probabilities = torch.zeros(len(windows), len(EMOTIONS) + 1)
        probabilities[:, list(self.columns)] = shares
        return probabilities

    def over_time(self, features: AudioFeatures) -> Tensor:
        """Return the probabilities (frames,9) of EMOTIONS, and that nobody speaks, in each frame of 25 fps video.

        They are averaged over about 2 s: a feeling lasts, and a single word is easily misheard. At its ends, and where
        it is shorter than a window, a sound is continued by its first and last moment.
        """
        half = WINDOW_COLUMNS // 2
        centres = np.arange(0, len(features.mel) + _STEP_COLUMNS, _STEP_COLUMNS)
        columns = np.clip(centres[:, None] + np.arange(-half, half)[None], 0, len(features.mel) - 1)
        judged = torch.cat(
            [
                self.judge(torch.from_numpy(features.mel[columns[first : first + _BATCH]]))
                for first in range(0, len(columns), _BATCH)
            ]
        ).numpy()
        times = np.arange(features.frames) / FPS
        nodes = centres / COLUMNS_PER_SECOND
        values = np.stack([np.interp(times, nodes, judged[:, emotion]) for emotion in range(judged.shape[1])], axis=1)
        return smoothed(torch.from_numpy(values).float(), _LASTS * FPS)


@functools.lru_cache(maxsize=2)
def load_speech_emotion(path: Path | None = None) -> SpeechEmotion:
    """Load a classifier of voices, by default the one that ships; the last ones stay in memory.

    Raises UnsupportedCheckpoint for a file that is missing, damaged or something else.
    """
    path = path or builtin_file("speech_emotion.safetensors")
    state, labels, checkpoint = read_classifier(path, SPEECH_FORMAT)
    network = SpeechEmotionNetwork.from_state_dict(state)
    emotions = emotion_columns([label for label in labels if label != NO_SPEECH], path)
    columns = [-1 if label == NO_SPEECH else emotions.pop(0) for label in labels]
    return SpeechEmotion(network, tuple(columns), checkpoint.metadata.get("license", ""))
