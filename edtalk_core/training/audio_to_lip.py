"""Stage 4: speech to mouth. Lip weights are predicted from mel windows (supplement 1.3; losses of the main paper)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.clips import Clip, ClipStore
from ..data.phonetic_speech import read_phonetic_speech
from ..data.sound_offsets import sound_offsets
from ..data.tracks import motion_tracks
from ..errors import ArgumentError, EDTalkError
from ..face.landmarks import face_height, mouth_opening, mouth_width
from ..media.picture import pictures_to_images
from ..model import EDTalk
from ..motion.operations import smooth
from ..networks.audio_to_lip import PUBLISHED_WIDTHS, AudioToLip
from .articulation import mouth_shapes
from .losses import perceptual_loss
from .settings import AugmentedSettings, TrainingSettings
from .speech_variations import augment_sound, interpolate_rows, paced_windows
from .stage import TalkingHeadStage, frozen
from .typed_settings import Batch, Count, NotNegative, Positive, Range, Share

logger = logging.getLogger("edtalk")

SYNC_FRAMES = 5
"""Number of frames that a mel window spans (0.2 s), as in Wav2Lip's SyncNet."""
PACE = 0.15
"""Largest logarithm of the random factor on the pace of speech."""
MAX_AMPLITUDE_FACTOR = 2.5
"""Largest factor by which `equal_amplitudes` scales a clip's lip weights: very small motion is mostly noise."""


class SyncExpert(nn.Module):
    """Sync expert: cosine similarity between embeddings of 5 frames of lip weights and of a mel window.

    Wav2Lip's SyncNet operates on pixels, and its weights may not be redistributed; this one operates on lip weights, is
    trained jointly, and is very cheap.
    """

    def __init__(self, lip: int, width: int = 64) -> None:
        super().__init__()
        self.mouth = nn.Sequential(nn.Linear(SYNC_FRAMES * lip, 128), nn.ReLU(), nn.Linear(128, width))
        self.sound = nn.Sequential(nn.Linear(80 * 16, 256), nn.ReLU(), nn.Linear(256, width))

    def forward(self, lip: Tensor, windows: Tensor) -> Tensor:
        """Lip weights (B,5,lip) and the mel window (B,80,16) at their middle -> logit (B,) of being in sync."""
        mouth, sound = self.mouth(lip.flatten(1)), self.sound(windows.flatten(1) / 4)
        return 5 * F.cosine_similarity(mouth, sound, dim=-1)


@dataclass(frozen=True, kw_only=True)
class AudioToLipLosses:
    """Weights of the losses."""

    weights: NotNegative = 1.0
    """Squared error of the lip weights, in units of their deviation."""
    smoothness: NotNegative = 0.1
    """Squared error of the differences between neighbouring frames."""
    image: NotNegative = 1.0
    """L1 and perceptual loss of one rendered frame per sample."""
    sync: NotNegative = 0.1
    """Loss of the sync expert's judgement of predicted lip weights."""
    expert: NotNegative = 1.0
    """The sync expert's own loss, used if the weight of "sync" is not 0."""


