"""Stage 5: speech to head motion. Maximum likelihood of clips' pose weights under the pose flow (supplement 1.1)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import ClipStore
from ..data.pose_clips import PoseClip, pose_clips
from ..data.tracks import motion_tracks
from ..model import EDTalk
from ..networks.pose_flow import SPECTRUM, PoseFlow
from .config import TrainingConfig
from .stage import Stage


class PoseWindows:
    """Draws training batches from clips: windows of `frames` consecutive frames, varied so that few clips go far.

    Args:
        clips: what to draw from; a clip is likelier the longer it is, one shorter than a window is padded.
        frames: length of a window.
        amplitude: spread of the random gain of a window's movement about its first frame (deviation of its
            logarithm): people move in the same way by different amounts.
        noise: deviation of the noise added to poses, in units of the movement from frame to frame. It keeps the density
            from fitting the rounding of poses, and teaches samples to recover from their own errors.
        silence: share of windows with speech that are shown without it, so that the flow also works without sound.
    """

    def __init__(
        self,
        clips: Sequence[PoseClip],
        frames: int,
        *,
        amplitude: float = 0.5,
        noise: float = 0.05,
        silence: float = 0.2,
    ) -> None:
        self.clips, self.frames = clips, frames
        self.amplitude, self.noise, self.silence = amplitude, noise, silence
        lengths = np.array([len(clip.pose) for clip in clips])
        self._probabilities = lengths / lengths.sum()
        self._pace = torch.cat([clip.pose.diff(dim=0) for clip in clips]).std(0)

    def draw(self, rng: np.random.Generator, size: int) -> dict[str, Tensor]:
        """A batch: pose (B,T,pose), spectra (B,T,80), heard (B,) and known (B,T), 1 or 0.

        `heard` says whether a window has speech, `known` which frames are not padding.
        """
        poses, spectra, heard, known = [], [], [], []
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
        return {
            "pose": torch.stack(poses),
            "spectra": torch.stack(spectra),
            "heard": torch.tensor(heard),
            "known": torch.stack(known).float(),
        }


def negative_log_likelihood(flow: PoseFlow, batch: dict[str, Tensor]) -> Tensor:
    """Mean over the known frames of -log p(frame | frames before, speech), in nats. Batches as of `PoseWindows`.

    The first frames of windows do not count: their Gaussian is fitted, not learned.
    """
    audio = flow.hear(batch["spectra"]) * batch["heard"][:, None, None]
    known = batch["known"][:, 1:]
    return -(flow.log_prob(batch["pose"], audio)[:, 1:] * known).sum() / known.sum()


class PoseFlowStage(Stage):
    """Negative log-likelihood of pose weights read off all clips; those without speech teach motion without sound.

    Options: `window` (100 frames), `amplitude`, `noise` and `silence` of `PoseWindows`, and the sizes of a new flow:
    `flow_steps` (K, 6), `width` (48), `span` (50), `audio` (16).
    """

    NAME = "pose-flow"
    TRAINED = ("pose_flow.",)
    DEFAULTS: ClassVar = {
        "losses": {"likelihood": 1.0},
        "batch": 16,
        "learning_rate": 1e-3,
        "betas": (0.9, 0.98),
        "decay": True,
        "steps": 1000,
        "ema": 0.995,
        # Densities are differences of large numbers, and the flow costs next to nothing.
        "precision": "no",
    }

    def __init__(self, model: EDTalk, config: TrainingConfig) -> None:
        options = config.options
        is_new = model.pose_flow is None
        if is_new:
            model.pose_flow = PoseFlow(
                model.sizes.pose,
                int(options.get("flow_steps", 6)),
                int(options.get("width", 48)),
                int(options.get("span", 50)),
                int(options.get("audio", 16)),
            )
        super().__init__(model, config)
        assert model.pose_flow is not None
        self.flow = model.pose_flow
        store = ClipStore(config.data)
        tracks = motion_tracks(model, store, config.options.get("measured", False), config.out)
        self.clips = pose_clips(store, tracks)
        if is_new:
            self.flow.initialise([clip.pose for clip in self.clips])
        varied = {name: float(options[name]) for name in ("amplitude", "noise", "silence") if name in options}
        self.windows = PoseWindows(self.clips, int(options.get("window", 100)), **varied)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Windows of clips, see `PoseWindows.draw`."""
        return self.windows.draw(rng, self.config.batch)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss likelihood: nats per frame, the lower the better; it may be below 0."""
        return {"likelihood": negative_log_likelihood(self.flow, batch)}

    def sheet(self) -> NDArray[np.uint8]:
        """Curves of the pose weights over time: a clip as it was, and below it three samples for its speech."""
        speaking = [clip for clip in self.clips if clip.spectra is not None] or self.clips
        clip = max(speaking, key=lambda candidate: len(candidate.pose))
        flow = copy.deepcopy(self.flow).cpu().eval()
        with torch.no_grad():
            audio = None if clip.spectra is None else flow.hear(clip.spectra[None])[0]
            samples = [flow.sample(len(clip.pose), audio, seed=seed, first=clip.pose[0]) for seed in range(3)]
        return draw_curves([(pose - flow.mean) / flow.deviation for pose in (clip.pose, *samples)])


def draw_curves(rows: Sequence[Tensor], height: int = 160, pixels_a_frame: int = 2) -> NDArray[np.uint8]:
    """Tracks (T,D) of one length as a picture (H,W,3): a row each, a curve a column, all on the scale -4 to 4."""
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
