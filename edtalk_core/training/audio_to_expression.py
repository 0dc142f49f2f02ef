"""Speech to emotion: a small classifier over what an encoder of voices hears, of acted speech (supplement 2.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..builtin_files import builtin_file
from ..checkpoints.reading import read_checkpoint
from ..data.emotional_speech import Recording, read_recordings
from ..emotion.files import SPEECH_FORMAT, classifier_metadata, emotion_columns
from ..emotion.speech import NO_SPEECH, load_speech_emotion
from ..errors import EDTalkError, UnsupportedCheckpoint
from ..networks.speech_emotion import WINDOW_COLUMNS, SpeechEmotionNetwork
from .settings import ClassifierSettings
from .stage import Stage, stack
from .typed_settings import Batch, Count, NotNegative, Positive, Range, Share, Width
from .voice_variations import no_voice, varied_voice, window_of

_BATCH = 64
"""Windows whose statistics are taken at once."""
_LSTM_TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


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
    encoder: str = ""
    """File with the encoder of a new network: a speech emotion classifier, or the pretrained.pt of Resemblyzer. Empty:
    the classifier that ships."""
    encoder_layers: Annotated[int, Range("a whole number from 1 to 8", 1, 8)] = 2
    """Layers of the encoder that are used; its last ones hear who speaks rather than how."""
    width: Width = 128
    """Hidden width of a new network."""
    dropout: Share = 0.5
    """Share of the statistics, and of the hidden units, that are left out."""
    copies: Batch = 4
    """Windows that are cut out of each recording, all but the first varied at random."""
    augmentation: NotNegative = 1.0
    """Strength of random changes of pace, pitch, room and level, and of noise and music behind the voice."""
    smoothing: Share = 0.1
    """Share of a label that is spread over all."""
    batch: Batch = 128
    learning_rate: Positive = 2e-3
    steps: Count = 400
    ema: Share = 0.98


class AudioToExpressionStage(Stage):
    """Trains the speech emotion classifier. Windows are cut and varied once, at the start, since the encoder, and with
    it their statistics, does not learn."""

    SETTINGS = AudioToExpressionSettings
    TRAINED = ("hidden.", "classify.")
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
        encoder = _voice_encoder(settings)
        sizes = SpeechEmotionNetwork.sizes_of(encoder)
        sizes |= {"width": settings.width, "classes": len(_emotions(recordings)) + 1, "dropout": settings.dropout}
        model = SpeechEmotionNetwork(**sizes)
        model.load_state_dict(encoder, strict=False)
        return model

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
            statistics += [
                self.model.statistics(stack(windows[first : first + _BATCH]))
                for first in range(0, len(windows), _BATCH)
            ]
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


def _voice_encoder(settings: AudioToExpressionSettings) -> dict[str, Tensor]:
    """Tensors of the first layers of the encoder, under the names that they have in a `SpeechEmotionNetwork`.

    Raises UnsupportedCheckpoint for a file without them.
    """
    path = Path(settings.encoder) if settings.encoder else builtin_file("speech_emotion.safetensors")
    tensors = read_checkpoint(path).tensors
    prefix = "encoder." if any(name.startswith("encoder.") for name in tensors) else "lstm."
    names = [f"{kind}_l{layer}" for layer in range(settings.encoder_layers) for kind in _LSTM_TENSORS]
    missing = [name for name in names if prefix + name not in tensors]
    if missing:
        raise UnsupportedCheckpoint(
            f"{path} has no {prefix}{missing[0]}: expected a speech emotion classifier, or the voice encoder of "
            f"Resemblyzer, with {settings.encoder_layers} layers at least."
        )
    return {f"encoder.{name}": tensors[prefix + name].float() for name in names}


def _emotions(recordings: Sequence[Recording]) -> list[str]:
    """The emotions that occur, sorted. Raises UnsupportedCheckpoint for a label that is none."""
    emotions = sorted({recording.emotion for recording in recordings if recording.emotion})
    emotion_columns(emotions, Path("The labelled speech"))
    return emotions
