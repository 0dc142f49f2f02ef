"""Stage 4: speech to mouth. Lip weights are predicted from mel windows (supplement 1.3; losses of the main paper)."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.clips import Clip, ClipStore
from ..data.sound_offsets import sound_offsets
from ..data.tracks import motion_tracks
from ..media.mel import WINDOW_COLUMNS
from ..model import EDTalk
from ..networks.audio_to_lip import PUBLISHED_WIDTHS, AudioToLip
from .config import TrainingConfig
from .losses import perceptual_loss
from .stage import Stage, frozen

logger = logging.getLogger("edtalk")

SYNC_FRAMES = 5
"""Frames that a mel window spans (0.2 s), as in Wav2Lip's SyncNet."""


class SyncExpert(nn.Module):
    """Whether mouth and sound belong together: cosine of an embedding of 5 frames of lip weights and of one mel window.

    Wav2Lip's SyncNet looks at pixels and its weights may not be shipped; this one looks at the weights, learns along,
    and costs next to nothing.
    """

    def __init__(self, lip: int, width: int = 64) -> None:
        super().__init__()
        self.mouth = nn.Sequential(nn.Linear(SYNC_FRAMES * lip, 128), nn.ReLU(), nn.Linear(128, width))
        self.sound = nn.Sequential(nn.Linear(80 * 16, 256), nn.ReLU(), nn.Linear(256, width))

    def forward(self, lip: Tensor, windows: Tensor) -> Tensor:
        """Lip weights (B,5,lip) and the mel window (B,80,16) at their middle -> logit (B,) of being in sync."""
        mouth, sound = self.mouth(lip.flatten(1)), self.sound(windows.flatten(1) / 4)
        return 5 * F.cosine_similarity(mouth, sound, dim=-1)


PACE = 0.15
"""Speech is made faster or slower by up to e to the power of this."""
MOST_EVENED = 2.5
"""Factor by which a clip's mouth is enlarged or reduced at most: what hardly moves is mostly noise."""


