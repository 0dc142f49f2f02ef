"""Speech to emotion: a small network over statistics of the mel spectrogram, of acted speech (supplement 2.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.emotional_speech import Recording, read_recordings
from ..emotion.files import SPEECH_FORMAT, classifier_metadata, emotion_columns
from ..emotion.speech import NO_SPEECH, load_speech_emotion
from ..errors import EDTalkError
from ..networks.speech_emotion import WINDOW_COLUMNS, SpeechEmotionNetwork
from .settings import ClassifierSettings
from .stage import Stage, stack
from .typed_settings import Batch, Count, NotNegative, Positive, Share, Width
from .voice_variations import no_voice, varied_voice, window_of


@dataclass(frozen=True, kw_only=True)
class SpeechLosses:
    """Weights of the losses."""

    label: NotNegative = 1.0
    """Cross entropy of the labels of the recordings."""


@dataclass(frozen=True, kw_only=True)
class AudioToExpressionSettings(ClassifierSettings):
    """Settings of the stage "audio-to-expression"."""

    stage: Literal["audio-to-expression"] = "audio-to-expression"
    data: str
    """Manifest of labelled recordings, .tsv, see `edtalk_core.data.emotional_speech`."""
    losses: SpeechLosses = SpeechLosses()
    splits: tuple[str, ...] = ("train",)
    """Splits of the manifest to learn from."""
    width: Width = 128
    """Hidden width of a new network."""
    dropout: Share = 0.4
    """Share of the statistics, and of the hidden units, that are left out."""
    copies: Batch = 8
    """Windows that are cut out of each recording, all but the first varied at random."""
    augmentation: NotNegative = 0.5
    """Strength of random changes of pace, pitch, room and level, and of noise and music behind the voice."""
    smoothing: Share = 0.1
    """Share of a label that is spread over all."""
    batch: Batch = 128
    learning_rate: Positive = 2e-3
    steps: Count = 800
    ema: Share = 0.98


class AudioToExpressionStage(Stage):
    """Trains the speech emotion classifier. Windows are cut and varied once, at the start, since their statistics do
    not learn."""

    SETTINGS = AudioToExpressionSettings
    model: SpeechEmotionNetwork

    def __init__(self, model: SpeechEmotionNetwork, settings: AudioToExpressionSettings) -> None:
        super().__init__(model, settings)
        self.settings = settings
        recordings = read_recordings(Path(settings.data), settings.splits)
        self.labels = [*_emotions(recordings), NO_SPEECH]
        if len(self.labels) != model.classify.out_features:
            raise EDTalkError(
                f"{settings.init} tells {model.classify.out_features} classes apart and the recordings have "
                f"{len(self.labels)} ({', '.join(self.labels)}): train without init."
            )
        self.statistics, self.targets = self._windows(recordings)

    @classmethod
    def starting_model(cls, settings: AudioToExpressionSettings) -> SpeechEmotionNetwork:
        """Weights of `settings.init`, or new ones, with a class for each emotion of the data and one for no speech."""
        if settings.init:
            return load_speech_emotion(Path(settings.init)).network
        recordings = read_recordings(Path(settings.data), settings.splits)
        return SpeechEmotionNetwork(settings.width, len(_emotions(recordings)) + 1, settings.dropout)

    def metadata(self) -> dict[str, str]:
        """Labels and terms."""
        return classifier_metadata(SPEECH_FORMAT, self.labels, self.settings.license)

    def _windows(self, recordings: Sequence[Recording]) -> tuple[Tensor, Tensor]:
        """Statistics of windows of all recordings, and of as many without speech as an emotion has on average."""
        rng = np.random.default_rng([self.settings.seed, 1])
        backgrounds = [recording.mel for recording in recordings if not recording.emotion]
        voices = [recording for recording in recordings if recording.emotion]
        statistics, targets = [], []
        for copy in range(self.settings.copies):
            strength = self.settings.augmentation if copy else 0.0
            windows = [
                window_of(varied_voice(voice.mel, backgrounds, strength, rng), rng if copy else None)
                for voice in voices
            ]
            windows += [
                no_voice(WINDOW_COLUMNS, backgrounds, rng).astype(np.float32)
                for _ in range(len(voices) // max(1, len(self.labels) - 1))
            ]
            statistics.append(self.model.statistics(stack(windows)))
            labels = [voice.emotion for voice in voices] + [NO_SPEECH] * (len(windows) - len(voices))
            targets += [self.labels.index(label) for label in labels]
        return torch.cat(statistics), torch.tensor(targets)

    @torch.no_grad()
    def begin(self) -> None:
        """Measure mean and deviation of the statistics."""
        self.model.mean.copy_(self.statistics.mean(0))
        self.model.deviation.copy_(self.statistics.std(0) + 1e-4)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Statistics of windows, all labels equally often."""
        targets = self.targets.numpy()
        chances = (1 / np.bincount(targets, minlength=len(self.labels)).clip(min=1))[targets]
        chosen = torch.from_numpy(rng.choice(len(targets), self.settings.batch, p=chances / chances.sum()))
        return {"statistics": self.statistics[chosen], "label": self.targets[chosen]}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss "label", in nats."""
        logits = self.model.judge(batch["statistics"])
        return {"label": F.cross_entropy(logits, batch["label"], label_smoothing=self.settings.smoothing)}


def _emotions(recordings: Sequence[Recording]) -> list[str]:
    """The emotions that occur, sorted. Raises UnsupportedCheckpoint for a label that is none."""
    emotions = sorted({recording.emotion for recording in recordings if recording.emotion})
    emotion_columns(emotions, Path("The labelled speech"))
    return emotions
