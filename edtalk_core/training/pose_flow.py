"""Stage 5: speech to head motion. Maximum likelihood of clips' pose weights under the pose flow (supplement 1.1)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import ClipStore
from ..data.pose_clips import PoseClip, pose_clips
from ..data.tracks import motion_tracks
from ..errors import EDTalkError
from ..model import EDTalk
from ..motion.presets import EMOTIONS
from ..networks.pose_flow import PoseFlow
from ..networks.speech_encoder import SPECTRUM
from .settings import TrainingSettings
from .stage import TalkingHeadStage
from .typed_settings import Batch, Count, Frames, Momentum, NotNegative, Positive, Range, Share, Width


class PoseWindows:
    """Draws training batches from clips: windows of `frames` consecutive frames, augmented against overfitting.

    Args:
        clips: the clips, drawn in proportion to their length; one shorter than a window is padded.
        frames: length of a window.
        amplitude: spread of the random gain of a window's movement about its first frame (deviation of its
            logarithm): people move in the same way by different amounts.
        noise: deviation of the noise added to poses, in units of the movement from frame to frame. It keeps the density
            from fitting rounding errors, and teaches sampling to recover from its own errors.
        silence: share of windows with speech that are shown without it, so that the flow also works without sound.
        labelled: share of windows that come from clips with an emotion; None: as many as there are.
        unfelt: share of windows with an emotion that are shown without it, so that the flow also works without.
    """

    def __init__(
        self,
        clips: Sequence[PoseClip],
        frames: int,
        *,
        amplitude: float = 0.5,
        noise: float = 0.05,
        silence: float = 0.2,
        labelled: float | None = None,
        unfelt: float = 0.0,
    ) -> None:
        self.clips, self.frames = clips, frames
        self.amplitude, self.noise, self.silence, self.unfelt = amplitude, noise, silence, unfelt
        lengths = np.array([len(clip.pose) for clip in clips])
        has_label = np.array([bool(clip.emotion) for clip in clips])
        if labelled is not None and has_label.any() and not has_label.all():
            lengths = np.where(
                has_label,
                labelled * lengths / lengths[has_label].sum(),
                (1 - labelled) * lengths / lengths[~has_label].sum(),
            )
        self._probabilities = lengths / lengths.sum()
        self._pace = torch.cat([clip.pose.diff(dim=0) for clip in clips]).std(0)

    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Tensor]:
        """Draw a batch: pose (B,T,pose), spectra (B,T,80), heard (B,), known (B,T) and emotion (B,8), 1 or 0.

        `heard` says whether a window has speech, `known` which frames are not padding, `emotion` which of EMOTIONS it
        has, none where that is not known.
        """
        poses, spectra, heard, known, emotions = [], [], [], [], []
        for index in rng.choice(len(self.clips), size, p=self._probabilities):
            clip = self.clips[index]
            start = int(rng.integers(max(1, len(clip.pose) - self.frames + 1)))
            frames = torch.arange(start, start + self.frames)
            known.append(frames < len(clip.pose))
            frames = frames.clamp(max=len(clip.pose) - 1)
            pose = clip.pose[frames]
            gain = float(np.exp(self.amplitude * rng.normal() - self.amplitude**2 / 2))
            noise = torch.from_numpy(rng.standard_normal(pose.shape, np.float32)) * self._pace
            poses.append(torch.lerp(pose[:1], pose, gain) + self.noise * noise)
            silent = rng.random() < self.silence
            heard.append(float(clip.spectra is not None and not silent))
            spectra.append(torch.zeros(self.frames, SPECTRUM) if clip.spectra is None else clip.spectra[frames])
            is_felt = not (self.unfelt and clip.emotion and rng.random() < self.unfelt)
            emotions.append(emotion_vector(clip.emotion if is_felt else ""))
        return {
            "pose": torch.stack(poses),
            "spectra": torch.stack(spectra),
            "heard": torch.tensor(heard),
            "known": torch.stack(known).float(),
            "emotion": torch.stack(emotions),
        }


def emotion_vector(emotion: str) -> Tensor:
    """One for an emotion, zero for the other ones of EMOTIONS (8,); zeros for any other word."""
    return torch.tensor([float(emotion == name) for name in EMOTIONS])


def negative_log_likelihood(flow: PoseFlow, batch: dict[str, Tensor]) -> Tensor:
    """Mean over the known frames of -log p(frame | frames before, speech), in nats. Batches as of `PoseWindows`.

    The first frames of windows are excluded: their Gaussian is fitted, not trained.
    """
    audio = flow.hear(batch["spectra"]) * batch["heard"][:, None, None]
    if flow.emotion is not None:
        audio = audio + flow.feel(batch["emotion"])[:, None]
    known = batch["known"][:, 1:]
    return -(flow.log_prob(batch["pose"], audio)[:, 1:] * known).sum() / known.sum()


@dataclass(frozen=True, kw_only=True)
class PoseFlowLosses:
    """Weights of the losses."""

    likelihood: NotNegative = 1.0
    """Negative log-likelihood, in nats a frame."""


@dataclass(frozen=True, kw_only=True)
class PoseWindowSettings:
    """Samples, see `PoseWindows`."""

    frames: Annotated[int, Range("a whole number from 2 to 10,000", 2, 10_000)] = 100
    """Consecutive frames of a sample."""
    amplitude: NotNegative = 0.5
    """Deviation of the logarithm of a random gain on a sample's movement: people move alike by different amounts."""
    noise: NotNegative = 0.05
    """Deviation of the noise added to poses, in units of the movement from frame to frame."""
    silence: Share = 0.2
    """Share of samples with speech that are shown without it, so that the flow also works without sound."""
    labelled: Share = 0.5
    """Share of samples that come from clips with an emotion, where emotions are learned."""
    unfelt: Share = 0.2
    """Share of samples with an emotion that are shown without it, where emotions are learned: the flow also works
    without."""