class AudioToLipStage(Stage):
    """L2 on weights, 0.1 x L2 on their differences, image reconstruction, sync loss.

    `options.sequence`: consecutive frames a sample (16). `options.widths`: channels of the audio encoder relative to
    the published ones (1.0). `options.measured`: see `motion_tracks`.
    `options.gain`: factor on the lip weights to learn (1.0), since a regression moves less than a mouth does.
    `options.even`: bring the mouths of all clips to the same amplitude (false): how far somebody opens the mouth cannot
    be heard, and a few who open it wide would count for most.
    `options.aligned`: bring clips whose sound is early or late in step first (false), by at most a quarter of a second.
    """

    NAME = "audio-to-lip"
    TRAINED = ("audio_to_lip.",)
    DEFAULTS: ClassVar = {
        "losses": {"weights": 1.0, "smoothness": 0.1, "image": 1.0, "sync": 0.1, "expert": 1.0},
        "batch": 4,
        "learning_rate": 5e-4,
        "steps": 30000,
    }

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        if model.audio_to_lip is None:
            relative = float(config.options.get("widths", 1.0))
            widths = tuple(max(8, round(width * relative)) for width in PUBLISHED_WIDTHS)
            model.audio_to_lip = AudioToLip(model.sizes.lip, widths)
        super().__init__(model, config)
        self.audio_to_lip = model.audio_to_lip
        self.store = ClipStore(config.data, speech=True)
        self.sequence = int(config.options.get("sequence", 16))
        self.store.keep(lambda clip: len(clip) >= self.sequence, f"at least {self.sequence} frames")
        gain = float(config.options.get("gain", 1.0))
        tracks = motion_tracks(model, ClipStore(config.data), config.options.get("measured", False), config.out)
        spreads = {name: own["lip"].var(0).sum().sqrt() for name, own in tracks.items()}
        usual = torch.stack([spreads[clip.info.name] for clip in self.store.clips]).median()
        even = {
            name: float((usual / spread).clamp(1 / MOST_EVENED, MOST_EVENED)) if config.options.get("even") else 1.0
            for name, spread in spreads.items()
        }
        self.tracks = {name: {**own, "lip": own["lip"] * (gain * even[name])} for name, own in tracks.items()}
        self.offsets = dict.fromkeys(self.tracks, 0)
        if config.options.get("aligned"):
            self._align()
        self.spread = (
            torch.cat([self.tracks[clip.info.name]["lip"] for clip in self.store.clips]).std(0).square().mean().sqrt()
        )
        self.expert = SyncExpert(model.sizes.lip) if self.weight("sync") else None
        self.perceptual = perceptual_loss(config)

    def _align(self) -> None:
        clips = self.store.clips
        windows = [clip.mel_windows(np.arange(len(clip))) for clip in clips]
        lips = [self.tracks[clip.info.name]["lip"].numpy() for clip in clips]
        offsets, agreement = sound_offsets(windows, lips, [clip.info.person for clip in clips])
        for clip, offset in zip(clips, offsets, strict=True):
            most = len(clip) - self.sequence
            self.offsets[clip.info.name] = max(-most, min(most, offset))
        logger.info(
            "Frames by which mouths come after their sound: %s. In step, mouths are heard with r = %.2f.",
            {name: offset for name, offset in self.offsets.items() if offset} or "none",
            agreement,
        )

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Mel windows (B,T,80,16), lip (B,T,lip), windows out of step (B,80,16), and frames for the image loss."""
        windows, lips, others, poses, expressions = [], [], [], [], []
        sources: list[np.ndarray] = []
        targets: list[np.ndarray] = []
        for _ in range(self.config.batch):
            clip = self.store.sample_clip(rng)
            tracks, offset = self.tracks[clip.info.name], self.offsets[clip.info.name]
            length = len(clip) - abs(offset)
            pace = float(np.exp(rng.uniform(-1, 1) * self.config.augmentation * PACE))
            pace = min(pace, (length - 1) / max(self.sequence - 1, 1))
            # Places of the frames in the clip's sound, which is faster or slower speech; and in its pictures.
            first = rng.uniform(0, length - 1 - pace * (self.sequence - 1))
            places = (first if pace != 1 else round(first)) + pace * np.arange(self.sequence) + max(0, -offset)
            frames = places + offset
            windows.append(paced_windows(clip, places, pace))
            lips.append(torch.from_numpy(between(tracks["lip"].numpy(), frames)))
            middle = round(float(places[self.sequence // 2]))
            # Out of step by at least half a mel window, anywhere in the clip.
            shifts = [i for i in range(len(clip)) if abs(i - middle) > SYNC_FRAMES // 2]
            others.append(clip.mel_windows([int(rng.choice(shifts))])[0])
            if self.weight("image"):
                size = self.config.resolution
                first, second = int(rng.integers(len(clip))), middle + offset
                for index, kept in ((first, sources), (second, targets)):
                    kept.append(clip.frame(index, size).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)
                poses.append(tracks["pose"][second])
                if "expression" in tracks:
                    expressions.append(tracks["expression"][second])
        if self.config.augmentation:
            windows = [vary_sound(window, rng, self.config.augmentation) for window in windows]
            others = [vary_sound(other[None], rng, self.config.augmentation)[0] for other in others]
        batch = {
            "windows": torch.from_numpy(np.stack(windows)),
            "lip": torch.stack(lips),
            "others": torch.from_numpy(np.stack(others)),
        }
        if sources:
            batch |= {
                "sources": torch.from_numpy(np.stack(sources)),
                "targets": torch.from_numpy(np.stack(targets)),
                "pose": torch.stack(poses),
            }
        if expressions:
            batch["expression"] = torch.stack(expressions)
        return batch

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses weights, smoothness, image, sync, and that of the sync expert itself."""
        windows, lip = batch["windows"], batch["lip"]
        spread = self.spread.to(lip)
        predicted = self.audio_to_lip(windows.flatten(0, 1)).view(lip.shape).float()
        losses = {
            "weights": F.mse_loss(predicted / spread, lip / spread),
            "smoothness": F.mse_loss(predicted.diff(dim=1) / spread, lip.diff(dim=1) / spread),
        }
        middle = self.sequence // 2
        if self.weight("image"):
            latent, features = self.model.enc["net_app"](batch["sources"])
            expression = batch.get("expression")
            direction, part = self.model.directions(predicted[:, middle], batch["pose"], expression)
            image = self.model.dec(latent + direction, features, part).float()
            losses["image"] = F.l1_loss(image, batch["targets"]) + self.perceptual(image, batch["targets"])
        if self.expert is not None:
            around = slice(middle - SYNC_FRAMES // 2, middle + SYNC_FRAMES // 2 + 1)
            in_step = self.expert(lip[:, around] / spread, windows[:, middle])
            out_of_step = self.expert(lip[:, around] / spread, batch["others"])
            losses["expert"] = F.softplus(-in_step).mean() + F.softplus(out_of_step).mean()
            judged = frozen(self.expert, predicted[:, around] / spread, windows[:, middle])
            losses["sync"] = F.softplus(-judged).mean()
        return losses


def between(rows: NDArray[np.float32], places: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows (N,D) at places (...) between them, linearly; beyond the ends, the ends: (...,D)."""
    places = np.clip(places, 0, len(rows) - 1)
    low = np.floor(places).astype(np.int64)
    share = (places - low)[..., None].astype(np.float32)
    return np.asarray(rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share)


def paced_windows(clip: Clip, frames: NDArray[np.floating[Any]], pace: float) -> NDArray[np.float32]:
    """Mel windows (T,80,16) at places in a clip, in frames of it, of speech that is `pace` times as fast."""
    assert clip.mel is not None
    middle = np.trunc(80 / 25 * (frames - 2)) + WINDOW_COLUMNS / 2
    columns = middle[:, None] + pace * (np.arange(WINDOW_COLUMNS) - WINDOW_COLUMNS / 2)
    return between(clip.mel, columns).transpose(0, 2, 1)


def vary_sound(windows: NDArray[np.float32], rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Mel windows (T,80,16) as another voice, microphone and room would have them.

    Level up to 15 dB up or down, a tilt and slow colouring of the spectrum, pitch (bands moved by up to 5), noise, and
    a masked stretch of bands (SpecAugment). A few hundred seconds of speech are otherwise learned by heart.
    """
    bands = np.arange(80)
    moved = np.clip(bands + strength * rng.uniform(-5, 5), 0, 79)
    low = moved.astype(int)
    share = (moved - low)[None, :, None].astype(np.float32)
    varied = windows[:, low] * (1 - share) + windows[:, np.minimum(low + 1, 79)] * share
    # 8 units are 100 dB.
    colour = rng.uniform(-1.2, 1.2) + rng.uniform(-0.8, 0.8) * (bands / 40 - 1)
    colour = colour + np.interp(bands, np.linspace(0, 79, 6), rng.normal(0, 0.4, 6))
    varied = varied + (strength * colour)[None, :, None]
    varied = np.logaddexp(4 * varied, 4 * rng.uniform(-5, -2.5)) / 4  # A floor of noise swallows what is quiet.
    varied = varied + strength * rng.normal(0, rng.uniform(0, 0.4), varied.shape)
    if rng.random() < 0.5:
        first = int(rng.integers(0, 70))
        varied[:, first : first + int(rng.integers(3, 16))] = varied.mean()
    return np.clip(varied, -4, 4).astype(np.float32)
