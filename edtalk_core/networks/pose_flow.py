"""Pose flow phi_p: a normalizing flow over head motion given speech (supplement 1.1, equations 1 and 2).

The density of a clip is a product over its frames: each frame's pose given the frames before it and the speech. So a
sample goes on for as long as the sound does and has no seams, and the head stays in one continuous movement.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UnsupportedCheckpoint
from ..progress import Progress
from .state import MAX_WIDTH, State, TrackNetwork, rows

HEAD = 16
"""Width of an attention head; their number follows from the width."""

LAGS = 8
"""Movements of this many preceding frames are given to every coupling as they are."""

RECENT = (3, 12)
"""Frames over which the recent speed is averaged; a third average is over all frames so far."""

_TAIL = max(LAGS, *RECENT) + 1

SPECTRUM = 80
"""Mel bands of a frame of speech."""

_LISTENING = 9  # Frames of speech around a frame that its features hear: head and voice are not exactly in step.
_LOG_SCALE_BOUND = 1.5


def frame_spectra(windows: Tensor) -> Tensor:
    """Mel windows (...,80,16) -> the spectrum of the frame itself (...,80): the window's middle, 40 ms.

    Windows of neighbouring frames overlap; their middles together hold the whole sound once.
    """
    return windows[..., 7:11].mean(-1)


class SpeechEncoder(nn.Module):
    """Audio encoder E_a: spectra (B,T,80) -> audio features (B,T,audio), over a third of a second."""

    def __init__(self, width: int, audio: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(SPECTRUM + 2, width, _LISTENING, padding=_LISTENING // 2)
        self.mapping = nn.Linear(width, audio)

    def forward(self, spectra: Tensor) -> Tensor:
        """Spectra (B,T,80) in [-4,4] -> audio features (B,T,audio)."""
        spectra = spectra / 4
        # Loudness, and how much of it is low: voiced. Slow changes of both are what a head follows most.
        loudness = spectra.mean(-1, keepdim=True)
        voicing = spectra[..., : SPECTRUM // 4].mean(-1, keepdim=True) - loudness
        heard = torch.cat([spectra - loudness, loudness, voicing], dim=-1)
        return self.mapping(F.gelu(self.convolution(heard.transpose(1, 2)).transpose(1, 2)))


class ActNorm(nn.Module):
    """h' = (h - mu) / delta, with mu and delta set from data first and learned from there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialise(self, h: Tensor) -> None:
        """Make the values (N,channels) come out with mean 0 and deviation 1."""
        deviation, mean = torch.std_mean(h, dim=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-deviation.clamp(min=1e-6).log())

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Values and the log-determinant, the same for every frame."""
        return (h + self.shift) * self.log_scale.exp(), self.log_scale.sum()

    def inverse(self, h: Tensor) -> Tensor:
        """Undo `forward`."""
        return h * (-self.log_scale).exp() - self.shift


class InvertibleConvolution(nn.Module):
    """h'' = W h', a 1x1 convolution with W = P L U: P a fixed permutation, L unit lower and U upper triangular.

    The determinant is the product of U's diagonal, whose signs are fixed and whose magnitudes are positive, so W can
    always be inverted.
    """

    permutation: Tensor
    signs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("signs", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())

    def weight(self) -> Tensor:
        """W (channels,channels)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.signs), device=self.lower.device, dtype=self.lower.dtype)
        upper = self.upper.triu(1) + torch.diag(self.signs * self.log_diagonal.exp())
        return self.permutation @ lower @ upper

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Values and the log-determinant, the same for every frame."""
        return h @ self.weight().T, self.log_diagonal.sum()


Memory = tuple[Tensor, Tensor]
"""Keys and values (B,heads,N,HEAD) of preceding frames that later ones attend to."""


class TransformerCoupling(nn.Module):
    """The coupling's network F: shift t and log-scale of the second half from the first half and the context.

    A transformer layer over time: a frame attends to itself and to the `span` - 1 frames before it, with a learned
    preference for each distance and no absolute position, so that it works at any place of any length. Beside it runs
    a linear path, which alone is already a linear prediction from the preceding movements.
    """

    def __init__(self, inputs: int, outputs: int, width: int, span: int, dropout: float) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, width)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.distance = nn.Parameter(torch.zeros(width // HEAD, span))
        self.attended = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 2 * outputs)
        self.linear = nn.Linear(inputs, outputs)
        self.dropout = nn.Dropout(dropout)
        # Couplings start as the identity: the flow starts as a random walk with Gaussian steps.
        for layer in (self.output, self.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor, Memory]:
        """First half and context (B,T,inputs) -> t and log s (B,T,outputs), and the memory for the next frames."""
        h = self.input(x)
        batch, frames, width = h.shape
        span = self.distance.shape[1]
        parts = self.attention(self.attention_norm(h)).view(batch, frames, 3, width // HEAD, HEAD)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if memory is not None:
            key, value = torch.cat([memory[0], key], dim=2), torch.cat([memory[1], value], dim=2)
        total = key.shape[2]
        back = torch.arange(total - frames, total, device=x.device)[:, None] - torch.arange(total, device=x.device)
        bias = self.distance[:, back.clamp(0, span - 1)].masked_fill((back < 0) | (back >= span), -torch.inf)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        h = h + self.dropout(self.attended(attended.transpose(1, 2).reshape(batch, frames, width)))
        h = h + self.dropout(self.feedforward(self.feedforward_norm(h)))
        shift, log_scale = self.output(self.output_norm(h)).chunk(2, dim=-1)
        log_scale = _LOG_SCALE_BOUND * torch.tanh(log_scale / _LOG_SCALE_BOUND)
        keep = max(0, total - (span - 1))
        return shift + self.linear(x), log_scale, (key[:, :, keep:], value[:, :, keep:])


class FlowStep(nn.Module):
    """Actnorm, invertible 1x1 convolution, affine coupling h = (h''_2 + t) * s with h''_1 unchanged."""

    def __init__(self, channels: int, context: int, width: int, span: int, dropout: float) -> None:
        super().__init__()
        self.kept = channels // 2
        self.actnorm = ActNorm(channels)
        self.convolution = InvertibleConvolution(channels)
        self.coupling = TransformerCoupling(self.kept + context, channels - self.kept, width, span, dropout)

    def forward(self, h: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B,T,channels) and context (B,T,context) -> values and log-determinant of every frame (B,T)."""
        h, norm_determinant = self.actnorm(h)
        h, convolution_determinant = self.convolution(h)
        first, second = h.split([self.kept, h.shape[-1] - self.kept], dim=-1)
        shift, log_scale, _ = self.coupling(torch.cat([first, context], dim=-1))
        h = torch.cat([first, (second + shift) * log_scale.exp()], dim=-1)
        return h, log_scale.sum(-1) + norm_determinant + convolution_determinant

    def inverse(self, h: Tensor, context: Tensor, unmix: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Undo `forward` for the frames after those that `memory` holds. `unmix` is the inverse of the convolution."""
        first, second = h.split([self.kept, h.shape[-1] - self.kept], dim=-1)
        shift, log_scale, memory = self.coupling(torch.cat([first, context], dim=-1), memory)
        h = torch.cat([first, second * (-log_scale).exp() - shift], dim=-1)
        return self.actnorm.inverse(h @ unmix.T), memory


class Past(NamedTuple):
    """What the flow keeps of the frames before: enough to go on, whatever their number."""

    first: Tensor
    """Where the clip started (B,1,pose), normalised as all of these."""
    tail: Tensor
    """The last frames (B,n,pose)."""
    speed: Tensor
    """Sum of the speeds so far (B,1)."""
    place: Tensor
    """Sum of the distances from the start so far (B,1,pose)."""
    frames: int
    """How many frames there were."""


class PoseFlow(TrackNetwork):
    """Invertible map between the pose weights of a clip and noise z ~ N(0, 1), given its speech.

    Every frame is mapped given the frames before it: what is mapped is its movement from the frame before, and the
    context of the couplings is how the head moved until then (the last movements as they are, how fast it has been,
    how far it is from where it started) and the speech around the frame. The first frame has a Gaussian of its own. So
    z has the shape of the pose, and the density is exact for clips of any length.

    Poses are (B,T,pose) in the model's own units; `audio` is what `hear` makes of the sound, None without sound.
    """

    LABEL = "a pose flow"
    TRACK = "pose"

    mean: Tensor
    """Mean of the pose weights (pose,)."""
    deviation: Tensor
    """Standard deviation of the pose weights (pose,); inside the flow they are normalised by both."""
    pace: Tensor
    """Standard deviation of the normalised movements from frame to frame (pose,)."""
    start: Tensor
    """Cholesky factor of the covariance of normalised poses (pose,pose): where a clip may start."""

    def __init__(
        self, pose: int = 6, steps: int = 6, width: int = 48, span: int = 50, audio: int = 16, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pose, self.audio = pose, audio
        for name in ("mean", "deviation", "pace"):
            self.register_buffer(name, torch.full((pose,), float(name != "mean")))
        self.register_buffer("start", torch.eye(pose))
        self.speech = SpeechEncoder(48, audio)
        context = (LAGS + 2) * pose + len(RECENT) + 1 + audio
        self.steps = nn.ModuleList(FlowStep(pose, context, width, span, dropout) for _ in range(steps))

    @property
    def weights(self) -> int:
        """Pose weights a frame."""
        return self.pose

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Number of pose weights, of steps and of audio features, width and span; see the base class.

        Raises UnsupportedCheckpoint when there is no step, or a tensor that tells a size is missing.
        """
        steps = {int(match[1]) for name in state if (match := re.match(r"steps\.(\d{1,3})\.actnorm\.shift$", name))}
        distance, mapping = state.get("steps.0.coupling.distance"), "speech.mapping.bias"
        if not steps or "mean" not in state or mapping not in state or distance is None or distance.ndim != 2:
            raise UnsupportedCheckpoint(
                f"{source} holds a pose flow that cannot be used: mean, {mapping}, steps.0.actnorm.shift or "
                "steps.0.coupling.distance is missing or damaged. Download it again."
            )
        return {
            "pose": rows(state, "mean"),
            "steps": max(steps) + 1,
            "width": rows(state, "steps.0.coupling.attended.weight"),
            "span": min(distance.shape[1], MAX_WIDTH),
            "audio": rows(state, mapping),
        }

    def hear(self, spectra: Tensor) -> Tensor:
        """Spectra of the frames (B,T,80) (see `frame_spectra`) -> audio features (B,T,audio)."""
        return self.speech(spectra)

    def _chain(self) -> list[FlowStep]:
        return cast(list[FlowStep], list(self.steps))

    def _past(self, x: Tensor, before: Past | None = None) -> tuple[Tensor, Past]:
        """What is known before the frame after each of x (B,T,pose), normalised: (B,T,context without audio).

        `before`: what this gave for the frames before x; None when x starts the clip.
        """
        frames = x.shape[1]
        if before is None:
            before = Past(x[:, :1], x[:, :0], x.new_zeros(len(x), 1), torch.zeros_like(x[:, :1]), 0)
        joined = torch.cat([before.tail, x], dim=1)
        moves = torch.diff(joined, dim=1, prepend=joined[:, :1]) / self.pace
        lagged = F.pad(moves, (0, 0, LAGS - 1, 0)).unfold(1, LAGS, 1).transpose(2, 3).flatten(2)[:, -frames:]
        speed = moves.norm(dim=-1)
        known = before.frames + torch.arange(frames, device=x.device)
        speeds = before.speed + speed[:, -frames:].cumsum(1)
        # One frame at an ordinary speed is always added: at the start nothing else is known.
        recent = [
            (F.pad(speed, (length - 1, 0)).unfold(1, length, 1).sum(-1)[:, -frames:] + 1)
            / (known.clamp(max=length) + 1)
            for length in RECENT
        ]
        pace = torch.stack([*recent, (speeds + 1) / (known + 1)], dim=-1)
        place = x - before.first
        places = before.place + place.cumsum(1)
        features = torch.cat([lagged, place, places / (known + 1)[:, None], (pace + 0.05).log()], dim=-1)
        return features, Past(before.first, joined[:, -_TAIL:], speeds[:, -1:], places[:, -1:], before.frames + frames)

    def _context(self, past: Tensor, audio: Tensor | None) -> Tensor:
        """Past (B,T,...) and audio features (B,T,audio), or None, to the context of the couplings."""
        return torch.cat([past, past.new_zeros(*past.shape[:2], self.audio) if audio is None else audio], dim=-1)

    @torch.no_grad()
    def initialise(self, poses: list[Tensor]) -> None:
        """Set the statistics and every actnorm from clips (T,pose), before the first training step.

        The flow then is a random walk: each movement Gaussian, independent of what went before.
        """
        frames = torch.cat(poses)
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0).clamp(min=1e-6))
        self.start.copy_(torch.linalg.cholesky(torch.cov(((frames - self.mean) / self.deviation).T)))
        moves = torch.cat([pose.diff(dim=0) for pose in poses]) / self.deviation
        self.pace.copy_(moves.std(0).clamp(min=1e-6))
        h = moves / self.pace
        for step in self._chain():
            step.actnorm.initialise(h)
            h = step.convolution(step.actnorm(h)[0])[0]

    def forward(self, pose: Tensor, audio: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Equation 1: pose (B,T,pose) and audio features -> z (B,T,pose) and the log-determinant of each frame (B,T).

        T is at least 2.
        """
        x = (pose - self.mean) / self.deviation
        context = self._context(self._past(x[:, :-1])[0], None if audio is None else audio[:, 1:])
        h = torch.diff(x, dim=1) / self.pace
        determinant = -self.pace.log().sum()
        for step in self._chain():
            h, change = step(h, context)
            determinant = determinant + change
        first = torch.linalg.solve_triangular(self.start, x[:, :1].transpose(1, 2), upper=False).transpose(1, 2)
        first_determinant = -self.start.diagonal().log().sum().expand(len(x), 1)
        determinants = torch.cat([first_determinant, determinant], dim=1) - self.deviation.log().sum()
        return torch.cat([first, h], dim=1), determinants

    def log_prob(self, pose: Tensor, audio: Tensor | None = None) -> Tensor:
        """Log-density in nats of every frame given those before it (B,T); the sum over T is that of the clip."""
        z, determinants = self(pose, audio)
        return determinants - 0.5 * (z.square().sum(-1) + self.pose * math.log(2 * math.pi))

    @torch.no_grad()
    def inverse(
        self,
        z: Tensor,
        audio: Tensor | None = None,
        *,
        first: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Equation 2: noise z (B,T,pose) and audio features (B,T,audio) -> pose (B,T,pose), frame after frame.

        `first` (B,pose): where the clip starts, instead of what z says of its first frame. Memory beside the result
        does not grow with T.
        """
        if first is None:
            x = z[:, :1] @ self.start.T
        else:
            x = ((first - self.mean) / self.deviation).unsqueeze(1)
        chain = self._chain()
        unmix = [torch.linalg.inv(step.convolution.weight()) for step in chain]
        memories: list[Memory | None] = [None] * len(chain)
        poses, before = [x], None
        for frame in range(1, z.shape[1]):
            past, before = self._past(x, before)
            context = self._context(past, None if audio is None else audio[:, frame : frame + 1])
            h = z[:, frame : frame + 1]
            for i in reversed(range(len(chain))):
                h, memories[i] = chain[i].inverse(h, context, unmix[i], memories[i])
            x = x + h * self.pace
            poses.append(x)
            if progress is not None:
                progress(frame + 1, z.shape[1])
        return torch.cat(poses, dim=1) * self.deviation + self.mean

    def sample(
        self,
        frames: int,
        audio: Tensor | None = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        first: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw head motion (frames,pose) with z ~ N(0, temperature^2), for audio features (frames,audio) if given.

        Noise is drawn on the CPU, so a seed gives the same noise on every device, and a longer sample begins as a
        shorter one does. `first` (pose,): where to start.
        """
        # By whole groups of 16: torch draws the last numbers of a tensor in another way when they do not fill a group.
        padded = math.ceil(frames / 16) * 16
        noise = torch.randn(padded, self.pose, generator=torch.Generator().manual_seed(seed))[:frames]
        z = (temperature * noise).to(self.mean).unsqueeze(0)
        pose = self.inverse(
            z,
            None if audio is None else audio.unsqueeze(0),
            first=None if first is None else first.to(self.mean).unsqueeze(0),
            progress=progress,
        )
        return pose[0]