@dataclass(frozen=True, kw_only=True)
class FlowSizes:
    """Sizes of a new flow, see `PoseFlow`."""

    steps: Annotated[int, Range("a whole number from 1 to 100", 1, 100)] = 6
    """Steps of the flow (K)."""
    width: Width = 48
    """Width of the couplings' transformers."""
    span: Frames = 50
    """Frames of context."""
    audio: Width = 16
    """Audio features per frame."""


@dataclass(frozen=True, kw_only=True)
class PoseFlowSettings(TrainingSettings):
    """Settings of the stage "pose-flow"."""

    stage: Literal["pose-flow"] = "pose-flow"
    losses: PoseFlowLosses = PoseFlowLosses()
    windows: PoseWindowSettings = PoseWindowSettings()
    new_flow: FlowSizes = FlowSizes()
    emotions: bool = False
    """Learn how emotions move the head (supplement, equation 13), of clips that are labelled. With `train:
    [pose_flow.emotion.]` alone, all that the flow does without an emotion stays as it is."""
    measured_weights: bool = False
    """Learn from poses measured by landmarks instead of those that the model reads: less noisy than those of a partly
    trained encoder."""
    batch: Batch = 16
    learning_rate: Positive = 1e-3
    betas: tuple[Momentum, Momentum] = (0.9, 0.98)
    decay: bool = True
    steps: Count = 1000
    ema: Share = 0.995
    # Densities are differences of large numbers, and the flow is cheap in full precision.
    precision: Literal["no", "fp16", "bf16"] = "no"


class PoseFlowStage(TalkingHeadStage):
    """Trains the pose flow by the negative log-likelihood of all clips' poses; those without speech train motion
    without sound."""

    SETTINGS = PoseFlowSettings
    TRAINED = ("pose_flow.",)

    def __init__(self, model: EDTalk, settings: PoseFlowSettings) -> None:
        super().__init__(model, settings)
        self.settings = settings
        self.clips = training_clips(model, settings)
        windows = settings.windows
        self.windows = PoseWindows(
            self.clips,
            windows.frames,
            amplitude=windows.amplitude,
            noise=windows.noise,
            silence=windows.silence,
            labelled=windows.labelled if settings.emotions else None,
            unfelt=windows.unfelt if settings.emotions else 0.0,
        )
        if settings.emotions and not any(clip.emotion in EMOTIONS for clip in self.clips):
            raise EDTalkError(
                f"No clip in {settings.data} is labelled with one of {', '.join(EMOTIONS)}: emotions of the head's "
                "motion cannot be learned from it."
            )

    @classmethod
    def complete(cls, model: EDTalk, settings: TrainingSettings) -> None:
        """Add a new flow if the model has none: a random walk with the statistics of the clips. Add its emotions."""
        assert isinstance(settings, PoseFlowSettings)
        if model.pose_flow is None:
            sizes = settings.new_flow
            model.pose_flow = PoseFlow(model.sizes.pose, sizes.steps, sizes.width, sizes.span, sizes.audio)
            model.pose_flow.initialise([clip.pose for clip in training_clips(model, settings)])
        if settings.emotions and model.pose_flow.emotion is None:
            model.pose_flow.add_emotions(len(EMOTIONS))

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Windows of clips, see `PoseWindows.draw`."""
        return self.windows.draw(rng, self.settings.batch)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss "likelihood", in nats per frame; it can be negative."""
        assert self.model.pose_flow is not None
        return {"likelihood": negative_log_likelihood(self.model.pose_flow, batch)}

    def sheet(self) -> NDArray[np.uint8]:
        """Curves of the pose weights over time: a real clip, and below it three samples for its speech."""
        speaking = [clip for clip in self.clips if clip.spectra is not None] or self.clips
        clip = max(speaking, key=lambda candidate: len(candidate.pose))
        flow = copy.deepcopy(self.model.pose_flow).cpu().eval()
        with torch.no_grad():
            audio = None if clip.spectra is None else flow.hear(clip.spectra[None])[0]
            samples = [flow.sample(len(clip.pose), audio, seed=seed, first=clip.pose[0]) for seed in range(3)]
        return draw_curves([(pose - flow.mean) / flow.deviation for pose in (clip.pose, *samples)])


def training_clips(model: EDTalk, settings: PoseFlowSettings) -> list[PoseClip]:
    """Head motion and voice of all training clips."""
    store = ClipStore(settings.data)
    return pose_clips(store, motion_tracks(model, store, settings.measured_weights, settings.out))


def draw_curves(rows: Sequence[Tensor], height: int = 160, pixels_a_frame: int = 2) -> NDArray[np.uint8]:
    """Draw tracks (T,D) of the same length as a picture (H,W,3): a row per track, on the scale -4 to 4."""
    import cv2

    width = max(64, pixels_a_frame * len(rows[0]))
    picture = np.full((height * len(rows), width, 3), 255, np.uint8)
    colours = [(31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (90, 90, 90)]
    for row, track in enumerate(rows):
        cv2.line(picture, (0, row * height), (width, row * height), (200, 200, 200), 1)
        x = pixels_a_frame * np.arange(len(track))
        for curve, values in enumerate(track.T):
            y = height * (row + 0.5 - values.clamp(-4, 4).numpy() / 8)
            points = np.stack([x, y], axis=1).round().astype(np.int32)
            cv2.polylines(picture, [points], False, colours[curve % len(colours)], 1, cv2.LINE_AA)
    return picture