@dataclass(frozen=True, kw_only=True)
class AudioToLipSettings(AugmentedSettings):
    """Settings of the stage "audio-to-lip"."""

    stage: Literal["audio-to-lip"] = "audio-to-lip"
    losses: AudioToLipLosses = AudioToLipLosses()
    sequence_frames: Annotated[int, Range("a whole number from 5 to 10,000", 5, 10_000)] = 16
    """Consecutive frames of a sample."""
    network_width: Annotated[float, Range("a number above 0 and at most 8", 0, 8, low_excluded=True)] = 1.0
    """Channels of a new audio encoder relative to the published ones."""
    measured_weights: bool = False
    """Learn from weights measured by landmarks instead of those that the model reads: less noisy than those of a partly
    trained encoder."""
    lip_gain: Positive = 1.0
    """Factor on the target lip weights, since a regression underestimates motion."""
    equal_amplitudes: bool = False
    """Scale the lip weights of all clips to the same amplitude: how far a person opens the mouth cannot be heard, and a
    few large amplitudes would dominate the loss."""
    opening_curve: tuple[tuple[float, float], ...] = ()
    """Pairs of values of the first target lip weight, the opening of measured weights, before and after a piecewise
    linear change; the first values ascend, beyond them the ends hold. Closures can be deepened and half open mouths
    opened, where a portrait with shut lips renders them shut."""
    smooth_predictions: bool = False
    """Learn to predict weights that are right after the temporal smoothing with which they are used (`smooth`), which
    would otherwise open the lips in closures and close them in vowels."""
    phonetic_speech: str = ""
    """File of speech with known phones (tools/make_phonetic_speech.py). Its mouths follow from its phones (see
    `articulation`), so that there can be any amount of it. Requires `measured_weights`."""
    phonetic_share: Share = 0.0
    """Share of a batch that is drawn from `phonetic_speech`, rounded to samples."""
    align_sound: bool = False
    """Correct audio-video offsets of clips first, of at most a quarter of a second."""
    vgg_file: str = ""
    """File with torchvision's VGG-19 weights for the perceptual loss; empty: oriented gradients instead."""
    batch: Batch = 4
    learning_rate: Positive = 5e-4
    steps: Count = 30000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phonetic_samples and not (self.phonetic_speech and self.measured_weights):
            raise ArgumentError(
                "phonetic_share needs a file of phonetic_speech, and measured_weights, one of which is the opening."
            )
        before = [first for first, _ in self.opening_curve]
        if any(first >= second for first, second in pairwise(before)) or not np.isfinite(self.opening_curve).all():
            raise ArgumentError("opening_curve must be pairs of finite numbers, the first of which ascend.")
        if self.smooth_predictions and self.sequence_frames < SYNC_FRAMES + 2:
            raise ArgumentError(f"smooth_predictions needs sequence_frames of at least {SYNC_FRAMES + 2}.")
        if self.phonetic_samples == self.batch:
            raise ArgumentError(f"phonetic_share leaves none of the {self.batch} samples of a batch to clips.")

    def changed_opening(self, lip: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lip weights (T,lip) with the opening changed by `opening_curve`."""
        if not self.opening_curve:
            return lip
        opening = np.interp(lip[:, 0], *np.transpose(self.opening_curve))
        return np.column_stack([opening, lip[:, 1:]]).astype(np.float32)

    @property
    def phonetic_samples(self) -> int:
        """Samples of a batch that are drawn from `phonetic_speech`."""
        return round(self.batch * self.phonetic_share)


@dataclass(frozen=True, eq=False)
class Recording:
    """Speech with target lip weights."""

    mel: NDArray[np.float32]
    """(columns,80)."""
    lip: NDArray[np.float32]
    """(frames,lip)."""
    offset: int = 0
    """Number of frames that the mouth is behind the sound."""
    clip: Clip | None = None
    """Clip with the speaker's pictures, if there is one."""


class SpeechSampler:
    """Draws consecutive frames of speech with their target lip weights, in sync with the sound.

    Raises EDTalkError when no clip with speech is long enough.
    """

    def __init__(self, model: EDTalk, settings: AudioToLipSettings) -> None:
        self.settings = settings
        self.store = ClipStore(settings.data, speech=True)
        frames = settings.sequence_frames
        self.store.filter(lambda clip: len(clip) >= frames, f"at least {frames} frames")
        tracks = motion_tracks(model, ClipStore(settings.data), settings.measured_weights, settings.out)
        spreads = {name: weights["lip"].var(0).sum().sqrt() for name, weights in tracks.items()}
        median = torch.stack([spreads[clip.info.name] for clip in self.store.clips]).median()
        factors = {
            name: float((median / spread).clamp(1 / MAX_AMPLITUDE_FACTOR, MAX_AMPLITUDE_FACTOR))
            if settings.equal_amplitudes
            else 1.0
            for name, spread in spreads.items()
        }
        self.tracks = {
            name: {**weights, "lip": weights["lip"] * (settings.lip_gain * factors[name])}
            for name, weights in tracks.items()
        }
        """Weights by clip and track, before `opening_curve`."""
        self.offsets = dict.fromkeys(self.tracks, 0)
        """Number of frames that the mouth is behind the sound, by clip."""
        if settings.align_sound:
            self._align()
        lips = [self.tracks[clip.info.name]["lip"] for clip in self.store.clips]
        self.spread = torch.cat(lips).std(0).square().mean().sqrt()
        """Deviation of the lip weights."""
        self.targets = {name: settings.changed_opening(weights["lip"].numpy()) for name, weights in self.tracks.items()}
        """Target lip weights by clip."""
        self.phonetic = self._phonetic_recordings() if settings.phonetic_samples else []
        """Speech of `phonetic_speech`."""

    def _phonetic_recordings(self) -> list[Recording]:
        settings = self.settings
        weights_of = fit_shapes([(clip, self.tracks[clip.info.name]["lip"].numpy()) for clip in self.store.clips])
        recordings = [
            Recording(
                utterance.mel, settings.changed_opening(weights_of(mouth_shapes(utterance.phones, len(utterance))))
            )
            for utterance in read_phonetic_speech(Path(settings.phonetic_speech))
            if len(utterance) >= settings.sequence_frames
        ]
        if not recordings:
            raise EDTalkError(
                f"{settings.phonetic_speech} has no utterance of at least {settings.sequence_frames} frames."
            )
        return recordings

    def _align(self) -> None:
        clips = self.store.clips
        windows = [clip.mel_windows(np.arange(len(clip))) for clip in clips]
        lips = [self.tracks[clip.info.name]["lip"].numpy() for clip in clips]
        offsets, agreement = sound_offsets(windows, lips, [clip.info.person for clip in clips])
        for clip, offset in zip(clips, offsets, strict=True):
            limit = len(clip) - self.settings.sequence_frames
            self.offsets[clip.info.name] = max(-limit, min(limit, offset))
        logger.info(
            "Frames by which mouths are behind their sound: %s. Corrected, lips are predicted with r = %.2f.",
            {name: offset for name, offset in self.offsets.items() if offset} or "none",
            agreement,
        )

    def draw(self, rng: np.random.Generator, samples: int) -> dict[str, Tensor]:
        """Draw a batch: mel windows (B,T,80,16), lip (B,T,lip), windows out of sync (B,80,16), and images.

        The last `phonetic_samples` of the batch are phonetic speech and have no images.
        """
        phonetic = self.settings.phonetic_samples
        rows = [self.sample(rng, self._clip_recording(rng)) for _ in range(samples - phonetic)]
        rows += [self.sample(rng, self.phonetic[int(rng.integers(len(self.phonetic)))]) for _ in range(phonetic)]
        if strength := self.settings.augmentation:
            for row in rows:
                row["windows"] = torch.from_numpy(augment_sound(row["windows"].numpy(), rng, strength))
            for row in rows:
                row["unsynced"] = torch.from_numpy(augment_sound(row["unsynced"][None].numpy(), rng, strength)[0])
        return {name: torch.stack([row[name] for row in rows if name in row]) for name in rows[0]}

    def _clip_recording(self, rng: np.random.Generator) -> Recording:
        clip = self.store.sample_clip(rng)
        assert clip.mel is not None
        if not np.isfinite(clip.mel).all():
            raise EDTalkError(f"The sound of {clip.path} holds values that are not finite; run `edtalk prepare` again.")
        return Recording(clip.mel, self.targets[clip.info.name], self.offsets[clip.info.name], clip)

    def sample(self, rng: np.random.Generator, speech: Recording) -> dict[str, Tensor]:
        """Draw a sample of a recording, without augmentation of its sound."""
        settings, frames, offset = self.settings, self.settings.sequence_frames, speech.offset
        length = len(speech.lip) - abs(offset)
        pace = float(np.exp(rng.uniform(-1, 1) * settings.augmentation * PACE))
        pace = min(pace, (length - 1) / max(frames - 1, 1))
        # Positions of the frames in the sound, in frames of the recording, at the random pace.
        first = rng.uniform(0, length - 1 - pace * (frames - 1))
        positions = (first if pace != 1 else round(first)) + pace * np.arange(frames) + max(0, -offset)
        middle = round(float(positions[frames // 2]))
        # Out of sync by at least half a mel window, anywhere in the recording.
        shifts = [i for i in range(len(speech.lip)) if abs(i - middle) > SYNC_FRAMES // 2]
        row = {
            "windows": torch.from_numpy(paced_windows(speech.mel, positions, pace)),
            "lip": torch.from_numpy(interpolate_rows(speech.lip, positions + offset)),
            "unsynced": torch.from_numpy(paced_windows(speech.mel, np.array([int(rng.choice(shifts))]), 1.0)[0]),
        }
        if settings.losses.image and speech.clip is not None:
            clip, tracks = speech.clip, self.tracks[speech.clip.info.name]
            source, target = int(rng.integers(len(clip))), middle + offset
            for name, index in (("sources", source), ("targets", target)):
                row[name] = pictures_to_images(clip.frame(index, settings.resolution))
            row |= {name: tracks[name][target] for name in ("pose", "expression") if name in tracks}
        return row


def fit_shapes(
    clips: Sequence[tuple[Clip, NDArray[np.float32]]],
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Fit lip weights (T,lip) of clips by the opening and width of their mouths, by least squares.

    Returns a function of shapes (T,2) in the units of `articulation`: opening is 0 and 1 at the 5th and 95th percentile
    of each clip; width, -1 and 1 there, is that beyond what the opening brings with it.
    """
    lips = np.concatenate([lip for _, lip in clips]).astype(np.float64)
    sizes = [
        np.stack([mouth_opening(clip.points), mouth_width(clip.points)], -1) / face_height(clip.points)[:, None]
        for clip, _ in clips
    ]
    opening = np.column_stack(
        [np.concatenate([_between_percentiles(size[:, 0]) for size in sizes]), np.ones(len(lips))]
    )
    by_opening = np.linalg.lstsq(opening, lips, rcond=None)[0]
    widths = [
        2 * _between_percentiles(width - np.polyval(np.polyfit(opened, width, 1), opened)) - 1
        for opened, width in (size.T for size in sizes)
    ]
    by_width = np.linalg.lstsq(np.concatenate(widths)[:, None], lips - opening @ by_opening, rcond=None)[0]
    effects = np.concatenate([by_opening[:1], by_width])
    return lambda shapes: np.asarray(shapes @ effects + by_opening[1], np.float32)


def _between_percentiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (T,) scaled so that their 5th percentile is 0 and their 95th 1."""
    low, high = np.percentile(values, (5, 95))
    return np.asarray((values - low) / max(high - low, 1e-6))


class AudioToLipStage(TalkingHeadStage):
    """Trains audio-to-lip by L2 on weights, L2 on their differences, image reconstruction and sync loss."""

    SETTINGS = AudioToLipSettings
    TRAINED = ("audio_to_lip.",)

    def __init__(self, model: EDTalk, settings: AudioToLipSettings) -> None:
        super().__init__(model, settings)
        self.settings, self.losses = settings, settings.losses
        self.sampler = SpeechSampler(model, settings)
        self.expert = SyncExpert(model.sizes.lip) if self.losses.sync else None
        self.perceptual = perceptual_loss(settings.vgg_file)

    @classmethod
    def complete(cls, model: EDTalk, settings: TrainingSettings) -> None:
        """Add a new audio-to-lip network if the model has none."""
        assert isinstance(settings, AudioToLipSettings)
        if model.audio_to_lip is None:
            widths = tuple(max(8, round(width * settings.network_width)) for width in PUBLISHED_WIDTHS)
            model.audio_to_lip = AudioToLip(model.sizes.lip, widths)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """See `SpeechSampler.draw`."""
        return self.sampler.draw(rng, self.settings.batch)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses "weights", "smoothness", "image", "sync" and "expert"."""
        assert self.model.audio_to_lip is not None
        windows, lip = batch["windows"], batch["lip"]
        spread = self.sampler.spread.to(lip)
        predicted = self.model.audio_to_lip(windows.flatten(0, 1)).view(lip.shape).float()
        if self.settings.smooth_predictions:
            # The first and the last frame lack a neighbour.
            predicted = torch.stack([smooth(sample) for sample in predicted])[:, 1:-1]
            lip, windows = lip[:, 1:-1], windows[:, 1:-1]
        losses: dict[str, Tensor] = {}
        if self.losses.weights:
            losses["weights"] = F.mse_loss(predicted / spread, lip / spread)
        if self.losses.smoothness:
            losses["smoothness"] = F.mse_loss(predicted.diff(dim=1) / spread, lip.diff(dim=1) / spread)
        middle = lip.shape[1] // 2
        if self.losses.image:
            latent, features = self.model.enc["net_app"](batch["sources"])
            expression = batch.get("expression")
            lips = predicted[: len(latent), middle]
            direction, part = self.model.directions(lips, batch["pose"], expression)
            image = self.model.dec(latent + direction, features, part).float()
            losses["image"] = F.l1_loss(image, batch["targets"]) + self.perceptual(image, batch["targets"])
        if self.expert is not None:
            around = slice(middle - SYNC_FRAMES // 2, middle + SYNC_FRAMES // 2 + 1)
            in_sync = self.expert(lip[:, around] / spread, windows[:, middle])
            out_of_sync = self.expert(lip[:, around] / spread, batch["unsynced"])
            losses["expert"] = F.softplus(-in_sync).mean() + F.softplus(out_of_sync).mean()
            judged = frozen(self.expert, predicted[:, around] / spread, windows[:, middle])
            losses["sync"] = F.softplus(-judged).mean()
        return losses
